"""Errors and warnings that the HMI's thread finds itself: real causes, from their beginning to their end. They are in
`state`, in the lists of `data`, and in the history.
"""

from __future__ import annotations

import errno
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import socketio

from controller.history import History
from controller.hmi import broadcast
from controller.kept import StoreError
from controller.spec.history import Kind
from controller.store import FILE
from tests.faulty_database import Faulty
from tests.hmi.rig import Rig, running


def codes(rig: Rig) -> set[tuple[int, int | None]]:
    return {(fault["code"], fault["axis"]) for fault in rig.status()["faults"]}


def until(rig: Rig, condition: Callable[[set[tuple[int, int | None]]], bool], seconds: float = 8.0) -> None:
    end = time.monotonic() + seconds
    while not condition(found := codes(rig)):
        assert time.monotonic() < end, found
        time.sleep(0.05)


def there_and_gone(rig: Rig, code: int, end: Callable[[], object], axis: int | None = None) -> None:
    """The code is raised, its cause is ended by `end`, and it goes; the history has both."""
    until(rig, lambda found: (code, axis) in found)
    end()
    until(rig, lambda found: (code, axis) not in found)
    status, answer = rig.get("/history?limit=1000")
    assert status == 200
    kinds = [entry["kind"] for entry in answer["entries"] if entry["code"] == code]
    assert kinds in (["error", "error_cleared"], ["warning", "warning_cleared"])


def test_code_50_the_history_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.history.RETRY_S", 0.05)
    (tmp_path / "file").write_text("")
    with running(history=History(tmp_path / "file")) as rig:
        status, answer = rig.get("/history")
        assert status == 503
        assert "cannot be read" in answer["message"]

        def end() -> None:
            (tmp_path / "file").unlink()
            until(rig, lambda found: rig.get("/history")[0] == 200)

        there_and_gone(rig, 50, end)


def test_code_51_old_entries_cannot_be_deleted(tmp_path: Path) -> None:
    with running(history=History(tmp_path, 1000)) as rig:
        rig.get("/history")
        database = rig.history._database
        assert database is not None
        database.execute("CREATE TEMP TRIGGER stubborn BEFORE DELETE ON entry "
                         "BEGIN SELECT RAISE(ABORT, 'stubborn'); END")

        def fill(tag: str) -> None:
            for n in range(1100):
                rig.history.note(Kind.VISIT, f"{tag} {n}")

        fill("before")

        def end() -> None:
            database.execute("DROP TRIGGER stubborn")
            fill("after")

        until(rig, lambda found: (51, None) in found)
        end()
        until(rig, lambda found: (51, None) not in found)


@pytest.mark.parametrize(("number", "code"), [(errno.ENETUNREACH, 52), (errno.ENETDOWN, 52), (errno.EPERM, 53)])
def test_codes_52_53_no_network_address(number: int, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Probe:
        def __enter__(self) -> Probe:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def connect(self, peer: object) -> None:
            raise OSError(number, "no")

    def probe(family: int, kind: int, *more: Any) -> Any:
        return Probe() if kind == socket.SOCK_DGRAM else real(family, kind, *more)

    real = socket.socket
    monkeypatch.setattr(broadcast.socket, "socket", probe)
    with running() as rig:      # bound to loopback nobody misses a network
        time.sleep(1.2)
        assert not codes(rig)
        monkeypatch.setattr("controller.hmi.own_faults.is_loopback", lambda host: False)
        there_and_gone(rig, code, lambda: monkeypatch.setattr(broadcast.socket, "socket", real))


def test_the_round_goes_on_when_no_descriptor_is_left_to_ask_for_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*arguments: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(broadcast.socket, "socket", none_left)
    assert broadcast.own_ipv4() == ("127.0.0.1", "ADDRESS_FAILED")


def test_code_57_a_disk_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.worker.LATE_S", 0.2)
    with running(folder=tmp_path) as rig:
        assert rig.store._database is not None
        database = Faulty(rig.store._database)
        database.hold.clear()
        rig.store._database = database  # type: ignore[assignment]
        saved = rig.store.put({"voice_1a": 50})
        until(rig, lambda found: (57, None) in found)
        assert "does not answer" in rig.status()["store_problem"]
        with pytest.raises(StoreError, match="does not answer"):
            saved.result(5)
        there_and_gone(rig, 57, database.hold.set)
        rig.store.put({"voice_1a": 51}).result(5)
        assert rig.status()["store_problem"] == ""


async def test_code_57_a_setting_that_cannot_be_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.kept.RETRY_S", 0.05)
    with running(folder=tmp_path) as rig:
        assert rig.store._database is not None
        database = Faulty(rig.store._database)
        database.fault = True
        rig.store._database = database  # type: ignore[assignment]
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(rig.url, transports=["websocket"])
            answer = await client.call("command", {"type": "settings", "write": {"voice_1a": 50}}, timeout=5)
            assert answer["error"]["code"] == "not_saved"
            until(rig, lambda found: (57, None) in found)
            _, payload = await client.receive(timeout=5)
            while not payload["errorTest"]:
                _, payload = await client.receive(timeout=5)
            entry, = payload["errorTest"]
            assert (entry["errorCode"], entry["axis"], entry["message"]) == (57, "Master", "Value could not be stored")
            assert payload["errorCode"][5] == 57
        there_and_gone(rig, 57, lambda: setattr(database, "fault", False))


def test_code_58_a_setting_that_the_arm_does_not_take(tmp_path: Path) -> None:
    """A stored range of motion that the arm stands outside of."""
    with running(folder=tmp_path) as rig:
        at = rig.state.position_deg[0]
        assert at < 30
        rig.store.put({"range_minimum_deg.1": 35.0, "range_maximum_deg.1": 60.0, "range_of_motion_on": True}).result(5)
    with running(folder=tmp_path) as rig:
        there_and_gone(rig, 58, lambda: (rig.store.put({"range_of_motion_on": False}).result(5),
                                         rig.server.set_arm(rig.facts)))


async def test_code_72_settings_that_were_set_aside(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database" * 300)
    with running(folder=tmp_path) as rig:
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(rig.url, transports=["websocket"])
            until(rig, lambda found: (72, None) in found)
            assert await client.call("command", {"type": "settings", "accept": True}, timeout=5) == {"ok": True}
        until(rig, lambda found: not found)


async def test_warning_136_a_speed_limit_of_zero() -> None:
    with running() as rig:
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(rig.url, transports=["websocket"])
            for axis in (1, 3):
                written = {f"user_speed_percent.{axis}": 0}
                assert await client.call("command", {"type": "settings", "write": written}, timeout=5) == {"ok": True}
            until(rig, lambda found: found == {(136, 1), (138, 3)})
            fault = next(fault for fault in rig.status()["faults"] if fault["axis"] == 3)
            assert (fault["warning"], fault["message"]) == (True, "Drive maximum speed is 0")
            reset = {"type": "settings", "reset": []}
            assert await client.call("command", reset, timeout=5) == {"ok": True}
            until(rig, lambda found: not found)


def test_the_history_of_an_unreadable_table_is_an_error_of_its_own(tmp_path: Path) -> None:
    with running(history=History(tmp_path)) as rig:
        rig.get("/history")
        assert rig.history._database is not None
        rig.history._database.execute("DROP TABLE entry")
        assert rig.get("/history")[0] == 503
        until(rig, lambda found: (50, None) in found)
        with pytest.raises(sqlite3.Error):
            rig.history._database.execute("SELECT * FROM entry")
