"""The server as a whole: settings over restarts, health, status page, faults of the arm, python-socketio's client."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path

import pytest
import socketio

from controller.link import LinkReport
from controller.spec import hmi
from controller.spec.modes import BusState, MasterState
from tests.hmi.rig import running
from tests.hmi.stopped_rig import stopped

REST_S = hmi.REPLAY_WINDOW_S + 0.1


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_python_client(transport: str) -> None:
    with running() as rig:
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(rig.url, transports=[transport])
            event, payload = await client.receive(timeout=5)
            assert event == "data"
            assert set(payload) == {row.name for row in hmi.DATA_FIELDS}
            await asyncio.sleep(REST_S)
            assert await client.call("command", {"type": "move", "position_deg": {"1": 20}}, timeout=5) == {"ok": True}
            await asyncio.to_thread(rig.until, lambda s: s.motions_done == 1)
            assert await client.call("response", ["stop"], timeout=5) == {"ok": True}
            await asyncio.to_thread(rig.until, lambda s: s.state == MasterState.WAITING)


async def test_settings_survive_and_come_into_force_again(tmp_path: Path) -> None:
    with running(folder=tmp_path) as rig:
        full = rig.state.speed_limit_deg_s[0]
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(rig.url, transports=["websocket"])
            for message in ({"60": 50}, {"70": 40}, {"85": 30}, {"default_3": "Tisch"}):
                assert await client.call("response", message, timeout=5) == {"ok": True}
        rig.until(lambda s: s.speed_limit_deg_s[0] == pytest.approx(full * 0.5 * 0.4 * 0.3))
    with running(folder=tmp_path) as rig:
        rig.until(lambda s: s.speed_limit_deg_s[0] == pytest.approx(full * 0.5 * 0.4 * 0.3))
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(rig.url, transports=["websocket"])
            _, payload = await client.receive(timeout=5)
            assert (payload["clientData"]["60"], payload["clientData"]["70"]) == (50, 40)
            assert payload["homeBtn"]["default_3"] == "Tisch"


async def test_a_setting_that_cannot_be_saved_is_in_force_and_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with running(folder=tmp_path / "file" / "no") as rig:
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(rig.url, transports=["websocket"])
            answer = await client.call("command", {"type": "settings", "write": {"user_speed_percent.1": 10}},
                timeout=5)
            assert answer["error"]["code"] == "not_saved"
            assert answer["error"]["message"].startswith("in force, but not saved: settings file cannot be used")
        assert "cannot be used" in rig.status()["store_problem"]
        rig.until(lambda s: s.speed_limit_deg_s[0] == pytest.approx(rig.facts.axis[0].max_speed_deg_s * 0.1))


async def test_a_speed_limit_is_in_force_when_its_answer_comes_and_given_again_when_dropped() -> None:
    with stopped() as rig:
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(rig.url, transports=["websocket"])
            for _ in range(20):
                rig.cycle()
            full = rig.state().speed_limit_deg_s[0]
            answer = asyncio.create_task(client.call("response", {"70": 40}, timeout=5))
            await asyncio.sleep(0.2)
            assert not answer.done()  # not one cycle ran
            rig.core.request_stop()  # whatever the loop makes of a limit and a stop in one cycle
            until = time.monotonic() + 5
            while not answer.done() or rig.state().speed_limit_deg_s[0] != pytest.approx(full * 0.4):
                assert time.monotonic() < until
                rig.cycle()
                await asyncio.sleep(0.005)
            assert (await answer)["ok"] or answer.result()["error"]["code"] == "refused"


def test_health_follows_the_loop() -> None:
    with running() as rig:
        assert rig.get("/healthz") == (200, {"ok": True})
        assert rig.server.alive()
    with stopped() as still:
        import urllib.error
        import urllib.request

        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(still.url + "/healthz", timeout=5)
        assert refused.value.code == 503
        assert b"control loop" in refused.value.read()


def test_page_status_and_stop() -> None:
    with running() as rig:
        code, page = rig.get("/")
        assert code == 200
        assert "<button id=\"stop\"" in page
        assert not re.findall(r"(?:src|href)=", page)  # nothing is loaded from elsewhere
        assert "innerHTML" not in page
        status = rig.status()
        assert status["running"]
        assert status["serial"] == rig.facts.serial
        assert status["bus_state"] == BusState.CYCLIC.name
        assert "refused" in status["realtime"]
        assert rig.get("/stop", "POST") == (200, {"ok": True})
        rig.until(lambda s: s.stops == 1)
        code, schema = rig.get("/schema.json")
        assert code == 200
        assert "Jog" in schema["$defs"]


async def test_faults_of_the_arm_reach_the_page() -> None:
    with running() as rig:
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(rig.url, transports=["websocket"])
            rig.board.set_fault("button")
            await asyncio.to_thread(rig.until, lambda s: s.state == MasterState.ERROR)
            for _ in range(50):
                _, payload = await client.receive(timeout=5)
                if payload["errorTest"]:
                    break
            assert payload["errorTest"][0]["errorCode"] == 296
            assert payload["errorTest"][0]["axis"] == "Master"
            await asyncio.sleep(REST_S)
            answer = await client.call("command", {"type": "start"}, timeout=5)
            assert answer["error"]["code"] == "blocked"
            assert "emergency button" in answer["error"]["message"]
            answer = await client.call("response", {"10": 7}, timeout=5)  # still pressed: the answer says why not
            assert answer["error"]["code"] == "refused"
            assert "emergency button" in answer["error"]["message"]
            assert rig.state.state == MasterState.ERROR
            rig.board.clear_faults()
            await asyncio.sleep(0.3)
            assert await client.call("response", {"10": 7}, timeout=5) == {"ok": True}
            assert rig.state.state == MasterState.WAITING
            assert await client.call("command", {"type": "start"}, timeout=5) == {"ok": True}


async def test_what_the_main_thread_knows_of_the_line_is_shown() -> None:
    with running(attach=False) as rig:
        assert rig.status()["link"] == {"last_error": "", "malformed_lines": 0, "notes": [], "port": "",
                                         "external_path": "", "external_program": 0}
        rig.server.set_link(LinkReport("register 1: no answer from <b>the board</b>", 3, ("slow line",), "/dev/ttyS0"))
        shown = {"last_error": "register 1: no answer from <b>the board</b>", "malformed_lines": 3,
                 "notes": ["slow line"], "port": "/dev/ttyS0", "external_path": "", "external_program": 0}
        assert rig.status()["link"] == shown
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(rig.url, transports=["websocket"])
            await client.call("command", {"type": "subscribe", "event": "state", "rate_hz": 20}, timeout=5)
            while (found := await client.receive(timeout=5))[0] != "state":
                pass
            assert found[1]["link"] == shown
        page = rig.get("/")[1]
        assert re.search(r"blockers = .*s\.link\.last_error", page)
        assert "link" in rig.get("/schema.json")[1]["$defs"]["StateMessage"]["properties"]


async def test_before_any_arm_is_connected() -> None:
    with running(attach=False) as rig:
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(rig.url, transports=["websocket"])
            _, payload = await client.receive(timeout=5)
            assert set(payload) == {row.name for row in hmi.DATA_FIELDS}
            await asyncio.sleep(REST_S)
            for message in ({"type": "start"}, {"type": "jog", "speed_percent": [0]}, {"type": "move",
                    "position_deg": [1]}):
                answer = await client.call("command", message, timeout=5)
                assert answer["error"]["code"] == "blocked", answer
            assert await client.call("response", ["stop"], timeout=5) == {"ok": True}


async def test_a_wall_clock_step_does_not_drop_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as rig:
        dropped = []
        client = socketio.AsyncClient(reconnection=False)
        client.on("disconnect", lambda *reason: dropped.append(reason))
        await client.connect(rig.url, transports=["websocket"])
        await asyncio.sleep(0.2)
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 86_400)
        await asyncio.sleep(6.0)  # one ping interval, and the library's watch over all clients
        assert dropped == []
        await client.disconnect()


def test_importing_the_server_is_light() -> None:
    import subprocess

    code = ("import sys; import controller.hmi.server, controller.store; "
            "print([name for name in ('aiohttp', 'socketio', 'uvloop', 'asyncio') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"
