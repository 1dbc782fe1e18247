"""The fields of the motor bus telegrams in their order, with sizes and meanings; offsets come from telegram.py."""

from __future__ import annotations

import msgspec

from controller.spec import telegram as t


class Part(msgspec.Struct, frozen=True):
    """One field. With N axes it begins at `offset + offset_per_axis * N` and takes `size + size_per_axis * N` bytes."""

    offset: int
    size: int
    name: str
    doc: str
    offset_per_axis: int = 0
    size_per_axis: int = 0


COMMAND: tuple[Part, ...] = (
    Part(0, 2, "header", "FF FF"),
    Part(t.COMMAND_SEQUENCE, 1, "sequence", "sequence number, uint8, +1 every cycle"),
    Part(t.COMMAND_FLAGS, 1, "flags", "bit 0 motor power enable, 1 quick stop (all axes), 2 clear drive errors, 3 "
         "leave the cyclic phase"),
    Part(t.COMMAND_AXES, 0, "targets", "per axis: driver working mode uint8, target type uint8, target f32",
         size_per_axis=t.COMMAND_AXIS_SIZE),
    Part(t.COMMAND_AXES, 0, "torque offsets", "per axis: torque offset f32", offset_per_axis=t.COMMAND_AXIS_SIZE,
         size_per_axis=t.COMMAND_TORQUE_SIZE),
    Part(t.COMMAND_AXES, t.CRC32_SIZE, "CRC-32", "ISO-HDLC (the one of zlib) over everything before it",
         offset_per_axis=t.COMMAND_AXIS_SIZE + t.COMMAND_TORQUE_SIZE),
)

BLOCK: tuple[Part, ...] = (
    Part(t.BLOCK_CRC8, 1, "CRC-8", "polynomial 0x07, initial value 0, not reflected, over bytes 1..23"),
    Part(t.BLOCK_HEADER, 1, "header", "FF"),
    Part(t.BLOCK_AXIS, 1, "axis", "axis number, 1-based"),
    Part(t.BLOCK_STATUS, 1, "status", "bit 7 parity (even number of ones in the byte), 6 debug, 5..4 spare, 3 error, "
         "2 warning, 1 motion ongoing, 0 on target position"),
    Part(t.BLOCK_STATE_MODE, 1, "state and mode", "driver state (high nibble), driver working mode (low nibble)"),
    Part(t.BLOCK_ERROR, 2, "error", "error code, uint16"),
    Part(t.BLOCK_WARNING, 2, "warning", "warning code, uint16"),
    Part(t.BLOCK_POSITION, 2, "position", "actual position, int16, sensor counts"),
    Part(t.BLOCK_TORQUE, 2, "torque", "actual torque, int16, sensor counts"),
    Part(t.BLOCK_FREQUENCY, 4, "frequency", "actual speed, f32, microsteps/s"),
    Part(t.BLOCK_TARGET, 2, "target", "actual target, int16 (position, speed or torque by working mode)"),
    Part(t.BLOCK_FOOTER, t.BLOCK_FOOTER_SIZE, "footer", "FF FF FF FF FF"),
)

TRAILER: tuple[Part, ...] = (
    Part(0, 1, "header", f"{t.TRAILER_HEADER:X}"),
    Part(t.TRAILER_SEQUENCE, 1, "sequence", "sequence number of the command telegram it answers"),
    Part(t.TRAILER_INPUTS, 1, "inputs", "bit 0 emergency button contact closed (1 = not pressed), 1 motor power "
         "contacts closed, 2 motor power enable as the board sees it"),
    Part(t.TRAILER_INPUTS + 1, 1, "spare", "0"),
    Part(t.TRAILER_BATTERY, 2, "battery", "battery voltage, mV, uint16"),
    Part(t.TRAILER_CLOCK, 2, "clock", "board clock, ms, uint16, wraps"),
    Part(t.TRAILER_CRC32, t.CRC32_SIZE, "CRC-32", "as above, over the whole telegram before it"),
)
