"""`allyarm run` with a door for the HMI benchmark: the product's own code, plus the times at which it begins to send.

    python -m benchmarks.hmi_program FD run --hmi-port ...

Each line on standard input is answered by one line of JSON on the file descriptor FD: "stamps" -> times
(CLOCK_MONOTONIC, ns) at which `data` was begun to be sent since the last time; "lateness SECONDS" -> lateness in ns of
every cycle of the control thread for so long; "thread" -> thread id of the control thread; "stops" -> [arrival of its
packet, end of the cycle that acted on it] in ns of every stop since the first "stops".
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

from controller import __main__ as program
from controller._core import Core
from controller.signals import StopSignals

DRAIN_S = 0.2
stamps: list[int] = []
stops: list[list[int]] = []
cores: list[Core] = []


def _keep_core() -> None:
    start = program._early_core

    def keep(argv: list[str]) -> tuple[Core, StopSignals] | None:
        early = start(argv)
        if early is not None:
            cores.append(early[0])
        return early

    program._early_core = keep


def _keep_stamps() -> None:
    from controller.hmi.broadcast import Broadcast

    send_due = Broadcast.send_due

    def stamped(self, now_s):  # type: ignore[no-untyped-def]
        stamps.append(time.monotonic_ns())
        send_due(self, now_s)

    Broadcast.send_due = stamped  # type: ignore[method-assign]


def watch_stops(core: Core) -> None:
    """From now on: when a stop's packet comes, and the first record that counts it."""
    from controller.hmi.handlers import Handlers
    from controller.hmi.service import Service

    packet_came, stop, arrivals, newest = Service.packet_came, Handlers.stop, [], [0]

    def came(self, key, size):  # type: ignore[no-untyped-def]
        newest[0] = time.monotonic_ns()
        packet_came(self, key, size)

    def stopped(self):  # type: ignore[no-untyped-def]
        arrivals.append(newest[0])
        stop(self)

    def follow() -> None:
        reader, counted = core.reader(), -1
        while True:
            time.sleep(DRAIN_S)
            while (state := reader.next()) is not None:
                if 0 <= counted < state.stops:
                    # `run_ns` is of the cycle before, which took as long as this one to some microseconds
                    stops.append([arrivals[len(stops)], state.time_ns + state.run_ns])
                counted = state.stops

    Service.packet_came, Handlers.stop = came, stopped  # type: ignore[method-assign]
    threading.Thread(target=follow, daemon=True).start()


def lateness_ns(core: Core, seconds: float) -> list[int]:
    """Lateness of every cycle for so long."""
    reader = core.reader()
    found: list[int] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(DRAIN_S)
        while (state := reader.next()) is not None:
            found.append(state.lateness_ns)
    return found


def _answer(descriptor: int) -> None:
    watching = False
    with os.fdopen(descriptor, "w") as output:
        for line in sys.stdin:
            word, _, argument = line.strip().partition(" ")
            answer: object
            if word == "stamps":
                answer = stamps[:]
                del stamps[:len(answer)]
            elif word == "lateness":
                answer = lateness_ns(cores[0], float(argument))
            elif word == "stops":
                if not watching:
                    watch_stops(cores[0])
                watching, answer = True, stops
            else:
                answer = cores[0].realtime()["thread_id"]
            print(json.dumps(answer), file=output, flush=True)


def main() -> int:
    _keep_core()
    _keep_stamps()
    threading.Thread(target=_answer, args=(int(sys.argv[1]),), daemon=True).start()
    return program.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
