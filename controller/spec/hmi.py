"""The HMI contract as tables: transport limits, `data` fields, `response` forms, settings, actions, notices.

A form is recognised by its whole set of keys (hmi/forms.py); what it may do is said by its action's row; a setting it
stores by that setting's row. `n` in a key is one address per axis of the arm, `5` one per address of the map.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from controller.spec import load, registers
from controller.spec.coded import Coded

CONTRACT_VERSION = "1.7"
PATH = "/socket.io/"
DEFAULT_PORT = 3001
RESPONSE, DATA, COMMAND, STATE = "response", "data", "command", "state"

RATE_MINIMUM_HZ, RATE_DEFAULT_HZ, RATE_MAXIMUM_HZ = 1, 20, 100
MESSAGES_PER_S = 100
MESSAGE_BYTES = 16384
DATA_BYTES = 4096  # a complete `data` message stays under this
REPLAY_WINDOW_S = 1.0  # clicks made while the link was down arrive in one burst
CONTROL_IDLE_S = 30.0
STALLED_S = 10.0  # a client that does not read is dropped after this
JOG_REFRESH_S = 0.2
CALIBRATION_STEP_LEAST_DEG = 0.001  # finer than any encoder here
JOG_FORGOTTEN_S = 1.0  # a hold that was not released: its sequence numbers count for so long
LABEL_LENGTH = 24
MAP_AXES = registers.AXES_IN_MAP
NODES = MAP_AXES + 1  # axes 1..5 and the controller itself
DEFAULT_POSITIONS = 6
G2_SENSITIVITY = 10  # highest joystick sensitivity of a page that has checked its version


class Role(Coded):
    BASE = 5, "observe, stop, move, own settings"
    ADVANCED = 15, "advanced speed limits, range of motion, resets"
    ADMINISTRATOR = 20, "test modes, firmware"


class Notice(Coded):
    """Id of `errorServerMessage`; its name in lower case is `error.code` of an acknowledgement."""

    VERSION = 60, "HMI and controller speak different contract versions: observe and stop only"
    UNKNOWN = 61, "message form, event or command type is not known"
    VALUE = 62, "a value is of the wrong type or outside its range"
    NOT_AVAILABLE = 63, "known, but not available in this version"
    REPLAY = 64, "arrived within the first second of a connection: taken for a click made while the link was down"
    CONTROL = 65, "another client has control"
    ROLE = 66, "this client's role does not allow it"
    BLOCKED = 67, "something keeps the arm from moving"
    RATE = 68, "too many messages per second"
    TOO_LARGE = 69, "message too large"
    BUSY = 74, "the command ring is full: send again"
    REFUSED = 75, "the control loop refused the command"
    NOT_SAVED = 76, "the setting is in force but could not be saved"
    NO_LOOP = 77, "the control loop does not run"
    MALFORMED = 78, "not a well-formed packet"
    INTERNAL = 79, "a fault of the controller itself; it is logged"
    LOCKED = 80, "these settings are locked: unlock them first"
    NEVER_SAVED = 81, "the position was never saved, or was saved for another arm"
    STALE = 82, "a jog that came late, twice or out of order: dropped"
    ENDED = 83, "a sequence of motions ended before its last step"
    INPUT_DEVICE = 84, "what an input device does now, or why it does not act"
    UPDATE = 85, "an update of the program: what is done now, and how it ended"


Control = Literal["anyone", "waits", "takes"]  # waits: refused while another client has control


class Action(msgspec.Struct, frozen=True):
    """Something a client can ask for. `guarded`: refused within REPLAY_WINDOW_S of the connection."""

    name: str
    doc: str
    role: Role = Role.BASE
    control: Control = "anyone"
    guarded: bool = False
    available: bool = True
    incompatible: bool = False  # also for a client of another contract version

    @property
    def motion(self) -> bool:
        """Whether it moves the arm, so that blockers stand against it and it ends a sequence of motions."""
        return self.guarded and self.control == "takes"


ACTIONS: tuple[Action, ...] = (
    Action("version_check", "compare contract versions", incompatible=True),
    Action("stop", "stop in the next control cycle; drives hold", incompatible=True),
    Action("subscribe", "choose the rate of `data` or `state` for this client", incompatible=True),
    Action("settings_read", "read stored settings", incompatible=True),
    Action("diagnostics_section", "note the visit", incompatible=True),
    Action("hand_check", "whether the hand can go somewhere in a straight line", control="anyone"),
    Action("why", "what keeps this client from moving the arm", incompatible=True),
    Action("release", "give up control", incompatible=True),
    Action("acquire", "take control when nobody has it", control="takes"),
    Action("start", "run stored targets, else power up and stand ready for jog", control="takes", guarded=True),
    Action("ready", "power up and stand ready for jog; stored targets are forgotten", control="takes", guarded=True),
    Action("jog", "joint speeds, or a velocity of the hand, while held", control="takes", guarded=True),
    Action("move", "go to joint positions, or with the hand along a straight line", control="takes", guarded=True),
    Action("stand_still", "end the motion softly and stay ready", control="waits"),
    Action("compliant", "a hand leads the arm, until it is switched off or anything else moves or stops it",
           control="takes", guarded=True),
    Action("compliant_off", "the hand leads the arm no longer; it stands still, ready", control="waits"),
    Action("off", "soft stop, then motor power off", control="waits", guarded=True),
    Action("reset", "RESET_ERROR", Role.ADVANCED),
    Action("settings_write", "store settings (role by setting)"),
    Action("settings_accept", "accept the settings in force in place of a file that could not be used", Role.ADVANCED),
    Action("speed_limit", "store and apply what the control loop uses: speed limits, ranges, lengths, weights, gains "
           "(role by setting)", control="waits"),
    Action("test_jog", "test cycle 8: jog", Role.ADMINISTRATOR, "takes", True),
    Action("test_drives_off", "test cycle 4: drives off", Role.ADMINISTRATOR, "waits", True),
    Action("test_axes", "test cycle 1: standard movements on every axis", Role.ADMINISTRATOR, "takes", True),
    Action("test_square", "test cycle 3: the hand around a square", Role.ADMINISTRATOR, "takes", True),
    Action("test_device", "test cycle 7: an input device moves axis 1", Role.ADMINISTRATOR, "takes", True),
    Action("play", "play an exercise or a scenario", control="takes", guarded=True),
    Action("resume", "go on with what is paused", control="takes", guarded=True),
    Action("pause", "pause what is played: a soft stop that stays ready", control="waits"),
    Action("estimate", "how long an exercise or a scenario takes"),
    Action("reports", "read the reports of what was played"),
    Action("calibrate", "torque calibration run", Role.ADMINISTRATOR, "takes", True),
    Action("calibrations", "list the calibration runs on disk"),
    Action("saved_position", "go to a saved position", control="takes", guarded=True),
    Action("range_on", "worn: limits of the range of motion on", control="waits", guarded=True),
    Action("range_off", "relax: limits of the range of motion off", control="waits", guarded=True),
    Action("target_wait", "store the next targets, wait for start", control="takes", guarded=True),
    Action("external", "external development: admit the program that is connected", Role.ADMINISTRATOR, "takes", True),
    Action("driver_mode", "working modes of single drives, registers 12..; the control loop alone sets them, in "
           "external development too, where a program sends targets (mode 8)", Role.ADMINISTRATOR, "takes", True,
           available=False),
    Action("board_registers", "write Wi-Fi and update registers of the board", Role.ADMINISTRATOR, "waits", True),
)
ACTION: dict[str, Action] = {row.name: row for row in ACTIONS}

# Saved positions: their name in `go_to` -> (button, setting that holds them).
POSITIONS: dict[str, tuple[str, str]] = {
    **{f"default_{n}": (f"default{n}", f"default_position_{n}_counts") for n in range(1, DEFAULT_POSITIONS + 1)},
    "wearing": ("wearing_position", "wearing_position_counts"), "rest": ("rest_position", "rest_position_counts"),
}
BUTTONS: dict[str, str] = {
    "start": "start", "stop": "stop", "reset": "reset",
    **{button: "saved_position" for button, _ in POSITIONS.values()},
    "wearing_ROM_position": "range_on", "rest_ROM_position": "range_off",
    "diagnostics_section": "diagnostics_section",
}
MODES: dict[int, str] = {  # register 10
    0: "off", 1: "stand_still", 3: "ready", 4: "ready", 5: "target_wait", 6: "stop", 7: "reset", 8: "external",
}
TEST_CYCLES: dict[int, str] = {  # register 11
    1: "test_axes", 3: "test_square", 4: "test_drives_off", 7: "test_device", 8: "test_jog",
}

Kind = Literal["number", "boolean", "text", "choice"]
Span = Literal["one", "five", "arm"]  # a single value, one per address of the map, one per axis of the arm


class Setting(msgspec.Struct, frozen=True):
    """A stored value. `key` is its HMI address (of axis 1); elements are stored under `name.1`, `name.2`, ...

    `step` is the distance between the addresses of two axes. `register` is the first register of a speed limit,
    weight share, dead band or gain that the control loop takes. A default of None is "never saved". `lock` names
    the boolean setting that locks this one. A `set_by` names the action that alone changes it; `together`: all axes
    of the arm are saved at once.
    """

    name: str
    key: str
    span: Span
    kind: Kind
    low: float = 0.0
    high: float = 0.0
    default: float | bool | str | None = 0.0
    unit: str = ""
    role: Role = Role.BASE
    register: int = 0
    choices: tuple[str | None, ...] = ()
    step: int = 1
    whole: bool = False
    together: bool = False
    lock: str = ""
    set_by: str = ""

    def keys(self, axes: int) -> tuple[str, ...]:
        """HMI keys of its elements for an arm of `axes` axes. The map ends at five axes, but for positions: they are
        saved whole, and whole sets of keys are told apart with more axes too."""
        if self.span == "one":
            return (self.key,) if self.key else ()
        count = axes if self.together else MAP_AXES if self.span == "five" else min(axes, MAP_AXES)
        return tuple(str(int(self.key) + i * self.step) for i in range(count))

    @property
    def in_loop(self) -> bool:
        """Whether the control loop uses it: not to be changed under the hands of the client in control."""
        return bool(self.register) or self.name in {*LENGTHS, "range_minimum_deg", "range_maximum_deg"}

    def names(self, axes: int) -> tuple[str, ...]:
        """Names its elements are stored under; the first of them belong to `keys`, in their order."""
        if self.span == "one":
            return (self.name,)
        return tuple(f"{self.name}.{i + 1}" for i in range(MAP_AXES if self.span == "five" else axes))


_COUNTS = {"kind": "number", "low": -32768, "high": 32767, "default": None, "unit": "counts", "whole": True,
           "together": True}

SETTINGS: tuple[Setting, ...] = (
    Setting("advanced_speed_percent", "60", "five", "number", 0, 100, 100, "%", Role.ADVANCED,
            registers.ADVANCED_SPEED, lock="lock_advanced_speed"),
    Setting("lock_advanced_speed", "lockSpeedAd", "one", "boolean", default=False, role=Role.ADVANCED),
    Setting("user_speed_percent", "70", "five", "number", 0, 100, 100, "%", register=registers.USER_SPEED,
            lock="lock_speed"),
    Setting("lock_speed", "lockSpeed", "one", "boolean", default=False),
    Setting("movement_speed_percent", "85", "five", "number", 0, 100, 100, "%", register=registers.MOVEMENT_SPEED),
    Setting("joystick_sensitivity", "80", "five", "number", 0, 100, 10, lock="lock_joystick"),
    Setting("joystick_sensitivity_scale", "", "one", "number", G2_SENSITIVITY, 100, G2_SENSITIVITY, whole=True,
            lock="lock_joystick"),
    Setting("lock_joystick", "lockJoySens", "one", "boolean", default=False),
    Setting("range_minimum_deg", "101", "arm", "number", -3600, 3600, None, "deg", Role.ADVANCED, step=2),
    Setting("range_maximum_deg", "102", "arm", "number", -3600, 3600, None, "deg", Role.ADVANCED, step=2),
    Setting("range_of_motion_on", "", "one", "boolean", default=False, set_by="range_of_motion"),
    Setting("wearing_position_counts", "51", "arm", **_COUNTS),  # type: ignore[arg-type]
    Setting("rest_position_counts", "56", "arm", **_COUNTS),  # type: ignore[arg-type]
    *(Setting(f"default_position_{n}_counts", str(16 + 5 * n), "arm", **_COUNTS)  # type: ignore[arg-type]
      for n in range(1, DEFAULT_POSITIONS + 1)),
    *(Setting(f"default_position_{n}_label", f"default_{n}", "one", "text", high=LABEL_LENGTH, default=f"Default {n}")
      for n in range(1, DEFAULT_POSITIONS + 1)),
    Setting("upper_arm_length_mm", "90", "one", "number", 0, 60, 0, "mm"),
    Setting("forearm_length_mm", "91", "one", "number", 0, 200, 0, "mm"),
    Setting("upper_arm_weight_percent", "92", "one", "number", 0, 200, 100, "%", register=registers.UPPER_ARM_WEIGHT),
    Setting("forearm_weight_percent", "93", "one", "number", 0, 200, 100, "%", register=registers.FOREARM_WEIGHT),
    *(Setting(row.name, "", "five", "number", row.low or 0, row.high or 0, default, row.unit, Role.ADVANCED,
              row.address)
      for row, default in ((registers.BY_NAME["compliant_dead_band"], load.DEAD_BAND_DEFAULT),
                           (registers.BY_NAME["compliant_proportional"], load.PROPORTIONAL_DEFAULT),
                           (registers.BY_NAME["compliant_exponential"], load.EXPONENTIAL_DEFAULT),
                           (registers.BY_NAME["compliant_derivative"], load.DERIVATIVE_DEFAULT))),
    Setting("voice_1a", "1a", "one", "number", 10, 100, 100),
    Setting("voice_1b", "1b", "one", "number", 10, 100, 100),
    Setting("voice_verbosity", "1c", "one", "choice", default=None, choices=("brief", "standard", "complete", None)),
)
SETTING: dict[str, Setting] = {row.name: row for row in SETTINGS}
# HMI numbers 91 and 92 the other way round than the registers do.
LENGTHS = ("upper_arm_length_mm", "forearm_length_mm")  # that the control loop takes, in this order
ADJUSTMENT_REGISTERS: dict[str, int] = {
    "upper_arm_length_mm": 90, "forearm_length_mm": 92, "upper_arm_weight_percent": 91, "forearm_weight_percent": 93,
}


class Form(msgspec.Struct, frozen=True):
    """One object form of `response`. All `required` keys, and of the `settings`' keys either all (`whole`) or some.

    `axes` names the key of axis 1 of values per axis that are not stored (go to position).
    """

    name: str
    action: str
    doc: str
    required: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    whole: bool = False
    axes: str = ""


FORMS: tuple[Form, ...] = (
    Form("version_check", "version_check", "version of the HMI, \"1.7.8\"", ("1",)),
    Form("test_cycle", "test_axes", "10: 2; 11: number of the test cycle (its own row of actions)", ("10", "11")),
    Form("mode", "start", "10: working mode (its own row of actions); 7 is reset", ("10",)),
    Form("go_to_position", "move", "4: 0; 50..: degrees, also as text; \"\" leaves the axis", ("4",), axes="50"),
    Form("driver_mode", "driver_mode", "working modes of single drives: refused, the control loop alone sets them",
         axes="12"),
    Form("advanced_speed", "speed_limit", "percent", settings=("advanced_speed_percent", "lock_advanced_speed")),
    Form("user_speed", "speed_limit", "percent", settings=("user_speed_percent", "lock_speed")),
    Form("movement_speed", "speed_limit", "percent, registers 80..84", settings=("movement_speed_percent",)),
    Form("joystick_sensitivity", "settings_write", "0..10 (G2) or 0..100 (G1); stays in the controller",
         settings=("joystick_sensitivity", "lock_joystick")),
    Form("range_of_motion", "speed_limit", "pairs minimum, maximum in degrees, inside the hard limits",
         settings=("range_minimum_deg", "range_maximum_deg")),
    Form("wearing_position", "settings_write", "counts", settings=("wearing_position_counts",), whole=True),
    Form("rest_position", "settings_write", "counts", settings=("rest_position_counts",), whole=True),
    *(Form(f"default_position_{n}", "settings_write", "counts", settings=(f"default_position_{n}_counts",), whole=True)
      for n in range(1, DEFAULT_POSITIONS + 1)),
    Form("rename", "settings_write", f"up to {LABEL_LENGTH} characters",
         settings=tuple(f"default_position_{n}_label" for n in range(1, DEFAULT_POSITIONS + 1))),
    Form("arm_adjustments", "speed_limit", "in HMI numbering: registers number 91 and 92 the other way round",
         settings=tuple(ADJUSTMENT_REGISTERS)),
    Form("voice", "settings_write", "stored", settings=("voice_1a", "voice_1b", "voice_verbosity")),
)

# `type` of the typed interface -> action. `mode` takes the row of MODES, `test_cycle` that of TEST_CYCLES,
# `range_of_motion` range_on or range_off, `compliant` compliant or compliant_off, `settings` that of what it asks for.
COMMANDS: dict[str, str] = {
    "stop": "stop", "start": "start", "reset": "reset", "mode": "start", "jog": "jog", "move": "move",
    "subscribe": "subscribe", "acquire": "acquire", "release": "release", "settings": "settings_write",
    "go_to": "saved_position", "range_of_motion": "range_on", "test_cycle": "test_axes", "why": "why",
    "version": "version_check", "visit": "diagnostics_section",
    "board_registers": "board_registers", "compliant": "compliant",
    "play": "play", "estimate": "estimate", "pause": "pause", "resume": "resume", "reports": "reports",
    "calibrate": "calibrate", "calibrations": "calibrations",
}

Shape = Literal["node", "five", "axis", "number", "text", "object", "list"]


class DataField(msgspec.Struct, frozen=True):
    """One field of `data`. `node`: 6 elements, master last (N + 1 above five axes); `five`: at least 5; `axis`: N."""

    name: str
    shape: Shape
    doc: str
    unit: str = ""
    settings: tuple[str, ...] = ()  # an object field made of these settings, by HMI key
    live: str = ""  # the record field it shows, for what is another number in nearly every message
    decimals: int = 0  # of a live field


DATA_FIELDS: tuple[DataField, ...] = (
    DataField("parity", "node", "status byte, bit 7"),
    DataField("debug", "node", "status byte, bit 6"),
    DataField("error", "node", "status byte, bit 3; master: an error is active"),
    DataField("warning", "node", "status byte, bit 2; master: a warning is active"),
    DataField("motionOnGoing", "node", "status byte, bit 1; master: any axis moves"),
    DataField("onTargetPosition", "node", "status byte, bit 0; master: every axis is on its target"),
    DataField("driverState", "node", "driver state; master: its state"),
    DataField("workingMode", "node", "driver working mode; master: its mode"),
    DataField("errorCode", "node", "0 none; master: its gravest active error"),
    DataField("warningCode", "node", "0 none; master: its first active warning"),
    DataField("targetPosition", "five", "where the motion ends", "counts"),
    DataField("actualTorque", "five", "torque sensor", "counts", live="torque_counts"),
    DataField("actualFrequency", "five", "speed", "microsteps/s", live="frequency_microsteps_s"),
    DataField("actualPosition", "axis", "position sensor", "counts", live="position_counts"),
    DataField("actualPositionDeg", "axis", "joint position, one decimal", "deg", live="position_deg", decimals=1),
    DataField("axesX", "number", "hand position x, forward; 0 unknown", "mm", live="hand_x_mm", decimals=1),
    DataField("axesY", "number", "hand position y, to the left; 0 unknown", "mm", live="hand_y_mm", decimals=1),
    DataField("axesZ", "number", "hand position z, up; 0 unknown", "mm", live="hand_z_mm", decimals=1),
    DataField("axesG", "number", "elbow angle; 0 unknown or without an elbow", "deg", live="elbow_deg", decimals=1),
    DataField("batteryStatus", "number", "battery charge", "%", live="battery_percent", decimals=1),
    DataField("axisNumberTest", "number", "number of axes"),
    DataField("ipAddress", "text", "IPv4 of this board"),
    DataField("clientData", "object", "saved settings by HMI address", settings=(
        "advanced_speed_percent", "user_speed_percent", "joystick_sensitivity", "range_minimum_deg",
        "range_maximum_deg", "lock_speed", "lock_advanced_speed", "lock_joystick")),
    DataField("axisSpeedBaseData", "object", "user speed limits", "%", ("user_speed_percent", "lock_speed")),
    DataField("joystickSensData", "object", "joystick sensitivity", "", ("joystick_sensitivity", "lock_joystick")),
    DataField("adjustmentsArmData", "object", "arm adjustments, HMI numbering", "mm, %", tuple(ADJUSTMENT_REGISTERS)),
    DataField("homeBtn", "object", "labels of the saved positions", "",
              tuple(f"default_position_{n}_label" for n in range(1, DEFAULT_POSITIONS + 1))),
    DataField("errorTest", "list", "active errors, the gravest first, as many as fit the message"),
    DataField("errorData", "list", "the same"),
    DataField("warningTest", "list", "active warnings, as many as fit the message"),
    DataField("warningData", "list", "the same"),
)
NOTICE_FIELD = "errorServerMessage"  # only in a message to the one client it concerns
CLIENT_DATA_RANGE_AXES = 4  # clientData always has 101..108


def check() -> None:
    """ValueError when a table contradicts itself or another; run by a test and by the server at start."""
    for names in ([row.name for row in ACTIONS], [row.name for row in SETTINGS], [row.name for row in FORMS],
                  [row.name for row in DATA_FIELDS]):
        if len(set(names)) != len(names):
            raise ValueError(f"a name is given twice in {names}")
    asked = [*BUTTONS.values(), *MODES.values(), *TEST_CYCLES.values(), *COMMANDS.values(),
             *(form.action for form in FORMS)]
    if missing := set(asked) - set(ACTION):
        raise ValueError(f"no action row for {sorted(missing)}")
    stored = [name for form in FORMS for name in form.settings]
    stored += [name for field in DATA_FIELDS for name in field.settings]
    stored += [row.lock for row in SETTINGS if row.lock] + [name for _, name in POSITIONS.values()]
    if missing := set(stored) - set(SETTING):
        raise ValueError(f"no setting row for {sorted(missing)}")
    for form in FORMS:
        if form.settings and (form.action == "speed_limit") != any(SETTING[name].in_loop for name in form.settings):
            raise ValueError(f"form {form.name}: action {form.action} does not fit what its settings are used for")


check()
