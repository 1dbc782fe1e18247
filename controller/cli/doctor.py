"""`allyarm doctor`: is this machine fit for the control loop? Green, yellow or red, with the remedy."""

from __future__ import annotations

import argparse
import sys

EPILOG = """\
examples:
  allyarm doctor
  allyarm doctor --config /etc/allyarm/allyarm.toml   with the port, priority and HMI address configured there
  allyarm doctor --json

Run it as the user the controller runs as: limits and permissions are that user's.
Red: the loop cannot keep its deadlines or not run at all. Yellow: it runs, later than it could.
Exit code 0: nothing is red. 1: something is. 2: the configuration file is wrong.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "doctor", help="is this machine fit for the control loop?",
        description="Examine this machine: kernel, limits, clocks, power, serial ports. Changes nothing.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", metavar="FILE", help="the configuration the controller is to run with")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Examine and print; 0 when nothing is red."""
    from dataclasses import asdict
    from pathlib import Path

    from controller import config
    from controller.cli.machine import Machine, examine

    try:
        settings = config.load(Path(args.config) if args.config else None)
    except config.ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    findings = examine(Machine(priority=settings.loop.priority, port=settings.bus.port, hmi_host=settings.hmi.host,
                               hmi_port=settings.hmi.port))
    bad = any(finding.level == "red" for finding in findings)
    if args.json:
        import json

        print(json.dumps({"fit": not bad, "findings": [asdict(finding) for finding in findings]}, indent=2))
        return int(bad)

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # a remedy is an exact command: never cut it
    for finding in findings:
        table.add_row(f"[{finding.level}]{finding.level}[/]", finding.name, escape(finding.found))
        if finding.remedy:
            table.add_row("", "", f"[dim]remedy: {escape(finding.remedy)}[/]")
    console = Console()
    if not console.is_terminal:
        console.width = 400  # one line each for grep
    console.print(table)
    count = {level: sum(finding.level == level for finding in findings) for level in ("green", "yellow", "red")}
    console.print(f"{count['green']} green, {count['yellow']} yellow, {count['red']} red")
    return int(bad)
