"""The mass model out of torques: random arms are found again, what cannot be told is said, and the solver itself."""

from __future__ import annotations

import math
import random
import re
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import config
from controller._core import Kinematics, MassModel
from controller.calibration import Adjustment, GridAxis, RunFile, described, head
from controller.calibration_fit import FRICTION_NM, Fit, Measured
from controller.calibration_fit import fit as fit_measured
from controller.chain import chain_of
from controller.cli.calibrate import main as calibrate
from controller.config import Link
from controller.config_reader import keys
from controller.least_squares import LeastSquares, eigen
from controller.load import links_of, load_of
from controller.spec.load import STANDARD_GRAVITY_M_S2
from tests.virtual_arm import VirtualArm

Vector = Sequence[float]


def link_of(mass_kg: float, centre_mm: Vector, counts_per_nm: float, **more: Any) -> Link:
    x, y, z = centre_mm
    return Link(mass_kg=mass_kg, centre_mm=(x, y, z), torque_counts_per_nm=counts_per_nm, **more)


def fit(rows: Sequence[Sequence[float]], links: Sequence[Link], kinematics: Kinematics,
        spring: tuple[float, float] | None = None, friction_nm: float = 0.0) -> Fit:
    return fit_measured(rows, links, Measured(kinematics.frames, kinematics.stretch, spring), friction_nm=friction_nm)


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
            torques.append(link.torque_counts_per_nm * (nm - pull + offset * (i + 1)) + generator.gauss(0, noise))
        rows.append((*pose, *torques))
    return rows


def poses(axes: int, count: int, seed: int = 2) -> list[list[float]]:
    generator = random.Random(seed)
    return [[generator.uniform(-80, 80) for _ in range(axes)] for _ in range(count)]


def links_near(axes: int, seed: int, mass: float = 2.0) -> list[Link]:
    generator = random.Random(seed)
    return [link_of(mass, (generator.uniform(-40, 40), generator.uniform(-40, 40), generator.uniform(-250, 0)),
                 generator.choice((-60.0, 50.0, 200.0))) for _ in range(axes)]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 8), st.integers(0, 1000))
def test_torques_of_a_random_arm_are_explained_to_the_last_count(axes: int, seed: int) -> None:
    chain, links = arm(axes), links_near(axes, seed)
    rows = measured(chain, links, poses(axes, 60, seed), offset=0.3, spring=0.02)
    guess = [link_of(link.mass_kg, (0.0, 0.0, 0.0), link.torque_counts_per_nm) for link in links]
    arm_ = Kinematics(chain)
    found = fit(rows, guess, arm_)
    assert all(residual.largest_counts < 1e-3 for residual in found.residuals)
    other = poses(axes, 10, seed + 1)  # and where it was not measured
    for row in measured(chain, links, other, offset=0.3, spring=0.02):
        again = fit([*rows, row], found.links, arm_)
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
    guess = [link_of(link.mass_kg, (0.0, 0.0, -50.0), link.torque_counts_per_nm) for link in links]
    found = fit(rows, guess, Kinematics(chain))
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
                assert found.links[i].centre_mm[k] * found.links[i].mass_kg * 1e-3 == pytest.approx(
                    item.value, abs=2e-5)   # written in 0.01 mm
    assert right >= 4  # the others come in sums with those of neighbouring links only
    for residual in found.residuals:
        assert residual.rms_counts == pytest.approx(1.0, abs=0.25)
        assert residual.measured_rms_counts > 10


def test_what_the_poses_do_not_tell_stays_as_configured_and_says_so() -> None:
    chain, links = arm(2), links_near(2, 6)
    still = [[20.0, float(deg)] for deg in range(-40, 41, 5)]
    guess = [link_of(link.mass_kg, (1.0, 2.0, 3.0), link.torque_counts_per_nm) for link in links]
    found = fit(measured(chain, links, still), guess, Kinematics(chain))
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
    guess = [link_of(link.mass_kg, (0.0, 0.0, -100.0), link.torque_counts_per_nm) for link in links]
    found = fit(measured(chain, links, grid, noise=0.5), guess, Kinematics(chain))
    for link in found.links:
        assert all(abs(mm) < 500 for mm in link.centre_mm), found.links
    for item in found.parameters:
        assert item.error <= (0.31 if item.unit == "kg m" else 3.1), item
    assert all(residual.rms_counts < 3 for residual in found.residuals)
    assert found.rank < 12


