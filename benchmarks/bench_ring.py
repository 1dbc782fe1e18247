"""Rings beside boost's spsc_queue, moodycamel's ReaderWriterQueue and queue.SimpleQueue.

Needs a C++ compiler and the headers of the two peers: apt-get install g++ libboost-dev libreaderwriterqueue-dev.
"""

from __future__ import annotations

import os
import queue
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.machine import APT, Missing
from benchmarks.table import Aim, Cell, Table, show

HERE = Path(__file__).resolve().parent
PEERS = ("boost::lockfree::spsc_queue", "moodycamel::ReaderWriterQueue")
OURS = ("CommandRing", "StateRing")
PYTHON = "queue.SimpleQueue"
PUSH_POP, PING_PONG, BETWEEN = "push + pop", "ping-pong round trip", "between threads, per record"
SIZES = (256, 512)
AIMS = {PUSH_POP: 1.0, PING_PONG: 0.8, BETWEEN: 1.0}     # times the better native peer
NOTES = {
    PUSH_POP: "One thread, per pair",
    PING_PONG: "Two pinned cores, per round trip over two queues",
    BETWEEN: "Two pinned cores, per record; StateRing: per write with a reader at work, which may lose records",
}


def build(folder: Path) -> Path:
    """Compile ring.cpp; Missing with what the compiler said and which packages it may be that are not installed."""
    compiler = os.environ.get("CXX", "").split() or [shutil.which("g++") or shutil.which("c++") or "g++"]
    program = folder / "ring"
    command = [*compiler, "-std=c++20", "-O3", "-pthread", f"-I{HERE.parent / 'ext'}", str(HERE / "ring.cpp"),
               "-o", str(program)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except FileNotFoundError:
        raise Missing("no C++ compiler: apt-get install g++") from None
    if done.returncode:
        raise Missing(f"{done.stderr}\nheaders missing? {APT}")
    return program


Key = tuple[str, int, str]  # measure, record bytes, queue


def native(processes: int, rounds: int, chunks: int) -> list[dict[Key, float]]:
    """Per process, medians over its rounds in ns.

    Where a process's memory happens to lie, and which cores it gets, decides much of a ping-pong, for ours and the
    peers alike: one process is no measurement, and only figures of the same process can be compared."""
    found: list[dict[Key, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        command = [str(build(Path(folder))), str(rounds), str(chunks)]
        for _ in range(processes):
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
            if done.returncode:
                raise RuntimeError(f"benchmarks/ring.cpp ended with {done.returncode}: {done.stderr}")
            rows = (line.split("\t") for line in done.stdout.splitlines())
            found.append({(measure, int(size), name): float(ns) for measure, name, size, ns, _ in rows})
    return found


def ratios(found: list[dict[Key, float]], measure: str, size: int, name: str) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile over processes of the ratio to the better peer in the same process."""
    values = sorted(one[measure, size, name] / min(one[measure, size, peer] for peer in PEERS) for one in found)
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, middle, upper


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
    processes, rounds, chunks = (3, 3, 5) if quick else (15, 10, 10)
    found = native(processes, rounds, chunks)
    tables = []
    python = {size: simple_queue(size, 5 if quick else 25) for size in SIZES}
    for measure, note in NOTES.items():
        rows: list[list[Cell]] = []
        aims = []
        for size in SIZES:
            for name in (*OURS, *PEERS):
                lower, ratio, upper = ratios(found, measure, size, name)
                nanoseconds = statistics.median(one[measure, size, name] for one in found)
                rows.append([size, name, nanoseconds, ratio, f"{lower:.2f} .. {upper:.2f}"])
                # Alone on one thread a record of the state ring costs more than a queue's: it is copied as atomic
                # words, so that any number of readers may read while the writer never waits. No peer does that.
                if name in OURS and (measure, name) != (PUSH_POP, "StateRing"):
                    aims.append(Aim(f"{measure}, {name}, {size} bytes", ratio, AIMS[measure], "x better peer"))
            best = statistics.median(min(one[measure, size, peer] for peer in PEERS) for one in found)
            rows.append([size, PYTHON, python[size][measure], python[size][measure] / best, ""])
        tables.append(Table(
            f"Rings: {measure}, ns", ["record bytes", "queue", "median", "x better peer", "middle half of processes"],
            rows, f"{note}. Medians over {processes} processes of {rounds} interleaved rounds of {chunks} samples; the "
            "ratio is taken within each process. Records through memory, all native queues in one program.", aims))
    return tables


if __name__ == "__main__":
    show(run(quick=True))
