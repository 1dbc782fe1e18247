"""The typed `command` messages. Their JSON Schema is served at /schema.json."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from controller import calibration
from controller import exercise_reports as reports
from controller.hmi.clients import Refused
from controller.spec import hmi, rest, telegram
from controller.spec.board import BOARD_TEXTS
from controller.spec.hmi import Notice

SpeedPercent = Annotated[float, Meta(gt=0.0, le=100.0)]
SignedPercent = Annotated[float, Meta(ge=-100.0, le=100.0)]
Degrees = Annotated[float, Meta(ge=-3600.0, le=3600.0)]
Millimetres = Annotated[float, Meta(ge=-10_000.0, le=10_000.0)]
AxisKey = Annotated[str, Meta(pattern=f"^[1-{telegram.MAX_AXES}]$")]
ModeNumber = Annotated[int, Meta(ge=min(hmi.MODES), le=max(hmi.MODES))]
SettingValue = float | bool | Annotated[str, Meta(max_length=64)] | None
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Repetitions = Annotated[int, Meta(ge=1, le=rest.REP_HIGHEST)]
SettingName = Annotated[str, Meta(max_length=64)]


class _Base(msgspec.Struct, tag_field="type", forbid_unknown_fields=True):
    pass


class Stop(_Base, tag="stop"):
    """Stop in the next control cycle; everyone's."""


class Start(_Base, tag="start"):
    """Run targets that wait for it; without any, power up and stand ready for jog."""


class Reset(_Base, tag="reset"):
    """RESET_ERROR."""


class Mode(_Base, tag="mode"):
    """Master working mode, register 10."""

    mode: ModeNumber


class Jog(_Base, tag="jog"):
    """Joint speeds in percent of the present limit, one per axis, or the velocity of the hand (x forward, y left, z
    up) in percent of its highest speed; repeat at least every 200 ms while held, and release with zeros. With
    `sequence` and `sent_ms`, one that comes late, twice or out of order is dropped."""

    speed_percent: Annotated[list[SignedPercent], Meta(min_length=1, max_length=telegram.MAX_AXES)] | None = None
    hand_percent: Annotated[list[SignedPercent], Meta(min_length=3, max_length=3)] | None = None
    sequence: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    sent_ms: Annotated[float, Meta(ge=-1e15, le=1e15)] | None = None
    age_ms: Annotated[float, Meta(ge=0.0, le=1e6)] = 0.0


class Move(_Base, tag="move"):
    """Joint targets in degrees: one per axis with null = leave it, or an object by axis number. Or a place of the hand
    in mm, gone to in a straight line, where wanted with the angles of elbow and wrist there: `check` is "checked" (only
    when all of the line is possible), "unchecked" (as far as it is) or "only" (nothing moves, the answer says whether
    it is `reachable`, and if not, `why`)."""

    position_deg: (Annotated[list[Degrees | None], Meta(min_length=1, max_length=telegram.MAX_AXES)]
                   | Annotated[dict[AxisKey, Degrees], Meta(min_length=1, max_length=telegram.MAX_AXES)] | None) = None
    hand_mm: Annotated[list[Millimetres], Meta(min_length=3, max_length=3)] | None = None
    elbow_deg: Degrees | None = None
    wrist_deg: Degrees | None = None
    check: Literal["checked", "unchecked", "only"] = "checked"
    speed_percent: SpeedPercent = 100.0
    wait_for_start: bool = False


class GoTo(_Base, tag="go_to"):
    """Go to a saved position by its name."""

    position: Literal[tuple(hmi.POSITIONS)]  # type: ignore[valid-type]
    speed_percent: SpeedPercent = 100.0
    wait_for_start: bool = False


class RangeOfMotion(_Base, tag="range_of_motion"):
    """Limits of the range of motion on (the arm is worn) or off (relax). Refused while an axis stands outside."""

    on: bool


class Compliant(_Base, tag="compliant"):
    """Compliant mode: a hand leads the arm (on), or no longer (off; nothing else that moves is ended)."""

    on: bool


class TestCycle(_Base, tag="test_cycle"):
    """Test cycle by its number, register 11."""

    __test__ = False  # no test case of pytest

    cycle: Annotated[int, Meta(ge=0, le=255)]


class Version(_Base, tag="version"):
    """Compare contract versions, as a page does once after it was loaded."""

    version: Annotated[str, Meta(max_length=64)]


class Visit(_Base, tag="visit"):
    """The diagnostics section was opened: it is noted."""


class Why(_Base, tag="why"):
    """What keeps this client from moving the arm: all of it, an empty list when nothing does."""


class Subscribe(_Base, tag="subscribe"):
    """Rate of an event for this client; 0 switches it off."""

    event: Literal["data", "state"]
    rate_hz: Annotated[float, Meta(ge=0.0, le=hmi.RATE_MAXIMUM_HZ)]


class Acquire(_Base, tag="acquire"):
    """Take control of the arm when nobody has it."""


class Release(_Base, tag="release"):
    """Give up control; a motion ends softly."""


