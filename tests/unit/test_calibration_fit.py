"""The mass model out of torques: random arms are found again, what cannot be told is said, and the solver itself."""

from __future__ import annotations

import math
import random
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import config
from controller._core import Kinematics
from controller.calibration import head
from controller.calibration_fit import Link, fit
from controller.chain import chain_of
from controller.cli.calibrate import main as calibrate
from controller.least_squares import LeastSquares, eigen
from controller.spec.load import STANDARD_GRAVITY_M_S2

Vector = Sequence[float]


def cross(a: Vector, b: Vector) -> tuple[float, float, float]:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def rotated(axis: Vector, angle: float, v: Vector) -> list[float]:
    """Rodrigues' formula, written down anew: not the code under test."""
    c, s = math.cos(angle), math.sin(angle)
    along = sum(a * b for a, b in zip(axis, v, strict=True))
    turned = cross(axis, v)
    return [v[k] * c + turned[k] * s + axis[k] * along * (1 - c) for k in range(3)]


def holding_nm(chain: dict[str, object], links: Sequence[Link], position_deg: Sequence[float]) -> list[float]:
    """Torques that hold the arm, by potential energy: the derivative of m g z after each joint's angle."""
    joints: list[dict[str, Vector]] = chain["joints"]  # type: ignore[assignment]

    def energy(q: Sequence[float]) -> float:
        total = 0.0
        for j, link in enumerate(links):
            point: Vector = link.centre_mm
            for i in reversed(range(j + 1)):
                point = rotated(joints[i]["axis"], math.radians(q[i]), point)
                point = [a + b for a, b in zip(point, joints[i]["offset_mm"], strict=True)]
            total += link.mass_kg * STANDARD_GRAVITY_M_S2 * point[2] * 1e-3
        return total

    step = 1e-4
    found = []
    for i in range(len(links)):
        up, down = list(position_deg), list(position_deg)
        up[i] += math.degrees(step)
        down[i] -= math.degrees(step)
        found.append((energy(up) - energy(down)) / (2 * step))
    return found


def arm(axes: int) -> dict[str, object]:
    return chain_of(config.Config(), axes)


def measured(chain: dict[str, object], links: Sequence[Link], poses: Sequence[Sequence[float]], *,
             offset: float = 0.0, spring: float = 0.0, noise: float = 0.0, seed: int = 1) -> list[tuple[float, ...]]:
    generator = random.Random(seed)
    rows = []
    for pose in poses:
        torques = []
        for i, (nm, link) in enumerate(zip(holding_nm(chain, links, pose), links, strict=True)):
            pull = spring * pose[i] if i == 1 else 0.0
            torques.append(link.counts_per_nm * (nm - pull + offset * (i + 1)) + generator.gauss(0, noise))
        rows.append((*pose, *torques))
    return rows


def poses(axes: int, count: int, seed: int = 2) -> list[list[float]]:
    generator = random.Random(seed)
    return [[generator.uniform(-80, 80) for _ in range(axes)] for _ in range(count)]


def links_near(axes: int, seed: int, mass: float = 2.0) -> list[Link]:
    generator = random.Random(seed)
    return [Link(mass, (generator.uniform(-40, 40), generator.uniform(-40, 40), generator.uniform(-250, 0)),
                 generator.choice((-60.0, 50.0, 200.0))) for _ in range(axes)]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 8), st.integers(0, 1000))
def test_torques_of_a_random_arm_are_explained_to_the_last_count(axes: int, seed: int) -> None:
    chain, links = arm(axes), links_near(axes, seed)
    rows = measured(chain, links, poses(axes, 60, seed), offset=0.3, spring=0.02)
    guess = [Link(link.mass_kg, (0.0, 0.0, 0.0), link.counts_per_nm) for link in links]
    frames = Kinematics(chain).frames
    found = fit(rows, guess, frames)
    assert all(residual.largest_counts < 1e-3 for residual in found.residuals)
    other = poses(axes, 10, seed + 1)  # and where it was not measured
    for row in measured(chain, links, other, offset=0.3, spring=0.02):
        again = fit([*rows, row], found.links, frames)
        assert again.residuals[0].largest_counts < 1e-3
    named = {item.name: item for item in found.parameters}
    for i in range(axes):
        if (item := named[f"axis {i + 1}: offset of its sensor{' and spring' if i == 1 else ''}"]).determined:
            assert item.value == pytest.approx(0.3 * (i + 1), abs=1e-5)
    if axes > 1:
        assert named["axis 2: stiffness of its spring"].value == pytest.approx(0.02, abs=1e-6)


