"""`allyarm home`: to a saved position, the rest position where none is named."""

from __future__ import annotations

import argparse

from controller.cli.client import Session, run
from controller.cli.move import add_speed, check_speed
from controller.cli.reach import Usage, add_arguments
from controller.spec import hmi

EPILOG = """\
examples:
  allyarm home                                to the rest position
  allyarm home --speed 30                     slowly
  allyarm home --position default_1           to another saved position

Home is the rest position, which the page saves ("save rest position"), or
`allyarm settings set rest_position_counts.1=1365 rest_position_counts.2=1365 ...` (all axes of the arm).
Without a saved one nothing moves. It takes control of the arm, and is the operator's start. Ctrl-C stops the arm
softly.
Exit code 0: the arm is there. 1: refused, stopped or failed. 2: usage. 130: ended by Ctrl-C.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "home", help="go to the rest position", description="Move a running controller's arm to a saved position.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--position", choices=tuple(hmi.POSITIONS), default="rest", help="the saved position (default "
                        "rest)")
    add_speed(parser)
    add_arguments(parser)
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Go there; 0 there, 1 refused, stopped or failed, 2 usage."""
    from controller.cli.fail import say

    try:
        check_speed(args.speed)
    except Usage as error:
        say(str(error))
        return 2

    async def work(session: Session) -> int:
        from controller.cli.motion_view import follow, of_axes

        await session.begin("go_to", position=args.position, speed_percent=args.speed)
        await follow(session, f"going to the position {args.position}", of_axes())
        return 0

    return run(args, work)
