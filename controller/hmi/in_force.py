"""What the control loop must know of the settings: speed limits, weights, gains, range of motion; given, kept given.

The loop starts with 100 % and no range; after each bring-up it gets everything again. What it did not take goes out
again by itself. While a range of motion that is on is not in force, `problem` says why, while speed limits are not,
`limits_problem`, and nothing may move.
Thread contract: HMI thread only; it alone pushes commands into the core.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeGuard

from controller.arm import ArmFacts
from controller.hmi.clients import Refused
from controller.spec import hmi, registers
from controller.spec.hmi import Notice, Setting
from controller.spec.modes import CommandKind, CompliantPhase
from controller.spec.telegram import MAX_AXES
from controller.store import Store, Value

if TYPE_CHECKING:
    from controller._core import Core, State

RETRY_S = 0.25  # a range that the loop refuses: its arm is not there yet, or somebody has to move it
LENGTHS_RETRY_S = 1.0  # lengths that it refuses: the arm moves
SAME_DEG = 1e-3
SPEEDS = {registers.ADVANCED_SPEED, registers.USER_SPEED, registers.MOVEMENT_SPEED}
WEIGHTS = {registers.UPPER_ARM_WEIGHT, registers.FOREARM_WEIGHT}
RANGE_ON = "range_of_motion_on"
LIMITS = tuple(row for row in hmi.SETTINGS if row.register)
Follow = Callable[[int, Callable[[Refused | None], None]], None]


class InForce:
    """`follow` is asked for the loop's verdict on a command of the server itself, `latest` gives its newest record."""

    def __init__(self, core: Core, store: Store, follow: Follow, latest: Callable[[], State | None]) -> None:
        self.facts = ArmFacts("", "", ())
        self.problem = ""
        self._core, self._store, self._follow, self._latest = core, store, follow, latest
        self._limits_asked: dict[str, int] = {}     # how often each kind was given: the latest one's verdict counts
        self._limits_missing: set[str] = set()      # kinds that the loop did not take as they are stored
        self._limits_late = self._lengths_late = False
        self._lengths_retry_s = 0.0
        self._range_retry_s: float | None = None
        self._range_asked = 0  # counts the times the stored range was given: only the latest one's verdict counts

    def apply(self, now_s: float) -> None:
        """Give the loop everything."""
        self._limits_late = False
        for row in LIMITS:
            self.push_limits(row, 0)
        self.push_lengths(0)
        self.apply_range(now_s)

    def tick(self, now_s: float) -> None:
        """Give again what the loop did not take: it is stored, so it must come into force. Not what it would only
        refuse again: while a hand leads the arm its load does not change."""
        if self._limits_late and not (self._led and self._only_weights_missing):
            self._limits_late = False
            for row in LIMITS:
                if self._led and row.register in WEIGHTS:
                    self._limits_late |= row.name in self._limits_missing
                else:
                    self.push_limits(row, 0)
        if self._lengths_late and not self._led and now_s >= self._lengths_retry_s:
            self._lengths_retry_s = now_s + LENGTHS_RETRY_S
            self.push_lengths(0)
        if self._range_retry_s is not None and now_s >= self._range_retry_s:
            self.apply_range(now_s)

    @property
    def _led(self) -> bool:
        """Whether a hand leads the arm, or is about to."""
        state = self._latest()
        return state is not None and state.compliant_phase != CompliantPhase.NONE

    @property
    def _only_weights_missing(self) -> bool:
        return all(hmi.SETTING[name].register in WEIGHTS for name in self._limits_missing)

    @property
    def late(self) -> bool:
        """Whether a connected arm does not have yet what is stored."""
        return bool(self.facts.axes) and bool(self._limits_missing or self._lengths_late or self.problem)

    @property
    def limits_problem(self) -> str:
        """Why nothing may move as long as stored speed limits are not in force, "" when they are."""
        if not self.facts.axes or not self._limits_missing:
            return ""
        names = ", ".join(sorted(self._limits_missing))
        if self._led and self._only_weights_missing:
            return (f"stored weights are not in force yet ({names}): the loop takes them when no hand leads the arm; "
                    "switch compliant mode off")
        return (f"stored speed limits, weights or gains are not in force yet ({names}): they are given to the loop "
                "until it has them")

    # -- speed limits, weight shares, dead bands and gains

    def push_limits(self, row: Setting, client: int) -> Future[None]:
        """Give the loop what has a register; done when it took it, Refused when not (then it goes out again)."""
        values = [_number(self._store.get(name), row) for name in row.names(hmi.MAP_AXES)]
        speed = row.register in SPEEDS
        if row.span != "one":   # axes beyond the map have no keys of their own
            values += [min(values) if speed else values[-1]] * (MAX_AXES - len(values))
        kind = CommandKind.SPEED_LIMITS if speed else CommandKind.LOAD_SETTINGS
        asked = self._limits_asked[row.name] = self._limits_asked.get(row.name, 0) + 1

        def answered(found: Refused | None) -> None:
            if asked != self._limits_asked[row.name]:
                return
            if found is None or found.notice is Notice.NO_LOOP:
                # That one still waits in the ring: it is taken before any motion that is asked for from now on.
                self._limits_missing.discard(row.name)
            else:
                self._limits_missing.add(row.name)
                self._limits_late = True

        return self._push(kind, client, mask=(1 << len(values)) - 1, values=values, value=float(row.register),
                          answered=answered)

    # -- lengths

    @property
    def lengths_mm(self) -> tuple[float, float]:
        """The stored adjustments: by how much upper arm and forearm are longer than configured."""
        upper_arm_mm, forearm_mm = (_length(self._store.get(name), hmi.SETTING[name]) for name in hmi.LENGTHS)
        return upper_arm_mm, forearm_mm

    def push_lengths(self, client: int) -> Future[None]:
        """Give the loop the length adjustments; what it did not take goes out again."""
        self._lengths_late = False
        values = list(self.lengths_mm)
        return self._push(CommandKind.ARM_LENGTHS, client, mask=(1 << len(values)) - 1, values=values,
                          answered=self._lengths_answered)

    def _lengths_answered(self, refused: Refused | None) -> None:
        if refused is not None and refused.notice is not Notice.NO_LOOP:
            self._lengths_late = True

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

    def target_ranges_deg(self) -> list[tuple[float, float]]:
        """Where targets are allowed, per axis: its range, less the margin before the hard limits."""
        return [(max(low, facts.target_minimum_deg), min(high, facts.target_maximum_deg))
                for (low, high), facts in zip(self.ranges_deg(), self.facts.axis, strict=True)]

    def apply_range(self, now_s: float) -> None:
        """Give the loop the stored range, and whether it is on."""
        self._range_retry_s, self.problem = None, ""
        if not self.facts.axes:
            return
        self._range_asked += 1
        asked, on, targets = self._range_asked, self.range_on, self.target_ranges_deg()

        def failed(why: str) -> None:
            if asked == self._range_asked:
                self._range_retry_s = now_s + RETRY_S
                in_force = on and self._enforces(targets)  # the loop keeps it over a bring-up
                self.problem = "" if in_force or not on else (
                    f"the range of motion is on, but not in force: nothing moves until it is or is switched off: {why}")

        def answered(done: Future[None]) -> None:
            error = done.exception()
            if error is not None:
                failed(str(error))
            elif asked == self._range_asked:
                self.problem = ""

        if empty := [axis + 1 for axis, (low, high) in enumerate(targets) if not low < high]:
            failed(f"the one saved for axis {empty[0]} leaves no room inside this arm's limits; save it again")
            return
        if on and not self._enforces(targets):
            self.problem = "the range of motion is on and is being given to the control loop"
        self.push_range(self.ranges_deg(), on, 0).add_done_callback(answered)

    def range_taken(self) -> None:
        """The loop has just taken what is stored now."""
        self._range_asked += 1
        self._range_retry_s, self.problem = None, ""

    def push_range(self, ranges_deg: Sequence[tuple[float, float]], on: bool, client: int) -> Future[None]:
        """Give the loop a range for every axis, and whether it is to enforce them; done when it took all of it."""
        mask = (1 << len(ranges_deg)) - 1
        answers = [self._push(kind, client, mask=mask, values=[pair[end] for pair in ranges_deg])
                   for end, kind in enumerate((CommandKind.ROM_MINIMUM, CommandKind.ROM_MAXIMUM))]
        answers.append(self._push(CommandKind.ROM_ENABLE, client, mask=mask if on else 0))
        taken: Future[None] = Future()

        def answered(_: Future[None]) -> None:
            if not all(answer.done() for answer in answers) or taken.done():
                return
            error = next((found for answer in answers if (found := answer.exception()) is not None), None)
            if error is None:
                taken.set_result(None)
            else:
                taken.set_exception(self._explained(error, ranges_deg) if on else error)

        for answer in answers:
            answer.add_done_callback(answered)
        return taken

    def _explained(self, error: BaseException, ranges_deg: Sequence[tuple[float, float]]) -> BaseException:
        """The loop's refusal with the axes that stand outside."""
        state = self._latest()
        if state is None or not isinstance(error, Refused):
            return error
        outside = [f"axis {axis + 1} stands at {deg:.1f} deg, its range is {low:g}..{high:g} deg"
                   for axis, ((low, high), deg) in enumerate(zip(ranges_deg, state.position_deg, strict=False))
                   if not low <= deg <= high]
        return Refused(error.notice, error.field, "; ".join((error.message, *outside)))

    def _enforces(self, targets_deg: Sequence[tuple[float, float]]) -> bool:
        """Whether the loop already holds every axis to this range."""
        state = self._latest()
        return state is not None and len(state.rom_enforced) == len(targets_deg) and all(
            enforced and abs(low - minimum) < SAME_DEG and abs(high - maximum) < SAME_DEG
            for enforced, minimum, maximum, (low, high) in zip(
                state.rom_enforced, state.range_minimum_deg, state.range_maximum_deg, targets_deg, strict=True))

    # -- the ring

    def _push(self, kind: CommandKind, client: int, *, mask: int, values: Sequence[float] = (), value: float = 0.0,
              answered: Callable[[Refused | None], None] | None = None) -> Future[None]:
        taken: Future[None] = Future()

        def verdict(found: Refused | None) -> None:
            if found is not None and found.notice is Notice.REFUSED and self._led and (
                    kind is CommandKind.ARM_LENGTHS or value in WEIGHTS):
                found = Refused(Notice.REFUSED, "", "stored, but not in force while a hand leads the arm: it comes "
                                "into force by itself when compliant mode is switched off")
            if answered is not None:
                answered(found)
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


def _length(value: Value, row: Setting) -> float:
    """A stored length; what a damaged file may hold instead of one becomes none."""
    return float(value) if _is_number(value) and row.low <= value <= row.high else 0.0


def _number(value: Value, row: Setting) -> float:
    """A stored number; what a damaged file may hold instead of one becomes the default."""
    if not _is_number(value) or not row.low <= value <= row.high:
        value = row.default
    assert isinstance(value, int | float)
    return float(value)
