"""Input devices on the HMI's handlers, the real core and the simulated board, all on one virtual clock.

What the reading thread does happens here before every look: it can be held up (`reading = False`), a device can be
plugged, play a recording, and be pulled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller._core import State
from controller.hmi.clients import Client, Refused
from controller.input.devices import InputDevices
from controller.input.events import Tracker, View
from controller.input.options import InputOptions
from controller.spec import hmi
from controller.spec.input import EV_ABS, EV_KEY, EV_SYN, SYN_REPORT
from tests.input.recording import Event, Recording, record
from tests.virtual_hmi import VirtualHmi


class Plugged:
    """One device: `frame` is a report now, `play` begins a recording."""

    def __init__(self, number: int, recording: Recording, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._values: dict[int, int] = {}
        self._waiting: list[Event] = []
        self._from_s = 0.0
        self.tracker = Tracker(number, recording.description, lambda: self._values, now_s())

    def play(self, recording: Recording) -> None:
        self._from_s, self._waiting = self._now_s(), list(recording.events)

    def feed(self) -> None:
        """What has come of a recording until now."""
        while self._waiting and self._from_s + self._waiting[0][0] <= self._now_s():
            at_s, kind, code, value = self._waiting.pop(0)
            self.take((kind, code, value), at_s=self._from_s + at_s)

    @property
    def playing(self) -> bool:
        return bool(self._waiting)

    def silence(self) -> None:
        """Nothing comes any more."""
        self._waiting = []

    def take(self, *events: tuple[int, int, int], at_s: float | None = None) -> None:
        at_s = self._now_s() if at_s is None else at_s
        self._values.update({code: value for kind, code, value in events if kind == EV_ABS})
        self.tracker.take(b"".join(record(at_s, *event) for event in events), self._now_s())

    def frame(self, *events: tuple[int, int, int]) -> None:
        self.take(*events, (EV_SYN, SYN_REPORT, 0))

    def press(self, code: int) -> None:
        self.frame((EV_KEY, code, 1))
        self.frame((EV_KEY, code, 0))


class VirtualDevices:
    """`plug` plugs one in; `run` and `until` advance the clock with a look every 10 ms."""

    def __init__(self, page: VirtualHmi, **options: Any) -> None:
        self.page = page
        self.reading = True
        self.plugged: dict[int, Plugged] = {}
        self.told: list[str] = []
        self.jogs: list[tuple[int, list[float], str]] = []
        self.views: tuple[View, ...] = ()
        self.alive_s = page.now_s
        self._numbers = 0
        self.sensitivities: dict[int, float] = {}
        self.devices = InputDevices(InputOptions(**options), self, self)
        self.highest_deg_s = 0.0

    def plug(self, recording: Recording, *, settle: bool = True) -> Plugged:
        self._numbers += 1
        found = self.plugged[self._numbers] = Plugged(self._numbers, recording, lambda: self.page.now_s)
        if settle:
            self.run(hmi.REPLAY_WINDOW_S + 0.1)
        return found

    def pull(self, device: Plugged) -> None:
        self.plugged = {number: item for number, item in self.plugged.items() if item is not device}

    def round(self) -> State:
        if self.reading:
            for device in self.plugged.values():
                device.feed()
            self.views = tuple(device.tracker.view() for device in self.plugged.values())
            self.alive_s = self.page.now_s
        self.devices.tick(self.page.now_s)
        return self.page.round()

    def run(self, seconds: float, each: Callable[[State], object] | None = None) -> State:
        end_s = self.page.now_s + seconds
        while self.page.now_s < end_s:
            state = self.round()
            self.highest_deg_s = max(self.highest_deg_s, *(abs(speed) for speed in state.setpoint_speed_deg_s))
            if each:
                each(state)
        return self.page.state

    def until(self, condition: Callable[[State], bool], seconds: float = 10.0) -> State:
        end_s = self.page.now_s + seconds
        while not condition(self.round()):
            assert self.page.now_s < end_s, (self.told, self.jogs[-3:], self.message())
        return self.page.state

    def message(self) -> Any:
        return self.devices.state("")

    # -- controller.input.devices.Door

    def axes(self) -> int:
        return self.page.handlers.facts.axes

    def state(self) -> State | None:
        return self.page.state

    def testing(self) -> bool:
        return self.page.handlers.cycles.testing_device

    def sensitivity(self, joint: int) -> float:
        return self.sensitivities.get(joint, 1.0)

    def join(self, name: str) -> Client:
        return Client(100 + self._numbers, f"device {self._numbers}", "", name, self.page.now_s, device=True)

    def leave(self, client: Client) -> None:
        self.page.results.forget(client)
        self.page.control.release(client)

    def idle(self, client: Client) -> None:
        self.page.control.give_back(client)

    def stop(self, client: Client) -> None:
        self.page.handlers.stop()

    def tell(self, text: str) -> None:
        self.told.append(text)

    def jog(self, client: Client, message: dict[str, object], done: Callable[[Refused | None], None]) -> None:
        speeds = message.get("speed_percent", message.get("hand_percent"))
        assert isinstance(speeds, list)
        self.page.post("jog", client, done, **message)
        self.jogs.append((client.number, speeds, ""))
