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


def native(processes: int, rounds: int, chunks: int) -> dict[tuple[str, int, str], float]:
    """Medians in ns by (measure, record bytes, queue): over processes, of each one's median over its rounds.

    Where a process's memory happens to lie decides much of a ping-pong, for ours and the peers alike, so that one
    process is no measurement."""
    found: dict[tuple[str, int, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        command = [str(build(Path(folder))), str(rounds), str(chunks)]
        for _ in range(processes):
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
            if done.returncode:
                raise RuntimeError(f"benchmarks/ring.cpp ended with {done.returncode}: {done.stderr}")
            for line in done.stdout.splitlines():
                measure, name, size, nanoseconds, _ = line.split("\t")
                found.setdefault((measure, int(size), name), []).append(float(nanoseconds))
    return {key: statistics.median(values) for key, values in found.items()}


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
    medians = native(processes, rounds, chunks)
    for size in SIZES:
        for measure, value in simple_queue(size, 5 if quick else 25).items():
            medians[measure, size, PYTHON] = value
    tables = []
    for measure, note in NOTES.items():
        rows: list[list[Cell]] = []
        aims = []
        for size in SIZES:
            best = min(medians[measure, size, peer] for peer in PEERS)
            for name in (*OURS, *PEERS, PYTHON):
                value = medians[measure, size, name]
                rows.append([size, name, value, value / best])
                # Alone on one thread a record of the state ring costs more than a queue's: it is copied as atomic
                # words, so that any number of readers may read while the writer never waits. No peer does that.
                if name in OURS and (measure, name) != (PUSH_POP, "StateRing"):
                    aims.append(Aim(f"{measure}, {name}, {size} bytes", value / best, AIMS[measure], "x better peer"))
        tables.append(Table(
            f"Rings: {measure}, ns", ["record bytes", "queue", "median", "x better peer"], rows,
            f"{note}. Medians over {processes} processes of {rounds} interleaved rounds of {chunks} samples, records "
            "through memory, all native queues in one program.", aims))
    return tables


if __name__ == "__main__":
    show(run(quick=True))
