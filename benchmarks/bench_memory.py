"""Resident memory of the whole controller process with HMI clients connected, beside Node's server alone."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from benchmarks.bench_hmi import AXES, Series, one_round
from benchmarks.machine import node_version, other_cpus, resident_kb
from benchmarks.servers import Clients, Node, Ours, install_node_packages
from benchmarks.table import Aim, Table, show

RATE_HZ = 60
CLIENTS = (0, 10, 50)
AIM_CLIENTS, AIM_MB = 10, 60.0


def measure(server: Ours | Node, count: int, seconds: float) -> tuple[float, float]:
    """(VmRSS, PSS) in MB after `count` clients have listened for so long, while they still do."""
    if not count:
        kb = resident_kb(server.process.pid)
    else:
        clients = Clients(server.port, count, seconds, other_cpus())
        clients.until("go")
        clients.until("done")       # they stay connected until the result is out
        kb = resident_kb(server.process.pid)
        clients.result()
    return kb[0] / 1024, kb[1] / 1024


def run(quick: bool) -> list[Table]:
    """One table."""
    install_node_packages()
    seconds = 1.0 if quick else 10.0
    rows: list[list[Any]] = []
    aims = []
    with ExitStack() as stack:
        ours = stack.enter_context(Ours(RATE_HZ, AXES))
        node = stack.enter_context(Node(RATE_HZ, one_round(ours, 1, 0.5, Series())))
        for count in CLIENTS:
            rss, pss = measure(ours, count, seconds)
            rows.append([count, rss, pss, *measure(node, count, seconds)])
            if count == AIM_CLIENTS:
                aims.append(Aim(f"VmRSS with {count} clients at {RATE_HZ} Hz", rss, AIM_MB, "MB"))
    headers = ["clients", "VmRSS ours", "PSS ours", "VmRSS Node", "PSS Node"]
    return [Table("Resident memory, MB", headers, rows,
                  f"After {seconds:g} s at {RATE_HZ} Hz. Ours is the whole controller with its memory locked, and the "
                  f"benchmark's door in it; Node {node_version()} is the socket.io server alone. PSS shares out pages "
                  "that several processes map.", aims)]


if __name__ == "__main__":
    show(run(quick=True))
