"""Runs the benchmarks, prints their tables and writes docs/benchmarks.md.

    python -m benchmarks.run [--quick] [--output FILE] [NAME ...]
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

from benchmarks import machine
from benchmarks.table import AIM_HEADERS, Table, markdown, show, table_markdown

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
# benchmarks/bench_NAME.py
NAMES = ("latency", "cycle", "gravity", "telegram", "kinematics", "ring", "hmi", "stop", "start", "boot", "memory",
         "soak")
HEADINGS = {
    "latency": "Wake-up lateness", "cycle": "Control cycle", "gravity": "Gravity torques",
    "telegram": "Motor bus telegrams", "kinematics": "Kinematics", "ring": "Rings",
    "hmi": "HMI server", "stop": "Stop", "soak": "Soak", "start": "Start-up", "boot": "Boot", "memory": "Memory",
}
INTRODUCTION = """# Benchmarks

Written by `make bench`; do not edit. Figures stand beside a named peer that ran in the same run, or beside an aim.

How to read it:

- **Ratios count, absolute figures drift.** Peers run by turns with ours in short rounds, so that a change of the
  machine hits both. Figures are medians over rounds unless the note of a table says otherwise.
- **Judge lateness by p99 and p99.9 against `cyclictest` in the same run, never by a maximum.** On a virtual machine the
  hypervisor takes processors away: single wake-ups late by milliseconds hit `cyclictest` as well.
- **No benchmark asserts a time.** "not met" is a finding to look into, not a failed run.
- Figures of a kernel without PREEMPT_RT say little about a board with it, and the other way round: run it on yours.
"""


def run_all(names: list[str], quick: bool) -> tuple[dict[str, list[Table]], dict[str, str]]:
    """({name: tables}, {name: why it did not run})."""
    found: dict[str, list[Table]] = {}
    problems: dict[str, str] = {}
    for name in names:
        print(f"-- {HEADINGS[name]}", file=sys.stderr, flush=True)
        begin = time.monotonic()
        try:
            found[name] = import_module(f"benchmarks.bench_{name}").run(quick)
        except Exception as problem:    # one that fails must not take the hour of the others with it
            problems[name] = str(problem) or type(problem).__name__
            print(f"   {name} did not run: {problem}", file=sys.stderr)
            if not isinstance(problem, machine.Missing):
                traceback.print_exc()
            continue
        show(found[name])
        print(f"   {time.monotonic() - begin:.0f} s", file=sys.stderr)
    return found, problems


def document(found: dict[str, list[Table]], problems: dict[str, str], described: list[tuple[str, str]], *,
             quick: bool, partial: bool) -> str:
    """The whole of docs/benchmarks.md."""
    command = "make bench" + (' ARGS="--quick"' if quick else "")
    parts = [INTRODUCTION, "## Machine", markdown(("", ""), described), f"To repeat it: `{command}`"
             " (the same as `python -m benchmarks.run`, which takes names of single benchmarks too)."]
    if quick:
        parts.append("**This was a quick run: rounds so few and short that the figures only show that it works.**")
    if partial:
        parts.append(f"**Only these were run: {', '.join(found)}.**")
    aims = [aim for tables in found.values() for table in tables for aim in table.aims]
    rows = [(HEADINGS[name], *aim.cells()) for name, tables in found.items() for table in tables for aim in table.aims]
    parts += ["## Aims", f"{sum(aim.met for aim in aims)} of {len(aims)} met.", markdown(("", *AIM_HEADERS), rows)]
    for name, heading in HEADINGS.items():
        if name in found:
            parts += [f"## {heading}", *(table_markdown(table) for table in found[name])]
        elif name in problems:
            parts += [f"## {heading}", f"Not run: {problems[name]}."]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def main() -> int:
    """Exit code 0 when everything asked for ran, 1 when something did not, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run",
                                     description="Run the benchmarks and write docs/benchmarks.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="3 minutes instead of 35: proves that all of it runs")
    parser.add_argument("--output", type=Path, metavar="FILE",
                        help="where to write (default: docs/benchmarks.md after a whole run, else nothing)")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in NAMES]:
        parser.error(f"unknown: {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    names = arguments.names or list(NAMES)
    described = machine.describe()
    found, problems = run_all(names, arguments.quick)
    output = arguments.output or (None if arguments.names or arguments.quick else DOCUMENT)
    if output is not None and found:
        output.write_text(document(found, problems, described, quick=arguments.quick, partial=bool(arguments.names)),
                          encoding="utf-8")
        print(f"written to {output}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
