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
from controller.hmi.counters import Counters
from controller.hmi.login import Login
from controller.spec import rest
from controller.spec.rest import Endpoint

if TYPE_CHECKING:
    from controller.exercises import Exercises
    from controller.hmi.rest import Rest

AFTER_START_S = 1.0


class RestDoor:
    """`folder` is where exercises are kept (None: in memory), `saved_deg`, `note` and `scenario_changed` as in Rest;
    the last is also called when the store is open."""

    def __init__(self, login: Login, counters: Counters, folder: Path | None,
                 saved_deg: Callable[[str], list[float]], note: Note, *,
                 scenario_changed: Callable[[Exercises], None]) -> None:
        self._login, self._counters, self._folder = login, counters, folder
        self._saved_deg, self._note, self._scenario_changed = saved_deg, note, scenario_changed
        self._loading: asyncio.Task[Rest] | None = None
        self.rest: Rest | None = None

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        for row in rest.ENDPOINTS:
            app.router.add_route(row.method, row.path, functools.partial(self._handle, row))

    def load(self) -> asyncio.Task[Rest]:
        """Begin to load, once; done with the first request at the latest."""
        if self._loading is None:
            self._loading = asyncio.get_running_loop().create_task(self._load())
        return self._loading

    @property
    def problem(self) -> str:
        """What is wrong with the file of the exercises, "" when nothing is."""
        return self.rest.exercises.problem if self.rest is not None else ""

    def close(self) -> None:
        """Save what is waiting and close the file."""
        if self.rest is not None:
            self.rest.exercises.close()

    async def _load(self) -> Rest:
        module = await asyncio.to_thread(importlib.import_module, "controller.hmi.rest")
        made: Rest = module.Rest(self._login, module.Exercises(self._folder), self._counters,
                                 saved_deg=self._saved_deg, note=self._note, scenario_changed=self._scenario_changed)
        self.rest = made
        self._scenario_changed(made.exercises)
        return made

    async def _handle(self, row: Endpoint, request: web.Request) -> web.StreamResponse:
        served = self.rest
        if served is None:
            served = await asyncio.shield(self.load())
        return await served.handle(row, request)
