"""Settings survive a restart, and a file that cannot be used never ends the program."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from controller.database import FolderLock, in_use, set_aside_files
from controller.kept import StoreError
from controller.store import FILE, SCHEMA, Store
from tests.faulty_database import Faulty


def test_values_survive_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.get("speed.1", 100.0) == 100.0
    values = {"speed.1": 55.5, "lock": True, "label": "Tür 'x'; DROP TABLE setting", "verbosity": None}
    store.put(values).result(5)
    store.put({"speed.1": 60}).result(5)
    store.close()
    again = Store(tmp_path)
    assert again.items() == {**values, "speed.1": 60}
    assert again.get("verbosity", "brief") is None
    assert (again.problem, again.failures) == ("", 0)
    again.close()
    again.close()


def test_written_durably(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store._database is not None
    found = [store._database.execute(f"PRAGMA {name}").fetchone()[0]
             for name in ("journal_mode", "synchronous", "user_version")]
    assert found == ["wal", 2, SCHEMA.version]
    store.close()


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    program = (f"import os; from controller.store import Store; s = Store({str(tmp_path)!r}); "
               "s.put({'a': 1}).result(5); os.kill(os.getpid(), 9)")
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=30).returncode == -9
    store = Store(tmp_path)
    assert store.items() == {"a": 1}
    store.close()


@pytest.mark.parametrize("content", [b"not a database" * 500, b"SQLite format 3\0" + b"\xff" * 5000, b"x" * 2000])
def test_a_damaged_file_is_kept_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    store = Store(tmp_path)
    aside, = set_aside_files(tmp_path / FILE)
    assert aside.read_bytes() == content
    assert aside.name in store.unaccepted
    assert (store.items(), store.problem) == ({}, "")
    store.put({"a": 1}).result(5)
    assert aside.name in store.unaccepted   # a saved value is no acceptance
    store.close()
    again = Store(tmp_path)                 # and a restart is none
    assert aside.name in again.unaccepted
    again.accept("client 1").result(5)
    assert again.unaccepted == ""
    again.close()
    accepted = Store(tmp_path)
    assert (accepted.items(), accepted.problem, accepted.unaccepted) == ({"a": 1}, "", "")
    accepted.close()
    with sqlite3.connect(tmp_path / FILE) as database:
        assert [who for who, in database.execute("SELECT accepted_by FROM acceptance")] == ["client 1"]
    assert aside.read_bytes() == content


@pytest.mark.parametrize("change", [
    "value = '{'", "value = '[1]'", "value = '2.5'", "value = x'00ff'", "value = CAST(x'ff' AS TEXT)",
    "key = CAST(x'62ff' AS TEXT)", "checksum = 'one'"])
def test_one_unreadable_value_costs_only_itself(tmp_path: Path, change: str) -> None:
    """Also one whose digits changed: SQLite's own check does not see that."""
    store = Store(tmp_path)
    store.put({"a": 1, "b": 2, "c": 3}).result(5)
    store.close()
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute(f"UPDATE setting SET {change} WHERE key = 'b'")
    store = Store(tmp_path)
    assert store.items() == {"a": 1, "c": 3}
    assert "left out: 'b" in store.unaccepted
    store.close()
    store = Store(tmp_path)
    assert store.unaccepted
    store.put({"a": 7}).result(5)
    store.accept("somebody").result(5)
    store.close()
    again = Store(tmp_path)
    assert (again.items(), again.unaccepted) == ({"a": 7, "c": 3}, "")
    again.close()
    with sqlite3.connect(tmp_path / FILE) as database:
        database.text_factory = bytes
        kept, = database.execute("SELECT why FROM acceptance").fetchone()
    assert kept.startswith(b"left out: 'b")


def test_a_value_entered_anew_outlives_the_acceptance(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put({"a": 1, "b": 2}).result(5)
    store.close()
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("UPDATE setting SET value = '9'")
    store = Store(tmp_path)
    store.put({"b": 5}).result(5)
    store.accept("somebody").result(5)
    store.close()
    again = Store(tmp_path)
    assert (again.items(), again.unaccepted) == ({"b": 5}, "")
    again.close()


def test_a_value_that_is_no_longer_allowed_is_left_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put({"percent": 150, "other": 1}).result(5)
    store.close()
    store = Store(tmp_path, lambda name, value: "too high" if name == "percent" and value == 150 else "")
    assert store.items() == {"other": 1}
    assert "percent" in store.unaccepted
    store.close()


def test_removed_names_have_their_defaults_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put({"a": 1, "b": 2, "c": 3})
    store.put({"c": 4, "d": 5}, remove=["a", "c", "never there"])   # what is given wins over its removal
    store.put({"b": 6}, remove=["d"]).result(5)
    assert store.items() == {"b": 6, "c": 4}
    store.close()
    again = Store(tmp_path)
    assert again.items() == {"b": 6, "c": 4}
    again.close()


def test_a_newer_schema_is_set_aside(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put({"a": 1}).result(5)
    store.close()
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA.version + 1}")
    newer = Store(tmp_path)
    assert "newer version" in newer.unaccepted
    assert newer.items() == {}
    newer.put({"a": 2}).result(5)
    newer.close()
    aside, = set_aside_files(tmp_path / FILE)
    with sqlite3.connect(aside) as database:
        assert database.execute("SELECT value FROM setting").fetchall() == [("1",)]


def test_one_writer_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Store(tmp_path)
    first.put({"a": 1}).result(5)
    monkeypatch.setattr(FolderLock.__init__, "__defaults__", (0.05,))
    second = Store(tmp_path)
    assert "another controller or command uses it, end that" in second.problem
    assert second.unaccepted
    with pytest.raises(StoreError, match="another controller"):
        second.put({"a": 2}).result(5)
    second.close()
    assert in_use(tmp_path / FILE)
    first.close()
    assert not in_use(tmp_path / FILE)
    assert not in_use(tmp_path / "nothing" / FILE)
    third = Store(tmp_path)
    assert (third.items(), third.problem, third.unaccepted) == ({"a": 1}, "", "")
    third.close()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "folder")
    assert "cannot be used" in store.problem
    with pytest.raises(StoreError, match="not saved"):
        store.put({"a": 1}).result(5)
    assert store.get("a") == 1
    assert store.failures == 1
    assert store.unaccepted == ""   # where nothing can be, nothing was set
    store.close()