class Settings(_Base, tag="settings"):
    """One of: read stored settings (by name, or all with an empty list), write some, reset some to their defaults (or
    all with an empty list), accept those in force in place of a file that could not be used. All or nothing; with
    `dry_run` it is only checked."""

    write: Annotated[dict[SettingName, SettingValue], Meta(max_length=256)] | None = None
    read: Annotated[list[SettingName], Meta(max_length=256)] | None = None
    reset: Annotated[list[SettingName], Meta(max_length=256)] | None = None
    accept: bool = False
    dry_run: bool = False


class Play(_Base, tag="play"):
    """Play a stored exercise, or the exercises of a scenario; without both the scenario chosen last. Every position is
    checked first. `repeat` takes the place of the exercise's own repetitions."""

    exercise: Name | None = None
    scenario: Name | None = None
    repeat: Repetitions | None = None


class Estimate(_Base, tag="estimate"):
    """How long `play` with the same fields would take from where the arm stands, and whether it could be played.
    Answered with `estimate_s`, pauses and settling included, without power-up, the number of `steps`,
    and the axes that no position moves (`axes_left_alone`)."""

    exercise: Name | None = None
    scenario: Name | None = None
    repeat: Repetitions | None = None


class Pause(_Base, tag="pause"):
    """Pause what is played: a soft stop that stays in AUTO."""


class Resume(_Base, tag="resume"):
    """Go on with what is paused, to the position that was interrupted. A motion command."""


class Reports(_Base, tag="reports"):
    """Reports of what was played: the newest `limit` (older than `before`), or the one of `id` with its moves from
    `first_step` on."""

    id: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    first_step: Annotated[int, Meta(ge=1, le=2**53)] = 1
    limit: Annotated[int, Meta(ge=1, le=reports.REPORTS_KEPT)] = 20
    before: Annotated[int, Meta(ge=1, le=2**53)] | None = None


