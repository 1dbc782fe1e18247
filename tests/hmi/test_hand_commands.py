"""`allyarm move x=`, `jog x=` and `compliant` on a running controller: what they do, say, and how they end."""

from __future__ import annotations

import contextlib
import math
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from controller.__main__ import main
from controller.spec.modes import CompliantPhase, MasterState
from tests.hmi.rig import Rig, running
from tests.program import Client

# A busy machine can hold up the thread that is the base board: a lost bus is another test's subject.
pytestmark = pytest.mark.flaky(reruns=2, only_rerun=["the arm is not connected", "lost bus", "Lost bus"])


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with running() as found:
        yield found


@pytest.fixture(autouse=True)
def _at_rest(rig: Rig) -> Iterator[None]:
    """Every test begins in WAITING with nobody in control."""
    yield
    rig.board.clear_faults()
    rig.until(lambda s: not any(s.moving))
    if rig.state.state == MasterState.ERROR:
        rig.until(lambda s: not s.blockers & 0b1000)
        client = Client(rig.url, settle_s=0)
        assert client.send(type="reset")["ok"]
        client.close()
    stops = rig.state.stops
    rig.core.request_stop()
    rig.until(lambda s: s.stops > stops and s.state == MasterState.WAITING)
    nobody_in_control(rig)


def nobody_in_control(rig: Rig) -> None:
    """The command before is gone, and what its end made of its motion is done."""
    deadline = time.monotonic() + 5
    while rig.status()["control"]["client"] is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ran(capsys: pytest.CaptureFixture[str], rig: Rig, *arguments: str) -> tuple[int, str, str]:
    code = main([*arguments, "--url", rig.url])
    return code, *capsys.readouterr()


def begun(rig: Rig, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "controller", *arguments, "--url", rig.url], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def hand(rig: Rig) -> tuple[float, float, float]:
    state = rig.until(lambda s: True)
    return state.hand_x_mm, state.hand_y_mm, state.hand_z_mm


def place(before: str, text: str) -> tuple[float, ...]:
    """x, y, z behind these words; with the sensors' noise in those that were left out."""
    told = re.search(before + r" x=(-?\d+), y=(-?\d+), z=(-?\d+)", text)
    assert told is not None, text
    return tuple(map(float, told.groups()))


def bent(capsys: pytest.CaptureFixture[str], rig: Rig) -> None:
    """A posture from which the hand can go anywhere near."""
    assert ran(capsys, rig, "move", "1=10", "2=20", "3=0", "4=70")[0] == 0


class Terminal:
    """A command at a pseudo-terminal, with what it has shown so far."""

    def __init__(self, rig: Rig, *arguments: str) -> None:
        self.near, far = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "controller", *arguments, "--url", rig.url], stdin=far, stdout=far, stderr=far,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "120"}, start_new_session=True)
        os.close(far)
        self.seen, self._closed = "", False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while self.process.poll() is None and not self._closed:
            with contextlib.suppress(OSError):
                if select.select([self.near], [], [], 0.1)[0]:
                    self.seen += os.read(self.near, 65536).decode(errors="replace")

    def until(self, condition: Callable[[str], bool], seconds: float = 10.0) -> None:
        end_s = time.monotonic() + seconds
        while not condition(self.seen):
            assert time.monotonic() < end_s, self.seen[-2000:]
            time.sleep(0.02)

    def close(self) -> None:
        """The window is closed: what the command shows has nowhere to go."""
        self._closed = True
        self._reader.join()
        os.close(self.near)

    def press(self, keys: str) -> None:
        os.write(self.near, keys.encode())


# -- places of the hand

