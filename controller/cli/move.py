"""`allyarm move`: joints to positions, with live progress."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from controller.cli.client import Failed, Session, run
from controller.cli.reach import Usage, add_arguments
from controller.spec.telegram import MAX_AXES

if TYPE_CHECKING:
    from controller.cli.client import State
    from controller.cli.motion_bar import MotionBar

EPILOG = """\
examples:
  allyarm move 1=30 2=-10                 axis 1 to 30 degrees, axis 2 to -10; the others stay
  allyarm move 1=30 2=-10 --speed 40      at 40 % of the speed allowed
  allyarm move 4=90 --config /etc/allyarm/allyarm.toml

It takes control of the arm, and is the operator's start: motor power comes on where it is off.
Ctrl-C stops the arm softly. Afterwards the arm stands where it was sent, with motor power on.
Exit code 0: every axis is on its target. 1: refused, stopped or failed. 2: usage. 130: ended by Ctrl-C.
"""
PAIR = re.compile(r"(\d)=([+-]?\d{1,4}(?:\.\d{1,9})?)", re.ASCII)
STUCK_S = 5.0  # standing, but not where it was sent


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "move", help="move joints to positions", description="Move joints of a running controller's arm to positions.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", metavar="AXIS=DEG", nargs="+", help="axis number and degrees, as 1=30 or 2=-10.5")
    add_speed(parser)
    add_arguments(parser)
    parser.set_defaults(run=main)


def add_speed(parser: argparse.ArgumentParser) -> None:
    """--speed."""
    parser.add_argument("--speed", metavar="PERCENT", type=float, default=100.0,
                        help="percent of the speed allowed, above 0, up to 100 (default 100)")


def main(args: argparse.Namespace) -> int:
    """Move; 0 on target, 1 refused, stopped or failed, 2 usage."""
    from controller.cli.fail import say

    try:
        targets = pairs(args.targets, -3600.0, 3600.0, "degrees")
        check_speed(args.speed)
    except Usage as error:
        say(str(error))
        return 2

    async def work(session: Session) -> int:
        await session.begin("move", position_deg={str(axis): deg for axis, deg in targets.items()},
                            speed_percent=args.speed)
        await follow(session, f"moving {', '.join(f'{axis}={deg:g}' for axis, deg in targets.items())}", set(targets))
        return 0

    return run(args, work)


def pairs(texts: list[str], low: float, high: float, unit: str) -> dict[int, float]:
    """{1-based axis: number} of texts like "1=30"; Usage names the one that is wrong and what is allowed."""
    found: dict[int, float] = {}
    for text in texts:
        match = PAIR.fullmatch(text)
        if match is None or not 1 <= int(match[1]) <= MAX_AXES:
            raise Usage(f"found {text!r}; allowed: AXIS=NUMBER with an axis 1..{MAX_AXES}, such as 1=30 or 2=-10.5")
        axis, value = int(match[1]), float(match[2])
        if not low <= value <= high:
            raise Usage(f"axis {axis}: found {value:g}; allowed: {low:g}..{high:g} {unit}")
        if axis in found:
            raise Usage(f"axis {axis} is given twice")
        found[axis] = value
    return found


def check_speed(percent: float) -> None:
    """Usage unless it is a speed."""
    if not 0 < percent <= 100:
        raise Usage(f"--speed: found {percent:g}; allowed: above 0, up to 100 (percent)")


async def follow(session: Session, text: str, axes: set[int] | None = None) -> None:
    """Show the motion that was begun until these axes (1-based; None: all) are on their targets; Failed when it ends
    before."""
    from controller.cli.motion_bar import MotionBar

    chosen = axes or {axis["axis"] for axis in session.state["axis"]}
    with MotionBar(text) as bar:
        still_cycle: float | None = None
        while True:
            state = session.state
            if why := session.ended():
                raise Failed(f"{text}: {why}")
            show(bar, state, chosen)
            if session.arrived():
                return
            if state["state"] == "AUTO" and not any(axis["moving"] for axis in state["axis"]):
                now_s = state["time_ns"] * 1e-9
                still_cycle = now_s if still_cycle is None else still_cycle
                if now_s - still_cycle > STUCK_S:
                    raise Failed(f"{text}: the arm stands, but not where it was sent; `allyarm status` tells more")
            else:
                still_cycle = None
            await session.next_state()


def show(bar: MotionBar, state: State, axes: set[int]) -> None:
    """One state on the bar."""
    chosen: list[Mapping[str, float]] = [axis for axis in state["axis"] if axis["axis"] in axes]
    if state["state"] == "TRANSITION_TO_AUTO":
        bar.waiting("motor power comes on")
    else:
        bar.at(sum(abs(axis["target_position_deg"] - axis["position_deg"]) for axis in chosen),
               "  ".join(f"{axis['axis']}: {axis['position_deg']:.1f}" for axis in chosen))
