"""The error and warning catalogue. Codes are fixed; the code of a per-axis row is `code + axis number` (1-based).

Codes repeat between sources (back-end 1 is a lost bus, drive 1 a position), so a row is found with `lookup`. Codes the
project adds are 600 and up (errors) and 400 and up (warnings). Categories follow one rule: the limb must not drop where
it can be held, so 2 wherever drives and bus are healthy; 0 only for the emergency stop monitor and supervisor.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from controller.spec.telegram import MAX_AXES

Source = Literal["drive", "master", "back-end"]
Language = Literal["en", "it"]
Texts = tuple[str, str, str, str]   # message, description, cause, solution


class Fault(msgspec.Struct, frozen=True):
    """One row. `category` is the stop category of an error (0 emergency, 1 quick, 2 soft, 3 none)."""

    code: int
    name: str
    source: Source
    category: int
    message: str
    description: str = ""
    cause: str = ""
    solution: str = ""
    per_axis: bool = False
    resettable: bool = True
    warning: bool = False

    def matches(self, code: int, axis: int) -> bool:
        """True when `code`, raised for `axis` (1-based, 0 unknown), is this row."""
        if not self.per_axis:
            return code == self.code
        return code == self.code + axis if axis else 1 <= code - self.code <= MAX_AXES


BACK_END_ERRORS: tuple[Fault, ...] = (
    Fault(1, "BUS_LOST", "back-end", 1, "Lost bus communication",
          "The base board did not answer in time. The motors were stopped and motor power was switched off.",
          "A serial cable is loose, the base board has no power, or the line is disturbed.",
          "Check the cable and the arm's power. The connection comes back by itself; then reset the error and start."),
    Fault(50, "LOG_READ", "back-end", 3, "Log folder cannot be read",
          "The history and log files cannot be shown. The arm keeps working.",
          "The storage is full, damaged, or its access rights are wrong.",
          "Restart the controller; if it stays, have a technician check the storage folder (store.path)."),
    Fault(51, "LOG_DELETE", "back-end", 3, "Log files cannot be deleted",
          "Old log files stay on the storage. The arm keeps working.",
          "The storage is read-only or its access rights are wrong.",
          "Have a technician check the access rights of the storage folder (store.path)."),
    Fault(52, "ADDRESS_UNKNOWN", "back-end", 3, "Network address unknown",
          "The controller has no network address to show. The arm keeps working.",
          "No network cable or Wi-Fi is connected.", "Connect the controller to a network if one is wanted."),
    Fault(53, "ADDRESS_FAILED", "back-end", 3, "Network address cannot be read",
          "The operating system refused to tell the network address. The arm keeps working.",
          "The network service is not running.", "Restart the controller; if it stays, call a technician."),
    Fault(57, "REGISTER_WRITE", "back-end", 3, "Value could not be stored",
          "A setting is in force but not saved; after a restart the old value would be back. Saving is tried again.",
          "The storage is full, damaged, or its access rights are wrong.",
          "Wait a moment; if it stays, have a technician check the storage folder (store.path)."),
    Fault(640, "FILE_UNOPENED", "back-end", 3, "Values are not stored in this run",
          "The settings file could not be opened at the start. Settings are in force but not saved, and saving is not "
          "tried again; after a restart the old values would be back.",
          "The storage did not answer, its access rights are wrong, or another controller uses the file.",
          "Have a technician check the storage folder (store.path), then restart the controller."),
    Fault(58, "REGISTER_SEND", "back-end", 3, "Value could not be sent to the arm",
          "A setting did not reach the arm yet; until then the old value is in force. It is sent again by itself.",
          "The arm is not connected or is busy.", "Check the connection to the arm; if it stays, call a technician."),
    Fault(70, "SHUTDOWN_FAILED", "back-end", 3, "Shutdown failed",
          "The controller could not be switched off from the screen.",
          "The operating system refused the shutdown.",
          "Take the arm off first, then switch it off with its main switch; tell a technician."),
    Fault(71, "RESTART_FAILED", "back-end", 3, "Restart failed",
          "The controller could not be restarted from the screen.",
          "The operating system refused the restart.",
          "Take the arm off first, then switch it off and on with its main switch; tell a technician."),
    Fault(72, "FILE_UNREADABLE", "back-end", 3, "File missing or unreadable",
          "The stored settings could not be used; defaults are in force instead, and the arm does not move.",
          "The storage is damaged, or another version of the program wrote the file. The file was kept.",
          "Check the settings, then accept them with the reset button, or have a technician restore the file."),
    Fault(73, "EXERCISE_DATA", "back-end", 3, "Exercise data malformed",
          "The exercise was not loaded because its content is not valid. Nothing moves.",
          "The file is damaged or comes from another version.", "Record the exercise again."),
)

MASTER_ERRORS: tuple[Fault, ...] = (
    Fault(11, "MASTER_STATE", "master", 2, "Wrong master state",
          "The controller found itself in a state it does not know and stopped the motion softly.",
          "An internal error of the controller software.", "Reset the error. If it returns, call a technician."),
    Fault(30, "BATTERY_LOW", "master", 2, "Batteries low",
          "The battery voltage is below its minimum. The motion was ended softly; the arm is held.",
          "The batteries are empty, old, or a cell is damaged.",
          "Bring the arm to rest, take it off and charge the batteries."),
    # A drive that is not healthy cannot be trusted to hold: quick stop.
    Fault(100, "DRIVE_ERROR", "master", 1, "Drive in error",
          "The drive of this axis reported an error of its own. All axes were stopped quickly.",
          "See the drive's own error, listed beside this one.",
          "Remove the cause named by the drive's own error, then reset the error.", per_axis=True),
    Fault(110, "DRIVE_LOST", "master", 1, "Drive lost communication",
          "The base board no longer hears the drive of this axis. All axes were stopped quickly.",
          "The cable inside the arm is loose, or the drive has no power.",
          "Check the arm's cables, switch it off and on. The connection is set up anew; then reset the error.",
          per_axis=True),
    Fault(120, "DRIVE_SETUP", "master", 1, "Drive needs set-up",
          "The drive of this axis lost its configuration. All axes were stopped quickly.",
          "The supply of the drive was interrupted for a moment.",
          "Wait until the connection has been set up anew, then reset the error. If it returns, check the supply.",
          per_axis=True),
    Fault(125, "DRIVE_VERSION", "master", 2, "Drive software version not updated",
          "The software of this axis's drive does not fit the others.",
          "An update of the arm did not finish.", "Have a technician repeat the update of the drive.", per_axis=True),
    Fault(290, "ESM_ENABLE_AT_START", "master", 0, "Motor power enabled at start",
          "Motor power was already enabled when the controller started. Motor power was switched off.",
          "A fault in the emergency stop circuit.",
          "Do not use the arm. Switch it off and on; if it returns, call a technician.", resettable=False),
    Fault(291, "ESM_CONTACTS_AT_START", "master", 0, "Motor power contacts closed at start",
          "The contacts of motor power were closed at start although nothing had enabled them.",
          "A contact of the power relay is welded.",
          "Do not use the arm. Switch it off and call a technician to replace the relay.", resettable=False),
    Fault(292, "ESM_START_REPEATED", "master", 0, "Start-up error still present",
          "The controller found the emergency stop circuit faulty at start and stays off.",
          "Error 290 or 291 came before.",
          "Do not use the arm. Switch it off and call a technician.", resettable=False),
    Fault(293, "ESM_CONTACTS_CLOSED", "master", 0, "Contacts closed without enable",
          "Motor power is on although it was switched off.",
          "A contact of the power relay is welded, or its feedback is broken.",
          "Take the arm off and switch it off with its main switch. Have a technician check the relay."),
    Fault(294, "ESM_BUTTON_CONTACTS", "master", 0, "Contacts closed with the button pressed",
          "The emergency button is pressed but motor power stayed on.",
          "A contact of the power relay is welded, or the button's wiring is faulty.",
          "Take the arm off and switch it off with its main switch. Have a technician check button and relay."),
    Fault(295, "ESM_CONTACTS_OPEN", "master", 0, "Contacts open with enable",
          "Motor power did not come on, or went off by itself, although it is enabled.",
          "A fuse, the power relay or its feedback is faulty, or the base board switched power off.",
          "Reset the error and start again. If it returns, call a technician."),
    Fault(296, "ESM_BUTTON", "master", 0, "Emergency button pressed",
          "The emergency button was pressed. Motor power was switched off at once.",
          "Somebody pressed the button, or its cable is broken.",
          "Make sure that it is safe to go on, release the button, then reset the error."),
    Fault(601, "ESS_HARD_MINIMUM", "master", 0, "Position below the hard minimum",
          "The axis stands below the lowest position its mechanics allow. Motor power was switched off.",
          "The arm was pushed there, or the position sensor is faulty.",
          "Move the axis back by hand into its range, then reset the error."),
    Fault(602, "ESS_HARD_MAXIMUM", "master", 0, "Position above the hard maximum",
          "The axis stands above the highest position its mechanics allow. Motor power was switched off.",
          "The arm was pushed there, or the position sensor is faulty.",
          "Move the axis back by hand into its range, then reset the error."),
    Fault(603, "ESS_ROM_MINIMUM", "master", 0, "Position below the range of motion",
          "The axis stands below the range of motion set for this person. Motor power was switched off.",
          "The arm was pushed there, or the range was set while the arm stood outside it.",
          "Move the axis back by hand, or correct the range of motion, then reset the error."),
    Fault(604, "ESS_ROM_MAXIMUM", "master", 0, "Position above the range of motion",
          "The axis stands above the range of motion set for this person. Motor power was switched off.",
          "The arm was pushed there, or the range was set while the arm stood outside it.",
          "Move the axis back by hand, or correct the range of motion, then reset the error."),
    Fault(605, "ESS_OVERSPEED", "master", 0, "Speed above the maximum",
          "The axis moved faster than its maximum speed. Motor power was switched off.",
          "The arm was pushed, a drive is faulty, or the maximum speed is set too low.",
          "Check that the arm moves freely, then reset the error. If it returns, call a technician."),
    Fault(606, "ESS_CANNOT_STOP", "master", 0, "Too fast to stop before the limit",
          "The axis moved towards a limit so fast that it could not have stopped before it. Motor power was switched "
          "off.", "The arm was pushed towards the limit, or a drive is faulty.",
          "Move the axis away from the limit by hand if needed, then reset the error."),
    Fault(607, "ESS_STANDSTILL", "master", 0, "Movement while standing still, or too fast",
          "The axis moved although it was to hold still, or faster than its present motion can make it. Motor power "
          "was switched off.",
          "The arm was pushed, the load is too heavy, or a brake or drive is faulty.",
          "Check the load, then reset the error. If it returns without a push, call a technician."),
    Fault(608, "ESS_FOLLOWING", "master", 0, "Following error too large",
          "The axis did not follow its commanded position. Motor power was switched off.",
          "The arm is blocked or overloaded, or a drive or position sensor is faulty.",
          "Remove what blocks the arm, then reset the error. Move more slowly if it returns."),
    Fault(610, "DEADLINES_MISSED", "master", 1, "Control deadlines missed",
          "The control loop was late too many times in a row. All axes were stopped quickly.",
          "The computer is overloaded or was not set up for real time.",
          "Reset the error. If it returns, have a technician run `allyarm doctor`."),
    Fault(611, "DRIVES_NOT_READY", "master", 2, "Drives did not become ready",
          "After a start the drives did not report that they are ready. The arm does not move; it is held where it is.",
          "A drive failed its self-test or motor power does not reach it.",
          "Reset the error and start again. If it returns, call a technician."),
    Fault(612, "TRAJECTORY", "master", 1, "Set-point outside its limits",
          "The controller computed a set-point that breaks a limit; it was not sent. All axes were stopped quickly.",
          "An internal error of the controller software.",
          "Reset the error. Keep the history and report it; call a technician if it returns."),
    Fault(613, "RELAY_NOT_CLOSING", "master", 2, "Self-test: motor power contacts did not close",
          "The self-test before the first start switched motor power on, and its contacts stayed open.",
          "The power relay, its supply or a contact is faulty, or a connector is loose.",
          "Reset the error and start again. If it returns, take the arm off and call a technician."),
    Fault(614, "RELAY_NOT_OPENING", "master", 2, "Self-test: motor power contacts did not open",
          "The self-test before the first start switched motor power off again, and its contacts stayed closed.",
          "The power relay is welded or a contact sticks: motor power could not be taken away in an emergency.",
          "Take the arm off, switch it off and call a technician."),
    # The catalogue's 120+i and 125+i leave room for five axes; the core uses this row from axis 6 on.
    Fault(620, "DRIVE_SETUP_BEYOND_5", "master", 1, "Drive needs set-up",
          "A drive of axis 6 or above has lost its configuration. The arm was stopped and motor power switched off.",
          "The drive restarted, for instance after a dip of its supply.",
          "Reset the error: the controller connects to the arm anew. If it returns, call a technician.", per_axis=True),
    Fault(630, "EXTERNAL_SILENT", "master", 2, "External program silent",
          "The external development program sent no valid target in time. The arm was stopped softly and is held.",
          "The program ended, hangs, or is too slow for external.heartbeat_ms; or the computer is overloaded.",
          "Correct or restart the program, reset the error, then admit the program again."),
    Fault(631, "EXTERNAL_TARGET", "master", 2, "External target not valid",
          "The external development program sent a target that is no number, of an unknown kind, or for a wrong "
          "number of axes. It was not used; the arm was stopped softly and is held.",
          "An error of that program.", "Correct the program, reset the error, then admit the program again."),
    Fault(650, "CONTACT", "master", 2, "Contact or spasm",
          "In a motion, or while the arm stood ready, this axis met a torque that its load does not explain. The arm "
          "was stopped softly, moved back a little where that is configured, and is held.",
          "The arm met an obstacle or a person, the wearer tensed or had a spasm, or the masses in the configuration "
          "or the weight shares (91, 93) do not fit.",
          "See that nothing is in the way and the wearer is well, then reset the error. While the torque lasts the "
          "reset is refused; if nothing touches the arm, switch motor power off (mode OFF), reset, and correct the "
          "masses."),
    Fault(651, "TORQUE_SENSOR", "master", 2, "Torque reading not plausible",
          "The torque sensor of this axis reads the end of its range. The motion was ended softly; the arm is held.",
          "The torque sensor or its cable is faulty, or the axis is overloaded.",
          "Take the load off the arm and reset the error. If it returns, have a technician check the torque sensor."),
)

# The master answers all of them with DRIVE_ERROR of the axis, so they share its category.
DRIVE_ERRORS: tuple[Fault, ...] = (
    Fault(1, "DRIVE_POSITION_MAXIMUM", "drive", 1, "Position above maximum",
          "The drive found its axis above the maximum position stored in the drive.",
          "The axis was pushed beyond its range, or its position sensor is faulty.",
          "Move the axis back by hand, then reset the error."),
    Fault(2, "DRIVE_POSITION_MINIMUM", "drive", 1, "Position below minimum",
          "The drive found its axis below the minimum position stored in the drive.",
          "The axis was pushed beyond its range, or its position sensor is faulty.",
          "Move the axis back by hand, then reset the error."),
    Fault(3, "DRIVE_TORQUE_MAXIMUM", "drive", 1, "Torque above maximum",
          "The torque on the axis was greater than the drive allows.",
          "The arm is blocked, overloaded or pushed against.",
          "Remove the load or the obstacle, then reset the error."),
    Fault(4, "DRIVE_TORQUE_MINIMUM", "drive", 1, "Torque below minimum",
          "The torque on the axis was lower (more negative) than the drive allows.",
          "The arm is blocked, overloaded or pushed against in the other direction.",
          "Remove the load or the obstacle, then reset the error."),
    Fault(8, "DRIVE_WARNING_RANGE", "drive", 1, "Warning code out of range",
          "The drive was about to report a warning that does not exist.",
          "An internal error of the drive software.", "Switch the arm off and on. If it returns, call a technician."),
    Fault(9, "DRIVE_TIMEOUT", "drive", 1, "Connection to master timed out",
          "The drive did not hear the base board in time and stopped by itself.",
          "The cable inside the arm is disturbed, or the controller stopped sending.",
          "Check the connections, then reset the error."),
    Fault(10, "DRIVE_CONFIGURATION", "drive", 1, "Wrong configuration (chip select pin)",
          "The drive cannot reach its motor chip with the configuration it has.",
          "The drive was configured for another board.", "Have a technician configure or replace the drive."),
    Fault(20, "DRIVE_MICROSTEPPING", "drive", 1, "Wrong microstepping set-up",
          "The drive refused the microstepping it was set up with.",
          "The drive was configured with a value its motor chip does not know.",
          "Have a technician configure the drive."),
    Fault(21, "DRIVE_MICROSTEPPING_READ_BACK", "drive", 1, "Wrong microstepping set-up",
          "The microstepping in force is not the one the drive was set up with.",
          "The motor chip lost its settings or was configured wrongly.",
          "Switch the arm off and on. If it returns, have a technician configure the drive."),
    Fault(22, "DRIVE_MODEL", "drive", 1, "Driver model unknown",
          "The drive does not know the motor chip it found.", "A drive of another type was fitted.",
          "Have a technician fit the right drive or update its software."),
    Fault(50, "DRIVE_STATE", "drive", 1, "Driver state unknown",
          "The drive found itself in a state it does not know.", "An internal error of the drive software.",
          "Reset the error. If it returns, switch the arm off and on and call a technician."),
    Fault(51, "DRIVE_MODE", "drive", 1, "Working mode unknown",
          "The drive was asked for a working mode it does not know.",
          "The software of drive and controller do not fit each other.",
          "Reset the error. If it returns, have a technician update the drive."),
)

ERRORS: tuple[Fault, ...] = BACK_END_ERRORS + MASTER_ERRORS + DRIVE_ERRORS


def _warning(code: int, name: str, source: Source, *texts: str, per_axis: bool = False) -> Fault:
    message, description, cause, solution = texts
    return Fault(code, name, source, 3, message, description, cause, solution, per_axis, warning=True)


def _joint_limit(code: int, joint: int, end: Literal["maximum", "minimum"]) -> Fault:
    return _warning(code, f"IK_JOINT_{joint}_{end.upper()}", "master", f"Hand position needs joint {joint} beyond its "
                    f"{end}", f"The hand cannot go there: joint G{joint} would pass its {end}.",
                    "The target is outside what the joints can reach.", "Choose a target nearer to the body's middle.")


_UNREACHABLE = "The target is at the edge of what the arm can reach."
_CLOSER = "Choose a target closer to the present position."

WARNINGS: tuple[Fault, ...] = (
    _warning(100, "IK_LIMIT_1", "master", "Inverse kinematics limit reached (1)",
             "The movement of the hand ended because the first joint group reached its limit.", _UNREACHABLE, _CLOSER),
    _warning(101, "IK_LIMIT_2", "master", "Inverse kinematics limit reached (2)",
             "The movement of the hand ended because the second joint group reached its limit.", _UNREACHABLE, _CLOSER),
    _warning(102, "IK_LIMIT_3", "master", "Inverse kinematics limit reached (3)",
             "The movement of the hand ended because the third joint group reached its limit.", _UNREACHABLE, _CLOSER),
    _warning(103, "CYCLE_TIME", "master", "Cycle time too short",
             "The controller could not do all of its work within a cycle.", "The computer is overloaded.",
             "Have a technician run `allyarm doctor` or lower loop.rate_hz."),
    _warning(104, "ARM_LENGTH_MAXIMUM_TARGET", "master", "Target outside the maximum arm length",
             "The hand cannot go there: the target is farther away than the stretched arm.",
             "The target is too far from the shoulder.", "Choose a target nearer to the shoulder."),
    _warning(106, "ARM_LENGTH_MAXIMUM", "master", "Outside the maximum arm length",
             "The hand would leave the reach of the stretched arm; the movement ended before.",
             "The movement led away from the shoulder.", "Move back towards the shoulder."),
    _warning(107, "ARM_LENGTH_MINIMUM", "master", "Shorter than the minimum arm length",
             "The hand cannot come so near to the shoulder.", "The target is too near to the shoulder.",
             "Choose a target farther from the shoulder."),
    _joint_limit(108, 1, "maximum"), _joint_limit(109, 1, "minimum"), _joint_limit(110, 2, "maximum"),
    _joint_limit(111, 2, "minimum"), _joint_limit(112, 3, "maximum"), _joint_limit(113, 3, "minimum"),
    _warning(120, "BATTERY_HIGH", "master", "Batteries high",
             "The battery voltage is above 110 % of its maximum.",
             "A wrong charger or battery is connected, or battery.maximum_v is set too low.",
             "Disconnect the charger. If it stays, take the arm off, switch it off and call a technician."),
    _warning(130, "ACCELERATION_ZERO", "master", "Drive maximum acceleration is 0",
             "The axis cannot move because its maximum acceleration is 0.", "The drive was configured wrongly.",
             "Have a technician correct the drive's maximum acceleration.", per_axis=True),
    _warning(135, "SPEED_ZERO", "master", "Drive maximum speed is 0",
             "The axis cannot move because its maximum speed is 0.",
             "The drive was configured wrongly, or a speed limit is set to 0 %.",
             "Raise the speed limit of the axis, or have a technician correct the drive's maximum speed.",
             per_axis=True),
    _warning(401, "LIMIT_BRAKE", "master", "Braked before a position limit",
             "The axis was slowed down or stopped because a position limit is ahead.",
             "The movement led towards the limit.", "Move in the other direction."),
    _warning(410, "COMPLIANT_LOAD", "master", "Compliant mode refused: load not as expected",
             "The arm was not handed over: this axis carries more or less than its masses explain, and it would sag.",
             "A hand holds the arm, the wearer is tense, or the weight shares (91, 93), the masses or the zero of a "
             "torque sensor do not fit.",
             "Let go of the arm, relax, then ask again; or correct the weight shares or the dead band (180..184), or "
             "calibrate the torques."),
    _warning(1, "DRIVE_SLOWED_MAXIMUM", "drive", "Target speed reduced near the maximum position",
             "The drive moves more slowly because the axis is close to its maximum position.",
             "The movement leads towards the end of the range.", "None needed; move away from the end of the range."),
    _warning(2, "DRIVE_SLOWED_MINIMUM", "drive", "Target speed reduced near the minimum position",
             "The drive moves more slowly because the axis is close to its minimum position.",
             "The movement leads towards the end of the range.", "None needed; move away from the end of the range."),
    _warning(3, "DRIVE_CYCLE_TIME", "drive", "Drive cycle time too short",
             "The drive could not do all of its work within its cycle.", "The drive is overloaded.",
             "If it stays, have a technician check the drive's software version."),
    _warning(4, "DRIVE_TARGET_MAXIMUM", "drive", "Target position above maximum",
             "The drive was asked for a position above its maximum and did not go there.",
             "The limits in the drive are narrower than those in the controller.",
             "Choose another target; have a technician compare the limits if it returns."),
    _warning(5, "DRIVE_TARGET_MINIMUM", "drive", "Target position below minimum",
             "The drive was asked for a position below its minimum and did not go there.",
             "The limits in the drive are narrower than those in the controller.",
             "Choose another target; have a technician compare the limits if it returns."),
    _warning(6, "DRIVE_SPEED_ABOVE", "drive", "Target speed above 100 %",
             "The drive was asked to move faster than it can and moves at its maximum.",
             "The maximum speed in the drive is lower than the controller's.",
             "Lower the speed limit of the axis; have a technician compare the settings."),
    _warning(7, "DRIVE_SPEED_BELOW", "drive", "Target speed below -100 %",
             "The drive was asked to move faster backwards than it can and moves at its maximum.",
             "The maximum speed in the drive is lower than the controller's.",
             "Lower the speed limit of the axis; have a technician compare the settings."),
)

BY_NAME: dict[str, Fault] = {row.name: row for row in (*ERRORS, *WARNINGS)}

WITHDRAWN = 16_000  # a warning code of so much or more withdraws the warning (code - 16000)


def lookup(code: int, axis: int, warning: bool, source: Source | None = None) -> Fault | None:
    """The row of a code as it was raised; None when nobody knows it.

    `axis` is 1-based, 0 for the master and the back-end. With an axis the drive's own codes come first, then per-axis
    rows (101 of axis 1 is row 100), then rows of the master that concern an axis (601). Without an axis, rows whose
    own code it is come first, then the nearest per-axis row below. `source` restricts the search.
    """
    rows = [row for row in (WARNINGS if warning else ERRORS)
            if row.matches(code, axis) and (row.source == source if source else axis or row.source != "drive")]
    return min(rows, key=lambda row: (row.source != "drive", row.per_axis != bool(axis), -row.code), default=None)


def texts(row: Fault, language: Language) -> Texts:
    """Message, description, cause and solution of a row."""
    if language == "it":
        from controller.spec import faults_it

        return (faults_it.WARNINGS if row.warning else faults_it.ERRORS)[row.name]
    return row.message, row.description, row.cause, row.solution


def unknown_texts(code: int, warning: bool, language: Language) -> Texts:
    """For a code that the catalogue does not have."""
    kind = {"en": ("Unknown error", "Unknown warning"), "it": ("Errore sconosciuto", "Avviso sconosciuto")}[language]
    return f"{kind[warning]} {code}", "", "", ""
