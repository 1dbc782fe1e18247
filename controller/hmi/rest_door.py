"""The routes of the REST interface, registered at once; what serves them is loaded when the server is up.

Its modules and its file take longer than a start has: the first answer must come within 300 ms.
Thread contract: HMI thread; modules are imported in another one.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from controller.history_words import Note
from controller.hmi.counters import Counters, logger
from controller.hmi.login import Login
from controller.hmi.refusal import Refusal
from controller.spec import rest
from controller.spec.rest import Endpoint

if TYPE_CHECKING:
    from controller.exercises import Exercises
    from controller.hmi.rest import Rest

AFTER_START_S = 1.0
CLOSE_LIMIT_S = 0.3  # of the half second that the server has for its end
LOAD_LIMIT_S = 5.0
log = logger("controller.hmi.rest")


class RestDoor:
    """`folder` is where exercises are kept (None: in memory), `saved_deg`, `note`, `time_of` and `scenario_changed` as
    in Rest; the last is also called when the store is open."""

    def __init__(self, login: Login, counters: Counters, folder: Path | None, *,
                 saved_deg: Callable[[str], list[float]], note: Note, time_of: Callable[..., tuple[float, int]],
                 scenario_changed: Callable[[Exercises], None]) -> None:
        self._login, self._counters, self._folder = login, counters, folder
        self._saved_deg, self._note, self._time_of = saved_deg, note, time_of
        self._scenario_changed = scenario_changed
        self._loading: asyncio.Task[Rest] | None = None  # None also after it failed: a disk may come back
        self.rest: Rest | None = None

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        for row in rest.ENDPOINTS:
            app.router.add_route(row.method, row.path, functools.partial(self._handle, row))

    def load(self) -> asyncio.Task[Rest]:
        """Begin to load, once; done with the first request at the latest."""
        if self._loading is None:
            self._loading = asyncio.get_running_loop().create_task(self._load())
            self._loading.add_done_callback(self._loaded)
        return self._loading

    def _loaded(self, task: asyncio.Task[Rest]) -> None:
        """What failed is told, and tried again with the next request."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loading = None
            log.error("the REST interface could not be loaded: %s", error, exc_info=error)

    @property
    def problem(self) -> str:
        """What is wrong with the file of the exercises, "" when nothing is."""
        return self.rest.exercises.trouble if self.rest is not None else ""

    def tick(self, now_s: float) -> None:
        """About once a second: who waits for a disk that hangs is answered."""
        if self.rest is not None:
            self.rest.exercises.tick(now_s)

    def close(self) -> None:
        """Save what is waiting and close the file."""
        if self.rest is not None:
            self.rest.exercises.close(CLOSE_LIMIT_S)

    def _not_loaded(self, why: str) -> web.Response:
        self._counters.refuse("rest_500")
        return Refusal(500, f"the REST interface could not be loaded ({why}): ask again; if it stays, restart the "
                       "controller").response()

    async def _load(self) -> Rest:
        module = await asyncio.to_thread(importlib.import_module, "controller.hmi.rest")
        made: Rest = module.Rest(self._login, module.Exercises(self._folder), self._counters,
                                 saved_deg=self._saved_deg, time_of=self._time_of, note=self._note,
                                 scenario_changed=self._scenario_changed)
        self.rest = made
        self._scenario_changed(made.exercises)
        return made

    async def _handle(self, row: Endpoint, request: web.Request) -> web.StreamResponse:
        served = self.rest
        if served is None:
            try:
                served = await asyncio.wait_for(asyncio.shield(self.load()), LOAD_LIMIT_S)
            except TimeoutError:
                return self._not_loaded("its files could not be read in time")
            except Exception as error:
                return self._not_loaded(str(error))
        return await served.handle(row, request)
