"""The composition root's rounds with a fake core, HMI and bus; signals; stale folders."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from controller import app as module
from controller import signals as signals_module
from controller.app import App
from controller.config import Config
from controller.signals import OVERDUE_S, STOP_LIMIT_S, StopSignals
from controller.simulated import remove_stale_folders


class FakeCore:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def reader(self) -> FakeCore:
        return self

    def latest(self) -> None:
        return None

    def events(self) -> list[tuple[int, int, int, int, int]]:
        return []

    def request_stop(self) -> None:
        self.calls.append("stop")

    def request_quit(self) -> None:
        self.calls.append("quit")

    def join(self, timeout_s: float) -> bool:
        self.calls.append(f"join {timeout_s:g}")
        return False


class FakeHmi:
    address = "http://127.0.0.1:1"

    def __init__(self) -> None:
        self.lives, self.gone = True, False

    def alive(self) -> bool:
        return self.lives

    def ended(self) -> bool:
        return self.gone


class FakeSupervisor:
    attempts, configured, connected, last_error = 0, False, False, ""

    def gave_up(self) -> bool:
        return False


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> App:
    now = [100.0]

    def monotonic() -> float:
        now[0] += 0.02      # every look at the clock is a tick later
        return now[0]

    monkeypatch.setattr(module.time, "monotonic", monotonic)
    found = App(FakeCore(), Config(), None, StopSignals())
    found._hmi, found._supervisor, found._announced = FakeHmi(), FakeSupervisor(), True
    return found


def test_an_hmi_that_does_not_answer_stops_the_arm_at_once_each_time(
        app: App, caplog: pytest.LogCaptureFixture) -> None:
    app._hmi.lives = False
    assert not app._round()
    assert app._core.calls == []            # it was never up
    for times in (1, 2):
        app._hmi.lives = True
        assert not app._round()
        app._hmi.lives = False
        assert not app._round()
        assert not app._round()             # late is no reason to end
        assert app._core.calls == ["stop"] * times
        assert [record.levelname for record in caplog.records] == ["ERROR"] * times


def test_an_hmi_thread_that_ended_ends_the_program(app: App) -> None:
    assert not app._round()
    app._hmi.lives, app._hmi.gone = False, True
    assert app._round()
    assert app._code == 1
    assert app._core.calls == ["stop"]
    assert app._round()


def test_saf_10_the_service_watchdog_is_fed_only_while_loop_and_hmi_make_progress(app: App) -> None:
    """The main thread alone feeds it, so one that hangs does not either."""
    fed: list[str] = []
    cycle, loop_runs = 0, True

    def latest() -> SimpleNamespace:
        nonlocal cycle
        cycle += loop_runs
        return SimpleNamespace(cycle=cycle, state=1, motor_power=0)

    def rounds(seconds: float) -> int:
        """So long, or a little longer; how often it was fed meanwhile."""
        fed.clear()
        for _ in range(round(seconds / 0.02)):
            assert not app._round()
        assert {line for line in fed if not line.startswith("STATUS=")} <= {"WATCHDOG=1"}
        return fed.count("WATCHDOG=1")

    app._core.latest = latest
    app._notifier = SimpleNamespace(interval_s=0.2, send=fed.append)
    assert rounds(2.0) >= 10
    loop_runs = False
    rounds(0.6)
    assert rounds(2.0) == 0
    loop_runs = True
    assert rounds(2.0) >= 10
    app._hmi.lives = False
    assert rounds(2.0) == 0
    app._hmi.lives = True
    assert rounds(2.0) >= 10


def test_the_status_text_is_told_when_it_changes(app: App) -> None:
    """The package's scripts refuse an upgrade by its words "motor power on"."""
    told: list[str] = []
    state = SimpleNamespace(cycle=0, state=1, motor_power=0)
    app._core.latest = lambda: state
    app._notifier = SimpleNamespace(interval_s=0.0, send=told.append)
    for _ in range(3):
        assert not app._round()
    (first,) = told
    assert first.startswith("STATUS=HMI http://127.0.0.1:1, no arm on ")
    assert first.endswith("WAITING, motor power off")
    state.state, state.motor_power = 2, 1
    for _ in range(3):
        assert not app._round()
    assert len(told) == 2
    assert told[1].endswith("AUTO, motor power on")


def test_a_signal_ends_the_rounds(app: App) -> None:
    assert not app._round()
    app._signals._handle(signal.SIGTERM, None)
    assert app._round()
    assert app._code is None        # exit code 0


def test_a_control_thread_that_does_not_end_leaves_no_simulated_arm_behind(
        app: App, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    done: list[object] = []

    class Arm:
        def close(self) -> None:
            done.append("closed")

    monkeypatch.setattr(module.os, "_exit", done.append)
    app._end_core(Arm())
    assert app._core.calls == ["quit", f"join {STOP_LIMIT_S:g}"]
    assert done == ["closed", 1]
    assert "did not end in time" in capfd.readouterr().err


def test_a_second_signal_ends_at_once_only_when_the_clean_end_is_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    now, ended, first = [50.0], [], []
    monkeypatch.setattr(signals_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(signals_module.os, "_exit", ended.append)
    signals = StopSignals()
    signals.on_first = lambda: first.append(now[0])
    for after in (0.0, 0.1, OVERDUE_S):
        now[0] = 50.0 + after
        signals._handle(signal.SIGINT, None)
        assert signals.asked
    assert ended == []
    now[0] = 50.0 + OVERDUE_S + 0.01
    signals._handle(signal.SIGTERM, None)
    assert ended == [128 + signal.SIGTERM]
    assert first == [50.0]


def test_nohup_stays_nohup() -> None:
    program = ("import signal; from controller.signals import StopSignals; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
               "; StopSignals().install(); print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_folders_of_dead_controllers_are_removed_and_no_others(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    kept = [f"allyarm-sim-{os.getpid()}-abcdefgh", "allyarm-sim-1-abcdefgh", f"allyarm-sim-{child.pid}",
            "allyarm-sim-x", f"allyarm-sim-{child.pid}-abcdefgh.txt", "other"]
    gone = [f"allyarm-sim-{child.pid}-a_cdefg1"]
    for name in (*kept, *gone):
        (tmp_path / name).mkdir()
        (tmp_path / name / "control").touch()
    (tmp_path / f"allyarm-sim-{child.pid}-zzzzzzzz").symlink_to(tmp_path / "other")
    (tmp_path / f"allyarm-sim-{child.pid}-filefile").touch()
    remove_stale_folders(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        (*kept, f"allyarm-sim-{child.pid}-zzzzzzzz", f"allyarm-sim-{child.pid}-filefile"))
    assert (tmp_path / "other" / "control").exists()
    remove_stale_folders(str(tmp_path / "nowhere"))
