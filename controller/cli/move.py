"""`allyarm move`: joints to positions, or the hand to a place, with live progress."""

from __future__ import annotations

import argparse
from typing import Any

from controller.cli.client import Failed, Session, asked, exit_code, hindrances, run
from controller.cli.reach import NoAnswer, Usage, add_arguments, get_json, shown, target
from controller.cli.targets import ANGLES, HAND, Allowed, numbers

EPILOG = """\
examples:
  allyarm move 1=30 2=-10                 axis 1 to 30 degrees, axis 2 to -10; the others stay
  allyarm move 1=30 2=-10 --speed 40      at 40 % of the speed allowed
  allyarm move x=250 y=-50 z=-350         the hand to a place, in a straight line
  allyarm move z=-300                     the hand up or down to there; x and y stay
  allyarm move x=250 z=-350 elbow=60      with the elbow at 60 degrees there (wrist=DEG likewise)
  allyarm move x=250 z=-350 --check       only ask whether it could; nothing moves
  allyarm move x=900 --unchecked          as far on that line as there is a way
  allyarm move 4=90 --config /etc/allyarm/allyarm.toml

Places of the hand are in mm from the shoulder: x forward, y to the left, z up. A line is checked before anything
moves, and refused with what stands in the way. Nothing else is checked: neither the body nor a table.
It takes control of the arm, and is the operator's start: motor power comes on where it is off.
Ctrl-C stops the arm softly. Afterwards the arm stands where it was sent, with motor power on.
Exit code 0: on the target, or with --check: reachable. 1: refused, stopped or failed; with --check: not reachable; with
--unchecked: the way ended before the place. 2: usage. 130: ended by Ctrl-C.
"""
NEAR_MM = 2.0  # a straight line's own tolerance
DEGREES = Allowed(-3600.0, 3600.0, "degrees")
PLACE = {**dict.fromkeys(HAND, Allowed(-10_000.0, 10_000.0, "mm")), **dict.fromkeys(ANGLES, DEGREES)}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "move", help="move joints to positions, or the hand to a place",
        description="Move a running controller's arm: joints to positions, or the hand in a straight line to a place.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", metavar="AXIS=DEG | x=MM", nargs="+", help="axis number and degrees, as 1=30 or "
                        "2=-10.5; or the hand: x=, y=, z= in mm (what is left out stays), elbow=, wrist= in degrees")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="the hand: only say whether it could go there")
    how.add_argument("--unchecked", action="store_true", help="the hand: go as far as there is a way")
    add_speed(parser)
    add_arguments(parser)
    parser.set_defaults(run=main)


def add_speed(parser: argparse.ArgumentParser) -> None:
    """--speed."""
    parser.add_argument("--speed", metavar="PERCENT", type=float, default=100.0,
                        help="percent of the speed allowed, above 0, up to 100 (default 100)")


def main(args: argparse.Namespace) -> int:
    """Move; 0 on target (or reachable), 1 refused, stopped or failed, 2 usage."""
    return exit_code(lambda: _main(args))


def _main(args: argparse.Namespace) -> int:
    found = numbers(args.targets, DEGREES, PLACE)
    check_speed(args.speed)
    if found.axes:
        if args.check or args.unchecked:
            raise Usage(f"--{'check' if args.check else 'unchecked'} belongs to a place of the hand (x=, y=, z=); "
                        "positions of axes are always checked")
        return run(args, lambda session: move_axes(session, found.axes, args.speed))
    if not any(name in HAND for name in found.hand):
        raise Usage(f"{', '.join(found.hand)}: an angle belongs to a place of the hand; give x=, y= or z= too")
    if args.check:
        return check(args, found.hand)
    return run(args, lambda session: move_hand(session, args, found.hand))


def check_speed(percent: float) -> None:
    """Usage unless it is a speed."""
    if not 0 < percent <= 100:
        raise Usage(f"--speed: found {percent:g}; allowed: above 0, up to 100 (percent)")


async def move_axes(session: Session, targets: dict[int, float], percent: float) -> int:
    """Joints to degrees."""
    from controller.cli.motion_view import follow, of_axes

    await session.begin("move", position_deg={str(axis): deg for axis, deg in targets.items()}, speed_percent=percent)
    await follow(session, f"moving {', '.join(f'{axis}={deg:g}' for axis, deg in targets.items())}",
                 of_axes(set(targets)))
    return 0


async def move_hand(session: Session, args: argparse.Namespace, given: dict[str, float]) -> int:
    """The hand to a place in a straight line."""
    from controller.cli.motion_view import distance_mm, follow, of_hand

    fields = place(session.state, given)
    await session.begin("move", **fields, check="unchecked" if args.unchecked else "checked", speed_percent=args.speed)
    text = f"moving the hand to {in_words(fields)}"
    await follow(session, text, of_hand(fields["hand_mm"]))
    left_mm = distance_mm(session.state, fields["hand_mm"])
    if left_mm > NEAR_MM and args.unchecked:
        raise Failed(f"the way ended {left_mm:.0f} mm before the place: "
                     f"{'; '.join(hindrances(session.state)) or 'the arm cannot go on in that line'}")
    return 0


def place(state: dict[str, Any], given: dict[str, float]) -> dict[str, Any]:
    """Fields of `move` for this place; a coordinate that is not given is that of the hand in this state. Failed where
    that is not known."""
    if state["bus_state"] != "CYCLIC" and not all(name in given for name in HAND):
        raise Failed("where the hand is is not known: the arm is not connected (`allyarm status` tells more)")
    fields: dict[str, Any] = {"hand_mm": [given.get(name, state[f"hand_{name}_mm"]) for name in HAND]}
    return {**fields, **{f"{name}_deg": given[name] for name in ANGLES if name in given}}


def in_words(fields: dict[str, Any]) -> str:
    """A place, as it was asked for."""
    parts = [f"{name}={mm:.0f}" for name, mm in zip(HAND, fields["hand_mm"], strict=True)]
    return ", ".join([*parts, *(f"{name}={fields[f'{name}_deg']:g}" for name in ANGLES if f"{name}_deg" in fields)])


def check(args: argparse.Namespace, given: dict[str, float]) -> int:
    """--check: 0 reachable, 1 not. Needs no control, and moves nothing."""
    found = target(args)
    state = get_json(found.url, "/status.json", found.token)
    if not isinstance(state, dict) or not isinstance(state.get("axis"), list):
        raise NoAnswer(f"what listens at {found.url} does not answer like a controller")
    fields = place(state, given)
    answer = asked(found, {"type": "move", **fields, "check": "only", "speed_percent": args.speed})
    if answer["reachable"]:
        print(f"reachable: {in_words(fields)}")
        return 0
    raise Failed(f"not reachable in a straight line: {in_words(fields)}: {'; '.join(map(shown, answer['why']))}")
