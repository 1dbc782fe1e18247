"""Every notice of the contract is given to a client by something real: one case per row of the table."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import socketio

from controller.hmi.login import Login
from controller.spec import hmi
from controller.spec.hmi import Notice, Role
from controller.spec.modes import CommandKind, MasterState
from controller.update.announced import Phase
from controller.update.progress import Progress
from tests.hmi.device_desk import desk_and_rig
from tests.hmi.rig import Rig, running
from tests.hmi.stopped_rig import stopped
from tests.hmi.test_hmi_bad_input import raw
from tests.input.recording import load

REST_S = hmi.REPLAY_WINDOW_S + 0.1
Client = socketio.AsyncClient
CASES: dict[Notice, Callable[[Path, pytest.MonkeyPatch], Awaitable[None]]] = {}


def case(notice: Notice) -> Callable[[Any], Any]:
    def add(run: Any) -> Any:
        CASES[notice] = run
        return run
    return add


async def base_role(*_: object) -> Role:
    """Instead of Login.role: everyone has the base role."""
    return Role.BASE


class Told:
    """A client of python-socketio past its first second; `code` asks with an acknowledgement and gives its code."""

    def __init__(self, url: str, rest_s: float = REST_S) -> None:
        self.url, self.rest_s = url, rest_s
        self.client = Client(reconnection=False)
        self.notices: list[int] = []
        self.client.on("data", self._data)

    async def __aenter__(self) -> Told:
        await self.client.connect(self.url, transports=["websocket"])
        await asyncio.sleep(self.rest_s)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.disconnect()

    def _data(self, payload: dict[str, Any]) -> None:
        if hmi.NOTICE_FIELD in payload:
            self.notices.append(payload[hmi.NOTICE_FIELD]["id"])

    async def code(self, message: Any, event: str = hmi.RESPONSE) -> str:
        answer = await self.client.call(event, message, timeout=5)
        return "ok" if answer["ok"] else str(answer["error"]["code"])

    async def shown(self, notice: Notice) -> None:
        """The notice also came to the page."""
        until = time.monotonic() + 5
        while notice not in self.notices:
            assert time.monotonic() < until, self.notices
            await asyncio.sleep(0.02)


def simple(notice: Notice, message: Any, rest_s: float = REST_S, prepare: Callable[[Rig], None] | None = None) -> None:
    """One message on a rig is answered and shown so."""
    async def run(folder: Path, patch: pytest.MonkeyPatch) -> None:
        with running() as rig:
            if prepare:
                await asyncio.to_thread(prepare, rig)
            async with Told(rig.url, rest_s) as told:
                assert await told.code(message) == notice.name.lower()
                await told.shown(notice)

    CASES[notice] = run


def wait_for(found: Callable[[], Any], limit_s: float = 5.0) -> None:
    until = time.monotonic() + limit_s
    while not found():
        assert time.monotonic() < until
        time.sleep(0.05)


def press_button(rig: Rig) -> None:
    rig.board.set_fault("button")
    rig.until(lambda s: s.state == MasterState.ERROR)


simple(Notice.VERSION, {"1": "1.6.0"})
simple(Notice.UNKNOWN, ["jump"])
simple(Notice.VALUE, {"70": 101})
simple(Notice.NOT_AVAILABLE, {"12": 0})
simple(Notice.REPLAY, ["start"], 0.0)
simple(Notice.BLOCKED, ["start"], prepare=press_button)
simple(Notice.NEVER_SAVED, ["default3"])


@case(Notice.CONTROL)
async def control(folder: Path, patch: pytest.MonkeyPatch) -> None:
    with running() as rig:
        async with Told(rig.url) as one, Told(rig.url) as two:
            assert await one.code(["start"]) == "ok"
            assert await two.code(["start"]) == "control"
            await two.shown(Notice.CONTROL)


@case(Notice.ROLE)
async def role(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Login, "role", base_role)
    with running() as rig:
        async with Told(rig.url) as told:
            assert await told.code({"60": 50}) == "role"
            await told.shown(Notice.ROLE)


@case(Notice.LOCKED)
async def locked(folder: Path, patch: pytest.MonkeyPatch) -> None:
    with running() as rig:
        async with Told(rig.url) as told:
            assert await told.code({"70": 50, "lockSpeed": True}) == "ok"
            assert await told.code({"70": 60}) == "locked"
            await told.shown(Notice.LOCKED)


@case(Notice.REFUSED)
async def refused(folder: Path, patch: pytest.MonkeyPatch) -> None:
    with running() as rig:
        async with Told(rig.url) as told:
            assert await told.code(["start"]) == "ok"
            await asyncio.to_thread(rig.until, lambda s: s.state == MasterState.AUTO)
            assert await told.code({"70": 0}) == "ok"
            assert await told.code({"4": 0, "50": 20}) == "refused"  # no speed is left
            await told.shown(Notice.REFUSED)


@case(Notice.STALE)
async def stale(folder: Path, patch: pytest.MonkeyPatch) -> None:
    with running() as rig:
        async with Told(rig.url) as told:
            jog = {"type": "jog", "speed_percent": [1, 0, 0, 0], "sequence": 5}
            assert [await told.code(jog, hmi.COMMAND) for _ in range(2)] == ["ok", "stale"]
            await asyncio.sleep(0.2)
            assert told.notices == []  # answered and counted, not shown
            assert (await asyncio.to_thread(rig.refused))["stale"] == 1


@case(Notice.ENDED)
async def ended(folder: Path, patch: pytest.MonkeyPatch) -> None:
    with running() as rig:
        async with Told(rig.url) as told, Told(rig.url) as other:
            assert await told.code({"10": 2, "11": 1}) == "ok"
            assert await other.code(["stop"]) == "ok"
            await told.shown(Notice.ENDED)
            assert other.notices == []


@case(Notice.INPUT_DEVICE)
async def input_device(folder: Path, patch: pytest.MonkeyPatch) -> None:
    with desk_and_rig(folder / "input") as (desk, rig):
        pad = await asyncio.to_thread(desk.plug, rig, load("pad_left_stick"))
        async with Told(rig.url) as one, Told(rig.url) as two:
            pad.press(pad.description.mode_button)
            await one.shown(Notice.INPUT_DEVICE)    # everyone is told what the next deflection does
            await two.shown(Notice.INPUT_DEVICE)


@case(Notice.UPDATE)
async def update(folder: Path, patch: pytest.MonkeyPatch) -> None:
    status = folder / "status.json"
    with running(update_status=str(status)) as rig:
        async with Told(rig.url) as one, Told(rig.url) as two:
            progress = Progress(status)
            progress.phase(Phase.DOWNLOAD, "downloading 0.2.0", "0.2.0", total=100)
            progress.came(40)
            await one.shown(Notice.UPDATE)
            await two.shown(Notice.UPDATE)
            status.write_text("{")
            await asyncio.to_thread(wait_for, lambda: rig.status()["update"]["problem"])
            assert (await asyncio.to_thread(rig.status))["hmi"]["update_status_unreadable"] == 1
            progress.phase(Phase.CONFIRMED, "0.2.0 stays")
            await asyncio.to_thread(wait_for, lambda: rig.status()["update"]["phase"] == "confirmed")
            assert (await asyncio.to_thread(rig.status))["update"]["problem"] == ""


@case(Notice.BUSY)
async def busy(folder: Path, patch: pytest.MonkeyPatch) -> None:
    with stopped() as rig:
        while rig.core.push(CommandKind.RESET):
            pass
        async with Told(rig.url) as told:
            assert await told.code(["reset"]) == "busy"
            await told.shown(Notice.BUSY)


@case(Notice.NO_LOOP)
async def no_loop(folder: Path, patch: pytest.MonkeyPatch) -> None:
    with stopped() as rig:
        async with Told(rig.url) as told:
            assert await told.code(["start"]) == "no_loop"
            await told.shown(Notice.NO_LOOP)


@case(Notice.NOT_SAVED)
async def not_saved(folder: Path, patch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_text("")
    with running(folder=folder / "file" / "no") as rig:
        async with Told(rig.url) as told:
            assert await told.code({"70": 50}) == "not_saved"
            await told.shown(Notice.NOT_SAVED)


@case(Notice.INTERNAL)
async def internal(folder: Path, patch: pytest.MonkeyPatch) -> None:
    from controller.hmi.handlers import Handlers

    with running() as rig:
        patch.setattr(Handlers, "response", lambda *_: 1 // 0)
        async with Told(rig.url) as told:
            assert await told.code({"70": 50}) == "internal"
            await told.shown(Notice.INTERNAL)
            assert await told.code(["stop"]) == "ok"


@case(Notice.RATE)
async def rate(folder: Path, patch: pytest.MonkeyPatch) -> None:
    with running() as rig:
        async with raw(rig) as client:
            for _ in range(hmi.MESSAGES_PER_S + 5):
                await client.socket.send_str('42["response",{"1":"1.7.8"}]')
            await client.closed()
            assert client.notices() == [Notice.RATE]


@case(Notice.TOO_LARGE)
async def too_large(folder: Path, patch: pytest.MonkeyPatch) -> None:
    with running() as rig:
        async with raw(rig) as client:
            await client.socket.send_str('42["response",["' + "x" * hmi.MESSAGE_BYTES + '"]]')
            await client.closed()
            assert client.notices() == [Notice.TOO_LARGE]


@case(Notice.MALFORMED)
async def malformed(folder: Path, patch: pytest.MonkeyPatch) -> None:
    with running() as rig:
        async with raw(rig) as client:
            await client.socket.send_str("42{")
            await client.closed()
            assert client.notices() == [Notice.MALFORMED]


@pytest.mark.parametrize("notice", Notice, ids=lambda notice: notice.name.lower())
async def test_every_notice_reaches_a_client(notice: Notice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await CASES[notice](tmp_path, monkeypatch)
