"""`allyarm play` and `allyarm calibrate` on a running controller, and a program that is killed while it plays."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controller import calibration
from controller.__main__ import main
from controller.exercise_reports import CUT_SHORT
from controller.exercises import Exercises
from controller.spec import hmi
from controller.spec.modes import MasterState
from tests.hmi.rest_client import RestClient
from tests.hmi.rig import Rig, running
from tests.program import Client
from tests.program import running as program_running

pytestmark = pytest.mark.flaky(reruns=2, only_rerun=["0x1000001", "Lost bus", "bus lost", "Contacts open with enable"])
SLOW_BUS = "[bus]\nsilence_ms = 400\n[loop]\nrate_hz = 250\nmax_overruns_in_a_row = 1000\n"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(folder=tmp_path_factory.mktemp("state")) as found:
        store(found.url)
        yield found


def store(url: str) -> None:
    """Exercises and a scenario, as a page stores them."""
    client = RestClient(url)
    place = {"axis_1": 20, "axis_4": 30, "pause": 0.1, "speed": 100}
    client.good("/save_exercises", {"name": "Wave", "rep": 2, "positions": [place, {**place, "axis_1": 10}]})
    client.good("/save_exercises", {"name": "Slow", "rep": 100, "positions": [
        {**place, "speed": 10, "axis_1": -40}, {**place, "speed": 10, "axis_1": 60}]})
    client.good("/save_scenario_mode", {"scenarioName": "Lunch", "scenario": [{"exercise": "Wave", "rep": 1}, 5]})
    client.good("/save_scenario_mode", {"scenarioName": "Nothing", "scenario": [5]})
    client.close()


@pytest.fixture(autouse=True)
def _at_rest(request: pytest.FixtureRequest) -> None:
    if "rig" in request.fixturenames:
        rig = request.getfixturevalue("rig")
        stops = rig.state.stops
        rig.core.request_stop()
        rig.until(lambda s: s.stops > stops and s.state == MasterState.WAITING)
        deadline = time.monotonic() + 5
        while rig.status()["control"]["client"] and time.monotonic() < deadline:
            time.sleep(0.05)


def ran(capsys: pytest.CaptureFixture[str], rig: Rig, *arguments: str) -> tuple[int, str, str]:
    code = main([*arguments, "--url", rig.url])
    return code, *capsys.readouterr()


def begun(url: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "controller", *arguments, "--url", url], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def sequence(rig: Rig) -> dict[str, Any]:
    return dict(rig.status()["motion_sequence"] or {})


def test_play_shows_what_it_does_and_leaves_a_report(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, rig, "play", "Wave")
    assert (code, err) == (0, "")
    assert "playing Wave, about" in out
    assert "repetition 1 of 2" in out
    assert "done: Wave" in out
    code, out, _ = ran(capsys, rig, "play", "--reports")
    assert code == 0
    newest = out.splitlines()[0]
    assert "4 of 4 steps" in newest
    assert newest.split()[-3].endswith("[client")
    number = newest.split()[0]
    code, out, _ = ran(capsys, rig, "play", "--reports", number)
    assert code == 0
    assert sum("Wave" in line for line in out.splitlines()[1:]) == 4
    report = json.loads(ran(capsys, rig, "play", "--reports", number, "--json")[1])
    assert [move["step"] for move in report["moves"]] == [1, 2, 3, 4]
    assert "next_step" not in report


def test_scenarios_lists_and_estimates(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, rig, "play", "--scenario", "Lunch")[0] == 0
    code, out, _ = ran(capsys, rig, "play", "--list")
    assert code == 0
    assert "Wave                      2 repetitions" in out
    assert "Lunch                     scenario" in out
    done = rig.state.motions_done
    code, out, _ = ran(capsys, rig, "play", "Wave", "--repeat", "50", "--estimate")
    assert code == 0
    assert "100 positions" in out
    assert json.loads(ran(capsys, rig, "play", "Wave", "--estimate", "--json")[1])["steps"] == 4
    assert rig.state.motions_done == done


@pytest.mark.parametrize(("arguments", "code", "word"), [
    (["play", "Wav"], 1, "no exercise 'Wav'"), (["play", "--scenario", "Nothing"], 1, "names no exercise"),
    (["play", "--reports", "99999"], 1, "no report 99999"), (["play", "Wav", "--estimate"], 1, "no exercise"),
    (["play"], 2, "--list"), (["play", "Wave", "--repeat", "0"], 2, "1..100"),
    (["play", "Wave", "--list"], 2, "without NAME"), (["play", "Wave", "--json"], 2, "--json"),
    (["calibrate", "run", "a/b", "1=0:1:1"], 2, "NAME"), (["calibrate", "run", "x"], 2, "no axis"),
    (["calibrate", "run", "x", "1=0:1:0"], 2, "step above 0"),
    (["calibrate", "run", "x", "1=0:1"], 2, "START:STOP:STEP"),
    (["calibrate", "run", "x", "1=0:1:1", "1=0:2:1"], 2, "twice"), (["calibrate", "run", "x", "--resume"], 1, "no "
                                                                                                              "calib"),
    (["calibrate", "run", "x", "--resume", "--settle", "2", "--there-and-back"], 2, "without --settle, --there-and"),
    (["calibrate", "run", "x", "1=0:300:1"], 1, "allowed"), (["calibrate", "run", "x", "7=0:3:1"], 1, "4 axes"),
    (["calibrate", "run", "x", "1=0:1:1", "--measure", "0"], 2, "--measure"),
])
def test_what_cannot_be_done_says_why(rig: Rig, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int,
                                      word: str) -> None:
    stops = rig.state.stops
    found = ran(capsys, rig, *arguments)
    assert found[0] == code, found
    assert word in found[2]
    assert rig.state.stops == stops  # nothing was begun, so nothing is stopped


def test_a_page_that_stops_is_told(rig: Rig) -> None:
    process = begun(rig.url, "play", "Slow")
    rig.until(lambda s: any(s.moving), 20.0)
    rig.get("/stop", "POST")
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "stopped" in err
    assert sequence(rig)["ended"] == "stopped"


def test_ctrl_c_stops_softly(rig: Rig) -> None:
    process = begun(rig.url, "play", "Slow")
    rig.until(lambda s: any(s.moving), 20.0)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "stopped" in err
    state = rig.until(lambda s: s.state == MasterState.WAITING)
    assert not any(state.moving)
    assert state.motor_power == 1


def test_saf_4_a_command_that_is_killed_ends_the_motion(rig: Rig) -> None:
    process = begun(rig.url, "play", "Slow")
    rig.until(lambda s: any(s.moving), 20.0)
    process.kill()
    process.communicate(timeout=20)
    rig.until(lambda s: not any(s.moving), 10.0)
    assert "no longer has control" in sequence(rig)["ended"]


def test_a_terminal_shows_a_bar_and_p_pauses(rig: Rig) -> None:
    near, far = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "controller", "play", "Slow", "--url", rig.url], stdin=far,
                               stdout=far, stderr=far, env={**os.environ, "TERM": "xterm", "COLUMNS": "160"})
    os.close(far)
    seen = b""

    def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
        nonlocal seen
        end_s = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end_s, seen[-500:]
            if select.select([near], [], [], 0.05)[0]:
                with contextlib.suppress(OSError):  # the far end is closed: it has ended
                    seen += os.read(near, 65536)

    try:
        until(lambda: b"repetition 1 of 100, position 1 of 2, " in seen and b" left" in seen)
        os.write(near, b"p")
        until(lambda: b"paused" in seen and sequence(rig)["paused"])
        rig.until(lambda s: not any(s.moving))
        os.write(near, b"p")
        until(lambda: any(rig.state.moving))
        process.send_signal(signal.SIGINT)
        until(lambda: process.poll() is not None)
        assert process.returncode == 130
        rig.until(lambda s: s.state == MasterState.WAITING)
    finally:
        process.kill()
        process.wait(10)
        os.close(near)


def test_pause_and_resume_by_another_window_of_the_same_client(rig: Rig) -> None:
    client = Client(rig.url)
    other = Client(rig.url)
    try:
        assert client.send(type="play", exercise="Slow")["ok"]
        rig.until(lambda s: any(s.moving))
        assert other.send(type="pause")["error"]["code"] == "control"
        assert client.send(type="pause")["ok"]
        rig.until(lambda s: not any(s.moving))
        assert sequence(rig)["paused"]
        assert client.send(type="resume")["ok"]
        rig.until(lambda s: any(s.moving))
        shown = sequence(rig)
        assert (shown["kind"], shown["repetitions"], shown["positions"]) == ("exercise", 100, 2)
        assert shown["remaining_s"] > 100
        assert client.send(type="play", exercise="Wave")["ok"]  # in place of the other
        assert sequence(rig)["name"] == "Wave"
    finally:
        client.close()
        other.close()


def test_control_is_lost_in_a_long_pause_and_the_exercise_with_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hmi, "CONTROL_IDLE_S", 1.0)
    client = Client(rig.url)
    try:
        assert client.send(type="play", exercise="Slow")["ok"]
        time.sleep(1.5)
        assert sequence(rig)["ended"] == ""  # it goes on by itself: nobody has to say anything
        assert client.send(type="pause")["ok"]
        time.sleep(1.5)
        assert "no longer has control" in sequence(rig)["ended"]
        assert client.send(type="resume")["error"]["code"] == "value"
    finally:
        client.close()


def test_a_connection_younger_than_a_second_plays_nothing(rig: Rig) -> None:
    client = Client(rig.url, settle_s=0.0)
    try:
        assert client.send(type="play", exercise="Wave")["error"]["code"] == "replay"
        assert client.send(type="calibrate", name="x", resume=True)["error"]["code"] == "replay"
        assert client.send(type="estimate", exercise="Wave")["ok"]
    finally:
        client.close()


def test_rest_tells_times_and_reports_and_moves_nothing(rig: Rig) -> None:
    client = RestClient(rig.url)
    done = rig.state.motions_done
    assert client.good("/estimate", {"name": "Wave", "rep": 1})["steps"] == 2
    assert client.post("/estimate", {"name": "Nothing"})[0] == 404
    client.good("/save_exercises", {"name": "Far", "rep": 1, "positions": [{"axis_1": 350, "pause": 0, "speed": 1}]})
    status, answer = client.post("/estimate", {"name": "Far"})
    assert (status, answer["field"]) == (400, "name")
    assert "position 1" in answer["message"]
    assert client.post("/report", {"id": 99999})[0] == 404
    reports = client.get("/reports")[1]
    if reports:
        assert client.good("/report", {"id": reports[0]["id"], "first_step": 2})["summary"] == reports[0]
    assert client.post("/play_scenario_mode", b"Lunch", Content_Type="text/plain")[0] == 200
    time.sleep(0.3)
    assert rig.state.motions_done == done
    client.close()


def test_a_calibration_run_is_shown_stopped_and_resumed(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    grid = ["1=0:10:5", "4=30:20:10", "--settle", "0.1", "--measure", "0.1", "--speed", "100"]
    process = begun(rig.url, "calibrate", "run", "first", *grid)
    deadline = time.monotonic() + 30
    while sequence(rig).get("position", 0) < 3 or sequence(rig).get("kind") != "calibration":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "goes on: first, point" in ran(capsys, rig, "calibrate", "status")[1]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "6 of 6 points to measure" in out
    assert "point 1 of 6" in out
    assert "every point that was measured is kept; go on with: allyarm calibrate run first --resume" in err
    rig.until(lambda s: s.state == MasterState.WAITING)
    points_kept = int(ran(capsys, rig, "calibrate", "status")[1].split()[1])
    code, out, err = ran(capsys, rig, "calibrate", "run", "first", "--resume")
    assert (code, err) == (0, "")
    assert " of 6 points to measure" in out
    assert f"point {points_kept + 1} of 6" in out
    path = out.splitlines()[-2].removeprefix("done: ")
    assert out.splitlines()[-1] == f"fit it with: allyarm calibrate fit {path}"
    assert len(calibration.read_rows(Path(path))[1]) == 6
    assert "first                             6 of 6 points" in ran(capsys, rig, "calibrate", "status")[1]
    assert "complete" in ran(capsys, rig, "calibrate", "run", "first", "--resume")[2]


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["play"], ["calibrate"], ["calibrate", "run"], ["calibrate", "fit"]):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--help"])
        assert ended.value.code == 0
        assert "examples:" in capsys.readouterr().out


def test_saf_1_a_controller_that_is_killed_keeps_what_it_did_and_moves_nothing(tmp_path: Path) -> None:
    """kill -9 in the middle of an exercise and of a calibration run: both are on disk up to then, nothing goes on."""
    config = tmp_path / "allyarm.toml"
    config.write_text(SLOW_BUS)
    state = tmp_path / "state"
    with program_running("--config", str(config), folder=state) as program:
        program.until(lambda s: s["state"] == "WAITING")
        store(program.address)
        client = Client(program.address)
        assert client.send(type="play", exercise="Wave", repeat=100)["ok"]
        program.until(lambda s: (s["motion_sequence"] or {}).get("step", 0) >= 4)
        os.kill(program.process.pid, signal.SIGKILL)
        program.process.wait(10)
    exercises = Exercises(state)
    try:
        (report,) = exercises.reports(5, None).result(5)
        assert report.ended == CUT_SHORT
        assert report.moves >= 3
        assert len(exercises.report(report.id, 1, 10).result(5).moves) == report.moves
    finally:
        exercises.close()
    with program_running("--config", str(config), folder=state) as program:
        program.until(lambda s: s["state"] == "WAITING")
        client = Client(program.address)
        grid = {"1": {"start_deg": 0, "stop_deg": 20, "step_deg": 1}}
        assert client.send(type="calibrate", name="run", grid=grid, settle_s=0.1, measure_s=0.1)["ok"]
        program.until(lambda s: (s["motion_sequence"] or {}).get("step", 0) >= 3, 40.0)
        os.kill(program.process.pid, signal.SIGKILL)
        program.process.wait(10)
    with program_running("--config", str(config), folder=state) as program:
        status = program.until(lambda s: s["state"] == "WAITING")
        assert status["motion_sequence"] is None
        time.sleep(1.0)
        assert not any(axis["moving"] for axis in program.status()["axis"])
        assert program.status()["motor_power"] is False
        client = Client(program.address)
        answer = client.send(type="calibrate", name="run", resume=True)
        assert answer["ok"], answer
        assert answer["measured"] >= 2
        assert client.send(type="stop")["ok"]
        client.close()
