"""States, modes, commands and reasons: every small enumeration that the core, the HMI and the documents share."""

from __future__ import annotations

from typing import NamedTuple

from controller.spec.coded import Coded


class MasterState(Coded):
    STARTUP = 0, "no bus yet, or its start checks are running"
    WAITING = 1, "ready; motor power off, or drives holding after a stop"
    AUTO = 2, "motor power on, following set-points"
    ERROR = 3, "an error is active; only RESET_ERROR leaves it"
    TRANSITION_TO_AUTO = 4, "power-up: self-test of the relay path, contacts, drives, set-points seeded from feedback"
    TRANSITION_TO_WAITING = 5, "soft stop running"


class MasterMode(Coded):
    OFF = 0, "motor power off"
    STAND_STILL = 1, "standing still, drives holding"
    TEST = 2, "a test cycle chosen by register 11"
    JOG = 3, "joint speeds from the HMI, refreshed while held; or of the hand that leads the arm (compliant)"
    POSITION_TARGET = 4, "joint position targets, synchronised arrival"
    POSITION_TARGET_WAIT_FOR_START = 5, "targets stored, waiting for start"
    STOP = 6, "stopping"
    RESET_ERROR = 7, "clearing errors"
    EXTERNAL_DEVELOPER_AUTO = 8, "external development"
    EXTERNAL_DEVELOPER_ERROR = 9, "external development, error"


class DriverState(Coded):
    NOT_CONNECTED = 0, "drive does not answer the base board"
    SETUP_NEEDED = 1, "drive lost its configuration: new bring-up needed"
    WAITING = 2, "ready"
    AUTO = 3, "following targets"
    ERROR = 4, "drive error, see its code"


class DriverMode(Coded):
    DRIVER_OFF = 0, "no current"
    POSITION_INTERNAL_PROFILER = 1, "drive's own profile to a position"
    POSITION_INTERNAL_PROFILER_WAIT_FOR_START = 2, "the same, started later"
    SPEED_PERCENT = 3, "speed in percent of the drive's maximum"
    SPEED_ABS = 4, "speed in microsteps/s"
    SOFT_STOP = 5, "drive ramps down by itself"
    HARD_STOP = 6, "drive stops at once"
    STAND_STILL_IN_WAITING_STATE = 7, "holding, waiting"
    STAND_STILL_IN_AUTO_STATE = 8, "holding, ready to follow"
    COMPLIANT_TRANSPARENT_01 = 9, "compliant: speed target, and the load's compensation as torque offset"


class TargetType(Coded):
    NONE = 0, "no target"
    POSITION_DEG = 1, "position in degrees"
    POSITION_COUNTS = 2, "position in sensor counts"
    SPEED_MICROSTEPS_S = 3, "speed in microsteps/s"
    SPEED_PERCENT = 4, "speed in percent of the drive's maximum, -100..100"
    TORQUE_COUNTS = 5, "torque in sensor counts"


class BusState(Coded):
    DETACHED = 0, "no line lent to the control thread"
    STARTING = 1, "line lent, start checks running"
    CYCLIC = 2, "telegrams are exchanged every cycle"
    LOST = 3, "communication lost; waiting for a new bring-up"


class StopCategory(Coded):
    """After IEC 60204-1; the lower number wins."""

    EMERGENCY = 0, "motor power off at once"
    QUICK = 1, "shortest ramp the limits allow, then motor power off"
    SOFT = 2, "jerk-limited, then holding under standstill supervision"
    NONE = 3, "not stopping"


class CompliantPhase(Coded):
    """Of compliant mode."""

    NONE = 0, "no hand leads the arm"
    HANDING_OVER = 1, "coming to rest; the load is held against the mass model"
    LED = 2, "drives in COMPLIANT_TRANSPARENT_01: a hand leads the arm"


class ContactAction(Coded):
    """What a torque that is too large in a motion leads to (contact.action in the configuration)."""

    OFF = 0, "nothing; in compliant mode a stop"
    STOP = 1, "error 650: a soft stop"
    RETREAT = 2, "error 650: a soft stop, then a little way with the outside torque"