@pytest.mark.parametrize("seed", range(1, 4))
def test_what_few_poses_tell_faintly_is_not_followed_farther_with_every_fit(seed: int) -> None:
    """Of axis 3, which stands, only the jitter of its readings tells something; quiet sensors make much of that."""
    chain, links = arm(4), list(links_of(config.Config(), 4) or ())
    generator = random.Random(seed)

    def near(pose: Sequence[float]) -> list[float]:
        return [deg + generator.gauss(0, 0.05) for deg in pose]

    grid = [[float(a), float(b), -15.0, float(c)] for a in (-20, 10) for b in (10, 40, 70) for c in (20, 50, 80)]
    rows = [(*near(pose), *row[4:]) for pose, row in zip(grid, measured(
        chain, links, [near(pose) for pose in grid], noise=0.2, seed=seed), strict=True)]
    found: Sequence[Link] = links
    for _ in range(5):
        found = fit(rows, found, Kinematics(chain), (0.0, 0.0), friction_nm=FRICTION_NM).links
    for link, true in zip(found, links, strict=True):
        assert abs(link.torque_zero_counts) < 20.0
        assert link.centre_mm == pytest.approx(true.centre_mm, abs=45.0)


def test_the_tables_are_toml_and_carry_on_what_is_configured() -> None:
    """Every key, or pasting them would lose it: the values here are none of the defaults."""
    chain, links = arm(2), [msgspec.structs.replace(link, limb="upper_arm", inertia_kg_m2=0.21, contact_nm=4.5)
                            for link in links_near(2, 6)]
    found = fit(measured(chain, links, poses(2, 30), offset=0.3), links, Kinematics(chain), (0.0, 0.0))
    pasted = tomllib.loads(found.toml())["link"]
    assert all(set(table) == set(keys(Link)) for table in pasted)
    for table, link in zip(pasted, links, strict=True):
        for key in ("mass_kg", "limb", "torque_counts_per_nm", "inertia_kg_m2", "contact_nm"):
            assert table[key] == getattr(link, key)
        assert table["centre_mm"] == pytest.approx(link.centre_mm, abs=0.06)  # a true prior is not changed


def test_what_the_sensors_read_without_a_torque_is_found_beside_the_spring_of_the_registers() -> None:
    chain, links = arm(4), links_near(4, 5)
    rows = measured(chain, links, poses(4, 100), offset=0.3, spring=0.02)
    per_nm = links[1].torque_counts_per_nm
    found = fit(rows, links, Kinematics(chain), (80.0, 0.02 * per_nm))  # 80 counts more that the spring carries
    for i, (link, fitted) in enumerate(zip(links, found.links, strict=True)):
        expected = 0.3 * (i + 1) * link.torque_counts_per_nm + (80.0 if i == 1 else 0.0)
        assert fitted.torque_zero_counts == pytest.approx(expected, abs=0.15)
    assert found.spring == pytest.approx((0.0, 0.0), abs=1e-3)
    found = fit(rows, links, Kinematics(chain), (80.0, 0.01 * per_nm))  # a register that is wrong
    assert found.spring is not None
    assert found.spring[0] == pytest.approx(0.01 * per_nm, abs=1e-3)
    keeps = [msgspec.structs.replace(link, torque_zero_counts=7.0) for link in links]
    assert fit(rows, keeps, Kinematics(chain)).links[1].torque_zero_counts == 7.0  # no registers: whose is it?
    assert fit(rows, keeps, Kinematics(chain)).links[0].torque_zero_counts != 7.0


