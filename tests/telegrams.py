"""The motor bus telegrams once more, written from the specification alone: what the tests check the core against."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

SPEED_ABS = 4


def crc8(data: bytes) -> int:
    """Polynomial 0x07, initial 0, not reflected, bit by bit."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1) ^ 0x107 if crc & 0x80 else crc << 1
    return crc


@dataclass
class Block:
    """One axis of a state telegram. `status` without its parity bit."""

    position: int = 0
    status: int = 0
    state: int = 2
    mode: int = 0
    error: int = 0
    warning: int = 0
    torque: int = 0
    frequency: float = 0.0
    target: int = 0

    def encode(self, number: int) -> bytes:
        parity = 0x80 if bin(self.status).count("1") % 2 else 0
        body = bytes((0xFF, number, self.status | parity, self.state << 4 | self.mode)) + struct.pack(
            "<HHhhfh5s", self.error, self.warning, self.position, self.torque, self.frequency, self.target, b"\xff" * 5)
        return bytes((crc8(body),)) + body


def state(blocks: Sequence[Block], sequence: int, inputs: int = 1, battery_mv: int = 25000, clock_ms: int = 0) -> bytes:
    """A whole state telegram."""
    text = b"".join(block.encode(i + 1) for i, block in enumerate(blocks))
    text += struct.pack("<BBBBHH", 0xF5, sequence & 0xFF, inputs, 0, battery_mv, clock_ms)
    return text + struct.pack("<I", zlib.crc32(text))


@dataclass
class Command:
    """A decoded command telegram."""

    sequence: int
    flags: int
    modes: tuple[int, ...]
    types: tuple[int, ...]
    targets: tuple[float, ...]
    torques: tuple[float, ...] = field(default=())


def command(data: bytes, axes: int) -> Command:
    """Decode a command telegram; AssertionError where a byte is not as specified."""
    assert len(data) == 8 + 10 * axes
    values = struct.unpack(f"<HBB{'BBf' * axes}{axes}fI", data)
    assert values[0] == 0xFFFF
    assert values[-1] == zlib.crc32(data[:-4])
    each = values[3:3 + 3 * axes]
    return Command(values[1], values[2], each[0::3], each[1::3], each[2::3], values[3 + 3 * axes:-1])


def encode_command(parts: Command) -> bytes:
    """The inverse of `command`."""
    axes = len(parts.modes)
    each = [x for row in zip(parts.modes, parts.types, parts.targets, strict=True) for x in row]
    text = struct.pack(f"<HBB{'BBf' * axes}{axes}f", 0xFFFF, parts.sequence, parts.flags, *each, *parts.torques)
    return text + struct.pack("<I", zlib.crc32(text))
