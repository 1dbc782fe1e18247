"""Motions one after the other: test cycle 1, exercises, calibration runs. Each step is an ordinary MOVE command.

The next step goes out when the loop says that the one before is done. A stop, an error, a lost line, another motion
command or the loss of control ends the sequence: what does not ask again cannot go on by itself. A pause keeps it:
the arm stands in AUTO, and only `resume`, a motion command of its own, goes on.
Thread contract: HMI thread only.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, overload

import msgspec

from controller.arm import ArmFacts
from controller.hmi.clients import Client, Refused
from controller.spec.hmi import Notice
from controller.spec.modes import MasterState

if TYPE_CHECKING:
    from controller._core import State

STUCK_S = 5.0  # neither moving nor on target
DONE = "done"
TEST_SPEED_PERCENT = 50.0
TEST_SHARE = 0.25  # of the range is kept free at both ends


class Step(msgspec.Struct, frozen=True):
    """Joint targets {0-based axis: degrees}, speed in percent (above 0, up to 100), and a rest after it; or, with no
    targets, a place of the hand in mm, which is gone to in a straight line. With neither it is a rest alone."""

    text: str
    targets: Mapping[int, float]
    speed_percent: float = 100.0
    pause_s: float = 0.0
    hand_mm: tuple[float, float, float] | None = None

    @property
    def moves(self) -> bool:
        """Whether it is more than a rest."""
        return bool(self.targets) or self.hand_mm is not None


class Place(msgspec.Struct, frozen=True):
    """Where a step lies: repetition of repetitions, position of positions, all from 1."""

    repetition: int
    repetitions: int
    position: int
    positions: int


class Progress(msgspec.Struct, frozen=True):
    """Where a sequence of motions is: step 1..steps; `ended` says why it no longer runs, "" while it does, "done"
    after the last step. `kind` is test, exercise, scenario or calibration; `remaining_s` is null where nobody can tell.
    `pause_left_s`: a pause ends the sequence then, unless its client gives a command; null while it is not paused."""

    name: str
    step: int
    steps: int
    text: str
    ended: str
    kind: str = "test"
    paused: bool = False
    repetition: int = 1
    repetitions: int = 1
    position: int = 0
    positions: int = 0
    remaining_s: float | None = None
    pause_left_s: float | None = None


class MadeSteps(Sequence[Step]):
    """Steps that are made when they are asked for: a run may have thousands."""

    @abstractmethod
    def made(self, number: int) -> Step:
        """Step `number`, from 0; IndexError where there is none."""

    @overload
    def __getitem__(self, number: int) -> Step: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Step]: ...
    def __getitem__(self, number: int | slice) -> Step | Sequence[Step]:
        if isinstance(number, slice):
            return [self.made(i) for i in range(*number.indices(len(self)))]
        return self.made(number)


class Ended(Exception):
    """Raised by a plan: the sequence cannot go on, and why."""


class Plan:
    """The steps of a sequence, and what becomes of them. This one knows no times and keeps nothing."""

    kind = "test"

    def __init__(self, name: str, steps: Sequence[Step]) -> None:
        self.name, self.steps = name, steps

    def place(self, number: int) -> Place:
        """Where step `number` (from 0) lies."""
        return Place(1, 1, number + 1, len(self.steps))

    def remaining_s(self, number: int, state: State) -> float | None:
        """Seconds from the beginning of step `number` to the end, and None where nobody can tell."""
        return None

    def moving(self, number: int, now_s: float) -> None:
        """The loop has taken a step."""

    def tick(self, now_s: float) -> None:
        """Called in every round while it runs."""

    def arrived(self, number: int, state: State, now_s: float) -> None:
        """The arm stands on the targets of a step; its rest begins."""

    def ready(self, number: int, now_s: float) -> bool:
        """Asked in every round after the rest: whether the next step may begin. Ended when it never may."""
        return True

    def paused(self, who: str, now_s: float) -> None:
        """Somebody paused it."""

    def resumed(self, who: str, now_s: float) -> None:
        """Somebody resumed it: an interrupted step begins anew, an interrupted rest goes on."""

    def ended(self, why: str, now_s: float) -> None:
        """It is over: DONE after the last step, else why not. Called once."""


class _Run(msgspec.Struct):
    client: Client
    plan: Plan
    stops: int  # of the core when it began
    verdict: Future[None] = msgspec.field(default_factory=Future)  # of the loop on the first step, later a resumed one
    number: int = -1
    begun: bool = False     # the loop has taken a step that moves
    taken: bool = False     # the loop has taken this step
    step_s: float = 0.0     # when this step began
    done_s: float | None = None
    still_since_s: float | None = None
    paused_s: float | None = None

    @property
    def step(self) -> Step:
        return self.plan.steps[self.number]


Told = Callable[[Refused | None], None]


class Sequencer:
    """`push` gives the loop one step and calls back with its verdict, Refused when there is no room; `stop` stops the
    arm; `ended` is told (client, why) when a sequence ends before its last step by anything but its own client."""

    def __init__(self, push: Callable[[Client, Step, Told], None], stop: Callable[[], None],
                 ended: Callable[[Client, str], None]) -> None:
        self._push, self._stop, self._ended = push, stop, ended
        self._run: _Run | None = None
        self._last: Progress | None = None
        self._now_s = 0.0
        self._state: State | None = None
        self.ends = 0  # counts whatever ends a sequence, also where none runs: what was asked for before is out of date

    @property
    def running(self) -> bool:
        """Whether there is a sequence, paused or not."""
        return self._run is not None

    @property
    def moving(self) -> bool:
        """Whether it goes on by itself: not while it is paused."""
        return self._run is not None and self._run.paused_s is None

    @property
    def resting(self) -> bool:
        """Whether the arm stands because the present step is a rest, or has come to its rest."""
        return self._run is not None and (not self._run.step.moves or self._run.done_s is not None)

    @property
    def progress(self) -> Progress | None:
        """As of the latest round; the end of the last one while none runs, None before the first."""
        return self._last if self._run is None else self._shown(self._run, "")

    def start(self, client: Client, plan: Plan, state: State, now_s: float) -> Future[None]:
        """Begin; the future has the loop's verdict on the first step. Refused when that one cannot be sent."""
        self.end("another motion command")
        self._now_s, self._state = now_s, state
        run = self._run = _Run(client, plan, state.stops)
        try:
            self._next(run, now_s)
        except Refused as refused:
            if run is self._run:
                self.end(refused.message)
            raise
        return run.verdict

    def pause(self, client: Client, now_s: float) -> None:
        """Keep it where it is. The motion of the step is the caller's to end."""
        run = self._paused_or_not(paused=False)
        run.paused_s = now_s
        run.still_since_s = None
        run.plan.paused(client.name, now_s)

    def may_pause(self) -> None:
        """Refused when nothing runs that can be paused."""
        self._paused_or_not(paused=False)

    def may_resume(self) -> None:
        """Refused when nothing is paused."""
        self._paused_or_not(paused=True)

    def resume(self, client: Client, now_s: float) -> Future[None]:
        """Go on with the step, or with its rest, that was interrupted; the future has the loop's verdict."""
        run = self._paused_or_not(paused=True)
        assert run.paused_s is not None
        run.client, run.verdict = client, Future()
        if run.done_s is not None:
            run.done_s += now_s - run.paused_s
            run.paused_s = None
            run.verdict.set_result(None)
        else:
            self._send(run)  # still paused when it cannot be sent
            run.paused_s = None
            run.step_s = now_s
        run.plan.resumed(client.name, now_s)
        return run.verdict

    def _paused_or_not(self, *, paused: bool) -> _Run:
        if self._run is None:
            last = f": {self._last.name} has ended: {self._last.ended}" if self._last is not None else ""
            raise Refused(Notice.VALUE, "", f"nothing is {'paused' if paused else 'played'}{last}; begin with play")
        if (self._run.paused_s is not None) != paused:
            raise Refused(Notice.VALUE, "", f"{self._run.plan.name} is {'not paused' if paused else 'paused already'}")
        return self._run

    def end(self, why: str, *, tell: bool = False) -> None:
        """End it. The step that runs is the caller's to end."""
        self.ends += 1
        run, self._run = self._run, None
        if run is None:
            return
        self._last = self._shown(run, why)
        run.plan.ended(why, self._now_s)
        if not run.verdict.done():
            run.verdict.set_result(None)
        if tell:
            self._ended(run.client, f"{run.plan.name} ended in step {run.number + 1} of {len(run.plan.steps)}: {why}")

    def follow(self, state: State, now_s: float) -> None:
        """Take the newest record."""
        run = self._run
        if run is None:
            return
        self._now_s, self._state = now_s, state
        moves = state.state in {MasterState.AUTO, MasterState.TRANSITION_TO_AUTO}
        if state.stops != run.stops:
            if moves:
                self._stop()  # a step overtook the stop on its way: it must not have the last word
            self.end("stopped", tell=True)
        elif state.state == MasterState.ERROR:
            self.end("an error", tell=True)
        elif not moves and (run.begun or state.state != MasterState.WAITING):
            self.end("motion was ended", tell=True)
        elif run.paused_s is None:
            run.plan.tick(now_s)
            if run.taken and (state.state == MasterState.AUTO or not run.step.moves):
                self._follow_step(run, state, now_s)

    def _follow_step(self, run: _Run, state: State, now_s: float) -> None:
        step = run.step
        if any(state.moving):
            run.still_since_s = None
        elif all(state.on_target[axis] for axis in (step.targets if step.hand_mm is None else range(state.axes))):
            if run.done_s is None:
                run.done_s = now_s
                run.plan.arrived(run.number, state, now_s)
            if now_s - run.done_s >= step.pause_s:
                self._go_on(run, now_s)
        elif run.still_since_s is None:
            run.still_since_s = now_s
        elif now_s - run.still_since_s > STUCK_S:
            self.end("the arm stands, but not on its target", tell=True)

    def _go_on(self, run: _Run, now_s: float) -> None:
        try:
            if run.plan.ready(run.number, now_s):
                self._next(run, now_s)
        except Ended as ended:
            self.end(str(ended), tell=True)

    def _next(self, run: _Run, now_s: float) -> None:
        if run.number + 1 == len(run.plan.steps):
            self.end(DONE)
            return
        run.number += 1
        run.taken, run.done_s, run.still_since_s, run.step_s = False, None, None, now_s
        if not run.step.moves:
            self._taken(run)
            return
        try:
            self._send(run)
        except Refused as refused:
            if run.number == 0:
                raise
            self.end(refused.message, tell=True)

    def _send(self, run: _Run) -> None:
        number, verdict = run.number, run.verdict
        run.taken = False
        self._push(run.client, run.step, lambda refused: self._told(run, number, verdict, refused))

    def _told(self, run: _Run, number: int, verdict: Future[None], refused: Refused | None) -> None:
        """The loop's verdict on a step; a refusal may come once more after the power-up."""
        if refused is not None and not verdict.done():
            verdict.set_exception(refused)  # its acknowledgement says so: no notice needed beside it
            if run is self._run and run.begun:
                run.paused_s = self._now_s  # a resume that was refused: it may be tried again
                run.plan.paused("", self._now_s)
            elif run is self._run:
                self.end(refused.message)
        elif run is not self._run or number != run.number:
            return
        elif refused is not None:
            self.end(refused.message, tell=True)
        else:
            self._taken(run)

    def _taken(self, run: _Run) -> None:
        run.taken = True
        run.begun |= run.step.moves
        run.plan.moving(run.number, self._now_s)
        if not run.verdict.done():
            run.verdict.set_result(None)

    def _shown(self, run: _Run, ended: str) -> Progress:
        number = max(0, run.number)
        place = run.plan.place(number)
        return Progress(run.plan.name, number + 1, len(run.plan.steps), run.plan.steps[number].text, ended,
                        run.plan.kind, not ended and run.paused_s is not None, place.repetition, place.repetitions,
                        place.position, place.positions, None if ended else self._remaining_s(run, number))

    def _remaining_s(self, run: _Run, number: int) -> float | None:
        """By the plan's times, less what this step has taken so far, but for its pauses."""
        if self._state is None or (left_s := run.plan.remaining_s(number, self._state)) is None:
            return None
        after_s = run.plan.remaining_s(number + 1, self._state) or 0.0
        gone_s = (self._now_s if run.paused_s is None else run.paused_s) - run.step_s
        return round(max(after_s, left_s - max(0.0, gone_s)), 1)


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
