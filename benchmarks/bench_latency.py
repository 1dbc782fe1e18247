"""Wake-up lateness of the control thread against cyclictest: same interval, priority, processor; segments by turns."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from statistics import median

from benchmarks.load import CoreProcess, busy_cores
from benchmarks.machine import control_cpu, require_cyclictest
from benchmarks.table import Aim, Table, show
from controller.config import Config

AXES = 5
SPIN_US = 40
LIMIT, SPIN_LIMIT = 1.1, 0.7
HISTOGRAM_US = 20_000
VARIANTS = {"cyclictest": None, "control thread": 0, f"control thread, spin_us = {SPIN_US}": SPIN_US}


@dataclass(slots=True)
class Series:
    """Percentiles in us, one entry per segment."""

    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    p999: list[float] = field(default_factory=list)
    maximum: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, lateness_us: list[int]) -> None:
        """`lateness_us` in whole us, rounded down as cyclictest does, sorted."""
        for fraction, column in ((0.5, self.p50), (0.99, self.p99), (0.999, self.p999), (1.0, self.maximum)):
            column.append(lateness_us[min(len(lateness_us) - 1, int(fraction * len(lateness_us)))])


def cyclictest(seconds: float, cpu: int) -> list[int]:
    """Lateness in whole us, sorted, of `seconds` of cyclictest at the control thread's rate, priority and processor."""
    loop = Config().loop
    interval_us = round(1e6 / loop.rate_hz)
    output = subprocess.run(
        [require_cyclictest(), "-p", str(loop.priority), "-m", "-q", "-i", str(interval_us), "-a", str(cpu), "-t", "1",
         "-l", str(round(seconds * loop.rate_hz)), "-h", str(HISTOGRAM_US)], capture_output=True, text=True, check=True)
    found = [int(value) for value, count in re.findall(r"^(\d{6}) (\d+)$", output.stdout, re.MULTILINE)
             for _ in range(int(count))]
    overflows = re.search(r"^# Histogram Overflows: (\d+)", output.stdout, re.MULTILINE)
    return found + [HISTOGRAM_US] * (int(overflows.group(1)) if overflows else 0)


@contextmanager
def interpreter_held(core: CoreProcess) -> Iterator[None]:
    """Another thread of the core's process holds the interpreter lock (during cyclictest's segments as well)."""
    core.hog(True)
    try:
        yield
    finally:
        core.hog(False)


def measure(core: CoreProcess, rounds: int, seconds: float, cpu: int) -> dict[str, Series]:
    """Every variant once per round, the order turned by one each round."""
    series = {name: Series() for name in VARIANTS}
    names = list(VARIANTS)
    for turn in range(rounds):
        for k in range(len(names)):
            name = names[(turn + k) % len(names)]
            spin_us = VARIANTS[name]
            if spin_us is None:
                series[name].add(cyclictest(seconds, cpu))
            else:
                found = core.measure(seconds, spin_us=spin_us, any_state=True)
                series[name].add(sorted(ns // 1000 for ns in found["lateness_ns"]))
                if found["problem"]:
                    series[name].problems.append(found["problem"])
    return series


def run(quick: bool) -> list[Table]:
    """One table: three situations, cyclictest and the control thread without and with spinning."""
    require_cyclictest()
    rounds, seconds = (2, 1.0) if quick else (12, 3.0)
    cpu = control_cpu()
    rows: list[list[str | float]] = []
    aims = []
    problems = []
    with CoreProcess(AXES) as core:
        for situation, load in (("idle", nullcontext()), ("interpreter lock held", interpreter_held(core)),
                                ("both cores busy", busy_cores())):
            with load:
                found = measure(core, rounds, seconds, cpu)
            peer = median(found["cyclictest"].p99)
            for name, series in found.items():
                problems += [f"{situation}: {problem}" for problem in series.problems]
                ratio = median(series.p99) / peer
                rows.append([situation, name, median(series.p50), median(series.p99), median(series.p999),
                             max(series.maximum), f"{min(series.p99):.0f}..{max(series.p99):.0f}", ratio])
                if name != "cyclictest":
                    limit = SPIN_LIMIT if VARIANTS[name] else LIMIT
                    aims.append(Aim(f"p99, {situation}, {name}", ratio, limit, "x cyclictest"))
    loop = Config().loop
    note = (f"{loop.rate_hz} Hz, SCHED_FIFO {loop.priority}, memory locked, cpu {cpu}. {rounds} rounds of segments of "
            f"{seconds:g} s by turns; percentiles are medians over the segments, max is over all. The control thread "
            f"runs the whole cycle for {AXES} axes over a pseudo-terminal, the simulated arm in a process of its own; "
            "cyclictest only wakes up. Both count whole us, rounded down. \"Interpreter lock held\": another thread of "
            "the process holds it for tens of ms at a time without end. \"Both cores busy\": one computing process per "
            "core.")
    if problems:
        note += f" In {len(problems)} segments the arm was lost meanwhile ({problems[0]})."
    headers = ["situation", "who", "p50", "p99", "p99.9", "max", "p99 of the segments", "p99 / cyclictest"]
    return [Table("Wake-up lateness, us", headers, rows, note, aims)]


if __name__ == "__main__":
    show(run(quick=True))
