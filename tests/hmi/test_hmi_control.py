"""One client has control: what happens when it is killed, hangs, idles, or others want it. Real clients."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from controller.hmi.login import Login
from controller.hmi.transport import PING_INTERVAL_S, PING_TIMEOUT_S
from controller.spec import hmi
from controller.spec.modes import MasterMode, MasterState
from tests.hmi.node_client import PACKAGES, NodeClient, node
from tests.hmi.rig import Rig, describe, running
from tests.hmi.test_hmi_notices import base_role

REST_S = hmi.REPLAY_WINDOW_S + 0.1
GONE_S = PING_INTERVAL_S + PING_TIMEOUT_S


@pytest.fixture
def rig() -> Iterator[Rig]:
    with running() as rig:
        yield rig


def hold(client: NodeClient, seconds: float = 0.5) -> None:
    """Jog axis 4, refreshed as a page does."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert client.command("jog", speed_percent=[0, 0, 0, -20]) == {"ok": True}


@pytest.mark.parametrize("transport", ["websocket", "polling"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hangs"])
def test_saf_4_a_client_that_is_gone_ends_its_jog(rig: Rig, number: signal.Signals, transport: str) -> None:
    with node(PACKAGES[0], rig.url, transports=[transport]) as client:
        time.sleep(REST_S)
        hold(client)
        assert rig.state.moving[3] == 1
        client.signal(number)
        began = time.monotonic()
        rig.until(lambda s: not any(s.moving), 2.0)
        assert time.monotonic() - began < 2.0
        assert rig.state.state == MasterState.AUTO
        assert rig.state.fault_count == 0
        until = began + GONE_S + 1.0
        while rig.status()["control"]["client"] is not None:
            assert time.monotonic() < until
            time.sleep(0.05)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_client_that_is_sent_nothing_stays(rig: Rig, transport: str) -> None:
    """Pings alone keep it."""
    with node(PACKAGES[1], rig.url, transports=[transport]) as client:
        client.command("subscribe", event="data", rate_hz=0)
        connections = rig.status()["hmi"]["connections"]
        time.sleep(GONE_S + 1.0)
        assert client.command("subscribe", event="data", rate_hz=0) == {"ok": True}
        assert rig.status()["hmi"]["connections"] == connections == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hangs"])
def test_saf_4_a_client_that_is_gone_ends_its_motion_softly(rig: Rig, number: signal.Signals) -> None:
    """A killed one at once, one that hangs (its connection stays half open) when it does not answer a ping."""
    with node(PACKAGES[1], rig.url) as client:
        time.sleep(REST_S)
        for axis in range(1, 5):
            client.command("settings", write={f"movement_speed_percent.{axis}": 20})
        assert client.command("move", position_deg={"1": 110}) == {"ok": True}
        rig.until(lambda s: s.moving[0] == 1 and s.speed_deg_s[0] > 2)
        client.signal(number)
        rig.until(lambda s: not any(s.moving), GONE_S + 3.0)
        assert rig.state.position_deg[0] < 80
        assert rig.state.state == MasterState.AUTO, describe(rig.state)
        assert rig.state.fault_count == 0
        assert rig.state.motor_power == 1  # held


def test_saf_4_a_client_that_is_gone_ends_its_sequence(rig: Rig) -> None:
    with node(PACKAGES[1], rig.url) as client:
        time.sleep(REST_S)
        assert client.ask("response", {"10": 2, "11": 1}) == {"ok": True}
        rig.until(lambda s: any(s.moving))
        client.signal(signal.SIGKILL)
        rig.until(lambda s: not any(s.moving))
        until = time.monotonic() + 5
        while "no longer has control" not in rig.status()["motion_sequence"]["ended"]:
            assert time.monotonic() < until
        time.sleep(1.0)
        assert not any(rig.state.moving)


def test_control_is_lost_after_thirty_seconds_without_a_command(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hmi.CONTROL_IDLE_S == 30
    monkeypatch.setattr(hmi, "CONTROL_IDLE_S", 1.5)  # the same clock, a shorter wait
    with node(PACKAGES[0], rig.url) as first, node(PACKAGES[1], rig.url) as second:
        time.sleep(REST_S)
        assert first.command("start") == {"ok": True}
        rig.until(lambda s: s.state == MasterState.AUTO)
        assert second.command("start")["error"]["code"] == "control"
        for _ in range(4):
            time.sleep(0.6)
            assert first.command("mode", mode=1) == {"ok": True}  # each command counts
        assert second.command("start")["error"]["code"] == "control"
        assert first.command("move", position_deg={"1": 60}, speed_percent=25) == {"ok": True}
        rig.until(lambda s: any(s.moving))
        time.sleep(2.0)
        assert any(rig.state.moving)
        assert second.command("start")["error"]["code"] == "control"  # while something moves it is not idle
        rig.until(lambda s: not any(s.moving), 20)
        time.sleep(2.2)
        assert second.command("start") == {"ok": True}
        assert first.command("start")["error"]["code"] == "control"


def test_notices_name_the_holder_and_all_that_stands_against(rig: Rig) -> None:
    with node(PACKAGES[0], rig.url) as first, node(PACKAGES[1], rig.url) as second:
        time.sleep(REST_S)
        first.command("start")
        rig.board.set_fault("button")
        rig.until(lambda s: s.state == MasterState.ERROR)
        second.emit("response", ["default1"])  # the page asks for no acknowledgement
        second.until(lambda: bool(second.notices))
        assert second.notices[0]["id"] == hmi.Notice.NEVER_SAVED
        second.notices.clear()
        second.emit("response", ["start"])
        second.until(lambda: bool(second.notices))
        text = second.notices[0]["message"]
        assert second.notices[0]["id"] == hmi.Notice.CONTROL
        for word in ("client 1 (127.0.0.1) has control", "emergency button", "an error is active"):
            assert word in text
        found = second.command("why")["blockers"]
        assert found[0]["code"] == "control"
        assert [item["message"] for item in found[1:]] == rig.status()["blockers"]
        assert first.command("why")["blockers"] == found[1:]


def test_saf_2_every_client_stops_whoever_has_control(rig: Rig) -> None:
    with node(PACKAGES[0], rig.url) as first, node(PACKAGES[1], rig.url) as second:
        second.emit("response", {"1": "9.9.9"})  # another contract version
        time.sleep(REST_S)
        hold(first)
        second.emit("response", ["stop"])
        rig.until(lambda s: s.stops == 1)
        answers = [first.command("jog", speed_percent=[0, 0, 0, -20]) for _ in range(20)]
        assert {answer["ok"] for answer in answers[5:]} == {False}
        rig.until(lambda s: s.state == MasterState.WAITING)
        assert not any(rig.state.moving)


def test_targets_that_wait_are_forgotten_with_the_control(rig: Rig) -> None:
    with node(PACKAGES[0], rig.url) as client:
        time.sleep(REST_S)
        assert client.ask("response", {"10": 5}) == {"ok": True}
        assert client.ask("response", {"4": 0, "50": 60}) == {"ok": True}
        rig.until(lambda s: s.mode == MasterMode.POSITION_TARGET_WAIT_FOR_START)
    with node(PACKAGES[0], rig.url) as other:
        time.sleep(REST_S)
        assert other.command("acquire")["ok"]
        assert other.ask("response", {"4": 0, "50": 20}) == {"ok": True}  # not in mode 5: it goes
        rig.until(lambda s: any(s.moving))
        rig.until(lambda s: s.motions_done == 1)
        assert rig.state.position_deg[0] == pytest.approx(20, abs=0.5)


async def test_roles_are_asked_of_every_message(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client with the base role, by WebSocket: what its role does not allow is refused by name, all else works."""
    monkeypatch.setattr(Login, "role", base_role)
    socket_url = rig.url + "/socket.io/?EIO=4&transport=websocket"
    async with aiohttp.ClientSession() as session, session.ws_connect(socket_url) as socket:
        async def answer(number: int, *event: Any) -> dict[str, Any]:
            await socket.send_str(f"42{number}" + json.dumps(event))
            while not (text := (await socket.receive()).data).startswith(f"43{number}["):
                pass
            return json.loads(text.removeprefix(f"43{number}"))[0]  # type: ignore[no-any-return]

        await socket.receive()
        await socket.send_str("40")
        denied: list[Any] = [{"60": 10}, {"lockSpeedAd": True}, {"101": 0, "102": 10}, ["reset"], {"10": 7},
                             {"10": 2, "11": 1}, {"10": 2, "11": 4}, {"10": 2, "11": 8}, {"10": 8}]
        for n, message in enumerate(denied):
            assert (await answer(n, "response", message))["error"]["code"] == "role", message
        assert (await answer(30, "command", {"type": "settings", "write": {"advanced_speed_percent.1": 5}}))[
            "error"]["code"] == "role"
        for n, message in enumerate([{"70": 50}, {"default_1": "x"}, ["stop"], ["diagnostics_section"]]):
            assert (await answer(40 + n, "response", message)) == {"ok": True}


def test_no_stray_client_is_left_behind(rig: Rig) -> None:
    for _ in range(5):
        with node(PACKAGES[0], rig.url) as client:
            client.signal(signal.SIGKILL)
    until = time.monotonic() + 5
    while rig.status()["hmi"]["clients"]:
        assert time.monotonic() < until
        time.sleep(0.05)