def test_a_link_that_is_counted_to_another_stays_without_a_moment() -> None:
    chain, links = arm(4), links_near(4, 5)
    links[2] = link_of(0.0, (1.0, 2.0, 3.0), 50.0)
    found = fit(measured(chain, links, poses(4, 100)), links, Kinematics(chain))
    assert found.links[2] == links[2]
    assert all(residual.largest_counts < 1e-3 for residual in found.residuals)


def test_what_cannot_be_fitted_says_why() -> None:
    chain, links = arm(2), links_near(2, 6)
    rows = measured(chain, links, poses(2, 3))
    arm_ = Kinematics(chain)
    with pytest.raises(ValueError, match="measure more points"):
        fit(rows, links, arm_)
    with pytest.raises(ValueError, match="not of 1 axes"):
        fit(rows, links[:1], arm_)
    with pytest.raises(ValueError, match="no link has a mass_kg"):
        fit(rows, [link_of(0.0, (0, 0, 0), 50.0)] * 2, arm_)
    with pytest.raises(ValueError, match="link 1"):
        fit(rows, [link_of(1.0, (0, 0, 0), 0.0), links[1]], arm_)


def test_as_many_rows_as_there_may_be_take_seconds() -> None:
    chain, links = arm(8), links_near(8, 7)
    rows = measured(chain, links, poses(8, 50)) * 40  # a fifth of what is allowed
    began_s = time.process_time()
    found = fit(rows, links, Kinematics(chain))
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
    chain, links = arm(4), [link_of(1.0, link.centre_mm, 50.0) for link in links_near(4, 8)]
    rows = measured(chain, links, poses(4, 40), noise=0.5)
    path = tmp_path / "run.csv"
    path.write_text("\n".join([head(4), *(",".join(f"{x:.4f}" for x in row) for row in rows), "1,2"]))
    code, out, err = ran(capsys, str(path))
    assert (code, err) == (0, "")
    assert "40 points" in out
    assert "link 4: moment z" in out
    assert out.count("[[link]]\n") == 4
    assert "left open" in out
    assert "run.json is missing" in out
    assert "turned by less" not in out
    assert len(tables_of(out, tmp_path / "allyarm.toml").link) == 4


def tables_of(out: str, path: Path) -> config.Config:
    """The configuration with the printed tables in it."""
    path.write_text(out[out.index("# For the configuration"):])
    return config.load(path)


def written_run(folder: Path, rows: Sequence[Sequence[float]], adjustment: Adjustment) -> Path:
    """A run on disk that measured these rows."""
    axes = len(rows[0]) // 2
    description = described([GridAxis(0, 0, 1)] * axes, serial="S", speed_percent=30, settle_s=1, measure_s=1,
                            there_and_back=False, adjustment=adjustment)
    file = RunFile.begin(folder, "run", description)
    for row in rows:
        file.append(row[:axes], row[axes:])
    file.close()
    return file.path


@pytest.mark.parametrize(("upper_arm_mm", "forearm_mm"), [(0.0, 0.0), (60.0, 0.0), (40.0, 150.0)])
def test_the_tables_of_a_run_with_length_adjustments_are_right_for_any_length(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], upper_arm_mm: float, forearm_mm: float) -> None:
    """Measured by the core's model of an arm whose masses nobody configured quite right; its inertia is kept."""
    facts = VirtualArm(4).facts
    base = links_of(config.Config(), 4)
    assert base is not None
    true = config.Config(link=tuple(msgspec.structs.replace(
        link, centre_mm=(link.centre_mm[0] + 6.0, link.centre_mm[1] - 4.0, link.centre_mm[2] - 8.0)) for link in base))

    def model(of: config.Config, **lengths: float) -> MassModel:
        load = load_of(of, facts)
        assert load is not None
        return MassModel(chain_of(of, 4), load, **lengths)

    truth = model(true, upper_arm_mm=upper_arm_mm, forearm_mm=forearm_mm)
    rows = [(*pose, *truth.holding_counts(pose)) for pose in poses(4, 80)]
    path = written_run(tmp_path, rows, Adjustment(
        upper_arm_mm=upper_arm_mm, forearm_mm=forearm_mm, spring_offset_counts=facts.spring_offset_counts,
        spring_counts_per_deg=facts.spring_counts_per_deg))
    code, out, err = ran(capsys, str(path))
    assert (code, err) == (0, "")
    assert f"upper arm {upper_arm_mm:g} mm and forearm {forearm_mm:g} mm longer" in out
    found = tables_of(out, tmp_path / "allyarm.toml")
    assert [link.inertia_kg_m2 for link in found.link] == [link.inertia_kg_m2 for link in base]
    assert "inertia_kg_m2" in out[out.index("# For the configuration"):out.index("\n[[link]]")]
    assert all(abs(link.torque_zero_counts) < 0.5 for link in found.link)
    for lengths in ({}, {"upper_arm_mm": 60.0, "forearm_mm": 200.0}, {"upper_arm_mm": 30.0}):
        for pose in poses(4, 10, seed=9):
            assert model(found, **lengths).holding_counts(pose) == pytest.approx(
                model(true, **lengths).holding_counts(pose), abs=2.0), lengths


