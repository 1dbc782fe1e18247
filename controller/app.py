"""Composition root: the only place that starts and stops things, in order.

Control loop first (it runs before this file is imported), then real-time settings, simulated arm, HMI, bus. The end is
the reverse: soft stop and power off in the core, then HMI, simulator, store.

Thread contract: main thread. It supervises; if it hangs, the loop goes on holding and systemd's watchdog restarts us.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import os
import sys
import time
from typing import TYPE_CHECKING

from controller import __version__
from controller._core import FIRST_RATE_HZ, Core
from controller.arm import ArmFacts
from controller.cli.fail import say
from controller.config import Config, notes
from controller.folders import external_socket, state_folder
from controller.link import LinkReport
from controller.notify import Notifier
from controller.processors import control_processor
from controller.signals import STOP_LIMIT_S, StopSignals
from controller.simulated import SimulatedArm
from controller.spec.modes import MasterState
from controller.supervisor import Supervisor

if TYPE_CHECKING:
    from controller.external.server import ExternalServer
    from controller.history import History
    from controller.hmi.server import HmiServer

log = logging.getLogger("allyarm")
TICK_S = 0.02               # while the arm is being connected
STEADY_TICK_S = 0.1         # once it is: every wake-up costs power and caches, and nothing here is urgent
ANNOUNCE_AFTER_S = 5.0      # at the latest, with or without an arm
END_LIMIT_S = 1.7           # of two seconds; the interpreter needs some of the rest
CLOSE_LIMIT_S, LEAST_S = 1.0, 0.1       # what one disk may take of it
NO_ARM: ArmFacts = ArmFacts(serial="", version="", axis=())


class App:
    """One run of the controller. `run` returns the exit code."""

    def __init__(self, core: Core, config: Config, duration_s: float | None, signals: StopSignals) -> None:
        self._core, self._config, self._duration_s, self._signals = core, config, duration_s, signals
        self._notifier = Notifier()
        self._reader = core.reader()
        self._started = self._pinged = self._last_round = time.monotonic()
        self._last_cycle = (-1, self._started)
        self._announced = self._hmi_alive = False
        self._ending_since = math.inf       # unless it ends because it could not start
        self._told = ""                     # the status systemd knows
        self._code: int | None = None       # of the end, once there is a reason to end
        self._hmi: HmiServer
        self._history: History | None = None
        self._supervisor: Supervisor
        self._external: ExternalServer | None = None

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
        if self._signals.asked:
            return 0
        with contextlib.ExitStack() as stack:
            return self._run(stack)

    def _run(self, stack: contextlib.ExitStack) -> int:
        from controller.history import History, boot_id
        from controller.hmi.server import HmiOptions, HmiServer
        from controller.settings import fault
        from controller.spec.history import Kind
        from controller.store import Store

        config, core = self._config, self._core
        arm: SimulatedArm | None = None

        def find_port() -> str:
            return arm.port() if arm else config.bus.port

        if config.simulated:
            arm = SimulatedArm(config.sim.axes, config.sim.seed)
            stack.callback(arm.close)
            log.info("faults of the simulated arm: allyarm sim --send %s help", arm.control)
        folder = state_folder(config.store.path)
        history = self._history = History(folder, config.store.history_rows)
        stack.callback(self._end_history)
        history.note(Kind.PROGRAM, f"allyarm {__version__} started", detail={
            "boot_id": boot_id(), "pid": os.getpid(), "bus": "simulated arm" if config.simulated else config.bus.port})
        store = Store(folder, fault, cancelled=lambda: self._signals.asked)
        stack.callback(lambda: store.close(self._left_s()))
        if config.external.enabled:
            from controller.external.server import ExternalServer

            try:
                self._external = ExternalServer(core, external_socket(config.external.path, config.store.path),
                                                history.note)
            except OSError as error:
                say(str(error))
                return 2
            stack.callback(self._external.close)
        if store.unaccepted:
            history.note(Kind.ACCEPTANCE, store.unaccepted)
        self._hmi = hmi = HmiServer(core, HmiOptions.from_config(config), store, NO_ARM, history)
        try:
            hmi.start()
        except OSError as error:
            say(f"the HMI server cannot start: {error}")
            return 2
        stack.callback(hmi.stop, 0.5)
        self._supervisor = Supervisor(core, config, find_port, hmi.set_arm, cancelled=self._round,
                                      on_link=lambda: hmi.set_link(self._link(find_port())),
                                      writes=hmi.board_writes)
        hmi.set_link(self._link(""))
        stack.callback(self._supervisor.close)
        stack.callback(self._end_core, arm)
        self._signals.on_first = self._supervisor.interrupt
        while not self._round():
            self._supervisor.tick()
            self._signals.wait(STEADY_TICK_S if self._supervisor.connected else TICK_S)
        self._ending_since = self._signals.first_s or time.monotonic()
        self._notifier.send("STOPPING=1")
        return self._code or 0

    def _round(self) -> bool:
        """Everything but the bus, also while a bring-up lasts. True when the program is to end."""
        now = time.monotonic()
        if self._signals.asked:
            return True
        if now - self._last_round < TICK_S / 2 or self._code is not None:      # asked for every register line
            return self._code is not None
        self._last_round = now
        supervisor, notifier = self._supervisor, self._notifier
        self._tell_events()
        self._watch_hmi()
        if self._external is not None and self._external.tick():
            supervisor.on_link()
        if not self._announced and (supervisor.attempts or now - self._started > ANNOUNCE_AFTER_S):
            self._announce()
        elif self._announced:
            self._tell_status()
        if self._alive(now) and notifier.interval_s and now - self._pinged > notifier.interval_s / 2:
            notifier.send("WATCHDOG=1")
            self._pinged = now
        if supervisor.gave_up():
            say(f"no arm within {self._config.bus.give_up_after_s:g} s (bus.give_up_after_s): "
                f"{supervisor.last_error or 'bring-up was not finished'}")
            self._code = 3
        elif self._duration_s is not None and now - self._started > self._duration_s:
            self._code = 0
        return self._code is not None

    def _link(self, port: str) -> LinkReport:
        supervisor = self._supervisor
        external = self._external
        return LinkReport(supervisor.last_error, supervisor.malformed_lines, tuple(supervisor.notes), port,
                          external.path if external else "", external.program if external else 0)

    def _watch_hmi(self) -> None:
        """Without the HMI nobody can stop the arm by it: stop at once, and start anew when it will not come back."""
        was_alive, self._hmi_alive = self._hmi_alive, self._hmi.alive()
        if was_alive and not self._hmi_alive:
            log.error("the HMI thread does not answer: soft stop, the arm is held")
            self._core.request_stop()
        if self._hmi.ended():
            say("the HMI thread has ended by a fault: ending the program")
            self._code = 1

    def _announce(self) -> None:
        """The one line that says what is really running."""
        supervisor, hmi = self._supervisor, self._hmi
        config, report = self._config, self._core.realtime()
        port = "simulated arm" if config.simulated else config.bus.port
        bus = f"{port} at {config.bus.baudrate} baud" if supervisor.connected else f"no arm on {port} yet"
        scheduling = report["scheduler"] + (f" {report['priority']}" if report["priority"] else "")
        where = f" on cpu {report['cpus'][0]}" if len(report["cpus"]) == 1 else ""
        memory = "memory locked" if report["locked_kb"] else "memory not locked"
        refused = "".join(f", {name} refused ({why})" for name, why in report["refused"].items())
        rate = f"{config.loop.rate_hz} Hz"
        if not supervisor.configured and config.loop.rate_hz != FIRST_RATE_HZ:
            rate = f"{FIRST_RATE_HZ} Hz until an arm is connected, then {rate}"
        loop = f"loop {rate} {scheduling}{where}, {memory}{refused}"
        print(f"allyarm {__version__}: HMI {hmi.address}, bus {bus}, {loop}", flush=True)
        gc.enable()
        gc.freeze()     # what is loaded by now stays: later collections need not look at it
        self._notifier.send("READY=1")
        self._announced = True
        self._tell_status()

    def _tell_status(self) -> None:
        """What `systemctl status` shows, told anew when it changes. The package's scripts look for "motor power on"."""
        supervisor, state = self._supervisor, self._reader.latest()
        port = "the simulated arm" if self._config.simulated else self._config.bus.port
        why = supervisor.last_error or "trying"
        bus = f"arm on {port}" if supervisor.connected else f"no arm on {port} yet ({why})"
        power, name = ("off", "STARTUP") if state is None else (
            "on" if state.motor_power else "off", MasterState(state.state).name)
        status = f"HMI {self._hmi.address}, {bus}, {name}, motor power {power}"
        if status != self._told:
            self._told = status
            self._notifier.send("STATUS=" + " ".join(status.split()))

    def _alive(self, now: float) -> bool:
        """Do the control loop and the HMI thread both make progress? The watchdog is fed only then."""
        state = self._reader.latest()
        if state is not None and state.cycle != self._last_cycle[0]:
            self._last_cycle = (state.cycle, now)
        return now - self._last_cycle[1] < 0.5 and self._hmi_alive

    def _tell_events(self) -> None:
        from controller.history_words import describe

        for event in self._core.events():
            log.log(*describe(event))
            if self._history is not None:
                self._history.core_event(event)

    def _end_history(self) -> None:
        from controller.spec.history import Kind

        why = "a signal" if self._signals.asked else {0: "its time is over", 1: "a fault", 3: "no arm"}.get(
            self._code or 0, "a fault")
        if self._history is not None:
            self._history.note(Kind.PROGRAM, f"allyarm ends: {why}")
            self._history.close(self._left_s())

    def _left_s(self) -> float:
        """How long one more disk may take at the end: the program ends within END_LIMIT_S, whatever hangs."""
        return min(CLOSE_LIMIT_S, max(LEAST_S, self._ending_since + END_LIMIT_S - time.monotonic()))

    def _real_time(self) -> dict[str, str]:
        """Ask for the configured real-time settings; returns what was refused."""
        loop = self._config.loop
        available = sorted(os.sched_getaffinity(0))
        cpu = control_processor(loop.cpu, available)
        report = self._core.set_realtime(priority=loop.priority, cpu=cpu, lock_memory=loop.lock_memory,
                                         spin_us=loop.spin_us)
        others = [number for number in available if number != cpu]
        if others and cpu in available:
            os.sched_setaffinity(0, others)     # this thread and those it starts leave the control thread its core
        refused: dict[str, str] = report["refused"]
        for name, why in refused.items():
            log.warning("real time: %s refused: %s", name, why)
        return refused

    def _end_core(self, arm: SimulatedArm | None) -> None:
        """Soft stop, motor power off, leave the cyclic phase; all of it in the core."""
        self._core.request_quit()
        if not self._core.join(STOP_LIMIT_S):
            say("the control thread did not end in time; the base board's watchdog takes motor power within 50 ms")
            self._end_history()
            if arm is not None:
                arm.close()     # nothing else can be ended in order: the control thread may still use all of it
            os._exit(1)
        self._tell_events()
