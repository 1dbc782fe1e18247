"""From a stop's arrival in the process to the telegram that it changes, over the whole program and a real WebSocket."""

from __future__ import annotations

import random
import select
import time
from statistics import median
from typing import Any

from benchmarks.hmi_clients import Client, serve
from benchmarks.servers import Ours
from benchmarks.table import Aim, Table, show

AXES = 5
PERIOD_US = 1000.0
AIM_PERIODS = 2.0
WAITING, AUTO, MASTER = 1, 2, 5     # states; the controller's own element of the arrays per node


class Operator:
    """One client that starts, jogs and stops."""

    def __init__(self, port: int) -> None:
        self._client = Client(port)
        self._poll = select.epoll()
        self._poll.register(self._client.socket.fileno(), select.EPOLLIN)
        self.listen(1.5)        # motion is refused in the first second of a connection

    def listen(self, seconds: float) -> None:
        serve([self._client], self._poll, time.monotonic() + seconds)

    def send(self, text: bytes) -> int:
        """Time it was sent, CLOCK_MONOTONIC in ns."""
        now_ns = time.monotonic_ns()
        self._client.send(text)
        return now_ns

    def until(self, state: int) -> None:
        limit = time.monotonic() + 10.0
        while time.monotonic() < limit:
            self._client.first = None
            while self._client.first is None:
                self.listen(0.02)
            if self._client.first["driverState"][MASTER] == state:
                return
        raise RuntimeError(f"the arm did not reach state {state}: {self._client.first}")

    def jog(self, seconds: float) -> None:
        """Hold a jog: refreshed every 50 ms."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.send(b'42["command",{"type":"jog","speed_percent":[20,20,20,20,20]}]')
            self.listen(min(0.05, max(0.0, until - time.monotonic())))


def run(quick: bool) -> list[Table]:
    """One table."""
    stops = 5 if quick else 100
    chance = random.Random(1)
    sent: list[int] = []
    with Ours(20, AXES) as ours:
        operator = Operator(ours.port)
        ours.stops()
        for _ in range(stops):
            operator.send(b'42["response",["start"]]')
            operator.until(AUTO)
            operator.jog(0.2 + 0.05 * chance.random())
            sent.append(operator.send(b'42["response",["stop"]]'))
            operator.until(WAITING)
            operator.listen(0.25)       # a jog has to be let go first
        seen = ours.stops()
    if len(seen) != stops:
        raise RuntimeError(f"{stops} stops were sent, {len(seen)} acted on")
    inside = sorted((changed - arrived) / 1e3 for arrived, changed in seen)
    whole = sorted((changed - at) / 1e3 for at, (_, changed) in zip(sent, seen, strict=True))
    rows: list[list[Any]] = [[name, median(us), us[int(0.9 * len(us))], us[-1]]
                             for name, us in (("arrival in the process", inside), ("client's send", whole))]
    within = sum(us <= AIM_PERIODS * PERIOD_US for us in inside) / stops
    note = (f"{stops} stops of a jogging arm at 1000 Hz over a WebSocket, {within:.0%} within {AIM_PERIODS:g} periods "
            "of their arrival. The moment of the telegram is the end of the cycle that first counts the stop; that "
            "this is the next cycle is asserted on the virtual clock (test_saf_2_...).")
    return [Table("Stop: to the first telegram of the stop, us", ["from", "p50", "p90", "max"], rows, note,
                  [Aim("median from arrival to telegram", median(inside) / PERIOD_US, AIM_PERIODS, "periods")])]


if __name__ == "__main__":
    show(run(quick=True))
