"""External development: what a program of the user's and the control thread exchange through shared memory.

emit.py makes the C structs, their asserted offsets and the Python class of the state from these rows; docs/external.md
lists the same rows. Rows are ordered by falling size so that the structs have no holes; arrays per axis always hold
MAX_AXES elements. A change of any row, or of what a code means, is a new LAYOUT_VERSION.
"""

from __future__ import annotations

from controller.spec.coded import Coded
from controller.spec.record import PER_AXIS, SIZES, Field, elements, offsets

LAYOUT_VERSION = 1
MAGIC = 0x6B6E694C6D724179  # "yArmLink" in memory: any other file is told from this one
STATE_CAPACITY = 64  # records, a power of two: so far a program may fall behind without losing one
TARGET_CAPACITY = 16  # records, a power of two: also the most that a cycle looks at
PERIODS_OF_SILENCE = 3  # the heartbeat is never asked for within fewer periods


class ExternalKind(Coded):
    """What a target record asks for."""

    POSITION = 1, "position_deg of every axis; speed_deg_s is the speed the axis is to have there (0: come to rest)"
    SPEED = 2, "speed_deg_s of every axis"
    END = 3, "end the motion softly and stay in AUTO: the program gives the arm back in good order"


class ExternalRefusal(Coded):
    """Why a target record was not taken."""

    NONE = 0, "none was refused"
    CHECKSUM = 1, "the checksum is wrong: torn, or not a record"
    SEQUENCE = 2, "the sequence number is not above that of the record before"
    CYCLE = 3, "it answers a state record older than the heartbeat, or one that was never written"
    KIND = 4, "unknown kind"
    AXES = 5, "not as many axes as the arm has, or `spare` is not 0"
    VALUE = 6, "a value is not a finite number"


class ExternalLimit(Coded):
    """Bits of `limited`: what kept the set-point of an axis from being the target."""

    RANGE = 1, "the target, or the way to it, leads out of the axis's range"
    SPEED = 2, "the speed asked for is above the speed limit in force"
    LAG = 4, "speed, acceleration and jerk limits keep the set-point behind the target"


class ExternalPhase(Coded):
    """How far a program has got, as the status shows it."""

    NONE = 0, "no program is connected"
    SILENT = 1, "a program is connected and sends no valid records"
    BEATING = 2, "a program is connected and beating; an operator may admit it"
    ADMITTED = 3, "the program moves the arm"


STATE_FIELDS: tuple[Field, ...] = (
    Field("cycle", "uint64_t", "number of the control cycle that wrote this record"),
    Field("target_sequence", "uint64_t", "sequence number of the newest target record taken, 0 none"),
    Field("time_ns", "int64_t", "CLOCK_MONOTONIC when the cycle woke up", unit="ns"),
    Field("deadline_ns", "int64_t", "when it was to wake up; the next one is period_ns later", unit="ns"),
    Field("period_ns", "int64_t", "period of the control loop", unit="ns"),
    Field("heartbeat_ns", "int64_t", "longest time without a valid target record", unit="ns"),
    Field("admitted_ns", "int64_t", "when the program was admitted, 0 when it is not", unit="ns"),
    Field("feedback_age_ns", "int64_t", "time since the command that the feedback answers; -1 none", unit="ns"),
    Field("target_time_ns", "int64_t", "`time_ns` of the newest target record taken", unit="ns"),
    Field("position_deg", "double", "joint position", PER_AXIS, "deg"),
    Field("speed_deg_s", "double", "joint speed as the drive reports it", PER_AXIS, "deg/s"),
    Field("setpoint_position_deg", "double", "position set-point; admitted programs begin here", PER_AXIS, "deg"),
    Field("setpoint_speed_deg_s", "double", "speed set-point", PER_AXIS, "deg/s"),
    Field("minimum_deg", "double", "lower end of the range for set-points", PER_AXIS, "deg"),
    Field("maximum_deg", "double", "upper end of the range for set-points", PER_AXIS, "deg"),
    Field("speed_limit_deg_s", "double", "highest speed of a set-point now", PER_AXIS, "deg/s"),
    Field("taken", "uint32_t", "valid target records since the program connected"),
    Field("rejected", "uint32_t", "target records refused since the program connected"),
    Field("position_counts", "int16_t", "sensor counts", PER_AXIS, "counts"),
    Field("torque_counts", "int16_t", "torque sensor counts", PER_AXIS, "counts"),
    Field("limited", "uint8_t", "bits of ExternalLimit", PER_AXIS),
    Field("axes", "uint8_t", "number of axes, 0 before the arm is connected"),
    Field("state", "uint8_t", "modes.MasterState"),
    Field("mode", "uint8_t", "modes.MasterMode"),
    Field("admitted", "uint8_t", "1: the targets of this program move the arm"),
    Field("last_refusal", "uint8_t", "ExternalRefusal of the last record that was refused"),
    Field("motor_power", "uint8_t", "1: motor power enable is commanded"),
)

TARGET_FIELDS: tuple[Field, ...] = (
    Field("sequence", "uint64_t", "counts up with every record, from 1: the heartbeat"),
    Field("cycle", "uint64_t", "cycle of the state record that it answers"),
    Field("time_ns", "int64_t", "CLOCK_MONOTONIC when it was sent; only handed back in the state", unit="ns"),
    Field("position_deg", "double", "kind POSITION: target of each axis", PER_AXIS, "deg"),
    Field("speed_deg_s", "double", "POSITION: speed at the target; SPEED: speed wanted", PER_AXIS, "deg/s"),
    Field("kind", "uint32_t", "ExternalKind"),
    Field("axes", "uint32_t", "number of axes given: as many as the arm has"),
    Field("spare", "uint32_t", "0"),
    Field("checksum", "uint32_t", "CRC-32 (ISO-HDLC, the one of zlib) over everything before it"),
)

RECORDS: dict[str, tuple[Field, ...]] = {"ExternalState": STATE_FIELDS, "ExternalTarget": TARGET_FIELDS}


def size(fields: tuple[Field, ...]) -> int:
    """Bytes of the struct, which ends on a multiple of 8."""
    end = offsets(fields)[fields[-1].name] + SIZES[fields[-1].ctype] * elements(fields[-1])
    return -(-end // 8) * 8


def enumerations() -> tuple[type[Coded], ...]:
    """Every code of this file."""
    return ExternalKind, ExternalRefusal, ExternalLimit, ExternalPhase
