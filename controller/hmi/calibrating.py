"""Torque calibration runs: from what a client asks for to a plan for the sequencer that measures at every point.

Move, rest, average positions and torques over every telegram of the measuring time, row on disk, next point.
Thread contract: HMI thread only; files are written by a worker of its own, and the next point waits for the row.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from controller import calibration
from controller.arm import ArmFacts
from controller.calibration import Adjustment, Description, GridAxis, Points, RunFile, Unfit
from controller.history_words import Note
from controller.hmi import messages
from controller.hmi.clients import Client, Refused
from controller.hmi.played import SETTLING_S
from controller.hmi.player import Asked, Player
from controller.hmi.sequence import Ended, MadeSteps, Place, Plan, Sequencer, Step
from controller.spec.history import Kind
from controller.spec.hmi import ACTION, Notice
from controller.worker import Busy, Worker

if TYPE_CHECKING:
    from controller._core import Core, Meter, State

T = TypeVar("T")
DISK_S = 10.0
LATE_S = 3.0  # 10,000 rows are read and checked in a second on a small board
CLOSE_LIMIT_S = 0.3  # of the half second that the server has for its end
WAITING = 16


class Calibrator:
    """`folder` is where runs are kept, None nowhere; `player` loads, checks that it is still wanted, and begins;
    `lengths_mm` are the stored adjustments of upper arm and forearm."""

    def __init__(self, core: Core, sequencer: Sequencer, player: Player, folder: Path | None, *,
                 latest: Callable[[], State | None], facts: Callable[[], ArmFacts], check: Callable[[int, float], None],
                 lengths_mm: Callable[[], tuple[float, float]], note: Note) -> None:
        self._core, self._sequencer, self._player, self._folder = core, sequencer, player, folder
        self._latest, self._facts, self._check, self._note = latest, facts, check, note
        self._lengths_mm = lengths_mm
        self._worker = Worker("calibration", WAITING)

    def close(self) -> None:
        """Finish the row that is being written, where that does not take long."""
        self._worker.close(CLOSE_LIMIT_S)

    def runs(self, client: Client, now_s: float) -> tuple[Future[dict[str, object]]]:
        """The runs on disk."""
        self._player.refuse(client, ACTION["calibrations"], now_s)
        folder = self._kept_in()
        return self._player.ask(client, self._in_worker(lambda: calibration.runs(folder)),
                                lambda asked, found: self._player.answer(asked, {"calibrations": found}))

    def calibrate(self, client: Client, command: messages.Calibrate, now_s: float) -> tuple[Future[dict[str, object]]]:
        """Begin a run, or go on with one at its first missing point."""
        self._player.refuse(client, ACTION["calibrate"], now_s)
        folder = self._kept_in()
        state = self._latest()
        if state is None:
            raise Refused(Notice.NO_LOOP, "", Notice.NO_LOOP.doc)
        if command.resume:
            if command.grid is not None:
                raise Refused(Notice.VALUE, "grid", "allowed only without resume: a run goes on with the grid it was "
                              "begun with")
            name = command.name
            opening = self._in_worker(lambda: RunFile.resume(folder, name))
        else:
            description = self._described(command, state)
            self._check_all(description, 0, state)
            opening = self._in_worker(lambda: RunFile.begin(folder, command.name, description))

        def opened(asked: Asked, file: RunFile) -> None:
            try:
                self._begin(asked, command.name, file)
            except BaseException:
                self._abandon(file)
                raise

        return self._player.ask(client, opening, opened, unwanted=self._abandon)

    def _begin(self, asked: Asked, name: str, file: RunFile) -> None:
        state = self._player.still_wanted(asked, LATE_S)
        description = file.description
        if len(description.grid) != state.axes or description.serial != self._facts().serial:
            raise Refused(Notice.VALUE, "name", f"run {name!r} was begun on arm {description.serial!r} with "
                          f"{len(description.grid)} axes, this is arm {self._facts().serial!r} with {state.axes}")
        if description.adjustment != (now := self._adjustment()):
            raise Refused(Notice.VALUE, "name", f"run {name!r} was begun with {description.adjustment}; now it is "
                          f"{now}: set it back, or begin a run of another name")
        if file.measured == description.points:
            raise Refused(Notice.VALUE, "name", f"run {name!r} is complete: {file.measured} of {description.points} "
                                                "points")
        times = self._check_all(description, file.measured, state)
        self._player.begin(asked.client, "calibrate")
        plan = CalibrationPlan(name, file, times, meter=self._core.meter(), worker=self._worker,
                               lengths_mm=self._lengths_mm, note=self._note, who=asked.client.name)
        begun = self._sequencer.start(asked.client, plan, state, self._player.now_s)
        answer = {"estimate_s": round(times.remaining_s(0, state) or 0.0, 1), "points": description.points,
                  "measured": file.measured, "file": str(file.path)}

        def told(done: Future[None]) -> None:
            ended = Refused(Notice.ENDED, "", "a stop or another command came meanwhile: nothing was begun")
            self._player.answer(asked, done.exception() or (answer if plan.begun else ended))

        begun.add_done_callback(told)

    def _adjustment(self) -> Adjustment:
        """As the arm is set now."""
        upper_arm_mm, forearm_mm = self._lengths_mm()
        facts = self._facts()
        return Adjustment(upper_arm_mm=upper_arm_mm, forearm_mm=forearm_mm,
                          spring_offset_counts=facts.spring_offset_counts,
                          spring_counts_per_deg=facts.spring_counts_per_deg)

    def _described(self, command: messages.Calibrate, state: State) -> Description:
        axes = self._facts().axes
        if not axes:
            raise Refused(Notice.BLOCKED, "", "the arm is not connected")
        if not command.grid:
            raise Refused(Notice.VALUE, "grid", "missing; allowed is an object of axis number and {start_deg, "
                          "stop_deg, step_deg}, or resume: true")
        grid = [GridAxis(round(deg, 2), round(deg, 2), 1.0) for deg in state.position_deg]
        for key, given in command.grid.items():
            axis = int(key) - 1
            if axis >= axes:
                raise Refused(Notice.VALUE, f"grid.{key}", f"axis {key} does not exist, the arm has {axes} axes")
            grid[axis] = GridAxis(given.start_deg, given.stop_deg, given.step_deg)
        try:
            return calibration.described(grid, serial=self._facts().serial, speed_percent=command.speed_percent,
                                         settle_s=command.settle_s, measure_s=command.measure_s,
                                         there_and_back=command.there_and_back, adjustment=self._adjustment())
        except Unfit as error:
            raise Refused(Notice.VALUE, "grid", str(error)) from None

    def _check_all(self, description: Description, measured: int, state: State) -> GridTimes:
        """Every point has to be inside the limits, and to be reached; the times of what is left."""
        for axis, grid in enumerate(description.grid):
            for deg in (min(values := grid.values_deg()), max(values)):
                try:
                    self._check(axis, deg)
                except ValueError as error:
                    raise Refused(Notice.VALUE, f"grid.{axis + 1}", str(error)) from None
        return GridTimes(self._core, description, measured, state)

    def _kept_in(self) -> Path:
        if self._folder is None:
            raise Refused(Notice.BLOCKED, "", "there is no folder for calibration runs: set store.path")
        return self._folder

    def _abandon(self, file: RunFile) -> None:
        with contextlib.suppress(Busy):     # the program is ending, and that closes it
            self._worker.submit(file.abandon)

    def _in_worker(self, work: Callable[[], T]) -> Future[T]:
        return self._player.in_hmi_thread(lambda: self._worker.submit(lambda: _explained(work)))


def _explained(work: Callable[[], T]) -> T:
    try:
        return work()
    except Unfit as error:
        raise Refused(Notice.VALUE, "name", str(error)) from None
    except OSError as error:
        raise Refused(Notice.BLOCKED, "", f"calibration file: {error}; check the folder's rights and free "
                                          "space") from None


class GridSteps(MadeSteps):
    """The points of a run that are left, as steps."""

    def __init__(self, description: Description, measured: int) -> None:
        self._points, self._description, self._measured = Points(description), description, measured

    def __len__(self) -> int:
        return len(self._points) - self._measured

    def made(self, number: int) -> Step:
        if number < 0:
            raise IndexError(number)
        point = self._points[number + self._measured]
        return Step(f"point {number + self._measured + 1}", dict(enumerate(point)),
                    self._description.speed_percent, self._description.settle_s)


class GridTimes:
    """How long the steps that are left take; Refused where one cannot be made. From point to point one axis moves by
    one step, so that a motion per axis is planned, and their numbers are counted."""

    def __init__(self, core: Core, description: Description, measured: int, state: State) -> None:
        self._core, self._description, self._measured = core, description, measured
        self._points = Points(description)
        self._limits_deg_s: tuple[float, ...] = ()
        self._first_s = 0.0
        self._step_s: list[float] = []
        self._plan(state)

    def remaining_s(self, number: int, state: State) -> float | None:
        """From the beginning of a step to the end; None while the speed limits leave an axis no speed."""
        if state.speed_limit_deg_s != self._limits_deg_s:
            try:
                self._plan(state)
            except Refused:
                return None
        point, points = self._measured + number, len(self._points)
        each_s = self._description.settle_s + self._description.measure_s
        before = self._points.moves(min(point + (number == 0), points))
        moves_s = sum((all_ - gone) * seconds for all_, gone, seconds in zip(
            self._points.moves(points), before, self._step_s, strict=True))
        return moves_s + (points - point) * each_s + (self._first_s if number == 0 else 0.0)

    def _plan(self, state: State) -> None:
        percent = self._description.speed_percent
        first = self._points[self._measured]
        planned = self._core.estimate(state.position_deg, [(first, percent)], state.speed_limit_deg_s)
        for axis, grid in enumerate(self._description.grid):
            target = [grid.start_deg + grid.step_deg if i == axis and grid.count > 1 else other.start_deg
                      for i, other in enumerate(self._description.grid)]
            start = [other.start_deg for other in self._description.grid]
            planned += self._core.estimate(start, [(target, percent)], state.speed_limit_deg_s)
        if min(planned) < 0.0:
            raise Refused(Notice.VALUE, "grid", "the speed limits in force leave an axis no speed, or no trajectory "
                          "leads to a point")
        self._first_s, *self._step_s = [seconds + SETTLING_S if seconds > 0.0 else 0.0 for seconds in planned]
        self._limits_deg_s = state.speed_limit_deg_s


class CalibrationPlan(Plan):
    """Measures at every point, and goes on when the row is on disk."""

    kind = "calibration"

    def __init__(self, name: str, file: RunFile, times: GridTimes, *, meter: Meter, worker: Worker,
                 lengths_mm: Callable[[], tuple[float, float]], note: Note, who: str) -> None:
        super().__init__(name, GridSteps(file.description, file.measured))
        self._file, self._times, self._meter, self._worker = file, times, meter, worker
        self._lengths_mm, self._note, self._who = lengths_mm, note, who
        self.begun = False      # whether the loop has taken a step: before that it may still be refused
        self._measured = file.measured
        self._points = file.description.points
        self._until_s: float | None = None
        self._row: Future[None] | None = None
        self._row_s = 0.0

    def place(self, number: int) -> Place:
        return Place(1, 1, number + self._measured + 1, self._points)

    def remaining_s(self, number: int, state: State) -> float | None:
        return self._times.remaining_s(number, state)

    def moving(self, number: int, now_s: float) -> None:
        if not self.begun:
            self.begun = True
            self._note(Kind.START, f"calibration run {self.name!r} begins at point {self._measured + 1} of "
                                   f"{self._points}", who=self._who)

    def tick(self, now_s: float) -> None:
        if self._until_s is not None:
            self._meter.take()

    def ready(self, number: int, now_s: float) -> bool:
        if self._row is not None:
            return self._written(now_s)
        before, (upper_arm_mm, forearm_mm) = self._file.description.adjustment, self._lengths_mm()
        if (before.upper_arm_mm, before.forearm_mm) != (upper_arm_mm, forearm_mm):     # a spring's come at a bring-up
            raise Ended(f"the lengths (registers 90, 92) were changed from {before.upper_arm_mm:g} and "
                        f"{before.forearm_mm:g} mm to {upper_arm_mm:g} and {forearm_mm:g} mm: set them back and resume "
                        "the run, or begin one of another name")
        if self._until_s is None:
            self._meter.clear()
            self._until_s = now_s + self._file.description.measure_s
        elif now_s >= self._until_s:
            self._meter.take()
            count, position_deg, torque_counts, _ = self._meter.means()
            if not count:
                raise Ended("no telegram came while it was measured")
            self._until_s, self._row_s = None, now_s
            try:
                self._row = self._worker.submit(lambda: self._file.append(position_deg, torque_counts))
            except Busy as error:
                raise Ended(f"a row could not be saved ({error}); resume the run later") from None
        return False

    def _written(self, now_s: float) -> bool:
        assert self._row is not None
        if not self._row.done():
            if now_s - self._row_s > DISK_S:
                raise Ended(f"the disk has not taken a row for {DISK_S:g} s; resume the run when it works again")
            return False
        row, self._row = self._row, None
        if (error := row.exception()) is not None:
            raise Ended(f"a row could not be saved ({error}): check free space, then resume the run")
        return True

    def paused(self, who: str, now_s: float) -> None:
        self._until_s = None    # what is measured in a pause is not measured as it was asked for

    def ended(self, why: str, now_s: float) -> None:
        if self.begun:
            self._note(Kind.COMMAND, f"calibration run {self.name!r} ended: {why}", who=self._who)
        with contextlib.suppress(Busy):
            self._worker.submit(self._file.close if self.begun else self._file.abandon)
