"""The HMI page of either generation as the controller sees it: the real socket.io-client and the page's messages.

G1 sends no version check, G2 sends "1.7.8" once; both open a websocket at once and ask for no acknowledgement.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from controller.spec import hmi
from controller.spec.hmi import Notice
from controller.spec.modes import MasterState
from tests.hmi.node_client import PACKAGES, NodeClient, node
from tests.hmi.program_rig import ProgramRig
from tests.hmi.rig import Rig, describe, running

GENERATIONS = {"G1": PACKAGES[0], "G2": PACKAGES[1]}


class Page:
    """`press` and `send` are what the page does, without acknowledgement: what they did is seen in `data`."""

    def __init__(self, generation: str, rig: Rig | ProgramRig, client: NodeClient) -> None:
        self.generation, self.rig, self.client = generation, rig, client

    @property
    def data(self) -> dict[str, Any]:
        return self.client.data

    @property
    def state(self) -> Any:
        return self.rig.state

    def press(self, button: str) -> None:
        self.client.emit("response", [button])

    def send(self, message: dict[str, Any]) -> None:
        self.client.emit("response", message)

    def command(self, kind: str, **fields: Any) -> dict[str, Any]:
        """What a new client sends, with its acknowledgement."""
        return self.client.command(kind, **fields)

    def ok(self, kind: str, **fields: Any) -> dict[str, Any]:
        answer = self.command(kind, **fields)
        assert answer["ok"], answer
        return answer

    def setting(self, *names: str) -> list[Any]:
        """Stored values."""
        found = self.ok("settings", read=list(names))["settings"]
        return [found[name] for name in names]

    def stored(self, name: str, value: object, seconds: float = 5.0) -> None:
        """Wait until a setting is stored with this value: what the loop has to take first is stored a little later."""
        until = time.monotonic() + seconds
        while self.setting(name) != [value]:
            assert time.monotonic() < until, (name, value, self.setting(name))
            time.sleep(0.02)

    def shows(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 10.0) -> dict[str, Any]:
        """`data` once it is so; a notice that nobody expected ends the wait."""
        try:
            self.client.until(lambda: bool(self.client.notices) or condition(self.data), seconds)
        except AssertionError as late:
            raise AssertionError(f"{late}; {describe(self.state)}; {self.data}") from None
        assert self.client.notices == [], describe(self.state)
        return self.data

    def refused(self, notice: Notice) -> str:
        """Text of the one notice that came."""
        self.client.until(lambda: bool(self.client.notices))
        found, self.client.notices = self.client.notices, []
        assert [item["id"] for item in found] == [notice], found
        return str(found[0]["message"])

    def arrived(self, *position_deg: float | None, within_deg: float = 0.5) -> None:
        """The arm stands there, as the page shows it."""
        self.shows(lambda d: d["driverState"][5] == MasterState.AUTO and not any(d["motionOnGoing"]) and all(
            want is None or abs(have - want) < within_deg
            for have, want in zip(d["actualPositionDeg"], position_deg, strict=False)))

    def stand_at(self, *position_deg: float) -> None:
        self.ok("move", position_deg=list(position_deg))
        self.arrived(*position_deg)

    def home(self) -> None:
        """As after a fresh load: no fault, no range, no lock, waiting, no notice."""
        self.rig.board.clear_faults()
        self.rig.until(lambda s: not any(s.moving) or s.state == MasterState.ERROR)
        if self.state.state == MasterState.ERROR:
            self.rig.until(lambda s: not s.blockers & 0b1000)
            self.command("reset")
        self.ok("range_of_motion", on=False)
        self.ok("settings", write={name: row.default for row in hmi.SETTINGS if row.kind == "boolean" and row.key
                                   for name in row.names(1)})
        self.ok("settings", write={name: row.default for row in hmi.SETTINGS if row.register for name in row.names(5)})
        self.stop()
        self.client.notices.clear()

    def stop(self) -> None:
        """Stop, and wait until it is acted on and shown."""
        stops = self.state.stops
        self.ok("stop")
        self.rig.until(lambda s: s.stops > stops and s.state == MasterState.WAITING)
        self.client.until(lambda: self.data["driverState"][5] == MasterState.WAITING)


@contextlib.contextmanager
def page_of(generation: str, transports: list[str], rig: Rig | ProgramRig) -> Iterator[Page]:
    with node(GENERATIONS[generation], rig.url, transports=transports) as client:
        if generation == "G2":
            client.emit("response", {"1": "1.7.8"})
        client.next("data")
        time.sleep(hmi.REPLAY_WINDOW_S + 0.1)
        assert client.notices == []
        yield Page(generation, rig, client)


@contextlib.contextmanager
def page_on_arm(generation: str, transports: list[str], axes: int = 4) -> Iterator[Page]:
    """A page on a rig of its own."""
    with running(axes) as rig, page_of(generation, transports, rig) as page:
        yield page
