"""A motion in a terminal: what is told of it while it goes on, and when it has ended."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from controller.cli.client import Failed, Session, hindrances
from controller.cli.motion_bar import MotionBar

if TYPE_CHECKING:
    from controller.cli.client import State

STUCK_S = 5.0  # standing, but not where it was sent
View = Callable[["State"], tuple[float, str]]  # what is left of the way, and where the arm is, in words


async def follow(session: Session, text: str, view: View) -> None:
    """Show the motion that was begun until the arm is on its target; Failed when it ends before."""
    with MotionBar(text) as bar:
        still_s: float | None = None
        while True:
            state = session.state
            if why := session.ended():
                raise Failed(f"{text}: {why}")
            if state["state"] == "TRANSITION_TO_AUTO":
                bar.waiting("motor power comes on")
            else:
                bar.at(*view(state))
            if session.arrived():
                return
            if state["state"] == "AUTO" and not any(axis["moving"] for axis in state["axis"]):
                now_s = state["time_ns"] * 1e-9
                still_s = now_s if still_s is None else still_s
                if now_s - still_s > STUCK_S:
                    raise Failed(f"{text}: the arm stands, but not where it was sent; `allyarm status` tells more")
            else:
                still_s = None
            await session.next_state()


def of_axes(axes: set[int] | None = None) -> View:
    """These axes (1-based; None: all): degrees left of all together, and the angle of each."""
    def view(state: State) -> tuple[float, str]:
        chosen: list[Mapping[str, float]] = [axis for axis in state["axis"] if axes is None or axis["axis"] in axes]
        return (sum(abs(axis["target_position_deg"] - axis["position_deg"]) for axis in chosen),
                "  ".join(f"{axis['axis']}: {axis['position_deg']:.1f}" for axis in chosen))

    return view


def of_hand(target_mm: Sequence[float]) -> View:
    """The hand on its way to a place: mm left, and where it is."""
    def view(state: State) -> tuple[float, str]:
        left_mm = distance_mm(state, target_mm)
        return left_mm, f"{where_hand(state)}, {left_mm:.0f} mm left{hindered(state)}"

    return view


def hand_mm(state: State) -> tuple[float, float, float]:
    """Where the hand is: x forward, y left, z up."""
    return state["hand_x_mm"], state["hand_y_mm"], state["hand_z_mm"]


def distance_mm(state: State, target_mm: Sequence[float]) -> float:
    """From the hand to a place."""
    return math.dist(hand_mm(state), target_mm)


def where_hand(state: State) -> str:
    x, y, z = hand_mm(state)
    return f"x {x:.0f}  y {y:.0f}  z {z:.0f} mm"


def hindered(state: State) -> str:
    """What keeps the hand from going on, as a tail of a line."""
    found = hindrances(state)
    return f"  [{'; '.join(found)}]" if found else ""
