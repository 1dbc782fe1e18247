"""The real socket.io-client of npm, both versions and both transports, on the real server, core and simulated board."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from controller.spec import hmi
from controller.spec.modes import MasterMode, MasterState
from tests.hmi.node_client import PACKAGES, NodeClient, node
from tests.hmi.rig import Rig, running

REST_S = hmi.REPLAY_WINDOW_S + 0.1
WAYS = [(PACKAGES[0], ["websocket"]), (PACKAGES[1], ["websocket"]), (PACKAGES[0], ["polling"]),
        (PACKAGES[1], ["polling", "websocket"])]


@pytest.fixture
def rig() -> Iterator[Rig]:
    with running() as rig:
        yield rig


@pytest.fixture(params=WAYS, ids=lambda way: "-".join((way[0].removeprefix("socket.io-client-"), *way[1])))
def client(rig: Rig, request: pytest.FixtureRequest) -> Iterator[NodeClient]:
    package, transports = request.param
    with node(package, rig.url, transports=transports) as client:
        yield client


def test_page_moves_the_arm_and_stops_it(rig: Rig, client: NodeClient) -> None:
    first = client.next("data")["payload"]
    assert set(first) == {row.name for row in hmi.DATA_FIELDS}
    assert len(first["actualPosition"]) == 4
    assert len(first["driverState"]) == 6
    client.emit("response", {"1": "1.7.8"})
    client.emit("response", {"85": 50})
    time.sleep(REST_S)
    assert client.notices == []

    client.emit("response", {"4": 0, "50": "20.5", "51": "", "53": 60})
    client.until(lambda: client.data["onTargetPosition"][5] == 1 and client.data["driverState"][5] == MasterState.AUTO)
    end = rig.until(lambda s: s.motions_done == 1)
    for axis, target_deg in ((0, 20.5), (3, 60.0)):
        assert abs(end.position_counts[axis] - rig.facts.counts(axis, target_deg)) <= 3
    assert client.data["actualPositionDeg"][0] == pytest.approx(20.5, abs=0.3)
    assert client.data["targetPosition"][0] == rig.facts.counts(0, 20.5)

    client.emit("response", {"4": 0, "50": -20})
    rig.until(lambda s: any(s.moving))
    client.emit("response", ["stop"])
    stopped = rig.until(lambda s: s.state == MasterState.WAITING)
    assert stopped.stops == 1
    assert stopped.motor_power == 1  # a worn arm must not drop
    assert stopped.position_deg[0] > -19
    client.emit("response", {"10": 0})
    rig.until(lambda s: s.motor_power == 0)
    assert client.notices == []


def test_typed_client(rig: Rig, client: NodeClient) -> None:
    assert client.command("subscribe", event="state", rate_hz=50) == {"ok": True}
    state = client.next("state")["payload"]
    assert state["state"] == "WAITING"
    assert [axis["axis"] for axis in state["axis"]] == [1, 2, 3, 4]
    assert state["realtime"]["refused"] == {}
    assert state["control"] == {"client": None, "name": ""}
    time.sleep(REST_S)

    assert client.command("move", position_deg=[30, None, None, None], speed_percent=60) == {"ok": True}
    rig.until(lambda s: s.motions_done == 1)
    answer = client.command("move", position_deg=[None, 500, None, None])
    assert answer["error"]["field"] == "position_deg[1]"
    assert "axis 2" in answer["error"]["message"]
    assert "allowed" in answer["error"]["message"]

    before = rig.state.position_deg[3]
    until = time.monotonic() + 0.6
    while time.monotonic() < until:
        assert client.command("jog", speed_percent=[0, 0, 0, -30]) == {"ok": True}
    assert rig.state.mode == MasterMode.JOG
    assert rig.state.moving[3]
    rig.until(lambda s: not any(s.moving), 3.0)  # not refreshed: ends by itself
    assert rig.state.state == MasterState.AUTO
    assert rig.state.position_deg[3] < before - 1.0
    assert client.command("mode", mode=1) == {"ok": True}
    assert client.command("stop") == {"ok": True}
    rig.until(lambda s: s.state == MasterState.WAITING)


def test_clicks_replayed_after_a_lost_link_do_not_move_the_arm(rig: Rig) -> None:
    with node(PACKAGES[0], rig.url, reconnectionDelay=300) as client:
        time.sleep(REST_S)
        client.send(drop=True)
        client.next("disconnect")
        for message in ({"4": 0, "50": 40}, ["start"], {"10": 2, "11": 8}, {"10": 0}, ["stop"]):
            client.emit("response", message)  # the library keeps them and sends them in one burst
        client.next("connect")
        client.until(lambda: len(client.notices) >= 4)
        assert {notice["id"] for notice in client.notices} == {hmi.Notice.REPLAY}
        rig.until(lambda s: s.stops == 1)  # the stop was honoured
        assert rig.state.state == MasterState.WAITING
        assert rig.state.motor_power == 0
        time.sleep(REST_S)
        assert client.ask("response", ["start"]) == {"ok": True}
        rig.until(lambda s: s.state == MasterState.AUTO)


def test_another_contract_version_may_observe_and_stop_only(rig: Rig) -> None:
    with node(PACKAGES[1], rig.url) as client:
        client.emit("response", {"1": "1.8.0"})
        client.until(lambda: bool(client.notices))
        assert client.notices[0]["id"] == 60
        assert "1.8.0" in client.notices[0]["message"]
        assert "1.7" in client.notices[0]["message"]
        time.sleep(REST_S)
        for message in ({"4": 0, "50": 10}, ["start"], {"70": 50}, ["reset"]):
            assert client.ask("response", message)["error"]["code"] == "version"
        assert client.ask("response", ["stop"]) == {"ok": True}
        rig.until(lambda s: s.stops == 1)
        client.next("data")
        assert client.ask("response", {"1": "1.7.99"}) == {"ok": True}
        assert client.ask("response", {"70": 50}) == {"ok": True}


def test_one_client_has_control_and_everyone_stops(rig: Rig) -> None:
    with node(PACKAGES[0], rig.url) as first, node(PACKAGES[1], rig.url) as second:
        time.sleep(REST_S)
        assert first.command("start") == {"ok": True}
        rig.until(lambda s: s.state == MasterState.AUTO)
        refused = second.ask("response", {"4": 0, "50": 10})
        assert refused["error"]["code"] == "control"
        assert "client 1 (127.0.0.1)" in refused["error"]["message"]
        assert second.command("mode", mode=0)["error"]["code"] == "control"
        assert first.command("move", position_deg={"1": 100}) == {"ok": True}
        rig.until(lambda s: s.moving[0] == 1)
        assert second.command("stop") == {"ok": True}
        rig.until(lambda s: s.state == MasterState.WAITING)
        assert first.command("release") == {"ok": True}
        assert second.command("acquire") == {"ok": True, "client": 2}
        assert first.command("start")["error"]["code"] == "control"


def test_a_client_in_control_that_goes_away_ends_its_motion(rig: Rig) -> None:
    with node(PACKAGES[0], rig.url) as client:
        time.sleep(REST_S)
        assert client.command("move", position_deg={"1": 110}, speed_percent=50) == {"ok": True}
        rig.until(lambda s: s.moving[0] == 1 and s.speed_deg_s[0] > 5)
    ended = rig.until(lambda s: not any(s.moving))
    assert ended.state == MasterState.AUTO
    assert ended.position_deg[0] < 100
    assert ended.fault_count == 0


def test_ten_clients_get_the_same_at_their_rate(rig: Rig) -> None:
    def rate_of(client: NodeClient) -> int:
        return client.counts.get("data", 0)

    clients: list[Any] = [node(PACKAGES[i % 2], rig.url, transports=["websocket"]) for i in range(10)]
    opened = [client.__enter__() for client in clients]
    try:
        assert opened[9].command("subscribe", event="data", rate_hz=60) == {"ok": True}
        assert opened[8].command("subscribe", event="data", rate_hz=0) == {"ok": True}
        time.sleep(0.3)
        before = [rate_of(client) for client in opened]
        time.sleep(2.0)
        got = [rate_of(client) - count for client, count in zip(opened, before, strict=True)]
        assert all(15 <= count <= 60 for count in got[:8]), got
        assert got[8] == 0
        assert got[9] > 1.5 * max(got[:8])
        assert rig.status()["hmi"]["clients"] == 10
    finally:
        for client in clients:
            client.__exit__(None, None, None)
    rig_clients = lambda: rig.status()["hmi"]["clients"]  # noqa: E731
    until = time.monotonic() + 5
    while rig_clients() and time.monotonic() < until:
        time.sleep(0.05)
    assert rig_clients() == 0
