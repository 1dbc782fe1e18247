"""Event streams in the text format of evemu-record, and devices of sockets that play them as the kernel would.

`N:` name, `I:` bus vendor product version, `P:` properties, `B: type bits...` (bytes, lowest bits first), `A: code
minimum maximum fuzz flat resolution`, `E: seconds type code value`. A device at hand is recorded by
`evemu-record /dev/input/eventN > tests/input/recordings/NAME.evemu`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from controller.input.device import Description, describe
from controller.input.events import EVENT
from controller.spec.input import EV_ABS, EV_KEY, EV_REL, EV_SYN, SYN_DROPPED, SYN_REPORT

FOLDER = Path(__file__).parent / "recordings"
Event = tuple[float, int, int, int]  # seconds, type, code, value


@dataclass
class Recording:
    """A device and its events."""

    name: str = ""
    ids: tuple[int, int, int] = (0, 0, 0)
    properties: list[int] = field(default_factory=list)
    codes: dict[int, list[int]] = field(default_factory=dict)
    ranges: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    @property
    def description(self) -> Description:
        return describe("/dev/input/event0", self.name, self.ids, relative=self.codes.get(EV_REL, ()),
                        absolute=self.ranges, keys=self.codes.get(EV_KEY, ()), properties=self.properties)

    @property
    def seconds(self) -> float:
        return self.events[-1][0]

    def frames(self) -> Iterator[tuple[float, list[tuple[int, int, int]]]]:
        """(seconds, events of one report with its SYN_REPORT)."""
        frame: list[tuple[int, int, int]] = []
        for at_s, kind, code, value in self.events:
            frame.append((kind, code, value))
            if (kind, code) == (EV_SYN, SYN_REPORT):
                yield at_s, frame
                frame = []


def load(name: str) -> Recording:
    """The recording tests/input/recordings/NAME.evemu."""
    found = Recording()
    bits: dict[int, list[int]] = {}
    for line in (FOLDER / f"{name}.evemu").read_text().splitlines():
        key, _, rest = line.partition(": ")
        words = rest.split("#")[0].split()
        if key == "N":
            found.name = rest
        elif key == "I":
            bus, vendor, product, _ = (int(word, 16) for word in words)
            found.ids = (bus, vendor, product)
        elif key == "P":
            found.properties = _set_bits([int(word, 16) for word in words])
        elif key == "B":
            bits.setdefault(int(words[0], 16), []).extend(int(word, 16) for word in words[1:])
        elif key == "A":
            low, high, _, flat = (int(word) for word in words[1:5])
            found.ranges[int(words[0], 16)] = (low, high, flat)
        elif key == "E":
            found.events.append((float(words[0]), int(words[1], 16), int(words[2], 16), int(words[3])))
    found.codes = {kind: _set_bits(part) for kind, part in bits.items()}
    assert found.name
    assert found.events
    return found


def _set_bits(data: list[int]) -> list[int]:
    return [8 * i + bit for i, byte in enumerate(data) for bit in range(8) if byte >> bit & 1]


def record(at_s: float, kind: int, code: int, value: int) -> bytes:
    """One struct input_event."""
    seconds = int(at_s)
    return EVENT.pack(seconds, round((at_s - seconds) * 1e6), kind, code, value)


class FakeDevice:
    """A Source: one end of a socket pair, the test has the other. `pull` unplugs it: it then fails as the kernel's
    does, with ENODEV. While `hang_s` is not 0 its questions take so long; while `busy`
    another program has it."""

    def __init__(self, recording: Recording, path: str = "/dev/input/event0") -> None:
        found = recording.description
        self.description = Description(path, found.name, found.vendor, found.product, found.bus, found.kind, found.axes,
                                       found.mode_button, found.stop_button)
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)
        self.fd = self._near.fileno()
        self.now: dict[int, int] = {axis.code: axis.minimum if axis.one_sided else (axis.minimum + axis.maximum) // 2
                                    for axis in found.axes if not axis.relative}
        self.hang_s = 0.0
        self.busy = self.held = False
        self.closed = False

    def hold(self) -> None:
        if self.busy:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self.held = True

    def absolutes(self) -> Mapping[int, int]:
        time.sleep(self.hang_s)
        if self._far.fileno() < 0:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return dict(self.now)

    def close(self) -> None:
        self.closed = True
        self._near.close()

    def send(self, data: bytes) -> None:
        """Bytes as they are; what does not fit is lost, as in the kernel's buffer."""
        with contextlib.suppress(OSError):  # unplugged, or full
            self._far.send(data)

    def frame(self, *events: tuple[int, int, int], at_s: float | None = None) -> None:
        """One report, its events dated now."""
        at_s = time.monotonic() if at_s is None else at_s
        self.now.update({code: value for kind, code, value in events if kind == EV_ABS})
        self.send(b"".join(record(at_s, *event) for event in events) + record(at_s, EV_SYN, SYN_REPORT, 0))

    def press(self, code: int) -> None:
        self.frame((EV_KEY, code, 1))
        self.frame((EV_KEY, code, 0))

    def drop(self) -> None:
        """As when the kernel's buffer ran over."""
        now_s = time.monotonic()
        self.send(record(now_s, EV_SYN, SYN_DROPPED, 0) + record(now_s, EV_SYN, SYN_REPORT, 0))

    def pull(self) -> None:
        """Unplug it."""
        self._far.close()
