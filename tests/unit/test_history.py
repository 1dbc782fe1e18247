"""The history keeps who did what and when, across kills and full disks, within its bounds, in nobody's way."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controller import history as module
from controller.database import set_aside_files
from controller.history import QUEUE_ROWS, History, HistoryError
from controller.history_table import FILE, Entry, Query
from controller.history_words import describe
from controller.spec.history import ERRORS_KEPT, Kind
from controller.spec.modes import CommandKind, CommandResult, EventKind, MasterState, Reason
from tests.faulty_database import Faulty


@pytest.fixture
def made() -> Iterator[Callable[..., History]]:
    """Makes histories that are closed in the end."""
    all_of_them: list[History] = []

    def make(*arguments: Any, **options: Any) -> History:
        all_of_them.append(History(*arguments, **options))
        return all_of_them[-1]

    yield make
    for history in all_of_them:
        history.close()


def read(history: History, **query: Any) -> list[Entry]:
    return history.read(Query(**query)).result(10)


def texts(history: History, **query: Any) -> list[str]:
    return [found.text for found in read(history, **query)]


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_saf_8_who_what_and_when(made: Callable[..., History], tmp_path: Path) -> None:
    before = time.time()
    history = made(tmp_path)
    history.client(3, "client 3 (10.0.0.9)")
    history.note(Kind.SETTINGS, "settings changed", who="client 3 (10.0.0.9)", detail={"a": [1.5, None]})
    history.core_event((time.monotonic_ns() - 2_000_000_000, EventKind.FAULT_RAISED, 101, 1, 0))
    history.core_event((time.monotonic_ns(), EventKind.COMMAND, CommandKind.START, CommandResult.OK, 3))
    settings, error, start = read(history)
    assert (settings.kind, settings.who, settings.detail) == ("settings", "client 3 (10.0.0.9)", '{"a": [1.5, null]}')
    assert (error.kind, error.code, error.axis) == ("error", 101, 1)
    assert error.text == "raised error 101 (axis 1): Drive in error"
    assert settings.wall_s - error.wall_s == pytest.approx(2.0, abs=0.5)        # when it happened, not when it was told
    assert settings.monotonic_ns - error.monotonic_ns == pytest.approx(2e9, abs=5e8)
    assert (start.kind, start.who) == ("start", "client 3 (10.0.0.9)")
    assert before <= start.wall_s <= time.time()
    assert start.as_dict()["time"][:19] == time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(start.wall_s))


@pytest.mark.parametrize(("event", "kind"), [
    ((EventKind.STATE, MasterState.AUTO, MasterState.ERROR, Reason.FAULT), "state"),
    ((EventKind.MODE, 1, 3, 0), "mode"), ((EventKind.STOP, 2, 1, 0), "stop"), ((EventKind.BUS, 2, 3, 0), "bus"),
    ((EventKind.FAULT_RAISED, 401, 2, 1), "warning"), ((EventKind.FAULT_CLEARED, 401, 2, 1), "warning_cleared"),
    ((EventKind.FAULT_CLEARED, 296, 0, 0), "error_cleared"),
    ((EventKind.COMMAND, CommandKind.MOVE, CommandResult.OK, 7), "start"),
    ((EventKind.COMMAND, CommandKind.EXTERNAL, CommandResult.OK, 7), "start"),
    ((EventKind.COMMAND, CommandKind.MOVE, CommandResult.NOT_READY, 7), "command"),
    ((EventKind.COMMAND, CommandKind.RESET, CommandResult.OK, 7), "command"),
    ((EventKind.COMMAND, CommandKind.SPEED_LIMITS, CommandResult.OUT_OF_RANGE, 0), "command"),
])
def test_saf_8_every_event_of_the_core(made: Callable[..., History], event: tuple[int, ...], kind: str) -> None:
    history = made()
    history.core_event((time.monotonic_ns(), *event))  # type: ignore[arg-type]
    found, = read(history)
    assert (found.kind, found.text) == (kind, describe((0, *event))[1])  # type: ignore[arg-type]


def test_what_the_core_was_only_given_again_is_left_out(made: Callable[..., History]) -> None:
    history = made()
    history.core_event((1, EventKind.COMMAND, CommandKind.SPEED_LIMITS, CommandResult.OK, 0))
    history.core_event((1, EventKind.MOTION_DONE, 0, 0, 0))
    assert read(history) == []


def test_saf_8_entries_survive_a_kill(made: Callable[..., History], tmp_path: Path) -> None:
    program = f"""
