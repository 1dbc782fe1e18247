"""Connections that never finish a request, sessions that never join, and what cut clients leave behind."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import pytest
import socketio

from controller.hmi import doorway, service
from tests.hmi.rig import Rig, running

UNFINISHED = {
    "nothing": b"", "header": b"GET /status.json HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
    "body": b"POST /add_exercise_name HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n\r\n{",
}


@contextmanager
def crowd(rig: Rig, number: int, begin: bytes) -> Iterator[list[socket.socket]]:
    host, port = rig.url.removeprefix("http://").split(":")
    people = []
    try:
        for _ in range(number):
            people.append(one := socket.create_connection((host, int(port)), timeout=5))
            one.sendall(begin)
        yield people
    finally:
        for one in people:
            one.close()


def ended(one: socket.socket, within_s: float) -> bool:
    """Whether the server closes a connection (what it may answer before is read)."""
    until = time.monotonic() + within_s
    while (left_s := until - time.monotonic()) > 0:
        one.settimeout(left_s)
        try:
            if not one.recv(4096):
                return True
        except TimeoutError:
            return False
        except ConnectionError:
            return True
    return False


@pytest.mark.parametrize("begin", UNFINISHED.values(), ids=UNFINISHED)
def test_those_who_wait_longest_make_room_for_who_comes(monkeypatch: pytest.MonkeyPatch, begin: bytes) -> None:
    monkeypatch.setattr(doorway, "WAITING_LIMIT", 20)
    with running() as rig, crowd(rig, 60, begin) as people:
        assert rig.get("/stop", "POST") == (200, {"ok": True})
        assert rig.status()["hmi"]["stops"] == 1
        assert all(ended(one, 5) for one in people[:40])    # the newest 20 may still finish
        assert not ended(people[-1], 0.05)
        assert 41 <= rig.refused()["waiting"] <= 45         # and as many as asked in between


def test_a_connection_that_has_asked_before_outlasts_those_that_never_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorway, "WAITING_LIMIT", 20)
    monkeypatch.setattr(doorway, "YOUNG_S", 0.0)
    with running() as rig, crowd(rig, 1, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") as (page,):
        assert page.recv(4096).startswith(b"HTTP/1.1 200")
        with crowd(rig, 60, b"GET /") as people:
            assert all(ended(one, 5) for one in people[:40])
            assert not ended(page, 0.05)


def test_nothing_is_kept_of_connections_that_have_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorway, "YOUNG_S", 0.0)
    made: list[doorway.Doorway] = []
    real = doorway.Doorway.__init__

    def keep(self: doorway.Doorway, *given: object) -> None:
        made.append(self)
        real(self, *given)      # type: ignore[arg-type]

    monkeypatch.setattr(doorway.Doorway, "__init__", keep)
    with running() as rig:
        for _ in range(100):
            assert rig.get("/healthz")[0] == 200
        assert len(made[0]._came_s) + len(made[0]._patience) + len(made[0]._sessions) < 20


async def test_a_client_that_is_connected_is_nobody_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorway, "WAITING_LIMIT", 20)
    with running() as rig:
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(rig.url, transports=["websocket"])
            with crowd(rig, 60, b"GET /"):
                assert await client.call("response", ["stop"], timeout=5) == {"ok": True}
                await client.receive(timeout=5)


def test_a_header_that_drips_ends_by_a_limit_that_drops_do_not_lengthen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "HEADER_LIMIT_S", 1.0)
    with running() as rig, crowd(rig, 1, UNFINISHED["header"]) as (slow,):
        until = time.monotonic() + 8
        slow.settimeout(0.1)
        open_ = True
        while open_:
            assert time.monotonic() < until
            try:
                slow.sendall(b"x")
                open_ = bool(slow.recv(100))
            except TimeoutError:
                continue
            except ConnectionError:
                open_ = False


def test_a_polling_body_that_does_not_come_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.hmi.transport.BODY_LIMIT_S", 0.3)
    begin = (b"POST /socket.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nHost: 127.0.0.1\r\n"
             b"Content-Length: 5\r\n\r\n4")
    with running() as rig, crowd(rig, 1, begin) as (slow,):
        slow.settimeout(5)
        assert b"408" in slow.recv(4096).split(b"\r\n")[0]
        assert rig.refused()["http"] == 1


async def test_sessions_that_do_not_join_make_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "STRANGERS_LIMIT", 5)
    with running() as rig:
        base = rig.url + "/socket.io/?EIO=4&transport=polling"
        async with aiohttp.ClientSession() as session:
            for _ in range(12):
                assert json.loads((await (await session.get(base)).text())[1:])["sid"]
        until = time.monotonic() + 5
        while (await asyncio.to_thread(rig.refused)).get("no_connect", 0) < 7:
            assert time.monotonic() < until
            await asyncio.sleep(0.1)
        service_ = rig.server._service
        assert service_ is not None
        assert sum(not found.closed for found in service_._server.eio.sockets.values()) == 5
        assert (await asyncio.to_thread(rig.refused))["no_connect"] == 7    # each once
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(rig.url, transports=["websocket"])


@pytest.mark.parametrize("enough", [True, False])
def test_what_cut_clients_leave_is_collected_after_ten_of_them(monkeypatch: pytest.MonkeyPatch, enough: bool) -> None:
    """Counted by what is collected, for the memory itself says nothing at this size."""
    with running() as rig:
        found = rig.server._service
        assert found is not None
        whole: list[None] = []
        gc.disable()    # nothing else collects
        monkeypatch.setattr(service.gc, "collect", lambda: whole.append(None))
        try:
            for _ in range(service.COLLECT_CLIENTS - (not enough)):
                asyncio.run(_come_and_be_cut(rig))
            until = time.monotonic() + (5 if enough else 2 * service.SLOW_ROUND_S + 0.5)
            while not whole and time.monotonic() < until:
                time.sleep(0.05)
        finally:
            gc.enable()
        assert len(whole) == enough
        assert found._left == (0 if enough else service.COLLECT_CLIENTS - 1)


async def _come_and_be_cut(rig: Rig) -> None:
    service_ = rig.server._service
    assert service_ is not None
    async with socketio.AsyncSimpleClient(reconnection=False) as client:
        await client.connect(rig.url, transports=["websocket"])
        until = time.monotonic() + 5
        while not service_._by_key:
            assert time.monotonic() < until
            await asyncio.sleep(0.01)
        service_._loop.call_soon_threadsafe(service_._server.cut, next(iter(service_._by_key)))
        while service_._by_key:
            assert time.monotonic() < until
            await asyncio.sleep(0.01)
