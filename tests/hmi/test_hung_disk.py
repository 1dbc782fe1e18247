"""A disk that never answers again: whoever asked is told within seconds, everybody else does not notice, and the
program ends in time. What hangs is a commit, a look at a file, or the opening of one; it goes on when the test says so.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import socketio

from controller import store as store_module
from controller.database import Opened
from controller.hmi import login as login_module
from controller.hmi import rest_door
from controller.hmi.login_passwords import FILE as PASSWORD_FILE
from controller.kept import StoreError
from controller.spec.history import Kind
from controller.store import Store
from tests.faulty_database import Faulty
from tests.hmi.rest_client import RestClient, rest, rest_of, set_passwords
from tests.hmi.rig import running
from tests.hmi.test_hmi_own_faults import until

LATE_S = 0.3
PASSWORD = "correct horse base"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.worker.LATE_S", LATE_S)


def hung(kept: Any) -> Faulty:
    assert kept._database is not None
    kept._database = found = Faulty(kept._database)
    found.hold.clear()
    return found


async def test_settings_are_answered_by_their_code_and_saved_when_the_disk_is_back(tmp_path: Path) -> None:
    with running(folder=tmp_path) as rig:
        database = hung(rig.store)
        async with socketio.AsyncSimpleClient() as client, socketio.AsyncSimpleClient() as other:
            await client.connect(rig.url, transports=["websocket"])
            await other.connect(rig.url, transports=["websocket"])
            for value in (10, 20, 30):      # the first is at work, the second waits, the third meets a disk that hangs
                answer = await client.call("command", {"type": "settings", "write": {"voice_1a": value}}, timeout=20)
                assert answer["error"]["code"] == "not_saved"
                assert str(tmp_path) in answer["error"]["message"]
                assert "in force" in answer["error"]["message"]
            form = await client.call("response", {"default_2": "Table"}, timeout=20)
            assert form["error"]["code"] == "not_saved"
            assert "does not answer" in (await asyncio.to_thread(rig.status))["store_problem"]
            assert await other.call("response", ["stop"], timeout=5) == {"ok": True}
            read = await other.call("command", {"type": "settings", "read": ["voice_1a"]}, timeout=5)
            assert read["settings"] == {"voice_1a": 30}
            database.hold.set()
            until_s = time.monotonic() + 10     # by itself: nothing more is asked for
            while (await asyncio.to_thread(rig.status))["store_problem"] or rig.store._asked or rig.store._unsaved:
                assert time.monotonic() < until_s
                await asyncio.sleep(0.05)
    again = Store(tmp_path)
    assert again.get("voice_1a") == 30
    assert "Table" in again.items().values()
    again.close()


def test_exercises_are_answered_and_who_waited_changed_nothing(tmp_path: Path) -> None:
    with rest(tmp_path) as (rig, client):
        client.good("/add_exercise_name", {"name": "Wave", "rep": 1})
        database = hung(rest_of(rig).exercises)
        answers: dict[str, tuple[int, Any]] = {}

        def ask(name: str) -> None:
            other = RestClient(rig.url)
            answers[name] = other.post("/add_exercise_name", {"name": name, "rep": 1})
            other.close()

        asking = [threading.Thread(target=ask, args=(name,)) for name in ("One", "Two")]
        for thread in asking:
            thread.start()
            time.sleep(0.1)
        assert client.get("/status.json")[0] == 200
        assert client.post("/stop")[0] == 200
        assert client.get("/last_saved_rest_pos")[0] in {200, 404}
        for thread in asking:
            thread.join(20)
        assert [status for status, _ in answers.values()] == [500, 500]
        assert all(str(tmp_path) in answer["message"] for _, answer in answers.values())
        assert "look before asking again" in answers["One"][1]["message"]
        assert "nothing was changed" in answers["Two"][1]["message"]
        status, answer = client.get("/exercises_names")     # and from here on at once: the queue does not fill
        assert (status, "nothing was changed" in answer["message"]) == (500, True)
        assert rest_of(rig).exercises._worker._queue.qsize() <= 1
        assert "cannot be read or saved" in rig.status()["store_problem"]
        database.hold.set()
        until_s = time.monotonic() + 10
        while (found := client.get("/exercises_names"))[0] != 200:
            assert time.monotonic() < until_s
            time.sleep(0.05)
        assert [row["name"] for row in found[1]] == ["One", "Wave"]
        assert rig.status()["store_problem"] == ""


def test_a_login_whose_file_hangs_is_answered(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / PASSWORD_FILE)     # opening it waits until somebody writes
    with rest(tmp_path) as (rig, client):
        status, answer = client.post("/login", {"accessLevel": "Base", "password": PASSWORD})
        assert status == 500
        assert f"the disk of {tmp_path} does not answer" in answer["message"]
        assert client.post("/login", {"accessLevel": "Base", "password": PASSWORD})[0] == 500
        assert client.get("/status.json")[0] == 200
        (tmp_path / PASSWORD_FILE).write_text("{}")
        until_s = time.monotonic() + 30
        while (answer := client.post("/login", {"accessLevel": "Base", "password": PASSWORD}))[0] == 500:
            assert time.monotonic() < until_s
            (tmp_path / PASSWORD_FILE).unlink(missing_ok=True)
            time.sleep(0.05)
        assert answer[0] == 401
        assert rig.server.alive()


def test_tokens_that_were_good_stay_so_while_the_disk_hangs_and_a_stop_does_not_wait(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_passwords(tmp_path, Base=PASSWORD)
    hold = threading.Event()
    looks: list[None] = []
    real = login_module._stamp

    def stamp(path: Path) -> tuple[int, ...]:
        looks.append(None)
        hold.wait(30)
        return real(path)

    with rest(tmp_path, token="the configured one") as (_, client):
        token = client.token("Base", PASSWORD)
        monkeypatch.setattr(login_module, "_stamp", stamp)
        good, bad = ({"Authorization": f"Bearer {text}"} for text in (token, f"{token}x"))
        assert client.post("/stop", **good)[0] == 200
        assert looks == []      # it did not even ask the disk
        assert client.get("/status.json", **good)[0] == 200
        assert client.get("/status.json", **good)[0] == 200
        assert client.get("/status.json", **bad)[0] == 401
        assert client.post("/stop", **bad)[0] == 401
        assert len(looks) == 1
        hold.set()


def test_code_640_settings_that_do_not_open_at_the_start(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Store(tmp_path)
    first.put({"voice_1a": 10}).result(5)
    first.close()
    hold = threading.Event()
    real = store_module.open_database

    def hanging(*given: Any) -> Opened:
        hold.wait(30)
        return real(*given)

    monkeypatch.setattr(store_module, "open_database", hanging)
    monkeypatch.setattr(store_module, "OPEN_LIMIT_S", 0.2)
    with running(folder=tmp_path) as rig:
        store = rig.store
        assert (store.items(), store.opened) == ({}, False)
        assert "did not answer" in store.problem
        assert "could not be read" in store.unaccepted
        until(rig, lambda found: (640, None) in found and (57, None) not in found)
        fault = next(row for row in rig.status()["faults"] if row["code"] == 640)
        assert "tried again" in fault["description"]
        assert "restart" in fault["solution"]
        with pytest.raises(StoreError, match="does not answer"):
            rig.store.put({"voice_1a": 20}).result(20)
        hold.set()
        until_s = time.monotonic() + 10
        while store._worker.hangs or store._asked:
            assert time.monotonic() < until_s
            time.sleep(0.02)
        with pytest.raises(StoreError, match="did not answer at the start"):
            store.put({"voice_1a": 30}).result(5)
    again = Store(tmp_path)
    assert again.get("voice_1a") == 10      # what nobody has read was not mixed with anything
    again.close()


def test_a_program_that_is_to_end_does_not_wait_for_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()
    monkeypatch.setattr(store_module, "open_database", lambda *given: hold.wait(30))
    asked: list[None] = []
    store = Store(tmp_path, cancelled=lambda: bool(asked) or asked.append(None) or False)
    assert not store.opened
    hold.set()


def test_a_history_that_hangs_is_answered_and_goes_on_afterwards(tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gave up waiting must not end the thread that writes it."""
    monkeypatch.setattr("controller.hmi.web.HISTORY_LIMIT_S", 0.2)
    monkeypatch.setattr("controller.history.LATE_S", 0.1)
    with rest(tmp_path) as (rig, client):
        assert client.get("/history")[0] == 200
        database = hung(rig.history)
        rig.history.note(Kind.VISIT, "while it hangs")
        for _ in range(3):
            status, answer = client.get("/history")
            assert status == 503
            assert str(tmp_path) in answer["message"]
        assert "the history is not saved" in rig.status()["store_problem"]
        database.hold.set()
        until_s = time.monotonic() + 10
        while (found := client.get("/history"))[0] != 200:
            assert time.monotonic() < until_s
        assert "while it hangs" in [entry["text"] for entry in found[1]["entries"]]
        rig.history.note(Kind.VISIT, "and after it")
        assert "and after it" in [entry["text"] for entry in client.get("/history")[1]["entries"]]
        assert rig.status()["store_problem"] == ""


