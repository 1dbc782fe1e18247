"""The links of the default arm and their masses: those of the simulated arm (docs/compliant.md).

Frames are those of spec/chain.py: at 0 degrees every link's frame is parallel to the base frame. Rows are those of a
right arm; a left one has y mirrored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from controller.spec import chain
from controller.spec.chain import Side, Vector

Limb = Literal["none", "upper_arm", "forearm"]
LIMBS: tuple[Limb, ...] = ("none", "upper_arm", "forearm")  # codes of the core: the index
STANDARD_GRAVITY_M_S2 = 9.80665
SPRING_AXIS = 2  # 1-based: the axis of registers 230 and 231
TORQUE_ZERO_HIGHEST_COUNTS = 16_000  # half of what a telegram carries: the other half is left for torques

# Compliant mode before anything was set; units of registers 180, 185, 190, 195.
DEAD_BAND_DEFAULT, PROPORTIONAL_DEFAULT, EXPONENTIAL_DEFAULT, DERIVATIVE_DEFAULT = 10, 100, 5, 5


class LinkRow(msgspec.Struct, frozen=True):
    """The link behind a joint: limb and structure together. `centre_mm` is its centre of mass, from the joint."""

    mass_kg: float
    centre_mm: Vector
    limb: Limb
    torque_counts_per_nm: float
    inertia_kg_m2: float = 0.0  # about its joint, of all that the torque sensor moves; 0: found from masses and lengths


LINKS: tuple[LinkRow, ...] = (
    LinkRow(0.6, (0.0, -40.0, 10.0), "none", 50.0, 0.1376),
    LinkRow(0.5, (0.0, -30.0, -20.0), "none", 50.0, 0.1376),
    LinkRow(2.6, (-10.0, 0.0, -150.0), "upper_arm", 60.0, 0.0764),
    LinkRow(0.9, (0.0, 0.0, -110.0), "forearm", 100.0, 0.0344),
    LinkRow(0.4, (8.0, 0.0, -180.0), "forearm", 200.0, 0.0086),
    LinkRow(0.2, (0.0, 0.0, -15.0), "forearm", 300.0, 0.0039),
    LinkRow(0.2, (0.0, 0.0, -40.0), "forearm", 300.0, 0.0039),
    LinkRow(0.15, (0.0, 0.0, -30.0), "forearm", 300.0, 0.002),
)


def default_links(axes: int, side: Side) -> list[LinkRow]:
    """Links of the first `axes` joints (1..8) of the default arm. What such an arm leaves out stays on its last link,
    as it hangs at 0 degrees: centre of mass = sum of mass x centre / sum of mass."""
    links = list(LINKS[:axes])
    last, at = links[-1], [0.0, 0.0, 0.0]
    mass, moment = last.mass_kg, [last.mass_kg * part for part in last.centre_mm]
    for row, joint in zip(LINKS[axes:], chain.JOINTS[axes:], strict=True):
        at = [before + part for before, part in zip(at, joint.offset_mm, strict=True)]
        mass += row.mass_kg
        moment = [m + row.mass_kg * (a + c) for m, a, c in zip(moment, at, row.centre_mm, strict=True)]
    x, y, z = (part / mass for part in moment)
    links[-1] = LinkRow(mass, (x, y, z), last.limb, last.torque_counts_per_nm, last.inertia_kg_m2)
    if side == "left":
        links = [LinkRow(row.mass_kg, (row.centre_mm[0], -row.centre_mm[1] or 0.0, row.centre_mm[2]), row.limb,
                         row.torque_counts_per_nm, row.inertia_kg_m2) for row in links]
    return links


class Massive(Protocol):
    """What carries a mass: a row here, or a [[link]] table."""

    @property
    def mass_kg(self) -> float: ...
    @property
    def centre_mm(self) -> Vector: ...
    @property
    def inertia_kg_m2(self) -> float: ...


def longest_inertia_kg_m2(links: Sequence[Massive], offsets_mm: Sequence[Vector]) -> list[float]:
    """About each joint, kg m^2: its own, or where that is 0 that of all masses behind it with the arm stretched out,
    sum of m (way along the chain)^2, of which no pose has more. `offsets_mm`: from each joint's predecessor to it."""
    found = []
    for joint, link in enumerate(links):
        way_mm = inertia = 0.0
        for behind in range(joint, len(links)):
            way_mm += math.hypot(*offsets_mm[behind]) if behind > joint else 0.0
            inertia += links[behind].mass_kg * ((way_mm + math.hypot(*links[behind].centre_mm)) * 1e-3) ** 2
        found.append(link.inertia_kg_m2 or inertia)
    return found
