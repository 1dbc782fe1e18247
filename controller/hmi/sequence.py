"""Motions one after the other: test cycle 1, later exercises. Each step is an ordinary MOVE command.

The next step goes out when the loop says that the one before is done. A stop, an error, a lost line, another motion
command or the loss of control ends the sequence: what does not ask again cannot go on by itself.
Thread contract: HMI thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

import msgspec

from controller.arm import ArmFacts
from controller.hmi.clients import Client, Refused
from controller.spec.modes import MasterState

if TYPE_CHECKING:
    from controller._core import State

STUCK_S = 5.0  # neither moving nor on target
TEST_SPEED_PERCENT = 50.0
TEST_SHARE = 0.25  # of the range is kept free at both ends


class Step(msgspec.Struct, frozen=True):
    """Joint targets {0-based axis: degrees}, speed in percent (above 0, up to 100), and a rest after it."""

    text: str
    targets: Mapping[int, float]
    speed_percent: float = 100.0
    pause_s: float = 0.0


class Progress(msgspec.Struct, frozen=True):
    """Where a sequence of motions is: step 1..steps; `ended` says why it no longer runs, "" while it does."""

    name: str
    step: int
    steps: int
    text: str
    ended: str


class _Run(msgspec.Struct):
    client: Client
    name: str
    steps: Sequence[Step]
    stops: int  # of the core when it began
    first: Future[None] = msgspec.field(default_factory=Future)
    number: int = -1
    taken: bool = False
    done_s: float | None = None
    still_since_s: float | None = None


Told = Callable[[Refused | None], None]


class Sequencer:
    """`push` gives the loop one step and calls back with its verdict, Refused when there is no room; `stop` stops the
    arm; `ended` is told (client, why) when a sequence ends before its last step by anything but its own client."""

    def __init__(self, push: Callable[[Client, Step, Told], None], stop: Callable[[], None],
                 ended: Callable[[Client, str], None]) -> None:
        self._push, self._stop, self._ended = push, stop, ended
        self._run: _Run | None = None
        self.progress: Progress | None = None

    @property
    def running(self) -> bool:
        return self._run is not None

    def start(self, client: Client, name: str, steps: Sequence[Step], state: State, now_s: float) -> Future[None]:
        """Begin; the future has the loop's verdict on the first step. Refused when that one cannot be sent."""
        self.end("another motion command")
        run = self._run = _Run(client, name, steps, state.stops)
        try:
            self._next(run, now_s)
        except Refused:
            self._run = None
            raise
        return run.first

    def end(self, why: str, *, tell: bool = False) -> None:
        """End it. The step that runs is the caller's to end."""
        run, self._run = self._run, None
        if run is None:
            return
        self._show(run, why)
        if not run.first.done():
            run.first.set_result(None)
        if tell:
            self._ended(run.client, f"{run.name} ended in step {run.number + 1} of {len(run.steps)}: {why}")

    def follow(self, state: State, now_s: float) -> None:
        """Take the newest record."""
        run = self._run
        if run is None:
            return
        moves = state.state in {MasterState.AUTO, MasterState.TRANSITION_TO_AUTO}
        if state.stops != run.stops:
            if moves:
                self._stop()  # a step overtook the stop on its way: it must not have the last word
            self.end("stopped", tell=True)
        elif state.state == MasterState.ERROR:
            self.end("an error", tell=True)
        elif not moves and (run.taken or state.state != MasterState.WAITING):
            self.end("motion was ended", tell=True)
        elif run.taken and state.state == MasterState.AUTO:
            self._follow_step(run, state, now_s)

    def _follow_step(self, run: _Run, state: State, now_s: float) -> None:
        step = run.steps[run.number]
        if any(state.moving):
            run.still_since_s = None
        elif all(state.on_target[axis] for axis in step.targets):
            run.done_s = now_s if run.done_s is None else run.done_s
            if now_s - run.done_s >= step.pause_s:
                self._next(run, now_s)
        elif run.still_since_s is None:
            run.still_since_s = now_s
        elif now_s - run.still_since_s > STUCK_S:
            self.end("the arm stands, but not on its target", tell=True)

    def _next(self, run: _Run, now_s: float) -> None:
        if run.number + 1 == len(run.steps):
            self.end("done")
            return
        run.number += 1
        run.taken, run.done_s, run.still_since_s = False, None, None
        self._show(run, "")
        try:
            self._push(run.client, run.steps[run.number], lambda refused: self._told(run, run.number, refused))
        except Refused as refused:
            if run.number == 0:
                raise
            self.end(refused.message, tell=True)

    def _told(self, run: _Run, number: int, refused: Refused | None) -> None:
        """The loop's verdict on a step; a refusal may come once more after the power-up."""
        if refused is not None and not run.first.done():
            run.first.set_exception(refused)  # its acknowledgement says so: no notice needed beside it
            if run is self._run:
                self.end(refused.message)
        elif run is not self._run or number != run.number:
            return
        elif refused is not None:
            self.end(refused.message, tell=True)
        else:
            run.taken = True
            if not run.first.done():
                run.first.set_result(None)

    def _show(self, run: _Run, ended: str) -> None:
        self.progress = Progress(run.name, run.number + 1, len(run.steps), run.steps[max(0, run.number)].text, ended)


def standard_movements(facts: ArmFacts, ranges_deg: Sequence[tuple[float, float]],
                       position_deg: Sequence[float]) -> list[Step]:
    """Test cycle 1: every axis in turn to both ends of the middle half of its range, then back to where it stood.

    `ranges_deg` holds (minimum, maximum) per axis, inside which targets are allowed.
    """
    steps = []
    for axis in range(facts.axes):
        low, high = ranges_deg[axis]
        free = TEST_SHARE * (high - low)
        for where, target_deg in (("low", low + free), ("high", high - free),
                                  ("back", min(max(position_deg[axis], low), high))):
            steps.append(Step(f"axis {axis + 1} {where}", {axis: target_deg}, TEST_SPEED_PERCENT))
    return steps
