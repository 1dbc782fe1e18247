"""The kernel's event records: bytes -> what the axes of one device say now.

Thread contract: the reading thread only; a View is frozen and may go anywhere.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from controller.input.device import Description
from controller.spec.input import EV_ABS, EV_KEY, EV_MAX, EV_REL, EV_SYN, SYN_DROPPED, SYN_REPORT

EVENT = struct.Struct("@llHHi")  # struct input_event: seconds, microseconds, type, code, value
OLDEST_S = 60.0  # an event that is dated further away than this is none
UNDATED = EV_MAX + 1
REPORTS = (("x", "y", "z"), ("rx", "ry", "rz"))  # axes that a 3D mouse tells together
ABSURD = 1 << 24  # no axis has a value like that


@dataclass(frozen=True, slots=True)
class View:
    """One device at one time. `deflection` and `told_s` (monotonic time of the event that said so) are in the order of
    the description's axes; presses and faults count from its connection."""

    number: int
    description: Description
    deflection: tuple[float, ...]
    told_s: tuple[float, ...]
    heard_s: float
    mode_presses: int = 0
    stop_presses: int = 0
    faults: int = 0
    fault: str = ""


@dataclass(slots=True)
class Tracker:
    """Follows one device. `number` tells it from one that was plugged in before; `absolutes` gives the present values
    of its absolute axes and raises OSError when it is gone."""

    number: int
    description: Description
    absolutes: Callable[[], Mapping[int, int]]
    now_s: float
    values: list[float] = field(init=False)
    told_s: list[float] = field(init=False)
    heard_s: float = field(init=False)
    mode_presses: int = 0
    stop_presses: int = 0
    faults: int = 0
    fault: str = ""
    _rest: bytes = b""
    _pending: dict[int, tuple[float, float]] = field(default_factory=dict)
    _dropping: bool = False
    _places: dict[tuple[int, int], int] = field(init=False)
    _groups: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        axes = self.description.axes
        self._places = {(EV_REL if axis.relative else EV_ABS, axis.code): i for i, axis in enumerate(axes)}
        relative = [(i, axis.name) for i, axis in enumerate(axes) if axis.relative]
        self._groups = [[i for i, name in relative if name in group] for group in REPORTS]
        self.values = [0.0] * len(axes)
        self.told_s = [self.now_s] * len(axes)
        self.heard_s = self.now_s
        self._look(self.now_s)

    def take(self, data: bytes, now_s: float) -> None:
        """Bytes that were read. A report acts as a whole, once it is complete; what was lost or makes no sense is a
        fault. OSError when the device is gone."""
        for at_s, kind, code, value in self._records(data, now_s):
            if kind == EV_SYN and code == SYN_DROPPED:
                self._dropping = True  # until the next report: what comes before it is not complete
                self._pending.clear()
                self.note_fault("events were lost")
            elif kind == EV_SYN and code == SYN_REPORT:
                self.heard_s = at_s
                if self._dropping:
                    self._dropping = False
                    self._look(at_s)
                self._zeros()
                for place, (found, told_s) in self._pending.items():
                    self.values[place], self.told_s[place] = found, told_s
                self._pending.clear()
            elif self._dropping:
                continue
            elif kind == EV_KEY and value == 1:
                self.mode_presses += code == self.description.mode_button
                self.stop_presses += code == self.description.stop_button
            elif (place := self._places.get((kind, code), -1)) >= 0:
                if abs(value) > ABSURD:
                    self.note_fault("its values make no sense")
                else:
                    self._pending[place] = (float(value), at_s)
            elif kind > EV_MAX:
                self.note_fault("it does not speak like an input device")

    def note_fault(self, why: str) -> None:
        """What was known of it no longer counts."""
        self.faults += 1
        self.fault = why

    def view(self) -> View:
        deflection = tuple(axis.deflection(value)
                           for axis, value in zip(self.description.axes, self.values, strict=True))
        return View(self.number, self.description, deflection, tuple(self.told_s), self.heard_s,
                    self.mode_presses, self.stop_presses, self.faults, self.fault)

    def _zeros(self) -> None:
        """The kernel leaves zeros out: a relative axis is at rest where another one of its report is told."""
        for group in self._groups:
            if any(place in self._pending for place in group):
                told_s = max(self._pending[place][1] for place in group if place in self._pending)
                for place in group:
                    self._pending.setdefault(place, (0.0, told_s))

    def _look(self, now_s: float) -> None:
        """Ask the kernel where the absolute axes are; relative ones have to tell again."""
        found = self.absolutes()
        for place, axis in enumerate(self.description.axes):
            if axis.relative:
                self.values[place] = 0.0
            else:
                middle = axis.minimum if axis.one_sided else (axis.minimum + axis.maximum) / 2
                self.values[place] = float(found.get(axis.code, middle))
            self.told_s[place] = now_s

    def _records(self, data: bytes, now_s: float) -> Iterator[tuple[float, int, int, int]]:
        """Whole records; a part of one waits for the rest."""
        data = self._rest + data
        whole = len(data) - len(data) % EVENT.size
        self._rest = data[whole:]
        for seconds, microseconds, kind, code, value in EVENT.iter_unpack(data[:whole]):
            at_s = seconds + microseconds * 1e-6
            dated = abs(now_s - at_s) < OLDEST_S
            yield min(at_s, now_s), kind if dated else UNDATED, code, value
