"""JSON Schemas (2020-12) of every message: Socket.IO events from tables and structs, HTTP bodies from the structs."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from controller.exercise_reports import Report, ReportSummary
from controller.hmi import messages, rest_messages
from controller.hmi.board_update import BoardUpdateState
from controller.hmi.state import StateMessage
from controller.spec import hmi, registers, rest
from controller.spec.hmi import Form, Setting

Schema = dict[str, Any]
NUMBER_TEXT = r"^[+-]?[0-9]{1,9}(\.[0-9]{1,12})?$"  # hmi/forms.py takes a number as text too
_NUMBER: Schema = {"type": ["number", "null"]}


class CalibrationRun(msgspec.Struct):
    """A calibration run on disk; `problem` says why it cannot go on, "" when it can."""

    name: str
    file: str
    measured: int
    points: int
    began: str
    problem: str


class CommandAnswer(messages.Answer):
    """Acknowledgement of `command`: a `settings` that reads adds their values, `acquire` this client's number; `play`
    and `estimate` the seconds expected, the steps and the axes that none of them moves, `calibrate` also points, those
    measured before, and the file."""

    settings: dict[str, messages.SettingValue] | UnsetType = UNSET
    client: int | UnsetType = UNSET
    estimate_s: float | UnsetType = UNSET
    steps: int | UnsetType = UNSET
    axes_left_alone: list[int] | UnsetType = UNSET
    reports: list[ReportSummary] | UnsetType = UNSET
    report: Report | UnsetType = UNSET
    points: int | UnsetType = UNSET
    measured: int | UnsetType = UNSET
    file: str | UnsetType = UNSET
    calibrations: list[CalibrationRun] | UnsetType = UNSET


class Notice(msgspec.Struct):
    """`errorServerMessage`: what the controller has to say to this one client. Ids: docs/hmi.md."""

    id: int
    message: str


class ShownFault(msgspec.Struct):
    """An active error or warning in `data`, with one of the codes; the last three are empty for lack of room."""

    timestamp: str
    axis: int | Literal["Master"]
    message: str
    description: str
    cause: str
    solution: str
    errorCode: int | UnsetType = UNSET
    warningCode: int | UnsetType = UNSET


SHAPES: dict[str, Schema] = {
    "node": {"type": "array", "items": {"type": "integer"}, "minItems": hmi.NODES},
    "five": {"type": "array", "items": {"type": ["integer", "null"]}, "minItems": hmi.MAP_AXES},
    "axis": {"type": "array", "items": _NUMBER},
    "number": _NUMBER,
    "text": {"type": "string"},
}


def event_schemas(template: str) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """({command, response, acknowledgement, commandAcknowledgement, data, state}, definitions that they refer to)."""
    found, definitions = msgspec.json.schema_components(
        [messages.Command, messages.Answer, CommandAnswer, StateMessage, Notice, ShownFault], ref_template=template)
    command, answer, command_answer, state, notice, fault = found
    definitions |= {"Command": command, "ResponseMessage": _response(), "DataMessage": _data(notice, fault)}
    names = {"command": "Command", "response": "ResponseMessage", "data": "DataMessage"}
    schemas = {name: {"$ref": template.format(name=target)} for name, target in names.items()}
    return {**schemas, "acknowledgement": answer, "commandAcknowledgement": command_answer, "state": state}, definitions


def http_schemas(template: str) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """({name of a type in spec/rest.py: schema}, definitions that they refer to)."""
    rows = (*rest.ENDPOINTS, *rest.PAGES)
    names = sorted({name for row in rows for name in (row.request, row.answer) if name and "/" not in name}
                   | {"Problem"})
    found, definitions = msgspec.json.schema_components([http_type(name) for name in names], ref_template=template)
    return dict(zip(names, found, strict=True)), definitions


def http_type(name: str) -> Any:
    """The type that a row of spec/rest.py names."""
    here = {"StateMessage": StateMessage, "BoardUpdateState": BoardUpdateState}
    return here[name] if name in here else getattr(rest_messages, name)


def text() -> str:
    """The document served at /schema.json."""
    template = "#/$defs/{name}"
    events, definitions = event_schemas(template)
    bodies, more = http_schemas(template)
    others = {name: schema for name, schema in bodies.items() if name not in more}   # arrays and choices
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", "version": hmi.CONTRACT_VERSION,
                "description": "One property per event; every type, also those of HTTP bodies, in $defs.",
                "properties": events, "$defs": {**definitions, **more, **others}}
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode()


def _data(notice: Schema, fault: Schema) -> Schema:
    properties: Schema = {}
    for row in hmi.DATA_FIELDS:
        if row.shape == "object":
            shape: Schema = {"type": "object", "properties": {
                key: _stored(setting) for setting in (hmi.SETTING[name] for name in row.settings)
                for key in setting.keys(hmi.MAP_AXES)}}
        elif row.shape == "list":
            shape = {"type": "array", "items": fault}
        else:
            shape = SHAPES[row.shape]
        properties[row.name] = {**shape, "description": f"{row.doc}{f' [{row.unit}]' if row.unit else ''}"}
    return {"title": "DataMessage", "type": "object", "description": "The event `data`.",
            "properties": {**properties, hmi.NOTICE_FIELD: notice}, "required": [row.name for row in hmi.DATA_FIELDS]}


def _stored(row: Setting) -> Schema:
    """A stored value as `data` shows it."""
    kinds = {"number": "number", "boolean": "boolean", "text": "string", "choice": "string"}
    return {"type": [kinds[row.kind], "null"] if row.default is None else kinds[row.kind]}


def _response() -> Schema:
    """Every form of `response`: a button, or an object with the keys of one form."""
    button = {"type": "array", "items": {"enum": sorted(hmi.BUTTONS)}, "minItems": 1, "maxItems": 1,
              "description": "one button"}
    return {"title": "ResponseMessage", "description": "The event `response`.",
            "anyOf": [button, *(_form(form) for form in hmi.FORMS)]}


def _form(form: Form) -> Schema:
    settings = [hmi.SETTING[name] for name in form.settings]
    properties: Schema = {key: _required(form, key) for key in form.required}
    for i in range(hmi.MAP_AXES if form.axes else 0):
        properties[str(int(form.axes) + i)] = _per_axis(form)
    for row in settings:
        properties |= {key: _given(row) for key in row.keys(hmi.MAP_AXES)}
    required = [*form.required, *(row.key for row in settings if form.whole)]
    return {"type": "object", "title": form.name, "description": f"{form.name}: {form.doc}", "properties": properties,
            "required": required, "minProperties": max(1, len(required)), "additionalProperties": False}


def _per_axis(form: Form) -> Schema:
    """Values per axis that are not stored."""
    if form.name == "driver_mode":
        row = registers.BY_NAME["driver_mode"]
        return {"anyOf": [{"type": "integer", "minimum": row.low, "maximum": row.high},
                          {"type": "string", "pattern": NUMBER_TEXT}]}
    return {"anyOf": [{"type": "number"}, {"type": "string", "pattern": NUMBER_TEXT}, {"const": ""}]}


def _required(form: Form, key: str) -> Schema:
    """Values of the keys that a form is known by."""
    if form.name == "version_check":
        return {"type": "string"}
    numbers = {("mode", "10"): sorted(hmi.MODES), ("test_cycle", "11"): sorted(hmi.TEST_CYCLES),
               ("test_cycle", "10"): [2]}.get((form.name, key), [0])
    return {"enum": [*numbers, *map(str, numbers)]}


def _given(row: Setting) -> Schema:
    """A stored value as a client sends it."""
    if row.kind == "number":
        return {"anyOf": [{"type": "integer" if row.whole else "number", "minimum": row.low, "maximum": row.high},
                          {"type": "string", "pattern": NUMBER_TEXT}]}
    if row.kind == "boolean":
        return {"enum": [True, False, 0, 1]}
    if row.kind == "choice":
        return {"enum": list(row.choices)}
    return {"type": "string", "minLength": 1, "maxLength": int(row.high)}