def test_every_determined_moment_of_the_default_arm_is_found() -> None:
    chain, links = arm(4), links_near(4, 5)
    rows = measured(chain, links, poses(4, 200), noise=1.0)
    guess = [Link(link.mass_kg, (0.0, 0.0, -50.0), link.counts_per_nm) for link in links]
    found = fit(rows, guess, Kinematics(chain).frames)
    assert 0 < found.rank < len(found.parameters)
    right = 0
    for i, link in enumerate(links):
        for k, direction in enumerate("xyz"):
            item = next(one for one in found.parameters if one.name == f"link {i + 1}: moment {direction}")
            true = link.mass_kg * link.centre_mm[k] * 1e-3
            if item.determined:
                right += 1
                assert abs(item.value - true) < 5 * item.error + 1e-6, (item, true)
                assert 0 < item.error < 0.01
                assert found.links[i].centre_mm[k] * found.links[i].mass_kg * 1e-3 == pytest.approx(item.value)
    assert right >= 4  # the others come in sums with those of neighbouring links only
    for residual in found.residuals:
        assert residual.rms_counts == pytest.approx(1.0, abs=0.25)
        assert residual.measured_rms_counts > 10


def test_what_the_poses_do_not_tell_stays_as_configured_and_says_so() -> None:
    chain, links = arm(2), links_near(2, 6)
    still = [[20.0, float(deg)] for deg in range(-40, 41, 5)]
    guess = [Link(link.mass_kg, (1.0, 2.0, 3.0), link.counts_per_nm) for link in links]
    found = fit(measured(chain, links, still), guess, Kinematics(chain).frames)
    left_open = [item for item in found.parameters if not item.determined]
    assert left_open
    assert all(residual.largest_counts < 1e-3 for residual in found.residuals)
    wholly = [item for item in left_open if item.error == pytest.approx(0.3)]
    assert wholly
    for item in wholly:  # its error is the prior's, and so is its value
        k = "xyz".find(item.name[-1])
        assert item.value == pytest.approx(2.0 * (1.0, 2.0, 3.0)[k] * 1e-3, abs=1e-6)


def test_what_only_the_noise_of_the_sensors_tells_is_left_as_configured() -> None:
    """Axes 1 and 3 stand still but for their noise: nothing about them may be made up of it."""
    chain, links = arm(4), links_near(4, 5)
    generator = random.Random(9)
    grid = [[-20 + generator.gauss(0, 0.03), float(a), -15 + generator.gauss(0, 0.03), float(b)]
            for a in range(0, 41, 20) for b in range(20, 61, 20)]
    guess = [Link(link.mass_kg, (0.0, 0.0, -100.0), link.counts_per_nm) for link in links]
    found = fit(measured(chain, links, grid, noise=0.5), guess, Kinematics(chain).frames)
    for link in found.links:
        assert all(abs(mm) < 500 for mm in link.centre_mm), found.links
    for item in found.parameters:
        assert item.error <= (0.31 if item.unit == "kg m" else 3.1), item
    assert all(residual.rms_counts < 3 for residual in found.residuals)
    assert found.rank < 12


def test_the_tables_are_toml_and_carry_on_what_is_configured() -> None:
    chain, links = arm(2), links_near(2, 6)
    guess = [Link(link.mass_kg, link.centre_mm, link.counts_per_nm, limb) for link, limb in zip(
        links, ("upper_arm", ""), strict=True)]
    found = fit(measured(chain, links, poses(2, 30)), guess, Kinematics(chain).frames)
    tables = tomllib.loads(found.toml())["link"]
    assert [table.get("limb") for table in tables] == ["upper_arm", None]
    for table, link in zip(tables, links, strict=True):
        assert table["mass_kg"] == link.mass_kg
        assert table["torque_counts_per_nm"] == link.counts_per_nm
        assert table["centre_mm"] == pytest.approx(link.centre_mm, abs=0.06)  # a true prior is not changed