def test_the_hand_goes_to_a_place_and_what_is_left_out_stays(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    bent(capsys, rig)
    x, y, z = hand(rig)
    code, out, err = ran(capsys, rig, "move", f"z={z + 80:.0f}", "--speed", "80")
    assert (code, err) == (0, "")
    assert place(r"moving the hand to", out) == pytest.approx((x, y, z + 80), abs=2)
    told = re.search(r"done: x (-?\d+)  y (-?\d+)  z (-?\d+) mm, (\d+) mm left", out)
    assert told is not None, out
    assert math.dist(hand(rig), (x, y, z + 80)) < 2.0
    assert math.dist([float(part) for part in told.groups()[:3]], (x, y, z + 80)) < 3.0
    assert rig.state.state == MasterState.AUTO


def test_check_says_whether_it_could_and_moves_nothing(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    bent(capsys, rig)
    nobody_in_control(rig)
    stops, done = rig.state.stops, rig.state.motions_done
    x, y, z = hand(rig)
    code, out, err = ran(capsys, rig, "move", f"z={z + 60:.0f}", "--check")
    assert (code, err) == (0, "")
    assert place("reachable:", out) == pytest.approx((x, y, z + 60), abs=2)
    code, out, err = ran(capsys, rig, "move", "x=900", "--check")
    assert (code, out) == (1, "")
    assert "not reachable in a straight line" in err
    assert "warning 104" in err
    assert (rig.state.stops, rig.state.motions_done) == (stops, done)
    assert rig.status()["control"]["client"] is None
    assert math.dist(hand(rig), (x, y, z)) < 1.0


def test_a_place_that_cannot_be_reached_is_refused_before_anything_moves(rig: Rig,
                                                                         capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = ran(capsys, rig, "move", "x=900", "y=0", "z=0")
    assert code == 1
    assert "not reachable in a straight line" in err
    assert not any(rig.state.moving)
    assert rig.state.state == MasterState.WAITING
    code, _, err = ran(capsys, rig, "move", "x=250", "z=-350", "wrist=10")
    assert code == 1
    assert "wrist_deg: this arm has no wrist" in err


def test_unchecked_goes_as_far_as_there_is_a_way_and_says_so(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    bent(capsys, rig)
    x, _, _ = hand(rig)
    code, _, err = ran(capsys, rig, "move", "x=900", "--unchecked")
    assert code == 1
    told = re.search(r"the way ended (\d+) mm before the place: warning 104", err)
    assert told is not None, err
    assert hand(rig)[0] > x + 50
    assert abs(900 - hand(rig)[0] - float(told[1])) < 5


def test_jog_of_the_hand_for_a_time_ends_standing(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    bent(capsys, rig)
    before = hand(rig)
    code, out, err = ran(capsys, rig, "jog", "z=40", "--for", "700ms")
    assert (code, err) == (0, "")
    assert re.search(r"done: x -?\d+  y -?\d+  z -?\d+ mm", out), out
    x, y, z = (now - then for now, then in zip(hand(rig), before, strict=True))
    assert z > 10
    assert math.hypot(x, y) < 2.5
    assert (rig.state.state, any(rig.state.moving)) == (MasterState.AUTO, False)


def test_jog_of_the_hand_says_what_hinders_it(rig: Rig) -> None:
    terminal = Terminal(rig, "jog", "z=-60", "--for", "30s")
    terminal.until(lambda text: "warning 106" in text, 15.0)
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.process.wait(10) == 130
    assert (rig.state.state, any(rig.state.moving)) == (MasterState.WAITING, False)


def test_saf_2_ctrl_c_stops_the_hand_softly(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    bent(capsys, rig)
    z = hand(rig)[2]
    process = begun(rig, "move", f"z={z + 150:.0f}", "--speed", "5")
    rig.until(lambda s: any(s.moving) and s.hand_z_mm > z + 3)
    stops = rig.state.stops
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, rig.state.stops) == (130, stops + 1), err
    assert (rig.state.state, any(rig.state.moving)) == (MasterState.WAITING, False)
    assert hand(rig)[2] < z + 120


# -- compliant mode

def test_compliant_leads_shows_and_ends_standing(rig: Rig) -> None:
    terminal = Terminal(rig, "compliant")
    rig.until(lambda s: s.compliant_phase == CompliantPhase.LED, 20.0)
    before = rig.state.position_deg[1]
    rig.board.set_fault("hand_force", x_n=4.0, y_n=0.0, z_n=4.0)
    rig.until(lambda s: abs(s.position_deg[1] - before) > 3.0)
    terminal.until(lambda text: "#" in text)
    rig.board.clear_faults()
    terminal.until(lambda text: "led: a hand may move it" in text and "hand, counts" in text)
    rig.until(lambda s: not any(s.moving))
    terminal.press("q")
    assert terminal.process.wait(10) == 0
    assert (rig.state.compliant_phase, rig.state.state) == (CompliantPhase.NONE, MasterState.AUTO)
    terminal.until(lambda text: "ended: the arm stands still" in text)


def test_compliant_for_a_time_without_a_terminal(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, rig, "compliant", "--for", "500ms")
    assert (code, err) == (0, "")
    assert [line in out for line in ("handing over: let go", "led: a hand may move it", "ended: the arm stands")] == [
        True, True, True], out
    assert (rig.state.compliant_phase, rig.state.state) == (CompliantPhase.NONE, MasterState.AUTO)


def test_saf_2_ctrl_c_ends_compliant_mode_by_a_stop(rig: Rig) -> None:
    process = begun(rig, "compliant", "--for", "60s")
    rig.until(lambda s: s.compliant_phase == CompliantPhase.LED, 20.0)
    stops = rig.state.stops
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130, err
    assert rig.state.stops == stops + 1
    assert (rig.state.compliant_phase, rig.state.state) == (CompliantPhase.NONE, MasterState.WAITING)
    assert rig.state.motor_power


def test_a_closed_terminal_ends_compliant_mode(rig: Rig) -> None:
    terminal = Terminal(rig, "compliant")
    rig.until(lambda s: s.compliant_phase == CompliantPhase.LED, 20.0)
    stops = rig.state.stops
    terminal.close()
    assert terminal.process.wait(10) == 129
    assert rig.until(lambda s: s.compliant_phase == CompliantPhase.NONE).stops == stops + 1


def test_a_hang_up_and_two_ctrl_c_end_a_move_without_a_word_of_python(rig: Rig) -> None:
    for numbers, code in (([signal.SIGHUP], 129), ([signal.SIGINT, signal.SIGINT], 130)):
        nobody_in_control(rig)
        process = begun(rig, "move", "1=60", "--speed", "3")
        rig.until(lambda s: bool(s.moving[0]), 20.0)
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.03)
        _, err = process.communicate(timeout=10)
        assert process.returncode == code, err
        assert "Traceback" not in err
        assert "Unclosed" not in err
        state = rig.until(lambda s: not any(s.moving))
        assert state.position_deg[0] < 55.0


def test_stop_and_reset_need_no_control(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    process = begun(rig, "move", "1=60", "--speed", "3")
    rig.until(lambda s: bool(s.moving[0]), 20.0)
    assert ran(capsys, rig, "stop") == (0, "stopped\n", "")
    _, err = process.communicate(timeout=10)
    assert (process.returncode, "the arm was stopped" in err) == (1, True), err
    rig.board.set_fault("button")
    rig.until(lambda s: s.state == MasterState.ERROR)
    code, _, err = ran(capsys, rig, "reset")
    assert code == 1
    assert "296" in err
    rig.board.clear_faults()
    rig.until(lambda s: not s.blockers & 0b1000)
    assert ran(capsys, rig, "reset")[0] == 0
    assert rig.state.state == MasterState.WAITING


def test_an_arm_that_is_not_as_its_masses_say_is_not_handed_over(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    rig.board.set_fault("torque_offset", axis=2, counts=80)
    code, _, err = ran(capsys, rig, "compliant", "--for", "1s")
    assert code == 1
    assert "410 (axis 2)" in err
    assert "Let go of the arm" in err
    assert rig.state.compliant_phase == CompliantPhase.NONE


def test_what_ends_compliant_mode_is_told(rig: Rig) -> None:
    process = begun(rig, "compliant", "--for", "60s")
    rig.until(lambda s: s.compliant_phase == CompliantPhase.LED, 20.0)
    rig.board.set_fault("outside_torque", axis=4, counts=2000.0)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "650 (axis 4) Contact or spasm" in err


def test_watching_takes_no_control_and_ends_nothing(rig: Rig) -> None:
    leader = begun(rig, "compliant", "--for", "60s")
    rig.until(lambda s: s.compliant_phase == CompliantPhase.LED, 20.0)
    watcher = Terminal(rig, "compliant", "--watch")
    watcher.until(lambda text: "led: a hand may move it" in text)
    watcher.process.send_signal(signal.SIGINT)
    assert watcher.process.wait(10) == 130
    time.sleep(0.3)
    assert rig.state.compliant_phase == CompliantPhase.LED
    leader.send_signal(signal.SIGTERM)
    leader.communicate(timeout=10)
    assert leader.returncode == 143
