"""The real control thread: rates, lines that go away, lending races, other threads, the interpreter's lock."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from controller._core import Core, StateReader
from controller.spec.faults import ERRORS
from controller.spec.modes import BusFault, BusState, CommandKind, MasterState, StopCategory
from tests.live_arm import LiveArm, config

DEADLINES_MISSED = next(row.code for row in ERRORS if row.name == "DEADLINES_MISSED")


@pytest.mark.parametrize("rate_hz", [10, 100, 1000, 2000])
def test_the_loop_keeps_its_rate(rate_hz: int) -> None:
    with LiveArm(rate_hz=rate_hz) as arm:
        first = arm.until(lambda s: s.bus_state == BusState.CYCLIC)
        time.sleep(1.0)
        last = arm.latest()
        seconds = (last.time_ns - first.time_ns) * 1e-9
        slots = (last.cycle - first.cycle) + (last.skipped - first.skipped)
        assert slots == pytest.approx(seconds * rate_hz, abs=3)     # on the grid: nothing lost, nothing caught up
        assert last.bus_state == BusState.CYCLIC
        assert last.valid_telegrams - first.valid_telegrams > 0.5 * (last.cycle - first.cycle)


@pytest.mark.parametrize("terminal", [False, True], ids=["socket", "pty"])
def test_a_move_with_the_real_thread(terminal: bool) -> None:
    with LiveArm(terminal=terminal) as arm:
        arm.waiting()
        arm.core.push(CommandKind.MOVE, mask=3, values=[20.0, 35.0], value=100.0)
        state = arm.until(lambda s: s.motions_done == 1)
        assert state.position_deg[:2] == pytest.approx((20.0, 35.0), abs=0.3)
        figures = arm.core.statistics()
        assert figures["run_time_us"]["count"] > 500
        for row in figures.values():
            assert 0 <= row["p50"] <= row["p99"] <= row["p999"] <= row["max"]
        arm.core.clear_statistics()
        assert arm.core.statistics()["run_time_us"]["count"] < 500


@pytest.mark.parametrize("terminal", [False, True], ids=["socket", "pty"])
def test_saf_1_a_line_that_hangs_up_stops_the_arm_and_comes_back(terminal: bool) -> None:
    arm = LiveArm(terminal=terminal)
    with arm:
        arm.waiting()
        arm.core.push(CommandKind.MOVE, mask=3, values=[80.0, 80.0], value=100.0)
        arm.until(lambda s: any(s.moving))
        arm.end_server()
        state = arm.until(lambda s: s.bus_state == BusState.LOST)
        assert state.state == MasterState.ERROR
        assert (state.faults[0] & 0xFFFF, state.stop_category) == (1, StopCategory.QUICK)
        assert arm.core.released
        arm.core.detach()
        assert arm.until(lambda s: s.bus_state == BusState.DETACHED).motor_power == 0
        other = LiveArm(terminal=terminal)
        assert other.server.stdout.readline() == b"ready\n"
        near, arm.near = arm.near, other.near
        arm.attach()
        arm.until(lambda s: s.bus_state == BusState.CYCLIC)
        assert arm.latest().motor_power == 0
        arm.core.push(CommandKind.RESET)
        state = arm.waiting()
        time.sleep(0.2)
        assert not any(arm.latest().moving)
        arm.core.detach()
        other.hang_up()
        arm.near = near


def test_bus_errno_tells_why() -> None:
    arm = LiveArm(terminal=True)
    with arm:
        arm.waiting()
        arm.end_server()
        arm.until(lambda s: s.bus_state == BusState.LOST)
        assert arm.core.bus_errno in (0, 5)     # hang-up or EIO


def test_lending_races() -> None:
    """Attach and detach 200 times without a pause: after detach the control thread never touches the line again."""
    core = Core()
    from tests.virtual_arm import VirtualArm
    facts = VirtualArm(2)
    from controller.supervisor import core_axes, core_settings
    core.configure(core_settings(config(2000)), core_axes(config(2000), facts.facts))
    core.start()
    try:
        for turn in range(200):
            near, far = socket.socketpair()
            core.configure(core_settings(config(2000)), core_axes(config(2000), facts.facts))
            core.attach(near.fileno())
            with pytest.raises(RuntimeError):
                core.attach(near.fileno())
            with pytest.raises(RuntimeError):
                core.configure(core_settings(config()), core_axes(config(), facts.facts))
            if turn % 3:
                time.sleep(turn % 7 * 0.0005)
            core.detach()
            core.detach()       # of none: nothing happens, above all not to the next line
            near.setblocking(False)
            far.setblocking(False)
            try:
                while far.recv(4096):
                    pass
            except BlockingIOError:
                pass
            if turn % 20 == 0:
                time.sleep(0.003)
                with pytest.raises(BlockingIOError):
                    far.recv(4096)
            near.close()
            far.close()
        # the last line is served
        near, far = socket.socketpair()
        core.configure(core_settings(config(2000)), core_axes(config(2000), facts.facts))
        core.attach(near.fileno())
        far.settimeout(2.0)
        assert len(far.recv(4096)) >= 28
        core.detach()
        near.close()
        far.close()
    finally:
        core.request_quit()
        assert core.join(2.0)


@pytest.mark.parametrize("rate_hz", [10, 100, 2000])
def test_quit_ends_within_a_second_and_a_half_in_motion(rate_hz: int) -> None:
    with LiveArm(rate_hz=rate_hz) as arm:
        if rate_hz > 20:    # slower than the board's watchdog, power does not stay on
            arm.waiting()
            arm.core.push(CommandKind.MOVE, mask=3, values=[100.0, 100.0], value=100.0)
            arm.until(lambda s: abs(s.setpoint_speed_deg_s[0]) > 40.0)
        began = time.monotonic()
        arm.core.request_quit()
        assert arm.core.join(1.5)
        assert time.monotonic() - began < 1.5


def test_saf_2_stop_from_another_thread_with_a_full_ring() -> None:
    with LiveArm() as arm:
        arm.waiting()
        arm.core.push(CommandKind.MOVE, mask=3, values=[100.0, 100.0], value=100.0)
        arm.until(lambda s: abs(s.setpoint_speed_deg_s[0]) > 40.0)
        stops = arm.latest().stops
        while arm.core.push(CommandKind.MOVE, mask=3, values=[20.0, 20.0], value=100.0):
            pass
        threads = [threading.Thread(target=arm.core.request_stop) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        state = arm.until(lambda s: s.state == MasterState.WAITING, 2.0)
        assert stops < state.stops <= stops + 8
        assert not any(state.moving)


def test_pushing_and_stopping_threads_do_not_disturb_each_other() -> None:
    with LiveArm() as arm:
        arm.waiting()
        accepted = 0
        done = threading.Event()

        def stopper() -> None:
            while not done.is_set():
                arm.core.request_stop()
                time.sleep(0.003)

        thread = threading.Thread(target=stopper)
        thread.start()
        before = arm.latest().commands_done
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            if arm.core.push(CommandKind.JOG, mask=3, values=[10.0, -10.0]):
                accepted += 1
            time.sleep(0.0005)
        done.set()
        thread.join()
        state = arm.until(lambda s: s.commands_done - before == accepted, 2.0)     # none lost, none twice
        assert state.state != MasterState.ERROR


def test_saf_10_the_loop_runs_on_while_a_thread_holds_the_interpreter_for_10_s() -> None:
    with LiveArm(axes=4) as arm:
        arm.waiting()
        arm.core.push(CommandKind.START)
        arm.until(lambda s: s.state == MasterState.AUTO)
        before = arm.latest()
        ctypes.PyDLL(None).usleep(10_000_000)      # PyDLL keeps the interpreter's lock
        after = arm.latest()
        seconds = (after.time_ns - before.time_ns) * 1e-9
        assert seconds > 9.9
        slots = (after.cycle - before.cycle) + (after.skipped - before.skipped)
        assert slots == pytest.approx(seconds * 1000, abs=5)
        assert after.cycle - before.cycle > 0.9 * seconds * 1000
        assert after.bus_state == BusState.CYCLIC
        assert after.bus_faults[BusFault.LOST] == 0
        assert (after.state, after.motor_power) == (MasterState.AUTO, 1)
        assert after.valid_telegrams - before.valid_telegrams > 0.9 * (after.cycle - before.cycle)


def task_stat(thread_id: int) -> tuple[int, int]:
    """(minor, major) page faults of a thread of ours so far."""
    with open(f"/proc/self/task/{thread_id}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[7]), int(fields[9])


def test_no_page_faults_in_steady_state() -> None:
    with LiveArm(axes=4) as arm:
        arm.waiting()
        arm.core.push(CommandKind.MOVE, mask=3, values=[30.0, 30.0], value=100.0)   # every path once
        arm.until(lambda s: s.motions_done == 1)
        time.sleep(1.2)         # the state ring has been round once
        thread_id = arm.core.realtime()["thread_id"]
        before = task_stat(thread_id)
        arm.core.push(CommandKind.MOVE, mask=3, values=[40.0, 40.0], value=100.0)
        time.sleep(2.0)
        assert task_stat(thread_id) == before


MISSES_DEADLINES = """
import sys, time
from tests.live_arm import LiveArm
from controller.spec.modes import CommandKind, MasterState
with LiveArm(axes=2, rate_hz=100, overruns=3, silence_ms=900.0) as arm:
    arm.waiting()
    print("up", flush=True)
    until = time.monotonic() + 20
    seen = arm.latest()
    while time.monotonic() < until and seen.state != MasterState.ERROR:
        time.sleep(0.001)
        seen = arm.latest()
    print(seen.faults[0] & 0xFFFF, seen.faults[0] >> 24 & 3, seen.overruns, seen.skipped, flush=True)
    arm.core.detach()
