"""Torque calibration runs on disk: the grid, its points in their order, and one CSV row per point that was measured.

`calibration/NAME.csv` in the state folder has a head, then per point the mean positions of all axes in degrees and
their mean
torques in counts. `NAME.json` beside it says what was asked for, and how the arm was adjusted; it is complete before
the first row, and gone again where the run never begins. Every row is on
disk before the next point begins, so a run that is cut off goes on at the first point that is missing. A last row
that a power failure tore is cut off; anything else that does not fit is refused with its line.
Thread contract: no state; a RunFile belongs to one thread at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from controller.folders import sync_folder
from controller.spec import hmi
from controller.spec.chain import LONGEST_ADJUSTMENT_MM

FOLDER = "calibration"
NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"
NAME_ALLOWED = "1..32 letters without accents, digits, '-' and '_', a letter or digit first"
POINTS_HIGHEST = 10_000
SPEED_PERCENT = 30.0
SETTLE_S, SETTLE_HIGHEST_S = 1.0, 60.0
MEASURE_S, MEASURE_LEAST_S, MEASURE_HIGHEST_S = 0.5, 0.02, 60.0
FORMAT = 2
DRAFT = ".json.new"
FAR_DEG = 2.0  # a row is not of its point when it is further away


Longer = Annotated[float, Meta(ge=0, le=LONGEST_ADJUSTMENT_MM)]
Counts = Annotated[float, Meta(ge=-1e6, le=1e6)]    # as the core takes them


class Unfit(ValueError):
    """A grid or a file that cannot be used; says why and what to do."""


class GridAxis(msgspec.Struct, frozen=True):
    """From start to stop in steps of `step_deg` (0.001 or more), downwards where stop is below start. What is left
    of the way after the last whole step is not measured. The same start and stop: the axis stays there."""

    start_deg: float
    stop_deg: float
    step_deg: float

    def values_deg(self) -> list[float]:
        """Where the axis is measured, in order."""
        way_deg = self.stop_deg - self.start_deg
        steps = math.floor(abs(way_deg) / self.step_deg + 1e-9)
        return [round(self.start_deg + math.copysign(i * self.step_deg, way_deg), 6) for i in range(steps + 1)]

    @property
    def count(self) -> int:
        return math.floor(abs(self.stop_deg - self.start_deg) / self.step_deg + 1e-9) + 1


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """How the arm is set while it is measured: registers 90 and 92, by which upper arm and forearm are longer than
    configured, and registers 230 and 231, the spring of axis 2 at 0 degrees and per degree."""

    upper_arm_mm: Longer = 0.0
    forearm_mm: Longer = 0.0
    spring_offset_counts: Counts = 0.0
    spring_counts_per_deg: Counts = 0.0

    def __str__(self) -> str:
        return (f"upper arm {self.upper_arm_mm:g} mm and forearm {self.forearm_mm:g} mm longer (registers 90, 92), "
                f"spring {self.spring_offset_counts:g} counts and {self.spring_counts_per_deg:g} counts per degree "
                "(registers 230, 231)")


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is: everything that has to be the same when it goes on. `grid` has one entry per axis of the arm; one
    that was not given stands where it stood when the run began."""

    allyarm_calibration: int
    serial: str
    began: str
    grid: tuple[GridAxis, ...]
    speed_percent: float
    settle_s: float
    measure_s: float
    there_and_back: bool
    adjustment: Adjustment

    @property
    def points(self) -> int:
        """How many rows a whole run has."""
        return math.prod(axis.count for axis in self.grid) * (2 if self.there_and_back else 1)


class _Version(msgspec.Struct):
    """What every format of a description has."""

    allyarm_calibration: int


