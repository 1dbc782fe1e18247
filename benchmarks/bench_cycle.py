"""Run time of one control cycle: the compiled cycle alone on a virtual clock, and with its system calls at 1 kHz."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from statistics import median
from typing import Any

from benchmarks.load import CoreProcess, busy_cores
from benchmarks.table import Aim, Table, show
from controller.config import Config
from controller.spec.modes import BusFault, MasterState
from tests.virtual_arm import VirtualArm

AXES = (4, 5, 8)
AIM_AXES, AIM_US = 5, 15.0
JOG_EVERY = 50      # cycles between two refreshes of the jog
TURN_EVERY = 1000   # cycles until it goes the other way


class Tape:
    """What a core received, cycle by cycle, in a run on the virtual clock: played again to another core, the very same
    run comes out, without the simulated board taking part."""

    def __init__(self, axes: int, moving: bool, cycles: int) -> None:
        self._axes = axes
        self.moving = moving
        arm = self._ready_arm()
        self._steps: list[tuple[int, bytes]] = []
        for number in range(cycles):
            self._command(arm, number)
            received = arm.received + arm.board.step(arm.now_ns)
            self._steps.append((arm.now_ns, received))
            telegram = arm.core.step(arm.now_ns, received)
            arm.received = arm.board.step(arm.now_ns + 300_000, telegram)
            arm.now_ns += arm.period_ns
        self._check(arm, cycles)

    def _ready_arm(self) -> VirtualArm:
        arm = VirtualArm(self._axes, seed=1)
        if self.moving:
            arm.auto()
        else:
            arm.waiting()
        return arm

    def _command(self, arm: VirtualArm, number: int) -> None:
        if self.moving and number % JOG_EVERY == 0:
            arm.jog(*[20.0 if number // TURN_EVERY % 2 else -20.0] * self._axes)

    def _check(self, arm: VirtualArm, cycles: int) -> None:
        state = arm.reader.latest()
        assert state is not None
        wanted = MasterState.AUTO if self.moving else MasterState.WAITING
        if state.state != wanted or state.bus_faults[BusFault.MISSED] > 1 or (self.moving and not any(state.moving)):
            raise RuntimeError(f"{cycles} cycles did not go as meant: state {MasterState(state.state).name}, "
                               f"bus faults {state.bus_faults}, moving {state.moving}")

    def play(self) -> float:
        """Nanoseconds per cycle of one replay; the call from Python is in it, the loop around it taken off."""
        arm = self._ready_arm()
        spent = self._timed(arm, arm.core.step)
        self._check(arm, len(self._steps))
        return (spent - self._timed(arm, _nothing)) / len(self._steps)

    def _timed(self, arm: VirtualArm, step: Callable[[int, bytes], Any]) -> int:
        spent = 0
        for begin in range(0, len(self._steps), JOG_EVERY):
            if step is not _nothing:
                self._command(arm, begin)
            part = self._steps[begin:begin + JOG_EVERY]
            start = time.perf_counter_ns()
            for now_ns, received in part:
                step(now_ns, received)
            spent += time.perf_counter_ns() - start
        return spent


def _nothing(now_ns: int, received: bytes) -> None:
    """As costly to call as `step`, so the loop can be taken off."""


def virtual(quick: bool) -> Table:
    """The compiled cycle alone."""
    rounds, cycles = (3, 2000) if quick else (15, 10_000)
    tapes = {(axes, moving): Tape(axes, moving, cycles) for axes in AXES for moving in (False, True)}
    spent: dict[tuple[int, bool], list[float]] = {key: [] for key in tapes}
    for _ in range(rounds):
        for key, tape in tapes.items():
            spent[key].append(tape.play() / 1e3)
    rows = [[axes, "all axes jog" if moving else "standing", median(values), min(values), max(values)]
            for (axes, moving), values in spent.items()]
    return Table("Compiled cycle alone, us", ["axes", "arm", "median", "least", "most"], rows,
                 f"Virtual clock, no system call: a recorded run of {cycles:,} cycles played to the core again, "
                 f"{rounds} interleaved rounds. One whole cycle: receive, state machine, safety, trajectory, telegram, "
                 "state record.")


def real(quick: bool) -> Table:
    """The cycle of the control thread, system calls included."""
    rounds, seconds = (1, 1.0) if quick else (5, 3.0)
    rows: list[list[Any]] = []
    aims = []
    for axes in AXES:
        spent: dict[tuple[str, bool], list[list[int]]] = {}
        with CoreProcess(axes) as core:
            for _ in range(rounds):
                for situation, load in (("idle", nullcontext()), ("both cores busy", busy_cores())):
                    with load:
                        for moving in (False, True):
                            run_ns = sorted(core.measure(seconds, moving=moving)["run_ns"])
                            spent.setdefault((situation, moving), []).append(run_ns)
        for (situation, moving), segments in spent.items():
            p50, p99, p999 = (median(run[int(fraction * len(run))] for run in segments) / 1e3
                              for fraction in (0.5, 0.99, 0.999))
            arm = "all axes jog" if moving else "standing"
            rows.append([axes, situation, arm, p50, p99, p999, max(run[-1] for run in segments) / 1e3])
            if axes == AIM_AXES:
                aims.append(Aim(f"median, {axes} axes, {situation}, {arm}", p50, AIM_US, "us"))
    loop = Config().loop
    return Table("Cycle with its system calls, us", ["axes", "situation", "arm", "p50", "p99", "p99.9", "max"], rows,
                 f"{loop.rate_hz} Hz over a pseudo-terminal, from the wake-up to the state record: read, cycle, write, "
                 f"publish. {rounds} interleaved rounds of {seconds:g} s; percentiles are medians over the rounds. A "
                 "write to a pseudo-terminal wakes the simulator's process, which a serial port does not do.", aims)


def run(quick: bool) -> list[Table]:
    """Two tables: without and with system calls."""
    return [virtual(quick), real(quick)]


if __name__ == "__main__":
    show(run(quick=True))
