"""Plain HTTP beside the socket: status page, status as JSON, schemas, health and a stop.

Thread contract: HMI thread only.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from controller.history import History, HistoryError
from controller.history_table import parse_query
from controller.hmi import messages
from controller.hmi.access import Access
from controller.hmi.counters import Counters
from controller.hmi.state import StateMessage
from controller.spec import hmi

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HISTORY_LIMIT_S = 5.0
PAGE = Path(__file__).with_name("page.html")
_SHAPES: dict[str, dict[str, Any]] = {
    "node": {"type": "array", "items": {"type": "integer"}, "minItems": hmi.NODES},
    "five": {"type": "array", "items": {"type": ["integer", "null"]}, "minItems": hmi.MAP_AXES},
    "axis": {"type": "array", "items": {"type": ["number", "null"]}},
    "number": {"type": ["number", "null"]},
    "text": {"type": "string"},
    "object": {"type": "object"},
    "list": {"type": "array", "items": {"type": "object"}},
}


def schemas() -> dict[str, Any]:
    """JSON Schema (2020-12) of `command`, `state`, `data` and of acknowledgements, made from the code."""
    (command, state, answer), components = msgspec.json.schema_components(
        [messages.Command, StateMessage, messages.Answer], ref_template="#/$defs/{name}")
    properties = {row.name: {**_SHAPES[row.shape], "description": f"{row.doc} {f'[{row.unit}]' if row.unit else ''}"}
                  for row in hmi.DATA_FIELDS}
    notice = {"type": "object", "required": ["id", "message"], "properties": {
        "id": {"enum": [int(item) for item in hmi.Notice]}, "message": {"type": "string"}}}
    data = {"type": "object", "required": [row.name for row in hmi.DATA_FIELDS],
            "properties": {**properties, hmi.NOTICE_FIELD: notice}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "version": hmi.CONTRACT_VERSION,
            "properties": {"command": command, "state": state, "data": data, "acknowledgement": answer},
            "$defs": components}


def _sources(tag: str, page: str) -> str:
    """Content-Security-Policy hashes of the page's own inline <tag> elements."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in found)


class Pages:
    """The routes. `running` says whether the control loop advances, `stop` stops the arm for somebody, `history` is
    what /history shows."""

    def __init__(self, access: Access, counters: Counters, *, state: Callable[[], Any], running: Callable[[], bool],
                 stop: Callable[[str], None], history: History) -> None:
        self._history = history
        self._access, self._counters = access, counters
        self._state, self._running, self._stop = state, running, stop
        page = PAGE.read_text(encoding="utf-8")
        self._page = page.encode()
        self._policy = (f"default-src 'none'; connect-src 'self'; script-src {_sources('script', page)}; "
                        f"style-src {_sources('style', page)}; frame-ancestors 'none'; base-uri 'none'")
        self._schemas = msgspec.json.encode(schemas())

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/", self._front)
        app.router.add_get("/status.json", self._status)
        app.router.add_get("/history", self._history_of)
        app.router.add_get("/schema.json", self._schema)
        app.router.add_get("/healthz", self._health)
        app.router.add_post("/stop", self._stopped)

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Origin and host rules for every page, and headers that keep the answers where they belong."""
        if request.path.startswith(hmi.PATH):
            return await handler(request)  # the transport has the same rules
        origin = request.headers.get("Origin")
        if not self._access.host_allowed(request.host) or not self._access.origin_allowed(origin, request.host):
            self._counters.refuse("origin")
            return _json({"ok": False, "error": "host name or origin is not allowed, see hmi.allowed_origins"}, 403)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            self._counters.refuse(f"http_{error.status}")
            response = _json({"ok": False, "error": error.reason}, error.status)
        if not response.prepared:
            response.headers["Cache-Control"] = "no-store"
            response.headers["X-Content-Type-Options"] = "nosniff"
            if origin is not None:
                response.headers["Access-Control-Allow-Origin"] = origin
                response.headers["Vary"] = "Origin"
        return response

    async def _front(self, request: web.Request) -> web.Response:
        return web.Response(body=self._page, content_type="text/html", charset="utf-8",
                            headers={"Content-Security-Policy": self._policy})

    async def _status(self, request: web.Request) -> web.Response:
        if not self._access.token_good(request.headers):
            return self._unauthorised()
        return _json(self._state())

    async def _history_of(self, request: web.Request) -> web.Response:
        """The newest entries of the history, in order of time; what is asked for is in the query."""
        if not self._access.token_good(request.headers):
            return self._unauthorised()
        try:
            query = parse_query(request.query)
        except ValueError as error:
            self._counters.refuse("value")
            return _json({"ok": False, "error": str(error)}, 400)
        try:
            found = await asyncio.wait_for(asyncio.wrap_future(self._history.read(query)), HISTORY_LIMIT_S)
        except (HistoryError, TimeoutError) as error:
            return _json({"ok": False, "error": str(error) or "the storage does not answer"}, 503)
        return _json({"ok": True, "entries": [entry.as_dict() for entry in found]})

    async def _schema(self, request: web.Request) -> web.Response:
        return web.Response(body=self._schemas, content_type="application/json")

    async def _health(self, request: web.Request) -> web.Response:
        if self._running():
            return _json({"ok": True})
        return _json({"ok": False, "error": "the control loop has not completed a cycle for 0.5 s"}, 503)

    async def _stopped(self, request: web.Request) -> web.Response:
        if not self._access.token_good(request.headers):
            return self._unauthorised()
        self._stop(f"HTTP ({request.remote})")
        return _json({"ok": True})

    def _unauthorised(self) -> web.Response:
        self._counters.refuse("token")
        return _json({"ok": False, "error": "a bearer token is needed"}, 401)


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
