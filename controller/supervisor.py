"""Keeps the arm connected: bring-up, lending the line to the core, and a new bring-up after a loss.

Thread contract: main thread only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from msgspec.structs import replace

from controller._core import Core
from controller.arm import ArmFacts
from controller.bus.base import BusError, Cancelled, MotorBus, make_bus, never
from controller.bus.board_registers import BoardWrites, Held
from controller.chain import chain_of
from controller.config import Config, ConfigError, check_axes
from controller.load import load_of

log = logging.getLogger("allyarm.bus")
CAUSES_KEPT = 50        # a disturbed line words its complaints anew each time


def core_settings(config: Config) -> dict[str, float]:
    """Settings of the core's loop from the configuration."""
    motion = config.motion
    return {
        "rate_hz": config.loop.rate_hz, "silence_ms": config.bus.silence_ms,
        "relay_switch_ms": config.safety.relay_switch_ms, "jog_timeout_ms": motion.jog_timeout_ms,
        "max_overruns_in_a_row": config.loop.max_overruns_in_a_row, "position_gain_1_s": motion.position_gain_1_s,
        "limit_margin_deg": motion.limit_margin_deg, "following_error_deg": motion.following_error_deg,
        "standstill_speed_deg_s": motion.standstill_speed_deg_s,
        "standstill_drift_deg": motion.standstill_drift_deg, "in_position_counts": motion.in_position_counts,
        "battery_minimum_v": config.battery.minimum_v, "battery_maximum_v": config.battery.maximum_v,
        "battery_averaging_s": config.battery.averaging_s,
        "external_heartbeat_ms": config.external.heartbeat_ms if config.external.enabled else 0.0,
    }


def core_axes(config: Config, facts: ArmFacts) -> list[dict[str, float]]:
    """Parameters of every axis: the arm's registers and the configuration's limits."""
    rows = []
    for i, axis in enumerate(facts.axis):
        limits = config.limits(i)
        rows.append({
            "resolution_counts": axis.resolution_counts, "stroke_deg": axis.stroke_deg,
            "zero_counts": axis.zero_counts, "inverted": axis.inverted,
            "hard_minimum_counts": axis.hard_minimum_counts, "hard_maximum_counts": axis.hard_maximum_counts,
            "deg_per_microstep": axis.speed_conversion_deg, "max_speed_deg_s": limits.max_speed_deg_s,
            "max_acceleration_deg_s2": limits.max_acceleration_deg_s2, "max_jerk_deg_s3": limits.max_jerk_deg_s3,
            "quick_stop_deceleration_deg_s2": limits.quick_stop_deceleration_deg_s2,
        })
    return rows


def nothing() -> None:
    """An `on_link` for callers that do not ask."""


