"""The hand: whether it can go somewhere in a straight line, and what the control loop is told for it.

The search is the control loop's own compiled one (ext/line.pxi), so it says what the loop will say. It takes a few
milliseconds at most, on this thread; the loop searches again from where the arm then stands, and has the last word.
Thread contract: HMI thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from controller._core import Kinematics
from controller.hmi.clients import Refused
from controller.hmi.sequence import Step
from controller.spec import hmi
from controller.spec.faults import lookup
from controller.spec.hmi import Notice
from controller.store import Store

if TYPE_CHECKING:
    from controller._core import State
    from controller.arm import ArmFacts

Check = Literal["checked", "unchecked", "only"]
ELBOW_TOLERANCE_DEG = 1.0  # as in ext/move.pxi
ALL_OF_HAND, ELBOW_GIVEN, WRIST_GIVEN, UNCHECKED = 7, 8, 16, 32  # mask of HAND_MOVE
SQUARE_MM = (120.0, 90.0, 60.0, 30.0)
SQUARE_PERCENT = 50.0


class HandTarget(msgspec.Struct, frozen=True):
    """A place of the hand in mm, base frame; angles in degrees, None leaves them free."""

    hand_mm: tuple[float, float, float]
    elbow_deg: float | None = None
    wrist_deg: float | None = None

    def values(self) -> tuple[float, ...]:
        """Values of HAND_MOVE."""
        return (*self.hand_mm, self.elbow_deg or 0.0, self.wrist_deg or 0.0)

    def mask(self, *, unchecked: bool) -> int:
        """Mask of HAND_MOVE."""
        return (ALL_OF_HAND | (0 if self.elbow_deg is None else ELBOW_GIVEN)
                | (0 if self.wrist_deg is None else WRIST_GIVEN) | (UNCHECKED if unchecked else 0))


class HandSearch:
    """The chain of the arm that is connected, with the lengths that are stored."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def kinematics(self, facts: ArmFacts) -> Kinematics:
        """Refused without an arm, or where its chain is not known."""
        if not facts.axes or facts.chain is None:
            raise Refused(Notice.BLOCKED, "", "the arm is not connected" if not facts.axes else
                          "where the hand is is not known")
        lengths = [hmi.SETTING[name] for name in hmi.LENGTHS]
        upper_arm_mm, forearm_mm = (float(self._store.get(row.name, row.default) or 0.0) for row in lengths)
        return Kinematics(facts.chain, upper_arm_mm=upper_arm_mm, forearm_mm=forearm_mm)

    def check_angles(self, facts: ArmFacts, target: HandTarget) -> None:
        """Refused where an angle is asked of a joint that the arm does not have."""
        chain = facts.chain or {}
        for name, given, axis in (("elbow_deg", target.elbow_deg, "elbow_axis"),
                                  ("wrist_deg", target.wrist_deg, "wrist_axis")):
            if given is not None and not chain.get(axis):
                raise Refused(Notice.VALUE, name, f"this arm has no {axis.partition('_')[0]}: leave it out")

    def obstacles(self, facts: ArmFacts, state: State, target: HandTarget) -> list[str]:
        """What stands against a straight line from where the arm stands (or is to be, in motion): empty when nothing
        does."""
        start = state.setpoint_position_deg if any(state.moving) else state.position_deg
        return self.line(facts, state, start, target)[0]

    def line(self, facts: ArmFacts, state: State, start_deg: Sequence[float],
             target: HandTarget) -> tuple[list[str], tuple[float, ...]]:
        """(what stands against it, joint angles at its end) of a line from these angles, inside the ranges in force."""
        found = self.kinematics(facts).line(start_deg, target.hand_mm, state.range_minimum_deg, state.range_maximum_deg,
                                            wrist_deg=target.wrist_deg)
        end = found.points[-1]
        texts = [f"warning {code}, {row.message}" for code in found.warnings if (row := lookup(code, 0, True))]
        if not texts and target.elbow_deg is not None:
            elbow_deg = end[facts.chain["elbow_axis"] - 1]  # type: ignore[index]
            if abs(elbow_deg - target.elbow_deg) > ELBOW_TOLERANCE_DEG:
                texts = [f"there the elbow is at {elbow_deg:.1f} deg, not at {target.elbow_deg:g}"]
        return texts, end

    def square(self, facts: ArmFacts, state: State) -> list[Step]:
        """Test cycle 3: a square in the plane across the body (y, z), from where the hand is and back, the largest of
        SQUARE_MM that the arm can do from there. Refused where not even the smallest fits."""
        kinematics = self.kinematics(facts)
        (x, y, z), _ = kinematics.forward(state.position_deg)
        for side in SQUARE_MM:
            for across, up in ((side, side), (-side, side), (side, -side), (-side, -side)):
                corners = [(x, y + across, z), (x, y + across, z + up), (x, y, z + up), (x, y, z)]
                if self._all_reachable(facts, state, corners):
                    return [Step(f"corner {number}, {side:g} mm", {}, SQUARE_PERCENT, hand_mm=corner)
                            for number, corner in enumerate(corners, 1)]
        raise Refused(Notice.BLOCKED, "", f"no square of {SQUARE_MM[-1]:g} mm fits beside the hand: move it to the "
                      "middle of its reach first")

    def _all_reachable(self, facts: ArmFacts, state: State, corners: Sequence[tuple[float, float, float]]) -> bool:
        at: Sequence[float] = state.position_deg
        for corner in corners:
            texts, at = self.line(facts, state, at, HandTarget(corner))
            if texts:
                return False
        return True
