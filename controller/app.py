"""Composition root: the only place that starts and stops things, in order.

Control loop first (it runs before this file is imported), then real-time settings, simulated arm, HMI, bus. The end is
the reverse: soft stop and power off in the core, then HMI, simulator, store.

Thread contract: main thread. It supervises; if it hangs, the loop goes on holding and systemd's watchdog restarts us.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING

from controller import __version__
from controller._core import Core
from controller.arm import ArmFacts
from controller.cli.fail import say
from controller.config import Config, notes
from controller.notify import Notifier
from controller.simulated import SimulatedArm
from controller.supervisor import Supervisor

if TYPE_CHECKING:
    from controller.hmi.server import HmiServer

log = logging.getLogger("allyarm")
TICK_S = 0.02
STOP_LIMIT_S = 1.5
ANNOUNCE_AFTER_S = 5.0      # at the latest, with or without an arm
NO_ARM: ArmFacts = ArmFacts(serial="", version="", axis=())


class App:
    """One run of the controller. `run` returns the exit code."""

    def __init__(self, core: Core, config: Config, duration_s: float | None) -> None:
        self._core, self._config, self._duration_s = core, config, duration_s
        self._stop = threading.Event()
        self._reader = core.reader()
        self._announced = False
        self._last_cycle = (-1, time.monotonic())

    def run(self) -> int:
        config = self._config
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
        for note in notes(config):
            log.info("%s", note)
        refused = self._real_time()
        if refused and config.loop.require_realtime:
            say("real-time settings were refused and loop.require_realtime is set: "
                + "; ".join(f"{name}: {why}" for name, why in refused.items()) + ". `allyarm doctor` names the remedy.")
            return 2
        self._catch_signals()
        with contextlib.ExitStack() as stack:
            return self._run(stack)

    def _run(self, stack: contextlib.ExitStack) -> int:
        from controller.hmi.server import HmiOptions, HmiServer
        from controller.store import Store

        config, core = self._config, self._core
        port = config.bus.port
        find_port = lambda: port  # noqa: E731
        if config.simulated:
            arm = SimulatedArm(config.sim.axes, config.sim.seed)
            stack.callback(arm.close)
            find_port = arm.port
            log.info("faults of the simulated arm: allyarm sim --send %s help", arm.control)
        store = Store(state_folder(config.store.path))
        stack.callback(store.close)
        hmi = HmiServer(core, HmiOptions.from_config(config), store, NO_ARM)
        try:
            hmi.start()
        except OSError as error:
            say(f"the HMI server cannot start: {error}")
            return 2
        stack.callback(hmi.stop, 0.5)
        supervisor = Supervisor(core, config, find_port, hmi.set_arm)
        stack.callback(supervisor.close)
        stack.callback(self._end_core)
        notifier = Notifier()
        return self._supervise(supervisor, hmi, notifier)

    def _supervise(self, supervisor: Supervisor, hmi: HmiServer, notifier: Notifier) -> int:
        started = pinged = time.monotonic()
        while not self._stop.wait(TICK_S):
            supervisor.tick()
            self._tell_events()
            now = time.monotonic()
            if not self._announced and (supervisor.attempts or now - started > ANNOUNCE_AFTER_S):
                self._announce(supervisor, hmi, notifier)
            if notifier.interval_s and now - pinged > notifier.interval_s / 2 and self._alive(hmi, now):
                notifier.send("WATCHDOG=1")
                pinged = now
            if supervisor.gave_up():
                say(f"no arm within {self._config.bus.give_up_after_s:g} s (bus.give_up_after_s): "
                    f"{supervisor.last_error or 'connection lost'}")
                return 3
            if self._duration_s is not None and now - started > self._duration_s:
                break
        notifier.send("STOPPING=1")
        return 0

    def _announce(self, supervisor: Supervisor, hmi: HmiServer, notifier: Notifier) -> None:
        """The one line that says what is really running."""
        config, report = self._config, self._core.realtime()
        port = "simulated arm" if config.simulated else config.bus.port
        bus = f"{port} at {config.bus.baudrate} baud" if supervisor.connected else f"no arm on {port} yet"
        scheduling = report["scheduler"] + (f" {report['priority']}" if report["priority"] else "")
        where = f" on cpu {report['cpus'][0]}" if len(report["cpus"]) == 1 else ""
        memory = "memory locked" if report["locked_kb"] else "memory not locked"
        refused = "".join(f", {name} refused ({why})" for name, why in report["refused"].items())
        loop = f"loop {config.loop.rate_hz} Hz {scheduling}{where}, {memory}{refused}"
        print(f"allyarm {__version__}: HMI {hmi.address}, bus {bus}, {loop}", flush=True)
        gc.enable()
        gc.freeze()     # what is loaded by now stays: later collections need not look at it
        notifier.send(f"READY=1\nSTATUS=HMI {hmi.address}, {bus}")
        self._announced = True

    def _alive(self, hmi: HmiServer, now: float) -> bool:
        """Do the control loop and the HMI thread both make progress? The watchdog is fed only then."""
        state = self._reader.latest()
        if state is not None and state.cycle != self._last_cycle[0]:
            self._last_cycle = (state.cycle, now)
        return now - self._last_cycle[1] < 0.5 and hmi.alive()

    def _tell_events(self) -> None:
        from controller.history import describe

        for event in self._core.events():
            log.log(*describe(event))

    def _real_time(self) -> dict[str, str]:
        """Ask for the configured real-time settings; returns what was refused."""
        loop = self._config.loop
        available = sorted(os.sched_getaffinity(0))
        cpu = loop.cpu if loop.cpu >= 0 else (available[-1] if len(available) > 1 else -1)
        report = self._core.set_realtime(priority=loop.priority, cpu=cpu, lock_memory=loop.lock_memory,
                                         spin_us=loop.spin_us)
        others = [number for number in available if number != cpu]
        if others and cpu in available:
            os.sched_setaffinity(0, others)     # this thread and those it starts leave the control thread its core
        refused: dict[str, str] = report["refused"]
        for name, why in refused.items():
            log.warning("real time: %s refused: %s", name, why)
        return refused

    def _catch_signals(self) -> None:
        def stop(number: int, frame: FrameType | None) -> None:
            del frame
            if self._stop.is_set():
                os._exit(128 + number)      # asked twice: the board's watchdog takes motor power
            self._stop.set()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)

    def _end_core(self) -> None:
        """Soft stop, motor power off, leave the cyclic phase; all of it in the core."""
        self._core.request_quit()
        if not self._core.join(STOP_LIMIT_S):
            say("the control thread did not end in time; the base board's watchdog takes motor power within 50 ms")
            os._exit(1)
        self._tell_events()


def state_folder(path: str) -> str:
    """Folder for settings: the configured one, systemd's $STATE_DIRECTORY, or ~/.local/state/allyarm."""
    systemd = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    return os.path.expanduser(path) or systemd or os.path.expanduser("~/.local/state/allyarm")


