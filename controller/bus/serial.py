"""The AllyArm motor bus on a serial line: register phase with pyserial. The cyclic phase is the core's.

Register lines have no checksum, so what limits and speeds are made of is asked for twice and must come out the same.

Thread contract: main thread only. After `enter_cyclic` nothing here touches the line until `close`.
"""

from __future__ import annotations

import contextlib
import math
import os
import struct
import termios
import time
from collections.abc import Callable, Iterator, Sequence

import serial

from controller.arm import ArmFacts, AxisFacts
from controller.bus.base import BusError, Cancelled, never
from controller.spec import registers as reg
from controller.spec.modes import MasterMode
from controller.spec.telegram import REQUEST_TIMEOUT_MS, REQUEST_TRIES

Value = int | float | str
LONGEST_LINE = 256
POLL_S = 0.02        # how long a read waits: how soon a bring-up can be cancelled
LINE_FAULTS = (serial.SerialException, OSError, termios.error)      # termios.error is no OSError
FORMATS = {"uint8": "<h", "int16": "<h", "boolean": "<h", "float32": "<f", "int32": "<i"}
TYPE_RANGES = {"uint8": (0, 255), "int16": (-32768, 32767), "boolean": (0, 1), "int32": (-(2**31), 2**31 - 1)}


def encode_write(address: int, value: Value) -> bytes:
    """Register write, controller -> board. ValueError when the value does not fit the address's type."""
    kind = reg.type_of(address)
    head = b"#" + struct.pack("<H", address) + b":"
    if kind == "string":
        text = str(value)
        if "*" in text or not text.isascii():
            raise ValueError(f"register {address}: text must be ASCII without '*'")
        return head + text.encode("ascii") + b"**"
    try:
        return head + struct.pack(FORMATS[kind], value) + b"*"
    except struct.error as error:
        raise ValueError(f"register {address}: {value!r} is not a {kind}: {error}") from None


def encode_request(address: int) -> bytes:
    """Request of a read-only value: a write of 0 to its own address in the 7-byte form, whatever its type."""
    return b"#" + struct.pack("<H", address) + b":" + struct.pack("<h", 0) + b"*"


def parse_line(line: bytes) -> tuple[int, Value]:
    """(address, value) of one answer line without its CR LF; ValueError says what is malformed."""
    text = line.decode("ascii", errors="replace").strip("\r\n")
    if not text.startswith("#") or not text.endswith("*") or ":" not in text:
        raise ValueError(f"malformed line {text[:40]!r}: want #<address>:<value>*")
    address_text, _, value = text[1:-1].partition(":")
    if not (address_text.isascii() and address_text.isdigit() and len(address_text) <= 3):
        raise ValueError(f"malformed line {text[:40]!r}: {address_text[:20]!r} is not an address")
    address = int(address_text)
    kind = reg.type_of(address)
    if kind == "string":
        return address, value
    try:
        if kind == "float32":
            return address, float(value)
        low, high = TYPE_RANGES[kind]
        number = int(value)
    except ValueError:
        raise ValueError(f"register {address}: {value[:20]!r} is not a {kind}") from None
    if not low <= number <= high:
        raise ValueError(f"register {address}: {number} is not a {kind} ({low}..{high})")
    return address, number


def plausible(address: int, value: Value) -> Value:
    """The value, when it is inside the bounds of its register's row; BusError naming register, value and bounds."""
    row, _ = reg.at(address, 8)
    name = named(address)
    if isinstance(value, str):
        if address == reg.AXES:
            if not value.isdigit() or not 1 <= int(value) <= 8:
                raise BusError(f"{name}: the arm says {value!r}, 1..8 allowed")
            return int(value)
        return value
    if row.low is not None and row.high is not None and not row.low <= value <= row.high:
        raise BusError(f"{name}: the arm says {value}, {row.low:g}..{row.high:g} allowed")
    if not math.isfinite(value):
        raise BusError(f"{name}: the arm says {value}, a finite number is needed")
    if reg.SPEED_CONVERSION <= address < reg.SPEED_CONVERSION + 8 and value == 0:
        raise BusError(f"{name}: the arm says 0; a speed conversion cannot be 0")
    return value


