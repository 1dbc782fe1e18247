"""The simulated base board, compiled from ext/simboard.pyx. One thread at a time."""

from collections.abc import Sequence
from typing import TypedDict

class Truth(TypedDict):
    """How the arm really is. One tuple entry per axis."""

    time_ns: int
    phase: str  # "register" or "cyclic"
    position_deg: tuple[float, ...]
    speed_deg_s: tuple[float, ...]
    torque_counts: tuple[float, ...]
    position_counts: tuple[float, ...]  # without noise and sensor faults
    minimum_deg: tuple[float, ...]  # hard limits
    maximum_deg: tuple[float, ...]
    driver_state: tuple[int, ...]
    error_code: tuple[int, ...]
    warning_code: tuple[int, ...]
    command: tuple[tuple[int, int, float], ...]  # (working mode, target type, target) of the last valid command
    torque_offset_counts: tuple[float, ...]
    load_counts: tuple[float, ...]  # that the drive carries at rest: gravity less the spring and outside torques
    lever_mm: tuple[tuple[float, float, float], ...]  # the hand's way per turn of the joint, mm/rad, base frame
    hand_mm: tuple[float, float, float]  # where the hand is, base frame
    enable: bool
    contacts: bool
    button_pressed: bool
    battery_mv: float
    counters: dict[str, int]

class Maxima(TypedDict):
    """Running extremes since the start or `reset_maxima`. One tuple entry per axis."""

    command_speed_deg_s: tuple[float, ...]
    command_change_deg_s: tuple[float, ...]
    speed_deg_s: tuple[float, ...]
    lowest_deg: tuple[float, ...]
    highest_deg: tuple[float, ...]

def die_with_parent(signal_number: int) -> None: ...

class Board:
    def __init__(
        self,
        axes: int = 4,
        seed: int = 0,
        *,
        start_deg: Sequence[float] | None = None,
        serial_number: str = ...,
        **options: float,
    ) -> None: ...
    def step(self, now_ns: int, received: bytes = b"") -> bytes: ...
    def set_fault(self, name: str, on: bool = True, axis: int = 0, **params: float) -> None: ...
    def clear_faults(self, name: str | None = None) -> None: ...
    def faults(self) -> tuple[tuple[str, int], ...]: ...
    def register(self, address: int) -> str | float: ...
    def set_version(self, version: str) -> None: ...
    def truth(self) -> Truth: ...
    def maxima(self) -> Maxima: ...
    def reset_maxima(self) -> None: ...
    def flag_log(self) -> list[tuple[int, int]]: ...
    @property
    def update_orders(self) -> int: ...
    @property
    def axes(self) -> int: ...
    @property
    def hung_up(self) -> bool: ...
    @property
    def due_ns(self) -> int: ...
