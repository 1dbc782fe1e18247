"""The motor bus telegrams, byte by byte (motor bus specification, sections 1 and 2). Offsets are in bytes."""

from __future__ import annotations

MAX_AXES = 8

COMMAND_HEADER = 0xFFFF
COMMAND_SEQUENCE = 2
COMMAND_FLAGS = 3
COMMAND_AXES = 4
COMMAND_AXIS_SIZE = 6  # driver working mode u8, target type u8, target f32
COMMAND_TORQUE_SIZE = 4
CRC32_SIZE = 4

FLAG_MOTOR_POWER = 0x01
FLAG_QUICK_STOP = 0x02
FLAG_CLEAR_ERRORS = 0x04
FLAG_LEAVE_CYCLIC = 0x08

BLOCK_SIZE = 24
BLOCK_CRC8 = 0
BLOCK_HEADER = 1
BLOCK_AXIS = 2
BLOCK_STATUS = 3
BLOCK_STATE_MODE = 4
BLOCK_ERROR = 5
BLOCK_WARNING = 7
BLOCK_POSITION = 9
BLOCK_TORQUE = 11
BLOCK_FREQUENCY = 13
BLOCK_TARGET = 17
BLOCK_FOOTER = 19
BLOCK_FOOTER_SIZE = 5

TRAILER_SIZE = 12
TRAILER_HEADER = 0xF5
TRAILER_SEQUENCE = 1
TRAILER_INPUTS = 2
TRAILER_BATTERY = 4
TRAILER_CLOCK = 6
TRAILER_CRC32 = 8

STATUS_PARITY = 0x80
STATUS_DEBUG = 0x40
STATUS_ERROR = 0x08
STATUS_WARNING = 0x04
STATUS_MOVING = 0x02
STATUS_ON_TARGET = 0x01

INPUT_BUTTON = 0x01  # 1 closed = not pressed
INPUT_CONTACTS = 0x02  # 1 closed = motor power on
INPUT_ENABLE = 0x04  # motor power enable as the board sees it

BITS_PER_BYTE = 10  # 8N1
LINE_RESERVE = 0.20
BOARD_WATCHDOG_MS = 50
REQUEST_TIMEOUT_MS = 200
REQUEST_TRIES = 3


def command_size(axes: int) -> int:
    """Bytes of a command telegram for `axes` axes (1..8)."""
    return COMMAND_AXES + (COMMAND_AXIS_SIZE + COMMAND_TORQUE_SIZE) * axes + CRC32_SIZE


def state_size(axes: int) -> int:
    """Bytes of a state telegram for `axes` axes (1..8)."""
    return BLOCK_SIZE * axes + TRAILER_SIZE


def highest_rate_hz(axes: int, baudrate: int) -> int:
    """Highest whole cycle rate whose longer direction fills at most 80 % of the line."""
    longest = max(command_size(axes), state_size(axes))
    return int(baudrate * (1.0 - LINE_RESERVE) / (BITS_PER_BYTE * longest) + 1e-9)
