"""Fifty clients, ten of which never read, for ten minutes: the memory of the process and the lateness of the loop."""

from __future__ import annotations

import socket
import time
from typing import Any

from benchmarks.bench_hmi import AXES, lateness_p99_us
from benchmarks.hmi_clients import Client
from benchmarks.machine import other_cpus, resident_kb
from benchmarks.servers import Clients, Ours, status
from benchmarks.table import Aim, Table, show

RATE_HZ = 60
READING, STALLED = 40, 10
AIM_MB, LATENESS_RATIO = 10.0, 1.1
RECEIVE_BYTES = 4096


def stalled_client(port: int) -> socket.socket:
    """Connected, and never reads again."""
    client = Client(port)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    return client.socket


def run(quick: bool) -> list[Table]:
    """One table."""
    seconds = 20.0 if quick else 600.0
    rows: list[list[Any]] = []
    with Ours(RATE_HZ, AXES) as ours:
        quiet_us = lateness_p99_us(ours, 0, 4.0)
        clients = Clients(ours.port, READING, seconds + 5.0, other_cpus())
        clients.until("go")
        stalled = [stalled_client(ours.port) for _ in range(STALLED)]
        begin = time.monotonic()
        first_kb = 0
        late_us = []
        while (passed := time.monotonic() - begin) < seconds:
            late_us.append(lateness_p99_us(ours, 0, 4.0))
            ours.stamps()       # the door keeps them until they are fetched
            kb = resident_kb(ours.process.pid)[0]
            first_kb = first_kb or kb
            rows.append([round(passed), kb / 1024, late_us[-1]])
            found = status(ours.port)
            for _ in range(READING + STALLED - (found["hmi"]["clients"] if found else 0)):  # those that were dropped
                stalled.append(stalled_client(ours.port))
        last_kb = resident_kb(ours.process.pid)[0]
        clients.until("done")
        clients.result()
        for item in stalled:
            item.close()
    shown = rows[:: max(1, len(rows) // 10)]
    middle = sorted(late_us)[len(late_us) // 2]
    note = (f"{RATE_HZ} Hz, {seconds:g} s. A client that does not read does not answer pings either and is "
            f"disconnected after 3 s; another one takes its place, {len(stalled)} in all. p99 without clients before: "
            f"{quiet_us:.1f} us.")
    return [Table("Fifty clients, ten of them stalled: memory and lateness", ["s", "VmRSS MB", "lateness p99 us"],
                  shown, note,
                  [Aim("growth of VmRSS", (last_kb - first_kb) / 1024, AIM_MB, "MB"),
                   Aim("p99 of lateness, median", middle / quiet_us, LATENESS_RATIO, "x without clients")])]


if __name__ == "__main__":
    show(run(quick=True))
