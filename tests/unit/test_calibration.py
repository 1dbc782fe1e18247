"""Grids and files of torque calibration runs: order of the points, and a writer that is killed at any moment."""

from __future__ import annotations

import itertools
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.calibration import GridAxis, Points, RunFile, Unfit, described, head, read_rows, runs

axes = st.builds(lambda start, steps, step, down: GridAxis(start, start + (-1 if down else 1) * steps * step, step),
                 st.integers(-90, 90), st.integers(0, 5), st.sampled_from((0.5, 1.0, 7.5)), st.booleans())


def run_of(*grid: GridAxis, there_and_back: bool = False) -> Points:
    return Points(described(grid, serial="S", speed_percent=30, settle_s=1, measure_s=1,
                            there_and_back=there_and_back))


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


WRITER = """
import sys
from pathlib import Path
from controller.calibration import RunFile
file = RunFile.resume(Path(sys.argv[1]), "run")
for number in range(file.measured, len(file.description.grid[0].values_deg())):
    file.append((number * 0.5,), (number * 1.25,))
    print(number, flush=True)
"""


def test_a_writer_that_is_killed_anywhere_loses_nothing_that_was_said_to_be_on_disk(tmp_path: Path) -> None:
    description = described([GridAxis(0, 4999.5, 0.5)], serial="S", speed_percent=30, settle_s=1, measure_s=1,
                            there_and_back=False)
    RunFile.begin(tmp_path, "run", description).close()
    generator = random.Random(1)
    path = tmp_path / "calibration" / "run.csv"
    told = -1
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(generator.uniform(0.0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        numbers = [int(line) for line in (first + process.stdout.read()).splitlines()]
        process.wait(10)
        process.stdout.close()
        assert numbers[0] >= told  # it goes on at the first missing one: no row twice, none left out
        told = numbers[-1]
        if generator.random() < 0.5:  # and a power failure tears what was not synchronised yet
            with path.open("ab") as file:
                file.write(b"9,9"[:generator.randint(1, 3)])
        found = read_rows(path)[1]
        assert len(found) > told
        assert found == [(number * 0.5, number * 1.25) for number in range(len(found))]
    assert runs(tmp_path)[0]["measured"] == len(found)


def test_any_such_file_can_be_read_and_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "any.csv"
    path.write_text(f"{head(2)}\n1,2,3,4\n5,6,7,8\n9,")
    assert read_rows(path) == (2, [(1, 2, 3, 4), (5, 6, 7, 8)])
    for text, word in (("", "line 1"), ("a,b\n1,2\n", "line 1"), (f"{head(2)}\n1,2,3\n5,6,7,8\n", "line 2"),
                       (f"{head(1)}\n1,{math.inf}\n1,2\n", "line 2")):
        path.write_text(text)
        with pytest.raises(Unfit, match=word):
            read_rows(path)
