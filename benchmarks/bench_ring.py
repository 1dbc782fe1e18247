"""Rings beside boost's spsc_queue, moodycamel's ReaderWriterQueue and queue.SimpleQueue.

`python benchmarks/bench_ring.py [--quick]` prints the tables; `run()` gives them to whoever writes them down.
Needs a C++ compiler and the headers of the two peers: apt-get install g++ libboost-dev libreaderwriterqueue-dev.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
PEERS = ("boost::lockfree::spsc_queue", "moodycamel::ReaderWriterQueue")
OURS = ("CommandRing", "StateRing")
PYTHON = "queue.SimpleQueue"
PUSH_POP, PING_PONG, BETWEEN = "push + pop", "ping-pong round trip", "between threads, per record"
NOTES = {
    PUSH_POP: "one thread, ns per pair",
    PING_PONG: "two pinned cores, ns per round trip over two queues",
    BETWEEN: "two pinned cores, ns per record; StateRing: per write with a reader at work, which may lose records",
}


class Table(NamedTuple):
    """One table of results: plain text cells."""

    title: str
    headers: list[str]
    rows: list[list[str]]


def build(folder: Path) -> Path:
    """Compile ring.cpp; RuntimeError with what the compiler said, or which package is missing."""
    compiler = os.environ.get("CXX", "").split() or [shutil.which("g++") or shutil.which("c++") or "g++"]
    program = folder / "ring"
    command = [*compiler, "-std=c++20", "-O3", "-pthread", f"-I{HERE.parent / 'ext'}", str(HERE / "ring.cpp"),
               "-o", str(program)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except FileNotFoundError:
        raise RuntimeError("no C++ compiler: apt-get install g++") from None
    if done.returncode:
        raise RuntimeError(f"{done.stderr}\nheaders missing? apt-get install libboost-dev libreaderwriterqueue-dev")
    return program


def native(rounds: int, chunks: int) -> dict[tuple[str, int, str], float]:
    """Medians in ns by (measure, record bytes, queue)."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([str(build(Path(folder))), str(rounds), str(chunks)], capture_output=True, text=True,
                              timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"benchmarks/ring.cpp ended with {done.returncode}: {done.stderr}")
    medians = {}
    for line in done.stdout.splitlines():
        measure, name, size, nanoseconds, _ = line.split("\t")
        medians[measure, int(size), name] = float(nanoseconds)
    return medians


def simple_queue(size: int, chunks: int) -> dict[str, float]:
    """Medians in ns of queue.SimpleQueue for bytes objects, each made anew as the rings copy each record."""
    source = bytearray(size)
    there: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    back: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    clock = time.perf_counter_ns
    operations, trips = 2000, 200

    def one_thread() -> float:
        start = clock()
        for _ in range(operations):
            there.put(bytes(source))
            there.get()
        return (clock() - start) / operations

    def echo() -> None:
        for _ in range(trips):
            back.put(there.get())

    def ping_pong() -> float:
        other = threading.Thread(target=echo)
        other.start()
        start = clock()
        for _ in range(trips):
            there.put(bytes(source))
            back.get()
        took = (clock() - start) / trips
        other.join()
        return took

    def fill() -> None:
        for _ in range(operations):
            there.put(bytes(source))

    def between() -> float:
        other = threading.Thread(target=fill)
        start = clock()
        other.start()
        for _ in range(operations):
            there.get()
        took = (clock() - start) / operations
        other.join()
        return took

    measures = {PUSH_POP: one_thread, PING_PONG: ping_pong, BETWEEN: between}
    return {name: statistics.median(measure() for _ in range(chunks)) for name, measure in measures.items()}


def run(quick: bool = False) -> list[Table]:
    """Measure; one table per kind of exchange, rows per record size and queue, ratio to the better native peer."""
    medians = native(*(3, 5) if quick else (30, 10))
    for size in (256, 512):
        for measure, value in simple_queue(size, 5 if quick else 25).items():
            medians[measure, size, PYTHON] = value
    tables = []
    for measure, note in NOTES.items():
        rows = []
        for size in (256, 512):
            best = min(medians[measure, size, peer] for peer in PEERS)
            for name in (*OURS, *PEERS, PYTHON):
                value = medians[measure, size, name]
                rows.append([str(size), name, f"{value:,.1f}", f"{value / best:.2f}"])
        headers = ["record bytes", "queue", "median ns", "x better peer"]
        tables.append(Table(f"Rings: {measure} ({note})", headers, rows))
    return tables


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    try:
        tables = run(parser.parse_args().quick)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    for table in tables:
        print(f"\n{table.title}\n")
        print("| " + " | ".join(table.headers) + " |")
        print("|" + "---|" * len(table.headers))
        for row in table.rows:
            print("| " + " | ".join(row) + " |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
