"""The mass model out of a torque calibration run: centres of mass, sensor offsets and the spring of axis 2, with
residuals.

At rest joint i carries the links behind it: torque_i = z_i . sum_(j >= i) (c_j - o_i) x m_j g, with z_i and o_i the
joint's axis and origin, c_j a link's centre of mass (statics of a serial chain; Siciliano et al., "Robotics", section
7.1; as linear in m_j and m_j c_j: section 7.2.2). Origins of the joints behind are fixed in the link before, so a mass
m_j cannot be told from a moment m_j offset_j of that link: poses at rest tell moments only. Masses therefore stay as
they are configured, and the moments m_j c_j are fitted; every such choice of masses describes the same torques.
Inertia does not show at rest at all, and stays as configured.

A link that was longer than configured while it was measured (registers 90, 92) had its mass spread over that length:
its centre of mass was at stretch x c_j. The parameters are those of c_j, so that the model holds for every length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from controller.config import Link
from controller.config_reader import keys, written
from controller.least_squares import LeastSquares
from controller.spec.chain import LONGEST_OFFSET_MM
from controller.spec.load import SPRING_AXIS, STANDARD_GRAVITY_M_S2, TORQUE_ZERO_HIGHEST_COUNTS

MOMENT_KG_M, OFFSET_NM, STIFFNESS_NM_DEG = 0.1, 1.0, 0.01  # how large a change is ordinary
FRICTION_NM = 0.05  # it depends on where a joint came from, so it does not average out
LEAST_MASS_KG = 1e-3  # one without it is counted to another link, and so is its moment
NO_MOMENT_KG_M = 1e-9
Vector = tuple[float, float, float]
Line = tuple[list[tuple[int, float]], float]
Frames = Callable[[Sequence[float]], Sequence[tuple[Vector, Vector, tuple[float, ...]]]]


ALWAYS = ("mass_kg", "centre_mm", "torque_counts_per_nm")   # in a table also where they are as by default


@dataclass(frozen=True, slots=True)
class Measured:
    """How the arm was when it was measured. `frames` gives (origin in mm, axis, rotation by rows) per joint, with the
    lengths in force; `stretch` how much longer each link was than configured; `spring` of axis 2: counts that it
    carries at 0 degrees, and per degree, as registers 230 and 231 say, None where that is not known."""

    frames: Frames
    stretch: Sequence[float]
    spring: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A fitted number, with its standard error; `determined` is false where the poses leave it open, and it, or a
    part of it, stayed as it was configured."""

    name: str
    unit: str
    value: float
    error: float
    determined: bool


@dataclass(frozen=True, slots=True)
class Residual:
    """What is left of an axis's torques: root mean square and largest, in counts, and the spread of what was
    measured."""

    rms_counts: float
    largest_counts: float
    measured_rms_counts: float


@dataclass(frozen=True, slots=True)
class Fit:
    """All of it. `links` are the configured ones with new centres of mass and sensor zeros, of the arm without length
    adjustments. `spring` is the stiffness of axis 2's beside what its register says, with its standard error, in
    counts per degree; None where the register is not known."""

    links: list[Link]
    parameters: list[Parameter]
    residuals: list[Residual]
    rank: int
    rows: int
    spring: tuple[float, float] | None

    def toml(self) -> str:
        """The [[link]] tables to paste: with all that was configured."""
        return "\n".join(map(_table, self.links))

    def problems(self) -> list[str]:
        """What the configuration would refuse, and what to do about it."""
        found = []
        for i, link in enumerate(self.links, 1):
            if (far_mm := max(map(abs, link.centre_mm))) > LONGEST_OFFSET_MM:
                found.append(f"link {i}: its centre of mass would be {far_mm:.0f} mm away, allowed are "
                             f"{LONGEST_OFFSET_MM:g} mm: mass_kg = {link.mass_kg:g} is too small for the torques that "
                             "were measured; weigh it, and correct mass_kg")
            if abs(link.torque_zero_counts) > TORQUE_ZERO_HIGHEST_COUNTS:
                found.append(f"axis {i}: its torque sensor reads {link.torque_zero_counts:.0f} counts without a "
                             f"torque, allowed are {TORQUE_ZERO_HIGHEST_COUNTS}: have it repaired, or set its zero")
        return found


def fit(rows: Sequence[Sequence[float]], links: Sequence[Link], measured: Measured, *,
        friction_nm: float = FRICTION_NM) -> Fit:
    """`rows` as the CSV has them: positions of all axes in degrees, then their torques in counts, which friction keeps
    from being known better than to `friction_nm`. ValueError says why there is nothing to fit."""
    axes = len(links)
    if axes == 0 or any(len(row) != 2 * axes for row in rows):
        raise ValueError(f"the rows are not of {axes} axes")
    if bad := [i + 1 for i, link in enumerate(links) if link.torque_counts_per_nm == 0.0]:
        raise ValueError(f"link {bad[0]}: torque_counts_per_nm has to be given, not 0: the poses do not tell it")
    if all(link.mass_kg < LEAST_MASS_KG for link in links):
        raise ValueError(f"no link has a mass_kg of {LEAST_MASS_KG:g} or more: weigh them, the poses do not tell it")
    names, prior, scale = _parameters(links, measured.spring is not None)
    equations = LeastSquares(prior, scale, friction_nm)
    regressors = []
    for row in rows:
        lines = _lines(row[:axes], links, measured)
        regressors.append(lines)
        for i, (line, known_nm) in enumerate(lines):
            equations.add(line, row[axes + i] / links[i].torque_counts_per_nm - known_nm)
    found = equations.solve()
    parameters = [Parameter(name, unit, value, error, determined) for (name, unit), value, error, determined in zip(
        names, found.values, found.errors, found.determined, strict=True)]
    spring = None
    if measured.spring is not None and axes >= SPRING_AXIS:
        per_nm = links[SPRING_AXIS - 1].torque_counts_per_nm
        spring = found.values[-1] * per_nm, found.errors[-1] * abs(per_nm)
    return Fit(_fitted(links, found.values, measured.spring is not None), parameters,
               _residuals(rows, links, regressors, found.values), found.rank, len(rows), spring)


