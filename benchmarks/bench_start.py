"""Start-up: process start to first control cycle, first HTTP answer and an arm that is ready, beside Node."""

from __future__ import annotations

import compileall
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import controller
from benchmarks.machine import node_version, require_node
from benchmarks.servers import NODE, end, environment, free_port, install_node_packages, wait_ready
from benchmarks.table import Aim, Cell, Table, show

FIRST_CYCLE_MS, FIRST_ANSWER_MS = 30.0, 300.0
POLL_S = 0.002
LIMIT_S = 20.0
REPORT_S = 1.2      # the status carries the real-time report after at most a second


def first_answer_ns(port: int, process: subprocess.Popen[Any]) -> int:
    """CLOCK_MONOTONIC of the first byte of the first answer to GET /healthz, whatever it says."""
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), 2.0) as connection:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                if connection.recv(12).startswith(b"HTTP/1.1 "):
                    return time.monotonic_ns()
        except OSError:
            pass
        time.sleep(POLL_S)
    raise RuntimeError(f"no answer on port {port} within {LIMIT_S:g} s (exit code {process.poll()})")


def start_ours(folder: str) -> dict[str, float]:
    """Milliseconds from before fork to each event, of `allyarm run` on its own simulated arm."""
    port = free_port()
    begin = time.monotonic_ns()
    process = subprocess.Popen([sys.executable, "-m", "controller", "run", "--hmi-port", str(port)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(folder))
    try:
        answer = first_answer_ns(port, process)
        ready = wait_ready(port, process)
        until = time.monotonic() + LIMIT_S
        while not ready["realtime"].get("first_cycle_ns") and time.monotonic() < until:
            time.sleep(REPORT_S)
            ready = wait_ready(port, process)
        return {"first control cycle": (ready["realtime"]["first_cycle_ns"] - begin) / 1e6,
                "first HTTP answer": (answer - begin) / 1e6,
                "arm ready (WAITING)": (ready["state_since_ns"] - begin) / 1e6}
    finally:
        end(process)


def start_node() -> float:
    """Milliseconds from before fork to the first HTTP answer of express, socket.io and serialport."""
    port = free_port()
    begin = time.monotonic_ns()
    process = subprocess.Popen([require_node(), str(NODE / "start.cjs"), str(port)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env={**os.environ, "NODE_ENV": "production"})
    try:
        return (first_answer_ns(port, process) - begin) / 1e6
    finally:
        end(process)


def start_python() -> float:
    """Milliseconds that the bare interpreter takes from before fork to its end: the floor."""
    begin = time.monotonic_ns()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return (time.monotonic_ns() - begin) / 1e6


def run(quick: bool) -> list[Table]:
    """One table of medians over many starts, files in the page cache and bytecode written, as in an installation."""
    compileall.compile_dir(Path(controller.__file__).parent, quiet=1)
    install_node_packages()
    starts = 3 if quick else 15
    node = "Node: first HTTP answer"
    python = "bare Python: start to end"
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="allyarm-bench-") as folder:
        for number in range(starts + 1):
            times = {**start_ours(str(Path(folder) / str(number))), node: start_node(), python: start_python()}
            if number:      # the first start fills the caches
                for name, value in times.items():
                    found.setdefault(name, []).append(value)
    rows: list[list[Cell]] = [[name, median(values), min(values), max(values)] for name, values in found.items()]
    return [Table(
        "Start-up, ms", ["from process start to", "median", "least", "most"], rows,
        f"{starts} interleaved starts, counted from before fork. `allyarm run` starts its simulated arm; ready "
        f"includes the arm's bring-up and start checks. Node {node_version()} loads express, socket.io and serialport.",
        [Aim(name, median(found[name]), limit, "ms") for name, limit in
         (("first control cycle", FIRST_CYCLE_MS), ("first HTTP answer", FIRST_ANSWER_MS))])]


if __name__ == "__main__":
    show(run(quick=True))