PROGRAM = """
import sys, threading
from controller import database, store, exercises, history
from tests.faulty_database import Faulty
real, hold = database.open_database, threading.Event()
opened = []
def hanging(*given):
    found = real(*given)
    database_ = Faulty(found.connection)
    opened.append(database_)
    return database.Opened(database_, found.why, found.aside)
store.open_database = exercises.open_database = history.open_database = hanging
def hang():
    sys.stdin.readline()
    for found in opened:
        found.hold.clear()
    print("hangs", flush=True)
threading.Thread(target=hang, daemon=True).start()
from controller.__main__ import main
sys.exit(main(["run", "--hmi-port", "0", "--config", sys.argv[1]]))
"""


def test_the_program_ends_in_time_where_every_disk_hangs(tmp_path: Path) -> None:
    """Every commit hangs for ever: of settings, exercises and history, each with something to save."""
    (tmp_path / "allyarm.toml").write_text(f"[store]\npath = {json.dumps(str(tmp_path))}\n")
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path / "allyarm.toml")], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env={**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])})
    try:
        assert program.stdin is not None
        assert program.stdout is not None
        line = program.stdout.readline()
        url = next(word for word in line.replace(",", " ").split() if word.startswith("http://"))
        client = RestClient(url)
        client.good("/add_exercise_name", {"name": "Wave", "rep": 1})
        program.stdin.write("\n")
        program.stdin.flush()
        assert program.stdout.readline() == "hangs\n"
        assert client.post("/add_exercise_name", {"name": "Nod", "rep": 1})[0] == 500
        asyncio.run(_write(url))
        began = time.monotonic()
        program.send_signal(signal.SIGTERM)
        _, errors = program.communicate(timeout=20)
        took_s = time.monotonic() - began
    finally:
        program.kill()
        program.wait()
    assert program.returncode == 0, errors
    assert took_s < 10      # the disks hang for 30
    assert [name in errors for name in ("settings.sqlite does not answer", "history.sqlite does not answer",
                                        "exercises.sqlite does not answer")] == [True] * 3
    assert "the HMI thread did not end" not in errors


