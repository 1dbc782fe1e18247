"""Plain HTTP beside the socket: status page, status as JSON, descriptions, health, a stop; and the rules for all HTTP.

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

from aiohttp import web

from controller import describe
from controller.history import History, HistoryError
from controller.history_table import parse_query
from controller.hmi.access import Access
from controller.hmi.counters import Counters, logger
from controller.hmi.login import Login
from controller.hmi.refusal import Problem, Refusal, json_response
from controller.spec import hmi
from controller.spec.hmi import Notice

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HISTORY_LIMIT_S = 5.0
PAGE = Path(__file__).with_name("page.html")
log = logger("controller.hmi.http")
LONGEST_PREFLIGHT_S = 600


def _sources(tag: str, page: str) -> str:
    """Content-Security-Policy hashes of the page's own inline <tag> elements."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in found)


class Pages:
    """The routes. `running` says whether the control loop advances, `stop` stops the arm for somebody, `history` is
    what /history shows."""

    def __init__(self, access: Access, login: Login, counters: Counters, *, state: Callable[[], Any],
                 running: Callable[[], bool], stop: Callable[[str], None], history: History) -> None:
        self._history = history
        self._access, self._login, self._counters = access, login, counters
        self._state, self._running, self._stop = state, running, stop
        page = PAGE.read_text(encoding="utf-8")
        self._page = page.encode()
        self._policy = (f"default-src 'none'; connect-src 'self'; script-src {_sources('script', page)}; "
                        f"style-src {_sources('style', page)}; frame-ancestors 'none'; base-uri 'none'")

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/", self._front)
        app.router.add_get("/status.json", self._status)
        app.router.add_get("/history", self._history_of)
        app.router.add_get("/healthz", self._health)
        app.router.add_post("/stop", self._stopped)
        for path in describe.DOCUMENTS:
            app.router.add_get(path, self._document)

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Origin and host rules for every page, and headers that keep the answers where they belong."""
        if request.path.startswith(hmi.PATH):
            return await handler(request)  # the transport has the same rules
        origin = request.headers.get("Origin")
        if not self._access.host_allowed(request.host) or not self._access.origin_allowed(origin, request.host):
            self._counters.refuse("origin")
            return _problem("host name or origin is not allowed, see hmi.allowed_origins", 403)
        response: web.StreamResponse | None
        try:
            response = _preflight(request)
            if response is None:
                response = await handler(request)
        except web.HTTPException as error:
            self._counters.refuse(f"http_{error.status}")
            response = _http_problem(error)
        except Refusal as refused:
            self._counters.refuse("token")
            response = refused.response()
        except Exception:
            self._counters.add("internal_errors")
            log.exception("fault while answering %s", request.path)
            response = _problem(Notice.INTERNAL.doc, 500)
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
        await self._login.role(request.headers)
        return json_response(self._state())

    async def _history_of(self, request: web.Request) -> web.Response:
        """The newest entries of the history, in order of time; what is asked for is in the query."""
        await self._login.role(request.headers)
        try:
            query = parse_query(request.query)
        except ValueError as error:
            self._counters.refuse("value")
            return _problem(str(error), 400)
        try:
            found = await asyncio.wait_for(asyncio.wrap_future(self._history.read(query)), HISTORY_LIMIT_S)
        except (HistoryError, TimeoutError) as error:
            return _problem(str(error) or self._history.trouble or "the storage does not answer", 503)
        return json_response({"ok": True, "entries": [entry.as_dict() for entry in found]})

    async def _document(self, request: web.Request) -> web.Response:
        """Made when it is first asked for, in another thread: that takes longer than this one may be away."""
        document = await asyncio.to_thread(describe.document, request.path)
        return web.Response(body=document.body, content_type=document.media, charset="utf-8")

    async def _health(self, request: web.Request) -> web.Response:
        if self._running():
            return json_response({"ok": True})
        return _problem("the control loop has not completed a cycle for 0.5 s", 503)

    async def _stopped(self, request: web.Request) -> web.Response:
        """Where no token is needed, none is looked at: one that has expired must not keep anybody from a stop."""
        if self._access.closed:
            await self._login.may_stop(request.headers)
        self._stop(f"HTTP ({request.remote})")
        return json_response({"ok": True})


def _preflight(request: web.Request) -> web.Response | None:
    """The answer to a browser that asks before a request across origins; the guard has checked the origin."""
    error = request.match_info.http_exception
    if request.method != "OPTIONS" or not isinstance(error, web.HTTPMethodNotAllowed):
        return None
    allowed = ", ".join(sorted({*error.allowed_methods, "OPTIONS"}))
    headers = {"Allow": allowed, "Access-Control-Allow-Methods": allowed,
               "Access-Control-Allow-Headers": "Authorization, Content-Type",
               "Access-Control-Max-Age": str(LONGEST_PREFLIGHT_S)}
    if request.headers.get("Access-Control-Request-Private-Network") == "true":
        headers["Access-Control-Allow-Private-Network"] = "true"
    return web.Response(status=204, headers=headers)


def _http_problem(error: web.HTTPException) -> web.Response:
    """No such path, or not in this way."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        response = _problem(f"{error.method} is not allowed here; allowed is {allowed}", error.status)
        response.headers["Allow"] = allowed
        return response
    return _problem(f"{error.reason}: the paths are described at /openapi.json", error.status)


def _problem(message: str, status: int) -> web.Response:
    return json_response(Problem(message), status)
