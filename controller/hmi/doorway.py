"""How many connections may stand in the door: those that have not asked for anything yet, or do not finish asking, keep
nobody else out.

aiohttp itself only closes, after its keep-alive time, a connection that waits for the end of a request's header. That
is our limit for a header; but a thousand of them use up the descriptors of the process long before. So there is a limit
to their number too, and who comes next takes the place of the one that has waited longest: a request that comes at
once, a stop say, always gets in. Sessions of clients have limits of their own (service.py).
Thread contract: HMI thread only.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from controller.hmi.counters import Counters
from controller.spec import hmi

HEADER_LIMIT_S = 10.0   # for a header, from the connection or the request before it on; so it ends idle ones too
WAITING_LIMIT = 200     # connections without a session: idle, or at work on a plain request
YOUNG_S = 1.0
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Doorway:
    """Makes aiohttp's protocols, one per connection. Set `server` before the first one comes."""

    def __init__(self, counters: Counters) -> None:
        self.server: web.Server | None = None
        self._counters = counters
        self._sessions: set[web.RequestHandler] = set()  # at work on a request of Socket.IO
        self._patience: dict[web.RequestHandler, int] = {}  # 1: had a whole request, 2: is at work on one
        self._came_s: dict[web.RequestHandler, float] = {}

    def enter(self) -> web.RequestHandler:
        """A protocol for a connection that has just come."""
        assert self.server is not None
        now_s = time.monotonic()
        connections = self.server.connections
        alive = set(connections)
        self._patience = {found: rank for found, rank in self._patience.items() if found in alive}
        self._came_s = {found: came_s for found, came_s in self._came_s.items()
                        if found in alive or now_s - came_s < YOUNG_S}  # some are not yet among the connections
        self._make_room(connections, now_s)
        new = self.server()
        self._came_s[new] = now_s
        return new

    def _make_room(self, connections: list[web.RequestHandler], now_s: float) -> None:
        if len(connections) < WAITING_LIMIT:
            return
        waiting = [found for found in connections if found not in self._sessions and found.transport is not None
                   and not found.transport.is_closing()]  # the oldest first
        surplus = len(waiting) - WAITING_LIMIT + 1
        for found in sorted(waiting, key=lambda found: self._rank(found, now_s))[:max(surplus, 0)]:
            self._counters.refuse("waiting")
            assert found.transport is not None
            found.transport.abort()

    def _rank(self, found: web.RequestHandler, now_s: float) -> int:
        """Who goes first. Who has only just come has had no time to ask."""
        return 3 if now_s - self._came_s.get(found, 0.0) < YOUNG_S else self._patience.get(found, 0)

    @web.middleware
    async def watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The outermost middleware: knows which connections are at work on a request."""
        protocol = request.protocol
        if request.path.startswith(hmi.PATH):
            self._sessions.add(protocol)
        else:
            self._patience[protocol] = 2
        try:
            return await handler(request)
        finally:
            self._sessions.discard(protocol)
            self._patience[protocol] = 1