def _parameters(links: Sequence[Link], spring_known: bool) -> tuple[list[tuple[str, str]], list[float], list[float]]:
    """Names and units, prior values, scales: three moments per link, an offset per axis, the spring's stiffness."""
    names, prior, scale = [], [], []
    for i, link in enumerate(links):
        for k, direction in enumerate("xyz"):
            names.append((f"link {i + 1}: moment {direction}", "kg m"))
            prior.append(link.mass_kg * link.centre_mm[k] * 1e-3)
            scale.append(MOMENT_KG_M if link.mass_kg >= LEAST_MASS_KG else NO_MOMENT_KG_M)
    for i, link in enumerate(links):
        both = " and spring" if i + 1 == SPRING_AXIS and not spring_known else ""
        names.append((f"axis {i + 1}: offset of its sensor{both}", "Nm"))
        prior.append(link.torque_zero_counts / link.torque_counts_per_nm)
        scale.append(OFFSET_NM)
    if len(links) >= SPRING_AXIS:
        beside = " beside register 231" if spring_known else ""
        names.append((f"axis {SPRING_AXIS}: stiffness of its spring{beside}", "Nm/deg"))
        prior.append(0.0)
        scale.append(STIFFNESS_NM_DEG)
    return names, prior, scale


def _lines(position_deg: Sequence[float], links: Sequence[Link], measured: Measured) -> list[Line]:
    """Per axis the coefficients of one pose, in Nm per unit of each parameter, and the Nm that are known: of the
    masses, as if they sat in the origins of their joints, and of a spring that is known."""
    axes = len(links)
    found = measured.frames(position_deg)
    lines: list[Line] = []
    for i in range(axes):
        origin, axis, _ = found[i]
        line: list[tuple[int, float]] = []
        known_nm = 0.0
        for j in range(i, axes):
            place, _, rotation = found[j]
            # z . (r x g), with g = (0, 0, -g), is the load; the drive holds against it: g (z_x r_y - z_y r_x)
            x_m, y_m = (place[0] - origin[0]) * 1e-3, (place[1] - origin[1]) * 1e-3
            known_nm += STANDARD_GRAVITY_M_S2 * links[j].mass_kg * (axis[0] * y_m - axis[1] * x_m)
            gravity_m_s2 = STANDARD_GRAVITY_M_S2 * measured.stretch[j]
            line += [(3 * j + k, gravity_m_s2 * (axis[0] * rotation[3 + k] - axis[1] * rotation[k]))
                     for k in range(3)]
        line.append((3 * axes + i, 1.0))
        if i + 1 == SPRING_AXIS:
            line.append((4 * axes, -position_deg[i]))
            if measured.spring is not None:
                offset, per_deg = measured.spring
                known_nm -= (offset + per_deg * position_deg[i]) / links[i].torque_counts_per_nm
        lines.append((line, known_nm))
    return lines


def _table(link: Link) -> str:
    usual = Link()
    lines = ["[[link]]"]
    for key in keys(Link):
        value = getattr(link, key)
        if key in ALWAYS or value != getattr(usual, key):
            if isinstance(value, float):
                value = float(f"{value:.9g}")   # masses of the default arm are sums
            lines.append(f"{key} = {written(value)}")
    return "\n".join(lines) + "\n"


def _fitted(links: Sequence[Link], values: Sequence[float], spring_known: bool) -> list[Link]:
    axes, found = len(links), []
    for i, link in enumerate(links):
        x, y, z = link.centre_mm
        if link.mass_kg >= LEAST_MASS_KG:
            x, y, z = (round(values[3 * i + k] / link.mass_kg * 1e3, 2) + 0.0 for k in range(3))
        zero = link.torque_zero_counts
        if spring_known or i + 1 != SPRING_AXIS:    # or nobody can tell what is the sensor's and what the spring's
            zero = round(values[3 * axes + i] * link.torque_counts_per_nm, 1) + 0.0
        found.append(msgspec.structs.replace(link, centre_mm=(x, y, z), torque_zero_counts=zero))
    return found


def _residuals(rows: Sequence[Sequence[float]], links: Sequence[Link],
               regressors: Sequence[Sequence[Line]], values: Sequence[float]) -> list[Residual]:
    axes = len(links)
    found = []
    for i, link in enumerate(links):
        left = [row[axes + i] - link.torque_counts_per_nm * _torque_nm(lines[i], values)
                for row, lines in zip(rows, regressors, strict=True)]
        measured = [row[axes + i] for row in rows]
        mean = sum(measured) / len(measured)
        found.append(Residual(_rms(left), max(map(abs, left)), _rms([counts - mean for counts in measured])))
    return found


def _torque_nm(line: Line, values: Sequence[float]) -> float:
    return line[1] + sum(factor * values[index] for index, factor in line[0])


def _rms(values: Sequence[float]) -> float:
    return math.sqrt(sum(value * value for value in values) / len(values))