def named(address: int) -> str:
    """A register as messages call it: its number, name and axis."""
    row, axis = reg.at(address, 8)
    return f"register {address} ({row.name}{f' of axis {axis + 1}' if row.per_axis else ''})"


class SerialBus:
    """MotorBus on a device path, a pty, or anything else `serial.serial_for_url` takes (socket://host:port ...)."""

    def __init__(self, port: str, baudrate: int) -> None:
        self.port, self.baudrate = port, baudrate
        self.malformed_lines = 0
        self.notes: list[str] = []
        self._line: serial.SerialBase | None = None

    def open(self) -> None:
        try:
            line = serial.serial_for_url(self.port, baudrate=self.baudrate, timeout=POLL_S, write_timeout=0.2,
                                         exclusive=True if "://" not in self.port else None)
        except (*LINE_FAULTS, ValueError) as error:
            raise BusError(f"cannot open {self.port}: {error}") from None
        self._line = line
        try:
            self._check_rate(line.fileno())
            # A USB adapter hands bytes over every 16 ms unless asked; a UART or pty has no such switch.
            if hasattr(line, "set_low_latency_mode"):
                try:
                    line.set_low_latency_mode(True)
                except (OSError, ValueError, NotImplementedError):
                    self.notes.append("low-latency mode is not supported by this line")
        except LINE_FAULTS as error:
            self.close()
            raise BusError(f"{self.port} failed while it was opened: {error}") from None
        except BusError:
            self.close()
            raise

    def _check_rate(self, fd: int) -> None:
        """Real drivers clamp or refuse a rate without an error: read it back."""
        wanted = getattr(termios, f"B{self.baudrate}", None)
        if wanted is None or not os.isatty(fd):     # socket:// has no rate
            return
        found = termios.tcgetattr(fd)
        if found[4] != wanted or found[5] != wanted:
            raise BusError(f"{self.port} does not take {self.baudrate} baud: choose a rate its driver supports "
                           "(bus.baudrate)")

    def fileno(self) -> int:
        assert self._line is not None
        return int(self._line.fileno())

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            with contextlib.suppress(Exception):
                line.close()

    def read_facts(self, max_speed_deg_s: list[float], cancelled: Callable[[], bool] = never) -> ArmFacts:
        with self._line_faults():
            assert self._line is not None
            self._line.reset_input_buffer()
            found = {address: self.request(address, cancelled, twice=address == reg.AXES)
                     for address in reg.BRING_UP_ARM}
            axes = int(found[reg.AXES])
            for i in range(axes):
                found.update({address + i: self.request(address + i, cancelled, twice=True)
                              for address in reg.BRING_UP_AXIS})
            found.update({address: self.request(address, cancelled, twice=True) for address in reg.BRING_UP_SPRING})
        return arm_facts(found, axes, max_speed_deg_s)

    def write_text(self, address: int, text: str, cancelled: Callable[[], bool] = never) -> None:
        with self._line_faults():
            for _ in range(REQUEST_TRIES):
                if self._ask(address, encode_write(address, text), cancelled) == text:
                    return
                self.malformed_lines += 1
        raise BusError(f"{named(address)}: the board confirms another text than was written: bytes are changed on the "
                       "way, check cable, ground and baud rate")

    def enter_cyclic(self, cancelled: Callable[[], bool] = never) -> None:
        with self._line_faults():
            self._ask(reg.MASTER_MODE, encode_write(reg.MASTER_MODE, MasterMode.EXTERNAL_DEVELOPER_AUTO), cancelled)

    @contextlib.contextmanager
    def _line_faults(self) -> Iterator[None]:
        try:
            yield
        except LINE_FAULTS as error:
            raise BusError(f"{self.port}: the line failed during bring-up: {error}") from None

    def request(self, address: int, cancelled: Callable[[], bool] = never, twice: bool = False) -> Value:
        """Value of one register; BusError when no plausible answer comes. `twice` takes two equal answers in a row: a
        difference is asked for again, as often as a missing answer."""
        value = self._ask(address, encode_request(address), cancelled)
        if twice:
            value = self._confirmed(address, value, cancelled)
        return plausible(address, value)

    def _confirmed(self, address: int, value: Value, cancelled: Callable[[], bool]) -> Value:
        for _ in range(REQUEST_TRIES):
            before, value = value, self._ask(address, encode_request(address), cancelled)
            if repr(value) == repr(before):     # not ==: a nan differs from itself
                return value
            self.malformed_lines += 1
        raise BusError(f"{named(address)}: the arm says {before} and then {value}: bytes are changed on the way, check "
                       "cable, ground and baud rate")

    def _ask(self, address: int, message: bytes, cancelled: Callable[[], bool]) -> Value:
        assert self._line is not None
        for _ in range(REQUEST_TRIES):
            self._line.write(message)
            deadline = time.monotonic() + REQUEST_TIMEOUT_MS / 1000
            while (line := self._read_line(deadline, cancelled)) is not None:
                try:
                    answered, value = parse_line(line)
                except ValueError:
                    self.malformed_lines += 1
                    continue
                if answered == address:
                    return value
        raise BusError(f"register {address}: no answer from {self.port} in {REQUEST_TRIES} tries of "
                       f"{REQUEST_TIMEOUT_MS} ms; is the arm switched on and connected to this port at "
                       f"{self.baudrate} baud?")

    def _read_line(self, deadline: float, cancelled: Callable[[], bool]) -> bytes | None:
        """One line, or None at the deadline. A line that never ends is dropped and counted."""
        assert self._line is not None
        line = bytearray()
        if cancelled():
            raise Cancelled("cancelled")
        while time.monotonic() < deadline:
            byte = self._line.read(1)
            if byte == b"\n":
                return bytes(line)
            line += byte
            if len(line) > LONGEST_LINE:
                self.malformed_lines += 1
                line.clear()
            if (not byte or not line) and cancelled():      # nothing came for POLL_S, or too much
                raise Cancelled("cancelled")
        return None