def test_what_cannot_be_fitted_says_why() -> None:
    chain, links = arm(2), links_near(2, 6)
    rows = measured(chain, links, poses(2, 3))
    frames = Kinematics(chain).frames
    with pytest.raises(ValueError, match="measure more points"):
        fit(rows, links, frames)
    with pytest.raises(ValueError, match="not of 1 axes"):
        fit(rows, links[:1], frames)
    with pytest.raises(ValueError, match="link 2: mass_kg"):
        fit(rows, [links[0], Link(0.0, (0, 0, 0), 50.0)], frames)
    with pytest.raises(ValueError, match="link 1"):
        fit(rows, [Link(1.0, (0, 0, 0), 0.0), links[1]], frames)


def test_as_many_rows_as_there_may_be_take_seconds() -> None:
    chain, links = arm(8), links_near(8, 7)
    rows = measured(chain, links, poses(8, 50)) * 40  # a fifth of what is allowed
    began_s = time.process_time()
    found = fit(rows, links, Kinematics(chain).frames)
    assert found.rows == 2000
    assert time.process_time() - began_s < 30  # minutes would be a mistake; no figure


@given(st.lists(st.lists(st.floats(-10, 10), min_size=4, max_size=4), min_size=4, max_size=4))
def test_eigenvalues_and_vectors(rows: list[list[float]]) -> None:
    matrix = [[(rows[i][k] + rows[k][i]) / 2 for k in range(4)] for i in range(4)]
    values, vectors = eigen(matrix)
    size = max(1.0, *map(abs, values))
    for k in range(4):
        column = [vectors[i][k] for i in range(4)]
        assert sum(x * x for x in column) == pytest.approx(1.0)
        product = [sum(matrix[i][j] * column[j] for j in range(4)) for i in range(4)]
        assert product == pytest.approx([values[k] * x for x in column], abs=1e-9 * size)


def test_standard_errors_are_those_of_many_repetitions() -> None:
    generator = random.Random(3)
    lines = [(1.0, generator.uniform(0, 10)) for _ in range(30)]
    slopes, errors = [], []
    for _ in range(300):
        equations = LeastSquares([0.0, 0.0], [10.0, 10.0])
        for a, b in lines:
            equations.add([(0, a), (1, b)], 2.0 * a + 3.0 * b + generator.gauss(0, 0.5))
        solution = equations.solve()
        slopes.append(solution.values[1])
        errors.append(solution.errors[1])
    mean = sum(slopes) / 300
    assert mean == pytest.approx(3.0, abs=0.02)
    assert math.sqrt(sum((slope - mean) ** 2 for slope in slopes) / 299) == pytest.approx(sum(errors) / 300, rel=0.15)


# -- the command

def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    from controller.__main__ import main

    code = main(["calibrate", "fit", *arguments])
    return code, *capsys.readouterr()


def test_the_command_prints_parameters_residuals_and_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert calibrate
    chain, links = arm(4), [Link(1.0, link.centre_mm, 50.0) for link in links_near(4, 8)]
    rows = measured(chain, links, poses(4, 40), noise=0.5)
    path = tmp_path / "run.csv"
    path.write_text("\n".join([head(4), *(",".join(f"{x:.4f}" for x in row) for row in rows), "1,2"]))
    code, out, err = ran(capsys, str(path))
    assert (code, err) == (0, "")
    assert "40 points" in out
    assert "link 4: moment z" in out
    assert out.count("[[link]]\n") == 4
    assert "left open" in out
    tables = out[out.index("# for the configuration"):]
    assert "torque_counts_per_nm = 50" in tables


@pytest.mark.parametrize(("text", "code", "word"), [
    ("", 2, "line 1"), (f"{head(4)}\n1,2\n3,4\n", 2, "line 2"), (f"{head(4)}\n{','.join('1' * 8)}\n", 1, "measure "
                                                                                                         "more"),
])
def test_files_that_cannot_be_fitted_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, code: int,
                                               word: str) -> None:
    path = tmp_path / "run.csv"
    path.write_text(text)
    found = ran(capsys, str(path))
    assert found[0] == code
    assert word in found[2]
    assert str(path) in found[2]


def test_a_missing_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "/does/not/exist.csv")[0] == 2