class SelfTest(Coded):
    """Of the relay path, once after each bring-up, before the arm is powered for the first time."""

    NOT_DONE = 0, "the operator's first start does it"
    RUNNING = 1, "drives off; the contacts have to close and to open"
    PASSED = 2, "the contacts closed and opened in time"
    FAILED = 3, "they did not; the next start tries again"


class CommandKind(Coded):
    """What the command ring carries. `values`, `mask` and `value` of the command record are named per kind."""

    START = 1, "stand ready for jog; mask 0: run prepared targets instead; bit 0: mode TEST, bit 1: mode JOG"
    JOG = 2, "values: joint speed in percent of the present limit, -100..100; mask: axes"
    MOVE = 3, "values: joint targets in degrees; mask: axes; value: speed percent 0..100"
    STAND_STILL = 4, "end the motion softly and stay in AUTO"
    OFF = 5, "soft stop, then motor power off"
    RESET = 6, "RESET_ERROR"
    SPEED_LIMITS = 7, "values: percent 0..100 per axis; mask: axes; value: first register (60, 70 or 80)"
    ROM_MINIMUM = 8, "values: range of motion minimum in degrees; mask: axes; in force with the next ROM_ENABLE"
    ROM_MAXIMUM = 9, "values: range of motion maximum in degrees; mask: axes; in force with the next ROM_ENABLE"
    ROM_ENABLE = 10, "mask: axes held to their range of motion from now on, 0 none; all of it or nothing"
    PREPARE = 11, "as MOVE, but targets wait for the next START; any command but limits and ranges forgets them"
    EXTERNAL = 16, "admit the program that is connected for external development; mode EXTERNAL_DEVELOPER_AUTO"
    HAND_JOG = 20, "values: speed of the hand in percent, x, y, z, -100..100; mask: which of them"
    HAND_MOVE = 21, ("values: hand position in mm, x, y, z, then elbow and wrist angle in degrees; mask: 7, bit 3 "
                     "elbow, bit 4 wrist given, bit 5 go as far as there is a way; value: speed percent 0..100")
    ARM_LENGTHS = 22, "values: upper arm and forearm longer by so many mm (registers 90, 92)"
    COMPLIANT = 24, "mask bit 0: a hand leads the arm from now on; mask 0: no longer, it stands still"
    LOAD_SETTINGS = 25, "values per axis, mask: axes; value: first register (180, 185, 190, 195; 91, 93: one value)"
    RELEASE_LINE = 17, "without motor power: leave the cyclic phase and give the line back for a new bring-up"


class CommandResult(Coded):
    OK = 0, "done or begun"
    NOT_READY = 1, "refused: blockers are active"
    OUT_OF_RANGE = 2, "refused: a value is outside its limits or not a finite number"
    WRONG_STATE = 3, "refused: not possible in this state or mode"
    NO_SPEED = 4, "refused: the speed limits leave an axis no speed"
    UNKNOWN = 5, "refused: unknown command"
    DROPPED_BY_STOP = 6, "a stop came after it"
    NO_TRAJECTORY = 7, "refused: no trajectory to that target within the limits"
    OUTSIDE_RANGE = 8, "refused: an axis is outside the range of motion or about to leave it: move it inside first"
    MOVING = 25, "refused: the arm moves; give it again when it stands"
    NO_HAND = 20, "refused: where the hand is is not known"
    NOT_REACHABLE = 21, "refused: the hand cannot go there in a straight line; warnings say why"
    NO_PROGRAM = 16, "refused: no program for external development is connected and sending targets"
    EXTERNAL_OFF = 17, "refused: external development is switched off (external.enabled in the configuration)"
    MOTOR_POWER = 18, "refused: motor power is on; switch it off first (mode OFF)"

    EXPIRED = 9, "refused: it was asked for too long ago"
    NO_MASS_MODEL = 24, "refused: the masses of this arm are not known: configure [[link]] (allyarm calibrate fit)"