"""


def test_saf_7_deadlines_missed_in_a_row_are_an_error_and_never_caught_up() -> None:
    """The whole process is stopped for 3 periods and let go for less than one, again and again."""
    process = subprocess.Popen([sys.executable, "-c", MISSES_DEADLINES], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "up\n"
        until = time.monotonic() + 10.0
        while time.monotonic() < until and process.poll() is None:
            for _ in range(12):
                process.send_signal(signal.SIGSTOP)
                time.sleep(0.030)
                process.send_signal(signal.SIGCONT)
                time.sleep(0.004)
            time.sleep(0.3)     # to tell
            if process.poll() is not None:
                break
        text = process.stdout.readline()
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
        process.stdout.close()
    code, category, overruns, skipped = map(int, text.split())
    assert (code, category) == (DEADLINES_MISSED, StopCategory.QUICK)
    assert overruns >= 1
    assert skipped > 3


def test_the_door_refuses_what_would_crash() -> None:
    core = Core()
    with pytest.raises(RuntimeError):
        core.set_realtime(priority=1, cpu=-1, lock_memory=False, spin_us=0)
    with pytest.raises(RuntimeError):
        core.attach(0)
    with pytest.raises(RuntimeError):
        core.step(0, b"")
    with pytest.raises(TypeError):
        StateReader()
    assert core.realtime()["scheduler"] == "none"
    assert core.join(0.1)
    core.start()
    with pytest.raises(RuntimeError):
        core.start()
    core.request_quit()
    assert core.join(1.0)


def test_a_core_that_is_dropped_ends_its_thread() -> None:
    before = threading.active_count(), len(os.listdir("/proc/self/task"))
    core = Core()
    core.start()
    time.sleep(0.01)
    del core
    assert (threading.active_count(), len(os.listdir("/proc/self/task"))) == before