async def _write(url: str) -> None:
    async with socketio.AsyncSimpleClient() as client:
        await client.connect(url, transports=["websocket"])
        answer = await client.call("command", {"type": "settings", "write": {"voice_1a": 50}}, timeout=20)
        assert answer["error"]["code"] == "not_saved"


def test_a_problem_of_exercises_goes_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds: a file that could not be opened, and one that did not take a write."""
    monkeypatch.setattr("controller.kept.RETRY_S", 0.05)
    (tmp_path / "file").write_text("")
    with rest(tmp_path / "file") as (rig, client):
        assert client.get("/exercises_names")[0] == 500
        until_s = time.monotonic() + 10
        assert "exercise file" in rig.status()["store_problem"]
        (tmp_path / "file").unlink()
        while "exercise file" in rig.status()["store_problem"]:
            assert time.monotonic() < until_s
            time.sleep(0.05)
        database = Faulty(rest_of(rig).exercises._database, fault=True)
        rest_of(rig).exercises._database = database
        assert client.post("/add_exercise_name", {"name": "Nod", "rep": 1})[0] == 500
        time.sleep(0.5)
        assert "was not carried out" in rig.status()["store_problem"]       # tried again, and still so
        database.fault = False
        while "exercises" in rig.status()["store_problem"].replace(str(tmp_path), ""):
            assert time.monotonic() < until_s
            time.sleep(0.05)
        assert client.get("/exercises_names") == (200, [])      # nothing was left of the request or of the tries


def test_modules_that_could_not_be_loaded_are_loaded_with_the_next_request(monkeypatch: pytest.MonkeyPatch) -> None:
    real, tries = rest_door.importlib.import_module, []

    def failing(name: str) -> Any:
        tries.append(name)
        if len(tries) == 1:
            raise OSError("Input/output error")
        return real(name)

    with rest() as (rig, client):
        monkeypatch.setattr(rest_door.importlib, "import_module", failing)
        status, answer = client.get("/exercises_names")
        assert status == 500
        assert "Input/output error" in answer["message"]
        assert client.get("/exercises_names") == (200, [])
        assert len(tries) == 2
        assert rig.refused()["rest_500"] == 1