class Blocker(Coded):
    """Bit numbers of `blockers`: what keeps a motion command from being accepted."""

    BUS = 0, "the arm is not connected"
    STARTING = 1, "start checks are still running"
    ERROR = 2, "an error is active: reset it"
    BUTTON = 3, "the emergency button is pressed: release it"
    DRIVE_ERROR = 4, "a drive reports an error"
    DRIVE_SETUP = 5, "a drive needs set-up"
    OUTSIDE_LIMITS = 6, "an axis stands outside its limits: move it back by hand"
    STOPPING = 7, "a stop is still running"
    SHUTDOWN = 8, "the controller is shutting down"
    BATTERY = 9, "the batteries are low: charge them"
    RANGE_OF_MOTION = 10, "an axis has left its range of motion: move it back by hand, or switch the range off"


class Reason(Coded):
    """Why the master state changed."""

    NONE = 0, ""
    START_CHECKS_GOOD = 2, "emergency stop chain is consistent"
    OPERATOR_START = 3, "motion command"
    DRIVES_READY = 4, "contacts closed and drives ready"
    STOP_COMMAND = 5, "stop"
    STOPPED = 6, "standing still"
    FAULT = 7, "error raised"
    RESET = 8, "RESET_ERROR"
    BUS_DETACHED = 10, "line taken back"
    OFF_COMMAND = 11, "mode OFF"
    SHUTDOWN = 12, "program ends"
    HMI_SILENT = 13, "nothing heard of the HMI thread in a motion"


class Trigger(Coded):
    """What changes the master state besides commands; those are triggers too, with the codes of CommandKind."""

    STOP = 32, "stop, by whomever"
    ERROR = 33, "an error is raised"
    HMI_SILENT = 34, "nothing heard of the HMI thread in a motion"
    SHUTDOWN = 35, "the program is to end"
    BUS_DETACHED = 36, "the line is taken back"
    START_CHECKS_GOOD = 37, "bring-up finished, emergency stop chain consistent"
    DRIVES_READY = 38, "contacts closed, drives in AUTO, fresh feedback"
    STOPPED = 39, "a stop has come to its end"
    CAUSES_GONE = 40, "RESET_ERROR finds no cause of any error left"
    START_TEST = 41, "START with mask bit 0"
    PROGRAM_ENDED = 42, "an admitted external program gives the arm back"


class Outcome(Coded):
    """What a trigger does besides leading to another MasterState."""

    STAYS = 14, "accepted, the state stays"
    REFUSED = 15, "refused, nothing changes"


class EventKind(Coded):
    """What the event ring carries to the history."""

    STATE = 1, "master state changed: a from, b to, c reason"
    FAULT_RAISED = 2, "a code, b axis (0 master), c 1 if a warning"
    FAULT_CLEARED = 3, "a code, b axis (0 master), c 1 if a warning"
    MODE = 4, "master mode changed: a from, b to"
    COMMAND = 5, "command taken: a kind, b result, c client"
    BUS = 6, "bus state changed: a from, b to"
    STOP = 7, "stop acted on: a stop category"
    MOTION_DONE = 8, "target reached"


class BusFault(Coded):
    """Index into `bus_faults`: one counter per kind of fault on the line."""

    GARBAGE_BYTES = 0, "bytes thrown away while looking for a telegram"
    AXIS_CRC = 1, "CRC-8 of an axis block is wrong"
    AXIS_HEADER = 2, "header of an axis block is not FF"
    AXIS_NUMBER = 3, "axis number of a block is wrong"
    AXIS_FOOTER = 4, "footer of an axis block is not FF FF FF FF FF"
    AXIS_PARITY = 5, "parity of a status byte is wrong"
    TRAILER_HEADER = 6, "trailer does not begin with F5"
    TRAILER_CRC = 7, "CRC-32 of a telegram is wrong"
    SEQUENCE = 8, "sequence number was never asked for, or too old"
    REPEATED = 9, "a telegram came twice"
    LATE = 10, "answer to the command before the previous one (used)"
    MISSED = 11, "cycle without a new valid telegram"
    WRITE = 12, "command telegram not or only partly written"
    OVERFLOW = 13, "receive buffer was full"
    VALUE = 14, "a field is not a finite number or an unknown code"
    LOST = 15, "communication lost"


# -- transitions -------------------------------------------------------------------------------------------------------

