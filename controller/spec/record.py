"""The state record: what the control thread writes once per cycle and everyone else reads. One row per field.

emit.py makes the C struct and its Python properties from these rows; the typed `state` event and the documents
list the same rows. Rows are ordered by falling size so that the struct has no holes.
"""

from __future__ import annotations

import struct
from typing import Literal

import msgspec

from controller.spec import telegram

CType = Literal["uint64_t", "int64_t", "double", "float", "uint32_t", "int32_t", "uint16_t", "int16_t", "uint8_t"]
SIZES: dict[str, int] = {
    "uint64_t": 8, "int64_t": 8, "double": 8, "float": 4, "uint32_t": 4, "int32_t": 4, "uint16_t": 2, "int16_t": 2,
    "uint8_t": 1,
}
PER_AXIS = -1  # an array with one element per axis
MAX_FAULTS = 16


class Field(msgspec.Struct, frozen=True):
    """One field of the record. `count` is 0 for a number, PER_AXIS, or the length of an array."""

    name: str
    ctype: CType
    doc: str
    count: int = 0
    unit: str = ""


FIELDS: tuple[Field, ...] = (
    Field("cycle", "uint64_t", "number of this cycle, from 0 at the start of the control thread"),
    Field("time_ns", "int64_t", "monotonic time this cycle woke up", unit="ns"),
    Field("state_since_ns", "int64_t", "monotonic time of the last change of the master state", unit="ns"),
    Field("lateness_ns", "int64_t", "wake-up after the deadline", unit="ns"),
    Field("run_ns", "int64_t", "run time of the previous cycle, system calls included", unit="ns"),
    Field("feedback_age_ns", "int64_t", "time since the command that the feedback answers; -1 none", unit="ns"),
    Field("overruns", "uint64_t", "cycles that began after the next deadline"),
    Field("skipped", "uint64_t", "cycles left out because of overruns"),
    Field("valid_telegrams", "uint64_t", "valid state telegrams"),
    Field("position_deg", "double", "joint position", PER_AXIS, "deg"),
    Field("speed_deg_s", "double", "joint speed as the drive reports it", PER_AXIS, "deg/s"),
    Field("setpoint_position_deg", "double", "position set-point of the trajectory", PER_AXIS, "deg"),
    Field("setpoint_speed_deg_s", "double", "speed set-point of the trajectory", PER_AXIS, "deg/s"),
    Field("setpoint_acceleration_deg_s2", "double", "acceleration set-point of the trajectory", PER_AXIS, "deg/s^2"),
    Field("command_speed_deg_s", "double", "speed sent to the drive: set-point and position loop", PER_AXIS, "deg/s"),
    Field("target_position_deg", "double", "where the present motion ends", PER_AXIS, "deg"),
    Field("speed_limit_deg_s", "double", "speed limit in force: drive x advanced x user x movement", PER_AXIS, "deg/s"),
    Field("range_minimum_deg", "double", "set-points go no lower: hard limit and range of motion", PER_AXIS, "deg"),
    Field("range_maximum_deg", "double", "set-points go no higher", PER_AXIS, "deg"),
    Field("hand_x_mm", "double", "hand position by forward kinematics, forward; 0 unknown", unit="mm"),
    Field("hand_y_mm", "double", "hand position, to the left; 0 unknown", unit="mm"),
    Field("hand_z_mm", "double", "hand position, up; 0 unknown", unit="mm"),
    Field("elbow_deg", "double", "angle of the elbow's joint; 0 unknown, or without an elbow", unit="deg"),
    Field("frequency_microsteps_s", "float", "speed the drive reports", PER_AXIS, "microsteps/s"),
    Field("holding_counts", "float", "load by the mass model: gravity less the spring; 0 without a model", PER_AXIS,
          "counts"),
    Field("residual_counts", "float", "measured torque less that load, smoothed: what a hand or an obstacle makes, "
          "with the opposite sign", PER_AXIS, "counts"),
    Field("battery_percent", "float", "averaged battery charge", unit="%"),
    Field("battery_v", "float", "averaged battery voltage", unit="V"),
    Field("bus_faults", "uint32_t", "faults on the line by kind (modes.BusFault)", 16),
    Field("faults", "uint32_t", "active faults: code | axis << 16 | category << 24 | warning << 31", MAX_FAULTS),
    Field("fault_cycle", "uint32_t", "cycle in which each was raised (low 32 bits)", MAX_FAULTS),
    Field("fault_total", "uint32_t", "errors and warnings raised since start"),
    Field("commands_done", "uint32_t", "commands taken from the ring"),
    Field("commands_refused", "uint32_t", "commands the cycle refused"),
    Field("last_command", "uint32_t", "sequence number of the last command taken"),
    Field("late_command", "uint32_t", "sequence number of the last command that was refused after it had been taken"),
    Field("stops", "uint32_t", "stop requests acted on"),
    Field("limit_interventions", "uint32_t", "times a motion was braked before a limit ahead"),
    Field("events_dropped", "uint32_t", "events lost because nobody read them"),
    Field("motions_done", "uint32_t", "position motions that reached their target"),
    Field("blockers", "uint32_t", "bits of modes.Blocker"),
    Field("external_taken", "uint32_t", "valid target records of the external program that is connected"),
    Field("external_rejected", "uint32_t", "target records of that program that were refused"),
    Field("position_counts", "int16_t", "sensor counts", PER_AXIS, "counts"),
    Field("torque_counts", "int16_t", "torque sensor counts", PER_AXIS, "counts"),
    Field("drive_target", "int16_t", "target as the drive reports it", PER_AXIS),
    Field("error_code", "uint16_t", "drive error, 0 none", PER_AXIS),
    Field("warning_code", "uint16_t", "drive warning, 0 none", PER_AXIS),
    Field("board_clock_ms", "uint16_t", "clock of the base board, wraps", unit="ms"),
    Field("driver_state", "uint8_t", "modes.DriverState", PER_AXIS),
    Field("driver_mode", "uint8_t", "modes.DriverMode the drive reports", PER_AXIS),
    Field("status", "uint8_t", "status byte of the drive", PER_AXIS),
    Field("on_target", "uint8_t", "1: the axis stands at the target of the last motion", PER_AXIS),
    Field("rom_enforced", "uint8_t", "1: the axis is held to its range of motion", PER_AXIS),
    Field("moving", "uint8_t", "1: the trajectory of the axis is moving", PER_AXIS),
    Field("axes", "uint8_t", "number of axes"),
    Field("state", "uint8_t", "modes.MasterState"),
    Field("mode", "uint8_t", "modes.MasterMode"),
    Field("bus_state", "uint8_t", "modes.BusState"),
    Field("stop_category", "uint8_t", "modes.StopCategory of the stop that is running or was last completed"),
    Field("motor_power", "uint8_t", "1: motor power enable is commanded"),
    Field("self_test", "uint8_t", "modes.SelfTest: the relay path since the last bring-up"),
    Field("inputs", "uint8_t", "board inputs: bit 0 button closed, 1 contacts closed, 2 enable seen"),
    Field("fault_count", "uint8_t", "number of active faults"),
    Field("last_reason", "uint8_t", "modes.Reason of the last change of the master state"),
    Field("last_command_result", "uint8_t", "modes.CommandResult of the last command"),
    Field("late_command_result", "uint8_t", "modes.CommandResult of that one"),
    Field("last_command_kind", "uint8_t", "modes.CommandKind of the last command"),
    Field("external_phase", "uint8_t", "external.ExternalPhase of the external program"),
    Field("compliant_phase", "uint8_t", "modes.CompliantPhase of compliant mode"),
    Field("sequence", "uint8_t", "sequence number of the last command telegram"),
)
FIELD: dict[str, Field] = {row.name: row for row in FIELDS}


