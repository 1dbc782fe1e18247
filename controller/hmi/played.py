"""A stored exercise, or a scenario of several, as steps for the sequencer: every position checked before the first
moves.

Thread contract: HMI thread only.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from controller.exercises import Exercise, Row
from controller.hmi.clients import Refused
from controller.hmi.sequence import MadeSteps, Place, Step
from controller.spec import rest
from controller.spec.hmi import Notice

if TYPE_CHECKING:
    from controller._core import Core

# From the end of a trajectory to the loop's "on target" and on to the next command: 0.02..0.25 s, this is the mean of
# 200 random moves of the simulated arm.
SETTLING_S = 0.1
NO_SPEED = -1.0  # Core.estimate
POSITIONS_HIGHEST = 1000  # of all exercises of a scenario together, so that the estimate takes some milliseconds
Check = Callable[[int, float], None]


class Element(msgspec.Struct):
    """What is read of an element of a scenario's array; whatever else a page keeps in it is left alone."""

    exercise: str
    rep: int | None = None


class Piece(msgspec.Struct, frozen=True):
    """One exercise with its repetitions: the steps of one repetition, and the order_pos of each."""

    name: str
    repetitions: int
    steps: tuple[Step, ...]
    order: tuple[int, ...]

    def __len__(self) -> int:
        return self.repetitions * len(self.steps)


class Pieces(MadeSteps):
    """The steps of several pieces, one behind the other, without a copy per repetition."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = tuple(pieces)
        self._begins = [0, *itertools.accumulate(map(len, self.pieces))]

    def __len__(self) -> int:
        return self._begins[-1]

    def made(self, number: int) -> Step:
        piece, inside = self.find(number)
        return self.pieces[piece].steps[inside % len(self.pieces[piece].steps)]

    def left_alone(self, axes: int) -> list[int]:
        """The axes (1-based) of an arm of so many that no position moves: they stay where they are. A stored position
        has rest.AXES columns, an arm may have more axes."""
        moved = {axis for piece in self.pieces for step in piece.steps for axis in step.targets}
        return [axis + 1 for axis in range(axes) if axis not in moved]

    def find(self, number: int) -> tuple[int, int]:
        """(piece, step inside it) of a step; IndexError beyond the last."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        piece = bisect.bisect_right(self._begins, number) - 1
        return piece, number - self._begins[piece]

    def place(self, number: int) -> Place:
        index, inside = self.find(number)
        piece = self.pieces[index]
        repetition, position = divmod(inside, len(piece.steps))
        return Place(repetition + 1, piece.repetitions, position + 1, len(piece.steps))


def named(content: str, name: str) -> list[Element]:
    """The exercises that a scenario plays: elements of its array that are objects with a text `exercise`, in their
    order, and `rep` in place of the exercise's own repetitions where it is given. Refused when it names none."""
    found = []
    for i, raw in enumerate(msgspec.json.decode(content, type=list[msgspec.Raw])):
        value = msgspec.json.decode(raw)
        if not isinstance(value, dict) or "exercise" not in value:
            continue
        try:
            element = msgspec.convert(value, Element)
        except msgspec.ValidationError as error:
            raise Refused(Notice.VALUE, "scenario", f"scenario {name!r}, element {i + 1}: {error}; allowed is "
                                                    "exercise: a "
                          f"name, rep: {rest.ALLOWED['rep']}") from None
        if element.rep is not None and not 1 <= element.rep <= rest.REP_HIGHEST:
            raise Refused(Notice.VALUE, "scenario", f"scenario {name!r}, element {i + 1}: rep {element.rep}; allowed "
                          f"is {rest.ALLOWED['rep']}")
        found.append(msgspec.structs.replace(element, exercise=element.exercise.strip()))
    if not found:
        raise Refused(Notice.VALUE, "scenario", f"scenario {name!r} names no exercise: it has nothing to be played. An "
                      "element {\"exercise\": NAME, \"rep\": 1..100} of its array is what is played")
    return found


def pieces(exercises: Sequence[tuple[Exercise, int | None]], axes: int, check: Check) -> Pieces:
    """Steps of exercises, each with other repetitions than its own where they are given, for an arm of `axes` axes;
    `check(axis, degrees)` raises ValueError where a target is not allowed. Refused names exercise, position and
    axis."""
    if (count := sum(len(exercise.rows) for exercise, _ in exercises)) > POSITIONS_HIGHEST:
        raise Refused(Notice.VALUE, "scenario", f"{count} positions in all its exercises: {POSITIONS_HIGHEST} are "
                                                "allowed")
    made = Pieces([_piece(exercise, exercise.rep if rep is None else rep, axes, check) for exercise, rep in exercises])
    if not any(step.targets for piece in made.pieces for step in piece.steps):
        raise Refused(Notice.VALUE, "exercise", "no position has a target for any axis: there is nothing to move to")
    return made