def test_settings_that_cannot_be_read_have_to_be_accepted_at_each_start(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()       # there is something, whatever it is
    for _ in range(2):
        store = Store(tmp_path)
        assert "cannot be used" in store.problem
        assert "could not be read" in store.unaccepted
        with pytest.raises(StoreError):     # it holds for this run, and is asked for again in the next
            store.accept("somebody").result(5)
        assert store.unaccepted == ""
        store.close()


def test_a_full_disk_is_told_and_later_writes_work(tmp_path: Path) -> None:
    """The file size limit of a child process stands for the full disk."""
    program = f"""
import resource, signal
from controller.kept import StoreError
from controller.store import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store({str(tmp_path)!r})
store.put({{'before': 1}}).result(5)
size = max(path.stat().st_size for path in __import__('pathlib').Path({str(tmp_path)!r}).iterdir())
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
failed = 0
for n in range(40):
    try:
        store.put({{f'k{{n}}': 'x' * 4000}}).result(5)
    except StoreError as error:
        failed += 1
        assert 'not saved' in str(error), error
assert failed and store.failures == failed and store.problem, (failed, store.problem)
assert store.get('k39') == 'x' * 4000
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.put({{'after': 2}}).result(5)
assert store.problem == ''
assert store.failures == failed
store.close()
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == 0, done.stderr
    store = Store(tmp_path)
    assert store.get("before") == 1
    assert store.get("after") == 2
    assert store.get("k39") == "x" * 4000  # what failed was written with the next that did not
    store.close()


def faulty(store: Store) -> Faulty:
    assert store._database is not None
    store._database = found = Faulty(store._database, fault=True)  # type: ignore[assignment]
    return found  # type: ignore[return-value]


def test_what_was_not_saved_is_tried_again_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.kept.RETRY_S", 0.05)
    store = Store(tmp_path)
    store.put({"limit": 100}).result(5)
    database = faulty(store)
    with pytest.raises(StoreError, match="not saved"):
        store.put({"limit": 20}).result(5)
    with pytest.raises(StoreError, match="2 changes of settings not saved"):
        store.put({"other": 1}).result(5)
    failures = store.failures
    until = time.monotonic() + 5
    while store.failures < failures + 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert "not saved" in store.problem
    database.fault = False
    while store.problem:
        assert time.monotonic() < until
        time.sleep(0.01)
    store.close()
    again = Store(tmp_path)
    assert again.items() == {"limit": 20, "other": 1}
    again.close()


def test_what_is_unsaved_at_the_end_is_tried_once_more(tmp_path: Path) -> None:
    store = Store(tmp_path)
    database = faulty(store)
    with pytest.raises(StoreError):
        store.put({"limit": 20}).result(5)
    database.fault = False
    store.close()
    again = Store(tmp_path)
    assert again.items() == {"limit": 20}
    again.close()


def test_a_disk_that_hangs_does_not_hold_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.kept.CLOSE_LIMIT_S", 0.2)
    store = Store(tmp_path)
    database = faulty(store)
    database.fault = False
    database.hold.clear()
    saved = store.put({"a": 1})
    started = time.monotonic()
    store.close()
    assert time.monotonic() - started < 5
    assert not saved.done()
    with pytest.raises(StoreError, match="ending"):
        store.put({"a": 2}).result(5)
    database.hold.set()
    saved.result(5)


def test_without_a_folder_nothing_is_written_anywhere() -> None:
    store = Store()
    store.put({"a": 1}).result(1)
    assert (store.get("a"), store.problem) == (1, "")
    store.close()


@pytest.mark.parametrize("why", ["x'ff00'", "5", "CAST(x'4fff4b' AS TEXT)", "''", "'bell' || char(7)"])
def test_a_damaged_record_of_an_acceptance_still_asks_in_words(tmp_path: Path, why: str) -> None:
    (tmp_path / FILE).write_bytes(b"not a database" * 500)
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute(f"UPDATE acceptance SET why = {why}")
    store = Store(tmp_path)
    assert store.unaccepted
    assert store.unaccepted.isprintable()
    assert store.unaccepted.encode()
    assert "accept them" in store.unaccepted
    assert store.problem == ""
    store.accept("somebody").result(5)
    store.close()
    again = Store(tmp_path)
    assert again.unaccepted == ""
    again.close()