def elements(row: Field) -> int:
    """Elements a field has in the record, 1 for a number."""
    return {0: 1, PER_AXIS: telegram.MAX_AXES}.get(row.count, row.count)


def offsets(fields: tuple[Field, ...] = FIELDS) -> dict[str, int]:
    """Byte offset of every field; ValueError when a row would leave a hole."""
    found, offset = {}, 0
    for row in fields:
        size = SIZES[row.ctype]
        if offset % size:
            raise ValueError(f"record field {row.name}: leaves a hole at byte {offset}; order rows by falling size")
        found[row.name] = offset
        offset += size * elements(row)
    return found


def pack(values: object) -> bytes:
    """Bytes of a record from an object with an attribute per field (for `State.from_bytes`)."""
    codes = {"uint64_t": "Q", "int64_t": "q", "double": "d", "float": "f", "uint32_t": "I", "int32_t": "i",
             "uint16_t": "H", "int16_t": "h", "uint8_t": "B"}
    data = b""
    for row in FIELDS:
        value = getattr(values, row.name)
        given = tuple(value) if row.count else (value,)
        padded = (*given, *(0,) * (elements(row) - len(given)))
        data += struct.pack(f"={len(padded)}{codes[row.ctype]}", *padded)
    return data + bytes(-len(data) % max(SIZES.values()))
