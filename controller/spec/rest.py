"""The HTTP interface as tables: access levels, limits, what each field may be, and one row per endpoint.

The types named in a row are the structs of hmi/rest_messages.py; documents, descriptions and routes follow the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from controller.spec import registers
from controller.spec.board import IMAGE_BYTES_HIGHEST, IMAGE_PATH
from controller.spec.history import READ_DEFAULT, READ_LIMIT
from controller.spec.hmi import Role

# What the page calls them -> role.
LEVELS: dict[str, Role] = {"Base": Role.BASE, "Advance": Role.ADVANCED, "Admin": Role.ADMINISTRATOR}
PASSWORD_SHORTEST, PASSWORD_LONGEST = 8, 128
TOKEN_LIFE_S = 86_400
CLOCK_SLACK_S = 60  # a token that lasts longer than TOKEN_LIFE_S and this was made under another clock

# Wrong logins: so many at once, then one more per so many seconds; of one address, and of all together.
ADDRESS_BURST, ADDRESS_PERIOD_S = 5, 10.0
GLOBAL_BURST, GLOBAL_PERIOD_S = 30, 1.0

AXES = registers.AXES_IN_MAP
NAME_LONGEST = 24
# Latin letters with their accents (written out: the same in Python, ECMAScript and JSON Schema), digits and blanks.
NAME_PATTERN = "^[A-Za-z0-9À-ÖØ-öø-ɏ ]*[A-Za-z0-9À-ÖØ-öø-ɏ][A-Za-z0-9À-ÖØ-öø-ɏ ]*$"
REP_HIGHEST = 100
ORDER_HIGHEST = 999
DEGREES_HIGHEST = 360
PAUSE_HIGHEST_S = 5
SPEED_HIGHEST_PERCENT = 100
BODY_BYTES = 131_072
BODY_TIMEOUT_S = 10.0
ROWS_HIGHEST = 200
NAMES_HIGHEST = 200
SCENARIO_ITEMS_HIGHEST = 1000

_NAME = f"text of 1..{NAME_LONGEST} letters, digits and blanks, not only blanks"
ALLOWED: dict[str, str] = {
    "": "see docs/rest.md or /openapi.json",
    "accessLevel": ", ".join(LEVELS),
    "password": f"text of up to {PASSWORD_LONGEST} characters",
    "name": _NAME, "oldName": _NAME, "scenarioName": _NAME, "scenarioNameURL": _NAME,
    "rep": f"a whole number 1..{REP_HIGHEST}",
    "id": "a whole number, 1 or more",
    "first_step": "a whole number, 1 or more",
    "order_pos": f"a whole number 0..{ORDER_HIGHEST}",
    **{f"axis_{i + 1}": f"degrees {-DEGREES_HIGHEST}..{DEGREES_HIGHEST}, or null to leave the axis where it is"
       for i in range(AXES)},
    "pause": f"seconds 0..{PAUSE_HIGHEST_S}",
    "speed": f"percent 0..{SPEED_HIGHEST_PERCENT}",
    "positions": f"an array of up to {ROWS_HIGHEST} positions",
    "scenario": f"an array of up to {SCENARIO_ITEMS_HIGHEST} elements",
}


class Parameter(msgspec.Struct, frozen=True):
    """One name of a query; `schema` is the JSON Schema of its value."""

    name: str
    doc: str
    schema: Mapping[str, object]


class Endpoint(msgspec.Struct, frozen=True):
    """One method of one path. `request` and `answer` name types; one with a slash is a media type.

    `login`: asks for a token where one is needed. `missing`: may answer 404 for something that is not stored.
    `errors` are statuses beside those that follow from the other fields. `sample`: an example body.
    """

    method: Literal["GET", "POST"]
    path: str
    doc: str
    answer: str
    request: str = ""
    role: Role = Role.BASE
    login: bool = True
    missing: bool = False
    errors: tuple[int, ...] = ()
    sample: object = None
    query: tuple[Parameter, ...] = ()

    @property
    def name(self) -> str:
        """Name of its function and its operation: "get_scenario_mode"."""
        return self.path.strip("/").replace(".", "_") or "front"


_ROW = {"name": "Wave", "rep": 3, "order_pos": 1, "axis_1": 20.0, "axis_2": 10.5, "axis_3": 0, "axis_4": 45,
        "axis_5": None, "pause": 0.5, "speed": 60}
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("POST", "/login", "log in: a token for one day", "LoginAnswer", "LoginRequest", login=False,
             errors=(401, 429), sample={"accessLevel": "Base", "password": "open sesame"}),
    Endpoint("GET", "/exercises_names", "every exercise", "ExerciseNames"),
    Endpoint("POST", "/add_exercise_name", "a new exercise without positions; 400 when the name is taken", "Done",
             "ExerciseName", sample={"name": "Wave", "rep": 3}),
    Endpoint("POST", "/exercises_data", "positions of an exercise", "Positions", "NameOnly", missing=True,
             sample={"name": "Wave"}),
    Endpoint("POST", "/view_positions_exercise", "the same, wrapped", "PositionsResult", "NameOnly", missing=True,
             sample={"name": "Wave"}),
    Endpoint("POST", "/edit_exercise", "the same, wrapped", "PositionsResult", "NameOnly", missing=True,
             sample={"name": "Wave"}),
    Endpoint("POST", "/save_exercises", "store whole exercises: their former positions are replaced, new names made",
             "Done", "SaveExercises", sample=[_ROW, {**_ROW, "order_pos": 2, "axis_1": -20.0}]),
    Endpoint("POST", "/update_pos", "change one position, found by name and order_pos; what is left out stays", "Done",
             "AtLeastOneChange", missing=True, sample={"name": "Wave", "order_pos": 1, "axis_1": 25, "speed": 40}),
    Endpoint("POST", "/update_exercise", "change the repetitions of an exercise, with oldName also its name", "Done",
             "ExerciseChange", missing=True, sample={"oldName": "Wave", "name": "Wave slowly", "rep": 5}),
    Endpoint("POST", "/estimate", "seconds that playing an exercise would take from where the arm stands; 400 names "
             "the position that cannot be played", "Estimated", "EstimateIn", missing=True, errors=(503,),
             sample={"name": "Wave", "rep": 2}),
    Endpoint("GET", "/reports", "the newest reports of what was played, the newest first", "Summaries"),
    Endpoint("POST", "/report", "a whole report, or its moves from first_step on, 500 at once", "Report", "ReportIn",
             missing=True, sample={"id": 1, "first_step": 1}),
    Endpoint("POST", "/delete_exercise", "delete an exercise with its positions", "Done", "NameOnly", missing=True,
             sample={"name": "Wave"}),
    Endpoint("GET", "/scenario_names", "every scenario, and the one chosen last (\"\" none)", "ScenarioNames"),
    Endpoint("POST", "/save_scenario_mode", "store a scenario, in place of a former one of that name", "Done",
             "ScenarioSave", sample={"scenarioName": "Lunch", "scenario": [{"exercise": "Wave", "rep": 2}]}),
    Endpoint("POST", "/get_scenario_mode", "the stored array", "Scenario", "OneScenario", missing=True,
             sample={"scenarioNameURL": "Lunch"}),
    Endpoint("POST", "/play_scenario_mode", "choose a scenario: it becomes lastScenario, and what the command `play` "
             "of Socket.IO plays without a name. Nothing moves", "Done", "PlainName", missing=True, sample="Lunch"),
    Endpoint("POST", "/delete_scenario", "delete a scenario", "Done", "OneScenario", missing=True,
             sample={"scenarioName": "Lunch"}),
    Endpoint("GET", "/last_saved_rest_pos", "rest position, degrees per axis; 404 when it was never saved or no arm is "
             "connected", "AxisDegrees", missing=True),
    Endpoint("GET", "/last_saved_wearing_pos", "wearing position, likewise", "AxisDegrees", missing=True),
)
_HISTORY = (
    Parameter("limit", f"so many entries at most, {READ_DEFAULT} where it is left out",
              {"type": "integer", "minimum": 1, "maximum": READ_LIMIT}),
    Parameter("errors", "1: only errors", {"enum": [0, 1]}),
    Parameter("after", "the oldest behind this id instead of the newest", {"type": "integer", "minimum": 0,
                                                                           "maximum": 2**62}),
    Parameter("since", "from then on: ISO 8601, seconds since 1970, or an age as 30m, 12h, 7d", {"type": "string"}),
)
_SHA256 = Parameter("sha256", "SHA-256 of the image, 64 hexadecimal digits", {"type": "string", "pattern":
                                                                              "^[0-9A-Fa-f]{64}$"})
_UPDATE = (
    Parameter("node", "0 the base board, 1.. a drive", {"type": "integer", "minimum": 0, "maximum": 8}),
    _SHA256,
    Parameter("version", "of the base board: what register 7 is to show afterwards; may be left out",
              {"type": "string", "maxLength": 32}),
)
PAGES: tuple[Endpoint, ...] = (
    Endpoint("GET", "/", "status page with a Stop button", "text/html", login=False),
    Endpoint("GET", "/status.json", "the `state` message", "StateMessage"),
    Endpoint("GET", "/history", "entries of the history, in order of time", "HistoryAnswer", errors=(400, 503),
             query=_HISTORY),
    Endpoint("GET", "/healthz", "200 while the control loop advances, else 503", "Okay", login=False, errors=(503,)),
    Endpoint("POST", "/stop", "stop in the next control cycle, whatever the body holds", "Okay", errors=(401,)),
    Endpoint("POST", "/board_update", f"firmware update of the base board or a drive: the body is the image, 1.."
             f"{IMAGE_BYTES_HIGHEST} bytes; answered when the board has confirmed the order", "BoardUpdateState",
             "application/octet-stream", Role.ADMINISTRATOR, errors=(400, 409, 413), query=_UPDATE),
    Endpoint("POST", "/board_update_cancel", "withdraw the offered image; 409 when the board has all of it",
             "BoardUpdateState", role=Role.ADMINISTRATOR, errors=(409,)),
    Endpoint("GET", IMAGE_PATH, "for the base board: the image, while it is offered", "application/octet-stream",
             login=False, missing=True, query=(_SHA256,)),
    Endpoint("GET", "/openapi.json", "this interface as OpenAPI 3.1", "application/json", login=False),
    Endpoint("GET", "/asyncapi.json", "the Socket.IO events as AsyncAPI 3", "application/json", login=False),
    Endpoint("GET", "/schema.json", "JSON Schemas of every message", "application/json", login=False),
    Endpoint("GET", "/allyarm.d.ts", "TypeScript declarations of both", "text/plain", login=False),
)


def check() -> None:
    """ValueError when a table contradicts itself; run by a test and by the server at start."""
    paths = [row.path for row in (*ENDPOINTS, *PAGES)]
    if len(set(paths)) != len(paths):
        raise ValueError(f"a path is given twice in {paths}")
    if bad := [row.path for row in ENDPOINTS if row.method == "POST" and (not row.request or row.sample is None)]:
        raise ValueError(f"no request or no sample in {bad}")


check()