class Cell(NamedTuple):
    """What one trigger does in one master state: the next state or an Outcome, why, and the master mode it sets (None:
    unchanged). A stop in mid-motion also shows the mode STOP until it has ended, whatever began it."""

    to: MasterState | Outcome
    why: str
    mode: MasterMode | None = None


TRIGGERS = 48       # columns of the generated table: codes of CommandKind, then of Trigger
_ORDER = (MasterState.STARTUP, MasterState.WAITING, MasterState.TRANSITION_TO_AUTO, MasterState.AUTO,
          MasterState.TRANSITION_TO_WAITING, MasterState.ERROR)
_S, _M, _K = MasterState, MasterMode, CommandKind
_STAYS, _REFUSED = Outcome.STAYS, Outcome.REFUSED
_NO_ARM = Cell(_REFUSED, "no arm yet")
_STOPPING = Cell(_REFUSED, "a stop is running")
_IN_ERROR = Cell(_REFUSED, "only RESET leaves the error state")
_POWER_UP = Cell(_S.TRANSITION_TO_AUTO, "the operator's start")
_REPLACES = Cell(_STAYS, "takes the place of the motion that waits for power")
_NOTED = Cell(_STAYS, "moves nothing")
_AT_REST = Cell(_STAYS, "moves nothing; MOVING while the arm moves")
_NOTHING = Cell(_STAYS, "there is nothing to reset")
_FAULT = Cell(_S.ERROR, "stop of the error's category")
_SOFT = Cell(_S.TRANSITION_TO_WAITING, "soft stop")
_RESTS = Cell(_STAYS, "nothing moves")
_ENDS = Cell(_STAYS, "the stop that runs goes on")
_LINE = Cell(_S.STARTUP, "only when the program ends; else the line is lost, ERROR", _M.OFF)
_NEVER = Cell(_REFUSED, "cannot happen here")


def _motion(mode: MasterMode, why: str) -> tuple[Cell, ...]:
    return _NO_ARM, _POWER_UP, _REPLACES, Cell(_STAYS, why, mode), _STOPPING, _IN_ERROR


