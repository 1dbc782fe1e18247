"""`allyarm doctor`: is this machine fit for the control loop? Green, yellow or red, with the remedy."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controller.cli.machine import Finding
    from controller.config import Loop

EPILOG = """\
examples:
  allyarm doctor
  allyarm doctor --config /etc/allyarm/allyarm.toml   with the port, priority and HMI address configured there
  allyarm doctor --measure 60          also run the control loop, without an arm, and judge how late it wakes up
  allyarm doctor --json

Run it as the user the controller runs as: limits and permissions are that user's.
Red: the loop cannot keep its deadlines or not run at all. Yellow: it runs, later than it could.
Exit code 0: nothing is red. 1: something is. 2: the configuration file is wrong.
"""


LATE_US, TOO_LATE_US = 200.0, 500.0  # p99.9: a good stock kernel stays below the first; half a period at 1 kHz


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "doctor", help="is this machine fit for the control loop?",
        description="Examine this machine: kernel, limits, clocks, power, serial ports. Changes nothing.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", metavar="FILE", help="the configuration the controller is to run with")
    parser.add_argument("--measure", metavar="S", type=float, help="also measure wake-up lateness for S seconds, "
                        "0.1..3600")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Examine and print; 0 when nothing is red."""
    from pathlib import Path

    import msgspec

    from controller import config
    from controller.cli.fail import say
    from controller.cli.machine import Machine, examine

    if args.measure is not None and not 0.1 <= args.measure <= 3600:
        say(f"--measure: found {args.measure:g}; allowed: 0.1..3600")
        return 2
    try:
        settings = config.load(Path(args.config) if args.config else None)
    except config.ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    findings = examine(Machine(priority=settings.loop.priority, port=settings.bus.port, hmi_host=settings.hmi.host,
                               hmi_port=settings.hmi.port, input=settings.input.enabled, cpu=settings.loop.cpu))
    if args.measure is not None:
        findings.append(measure(args.measure, settings.loop))
    bad = any(finding.level == "red" for finding in findings)
    if args.json:
        import json

        print(json.dumps({"fit": not bad, "findings": list(map(msgspec.structs.asdict, findings))}, indent=2))
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
    if console.is_terminal:
        console.print(table)
    else:  # one line each, for grep
        for finding in findings:
            print(f"{finding.level:7} {finding.name:20} {finding.found}")
            if finding.remedy:
                print(f"{'':28} remedy: {finding.remedy}")
    count = {level: sum(finding.level == level for finding in findings) for level in ("green", "yellow", "red")}
    console.print(f"{count['green']} green, {count['yellow']} yellow, {count['red']} red")
    return int(bad)


def measure(seconds: float, loop: Loop) -> Finding:
    """Run the control thread itself, at 1 kHz with the configured real-time settings and without an arm."""
    import os
    import time

    from controller._core import Core
    from controller.processors import control_processor

    available = sorted(os.sched_getaffinity(0))
    cpu = control_processor(loop.cpu, available)
    core = Core()
    core.start()
    try:
        # the lock would stay with this process, and lateness does not need it: nothing else runs here
        report = core.set_realtime(priority=loop.priority, cpu=cpu, lock_memory=False, spin_us=loop.spin_us)
        core.clear_statistics()
        time.sleep(seconds)
        lateness = core.statistics()["lateness_us"]
    finally:
        core.request_quit()
        core.join(2.0)
    return judge(lateness, f"{report['scheduler']} {report['priority']}")


def judge(lateness_us: dict[str, Any], scheduling: str) -> Finding:
    """Green, yellow or red by p99.9; a maximum tells more about other machines on the same host."""
    from controller.cli.machine import Finding

    found = (f"p50 {lateness_us['p50']:.0f}, p99 {lateness_us['p99']:.0f}, p99.9 {lateness_us['p999']:.0f}, max "
             f"{lateness_us['max']:.0f} us in {lateness_us['count']} cycles ({scheduling})")
    if lateness_us["p999"] <= LATE_US:
        return Finding("wake-up lateness", "green", found)
    return Finding("wake-up lateness", "yellow" if lateness_us["p999"] <= TOO_LATE_US else "red", found,
                   "follow the remedies of the other lines, first kernel, real-time priority and governor")
