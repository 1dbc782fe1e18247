"""Bodies of the REST interface: what may come (strict, every value checked) and what is answered.

Numbers may come as text too, because that is what an input field of a page holds; they are answered as numbers.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from controller.exercise_reports import Report, ReportSummary
from controller.hmi.refusal import Problem, Refusal
from controller.spec import rest

__all__ = ["Problem", "Report"]  # are bodies too
_FRACTION = r"(\.[0-9]{1,9})?"
Name = Annotated[str, Meta(min_length=1, max_length=rest.NAME_LONGEST, pattern=rest.NAME_PATTERN)]
# Whole numbers as JSON means them: 5 and 5.0.
RepIn = (Annotated[float, Meta(ge=1, le=rest.REP_HIGHEST, multiple_of=1)]
         | Annotated[str, Meta(pattern=r"^ *([1-9][0-9]?|100) *$")])
OrderIn = (Annotated[float, Meta(ge=0, le=rest.ORDER_HIGHEST, multiple_of=1)]
           | Annotated[str, Meta(pattern=r"^ *[0-9]{1,3} *$")])
WholeIn = Annotated[float, Meta(ge=1, le=2**53, multiple_of=1)]
Degrees = Annotated[float, Meta(ge=-rest.DEGREES_HIGHEST, le=rest.DEGREES_HIGHEST)]
DegreesIn = Degrees | Annotated[str, Meta(pattern=rf"^ *-?([0-9]{{1,2}}{_FRACTION}|[12][0-9]{{2}}{_FRACTION}"
                                          rf"|3[0-5][0-9]{_FRACTION}|360) *$")] | None
Pause = Annotated[float, Meta(ge=0, le=rest.PAUSE_HIGHEST_S)]
PauseIn = Pause | Annotated[str, Meta(pattern=rf"^ *([0-4]{_FRACTION}|5) *$")]
Speed = Annotated[float, Meta(ge=0, le=rest.SPEED_HIGHEST_PERCENT)]
SpeedIn = Speed | Annotated[str, Meta(pattern=rf"^ *([0-9]{{1,2}}{_FRACTION}|100) *$")]
Level = Literal["Base", "Advance", "Admin"]
AXES = tuple(f"axis_{i + 1}" for i in range(rest.AXES))
if get_args(Level) != tuple(rest.LEVELS) or (rest.DEGREES_HIGHEST, rest.PAUSE_HIGHEST_S, rest.REP_HIGHEST,
                                             rest.SPEED_HIGHEST_PERCENT, rest.AXES) != (360, 5, 100, 100, 5):
    raise AssertionError("the levels and patterns above follow spec/rest.py")


class _In(msgspec.Struct, forbid_unknown_fields=True):
    pass


class LoginRequest(_In):
    """Access level and its password."""

    accessLevel: Level
    password: Annotated[str, Meta(max_length=rest.PASSWORD_LONGEST)]


class NameOnly(_In):
    """An exercise by its name."""

    name: Name


class ExerciseName(_In):
    """A new exercise."""

    name: Name
    rep: RepIn


class ExerciseChange(_In):
    """Repetitions of the exercise `name`; with `oldName` that exercise is renamed to `name`."""

    name: Name
    rep: RepIn
    oldName: Name | UnsetType = UNSET


class PositionIn(_In):
    """A position to store. Axes left out or null stay where they are; without order_pos it is the row's place."""

    name: Name
    rep: RepIn
    pause: PauseIn
    speed: SpeedIn
    order_pos: OrderIn | UnsetType = UNSET
    axis_1: DegreesIn = None
    axis_2: DegreesIn = None
    axis_3: DegreesIn = None
    axis_4: DegreesIn = None
    axis_5: DegreesIn = None


class Place(_In):
    """A position of ExerciseIn: as PositionIn, the exercise's own name and repetitions may be left out."""

    pause: PauseIn
    speed: SpeedIn
    name: Name | UnsetType = UNSET
    rep: RepIn | UnsetType = UNSET
    order_pos: OrderIn | UnsetType = UNSET
    axis_1: DegreesIn = None
    axis_2: DegreesIn = None
    axis_3: DegreesIn = None
    axis_4: DegreesIn = None
    axis_5: DegreesIn = None


class ExerciseIn(_In):
    """A whole exercise; it may have no positions."""

    name: Name
    rep: RepIn
    positions: Annotated[list[Place], Meta(max_length=rest.ROWS_HIGHEST)]


SaveExercises = Annotated[list[PositionIn], Meta(min_length=1, max_length=rest.ROWS_HIGHEST)] | ExerciseIn


class PositionChange(_In):
    """New values of the position `order_pos` of an exercise; what is left out stays, null leaves the axis."""

    name: Name
    order_pos: OrderIn
    rep: RepIn | UnsetType = UNSET
    pause: PauseIn | UnsetType = UNSET
    speed: SpeedIn | UnsetType = UNSET
    axis_1: DegreesIn | UnsetType = UNSET
    axis_2: DegreesIn | UnsetType = UNSET
    axis_3: DegreesIn | UnsetType = UNSET
    axis_4: DegreesIn | UnsetType = UNSET
    axis_5: DegreesIn | UnsetType = UNSET


