"""The register table: one row for every address that can be read, set or saved. `{i}` is the axis, 0-based."""

from __future__ import annotations

from typing import Literal

import msgspec

Source = Literal["arm", "HMI", "live"]
Role = Literal["base", "advanced", "administrator"]
AXES_IN_MAP = 5


class Register(msgspec.Struct, frozen=True):
    """One row. `address` is that of axis 1 when `per_axis`; `low`..`high` bound the value where the table does."""

    address: int
    name: str
    unit: str
    source: Source
    per_axis: bool = False
    low: float | None = None
    high: float | None = None
    role: Role = "base"
    doc: str = ""

    @property
    def type(self) -> str:
        return type_of(self.address)


TYPES: tuple[tuple[int, int, str], ...] = (
    (1, 9, "string"),
    (10, 49, "uint8"),
    (50, 199, "int16"),
    (200, 399, "float32"),
    (400, 499, "boolean"),
    (500, 599, "int32"),
)


def type_of(address: int) -> str:
    """Type by address; ValueError outside 1..599."""
    for low, high, name in TYPES:
        if low <= address <= high:
            return name
    raise ValueError(f"register {address}: addresses are 1..599")


SERIAL_NUMBER, AXES, BOARD_UPDATE, BOARD_VERSION, WIFI_SSID, WIFI_PASSWORD = 1, 2, 6, 7, 8, 9
MASTER_MODE, TEST_CYCLE, DRIVER_MODE = 10, 11, 12
TARGET_POSITION = 50
ADVANCED_SPEED, USER_SPEED, MOVEMENT_SPEED = 60, 70, 80
BATTERY = 100
ROM_ENABLED, ROM_MINIMUM, ROM_MAXIMUM = 109, 110, 120
RESOLUTION, ZERO, HARD_MINIMUM, HARD_MAXIMUM = 130, 140, 160, 170
STROKE, SPEED_CONVERSION, SPRING_OFFSET, SPRING_STIFFNESS, INVERTED = 200, 220, 230, 231, 400

