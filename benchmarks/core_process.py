"""The control thread as in production, in a process of its own, attached to a simulated arm in another one.

    python -m benchmarks.core_process PORT

Takes one JSON line per request on its standard input and answers with one line: {"do": "measure", "seconds": 5,
"spin_us": 0, "moving": false} -> lateness and run time of every cycle in ns; {"do": "hog", "on": true} has another
thread hold the interpreter lock; end of input ends it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from array import array
from typing import Any

from benchmarks.machine import control_cpu, other_cpus
from controller._core import Core, State, StateReader
from controller.bus.base import BusError
from controller.bus.serial import SerialBus
from controller.chain import chain_of
from controller.config import Config
from controller.spec.modes import BusState, CommandKind, MasterState
from controller.supervisor import core_axes, core_settings

READY_S = 20.0
JOG_PERCENT = 20.0
JOG_REFRESH_S = 0.05
DRAIN_S = 0.1           # the state ring holds about a second
TURN_S = 1.0            # a jog goes back and forth, inside the arm's limits


class Hog:
    """A thread that holds the interpreter lock for tens of milliseconds at a time, without end, while it is on."""

    def __init__(self) -> None:
        self._on = threading.Event()
        threading.Thread(target=self._work, daemon=True).start()

    def switch(self, on: bool) -> None:
        (self._on.set if on else self._on.clear)()

    def _work(self) -> None:
        numbers = range(2_000_000)
        while True:
            self._on.wait()
            sum(numbers)        # one call into C: the lock is not offered to anyone before it returns


class Recording:
    """Numbers of every cycle. Records themselves are not kept: growing memory means page-table work for every core."""

    def __init__(self, wanted: MasterState) -> None:
        self._wanted = wanted
        self._lateness_ns, self._run_ns = array("q"), array("q")
        self._problem = ""

    def add(self, state: State) -> None:
        self._lateness_ns.append(state.lateness_ns)
        self._run_ns.append(state.run_ns)
        if state.state != self._wanted and not self._problem:
            faults = [fault & 0xFFFF for fault in state.faults[:state.fault_count]]
            self._problem = (f"{MasterState(state.state).name}, bus {BusState(state.bus_state).name}, faults {faults}")

    def result(self) -> dict[str, Any]:
        """`problem` says what took the arm out of the wanted state, "" when it stayed in it."""
        return {"lateness_ns": self._lateness_ns.tolist(), "run_ns": self._run_ns.tolist(), "problem": self._problem}


class Rig:
    """Core and arm; the core is made anew for every measurement and gone after it, so cyclictest has the processor."""

    def __init__(self, port: str) -> None:
        self._port = port
        self._config = Config()
        self._cpu = control_cpu() if len(os.sched_getaffinity(0)) > 1 else -1
        os.sched_setaffinity(0, other_cpus())   # as App does; the hog inherits it
        self._hog = Hog()
        self._hogging = False

    def hog(self, on: bool) -> dict[str, Any]:
        self._hogging = on
        self._hog.switch(on)
        return {}

    def measure(self, seconds: float, spin_us: int, moving: bool) -> dict[str, Any]:
        """Lateness and run time of every cycle for so long."""
        self._hog.switch(False)     # not during bring-up: it would take minutes
        core = Core()
        reader = core.reader()
        core.start()
        loop = self._config.loop
        core.set_realtime(priority=loop.priority, cpu=self._cpu, lock_memory=loop.lock_memory, spin_us=spin_us)
        bus = SerialBus(self._port, self._config.bus.baudrate)
        try:
            self._bring_up(core, bus)
            _until(reader, MasterState.WAITING)
            if moving:
                core.push(CommandKind.START)
                _until(reader, MasterState.AUTO)
            self._hog.switch(self._hogging)
            time.sleep(0.1)
            while reader.next() is not None:
                pass
            recording = Recording(MasterState.AUTO if moving else MasterState.WAITING)
            self._record(core, reader, seconds, moving, recording)
            self._hog.switch(False)
            return recording.result()
        finally:
            self._hog.switch(False)
            core.request_quit()
            if not core.join(3.0):
                raise RuntimeError("the control thread does not end")
            bus.close()
            time.sleep(1.1)         # the board falls back to its register phase
            self._hog.switch(self._hogging)

    def _bring_up(self, core: Core, bus: SerialBus) -> None:
        bus.open()
        facts = bus.read_facts([self._config.limits(i).max_speed_deg_s for i in range(8)])
        core.configure(core_settings(self._config), core_axes(self._config, facts), chain_of(self._config, facts.axes))
        bus.enter_cyclic()
        core.attach(bus.fileno())
        self._axes = facts.axes

    def _record(self, core: Core, reader: StateReader, seconds: float, moving: bool, recording: Recording) -> None:
        begin = time.monotonic()
        while (now := time.monotonic()) - begin < seconds:
            if moving:
                way = 1.0 if (now - begin) // TURN_S % 2 else -1.0
                core.push(CommandKind.JOG, mask=(1 << self._axes) - 1, values=[way * JOG_PERCENT] * self._axes)
            time.sleep(JOG_REFRESH_S if moving else DRAIN_S)
            while (state := reader.next()) is not None:
                recording.add(state)


def _until(reader: StateReader, wanted: MasterState) -> None:
    until = time.monotonic() + READY_S
    state = None
    while time.monotonic() < until:
        state = reader.latest() or state
        if state is not None and state.state == wanted:
            return
        time.sleep(0.01)
    name = MasterState(state.state).name if state else "nothing"
    raise RuntimeError(f"the arm did not reach {wanted.name} within {READY_S:g} s: {name}")


def main() -> None:
    rig = Rig(sys.argv[1])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "hog":
            answer = rig.hog(request["on"])
        else:
            try:
                answer = rig.measure(request["seconds"], request["spin_us"], request["moving"])
            except (BusError, RuntimeError, OSError) as error:
                answer = {"lateness_ns": [], "run_ns": [], "problem": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
