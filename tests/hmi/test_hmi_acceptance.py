"""Settings that stand in for a damaged file: the arm does not move until an operator accepts them, and that is kept."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
import socketio

from controller.database import set_aside_files
from controller.hmi.clients import Client
from controller.spec import hmi
from controller.spec.hmi import Notice, Role
from controller.spec.modes import CommandKind, MasterState
from controller.store import FILE, SCHEMA, Store
from tests.handler_bench import Bench, notice
from tests.hmi.rig import Rig, running

REST_S = hmi.REPLAY_WINDOW_S + 0.1
MOVE = {"type": "move", "position_deg": {"1": 20}}


def damage(folder: Path) -> None:
    (folder / FILE).write_bytes(b"not a database" * 300)


def newer(folder: Path) -> None:
    store = Store(folder)
    store.put({"user_speed_percent.1": 40.0}).result(5)
    store.close()
    with sqlite3.connect(folder / FILE) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA.version + 1}")
    database.close()


def out_of_range(folder: Path) -> None:
    store = Store(folder)
    store.put({"user_speed_percent.1": 400.0}).result(5)
    store.close()


async def connected(rig: Rig) -> socketio.AsyncSimpleClient:
    client = socketio.AsyncSimpleClient()
    await client.connect(rig.url, transports=["websocket"])
    await asyncio.sleep(REST_S)
    return client


@pytest.mark.parametrize(("harm", "word"), [
    (damage, "set-aside"), (newer, "newer version"), (out_of_range, "user_speed_percent.1")])
async def test_nothing_moves_until_the_reset_button_accepts(tmp_path: Path, harm: object, word: str) -> None:
    assert callable(harm)
    harm(tmp_path)
    kept = set_aside_files(tmp_path / FILE)
    for _ in range(2):      # a restart is no acceptance
        with running(folder=tmp_path) as rig:
            client = await connected(rig)
            blockers = rig.status()["blockers"]
            assert len(blockers) == 1
            assert word in blockers[0]
            answer = await client.call("command", MOVE, timeout=5)
            assert answer["error"]["code"] == "blocked"
            assert word in answer["error"]["message"]
            await client.emit("response", {"4": 0, "50": 20})       # as a page does, without an acknowledgement
            _, payload = await client.receive(timeout=5)
            while hmi.NOTICE_FIELD not in payload:
                _, payload = await client.receive(timeout=5)
            assert payload[hmi.NOTICE_FIELD]["id"] == int(Notice.BLOCKED)
            assert word in payload[hmi.NOTICE_FIELD]["message"]
            assert rig.state.motor_power == 0
            await client.disconnect()
    with running(folder=tmp_path) as rig:
        client = await connected(rig)
        assert await client.call("response", ["reset"], timeout=5) == {"ok": True}
        assert rig.status()["blockers"] == []
        assert await client.call("command", MOVE, timeout=5) == {"ok": True}
        await asyncio.to_thread(rig.until, lambda s: s.motions_done == 1)
        accepted, = [entry for entry in rig.get("/history")[1]["entries"] if entry["text"] == "settings accepted"]
        assert accepted["kind"] == "acceptance"
        assert accepted["who"].startswith("client 1 (")
        assert word in accepted["detail"]["because"]
        await client.disconnect()
    with running(folder=tmp_path) as rig:
        assert rig.status()["blockers"] == []
    assert len(set_aside_files(tmp_path / FILE)) == len(kept) + (harm is not out_of_range)


async def test_a_reset_in_the_error_state_resets_only_the_error(tmp_path: Path) -> None:
    damage(tmp_path)
    with running(folder=tmp_path) as rig:
        client = await connected(rig)
        rig.board.set_fault("button")
        await asyncio.to_thread(rig.until, lambda s: s.state == MasterState.ERROR)
        rig.board.clear_faults()
        await asyncio.sleep(0.2)
        assert await client.call("response", ["reset"], timeout=6) == {"ok": True}
        await asyncio.to_thread(rig.until, lambda s: s.state == MasterState.WAITING)
        assert rig.store.unaccepted
        assert await client.call("response", ["reset"], timeout=6) == {"ok": True}
        assert not rig.store.unaccepted
        await client.disconnect()


def test_only_who_may_reset_may_accept() -> None:
    bench = Bench()
    bench.store.unaccepted = "somebody has to look"
    base = Client(9, "key9", "sid9", "10.0.0.9", 0.0, Role.BASE)
    for call in (lambda: bench.say(["reset"], base), lambda: bench.ask("settings", base, accept=True)):
        assert notice(call)[0] == Notice.ROLE
    assert bench.store.unaccepted
    assert notice(lambda: bench.ask("start"))[0] == Notice.BLOCKED
    bench.ask("settings", accept=True, dry_run=True)
    assert bench.store.unaccepted
    bench.ask("settings", accept=True)
    assert not bench.store.unaccepted
    assert bench.ring.pushed == []


def test_a_reset_that_was_clicked_while_the_link_was_down_accepts_nothing() -> None:
    bench = Bench()
    bench.store.unaccepted = "somebody has to look"
    for call in (lambda: bench.say(["reset"], now_s=0.5), lambda: bench.say({"10": 7}, now_s=0.5),
                 lambda: bench.ask("reset", now_s=0.5)):
        assert notice(call)[0] == Notice.REPLAY
    assert bench.store.unaccepted
    bench.state.state = int(MasterState.ERROR)      # an error is reset as ever: nothing moves by it
    bench.say(["reset"], now_s=0.5)
    assert bench.kinds() == [CommandKind.RESET]
    assert bench.store.unaccepted
    bench.state.state = int(MasterState.WAITING)
    bench.say(["reset"])
    assert not bench.store.unaccepted


@pytest.mark.parametrize(("fields", "field"), [
    ({}, ""), ({"read": [], "write": {"lock_speed": True}}, "write"), ({"reset": [], "accept": True}, "accept"),
    ({"accept": False}, ""), ({"reset": ["nothing"]}, "nothing"), ({"reset": "all"}, "reset"),
    ({"reset": ["range_of_motion_on"]}, "range_of_motion_on"), ({"accept": 1}, "accept")])
def test_a_settings_message_asks_for_one_thing(fields: dict[str, object], field: str) -> None:
    bench = Bench()
    found, where, _ = notice(lambda: bench.ask("settings", **fields))
    assert (found, where) == (Notice.VALUE, field)
    assert bench.store.items() == {}


def test_reset_of_settings_is_whole_and_respects_locks_and_ranges() -> None:
    bench = Bench()
    bench.store.put({"user_speed_percent.1": 40.0, "user_speed_percent.2": 30.0, "lock_speed": True,
                     "rest_position_counts.1": 100.0, "rest_position_counts.2": 200.0, "voice_1a": 50.0})
    assert notice(lambda: bench.ask("settings", reset=["user_speed_percent.1"]))[0] == Notice.LOCKED
    assert notice(lambda: bench.ask("settings", reset=["voice_1a", "user_speed_percent.1"]))[0] == Notice.LOCKED
    assert bench.store.get("voice_1a") == 50.0
    bench.ask("settings", reset=["rest_position_counts.2"])     # a position of some axes is none
    assert bench.store.get("rest_position_counts.1") is None
    bench.ask("settings", reset=["lock_speed", "user_speed_percent.1"])
    assert bench.store.items() == {"user_speed_percent.2": 30.0, "voice_1a": 50.0}
    bench.store.put({"range_of_motion_on": True, "range_minimum_deg.1": 0.0, "range_maximum_deg.1": 10.0})
    assert notice(lambda: bench.ask("settings", reset=["range_minimum_deg.1"]))[0] == Notice.BLOCKED
    assert notice(lambda: bench.ask("settings", reset=[]))[0] == Notice.BLOCKED
    bench.store.put({"range_of_motion_on": False})
    bench.ask("settings", reset=[])
    assert bench.store.items() == {"range_of_motion_on": False}     # what a command of its own switches stays