import os, time
from controller.history import History
from controller.spec.history import Kind
history = History({str(tmp_path)!r})
for n in range(500):
    history.note(Kind.ERROR, f"entry {{n}}", code=n)
while history.written < 500:
    time.sleep(0.001)
os.kill(os.getpid(), 9)
"""
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", program], check=False, timeout=30,
                              env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}).returncode == -9
    history = made(tmp_path)
    found = read(history, limit=1000)
    assert [item.code for item in found] == 2 * list(range(500))
    assert [item.id for item in found] == list(range(1, 1001))
    assert [item.run for item in found] == [1] * 500 + [2] * 500
    history.note(Kind.ERROR, "next")
    assert read(history)[-1].run == 3
    database = sqlite3.connect(tmp_path / FILE)
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


def test_questions(made: Callable[..., History]) -> None:
    history = made()
    for n in range(30):
        history.note(Kind.ERROR if n % 3 == 0 else Kind.WARNING, str(n))
    assert texts(history, limit=3) == ["27", "28", "29"]
    assert texts(history, errors=True, limit=10) == [str(n) for n in range(0, 30, 3)]
    assert texts(history, after=10, limit=3) == ["10", "11", "12"]
    assert texts(history, after=30) == []
    assert texts(history, since_s=time.time() + 60) == []
    assert len(texts(history, since_s=time.time() - 60)) == 30


def test_the_table_is_bounded_and_the_latest_errors_stay(made: Callable[..., History], tmp_path: Path) -> None:
    history = made(tmp_path, 1000)
    for n in range(150):
        history.note(Kind.ERROR, f"error {n}")
    for n in range(6000):
        history.note(Kind.VISIT, f"visit {n}")
        if n % 1000 == 0:
            until(lambda n=n: history.written >= 150 + n)
    until(lambda: history.written == 6150)
    found = read(history, limit=100_000)
    assert 1000 <= len(found) <= 1000 + 10 + ERRORS_KEPT
    assert [item.text for item in found if item.kind == "error"] == [f"error {n}" for n in range(50, 150)]
    assert texts(history, errors=True, limit=10)[-1] == "error 149"
    assert found[-1].text == "visit 5999"
    assert history.problem == ""
    history.close()
    # The next run goes on where this one ended.
    again = made(tmp_path, 1000)
    again.note(Kind.ERROR, "one more")
    assert read(again)[-1].id == found[-1].id + 1


def test_the_same_again_is_counted_not_written(made: Callable[..., History]) -> None:
    now = [0.0]
    history = made(clock=lambda: (now[0], int(now[0] * 1e9)))
    for _ in range(100):
        history.note(Kind.COMMAND, "refused", who="one")
        now[0] += 0.001
    history.note(Kind.COMMAND, "refused", who="two")
    now[0] += 2
    history.note(Kind.COMMAND, "refused", who="one")
    for _ in range(3):
        history.note(Kind.ERROR, "an error is never left out")
    found = read(history)
    assert [(item.who, item.detail) for item in found[:3]] == [
        ("one", "{}"), ("two", "{}"), ("one", '{"repeated": 99}')]
    assert len(found) == 6


def test_texts_are_bounded(made: Callable[..., History]) -> None:
    history = made()
    history.note(Kind.SETTINGS, "x" * 10_000, who="y" * 10_000, detail={"z": "z" * 20_000})
    found, = read(history)
    assert (len(found.text), len(found.who)) == (400, 100)
    assert found.detail == '{"too_long": 20009}'


def faulty(history: History) -> Faulty:
    read(history)       # it is open
    assert history._database is not None
    history._database = found = Faulty(history._database)  # type: ignore[assignment]
    return found  # type: ignore[return-value]


def test_a_disk_that_hangs_holds_nobody(made: Callable[..., History], tmp_path: Path,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_LIMIT_S", 0.1)
    history = made(tmp_path)
    database = faulty(history)
    database.hold.clear()
    for n in range(QUEUE_ROWS + 500):
        history.note(Kind.ERROR, str(n))
    assert history.written == 0
    assert 400 <= history.dropped <= 500     # what the writer had in hand already counts as waiting
    database.hold.set()
    until(lambda: history.written >= QUEUE_ROWS)
    history.note(Kind.ERROR, "after")
    found = texts(history, limit=5000)
    assert "after" in found
    assert f"{history.dropped} entries were lost: the storage did not take them in time" in found
    database.hold.clear()
    history.note(Kind.ERROR, "at the end")
    history.close()     # returns
    database.hold.set()


def test_what_is_not_on_disk_is_readable_and_tried_again(made: Callable[..., History], tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.02)
    history = made(tmp_path)
    database = faulty(history)
    database.fault = True
    history.note(Kind.ERROR, "one")
    until(lambda: history.failures >= 3)        # tried by itself
    history.note(Kind.WARNING, "two")
    assert texts(history) == ["one", "two"]
    assert texts(history, errors=True) == ["one"]
    assert "not saved" in history.problem
    assert history.written == 0
    database.fault = False
    until(lambda: not history.problem)
    assert history.written == 2
    assert [item.id for item in read(history)] == [1, 2]


def test_a_full_disk(tmp_path: Path) -> None:
    """The file size limit of a child process stands for the full disk."""
    program = f"""