# One row per trigger; its cells in the order of _ORDER: STARTUP, WAITING, TO_AUTO, AUTO, TO_WAITING, ERROR.
_ROWS: dict[CommandKind | Trigger, tuple[Cell, ...]] = {
    _K.START: _motion(_M.JOG, "a motion ends softly; ready for jog"),
    Trigger.START_TEST: _motion(_M.TEST, "a motion ends softly; ready for the test's jog"),
    _K.JOG: _motion(_M.JOG, "joint speeds; in TEST the mode stays TEST"),
    _K.MOVE: _motion(_M.POSITION_TARGET, "joint targets"),
    _K.HAND_JOG: _motion(_M.JOG, "the hand at a velocity; in TEST the mode stays TEST"),
    _K.HAND_MOVE: _motion(_M.POSITION_TARGET, "a motion ends softly; then the hand goes along a straight line"),
    _K.ARM_LENGTHS: (_NOTED, _NOTED, _NOTED, _AT_REST, _AT_REST, _AT_REST),
    _K.PREPARE: (_NO_ARM, Cell(_STAYS, "targets wait for START", _M.POSITION_TARGET_WAIT_FOR_START), _REPLACES,
                 Cell(_STAYS, "a motion ends softly; targets wait for START", _M.POSITION_TARGET_WAIT_FOR_START),
                 _STOPPING, _IN_ERROR),
    _K.STAND_STILL: (_NO_ARM, Cell(_REFUSED, "not started"), Cell(_STAYS, "forgets the motion that waits for power"),
                     Cell(_STAYS, "a motion ends softly", _M.STAND_STILL), _STOPPING, _IN_ERROR),
    _K.OFF: (Cell(_STAYS, "power is off"), Cell(_STAYS, "power off", _M.OFF), _SOFT, _SOFT,
             Cell(_STAYS, "power off once the stop has ended"), Cell(_STAYS, "power off once the stop has ended")),
    _K.RESET: (_NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING,
               Cell(_STAYS, "RESET_ERROR begins, once the stop has ended", _M.RESET_ERROR)),
    _K.SPEED_LIMITS: (_NOTED,) * 6,
    _K.ROM_MINIMUM: (_NOTED,) * 6,
    _K.ROM_MAXIMUM: (_NOTED,) * 6,
    _K.ROM_ENABLE: (_NOTED,) * 6,
    _K.EXTERNAL: _motion(_M.EXTERNAL_DEVELOPER_AUTO, "set-points follow the targets of the external program"),
    _K.COMPLIANT: _motion(_M.JOG, "a motion ends softly; then a hand leads the arm"),
    _K.LOAD_SETTINGS: (_NOTED,) * 6,
    Trigger.PROGRAM_ENDED: (_NEVER, _NEVER, _NEVER, Cell(_STAYS, "a motion ends softly", _M.STAND_STILL), _NEVER,
                            _NEVER),
    _K.RELEASE_LINE: (_NO_ARM, Cell(_STAYS, "without motor power: the line is given back, a new bring-up follows"),
                      Cell(_REFUSED, "motor power is on"), Cell(_REFUSED, "motor power is on"), _STOPPING,
                      Cell(_STAYS, "without motor power: the line is given back, a new bring-up follows")),
    Trigger.STOP: (_RESTS, _RESTS, _SOFT, _SOFT, _ENDS, _ENDS),
    Trigger.ERROR: (_FAULT, _FAULT, _FAULT, _FAULT, _FAULT, Cell(_STAYS, "its stop may only get harder")),
    Trigger.HMI_SILENT: (_RESTS, _RESTS, Cell(_STAYS, "nothing moves yet"), _SOFT, _ENDS, _ENDS),
    Trigger.SHUTDOWN: (_RESTS, Cell(_STAYS, "power off", _M.OFF), _SOFT, _SOFT, _ENDS, _ENDS),
    Trigger.BUS_DETACHED: (Cell(_STAYS, "a new bring-up follows"), _LINE, _LINE, _LINE, _LINE,
                           Cell(_STAYS, "only RESET leaves the error state")),
    Trigger.START_CHECKS_GOOD: (Cell(_S.WAITING, "ready; power stays off"), _NEVER, _NEVER, _NEVER, _NEVER,
                                Cell(_STAYS, "only RESET leaves the error state")),
    Trigger.DRIVES_READY: (_NEVER, _NEVER, Cell(_S.AUTO, "set-points seeded from feedback", _M.STAND_STILL), _NEVER,
                           _NEVER, _NEVER),
    Trigger.STOPPED: (_NEVER, _RESTS, _NEVER, _NEVER, Cell(_S.WAITING, "drives hold, or power off after OFF"),
                      Cell(_STAYS, "the error is still there")),
    Trigger.CAUSES_GONE: (_NEVER, _NEVER, _NEVER, _NEVER, _NEVER, Cell(_S.WAITING, "never straight to motion")),
}
TRANSITIONS: dict[tuple[MasterState, CommandKind | Trigger], Cell] = {
    (state, trigger): cell for trigger, row in _ROWS.items() for state, cell in zip(_ORDER, row, strict=True)}

# What the history gives as the reason of a change of the master state.
REASONS: dict[CommandKind | Trigger, Reason] = {
    _K.START: Reason.OPERATOR_START, _K.JOG: Reason.OPERATOR_START, _K.MOVE: Reason.OPERATOR_START,
    _K.EXTERNAL: Reason.OPERATOR_START, _K.HAND_JOG: Reason.OPERATOR_START, _K.HAND_MOVE: Reason.OPERATOR_START,
    _K.COMPLIANT: Reason.OPERATOR_START,
    Trigger.START_TEST: Reason.OPERATOR_START, _K.OFF: Reason.OFF_COMMAND, Trigger.STOP: Reason.STOP_COMMAND,
    Trigger.ERROR: Reason.FAULT, Trigger.HMI_SILENT: Reason.HMI_SILENT, Trigger.SHUTDOWN: Reason.SHUTDOWN,
    Trigger.BUS_DETACHED: Reason.BUS_DETACHED, Trigger.START_CHECKS_GOOD: Reason.START_CHECKS_GOOD,
    Trigger.DRIVES_READY: Reason.DRIVES_READY, Trigger.STOPPED: Reason.STOPPED, Trigger.CAUSES_GONE: Reason.RESET,
}
