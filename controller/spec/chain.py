"""The arm's joints as a serial chain: the default arm, where the configuration describes none (docs/kinematics.md).

Base frame: origin in the shoulder, x forward, y to the left, z up, right-handed. At 0 degrees the arm hangs down and
every joint's frame is parallel to the base frame. Rows are those of a right arm; a left one has y mirrored.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Vector = tuple[float, float, float]
Side = Literal["right", "left"]


class JointRow(msgspec.Struct, frozen=True):
    """One joint: its axis of rotation, and the way from the joint before it to it, both in that joint's frame."""

    name: str
    axis: Vector
    offset_mm: Vector
    doc: str


UPPER_ARM_MM, FOREARM_MM, HAND_MM = 300.0, 250.0, 80.0
JOINTS: tuple[JointRow, ...] = (
    JointRow("shoulder abduction", (-1.0, 0.0, 0.0), (0.0, 0.0, 0.0), "outwards"),
    JointRow("shoulder flexion", (0.0, -1.0, 0.0), (0.0, 0.0, 0.0), "forwards"),
    JointRow("shoulder rotation", (0.0, 0.0, 1.0), (0.0, 0.0, 0.0), "inwards, about the upper arm"),
    JointRow("elbow", (0.0, -1.0, 0.0), (0.0, 0.0, -UPPER_ARM_MM), "bent"),
    JointRow("forearm rotation", (0.0, 0.0, 1.0), (0.0, 0.0, 0.0), "inwards, about the forearm"),
    JointRow("wrist flexion", (1.0, 0.0, 0.0), (0.0, 0.0, -FOREARM_MM), "towards the palm"),
    JointRow("wrist abduction", (0.0, -1.0, 0.0), (0.0, 0.0, 0.0), "towards the thumb"),
    JointRow("hand", (1.0, 0.0, 0.0), (0.0, 0.0, -0.5 * HAND_MM), "fingers closed"),
)
# The hand at 0 degrees, whatever the number of joints: those left out are held there.
HAND_AT_MM: Vector = (0.0, 0.0, -UPPER_ARM_MM - FOREARM_MM - HAND_MM)
ELBOW_AXIS, WRIST_AXIS = 4, 5  # 1-based; an arm with fewer axes has none
LONGEST_OFFSET_MM = 2000.0
LONGEST_ADJUSTMENT_MM = 200  # registers 90, 92
AXIS_TOLERANCE = 0.01  # an axis of rotation may be so far from length 1: written with few digits


def default_joints(axes: int, side: Side) -> tuple[list[tuple[Vector, Vector]], Vector]:
    """((axis, offset_mm) of each of the first `axes` joints, 0..8, of the default arm, hand offset from the last)."""
    joints = [(row.axis if side == "right" else mirrored(row.axis), row.offset_mm) for row in JOINTS[:axes]]
    hand = [HAND_AT_MM[k] - sum(offset[k] for _, offset in joints) for k in range(3)]
    return joints, (hand[0], hand[1], hand[2])


def mirrored(axis: Vector) -> Vector:
    """The same joint of the other arm: mirrored in y, as an axis is mirrored (a pseudovector)."""
    return (-axis[0] or 0.0, axis[1], -axis[2] or 0.0)
