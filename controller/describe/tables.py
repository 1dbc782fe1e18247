"""Tables of docs/rest.md from spec/rest.py, for `python -m controller.spec.docs`."""

from __future__ import annotations

import msgspec

from controller.describe.openapi import statuses
from controller.describe.schemas import http_type
from controller.hmi import rest_messages
from controller.spec import rest
from controller.spec.docs import markdown
from controller.spec.rest import Endpoint


def table(name: str) -> str:
    """`rest endpoints`, `pages`, `fields`, `levels`, `limits`."""
    return {"endpoints": _endpoints, "pages": _pages, "fields": _fields, "levels": _levels, "limits": _limits}[name]()


def _endpoints() -> str:
    return markdown(("request", "body", "answer", "errors", "does"), (
        (f"`{row.method} {row.path}`", _shape(row.request), _shape(row.answer), _errors(row), row.doc)
        for row in rest.ENDPOINTS))


def _pages() -> str:
    return markdown(("request", "query", "errors", "gives"), (
        (f"`{row.method} {row.path}`", "; ".join(f"`{item.name}`: {item.doc}" for item in row.query), _errors(row),
         row.doc) for row in rest.PAGES))


def _errors(row: Endpoint) -> str:
    return ", ".join(map(str, statuses(row)))


def _shape(name: str) -> str:
    """A body in a few signs: `{name, rep}`, `[{...}]`; what may be left out has a question mark."""
    special = {"SaveExercises": "`[`position`, ...]` or `{name, rep, positions: [`position`, ...]}`",
               "Positions": "`[`position`, ...]`", "PositionsResult": "`{result: [`position`, ...]}`",
               "OneScenario": "`{scenarioName}` or `{scenarioNameURL}`", "PlainName": "the name, as `text/plain`",
               "Scenario": "the array", "Summaries": "`[`summary`, ...]`",
               "AxisDegrees": "`[degrees, ...]`, one per axis"}
    if not name or name in special:
        return special.get(name, "")
    if name == "ExerciseNames":
        return f"`[{_fields_of(rest_messages.NameEntry)}, ...]`"
    kind = rest_messages.PositionChange if name == "AtLeastOneChange" else http_type(name)
    return f"`{_fields_of(kind)}`"


def _fields_of(kind: type[msgspec.Struct]) -> str:
    names = (item.name if item.default is msgspec.NODEFAULT else f"{item.name}?"
             for item in msgspec.structs.fields(kind))
    return f"{{{', '.join(names)}}}"


def _fields() -> str:
    return markdown(("field", "allowed"), ((f"`{name}`", text) for name, text in rest.ALLOWED.items() if name))


def _levels() -> str:
    return markdown(("accessLevel", "in the token", "may"), (
        (f"`{level}`", int(role), role.doc) for level, role in rest.LEVELS.items()))


def _limits() -> str:
    return markdown(("limit", "value"), (
        ("bytes of a body", rest.BODY_BYTES), ("a body has come within, s", f"{rest.BODY_TIMEOUT_S:g}"),
        ("exercises, and scenarios, that are kept", rest.NAMES_HIGHEST), ("positions in a request", rest.ROWS_HIGHEST),
        ("elements of a scenario", rest.SCENARIO_ITEMS_HIGHEST), ("a token lasts, s", rest.TOKEN_LIFE_S),
        ("wrong logins of one address at once, then one more every, s", f"{rest.ADDRESS_BURST}, "
                                                                         f"{rest.ADDRESS_PERIOD_S:g}"),
        ("wrong logins of all addresses at once, then one more every, s", f"{rest.GLOBAL_BURST}, "
                                                                           f"{rest.GLOBAL_PERIOD_S:g}"),
        ("characters of a password", f"{rest.PASSWORD_SHORTEST}..{rest.PASSWORD_LONGEST}")))
