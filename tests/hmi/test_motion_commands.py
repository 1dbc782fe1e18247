"""`allyarm move`, `jog` and `home` on a running controller: what they do, what they say, and that Ctrl-C stops."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from controller.__main__ import main
from controller.spec.modes import MasterState
from tests.hmi.rig import Rig, running
from tests.program import Client

# A busy machine can hold up the thread that is the base board: a lost bus is another test's subject.
pytestmark = pytest.mark.flaky(reruns=2, only_rerun=["the arm is not connected", "lost bus", "Lost bus"])


@pytest.fixture
def rig() -> Iterator[Rig]:
    with running() as found:
        yield found


def ran(capsys: pytest.CaptureFixture[str], rig: Rig, *arguments: str) -> tuple[int, str, str]:
    code = main([*arguments, "--url", rig.url])
    return code, *capsys.readouterr()


def begun(rig: Rig, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "controller", *arguments, "--url", rig.url], text=True,
                            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})


def degrees(rig: Rig) -> list[float]:
    return list(rig.state.position_deg)


def test_move_ends_when_the_arm_is_there(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, rig, "move", "1=30", "2=-10", "--speed", "80")
    assert (code, err) == (0, "")
    assert "moving 1=30, 2=-10" in out
    told = re.search(r"done: 1: (-?\d+\.\d)  2: (-?\d+\.\d)", out)
    assert told is not None, out
    assert [float(part) for part in told.groups()] == pytest.approx([30, -10], abs=0.5)     # with its noise
    state = rig.until(lambda s: True)
    assert degrees(rig)[:2] == pytest.approx([30, -10], abs=0.5)
    assert state.state == MasterState.AUTO
    assert ran(capsys, rig, "move", "1=30", "2=-10")[0] == 0    # it stands there already


def test_jog_for_a_time_ends_standing(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, rig, "move", "1=0")[0] == 0
    code, out, err = ran(capsys, rig, "jog", "1=20", "--for", "500ms")
    assert (code, err) == (0, "")
    assert "done" in out
    state = rig.until(lambda s: not any(s.moving))
    assert state.state == MasterState.AUTO
    assert 2.0 < state.position_deg[0] < 30.0


def test_home_says_how_to_save_it_and_then_goes_there(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = ran(capsys, rig, "home")
    assert code == 1
    assert "never saved" in err
    assert ran(capsys, rig, "move", "1=20", "2=5", "3=0", "4=30")[0] == 0
    values = [f"rest_position_counts.{i + 1}={counts}" for i, counts in enumerate(rig.until(
        lambda s: not any(s.moving)).position_counts)]
    assert main(["settings", "set", *values, "--url", rig.url]) == 0
    assert ran(capsys, rig, "move", "1=0", "4=10")[0] == 0
    assert ran(capsys, rig, "home")[0] == 0
    assert degrees(rig) == pytest.approx([20, 5, 0, 30], abs=0.5)


@pytest.mark.parametrize(("arguments", "words"), [
    (["move", "1=300"], ["axis 1", "300", "allowed"]), (["move", "5=1"], ["axis 5", "4 axes"]),
    (["jog", "5=10", "--for", "1s"], ["axis 5", "4 axes"]),
])
def test_a_refusal_is_told_and_nothing_moves(rig: Rig, capsys: pytest.CaptureFixture[str], arguments: list[str],
                                             words: list[str]) -> None:
    stops = rig.state.stops
    code, _, err = ran(capsys, rig, *arguments)
    assert code == 1
    assert all(word in err for word in words), err
    assert not rig.state.motor_power
    assert rig.state.stops == stops     # nothing was begun, so nothing is stopped


def test_who_has_control_is_named(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    client = Client(rig.url, settle_s=0)
    assert client.send(type="acquire")["ok"]
    code, _, err = ran(capsys, rig, "move", "1=10")
    client.close()
    assert code == 1
    assert "has control of the arm" in err


def test_blockers_are_named(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    rig.board.set_fault("button")
    try:
        rig.until(lambda s: s.state == MasterState.ERROR)
        code, _, err = ran(capsys, rig, "move", "1=10")
    finally:
        rig.board.clear_faults()
    assert code == 1
    assert "emergency button is pressed" in err
    assert "an error is active: reset it" in err
    rig.until(lambda s: not s.blockers & 0b1000)
    client = Client(rig.url, settle_s=0)
    assert client.send(type="reset")["ok"]
    client.close()
    rig.until(lambda s: s.state == MasterState.WAITING)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("arguments", [["move", "1=80", "--speed", "10"], ["jog", "1=10", "--for", "30s"]])
def test_saf_2_ctrl_c_stops_softly(rig: Rig, capsys: pytest.CaptureFixture[str], arguments: list[str], number: int,
                                   code: int) -> None:
    assert ran(capsys, rig, "move", "1=0")[0] == 0
    process = begun(rig, *arguments)
    rig.until(lambda s: bool(s.moving[0]) and s.position_deg[0] > 2)
    stops = rig.state.stops
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == code, err
    assert "stopped" in err
    assert "Traceback" not in err
    state = rig.state
    assert state.stops == stops + 1
    assert (state.state, any(state.moving)) == (MasterState.WAITING, False)
    assert state.motor_power        # a worn arm is held


def test_somebody_else_s_stop_is_told(rig: Rig) -> None:
    process = begun(rig, "move", "1=-40", "--speed", "10")
    rig.until(lambda s: bool(s.moving[0]))
    assert rig.get("/stop", "POST")[0] == 200
    _, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "the arm was stopped" in err


def test_a_killed_command_ends_its_motion(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, rig, "move", "1=0")[0] == 0
    process = begun(rig, "move", "1=80", "--speed", "10")
    rig.until(lambda s: bool(s.moving[0]) and s.position_deg[0] > 2)
    process.kill()
    process.communicate()
    state = rig.until(lambda s: not any(s.moving))
    assert state.position_deg[0] < 70
    assert state.state == MasterState.AUTO


class Keyboard:
    """`allyarm jog` at a pseudo-terminal; `hold` presses a key as a terminal repeats it."""

    def __init__(self, rig: Rig, *arguments: str) -> None:
        self._rig = rig
        self.near, far = pty.openpty()
        self.process = begun(rig, "jog", *arguments, stdin=far, stdout=far, stderr=far)
        os.close(far)
        self.seen = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        until = time.monotonic() + 10
        while b"hold Space" not in self.seen:
            assert time.monotonic() < until, self.seen
            time.sleep(0.01)

    def _read(self) -> None:
        while self.process.poll() is None:
            if select.select([self.near], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.near, 65536)
                except OSError:
                    return

    def hold(self, key: bytes, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            os.write(self.near, key)
            time.sleep(0.03)


def test_jog_by_a_key_is_hold_to_run(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, rig, "move", "1=0")[0] == 0
    keyboard = Keyboard(rig, "1=20")
    os.write(keyboard.near, b" ")       # a tap
    time.sleep(0.5)
    assert not any(rig.state.moving)
    assert abs(rig.state.position_deg[0]) < 0.5
    holding = threading.Thread(target=keyboard.hold, args=(b" ", 1.0))
    holding.start()
    rig.until(lambda s: bool(s.moving[0]))
    holding.join()
    forward = rig.until(lambda s: not any(s.moving))
    assert forward.position_deg[0] > 2
    assert forward.state == MasterState.AUTO
    keyboard.hold(b"-", 0.8)
    back = rig.until(lambda s: not any(s.moving))
    assert back.position_deg[0] < forward.position_deg[0] - 1
    os.write(keyboard.near, b"q")
    assert keyboard.process.wait(10) == 0
