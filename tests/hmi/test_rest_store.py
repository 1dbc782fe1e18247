"""The exercise file: a kill at any instant, a full disk, damage, and a disk that does not answer."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from controller.exercises import FILE, SCHEMA, Exercise, Exercises, NotStored, Row
from controller.kept import StoreError
from controller.worker import Busy, Worker
from tests.hmi.rest_client import rest, rest_of, row

ROWS = 20
WRITER = """
import sys
from controller.exercises import Exercise, Exercises, Row
store = Exercises(sys.argv[1])
n = int(sys.argv[2])
while True:
    rows = tuple(Row(i, (float(n),) * 5, 0.0, 50.0) for i in range({rows}))
    store.save([Exercise("one", n % 100 + 1, rows), Exercise("two", n % 100 + 1, rows)]).result(10)
    print(n, flush=True)
    n += 1
"""


def rows(value: float) -> tuple[Row, ...]:
    return tuple(Row(i, (value,) * 5, 0.0, 50.0) for i in range(ROWS))


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}


def test_written_durably_and_by_its_schema(tmp_path: Path) -> None:
    store = Exercises(tmp_path)
    store.add("Wave", 3).result(5)
    assert store._database is not None
    found = [store._worker.submit(lambda name=name: store._database.execute(f"PRAGMA {name}").fetchone()[0]).result(5)
             for name in ("journal_mode", "synchronous", "foreign_keys", "user_version")]
    assert found == ["wal", 2, 1, SCHEMA.version]
    store.close()
    store.close()
    with pytest.raises(Busy, match="ending"):
        store.add("late", 1)


def test_a_kill_while_saving_leaves_whole_exercises(tmp_path: Path) -> None:
    """Both exercises are saved in one request: after each kill they are of the same one, and not an older one than the
    last that was acknowledged."""
    chance = random.Random(5)
    number = 0
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", WRITER.format(rows=ROWS), str(tmp_path), str(number)],
                                   stdout=subprocess.PIPE, text=True, env=environment())
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        acknowledged = [int(line) for line in process.stdout.read().split()]
        assert process.wait(10) == -signal.SIGKILL
        store = Exercises(tmp_path)
        found = [store.exercise(name).result(10) for name in ("one", "two")]
        assert store.problem == ""
        store.close()
        values = {row_.axes_deg for exercise in found for row_ in exercise.rows}
        assert len(values) == 1
        assert [len(exercise.rows) for exercise in found] == [ROWS, ROWS]
        stored = int(next(iter(values))[0] or 0)
        assert stored >= max([number, *acknowledged])
        assert {exercise.rep for exercise in found} == {stored % 100 + 1}
        number = stored + 1
    assert number > 12


def test_a_full_disk_is_answered_and_changes_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk; it is set in a child process, for itself only."""
    program = f"""
import resource, signal
from pathlib import Path
from tests.hmi.rest_client import rest, row
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path({str(tmp_path)!r})
many = [row(order_pos=n, axis_1=n) for n in range(200)]
with rest(folder) as (rig, client):
    client.good("/save_exercises", [row()])
    size = max(path.stat().st_size for path in folder.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    saved = ["Wave"]
    for n in range(20):
        status, answer = client.post("/save_exercises", [{{**found, "name": f"exercise {{n}}"}} for found in many])
        if status == 200:
            saved.append(f"exercise {{n}}")
        else:
            assert status == 500 and "free space" in answer["message"], (status, answer)
    assert [found["name"] for found in client.get("/exercises_names")[1]] == sorted(saved)
    assert [len(client.good("/exercises_data", {{"name": name}})) for name in saved] == [1] + [200] * (len(saved) - 1)
    assert rig.refused()["rest_500"] == 21 - len(saved) >= 10 and rig.server.alive()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    client.good("/save_exercises", many)
    assert len(client.good("/exercises_data", {{"name": "Wave"}})) == 200
    assert rig.status()["store_problem"] == "", rig.status()["store_problem"]
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60,
                          env=environment())
    assert done.returncode == 0, done.stderr
    store = Exercises(tmp_path)
    assert len(store.exercise("Wave").result(5).rows) == 200
    store.close()


@pytest.mark.parametrize("content", [b"not a database" * 500, b"SQLite format 3\0" + b"\xff" * 5000, b"", b"x"])
def test_a_damaged_file_is_kept_aside_and_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with rest(tmp_path) as (rig, client):
        client.good("/save_exercises", [row()])
        assert "kept as" in rig.status()["store_problem"]
        assert [p for p in tmp_path.iterdir() if p.name.startswith(f"{FILE}.") and p.read_bytes() == content]
    with rest(tmp_path) as (rig, client):
        assert client.get("/exercises_names") == (200, [{"name": "Wave", "rep": 3}])
        assert rig.status()["store_problem"] == ""


def test_a_page_that_goes_bad_while_it_runs_is_answered(tmp_path: Path) -> None:
    with rest(tmp_path) as (_, client):
        client.good("/save_exercises", [row(order_pos=n) for n in range(200)])
    size = (tmp_path / FILE).stat().st_size
    with rest(tmp_path) as (rig, client):
        assert client.get("/exercises_names")[0] == 200
        with open(tmp_path / FILE, "r+b") as file:
            file.seek(4096)
            file.write(b"\xee" * (size - 4096))
        exercises = rest_of(rig).exercises
        database = exercises._database
        assert database is not None
        exercises._worker.submit(lambda: database.execute("PRAGMA shrink_memory").fetchall()).result(5)
        status, answer = client.post("/exercises_data", {"name": "Wave"})
        assert status == 500
        assert "Traceback" not in answer["message"]
        assert rig.server.alive()
    with rest(tmp_path) as (rig, client):
        assert client.get("/exercises_names") == (200, [])
        assert "kept as" in rig.status()["store_problem"]


def test_a_folder_that_cannot_be_made_is_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.kept.RETRY_S", 0.0)
    blocker = tmp_path / "file"
    blocker.write_text("")
    store = Exercises(blocker / "folder")
    with pytest.raises(StoreError, match="cannot be used"):
        store.add("Wave", 1).result(5)
    assert "cannot be used" in store.problem
    blocker.unlink()
    store.add("Wave", 1).result(5)
    assert store.problem == ""
    store.close()


def test_a_second_controller_does_not_write_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.kept.RETRY_S", 0.0)
    first = Exercises(tmp_path)
    first.add("Wave", 1).result(5)
    second = Exercises(tmp_path)
    with pytest.raises(StoreError, match="another controller or command uses it"):
        second.add("Nod", 1).result(5)
    first.close()
    second.add("Nod", 1).result(5)
    assert [exercise.name for exercise in second.exercises().result(5)] == ["Nod", "Wave"]
    assert second.problem == ""
    second.close()


def test_a_disk_that_hangs_holds_up_neither_the_server_nor_the_end(tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.kept.CLOSE_LIMIT_S", 0.2)
    hold = threading.Event()
    with rest(tmp_path) as (rig, client):
        client.good("/add_exercise_name", {"name": "Wave", "rep": 1})
        service = rig.server._service
        assert service is not None
        exercises = rest_of(rig).exercises
        exercises._worker.submit(lambda: hold.wait(30))
        waiting = [exercises.exercises() for _ in range(63)]
        before = service.last_round_s
        assert client.get("/status.json")[0] == 200
        time.sleep(0.3)
        assert service.last_round_s > before
        until = time.monotonic() + 5
        while exercises._worker._queue.qsize() < 64:  # the one at work was waiting for a moment too
            assert time.monotonic() < until
            waiting.append(exercises.exercises())
        status, answer = client.get("/exercises_names")
        assert status == 429
        assert "try again" in answer["message"]
        assert client.headers["retry-after"] == "1"
        started = time.monotonic()
    assert time.monotonic() - started < 5
    assert not waiting[0].done()
    hold.set()
    assert waiting[0].result(5)


def test_a_worker_answers_everything_it_took() -> None:
    worker = Worker("test", 1000)
    futures = [worker.submit(lambda n=n: 1 // n) for n in range(100)]
    assert [future.result(5) for future in futures[1:]] == [1] + [0] * 98
    assert isinstance(futures[0].exception(5), ZeroDivisionError)
    assert worker.close(5)
    assert worker.close(5)
    with pytest.raises(Busy):
        worker.submit(lambda: 0)


def test_what_is_stored_is_bound_never_spliced(tmp_path: Path) -> None:
    """The store itself, without the checks in front of it."""
    store = Exercises(tmp_path)
    names = ["x'; DROP TABLE exercise; --", '" OR 1=1 --', "a\x00b", "%", "_", "?", ":name", "\\", "'"]
    store.save([Exercise(name, 1, rows(n)) for n, name in enumerate(names)]).result(5)
    for n, name in enumerate(names):
        assert store.exercise(name).result(5).rows == rows(n)
        store.save_scenario(name, f'["{n}"]').result(5)
    assert sorted(found.name for found in store.exercises().result(5)) == sorted(names)
    for name in names:
        store.change(name, f"{name}'", 2, "name").result(5)
        store.delete(f"{name}'").result(5)
        with pytest.raises(NotStored):
            store.exercise(name).result(5)
        store.delete_scenario(name, "name").result(5)
    assert store.exercises().result(5) == []
    store.close()
    with sqlite3.connect(tmp_path / FILE) as database:
        assert database.execute("SELECT count(*) FROM position").fetchone() == (0,)
