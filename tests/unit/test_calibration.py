"""Grids and files of torque calibration runs: order of the points, and a writer that is killed at any moment."""

from __future__ import annotations

import itertools
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.calibration import Adjustment, GridAxis, Points, RunFile, Unfit, described, head, read_rows, runs

axes = st.builds(lambda start, steps, step, down: GridAxis(start, start + (-1 if down else 1) * steps * step, step),
                 st.integers(-90, 90), st.integers(0, 5), st.sampled_from((0.5, 1.0, 7.5)), st.booleans())


def run_of(*grid: GridAxis, there_and_back: bool = False) -> Points:
    return Points(described(grid, serial="S", speed_percent=30, settle_s=1, measure_s=1,
                            there_and_back=there_and_back, adjustment=Adjustment()))


@given(st.lists(axes, min_size=1, max_size=4), st.booleans())
def test_every_point_comes_once_and_one_axis_moves_by_one_step(grid: list[GridAxis], there_and_back: bool) -> None:
    order = run_of(*grid, there_and_back=there_and_back)
    points, counted = list(order), [0] * len(grid)
    once = set(itertools.product(*(axis.values_deg() for axis in grid)))
    assert set(points) == once
    assert len(points) == len(once) * (2 if there_and_back else 1)
    for i, (one, other) in enumerate(itertools.pairwise(points)):
        moved = [axis for axis, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
        if there_and_back and i == len(once) - 1:
            assert moved == []  # measured once more where the way back begins
        else:
            (axis,) = moved
            assert abs(one[axis] - other[axis]) == pytest.approx(grid[axis].step_deg)
            counted[axis] += 1
        assert order.moves(i + 2) == counted
    assert order.moves(0) == order.moves(1) == [0] * len(grid)


@pytest.mark.parametrize(("axis", "values"), [
    (GridAxis(0, 1, 0.1), [round(0.1 * i, 6) for i in range(11)]), (GridAxis(10, -10, 10), [10, 0, -10]),
    (GridAxis(5, 5, 1), [5]), (GridAxis(0, 10, 4), [0, 4, 8]), (GridAxis(0, -3, 100), [0]),
])
def test_values_of_an_axis(axis: GridAxis, values: list[float]) -> None:
    assert axis.values_deg() == values
    assert axis.count == len(values)


def test_too_many_points_are_refused_with_their_number() -> None:
    with pytest.raises(Unfit, match="10201 points: up to 10000"):
        run_of(GridAxis(0, 100, 1), GridAxis(0, 100, 1))


def test_points_beyond_the_grid_do_not_exist() -> None:
    points = run_of(GridAxis(0, 10, 10))
    for number in (-1, 2):
        with pytest.raises(IndexError):
            points[number]


def test_any_such_file_can_be_read_and_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "any.csv"
    path.write_text(f"{head(2)}\n1,2,3,4\n5,6,7,8\n9,")
    assert read_rows(path) == (2, [(1, 2, 3, 4), (5, 6, 7, 8)])
    for text, word in (("", "line 1"), ("a,b\n1,2\n", "line 1"), (f"{head(2)}\n1,2,3\n5,6,7,8\n", "line 2"),
                       (f"{head(1)}\n1,{math.inf}\n1,2\n", "line 2")):
        path.write_text(text)
        with pytest.raises(Unfit, match=word):
            read_rows(path)


@pytest.fixture
def begun(tmp_path: Path) -> RunFile:
    return RunFile.begin(tmp_path, "run", described([GridAxis(0, 9, 1)], serial="S", speed_percent=30, settle_s=1,
                                                    measure_s=1, there_and_back=False, adjustment=Adjustment()))


def test_a_file_that_ends_anywhere_goes_on_behind_its_last_whole_row(tmp_path: Path, begun: RunFile) -> None:
    for number in range(3):
        begun.append((number,), (number * 1.5,))
    begun.close()
    whole = begun.path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == 10]    # of the head and the three rows
    for size in range(len(whole) + 1):
        for rest in (b"", bytes(7)):    # and a file system may have made it longer than what it wrote
            begun.path.write_bytes(whole[:size] + rest)
            file = RunFile.resume(tmp_path, "run")
            rows = max(0, sum(end <= size for end in ends) - 1)
            assert (file.measured, begun.path.read_bytes()) == (rows, whole[:ends[rows]])
            file.append((rows,), (rows * 1.5,))
            file.close()
            assert read_rows(begun.path)[1] == [(n, n * 1.5) for n in range(rows + 1)]


def test_what_never_began_leaves_nothing_and_what_was_measured_stays(tmp_path: Path, begun: RunFile) -> None:
    begun.abandon()
    assert list((tmp_path / "calibration").iterdir()) == []
    again = RunFile.begin(tmp_path, "run", begun.description)
    again.append((0.0,), (1.0,))
    again.abandon()
    assert runs(tmp_path)[0]["measured"] == 1
    RunFile.resume(tmp_path, "run").abandon()   # another who was refused
    assert runs(tmp_path)[0]["measured"] == 1
    empty = RunFile.begin(tmp_path, "empty", begun.description)
    empty.close()
    RunFile.resume(tmp_path, "empty").abandon()     # it had begun: it is not its to remove
    assert [entry["name"] for entry in runs(tmp_path)] == ["empty", "run"]


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_a_disk_that_refuses_a_new_run_keeps_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                           failing: int) -> None:
    """At each of its synchronisations: the description, its name, the head, and the name of that."""
    left = failing
    real = os.fsync

    def fsync(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space"):
        RunFile.begin(tmp_path, "run", described([GridAxis(0, 9, 1)], serial="S", speed_percent=30, settle_s=1,
                                                 measure_s=1, there_and_back=False, adjustment=Adjustment()))
    assert list((tmp_path / "calibration").iterdir()) == []
    monkeypatch.undo()
    assert runs(tmp_path) == []
