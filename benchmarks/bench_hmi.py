"""HMI server beside Node's socket.io: same payload, clients and rates, by turns; and what it does to the loop."""

from __future__ import annotations

import time
from bisect import bisect_right
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.machine import control_cpu, node_version, other_cpus
from benchmarks.servers import Clients, Node, Ours, install_node_packages
from benchmarks.table import Aim, Table, show

AXES = 5
CLIENTS = (1, 10, 50)
RATES_HZ = (20, 60)
AIM_CLIENTS, AIM_RATE_HZ, AIM_RATIO = 10, 60, 0.8
WARM_UP_S = 20.0    # Node compiles what it runs often: its CPU falls by a third during the first 15 s
MANY_CLIENTS, LATENESS_RATIO = 50, 1.1


@dataclass(slots=True)
class Series:
    """One entry per round."""

    cpu_percent: list[float] = field(default_factory=list)
    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    rate_hz: list[float] = field(default_factory=list)
    bytes: int = 0

    def cpu_per_hz(self) -> list[float]:
        """CPU by what was really delivered: a server that skips must not look cheaper for it."""
        return [cpu / rate for cpu, rate in zip(self.cpu_percent, self.rate_hz, strict=True)]


def delivery_us(arrivals: list[list[int]], stamps: list[int]) -> list[float]:
    """Sorted times from the beginning of a send to each receipt: a receipt belongs to the newest send before it."""
    found = []
    for client in arrivals:
        for arrival in client:
            k = bisect_right(stamps, arrival)
            if k:
                found.append((arrival - stamps[k - 1]) / 1e3)
    return sorted(found)


def one_round(server: Ours | Node, count: int, seconds: float, series: Series) -> Any:
    """Let `count` clients listen for so long; returns the first payload."""
    clients = Clients(server.port, count, seconds, {control_cpu()})     # where neither server is
    clients.until("go")
    server.stamps()
    before = server.cpu_ns()
    clients.until("done")
    spent = server.cpu_ns() - before
    stamps = server.stamps()
    result = clients.result()
    latencies = delivery_us(result["arrivals"], stamps)
    series.cpu_percent.append(spent / seconds / 1e7)
    series.p50_us.append(latencies[len(latencies) // 2])
    series.p99_us.append(latencies[int(0.99 * len(latencies))])
    received = sum(len(client) for client in result["arrivals"])
    series.rate_hz.append(received / count / seconds)
    series.bytes = round(result["bytes"] / received)
    return result["payload"]


def lateness_p99_us(server: Ours, count: int, seconds: float) -> float:
    """p99 of the control thread's lateness while `count` clients listen."""
    clients = Clients(server.port, count, seconds + 2.0, other_cpus()) if count else None
    if clients:
        clients.until("go")
    found = sorted(server.lateness_ns(seconds))
    if clients:
        clients.until("done")
        clients.result()
    return found[int(0.99 * len(found))] / 1e3


def compare(rate_hz: int, rounds: int, seconds: float, warm_up_s: float) -> tuple[dict[tuple[int, str], Series], float]:
    """Both servers alive and warm, clients at one of them at a time. Also our CPU without any client, in percent."""
    found: dict[tuple[int, str], Series] = {}
    with ExitStack() as stack:
        ours = stack.enter_context(Ours(rate_hz, AXES))
        payload = one_round(ours, 1, 0.5, Series())
        node = stack.enter_context(Node(rate_hz, payload))
        for server in (ours, node):
            one_round(server, AIM_CLIENTS, warm_up_s, Series())
        idle = []
        for turn in range(rounds):
            for count in CLIENTS:
                for server in (ours, node) if turn % 2 else (node, ours):
                    series = found.setdefault((count, server.name), Series())
                    one_round(server, count, seconds, series)
            idle.append(_idle_percent(ours, seconds))
    return found, median(idle)


def _idle_percent(server: Ours, seconds: float) -> float:
    before = server.cpu_ns()
    time.sleep(seconds)
    return (server.cpu_ns() - before) / seconds / 1e7


def servers_table(quick: bool) -> Table:
    """CPU and delivery latency beside Node's."""
    rounds, seconds, warm_up_s = (1, 1.0, 1.0) if quick else (7, 4.0, WARM_UP_S)
    rows: list[list[Any]] = []
    aims = []
    idle = {}
    sizes = (0, 0)
    for rate_hz in RATES_HZ:
        found, idle[rate_hz] = compare(rate_hz, rounds, seconds, warm_up_s)
        for count in CLIENTS:
            a, b = found[count, Ours.name], found[count, Node.name]
            ratio = median(x / y for x, y in zip(a.cpu_per_hz(), b.cpu_per_hz(), strict=True))
            sizes = (a.bytes, b.bytes)
            rows.append([rate_hz, count, median(a.cpu_percent), median(b.cpu_percent), ratio, median(a.p50_us),
                         median(b.p50_us), median(a.p99_us), median(b.p99_us), median(a.rate_hz), median(b.rate_hz)])
            if (count, rate_hz) == (AIM_CLIENTS, AIM_RATE_HZ):
                aims.append(Aim(f"server CPU, {count} clients at {rate_hz} Hz", ratio, AIM_RATIO, "x Node"))
    headers = ["Hz", "clients", "CPU % ours", "CPU % Node", "ours / Node", "p50 us ours", "p50 us Node", "p99 us ours",
               "p99 us Node", "Hz ours", "Hz Node"]
    note = (f"Node {node_version()}. The message was captured from ours ({sizes[0]} bytes, Node {sizes[1]}); both "
            "encode it anew for every send. CPU in percent of one core: ours is the whole controller without the "
            "control thread, so with supervision and following every state record "
            f"({idle[RATES_HZ[-1]]:.1f} % without any client); Node's is the whole process. Both run on the same "
            "processors, the clients on another. The ratio is per message delivered. Delivery: from the beginning of a "
            "send to its receipt by each client over a WebSocket. Medians, and the median of the rounds' ratios, over "
            f"{rounds} interleaved rounds of {seconds:g} s, after {warm_up_s:g} s in which each server was warmed up.")
    return Table("HMI server beside Node socket.io: CPU and delivery", headers, rows, note, aims)


def loop_table(quick: bool) -> Table:
    """What 50 clients do to the control thread."""
    rounds, seconds = (2, 1.0) if quick else (8, 4.0)
    p99: dict[int, list[float]] = {0: [], MANY_CLIENTS: []}
    with Ours(AIM_RATE_HZ, AXES) as server:
        for turn in range(rounds):
            for count in sorted(p99, reverse=bool(turn % 2)):
                p99[count].append(lateness_p99_us(server, count, seconds))
    ratio = median(p99[MANY_CLIENTS]) / median(p99[0])
    rows = [[count, median(values), min(values), max(values)] for count, values in p99.items()]
    return Table("Lateness of the control thread under HMI clients, p99 in us",
                 ["clients", "median", "least", "most"], rows,
                 f"{AIM_RATE_HZ} Hz; {rounds} interleaved rounds of {seconds:g} s. The clients do not run on the "
                 "control thread's processor, as those of other machines do not.",
                 [Aim(f"p99 with {MANY_CLIENTS} clients", ratio, LATENESS_RATIO, "x without clients")])


def run(quick: bool) -> list[Table]:
    """Two tables."""
    install_node_packages()
    return [servers_table(quick), loop_table(quick)]


if __name__ == "__main__":
    show(run(quick=True))