class ScenarioSave(_In):
    """A scenario: whatever the page keeps in its array."""

    scenarioName: Name
    scenario: Annotated[list[msgspec.Raw], Meta(max_length=rest.SCENARIO_ITEMS_HIGHEST)]


class ScenarioNamed(_In):
    """A scenario by its name, in one of the two fields."""

    scenarioName: Name | UnsetType = UNSET
    scenarioNameURL: Name | UnsetType = UNSET


class EstimateIn(_In):
    """An exercise by its name, with other repetitions than its own where they are given."""

    name: Name
    rep: RepIn | UnsetType = UNSET


class ReportIn(_In):
    """A report by its number."""

    id: WholeIn
    first_step: WholeIn = 1


PlainName = Name


class Done(msgspec.Struct):
    """It is stored; a sentence for people."""

    message: str


class Okay(msgspec.Struct):
    ok: bool


class HistoryEntry(msgspec.Struct):
    """`time` is wall time in ISO 8601, `axis` 1-based (0 none), `who` a client or "", `detail` by kind."""

    id: int
    time: str
    time_s: float
    monotonic_ns: int
    run: int
    kind: str
    who: str
    code: int
    axis: int
    text: str
    detail: dict[str, Any]


class HistoryAnswer(msgspec.Struct):
    ok: bool
    entries: list[HistoryEntry]


class LoginAnswer(msgspec.Struct):
    """`token`: a JWT with the claims accessLevel (5, 15 or 20), name, iat and exp."""

    message: str
    token: str


class NameEntry(msgspec.Struct):
    """An exercise."""

    name: str
    rep: int


class Position(msgspec.Struct):
    """A stored position: degrees per axis (null leaves the axis where it is), pause in seconds, speed in percent."""

    name: str
    rep: int
    order_pos: int
    axis_1: float | None
    axis_2: float | None
    axis_3: float | None
    axis_4: float | None
    axis_5: float | None
    pause: float
    speed: float


class PositionsResult(msgspec.Struct):
    result: list[Position]


class ScenarioNames(msgspec.Struct):
    scenarioNames: list[str]
    lastScenario: str


class Estimated(msgspec.Struct):
    """Seconds with rests and settling, without power-up; positions of all repetitions together."""

    estimate_s: float
    steps: int


ExerciseNames = list[NameEntry]
Summaries = list[ReportSummary]
Positions = list[Position]
Scenario = list[Any]
AtLeastOneChange = Annotated[PositionChange, Meta(extra_json_schema={"minProperties": 3})]
OneScenario = Annotated[ScenarioNamed, Meta(extra_json_schema={"minProperties": 1, "maxProperties": 1})]
AxisDegrees = list[float]


_WHERE = re.compile(r" - at `(?:key` in `)?\$?\.?(.*)`$")
_FIELD = re.compile(r"(?:unknown|missing required) field `(.*?)`")


def parse(body: bytes, name: str) -> Any:
    """A request body as the type `name`; Refusal 400 names the field and what is allowed there."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Refusal(400, f"the body is not UTF-8 text: {error.reason} at byte {error.start}") from None
    if name == "PlainName":
        kind, value = Name, text.strip()
        if re.fullmatch(r'"[^"\\]*"', value):   # sent as JSON all the same
            value = _decode(text, str)
        return _convert(value, kind, "name")
    return _decode(text, globals()[name])


def _decode(text: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refusal(400, f"the body is not valid JSON: {error}{_near(text, str(error))}"[:200]) from None


def _near(text: str, said: str) -> str:
    """What stands where JSON ends to be JSON: NaN, say, at the end of its field's name."""
    found = re.search(r"\(byte (\d+)\)", said)
    if found is None:
        return ""
    at = int(found.group(1))
    part = text.encode()[max(0, at - 24):at + 12].decode(errors="replace")
    return f", near {part!r}"


def _convert(value: object, kind: Any, field: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise Refusal(400, f"{field}: allowed is {rest.ALLOWED[field]}", field) from None


def _refusal(text: str) -> Refusal:
    where = _WHERE.search(text)
    path = where.group(1)[:64] if where else ""
    if found := _FIELD.search(text):
        path = f"{path}.{found.group(1)[:64]}".strip(".")
    field = re.sub(r"\[\.\.\.\]|\[\d+\]", "", path).rpartition(".")[2]
    said = re.sub(r" matching regex '.*'", "", _WHERE.sub("", text))[:160]
    allowed = rest.ALLOWED.get(field)
    if allowed is None:
        return Refusal(400, f"{said}; fields and values are described at /openapi.json", path)
    return Refusal(400, f"{path}: {said}; allowed is {allowed}" if path else f"{said}; {allowed}", path)