def arm_facts(found: dict[int, Value], axes: int, max_speed_deg_s: Sequence[float]) -> ArmFacts:
    """The arm as its registers describe it; BusError where two registers contradict each other."""
    rows = []
    for i in range(axes):
        low, high = int(found[reg.HARD_MINIMUM + i]), int(found[reg.HARD_MAXIMUM + i])
        if low >= high:
            raise BusError(f"registers {reg.HARD_MINIMUM + i} and {reg.HARD_MAXIMUM + i}: hard minimum {low} of axis "
                           f"{i + 1} is not below its maximum {high}")
        resolution = int(found[reg.RESOLUTION + i])
        if high - low > 2 * resolution:
            raise BusError(f"registers {reg.RESOLUTION + i}, {reg.HARD_MINIMUM + i} and {reg.HARD_MAXIMUM + i}: hard "
                           f"limits {low}..{high} of axis {i + 1} are {high - low} counts apart, at most two turns "
                           f"({2 * resolution} counts at a resolution of {resolution}) allowed")
        rows.append(AxisFacts(
            resolution_counts=resolution, stroke_deg=float(found[reg.STROKE + i]),
            zero_counts=int(found[reg.ZERO + i]), inverted=bool(found[reg.INVERTED + i]),
            hard_minimum_counts=low, hard_maximum_counts=high,
            speed_conversion_deg=float(found[reg.SPEED_CONVERSION + i]), max_speed_deg_s=max_speed_deg_s[i]))
    return ArmFacts(serial=str(found[reg.SERIAL_NUMBER]), version=str(found[reg.BOARD_VERSION]), axis=tuple(rows),
                    spring_offset_counts=float(found[reg.SPRING_OFFSET]),
                    spring_counts_per_deg=float(found[reg.SPRING_STIFFNESS]))