import resource, signal, time
import controller.history as module
from controller.history import History, Query
from controller.spec.history import Kind
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
module.RETRY_S = 0.05
history = History({str(tmp_path)!r})
history.note(Kind.ERROR, "before")
history.read(Query()).result(5)
size = max(path.stat().st_size for path in __import__('pathlib').Path({str(tmp_path)!r}).iterdir())
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
for n in range(3000):
    history.note(Kind.ERROR, f"{{n}}" + "x" * 300)
until = time.monotonic() + 20
while not (history.failures > 3 and history.problem and history.dropped >= 500):
    assert time.monotonic() < until, (history.failures, history.problem, history.dropped)
    time.sleep(0.01)
    history.note(Kind.ERROR, "more" + "x" * 300)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
while history.problem:
    assert time.monotonic() < until
    time.sleep(0.01)
history.note(Kind.ERROR, "after")
found = history.read(Query(limit=5000)).result(5)
assert found[0].text == "before" and found[-1].text == "after", found[-1]
assert any("entries were lost" in item.text for item in found)
history.close()
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == 0, done.stderr


def test_a_damaged_file_is_set_aside_and_said(made: Callable[..., History], tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database" * 300)
    history = made(tmp_path)
    history.note(Kind.ERROR, "after")
    said, after = texts(history)
    aside, = set_aside_files(tmp_path / FILE)
    assert aside.name in said
    assert after == "after"
    assert history.problem == ""


def test_a_folder_that_comes_later(made: Callable[..., History], tmp_path: Path,
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.02)
    (tmp_path / "file").write_text("")
    history = made(tmp_path / "file")
    history.note(Kind.ERROR, "one")
    until(lambda: "cannot be used" in history.problem)
    with pytest.raises(HistoryError, match="cannot be read"):
        read(history)
    assert history.read_failed
    (tmp_path / "file").unlink()
    until(lambda: not history.problem)
    assert texts(history) == ["one"]
    assert not history.read_failed


def test_old_entries_that_cannot_be_deleted(made: Callable[..., History], tmp_path: Path) -> None:
    history = made(tmp_path, 1000)
    read(history)
    assert history._database is not None
    history._database.execute("CREATE TEMP TRIGGER stubborn BEFORE DELETE ON entry "
                              "BEGIN SELECT RAISE(ABORT, 'stubborn'); END")
    for n in range(1100):
        history.note(Kind.VISIT, str(n))
    until(lambda: history.prune_failed)
    assert "stubborn" in history.problem
    assert len(read(history, limit=2000)) == 1100     # nothing is lost for it


def test_after_the_end(made: Callable[..., History], tmp_path: Path) -> None:
    history = made(tmp_path)
    history.note(Kind.PROGRAM, "ends")
    history.close()
    history.note(Kind.PROGRAM, "too late")
    assert history.dropped == 1
    with pytest.raises(HistoryError, match="ending"):
        read(history)
    history.close()
    assert texts(made(tmp_path)) == ["ends"]
