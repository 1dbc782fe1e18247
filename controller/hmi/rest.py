"""The REST interface: one function per row of spec/rest.py, behind one gate.

The gate asks for the role, reads a bounded body, checks every value, counts what it refuses and answers {message}.
Thread contract: HMI thread only; whatever may wait is done by the workers of `Exercises` and `Login`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web

from controller.exercise_reports import MOVES_AT_ONCE, REPORTS_KEPT
from controller.exercises import AXES, Exercise, Exercises, NotAllowed, NotStored, Row
from controller.history_words import Note, unheard
from controller.hmi import rest_messages as messages
from controller.hmi.body import read_body
from controller.hmi.clients import Refused
from controller.hmi.counters import Counters, logger
from controller.hmi.login import Login
from controller.hmi.refusal import Refusal, json_response
from controller.hmi.rest_messages import Done, Position
from controller.hmi.transport import BROKEN_REQUEST
from controller.input import mapping
from controller.kept import StoreError
from controller.spec import rest
from controller.spec.history import Kind
from controller.spec.hmi import Notice
from controller.spec.rest import Endpoint
from controller.worker import Busy

TimeOf = Callable[[list[tuple[Exercise, int | None]]], tuple[float, int]]
Function = Callable[[Any, web.Request], Awaitable[object]]
log = logger("controller.hmi.rest")


class Rest:
    """`saved_deg(name)` gives a saved position, "rest" or "wearing", in degrees per axis, or raises Refusal;
    `time_of` the seconds and steps of exercises, or Refused. `note` keeps in the history who logged in, and what was
    stored; `scenario_changed` is called when another scenario may count now, or another content of it."""

    def __init__(self, login: Login, exercises: Exercises, counters: Counters, *,
                 saved_deg: Callable[[str], list[float]], time_of: TimeOf, note: Note = unheard,
                 scenario_changed: Callable[[Exercises], None] = lambda exercises: None) -> None:
        self._note, self._time_of, self._scenario_changed = note, time_of, scenario_changed
        self._login, self.exercises, self._counters, self._saved_deg = login, exercises, counters, saved_deg

    async def handle(self, row: Endpoint, request: web.Request) -> web.Response:
        """Serve one request of an endpoint; AttributeError when its row has no function."""
        function: Function = getattr(self, row.name)
        try:
            return json_response(await self._serve(row, function, request))
        except Refusal as refused:
            self._counters.refuse(f"rest_{refused.status}")
            return refused.response()
        except BROKEN_REQUEST:
            self._counters.refuse("http")
            return Refusal(400, "the request's body broke off").response()

    async def _serve(self, row: Endpoint, function: Function, request: web.Request) -> object:
        if row.login and (role := await self._login.role(request.headers)) < row.role:
            raise Refusal(403, f"{row.doc}: needs role {row.role.name.lower()}, this client has {role.name.lower()}")
        body = await read_body(request, rest.BODY_BYTES, rest.BODY_TIMEOUT_S, what="the body",
                               allowed=str(rest.BODY_BYTES))
        message = messages.parse(body, row.request) if row.request else None
        self._counters.add("rest_requests")
        try:
            answer = await function(message, request)
            if isinstance(answer, Done):
                self._note(Kind.SETTINGS, answer.message, who=_who(request))
            return answer
        except NotStored as error:
            raise Refusal(404, str(error.args[0]), error.field) from None
        except NotAllowed as error:
            raise Refusal(400, str(error), error.field) from None
        except StoreError as error:
            raise Refusal(500, str(error)) from None
        except Busy as error:
            raise Refusal(429, str(error), retry_after_s=1.0) from None

    # -- login

    async def login(self, message: messages.LoginRequest, request: web.Request) -> messages.LoginAnswer:
        try:
            token = await self._login.log_in(message, request.remote or "?")
        except Refusal:
            self._note(Kind.CLIENT, f"could not log in as {message.accessLevel}", who=_who(request))
            raise
        self._note(Kind.CLIENT, f"logged in as {message.accessLevel}", who=_who(request))
        return messages.LoginAnswer(f"logged in as {message.accessLevel}", token)

    # -- exercises

    async def exercises_names(self, message: None, request: web.Request) -> messages.ExerciseNames:
        return [messages.NameEntry(found.name, found.rep) for found in await _done(self.exercises.exercises())]

    async def add_exercise_name(self, message: messages.ExerciseName, request: web.Request) -> Done:
        name = _name(message.name)
        await _done(self.exercises.add(name, int(message.rep)))
        return Done(f"exercise {name!r} is stored")

    async def exercises_data(self, message: messages.NameOnly, request: web.Request) -> messages.Positions:
        return _positions(await _done(self.exercises.exercise(_name(message.name))))

    async def view_positions_exercise(self, message: messages.NameOnly,
                                      request: web.Request) -> messages.PositionsResult:
        return messages.PositionsResult(await self.exercises_data(message, request))

    edit_exercise = view_positions_exercise

    async def save_exercises(self, message: list[messages.PositionIn] | messages.ExerciseIn,
                             request: web.Request) -> Done:
        exercises = [_exercise(message)] if isinstance(message, messages.ExerciseIn) else _exercises(message)
        await _done(self.exercises.save(exercises))
        return Done(f"{', '.join(repr(found.name) for found in exercises)} stored")

    async def update_pos(self, message: messages.PositionChange, request: web.Request) -> Done:
        name, order_pos = _name(message.name), int(message.order_pos)
        new = {field: _decimal(value) for field in (*AXES, "pause", "speed")
               if (value := getattr(message, field)) is not msgspec.UNSET}
        rep = None if message.rep is msgspec.UNSET else int(message.rep)
        if not new and rep is None:
            raise Refusal(400, f"nothing to change was given: allowed are {', '.join(AXES)}, pause, speed and rep")
        await _done(self.exercises.change_row(name, order_pos, new, rep))
        return Done(f"position {order_pos} of {name!r} is stored")

    async def update_exercise(self, message: messages.ExerciseChange, request: web.Request) -> Done:
        name, field = _name(message.name), "name"
        old = name
        if message.oldName is not msgspec.UNSET:
            old, field = _name(message.oldName), "oldName"
        await _done(self.exercises.change(old, name, int(message.rep), field))
        return Done(f"exercise {name!r} is stored")

    async def delete_exercise(self, message: messages.NameOnly, request: web.Request) -> Done:
        name = _name(message.name)
        await _done(self.exercises.delete(name))
        return Done(f"exercise {name!r} is deleted")

    async def estimate(self, message: messages.EstimateIn, request: web.Request) -> messages.Estimated:
        rep = None if message.rep is msgspec.UNSET else int(message.rep)
        exercise = await _done(self.exercises.exercise(_name(message.name)))
        try:
            return messages.Estimated(*self._time_of([(exercise, rep)]))
        except Refused as refused:
            status = 503 if refused.notice in {Notice.BLOCKED, Notice.NO_LOOP} else 400
            raise Refusal(status, refused.message, "name" if status == 400 else "") from None

    async def reports(self, message: None, request: web.Request) -> messages.Summaries:
        found: messages.Summaries = await _done(self.exercises.reports(REPORTS_KEPT, None))
        return found

    async def report(self, message: messages.ReportIn, request: web.Request) -> messages.Report:
        found: messages.Report = await _done(self.exercises.report(int(message.id), int(message.first_step),
                                                                   MOVES_AT_ONCE))
        return found

    # -- scenarios

    async def scenario_names(self, message: None, request: web.Request) -> messages.ScenarioNames:
        return messages.ScenarioNames(*await _done(self.exercises.scenarios()))

    async def save_scenario_mode(self, message: messages.ScenarioSave, request: web.Request) -> Done:
        name = _name(message.scenarioName)
        text = msgspec.json.encode(message.scenario)
        try:
            mapping.of_scenario(name, msgspec.json.decode(text))
        except mapping.ScenarioError as error:
            raise Refusal(400, str(error), error.field) from None
        await _done(self.exercises.save_scenario(name, text.decode()))
        self._scenario_changed(self.exercises)
        return Done(f"scenario {name!r} is stored")

    async def get_scenario_mode(self, message: messages.ScenarioNamed, request: web.Request) -> msgspec.Raw:
        return msgspec.Raw(await _done(self.exercises.scenario(*_scenario_name(message))))

    async def play_scenario_mode(self, message: str, request: web.Request) -> Done:
        name = _name(message)
        await _done(self.exercises.choose_scenario(name))
        self._scenario_changed(self.exercises)
        return Done(f"scenario {name!r} is chosen")

    async def delete_scenario(self, message: messages.ScenarioNamed, request: web.Request) -> Done:
        name, field = _scenario_name(message)
        await _done(self.exercises.delete_scenario(name, field))
        self._scenario_changed(self.exercises)
        return Done(f"scenario {name!r} is deleted")

    # -- saved positions

    async def last_saved_rest_pos(self, message: None, request: web.Request) -> messages.AxisDegrees:
        return self._saved_deg("rest")

    async def last_saved_wearing_pos(self, message: None, request: web.Request) -> messages.AxisDegrees:
        return self._saved_deg("wearing")


def _who(request: web.Request) -> str:
    return f"HTTP ({request.remote})"


async def _done(future: Any) -> Any:
    return await asyncio.wrap_future(future)


def _name(text: str) -> str:
    return text.strip()


def _scenario_name(message: messages.ScenarioNamed) -> tuple[str, str]:
    """(name, the field it came in)."""
    given = [(_name(value), field) for field in ("scenarioName", "scenarioNameURL")
             if isinstance(value := getattr(message, field), str)]
    if len(given) != 1:
        raise Refusal(400, "allowed is one of the fields scenarioName and scenarioNameURL", "scenarioName")
    return given[0]


def _decimal(value: float | str | None) -> float | None:
    return None if value is None else float(value)


def _positions(exercise: Exercise) -> list[Position]:
    return [Position(name=exercise.name, rep=exercise.rep, order_pos=row.order_pos, pause=row.pause_s,
                     speed=row.speed_percent, **dict(zip(AXES, row.axes_deg, strict=True))) for row in exercise.rows]


def _exercise(message: messages.ExerciseIn) -> Exercise:
    name, rep = _name(message.name), int(message.rep)
    for i, place in enumerate(message.positions):
        if place.name is not msgspec.UNSET and _name(place.name) != name:
            raise Refusal(400, f"positions[{i}].name: is {place.name!r}; allowed is {name!r}, the exercise's own",
                          f"positions[{i}].name")
        if place.rep is not msgspec.UNSET and int(place.rep) != rep:
            raise Refusal(400, f"positions[{i}].rep: is {place.rep}; allowed is {rep}, the exercise's own",
                          f"positions[{i}].rep")
    return Exercise(name, rep, _rows([(f"positions[{i}]", place) for i, place in enumerate(message.positions)]))


def _exercises(rows: Sequence[messages.PositionIn]) -> list[Exercise]:
    """Rows of one or several exercises, in the order of their first rows."""
    by_name: dict[str, list[tuple[str, messages.PositionIn]]] = {}
    for i, row in enumerate(rows):
        own = by_name.setdefault(_name(row.name), [])
        if own and int(row.rep) != int(own[0][1].rep):
            raise Refusal(400, f"[{i}].rep: is {row.rep}; allowed is {own[0][1].rep}, as in the first row of "
                          f"{_name(row.name)!r}", f"[{i}].rep")
        own.append((f"[{i}]", row))
    return [Exercise(name, int(own[0][1].rep), _rows(own)) for name, own in by_name.items()]


def _rows(places: Sequence[tuple[str, messages.PositionIn | messages.Place]]) -> tuple[Row, ...]:
    """Rows to store; one without order_pos gets its place, from 1."""
    rows: dict[int, Row] = {}
    for i, (where, place) in enumerate(places):
        order = i + 1 if place.order_pos is msgspec.UNSET else int(place.order_pos)
        if order in rows:
            raise Refusal(400, f"{where}.order_pos: {order} is given twice; allowed is each number once per exercise",
                          f"{where}.order_pos")
        rows[order] = Row(order, tuple(_decimal(getattr(place, axis)) for axis in AXES), float(place.pause),
                          float(place.speed))
    return tuple(rows[order] for order in sorted(rows))
