"""`allyarm check CONFIG`: what is wrong with a configuration file, where, and what is allowed."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controller.config import Config

EPILOG = """\
examples:
  allyarm check /etc/allyarm/allyarm.toml
  allyarm check --defaults > my-arm.toml
  allyarm check my-arm.toml && allyarm run --config my-arm.toml

Every mistake is listed at once as FILE:LINE: KEY: what was found; allowed: what is allowed.
Exit code 0: the file is good, and what it amounts to was printed. 2: it is not.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "check", help="check a configuration file", description="Check a configuration file without starting anything.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("config", metavar="CONFIG", nargs="?", help="the TOML file")
    what.add_argument("--defaults", action="store_true", help="print a file with every key, its default, meaning and "
                      "bounds, commented out")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Check the file; 0 good, 2 not."""
    from pathlib import Path

    from controller import config

    if args.defaults:
        from controller.config_text import default_text

        print(default_text(), end="")
        return 0
    try:
        settings = config.load(Path(args.config))
    except config.ConfigError as error:
        print(error, file=sys.stderr)
        count = len(error.problems)
        print(f"{args.config}: {count} mistake{'s' if count > 1 else ''}", file=sys.stderr)
        return 2
    print(summary(settings))
    for note in config.notes(settings):
        print(f"note: {note}")
    print(f"{args.config}: good")
    return 0


def summary(settings: Config) -> str:
    """The configuration in force as TOML, defaults included, secrets hidden."""
    from controller import config
    from controller.config_reader import keys, written
    from controller.spec import telegram

    lines: list[str] = []
    for name in config.SECTIONS:
        value = getattr(settings, name)
        for section in value if isinstance(value, tuple) else [value]:
            lines.append(f"[[{name}]]" if isinstance(value, tuple) else f"[{name}]")
            for key in keys(type(section)):
                item = getattr(section, key)
                hidden = item and f"{name}.{key}" in config.SECRET
                lines.append(f"{key} = {'(hidden)' if hidden else written(item)}")
            lines.append("")
    if axes := config.expected_axes(settings):
        highest = telegram.highest_rate_hz(axes, settings.bus.baudrate)
        lines.append(f"line: {axes} axes at {settings.bus.baudrate} baud allow up to {highest} Hz")
    return "\n".join(lines)
