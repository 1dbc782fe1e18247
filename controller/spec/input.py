"""Input devices as tables: which axes of a 3D mouse or game pad exist, what their buttons do, and the modes that are in
force where nobody configured any.

The codes are those of the kernel (linux/input-event-codes.h); relative and absolute axes share the numbers of x..rz.
"""

from __future__ import annotations

import msgspec

from controller.spec import hmi
from controller.spec.telegram import MAX_AXES

EV_SYN, EV_KEY, EV_REL, EV_ABS, EV_MAX = 0, 1, 2, 3, 0x1F
SYN_REPORT, SYN_DROPPED = 0, 3

SPACE_MOUSE, GAME_PAD, OTHER = "3D mouse", "game pad", "other"
KINDS = (SPACE_MOUSE, GAME_PAD, OTHER)
VENDOR_3DCONNEXION, VENDOR_LOGITECH = 0x256F, 0x046D
LOGITECH_3D = range(0xC600, 0xC700)  # product numbers of the 3D mice that Logitech made
BTN_SOUTH, BTN_TRIGGER = 0x130, 0x120  # what a game pad, what a joystick has
PROP_ACCELEROMETER = 0x06  # the motion sensors of a game pad are a device of their own
BUS_BLUETOOTH = 0x05

RELATIVE_FULL = 350  # counts of a 3D mouse that is pushed to its stop
REST_PERCENT_HIGHEST = 90


class DeviceAxis(msgspec.Struct, frozen=True):
    """`code` of EV_ABS, and of EV_REL where `relative`."""

    name: str
    code: int
    doc: str
    relative: bool = False


DEVICE_AXES: tuple[DeviceAxis, ...] = (
    DeviceAxis("x", 0x00, "3D mouse: to the right; game pad: left stick to the right", True),
    DeviceAxis("y", 0x01, "3D mouse: towards you; game pad: left stick towards you", True),
    DeviceAxis("z", 0x02, "3D mouse: down; game pad: left trigger, one way only", True),
    DeviceAxis("rx", 0x03, "3D mouse: tilt forward; game pad: right stick to the right", True),
    DeviceAxis("ry", 0x04, "3D mouse: tilt sideways; game pad: right stick towards you", True),
    DeviceAxis("rz", 0x05, "3D mouse: turn; game pad: right trigger, one way only", True),
    DeviceAxis("throttle", 0x06, "throttle"),
    DeviceAxis("rudder", 0x07, "rudder"),
    DeviceAxis("wheel", 0x08, "wheel"),
    DeviceAxis("gas", 0x09, "a trigger of some game pads, one way only"),
    DeviceAxis("brake", 0x0A, "a trigger of some game pads, one way only"),
    DeviceAxis("hat0x", 0x10, "direction pad to the right"),
    DeviceAxis("hat0y", 0x11, "direction pad towards you"),
)
AXIS: dict[str, DeviceAxis] = {row.name: row for row in DEVICE_AXES}
BY_CODE: dict[int, DeviceAxis] = {row.code: row for row in DEVICE_AXES}
ALWAYS_ONE_SIDED = {"gas", "brake"}
TRIGGERS = {"z", "rz"}  # one-sided where both sticks have axes of their own

# Kernel codes of the buttons: of two meanings the first code that a device has counts.
MODE_BUTTONS = (0x111, 0x101, 0x137)  # BTN_RIGHT, BTN_1 (3D mouse, right), BTN_TR (game pad, right shoulder)
STOP_BUTTONS = (0x110, 0x100, 0x136)  # BTN_LEFT, BTN_0 (3D mouse, left), BTN_TL (game pad, left shoulder)

JOINTS: tuple[str, ...] = tuple(f"joint {i + 1}" for i in range(MAX_AXES))
CARTESIAN: tuple[str, ...] = ("x", "y", "z")
DRIVEN: tuple[str, ...] = (*JOINTS, *CARTESIAN)
MODE_LONGEST = 24
MODES_MOST = 8
ROWS_MOST = 64

# seconds
READ_S = 0.004  # between two readings of a device: no flood makes more of them
ACT_S = 0.02  # between two looks at what was read, while a device is in use
REFRESH_S = 0.05  # a jog is repeated while its device is deflected; it acts for hmi.JOG_REFRESH_S
READER_SILENT_S = 0.15  # the thread that reads is late for so long: what it read last no longer counts
GIVE_BACK_S = 3.0  # at rest for so long, a device gives control back
PRESS_PAUSE_S = 0.2  # the mode changes no faster
REST_AFTER_SILENCE_S = 1.0  # a relative axis tells only what is not zero: silent for so long it has been let go
LOOK_S = 1.0  # between two looks for new devices
if not READ_S < ACT_S < REFRESH_S < READER_SILENT_S < hmi.JOG_REFRESH_S:
    raise AssertionError("a jog would run out between two refreshes")


class Drive(msgspec.Struct, frozen=True):
    """A row of a mapping: in `mode`, `axis` of a device drives a joint or a direction of the hand. `device` is a kind,
    a name with * and ?, or "" for all; `dead_zone_percent` None takes the one of [input]."""

    mode: str
    axis: str
    drives: str
    device: str = ""
    invert: bool = False
    sensitivity_percent: float = 100.0
    dead_zone_percent: float | None = None

    @property
    def joint(self) -> int:
        """0-based joint, -1 for a direction of the hand."""
        return JOINTS.index(self.drives) if self.drives in JOINTS else -1


# Where neither the configuration nor the chosen scenario says anything. Of the hand, x is forward, y to the left, z up.
DEFAULT_DRIVES: tuple[Drive, ...] = (
    Drive("joints 1-3", "x", "joint 1"), Drive("joints 1-3", "y", "joint 2"),
    Drive("joints 1-3", "rz", "joint 3", SPACE_MOUSE), Drive("joints 1-3", "ry", "joint 3", GAME_PAD),
    Drive("joints 3-5", "x", "joint 3"), Drive("joints 3-5", "y", "joint 4"),
    Drive("joints 3-5", "rz", "joint 5", SPACE_MOUSE), Drive("joints 3-5", "ry", "joint 5", GAME_PAD),
    Drive("hand", "y", "x", invert=True), Drive("hand", "x", "y", invert=True),
    Drive("hand", "z", "z", SPACE_MOUSE, invert=True), Drive("hand", "ry", "z", GAME_PAD, invert=True),
)
TEST_DRIVES: tuple[Drive, ...] = (Drive("test cycle 7", "x", "joint 1"),)


ALLOWED: dict[str, str] = {
    "mode": f"text of 1..{MODE_LONGEST} printable characters",
    "axis": f"one of {', '.join(AXIS)}",
    "drives": f"one of {', '.join(DRIVEN)}",
    "device": f"one of {', '.join(KINDS)}, or the name of a device, with * and ?, or empty for all",
    "invert": "true or false",
    "sensitivity_percent": "a number above 0, up to 100",
    "dead_zone_percent": f"a number 0..{REST_PERCENT_HIGHEST}",
}
