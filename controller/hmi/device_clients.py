"""Input devices as clients of the HMI: the threads that read them, their jogs through the handlers, the chosen mapping.

Thread contract: HMI thread, but for `_wake` and what is named after another thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from controller.hmi.answers import Answers, Reply
from controller.hmi.clients import Client, ControlToken, Refused
from controller.hmi.counters import Counters, logger
from controller.hmi.handlers import Handlers
from controller.input.devices import InputDevices
from controller.input.finder import Finder
from controller.input.mapping import of_stored
from controller.input.reader import Reader
from controller.input.state import InputState
from controller.spec import hmi
from controller.spec.hmi import Notice
from controller.spec.input import ACT_S
from controller.store import Store

if TYPE_CHECKING:
    from controller._core import State
    from controller.exercises import Exercises
    from controller.input.options import InputOptions

SCENARIO_RETRY_S = 5.0  # a disk may come back
log = logger("controller.hmi.input")


class Host(Protocol):
    """What the HMI server does for devices."""

    def device_joined(self, name: str) -> Client: ...
    def device_left(self, client: Client) -> None: ...
    def tell_all(self, notice: Refused) -> None: ...
    def stop_by(self, client: Client) -> None: ...


class DeviceClients:
    """`exercises` gives the store of the scenarios, once it is open."""

    def __init__(self, options: InputOptions, host: Host, loop: asyncio.AbstractEventLoop, *, handlers: Handlers,
                 answers: Answers, control: ControlToken, counters: Counters, store: Store,
                 latest: Callable[[], State | None]) -> None:
        self._host, self._loop, self._handlers, self._answers = host, loop, handlers, answers
        self._control, self._counters, self._store, self._latest = control, counters, store, latest
        self._pending = False  # a wake-up is on its way
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self._scenario_problem = ""
        self._asked = 0
        self._asking: set[asyncio.Task[None]] = set()
        self._reader = Reader(self._wake)
        self._finder = Finder(options.devices, self._reader.add, folder=options.folder,
                              open_source=options.open_source)
        self._reader.lost = self._finder.forget
        self.devices = InputDevices(options, self, self._reader)

    def start(self) -> None:
        """Begin to look for devices."""
        if not self._ended:
            self._reader.start()
            self._finder.start()

    def close(self) -> None:
        """Every device leaves; the threads end."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        self.devices.close(time.monotonic())
        self._finder.close()
        self._reader.close()

    def round(self, now_s: float) -> None:
        """With the HMI's round: what comes from elsewhere than the devices."""
        if self._timer is None:
            self._tick(now_s)

    def message(self) -> InputState:
        """For `state`."""
        problems = (self._reader.problem, self._finder.problem, self._scenario_problem)
        return self.devices.state("; ".join(filter(None, problems)))

    @property
    def count(self) -> int:
        """Devices that are connected."""
        return len(self._reader.views)

    # -- the mapping of the chosen scenario

    def scenario_changed(self, exercises: Exercises) -> None:
        """A scenario was chosen, stored or deleted: ask which one counts now."""
        self._asked += 1
        task = self._loop.create_task(self._ask(exercises, self._asked))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self, exercises: Exercises, asked: int) -> None:
        name, found, problem = "", None, ""
        try:
            _, name = await asyncio.wrap_future(exercises.scenarios())
            if name:
                found = of_stored(name, await asyncio.wrap_future(exercises.scenario(name, "name")))
        except Exception as error:
            problem = f"the mapping of the chosen scenario{f' {name!r}' if name else ''} cannot be used: {error}"
            log.warning("input devices: %s", problem)
        if asked != self._asked or self._ended:
            return
        self._scenario_problem = problem
        self.devices.choose(found, time.monotonic())
        if problem:
            self._loop.call_later(SCENARIO_RETRY_S, self._retry, exercises, asked)

    def _retry(self, exercises: Exercises, asked: int) -> None:
        if asked == self._asked and not self._ended:
            self.scenario_changed(exercises)

    # -- ticking

    def _wake(self, urgent: bool) -> None:
        """From the reading thread: something is new. Where a look is due anyway, only what is urgent is told."""
        if not self._pending and (urgent or self._timer is None) and not self._ended:
            self._pending = True
            try:
                self._loop.call_soon_threadsafe(self._woken, urgent)
            except RuntimeError:  # the loop is closed
                self._ended = True

    def _woken(self, urgent: bool) -> None:
        self._pending = False
        if urgent and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._tick(time.monotonic())

    def _tick(self, now_s: float) -> None:
        self._timer = None  # before anything is read: what comes after it wakes us again
        if self._ended:
            return
        busy = True
        try:
            busy = self.devices.tick(now_s)
        except Exception:
            self._counters.add("internal_errors")
            log.exception("fault while looking at input devices")
        if busy and not self._ended:
            self._timer = self._loop.call_later(ACT_S, lambda: self._tick(time.monotonic()))

    # -- devices.Door

    def axes(self) -> int:
        return self._handlers.facts.axes

    def state(self) -> State | None:
        return self._latest()

    def testing(self) -> bool:
        return self._handlers.cycles.testing_device

    def sensitivity(self, joint: int) -> float:
        """Of a joint beyond the map, and of the hand (-1), the lowest one. A value above its scale, which was reset
        without it, is one of 100: never faster than it was meant."""
        full = self._number("joystick_sensitivity_scale", hmi.G2_SENSITIVITY)
        values = [self._number(f"joystick_sensitivity.{i + 1}", hmi.G2_SENSITIVITY) for i in range(hmi.MAP_AXES)]
        found = values[joint] if 0 <= joint < hmi.MAP_AXES else min(values)
        return min(1.0, max(0.0, found / (full if found <= full else 100.0)))

    def _number(self, name: str, default: float) -> float:
        value = self._store.get(name, default)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else default

    def join(self, name: str) -> Client:
        return self._host.device_joined(name)

    def leave(self, client: Client) -> None:
        self._host.device_left(client)

    def idle(self, client: Client) -> None:
        self._control.give_back(client)

    def stop(self, client: Client) -> None:
        self._host.stop_by(client)

    def tell(self, text: str) -> None:
        self._host.tell_all(Refused(Notice.INPUT_DEVICE, "", text))

    def jog(self, client: Client, message: dict[str, object], done: Callable[[Refused | None], None]) -> None:
        def answered(result: dict[str, object]) -> None:
            error = result.get("error")
            if isinstance(error, dict):
                done(Refused(Notice[str(error["code"]).upper()], str(error["field"]), str(error["message"])))
            else:
                done(None)

        reply = Reply(answered, visible=False)
        self._counters.add("device_jogs")
        try:
            self._answers.finish(client, self._handlers.command(client, {"type": "jog", **message}, time.monotonic()),
                                 reply)
        except Refused as refused:
            self._answers.refuse(client, refused, reply)
        except Exception:
            self._counters.add("internal_errors")
            log.exception("fault while handling a jog of %s", client.name)
            self._answers.refuse(client, Refused(Notice.INTERNAL, "", Notice.INTERNAL.doc), reply)
