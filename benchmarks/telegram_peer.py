"""The same work in plain Python, written with struct and zlib as one would: check, parse and build of telegrams."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from controller.spec import telegram as t

BLOCK = struct.Struct("<BBBBBHHhhfh5s")
TRAILER = struct.Struct("<BBBxHHI")
COMMAND_HEAD, COMMAND_AXIS, WORD = struct.Struct("<HBB"), struct.Struct("<BBf"), struct.Struct("<I")
FOOTER = b"\xff" * t.BLOCK_FOOTER_SIZE
CRC8 = []
for _start in range(256):
    _crc = _start
    for _ in range(8):
        _crc = _crc << 1 ^ 0x07 if _crc & 0x80 else _crc << 1
    CRC8.append(_crc & 0xFF)


def crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = CRC8[crc ^ byte]
    return crc


def parse(data: bytes, axes: int) -> tuple[list[tuple[int, ...]], tuple[int, ...]] | None:
    """Feedback per axis and the trailer; None when anything is wrong."""
    end = t.BLOCK_SIZE * axes
    trailer = TRAILER.unpack_from(data, end)
    if trailer[0] != t.TRAILER_HEADER or zlib.crc32(data[:end + t.TRAILER_CRC32]) != trailer[-1]:
        return None
    feedback = []
    for i in range(axes):
        begin = i * t.BLOCK_SIZE
        block = BLOCK.unpack_from(data, begin)
        if (block[1] != 0xFF or block[2] != i + 1 or block[11] != FOOTER or block[3].bit_count() & 1
                or block[0] != crc8(data[begin + 1:begin + t.BLOCK_SIZE])):
            return None
        feedback.append(block[3:11])
    return feedback, trailer[1:-1]


def state(axes: int, sequence: int) -> bytes:
    """A state telegram as a board sends it."""
    data = b""
    for i in range(axes):
        block = BLOCK.pack(0, 0xFF, i + 1, t.STATUS_MOVING | t.STATUS_PARITY, 0x10, 0, 0, 100 * i + sequence, -20 * i,
                           1500.5 + i, 7, FOOTER)
        data += bytes((crc8(block[1:]),)) + block[1:]
    data += TRAILER.pack(t.TRAILER_HEADER, sequence, t.INPUT_BUTTON | t.INPUT_CONTACTS, 24_000, sequence, 0)[:-4]
    return data + WORD.pack(zlib.crc32(data))


def build(sequence: int, flags: int, axes: Sequence[tuple[int, int, float]]) -> bytes:
    """A command telegram: (driver working mode, target type, target) per axis."""
    data = COMMAND_HEAD.pack(t.COMMAND_HEADER, sequence, flags)
    for axis in axes:
        data += COMMAND_AXIS.pack(*axis)
    data += bytes(t.COMMAND_TORQUE_SIZE * len(axes))
    return data + WORD.pack(zlib.crc32(data))
