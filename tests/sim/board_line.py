"""The other end of the simulated board's line, for its tests: a codec from the specification alone."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from controller.sim._board import Board

MS = 1_000_000
OFF, PROFILER, WAIT, PERCENT, ABS, SOFT, HARD, HOLD_WAITING, HOLD_AUTO, COMPLIANT = range(10)
NONE, DEG, COUNTS, MICROSTEPS, PERCENTAGE, TORQUE = range(6)
ENABLE, QUICK, CLEAR, LEAVE = 1, 2, 4, 8
BUTTON, CONTACTS, ENABLED = 1, 2, 4


def crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = ((crc << 1) ^ 0x07 if crc & 0x80 else crc << 1) & 0xFF
    return crc


def crc32(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def command(sequence: int, flags: int, axes: list[tuple[int, int, float]], offsets: list[float] | None = None) -> bytes:
    head = bytes([0xFF, 0xFF, sequence & 0xFF, flags])
    body = b"".join(struct.pack("<BBf", *axis) for axis in axes)
    body += struct.pack(f"<{len(axes)}f", *(offsets or [0.0] * len(axes)))
    return head + body + struct.pack("<I", zlib.crc32(head + body))  # test_board_codec holds it to crc32()


def request(address: int) -> bytes:
    return b"#" + struct.pack("<H", address) + b":\0\0*"


def write(address: int, value: float | str) -> bytes:
    if isinstance(value, str):
        data = value.encode() + b"*"
    elif 200 <= address < 400:
        data = struct.pack("<f", value)
    else:
        data = struct.pack("<i" if address >= 500 else "<h", value)
    return b"#" + struct.pack("<H", address) + b":" + data + b"*"


@dataclass
class AxisState:
    status: int
    driver_state: int
    mode: int
    error: int
    warning: int
    position: int
    torque: int
    speed: float
    target: int


@dataclass
class State:
    sequence: int
    inputs: int
    battery_mv: int
    clock_ms: int
    axes: list[AxisState]


def decode(data: bytes, axes: int) -> State:
    """The telegram, every rule of validity asserted."""
    assert len(data) == 24 * axes + 12
    blocks = []
    for i in range(axes):
        b = data[24 * i:24 * i + 24]
        assert b[0] == crc8(b[1:])
        assert b[1] == 0xFF
        assert b[2] == i + 1
        assert b[3].bit_count() % 2 == 0
        assert b[19:] == b"\xff" * 5
        error, warning, position, torque, speed, target = struct.unpack("<HHhhfh", b[5:19])
        blocks.append(AxisState(b[3], b[4] >> 4, b[4] & 15, error, warning, position, torque, speed, target))
    header, sequence, inputs, zero, battery, clock, crc = struct.unpack("<BBBBHHI", data[24 * axes:])
    assert header == 0xF5
    assert zero == 0
    assert crc == crc32(data[:-4])
    return State(sequence, inputs, battery, clock, blocks)


class Line:
    """A board on a virtual clock and a controller at the other end. `cycle` is one period of 1 ms."""

    def __init__(self, axes: int = 4, seed: int = 0, bring_up: bool = True, **options: object) -> None:
        self.board = Board(axes, seed, **options)
        self.axes = axes
        self.now_ns = 5_000_000_000
        self.sequence = 0
        self.flags = 0
        self.command = [(HOLD_AUTO, NONE, 0.0)] * axes
        self.offsets = [0.0] * axes
        self.board.step(self.now_ns)
        if bring_up:
            self.bring_up()

    def step(self, data: bytes = b"", ms: float = 1.0) -> bytes:
        self.now_ns += int(ms * MS)
        return self.board.step(self.now_ns, data)

    def ask(self, address: int) -> str:
        answer = self.step(request(address)).decode()
        head = f"#{address}:"
        assert answer.startswith(head), answer
        assert answer.endswith("*\r\n"), answer
        return answer[len(head):-3]

    def bring_up(self) -> None:
        assert self.step(write(10, 8)) == b"#10:8*\r\n"

    def telegram(self) -> bytes:
        self.sequence = (self.sequence + 1) & 0xFF
        return command(self.sequence, self.flags, self.command, self.offsets)

    def raw(self) -> bytes:
        return self.step(self.telegram())

    def cycle(self, count: int = 1) -> State:
        """The state after `count` cycles, each of which must be answered."""
        for _ in range(count):
            answer = self.raw()
            assert len(answer) == 24 * self.axes + 12
            assert answer[24 * self.axes + 1] == self.sequence
        return decode(answer, self.axes)

    def power_on(self) -> State:
        self.flags = ENABLE
        return self.cycle(30)

    def set(self, mode: int, kind: int = NONE, target: float = 0.0) -> None:
        self.command = [(mode, kind, target)] * self.axes

    def truth(self, name: str, axis: int = 1) -> float:
        return self.board.truth()[name][axis - 1]

    def counters(self) -> dict[str, int]:
        return self.board.truth()["counters"]
