"""What a motor bus must do, and where each is found. A bus is one file here and its telegram functions in ext/."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Protocol

from controller.arm import ArmFacts


class BusError(Exception):
    """Bring-up failed; the text names the port or register and what to do."""


class Cancelled(BusError):
    """Bring-up was given up because its caller asked for that, not because of the arm."""


def never() -> bool:
    """A `cancelled` for callers that wait as long as it takes."""
    return False


class MotorBus(Protocol):
    """Opened and brought up by the main thread; then `fileno` is lent to the control thread until `close`.

    `cancelled` is asked at least every 50 ms; once it says True the method raises Cancelled.
    """

    malformed_lines: int        # so far; they were skipped
    notes: list[str]            # what this line cannot do, for whoever looks for the cause of jitter

    def open(self) -> None:
        """Open the line; BusError when it cannot be opened or refuses its settings."""

    def read_facts(self, max_speed_deg_s: list[float], cancelled: Callable[[], bool] = never) -> ArmFacts:
        """Read the arm's registers; BusError names the register that was wrong. The board stays in its register phase:
        whether this arm fits is the caller's to decide."""

    def write_text(self, address: int, text: str, cancelled: Callable[[], bool] = never) -> None:
        """Write a text register and wait for the board to confirm it; BusError, without the text, when it does not."""

    def enter_cyclic(self, cancelled: Callable[[], bool] = never) -> None:
        """Put the board into its cyclic phase; BusError when it does not answer. From now on it expects telegrams."""

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