class Supervisor:
    """Call `tick` often. `on_arm` is told the facts after each bring-up, before the line is lent.

    `cancelled` is asked at least every 50 ms while a bring-up lasts and ends it by saying True. `on_link` is called
    whenever one of these changed: `attempts` finished, `connections`, `last_error` ("" while connected),
    `malformed_lines` of all bring-ups together, `notes` of the line in use.
    """

    def __init__(self, core: Core, config: Config, port: Callable[[], str], on_arm: Callable[[ArmFacts], None],
                 *, cancelled: Callable[[], bool] = never, on_link: Callable[[], None] = nothing,
                 writes: BoardWrites | None = None) -> None:
        self._core, self._config, self._port, self._on_arm = core, config, port, on_arm
        self._cancelled, self.on_link = cancelled, on_link
        self._writes = writes or BoardWrites()
        self._bus: MotorBus | None = None
        self._next_try = 0.0
        self._since = time.monotonic()
        self._told: set[str] = set()
        self._opening = False
        self.attempts = 0
        self.connections = 0
        self.last_error = ""
        self.malformed_lines = 0
        self.notes: list[str] = []
        self.configured = False     # the core runs at loop.rate_hz from then on

    @property
    def connected(self) -> bool:
        return self._bus is not None

    def gave_up(self) -> bool:
        """True when bus.give_up_after_s is over without an arm."""
        limit = self._config.bus.give_up_after_s
        return limit > 0 and not self.connected and time.monotonic() - self._since > limit

    def interrupt(self) -> None:
        """For a signal handler of the main thread: ends the one step that cannot be cancelled, opening a port (a
        socket:// URL may take seconds), by an exception in the middle of it."""
        if self._opening:
            self._opening = False
            raise InterruptedError("cancelled")

    def tick(self) -> None:
        """Notice a lost line, or try the next bring-up when it is due. Blocks for one bring-up at most."""
        if self._bus is not None:
            if self._core.released:
                if self._writes.waiting:    # the loop has given the line back for them
                    self._drop("the line was taken to write registers of the board", logging.INFO)
                else:
                    self._drop("communication lost", logging.WARNING)
            return
        if self._writes.held and not self._writes.waiting:
            self._since = time.monotonic()      # an arm whose firmware is updated is not missing
            return
        if time.monotonic() < self._next_try:
            return
        port = self._port()
        if port:
            self._connect(port)
            self.attempts += 1
            self.on_link()
        self._next_try = time.monotonic() + (self._config.bus.connect_retry_s if self.attempts else 0.0)

    def _connect(self, port: str) -> None:
        bus = make_bus("serial", port, self._config.bus.baudrate)
        try:
            facts = self._bring_up(bus)
        except Held:
            bus.close()
            self.last_error = "firmware of the board is updated"
            return
        except (BusError, ConfigError, ValueError, OSError) as error:
            bus.close()
            self._writes.fail(BusError(f"nothing was written: {error}"))
            if isinstance(error, Cancelled) or self._cancelled():
                self.last_error = self.last_error or f"bring-up on {port} was not finished"
            else:
                self._tell(port, str(error))
            return
        finally:
            self.malformed_lines += bus.malformed_lines
            self.notes = list(bus.notes)
        self._bus, self.last_error = bus, ""
        self._told.clear()
        self.connections += 1
        log.info("arm %s (board %s, %d axes) on %s", facts.serial, facts.version, facts.axes, port)

    def _bring_up(self, bus: MotorBus) -> ArmFacts:
        """The board enters its cyclic phase last: only when this arm fits and the core has accepted it."""
        config = self._config
        try:
            self._opening = True
            bus.open()
        finally:
            self._opening = False
        self._write_texts(bus)
        if self._writes.held:
            raise Held
        facts = bus.read_facts([config.limits(i).max_speed_deg_s for i in range(8)], self._cancelled)
        facts = facts.with_margin(config.motion.limit_margin_deg)
        check_axes(config, facts.axes)
        facts = replace(facts, chain=chain_of(config, facts.axes))
        self._core.configure(core_settings(config), core_axes(config, facts), facts.chain, load_of(config, facts))
        self.configured = True
        self._on_arm(facts)
        bus.enter_cyclic(self._cancelled)
        self._core.attach(bus.fileno())
        return facts

    def _write_texts(self, bus: MotorBus) -> None:
        """What an administrator left for the board's text registers. Names are logged, values never."""
        write = self._writes.take()
        if write is None:
            return
        try:
            for address, text in write.texts.items():
                bus.write_text(address, text, self._cancelled)
        except BusError as error:
            log.warning("registers of the board not written (%s): %s", write.names, error)
            write.done.set_exception(error)
            raise
        log.info("registers of the board written: %s", write.names)
        write.done.set_result(None)

    def _tell(self, port: str, error: str) -> None:
        """Once per cause, not once per attempt, until an arm is connected."""
        self.last_error = error
        if error not in self._told:
            log.warning("no arm on %s: %s; trying again every %g s", port, error, self._config.bus.connect_retry_s)
            if len(self._told) >= CAUSES_KEPT:
                self._told.clear()
            self._told.add(error)

    def _drop(self, why: str, level: int) -> None:
        log.log(level, "%s; connecting again", why)
        self.close()
        self.last_error = why
        self._since = time.monotonic()
        self._next_try = time.monotonic() + min(0.1, self._config.bus.connect_retry_s)
        self.on_link()

    def close(self) -> None:
        """Take the line back from the core and close it."""
        if self._bus is not None:
            self._core.detach()
            self._bus.close()
            self._bus = None
