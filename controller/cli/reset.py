"""`allyarm reset`: reset the errors once their causes are gone."""

from __future__ import annotations

import argparse

from controller.cli.client import asked, exit_code
from controller.cli.reach import add_arguments, target

EPILOG = """\
examples:
  allyarm status                              which errors are active, and what to do about each
  allyarm reset                               reset them; nothing moves by it

An error whose cause is still there stays, and the answer names it. Where settings wait to be accepted because their
file could not be used (code 72), and there is no other error, this accepts them, as the page's reset button does.
Exit code 0: reset. 1: refused or failed. 2: usage.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "reset", help="reset errors once their causes are gone",
        description="Reset the errors of a running controller once their causes are gone.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Reset; 0 done, 1 refused or failed, 2 usage."""
    def work() -> int:
        asked(target(args), {"type": "reset"})
        print("reset: no error is active any more; nothing moves by it", flush=True)
        return 0

    return exit_code(work)