class Points(Sequence[tuple[float, ...]]):
    """All points of a grid in order, the last axis fastest. Every other way along an axis leads back, so that from one
    point to the next one axis moves by one step (a reflected mixed-radix Gray code)."""

    def __init__(self, description: Description) -> None:
        self._values = [axis.values_deg() for axis in description.grid]
        self._counts = [len(values) for values in self._values]
        self._once = math.prod(map(len, self._values))
        self._count = description.points

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> tuple[float, ...]:  # type: ignore[override]
        if not 0 <= number < self._count:
            raise IndexError(number)
        if number >= self._once:
            number = 2 * self._once - 1 - number
        found = []
        for values in reversed(self._values):
            before, digit = divmod(number, len(values))
            found.append(values[len(values) - 1 - digit if before % 2 else digit])
            number = before
        return tuple(reversed(found))

    def moves(self, visited: int) -> list[int]:
        """How often each axis has moved by a step when so many points (0 to all) were visited in order."""
        if visited > self._once:    # on the way back; where it turns nothing moves
            whole, left = self.moves(self._once), self.moves(2 * self._once - visited + 1)
            return [2 * all_ - rest for all_, rest in zip(whole, left, strict=True)]
        found = []
        behind = self._once
        for count in self._counts:
            behind //= count
            last = max(0, visited - 1)
            found.append(last // behind - last // (behind * count))
        return found


def described(grid: Sequence[GridAxis], *, serial: str, speed_percent: float, settle_s: float, measure_s: float,
              there_and_back: bool, adjustment: Adjustment) -> Description:
    """The description of a new run; Unfit when it has too many points, with their number."""
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    made = Description(allyarm_calibration=FORMAT, serial=serial, began=began, grid=tuple(grid),
                       speed_percent=speed_percent, settle_s=settle_s, measure_s=measure_s,
                       there_and_back=there_and_back, adjustment=adjustment)
    if made.points > POINTS_HIGHEST:
        raise Unfit(f"{made.points} points: up to {POINTS_HIGHEST} are allowed; choose larger steps or smaller ranges")
    return made


def head(axes: int) -> str:
    """The first line of a file."""
    return ",".join([*(f"position_{i + 1}_deg" for i in range(axes)), *(f"torque_{i + 1}_counts" for i in range(axes))])


class RunFile:
    """The file of a run, open for more rows and locked against a second writer. `new` is one that was made just now."""

    def __init__(self, path: Path, description: Description, descriptor: int, measured: int) -> None:
        self.path, self.description, self.measured, self.new = path, description, measured, False
        self._descriptor = descriptor

    @classmethod
    def begin(cls, folder: Path, name: str, description: Description) -> RunFile:
        """A new file; Unfit when there is one of that name, OSError when the disk refuses, and then nothing stays."""
        path = _path(folder, name)
        if path.exists() or path.with_suffix(".json").exists():
            raise Unfit(f"there is a calibration run {name!r} already: go on with it (resume), or choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _describe(path, description)
            file = cls.resume(folder, name)
        except BaseException:
            _remove(path)
            raise
        file.new = True
        return file

    @classmethod
    def resume(cls, folder: Path, name: str) -> RunFile:
        """The file of a run that was begun, cut to its whole rows; Unfit when it is none, OSError when the disk
        refuses."""
        path = _path(folder, name)
        description = read_description(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Unfit(f"{path} is being written by a run that goes on") from None
            rows, good_bytes = _whole_rows(path, description)
            if good_bytes == 0:
                os.ftruncate(descriptor, 0)
                _write(descriptor, f"{head(len(description.grid))}\n".encode())
            elif good_bytes != os.fstat(descriptor).st_size:
                os.ftruncate(descriptor, good_bytes)
            os.fsync(descriptor)
            sync_folder(path.parent)
            return cls(path, description, descriptor, len(rows))
        except BaseException:
            os.close(descriptor)
            raise

    def append(self, position_deg: Sequence[float], torque_counts: Sequence[float]) -> None:
        """One more row, on disk when this returns; OSError when it is not, and then nothing of it stays."""
        size = os.fstat(self._descriptor).st_size
        row = ",".join([*(f"{deg:.4f}" for deg in position_deg), *(f"{counts:.3f}" for counts in torque_counts)])
        try:
            _write(self._descriptor, f"{row}\n".encode())
            os.fsync(self._descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, size)
            raise
        self.measured += 1

    def abandon(self) -> None:
        """Close it; what was made for a run that never began is removed, rows that were measured are kept."""
        if self.new and not self.measured:
            _remove(self.path)
        self.close()

    def close(self) -> None:
        """May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_description(path: Path) -> Description:
    """What the run of a CSV file is; Unfit when that is not known."""
    beside = path.with_suffix(".json")
    try:
        data = beside.read_bytes()
        if (version := msgspec.json.decode(data, type=_Version).allyarm_calibration) != FORMAT:
            raise Unfit(f"{beside} has format {version}, this version of the program knows {FORMAT}: begin a run of "
                        "another name")
        found = msgspec.json.decode(data, type=Description)
    except FileNotFoundError:
        raise Unfit(f"there is no calibration run {path.stem!r} in {path.parent}: begin it") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unfit(f"{beside} is damaged ({error}): begin a run of another name") from None
    if not found.grid or any(not (axis.step_deg >= hmi.CALIBRATION_STEP_LEAST_DEG
                                  and math.isfinite(axis.step_deg + axis.start_deg + axis.stop_deg))
                             for axis in found.grid) or found.points > POINTS_HIGHEST:
        raise Unfit(f"{beside} is damaged (its grid makes no sense): begin a run of another name")
    return found


def read_rows(path: Path) -> tuple[int, list[tuple[float, ...]]]:
    """(axes, rows) of any such CSV file, with or without a description: positions in degrees, then torques in counts. A
    torn last row is left out. Unfit names the line."""
    data = path.read_bytes()
    first = data.partition(b"\n")[0].decode(errors="replace")
    axes = (first.count(",") + 1) // 2
    if axes == 0 or first != head(axes):
        raise Unfit(f"{path}, line 1: found {first[:80]!r}; allowed is the head of a calibration run, "
                    f"{head(max(1, axes))!r}")
    return axes, _rows(path, data, axes)[0]


def runs(folder: Path) -> list[dict[str, object]]:
    """Every run on disk: name, file, points measured and in all, when it began; `problem` where it cannot be
    resumed."""
    found = []
    for beside in sorted((folder / FOLDER).glob("*.json")):
        path = beside.with_suffix(".csv")
        entry: dict[str, object] = {"name": beside.stem, "file": str(path), "measured": 0, "points": 0, "began": "",
                                    "problem": ""}
        try:
            description = read_description(path)
            rows = _whole_rows(path, description)[0] if path.exists() else []
            entry |= {"measured": len(rows), "points": description.points, "began": description.began}
        except (Unfit, OSError) as error:
            entry["problem"] = str(error)
        found.append(entry)
    return found


def _describe(path: Path, description: Description) -> None:
    """Write the description beside a run's file, whole or not at all."""
    draft = path.with_suffix(DRAFT)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        _write(descriptor, msgspec.json.format(msgspec.json.encode(description), indent=1) + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(draft, path.with_suffix(".json"))
    sync_folder(path.parent)


def _remove(path: Path) -> None:
    """Leave nothing of a run, as far as the disk allows. What says that there is one goes last: cut off before it, the
    run can still be gone on with, and its name is not lost."""
    with contextlib.suppress(OSError):
        for suffix in (".csv", DRAFT, ".json"):
            path.with_suffix(suffix).unlink(missing_ok=True)
        sync_folder(path.parent)


def _path(folder: Path, name: str) -> Path:
    if not re.fullmatch(NAME_PATTERN, name):
        raise Unfit(f"name {name!r}: allowed are {NAME_ALLOWED}")
    return folder / FOLDER / f"{name}.csv"


def _whole_rows(path: Path, description: Description) -> tuple[list[tuple[float, ...]], int]:
    """Rows of a run's file and the bytes up to the end of the last one, 0 where not even the head is whole."""
    data = path.read_bytes()
    line = f"{head(len(description.grid))}\n".encode()
    if not data.startswith(line):
        if line.startswith(data.rstrip(b"\0")):     # torn, and perhaps made longer than what was written
            return [], 0
        raise Unfit(f"{path}, line 1: not the head of this run: begin a run of another name")
    rows, good_bytes = _rows(path, data, len(description.grid))
    points = Points(description)
    if len(rows) > len(points):
        raise Unfit(f"{path}: {len(rows)} rows, the grid has {len(points)} points")
    for i, row in enumerate(rows):
        if any(abs(deg - wanted) > FAR_DEG for deg, wanted in zip(row, points[i], strict=False)):
            raise Unfit(f"{path}, line {i + 2}: it is not point {i + 1} of the grid "
                        f"({', '.join(f'{deg:g}' for deg in points[i])} deg): somebody has changed the file")
    return rows, good_bytes


def _rows(path: Path, data: bytes, axes: int) -> tuple[list[tuple[float, ...]], int]:
    lines = data.split(b"\n")
    rows: list[tuple[float, ...]] = []
    good_bytes = len(lines[0]) + 1
    for number, line in enumerate(lines[1:-1], 2):
        if (row := _row(line, axes)) is None:
            if number == len(lines) - 1 and not lines[-1].strip(b"\0"):
                break       # the last one
            raise Unfit(f"{path}, line {number}: found {line[:60].decode(errors='replace')!r}; allowed are {2 * axes} "
                        "numbers with commas between them")
        rows.append(row)
        good_bytes += len(line) + 1
    return rows, good_bytes


def _row(line: bytes, axes: int) -> tuple[float, ...] | None:
    try:
        row = tuple(float(text) for text in line.split(b","))
    except ValueError:
        return None
    return row if len(row) == 2 * axes and all(map(math.isfinite, row)) else None


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data):]