def _piece(exercise: Exercise, repetitions: int, axes: int, check: Check) -> Piece:
    if not exercise.rows:
        raise Refused(Notice.VALUE, "exercise", f"exercise {exercise.name!r} has no positions: store some first")
    steps = tuple(_step(exercise.name, row, axes, check) for row in exercise.rows)
    return Piece(exercise.name, repetitions, steps, tuple(row.order_pos for row in exercise.rows))


def _step(name: str, row: Row, axes: int, check: Check) -> Step:
    where = f"exercise {name!r}, position {row.order_pos}"
    targets: dict[int, float] = {}
    for axis, target_deg in enumerate(row.axes_deg):
        if target_deg is None or (axis >= axes and target_deg == 0.0):
            continue    # pages of arms with fewer axes may keep a 0 in the columns that are left
        if axis >= axes:
            raise Refused(Notice.VALUE, "exercise", f"{where}: axis_{axis + 1} is {target_deg:g}, the arm has {axes} "
                                                    "axes: "
                          "clear it")
        try:
            check(axis, target_deg)
        except ValueError as error:
            raise Refused(Notice.VALUE, "exercise", f"{where}: {error}") from None
        targets[axis] = target_deg
    if targets and row.speed_percent <= 0.0:
        raise Refused(Notice.VALUE, "exercise", f"{where}: speed 0 %: it would never be reached; allowed is above 0, "
                      f"up to {rest.SPEED_HIGHEST_PERCENT}")
    return Step(f"{name}, position {row.order_pos}", targets, row.speed_percent, row.pause_s)


class Times:
    """How long every step takes, pauses included: one repetition from where the arm stands, the others from where the
    repetition before ended, which are all alike. Refused where a step has no speed or no trajectory."""

    def __init__(self, core: Core, steps: Pieces, start_deg: Sequence[float], limits_deg_s: Sequence[float]) -> None:
        self.limits_deg_s = tuple(limits_deg_s)
        self._steps = steps
        self._first: list[list[float]] = []     # seconds from a step to the end of its repetition
        self._others: list[list[float]] = []
        self._after: list[float] = []           # seconds of the pieces behind
        place = list(start_deg)
        for piece in steps.pieces:
            self._first.append(_from_the_end(_seconds(core, piece, place, limits_deg_s)))
            self._others.append(_from_the_end(_seconds(core, piece, place, limits_deg_s)) if piece.repetitions > 1
                                else [0.0])
        left_s = 0.0
        for index in reversed(range(len(steps.pieces))):
            self._after.insert(0, left_s)
            left_s += self._first[index][0] + (steps.pieces[index].repetitions - 1) * self._others[index][0]
        self.total_s = left_s

    def remaining_s(self, number: int) -> float:
        """From the beginning of a step to the end; 0 behind the last."""
        if number >= len(self._steps):
            return 0.0
        index, inside = self._steps.find(number)
        piece = self._steps.pieces[index]
        repetition, position = divmod(inside, len(piece.steps))
        here = self._others[index] if repetition else self._first[index]
        return here[position] + (piece.repetitions - 1 - repetition) * self._others[index][0] + self._after[index]


def estimated(steps: Pieces, times: Times, axes: int) -> dict[str, object]:
    """What `play` and `estimate` are answered with."""
    return {"estimate_s": round(times.total_s, 1), "steps": len(steps), "axes_left_alone": steps.left_alone(axes)}


def _seconds(core: Core, piece: Piece, place: list[float], limits_deg_s: Sequence[float]) -> Iterator[float]:
    """Seconds of each step of one repetition from `place` on, which is then where it ends."""
    axes = range(len(place))
    moves = [(tuple(step.targets.get(axis) for axis in axes), step.speed_percent)
             for step in piece.steps if step.targets]
    planned = iter(core.estimate(place, moves, limits_deg_s))
    found = []
    for step in piece.steps:
        planned_s = next(planned) if step.targets else 0.0
        if planned_s < 0.0:
            why = ("the speed limits in force leave an axis no speed" if planned_s == NO_SPEED
                   else "no trajectory leads there")
            raise Refused(Notice.VALUE, "exercise", f"exercise {step.text}: {why}")
        found.append(step.pause_s + (planned_s + SETTLING_S if planned_s > 0.0 else 0.0))
        for axis, target_deg in step.targets.items():
            place[axis] = target_deg
    return iter(found)


def _from_the_end(seconds: Iterator[float]) -> list[float]:
    return list(itertools.accumulate(reversed(list(seconds))))[::-1]

