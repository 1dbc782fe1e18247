"""Keeps the arm connected: bring-up, lending the line to the core, and a new bring-up after a loss.

Thread contract: main thread only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from controller._core import Core
from controller.arm import ArmFacts
from controller.bus.base import BusError, MotorBus, make_bus
from controller.config import Config, ConfigError, check_axes

log = logging.getLogger("allyarm.bus")


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


class Supervisor:
    """Call `tick` often. `on_arm` is told the facts after each bring-up, before the line is lent."""

    def __init__(self, core: Core, config: Config, port: Callable[[], str], on_arm: Callable[[ArmFacts], None]) -> None:
        self._core, self._config, self._port, self._on_arm = core, config, port, on_arm
        self._bus: MotorBus | None = None
        self._next_try = 0.0
        self._since = time.monotonic()
        self._told = ""
        self.attempts = 0
        self.connections = 0
        self.last_error = ""

    @property
    def connected(self) -> bool:
        return self._bus is not None

    def gave_up(self) -> bool:
        """True when bus.give_up_after_s is over without an arm."""
        limit = self._config.bus.give_up_after_s
        return limit > 0 and not self.connected and time.monotonic() - self._since > limit

    def tick(self) -> None:
        """Notice a lost line, or try the next bring-up when it is due. Blocks for one bring-up at most."""
        if self._bus is not None:
            if self._core.released:
                self._drop("communication lost")
            return
        if time.monotonic() < self._next_try:
            return
        port = self._port()
        if port:
            self.attempts += 1
            self._connect(port)
        self._next_try = time.monotonic() + (self._config.bus.connect_retry_s if self.attempts else 0.0)

    def _connect(self, port: str) -> None:
        config = self._config
        bus = make_bus("serial", port, config.bus.baudrate)
        try:
            bus.open()
            facts = bus.bring_up([config.limits(i).max_speed_deg_s for i in range(8)])
            facts = facts.with_margin(config.motion.limit_margin_deg)
            check_axes(config, facts.axes)
            self._core.configure(core_settings(config), core_axes(config, facts))
            self._on_arm(facts)
            self._core.attach(bus.fileno())
        except (BusError, ConfigError, ValueError, OSError) as error:
            bus.close()
            self.last_error = str(error)
            if self.last_error != self._told:      # once per cause, not once per attempt
                log.warning("no arm on %s: %s; trying again every %g s", port, error, config.bus.connect_retry_s)
                self._told = self.last_error
            return
        self._bus, self._told, self.last_error = bus, "", ""
        self.connections += 1
        log.info("arm %s (board %s, %d axes) on %s", facts.serial, facts.version, facts.axes, port)

    def _drop(self, why: str) -> None:
        log.warning("%s; connecting again", why)
        self.close()
        self._since = time.monotonic()
        self._next_try = time.monotonic() + min(0.1, self._config.bus.connect_retry_s)

    def close(self) -> None:
        """Take the line back from the core and close it."""
        if self._bus is not None:
            self._core.detach()
            self._bus.close()
            self._bus = None