def test_a_spring_that_is_not_as_its_register_says_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = VirtualArm(4).facts
    load = load_of(config.Config(), facts)
    assert load is not None
    truth = MassModel(chain_of(config.Config(), 4), load)
    rows = [(*pose, *truth.holding_counts(pose)) for pose in poses(4, 80)]
    path = written_run(tmp_path, rows, Adjustment(spring_offset_counts=facts.spring_offset_counts,
                                                  spring_counts_per_deg=facts.spring_counts_per_deg - 0.3))
    code, out, _ = ran(capsys, str(path))
    assert code == 0
    assert re.search(r"has 2\.500 \+- 0\.0\d\d counts per degree, register 231 of the arm says 2\.2", out)


def test_axes_that_stood_still_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain, links = arm(4), list(links_of(config.Config(), 4) or ())
    grid = [[5.0, pose[1], pose[2] / 80, pose[3]] for pose in poses(4, 30)]
    path = written_run(tmp_path, measured(chain, links, grid), Adjustment())
    code, out, _ = ran(capsys, str(path))
    assert code == 0
    assert "axis 1, 3: turned by less than 10 degrees" in out


def test_numbers_that_the_configuration_would_refuse_are_not_printed_as_tables(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain, links = arm(4), [link_of(2.0, link.centre_mm, 50.0) for link in links_near(4, 8)]
    rows = [[*row[:4], row[4] + 17_000.0, *row[5:]] for row in measured(chain, links, poses(4, 40))]
    given = tmp_path / "given.toml"
    given.write_text("[[link]]\nmass_kg = 0.05\n" * 4)
    path = written_run(tmp_path, rows, Adjustment())
    code, out, err = ran(capsys, str(path), "--config", str(given))
    assert code == 1
    assert "40 points" in out
    assert "[[link]]" not in out
    assert "mass_kg = 0.05 is too small" in err
    assert "axis 1: its torque sensor reads 1" in err


def test_a_description_that_does_not_fit_its_file_is_refused(tmp_path: Path,
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    path = written_run(tmp_path, [[0.0] * 8], Adjustment())
    beside = path.with_suffix(".json")
    text = beside.read_text()
    for change, word in ((text.replace('"allyarm_calibration": 2', '"allyarm_calibration": 1'), "has format 1"),
                         ("{", "damaged"), (text.replace('"forearm_mm": 0.0', '"forearm_mm": 900.0'), "forearm_mm")):
        beside.write_text(change)
        code, _, err = ran(capsys, str(path))
        assert code == 2
        assert word in err
        assert str(beside) in err
    beside.write_text(text)
    path.write_text(f"{head(2)}\n")
    code, _, err = ran(capsys, str(path), "--config", str(two_axes(tmp_path)))
    assert code == 2
    assert "not of the same run" in err


def two_axes(folder: Path) -> Path:
    path = folder / "two.toml"
    path.write_text("[sim]\naxes = 2\n")
    return path


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
