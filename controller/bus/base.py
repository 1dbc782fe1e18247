"""What a motor bus must do, and where each is found. A bus is one file here and its telegram functions in ext/."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

from controller.arm import ArmFacts


class BusError(Exception):
    """Bring-up failed; the text names the port or register and what to do."""


class MotorBus(Protocol):
    """Opened and brought up by the main thread; then `fileno` is lent to the control thread until `close`."""

    def open(self) -> None:
        """Open the line; BusError when it cannot be opened or refuses its settings."""

    def bring_up(self, max_speed_deg_s: list[float]) -> ArmFacts:
        """Read the arm's registers and enter the cyclic phase; BusError names the register that was wrong."""

    def fileno(self) -> int:
        """File descriptor of the open line."""

    def close(self) -> None:
        """Close the line; never raises."""


BUSES = {"serial": "controller.bus.serial:SerialBus"}


def make_bus(kind: str, port: str, baudrate: int) -> MotorBus:
    """The bus of that kind, not opened yet; imported only now."""
    module, name = BUSES[kind].split(":")
    bus: MotorBus = getattr(import_module(module), name)(port, baudrate)
    return bus
