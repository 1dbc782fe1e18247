"""The chain of joints that the configuration describes, as the core takes it."""

from __future__ import annotations

import math
from typing import Any

from controller.config import Config
from controller.spec import chain


def chain_of(config: Config, axes: int) -> dict[str, Any]:
    """The chain of an arm with so many axes (1..8), for the core: `joints`, each with `axis` (of length 1) and
    `offset_mm`; `hand_offset_mm`; `elbow_axis` and `wrist_axis`, 1-based, 0 where there is none."""
    joints, hand = chain.default_joints(axes, config.arm.side)
    if config.joint:
        joints = [(joint.axis, joint.offset_mm) for joint in config.joint[:axes]]
    if config.hand.offset_mm:
        hand = (config.hand.offset_mm[0], config.hand.offset_mm[1], config.hand.offset_mm[2])
    rows = []
    for axis, offset in joints:
        length = math.hypot(*axis)
        rows.append({"axis": tuple(part / length for part in axis), "offset_mm": offset})

    def role(given: int, usual: int) -> int:
        return given or (usual if usual <= axes else 0)

    return {"joints": rows, "hand_offset_mm": hand, "elbow_axis": role(config.arm.elbow_axis, chain.ELBOW_AXIS),
            "wrist_axis": role(config.arm.wrist_axis, chain.WRIST_AXIS), "max_speed_mm_s": config.hand.max_speed_mm_s,
            "max_acceleration_mm_s2": config.hand.max_acceleration_mm_s2}
