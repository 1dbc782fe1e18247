"""What the control loop must know of the settings: speed limits and the range of motion, given to it and kept given.

The loop starts with 100 % and no range; after each bring-up it gets everything again. What it did not take goes out
again by itself. While a range of motion that is on is not in force, `problem` says why, and nothing may move.
Thread contract: HMI thread only; it alone pushes commands into the core.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeGuard

from controller.arm import ArmFacts
from controller.hmi.clients import Refused
from controller.spec import hmi
from controller.spec.hmi import Notice, Setting
from controller.spec.modes import CommandKind
from controller.spec.telegram import MAX_AXES
from controller.store import Store, Value

if TYPE_CHECKING:
    from controller._core import Core

RETRY_S = 1.0  # a range that the loop refuses: somebody has to move the arm or change it
RANGE_ON = "range_of_motion_on"
Follow = Callable[[int, Callable[[Refused | None], None]], None]


class InForce:
    """`follow` is asked for the loop's verdict on a command of the server itself."""

    def __init__(self, core: Core, store: Store, follow: Follow) -> None:
        self.facts = ArmFacts("", "", ())
        self.problem = ""
        self._core, self._store, self._follow = core, store, follow
        self._limits_late = False
        self._range_retry_s: float | None = None
        self._range_asked = 0  # counts the times the stored range was given: only the latest one's verdict counts

    def apply(self, now_s: float) -> None:
        """Give the loop everything."""
        self._limits_late = False
        for row in hmi.SETTINGS:
            if row.register:
                self.push_limits(row, 0)
        self.apply_range(now_s)

    def tick(self, now_s: float) -> None:
        """Give again what the loop did not take: it is stored, so it must come into force."""
        if self._limits_late:
            self._limits_late = False
            for row in hmi.SETTINGS:
                if row.register:
                    self.push_limits(row, 0)
        if self._range_retry_s is not None and now_s >= self._range_retry_s:
            self.apply_range(now_s)

    # -- speed limits

    def push_limits(self, row: Setting, client: int) -> Future[None]:
        """Give the loop one kind of speed limit; done when it took it, Refused when not (then it goes out again)."""
        values = [_percent(self._store.get(name), row) for name in row.names(hmi.MAP_AXES)]
        values += [min(values)] * (MAX_AXES - len(values))      # axes beyond the map have no keys of their own
        return self._push(CommandKind.SPEED_LIMITS, client, mask=(1 << len(values)) - 1, values=values,
                          value=float(row.register), refused=self._limits_refused)

    def _limits_refused(self, refused: Refused) -> None:
        if refused.notice is not Notice.NO_LOOP:  # that one still waits in the ring
            self._limits_late = True

    # -- range of motion

    @property
    def range_on(self) -> bool:
        """Whether the range of motion is switched on."""
        return self._store.get(RANGE_ON) is True

    def ranges_deg(self) -> list[tuple[float, float]]:
        """Stored range of every axis, inside its hard limits, which an axis without a stored one has."""
        return [self.clipped(axis, self._store.get(f"range_minimum_deg.{axis + 1}"),
                             self._store.get(f"range_maximum_deg.{axis + 1}")) for axis in range(self.facts.axes)]

    def clipped(self, axis: int, low: Value, high: Value) -> tuple[float, float]:
        """A range inside the hard limits of a 0-based axis; (minimum, maximum) not in order when there is nothing."""
        facts = self.facts.axis[axis]
        if not _is_number(low) or not _is_number(high):
            return facts.minimum_deg, facts.maximum_deg
        return max(low, facts.minimum_deg), min(high, facts.maximum_deg)

    def apply_range(self, now_s: float) -> None:
        """Give the loop the stored range, and whether it is on."""
        self._range_retry_s, self.problem = None, ""
        if not self.facts.axes:
            return
        self._range_asked += 1
        asked, on, ranges = self._range_asked, self.range_on, self.ranges_deg()

        def failed(why: str) -> None:
            if asked == self._range_asked:
                self._range_retry_s = now_s + RETRY_S
                self.problem = f"the range of motion is on, but not in force: {why}" if on else ""

        if empty := [axis + 1 for axis, (low, high) in enumerate(ranges) if not low < high]:
            failed(f"the one saved for axis {empty[0]} is outside this arm's limits; save it again")
            return
        if on:
            self.problem = "the range of motion is on and is being given to the control loop"

        def answered(done: Future[None]) -> None:
            error = done.exception()
            if error is not None:
                failed(str(error))
            elif asked == self._range_asked:
                self.problem = ""

        both_of([self.push_range(ranges, 0), self.push_on(on, 0)]).add_done_callback(answered)

    def push_range(self, ranges_deg: Sequence[tuple[float, float]], client: int) -> Future[None]:
        """Give the loop a range for every axis; done when it took both ends."""
        mask = (1 << len(ranges_deg)) - 1
        return both_of([self._push(kind, client, mask=mask, values=[pair[end] for pair in ranges_deg])
                     for end, kind in enumerate((CommandKind.ROM_MINIMUM, CommandKind.ROM_MAXIMUM))])

    def push_on(self, on: bool, client: int) -> Future[None]:
        """Have the loop enforce the range on every axis, or on none."""
        return self._push(CommandKind.ROM_ENABLE, client, mask=(1 << self.facts.axes) - 1 if on else 0)

    # -- the ring

    def _push(self, kind: CommandKind, client: int, *, mask: int, values: Sequence[float] = (), value: float = 0.0,
              refused: Callable[[Refused], None] | None = None) -> Future[None]:
        taken: Future[None] = Future()

        def verdict(found: Refused | None) -> None:
            if found is not None and refused is not None:
                refused(found)
            if not taken.done():
                if found is None:
                    taken.set_result(None)
                else:
                    taken.set_exception(found)

        sequence = self._core.push(kind, client=client, mask=mask, values=values, value=value)
        if sequence:
            self._follow(sequence, verdict)
        else:
            verdict(Refused(Notice.BUSY, "", "not in force yet: the command ring is full; it is given again by itself"))
        return taken


def both_of(answers: Sequence[Future[None]]) -> Future[None]:
    """Done when all are, with the first failure."""
    joined: Future[None] = Future()

    def answered(_: Future[None]) -> None:
        if all(answer.done() for answer in answers) and not joined.done():
            error = next((found for answer in answers if (found := answer.exception()) is not None), None)
            if error is None:
                joined.set_result(None)
            else:
                joined.set_exception(error)

    for answer in answers:
        answer.add_done_callback(answered)
    return joined


def then(answer: Future[None], follow: Callable[[], Future[None]]) -> Future[None]:
    """What `follow` begins once `answer` succeeded; its failure otherwise."""
    joined: Future[None] = Future()

    def pass_on(done: Future[None]) -> None:
        error = done.exception()
        if error is None:
            joined.set_result(None)
        else:
            joined.set_exception(error)

    def answered(done: Future[None]) -> None:
        if done.exception() is None:
            follow().add_done_callback(pass_on)
        else:
            pass_on(done)

    answer.add_done_callback(answered)
    return joined


def _is_number(value: Value) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _percent(value: Value, row: Setting) -> float:
    """A stored speed limit; what a damaged file may hold instead of one becomes the default."""
    if not _is_number(value) or not 0 <= value <= 100:
        value = row.default
    assert isinstance(value, int | float)
    return float(value)
