"""The mass model out of a torque calibration run: centres of mass, sensor offsets and the spring of axis 2, with
residuals.

At rest joint i carries the links behind it: torque_i = z_i . sum_(j >= i) (c_j - o_i) x m_j g, with z_i and o_i the
joint's axis and origin, c_j a link's centre of mass (statics of a serial chain; Siciliano et al., "Robotics", section
7.1; as linear in m_j and m_j c_j: section 7.2.2). Origins of the joints behind are fixed in the link before, so a mass
m_j cannot be told from a moment m_j offset_j of that link: poses at rest tell moments only. Masses therefore stay as
they are configured, and the moments m_j c_j are fitted; every such choice of masses describes the same torques.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controller.least_squares import LeastSquares
from controller.spec.load import SPRING_AXIS, STANDARD_GRAVITY_M_S2

MOMENT_KG_M, OFFSET_NM, STIFFNESS_NM_DEG = 0.1, 1.0, 0.01  # how large a change is ordinary
LEAST_MASS_KG = 1e-3
Vector = tuple[float, float, float]
Line = tuple[list[tuple[int, float]], float]
Frames = Callable[[Sequence[float]], Sequence[tuple[Vector, Vector, tuple[float, ...]]]]


@dataclass(frozen=True, slots=True)
class Link:
    """What is configured of the link behind one joint: mass, centre of mass in the joint's frame, and the torque
    sensor."""

    mass_kg: float
    centre_mm: Vector
    counts_per_nm: float
    limb: str = ""  # of the configuration: carried on into the tables


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
    """All of it. `links` are the configured ones with their new centres of mass."""

    links: list[Link]
    parameters: list[Parameter]
    residuals: list[Residual]
    rank: int
    rows: int

    def toml(self) -> str:
        """The [[link]] tables to paste."""
        return "\n".join(map(_table, self.links))



def fit(rows: Sequence[Sequence[float]], links: Sequence[Link], frames: Frames) -> Fit:
    """`rows` as the CSV has them: positions of all axes in degrees, then their torques in counts. `frames` gives
    (origin in mm, axis, rotation by rows) per joint. ValueError says why there is nothing to fit."""
    axes = len(links)
    if axes == 0 or any(len(row) != 2 * axes for row in rows):
        raise ValueError(f"the rows are not of {axes} axes")
    if bad := [i + 1 for i, link in enumerate(links) if link.counts_per_nm == 0.0 or link.mass_kg < LEAST_MASS_KG]:
        raise ValueError(f"link {bad[0]}: mass_kg and torque_counts_per_nm have to be given, above 0: the poses do "
                         "not tell them")
    names, prior, scale = _parameters(links)
    equations = LeastSquares(prior, scale)
    regressors = []
    for row in rows:
        lines = _lines(row[:axes], links, frames)
        regressors.append(lines)
        for i, (line, known_nm) in enumerate(lines):
            equations.add(line, row[axes + i] / links[i].counts_per_nm - known_nm)
    found = equations.solve()
    parameters = [Parameter(name, unit, value, error, determined) for (name, unit), value, error, determined in zip(
        names, found.values, found.errors, found.determined, strict=True)]
    return Fit(_fitted(links, found.values), parameters, _residuals(rows, links, regressors, found.values), found.rank,
               len(rows))


def _parameters(links: Sequence[Link]) -> tuple[list[tuple[str, str]], list[float], list[float]]:
    """Names and units, prior values, scales: three moments per link, an offset per axis, the spring's stiffness."""
    names, prior, scale = [], [], []
    for i, link in enumerate(links):
        for k, direction in enumerate("xyz"):
            names.append((f"link {i + 1}: moment {direction}", "kg m"))
            prior.append(link.mass_kg * link.centre_mm[k] * 1e-3)
            scale.append(MOMENT_KG_M)
    for i in range(len(links)):
        names.append((f"axis {i + 1}: offset of its sensor{' and spring' if i + 1 == SPRING_AXIS else ''}", "Nm"))
        prior.append(0.0)
        scale.append(OFFSET_NM)
    if len(links) >= SPRING_AXIS:
        names.append((f"axis {SPRING_AXIS}: stiffness of its spring", "Nm/deg"))
        prior.append(0.0)
        scale.append(STIFFNESS_NM_DEG)
    return names, prior, scale


def _lines(position_deg: Sequence[float], links: Sequence[Link], frames: Frames) -> list[Line]:
    """Per axis the coefficients of one pose, in Nm per unit of each parameter, and the Nm that are known: of the
    masses, as if they sat in the origins of their joints."""
    axes = len(links)
    found = frames(position_deg)
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
            line += [(3 * j + k, STANDARD_GRAVITY_M_S2 * (axis[0] * rotation[3 + k] - axis[1] * rotation[k]))
                     for k in range(3)]
        line.append((3 * axes + i, 1.0))
        if i + 1 == SPRING_AXIS:
            line.append((4 * axes, -position_deg[i]))
        lines.append((line, known_nm))
    return lines


def _table(link: Link) -> str:
    centre = ", ".join(f"{mm + 0.0:.1f}" for mm in link.centre_mm)
    limb = f'limb = "{link.limb}"\n' if link.limb else ""
    return (f"[[link]]\nmass_kg = {link.mass_kg:g}\ncentre_mm = [{centre}]\n{limb}"
            f"torque_counts_per_nm = {link.counts_per_nm:g}\n")


def _fitted(links: Sequence[Link], values: Sequence[float]) -> list[Link]:
    return [Link(link.mass_kg, (values[3 * i] / link.mass_kg * 1e3, values[3 * i + 1] / link.mass_kg * 1e3,
                                values[3 * i + 2] / link.mass_kg * 1e3), link.counts_per_nm, link.limb)
            for i, link in enumerate(links)]


def _residuals(rows: Sequence[Sequence[float]], links: Sequence[Link],
               regressors: Sequence[Sequence[Line]], values: Sequence[float]) -> list[Residual]:
    axes = len(links)
    found = []
    for i, link in enumerate(links):
        left = [row[axes + i] - link.counts_per_nm * _torque_nm(lines[i], values)
                for row, lines in zip(rows, regressors, strict=True)]
        measured = [row[axes + i] for row in rows]
        mean = sum(measured) / len(measured)
        found.append(Residual(_rms(left), max(map(abs, left)), _rms([counts - mean for counts in measured])))
    return found


def _torque_nm(line: Line, values: Sequence[float]) -> float:
    return line[1] + sum(factor * values[index] for index, factor in line[0])


def _rms(values: Sequence[float]) -> float:
    return math.sqrt(sum(value * value for value in values) / len(values))