REGISTERS: tuple[Register, ...] = (
    Register(SERIAL_NUMBER, "serial_number", "", "arm", doc="serial number"),
    Register(AXES, "axes", "", "arm", low=1, high=8, doc="number of axes"),
    Register(BOARD_UPDATE, "board_update", "", "HMI", role="administrator", doc="board firmware update, index;url"),
    Register(BOARD_VERSION, "board_version", "", "arm", doc="board software version"),
    Register(WIFI_SSID, "wifi_ssid", "", "HMI", role="administrator", doc="Wi-Fi name for 6; never logged or sent"),
    Register(WIFI_PASSWORD, "wifi_password", "", "HMI", role="administrator", doc="its password; never logged or sent"),
    Register(MASTER_MODE, "master_mode", "", "HMI", low=0, high=9, doc="master working mode"),
    Register(TEST_CYCLE, "test_cycle", "", "HMI", low=0, high=255, role="administrator", doc="test cycle number"),
    Register(DRIVER_MODE, "driver_mode", "", "HMI", True, 0, 9, "administrator",
             "external development only; a client that sets it is refused, the control loop alone does"),
    Register(TARGET_POSITION, "target_position", "counts", "HMI", True, doc="target joint position"),
    Register(ADVANCED_SPEED, "advanced_speed", "%", "HMI", True, 0, 100, "advanced", "speed limit, always applied"),
    Register(USER_SPEED, "user_speed", "%", "HMI", True, 0, 100, doc="speed limit on top of the advanced one"),
    Register(MOVEMENT_SPEED, "movement_speed", "%", "HMI", True, 0, 100, doc="maximum speed of the present movement"),
    Register(90, "upper_arm_length", "mm", "HMI", low=0, high=60, doc="upper arm length adjustment"),
    Register(91, "upper_arm_weight", "%", "HMI", low=0, high=200, doc="upper arm weight share (HMI pages: 92)"),
    Register(92, "forearm_length", "mm", "HMI", low=0, high=200, doc="forearm length adjustment (HMI pages: 91)"),
    Register(93, "forearm_weight", "%", "HMI", low=0, high=200, doc="forearm weight share"),
    Register(BATTERY, "battery", "%", "live", low=0, high=100, doc="battery charge"),
    Register(101, "cartesian_move", "", "HMI", low=0, high=3, doc="0 begin, 1 go unchecked, 2 go checked, 3 check"),
    Register(102, "cartesian_target_x", "mm", "HMI", doc="Cartesian target x"),
    Register(103, "cartesian_target_y", "mm", "HMI", doc="Cartesian target y"),
    Register(104, "cartesian_target_z", "mm", "HMI", doc="Cartesian target z"),
    Register(105, "cartesian_speed_x", "%", "HMI", low=-100, high=100, doc="Cartesian target speed x"),
    Register(106, "cartesian_speed_y", "%", "HMI", low=-100, high=100, doc="Cartesian target speed y"),
    Register(107, "cartesian_speed_z", "%", "HMI", low=-100, high=100, doc="Cartesian target speed z"),
    Register(ROM_ENABLED, "rom_enabled", "", "HMI", low=0, high=1, role="advanced", doc="range of motion limits on"),
    Register(ROM_MINIMUM, "rom_minimum", "counts", "HMI", True, role="advanced", doc="range of motion minimum"),
    Register(ROM_MAXIMUM, "rom_maximum", "counts", "HMI", True, role="advanced", doc="range of motion maximum"),
    Register(RESOLUTION, "resolution", "counts", "arm", True, 2, 32767, doc="position sensor counts per stroke"),
    Register(ZERO, "zero", "counts", "arm", True, -32768, 32767, doc="position sensor reading at 0 degrees"),
    Register(HARD_MINIMUM, "hard_minimum", "counts", "arm", True, -32768, 32767, doc="hard position limit"),
    Register(HARD_MAXIMUM, "hard_maximum", "counts", "arm", True, -32768, 32767, doc="hard position limit"),
    Register(180, "compliant_dead_band", "", "HMI", True, role="advanced", doc="compliant mode: dead band"),
    Register(185, "compliant_proportional", "", "HMI", True, role="advanced", doc="compliant mode: proportional gain"),
    Register(190, "compliant_exponential", "", "HMI", True, role="advanced", doc="compliant mode: exponential gain"),
    Register(195, "compliant_derivative", "", "HMI", True, role="advanced", doc="compliant mode: derivative gain"),
    Register(STROKE, "stroke", "deg", "arm", True, 1e-3, 36000.0, doc="position sensor stroke, paired with 130+i"),
    Register(210, "elbow_angle", "deg", "HMI", doc="Cartesian target elbow angle"),
    Register(211, "wrist_angle", "deg", "HMI", doc="Cartesian target wrist angle"),
    Register(SPEED_CONVERSION, "speed_conversion", "deg/microstep", "arm", True, -1e3, 1e3,
             doc="microsteps/s to deg/s; not 0"),
    Register(SPRING_OFFSET, "spring_offset", "counts", "arm", doc="axis 2 gravity spring offset"),
    Register(SPRING_STIFFNESS, "spring_stiffness", "counts/deg", "arm", doc="axis 2 gravity spring stiffness"),
    Register(INVERTED, "inverted", "", "arm", True, 0, 1, doc="position sensor direction inverted"),
)

# What bring-up asks for, in this order: whole arm, then every axis, then the spring.
BRING_UP_ARM: tuple[int, ...] = (SERIAL_NUMBER, AXES, BOARD_VERSION)
BRING_UP_AXIS: tuple[int, ...] = (
    RESOLUTION, ZERO, HARD_MINIMUM, HARD_MAXIMUM, STROKE, SPEED_CONVERSION, INVERTED,
)
BRING_UP_SPRING: tuple[int, ...] = (SPRING_OFFSET, SPRING_STIFFNESS)

BY_NAME: dict[str, Register] = {row.name: row for row in REGISTERS}


def at(address: int, axes: int = AXES_IN_MAP) -> tuple[Register, int]:
    """(row, 0-based axis) of an address; KeyError where there is none.

    Ranges of more than five axes reach into the next row (195 + 5 is 200, the stroke of axis 1): the nearer row wins.
    """
    found = [row for row in REGISTERS if row.address <= address < row.address + (axes if row.per_axis else 1)]
    if not found:
        raise KeyError(address)
    row = max(found, key=lambda row: row.address)
    return row, address - row.address
