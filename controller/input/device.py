"""What an input device is and can do: its axes with their ranges, its buttons, and the kernel's device behind it."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

from controller.spec.input import (
    ALWAYS_ONE_SIDED,
    BTN_SOUTH,
    BTN_TRIGGER,
    BY_CODE,
    EV_ABS,
    EV_KEY,
    EV_REL,
    GAME_PAD,
    LOGITECH_3D,
    MODE_BUTTONS,
    OTHER,
    PROP_ACCELEROMETER,
    RELATIVE_FULL,
    SPACE_MOUSE,
    STOP_BUTTONS,
    TRIGGERS,
    VENDOR_3DCONNEXION,
    VENDOR_LOGITECH,
)

EVIOCSCLOCKID = 0x400445A0  # _IOW('E', 0xa0, int): by which clock the kernel dates events
SIX = {"x", "y", "z", "rx", "ry", "rz"}


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis. A relative one has its deflection in every report and is silent at rest; an absolute one tells changes
    only. `flat` is the kernel's idea of its play at rest."""

    name: str
    code: int
    relative: bool
    minimum: int
    maximum: int
    flat: int = 0
    one_sided: bool = False

    def deflection(self, value: float) -> float:
        """-1..1 of a raw value, 0..1 where it goes one way only; what is outside its range counts as its end."""
        if self.one_sided:
            return min(1.0, max(0.0, (value - self.minimum) / (self.maximum - self.minimum)))
        half = (self.maximum - self.minimum) / 2
        return min(1.0, max(-1.0, (value - self.minimum - half) / half))

    @property
    def play(self) -> float:
        """`flat` as a share of the full deflection."""
        return min(0.9, 2 * self.flat / (self.maximum - self.minimum))


@dataclass(frozen=True, slots=True)
class Description:
    """An input device. `mode_button` and `stop_button` are kernel codes, -1 where it has none."""

    path: str
    name: str
    vendor: int
    product: int
    bus: int
    kind: str
    axes: tuple[Axis, ...]
    mode_button: int
    stop_button: int

    @property
    def ids(self) -> str:
        return f"{self.vendor:04x}:{self.product:04x}"

    def matches(self, patterns: Sequence[str]) -> bool:
        """Whether one of the patterns names it: vendor:product in hexadecimal, or its name with * and ?. Without any
        pattern every 3D mouse and game pad does."""
        if not patterns:
            return self.kind != OTHER
        return bool(self.axes) and any(pattern.lower() == self.ids or fnmatchcase(self.name, pattern)
                                       for pattern in patterns)


AbsRange = tuple[int, int, int]  # minimum, maximum, flat


def describe(path: str, name: str, ids: tuple[int, int, int], *, relative: Sequence[int] = (),
             absolute: Mapping[int, AbsRange] | None = None, keys: Sequence[int] = (),
             properties: Sequence[int] = ()) -> Description:
    """A Description from what the kernel tells: `ids` are bus, vendor, product, the others are codes."""
    bus, vendor, product = ids
    absolute = absolute or {}
    axes = [Axis(BY_CODE[code].name, code, True, -RELATIVE_FULL, RELATIVE_FULL)
            for code in relative if code in BY_CODE and BY_CODE[code].relative]
    there = {axis.name for axis in axes}
    absolutes = {BY_CODE[code].name for code, (low, high, _) in absolute.items() if code in BY_CODE and low < high}
    for code, (low, high, flat) in sorted(absolute.items()):
        if code not in BY_CODE or not low < high or BY_CODE[code].name in there:
            continue
        axis = BY_CODE[code].name
        one_sided = low >= 0 and (axis in ALWAYS_ONE_SIDED or (axis in TRIGGERS and {"rx", "ry"} <= absolutes))
        axes.append(Axis(axis, code, False, low, high, max(0, flat), one_sided))
    maker = vendor == VENDOR_3DCONNEXION or (vendor == VENDOR_LOGITECH and product in LOGITECH_3D)
    kind = OTHER
    if PROP_ACCELEROMETER in properties:
        axes = []  # a game pad that is tilted is not deflected
    elif {axis.name for axis in axes} >= SIX and (maker or {axis.name for axis in axes if axis.relative} >= SIX):
        kind = SPACE_MOUSE
    elif (BTN_SOUTH in keys or BTN_TRIGGER in keys) and {"x", "y"} <= absolutes:
        kind = GAME_PAD
    return Description(path, name, vendor, product, bus, kind, tuple(axes), _first(MODE_BUTTONS, keys),
                       _first(STOP_BUTTONS, keys))


def _first(wanted: Sequence[int], keys: Sequence[int]) -> int:
    return next((code for code in wanted if code in keys), -1)


class Source(Protocol):
    """An open device. `fd` is non-blocking and gives struct input_event records dated by the monotonic clock."""

    description: Description
    fd: int

    def hold(self) -> None:
        """Have it for us alone: no other program acts on it meanwhile. OSError."""

    def absolutes(self) -> Mapping[int, int]:
        """Present values of the absolute axes by code; OSError when it is gone."""

    def close(self) -> None:
        """Give it back."""


class EvdevSource:
    """A device of the kernel. OSError where it cannot be opened."""

    def __init__(self, path: str) -> None:
        from evdev import InputDevice

        self._device = InputDevice(path, readonly=True)
        try:
            self.fd = int(self._device.fd)
            self.description = described(path, self._device)
            self._codes = [axis.code for axis in self.description.axes if not axis.relative]
            fcntl.ioctl(self.fd, EVIOCSCLOCKID, struct.pack("i", time.CLOCK_MONOTONIC))
        except BaseException:
            self._device.close()
            raise

    def hold(self) -> None:
        self._device.grab()

    def absolutes(self) -> Mapping[int, int]:
        return {code: int(self._device.absinfo(code).value) for code in self._codes}

    def close(self) -> None:
        self._device.close()


def described(path: str, device: object) -> Description:
    """The Description of an open evdev.InputDevice."""
    from evdev import InputDevice

    assert isinstance(device, InputDevice)
    found: dict[int, Any] = dict(device.capabilities(absinfo=True))
    absolute = {int(code): (int(info.min), int(info.max), int(info.flat)) for code, info in found.get(EV_ABS, ())}
    name = "".join(letter if letter.isprintable() else "?" for letter in str(device.name))[:80]
    return describe(path, name or os.path.basename(path),
                    (device.info.bustype, device.info.vendor, device.info.product),
                    relative=found.get(EV_REL, ()), absolute=absolute, keys=found.get(EV_KEY, ()),
                    properties=[int(code) for code in device.input_props()])
