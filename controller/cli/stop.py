"""`allyarm stop`: the arm stops softly, whoever moves it."""

from __future__ import annotations

import argparse

from controller.cli.client import asked, exit_code
from controller.cli.reach import add_arguments, target

EPILOG = """\
examples:
  allyarm stop                                stop, whoever has control; the arm is held with motor power on
  allyarm stop --url http://192.168.1.7:3001

In an emergency press the emergency button: this needs a computer, a network and a running controller.
Exit code 0: the stop was taken. 1: nobody took it: press the emergency button. 2: usage.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "stop", help="stop the arm softly", description="Stop a running controller's arm softly. Needs no control.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Stop; 0 taken, 1 not, 2 usage."""
    def work() -> int:
        asked(target(args), {"type": "stop"})
        print("stopped", flush=True)
        return 0

    return exit_code(work)