class GridAxis(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Where an axis is measured: from `start_deg` to `stop_deg`, either way, every `step_deg` (0.001 or more). The same
    start and stop keep the axis still."""

    start_deg: Degrees
    stop_deg: Degrees
    step_deg: Annotated[float, Meta(ge=hmi.CALIBRATION_STEP_LEAST_DEG, le=3600.0)]


class Calibrate(_Base, tag="calibrate"):
    """Measure torques over a grid of positions, one CSV row per point; axes that are not in `grid` stay where they
    are. With `resume` a run of that name goes on at its first missing point, with the grid it was begun with."""

    name: Annotated[str, Meta(pattern=calibration.NAME_PATTERN)]
    grid: Annotated[dict[AxisKey, GridAxis], Meta(min_length=1, max_length=telegram.MAX_AXES)] | None = None
    speed_percent: SpeedPercent = calibration.SPEED_PERCENT
    settle_s: Annotated[float, Meta(ge=0.0, le=calibration.SETTLE_HIGHEST_S)] = calibration.SETTLE_S
    measure_s: Annotated[float, Meta(ge=calibration.MEASURE_LEAST_S, le=calibration.MEASURE_HIGHEST_S)] = \
        calibration.MEASURE_S
    there_and_back: bool = False
    resume: bool = False


class Calibrations(_Base, tag="calibrations"):
    """The calibration runs on disk: name, file, points measured of points in all."""


class BoardRegisters(_Base, tag="board_registers"):
    """Write text registers of the base board: without motor power only; the arm is connected anew afterwards."""

    wifi_ssid: Annotated[str, Meta(pattern=BOARD_TEXTS["wifi_ssid"].pattern)] | None = None
    wifi_password: Annotated[str, Meta(pattern=BOARD_TEXTS["wifi_password"].pattern)] | None = None
    board_update: Annotated[str, Meta(pattern=BOARD_TEXTS["board_update"].pattern)] | None = None

    def given(self) -> dict[str, str]:
        """The texts by register name."""
        return {name: text for name in BOARD_TEXTS if (text := getattr(self, name)) is not None}

    def __repr__(self) -> str:
        return f"BoardRegisters({', '.join(self.given())})"     # secrets are never shown


Command = (Stop | Start | Reset | Mode | Jog | Move | GoTo | RangeOfMotion | TestCycle | Version | Visit | Why
           | Subscribe | Acquire | Release | Settings | BoardRegisters | Compliant | Play | Estimate | Pause | Resume
           | Reports | Calibrate | Calibrations)
_FIELD = re.compile(r" - at `\$?\.?(.*)`$")
_UNKNOWN = re.compile(r"unknown field `(.*)`$")
_MISSING = re.compile(r"missing required field `(.*)`$")
BY_TYPE: dict[str, type[_Base]] = {
    "stop": Stop, "start": Start, "reset": Reset, "mode": Mode, "jog": Jog, "move": Move, "go_to": GoTo,
    "range_of_motion": RangeOfMotion, "test_cycle": TestCycle, "version": Version, "visit": Visit, "why": Why,
    "subscribe": Subscribe, "acquire": Acquire, "release": Release, "settings": Settings,
    "board_registers": BoardRegisters, "compliant": Compliant, "play": Play, "estimate": Estimate, "pause": Pause,
    "resume": Resume, "reports": Reports, "calibrate": Calibrate, "calibrations": Calibrations,
}
ALLOWED = {
    ("mode", "mode"): f"one of {', '.join(map(str, hmi.MODES))}",
    ("jog", "speed_percent"): "an array of numbers -100..100, one per axis",
    ("move", "position_deg"): "an array of degrees or null per axis, or an object of axis number and degrees",
    ("jog", "hand_percent"): "an array of three numbers -100..100: x, y, z",
    ("move", "hand_mm"): "an array of three numbers -10000..10000: x, y, z in mm",
    ("move", "elbow_deg"): "a number -3600..3600, or null",
    ("move", "wrist_deg"): "a number -3600..3600, or null",
    ("move", "check"): "checked, unchecked or only",
    ("jog", "sequence"): "a whole number that grows while the jog is held (may be left out)",
    ("jog", "sent_ms"): "the client's own steady clock in milliseconds, such as performance.now() (may be left out)",
    ("jog", "age_ms"): "how many milliseconds old the input was when it was sent (0 when left out)",
    ("move", "speed_percent"): "a number above 0, up to 100",
    ("move", "wait_for_start"): "true: the next start runs it; false",
    ("go_to", "position"): ", ".join(hmi.POSITIONS),
    ("go_to", "speed_percent"): "a number above 0, up to 100",
    ("go_to", "wait_for_start"): "true: the next start runs it; false",
    ("range_of_motion", "on"): "true or false",
    ("compliant", "on"): "true or false",
    ("test_cycle", "cycle"): f"one of {', '.join(map(str, hmi.TEST_CYCLES))}",
    ("version", "version"): "a version text like \"1.7.8\"",
    ("subscribe", "event"): "data or state",
    ("subscribe", "rate_hz"): f"a number 0..{hmi.RATE_MAXIMUM_HZ:g}",
    ("settings", "write"): "an object of setting names and values",
    ("settings", "read"): "an array of setting names",
    ("settings", "reset"): "an array of setting names",
    ("settings", "accept"): "true or false",
    ("settings", "dry_run"): "true or false",
    **{(kind, field): text for kind in ("play", "estimate") for field, text in (
        ("exercise", "the name of a stored exercise"), ("scenario", "the name of a stored scenario"),
        ("repeat", rest.ALLOWED["rep"]))},
    ("reports", "id"): "the number of a report",
    ("reports", "first_step"): "a whole number from 1 on",
    ("reports", "limit"): f"a whole number 1..{reports.REPORTS_KEPT}",
    ("reports", "before"): "the number of a report",
    ("calibrate", "name"): calibration.NAME_ALLOWED,
    ("calibrate", "grid"): "an object of axis number and {start_deg, stop_deg, step_deg}, step_deg at least "
     f"{hmi.CALIBRATION_STEP_LEAST_DEG:g}",
    ("calibrate", "speed_percent"): "a number above 0, up to 100",
    ("calibrate", "settle_s"): f"seconds 0..{calibration.SETTLE_HIGHEST_S:g}",
    ("calibrate", "measure_s"): f"seconds {calibration.MEASURE_LEAST_S:g}..{calibration.MEASURE_HIGHEST_S:g}",
    ("calibrate", "there_and_back"): "true: every point once on the way there and once on the way back; false",
    ("calibrate", "resume"): "true: go on with the run of that name; false",
    **{("board_registers", name): row.allowed for name, row in BOARD_TEXTS.items()},
}


def parse(message: object) -> Command:
    """The command of a decoded JSON value; Refused names the field and what is allowed."""
    if not isinstance(message, dict):
        raise Refused(Notice.VALUE, "", "a command is an object with the field `type`")
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in hmi.COMMANDS:
        raise Refused(Notice.UNKNOWN, "type", f"allowed are {', '.join(sorted(hmi.COMMANDS))}")
    try:
        command: Command = msgspec.convert(message, Command)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _refused(kind, str(error)) from None
    return command


def _refused(kind: str, text: str) -> Refused:
    """The validation error with the field it is about and everything that is allowed there."""
    found = _FIELD.search(text) or _UNKNOWN.search(text) or _MISSING.search(text)
    field = found.group(1)[:64].replace("key` in `$.", "") if found else ""
    name = re.split(r"[.\[]", field)[0]
    known = {item.encode_name: item for item in msgspec.structs.fields(BY_TYPE[kind])}
    message = _FIELD.sub("", text)[:200]
    if name not in known:
        return Refused(Notice.VALUE, field, f"{message}; fields of {kind}: {', '.join(known) or 'none'}")
    return Refused(Notice.VALUE, field, f"{message}; allowed is {ALLOWED[kind, name]}")


class Error(msgspec.Struct):
    """Why something was refused: name of the notice, field, text."""

    code: str
    field: str
    message: str


class Answer(msgspec.Struct):
    """What every acknowledgement holds; a command that reads adds its own fields."""

    ok: bool
    error: Error | None = None
