"""A SQLite file is opened so that nothing old is lost: damage and other versions are set aside, the rest left alone."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from controller.database import ASIDE_LIMIT, Opened, Schema, Unusable, open_database, set_aside_files

SCHEMA = Schema(1, ("CREATE TABLE item (name TEXT PRIMARY KEY) WITHOUT ROWID",))


def fill(connection: sqlite3.Connection, why: str) -> None:
    connection.execute("INSERT INTO item VALUES (?)", (f"first: {bool(why)}",))


def opened(path: Path) -> Opened:
    return open_database(path, SCHEMA, fill)


def names(connection: sqlite3.Connection) -> list[str]:
    return [name for name, in connection.execute("SELECT name FROM item ORDER BY name")]


def closed(path: Path, *more: str) -> None:
    found = opened(path)
    found.connection.executemany("INSERT INTO item VALUES (?)", [(name,) for name in more])
    found.connection.close()


def test_a_fresh_file_is_filled_once_and_durable(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder" / "a.sqlite"
    closed(path, "kept")
    found = opened(path)
    assert (found.why, found.aside) == ("", None)
    assert names(found.connection) == ["first: False", "kept"]
    pragmas = [found.connection.execute(f"PRAGMA {name}").fetchone()[0]
               for name in ("journal_mode", "synchronous", "user_version")]
    assert pragmas == ["wal", 2, 1]
    found.connection.close()
    assert [item.name for item in path.parent.iterdir()] == ["a.sqlite"]


@pytest.mark.parametrize("content", [b"", b"x", b"not a database" * 500, b"SQLite format 3\0" + b"\xff" * 5000])
def test_damage_is_set_aside_whole(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(content)
    found = opened(path)
    assert found.why
    assert found.aside is not None
    assert found.aside.read_bytes() == content
    assert names(found.connection) == ["first: True"]
    found.connection.close()
    again = opened(path)
    assert (again.why, again.aside) == ("", None)
    again.connection.close()


def test_a_damaged_page_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    closed(path, *(f"name {i} {'x' * 100}" for i in range(1000)))
    content = bytearray(path.read_bytes())
    content[4096 * 5:4096 * 6] = os.urandom(4096)
    path.write_bytes(content)
    found = opened(path)
    assert found.aside is not None
    assert found.aside.read_bytes() == content
    found.connection.close()


@pytest.mark.parametrize(("change", "word"), [
    ("PRAGMA user_version = 2", "newer version"), ("PRAGMA user_version = 0", "not those of schema 1"),
    ("DROP TABLE item", "not those of schema 1"), ("CREATE TABLE other (a)", "not those of schema 1")])
def test_another_versions_file_is_set_aside(tmp_path: Path, change: str, word: str) -> None:
    path = tmp_path / "a.sqlite"
    closed(path)
    with sqlite3.connect(path) as other:
        other.execute(change)
    other.close()
    content = path.read_bytes()
    found = opened(path)
    assert word in found.why
    assert found.aside is not None
    assert found.aside.read_bytes() == content
    found.connection.close()


def test_the_log_goes_with_its_database(tmp_path: Path) -> None:
    """What a newer version committed last may stand in the log only."""
    path = tmp_path / "a.sqlite"
    closed(path)
    newer = sqlite3.connect(path, isolation_level=None)
    newer.execute("PRAGMA wal_autocheckpoint = 0")
    newer.execute("PRAGMA user_version = 2")
    newer.execute("INSERT INTO item VALUES ('newest')")
    copies = {suffix: Path(f"{path}{suffix}").read_bytes() for suffix in ("", "-wal")}
    newer.close()
    for suffix, content in copies.items():
        Path(f"{path}{suffix}").write_bytes(content)
    found = opened(path)
    assert found.aside is not None
    found.connection.close()
    with sqlite3.connect(found.aside) as old:
        assert names(old) == ["first: False", "newest"]
    old.close()


def test_a_cut_while_setting_aside_is_finished(tmp_path: Path) -> None:
    """Between the renames of file and log, and between the renames and the fresh file: never a silent start anew."""
    path = tmp_path / "a.sqlite"
    aside = tmp_path / "a.sqlite.set-aside-20200101T000000-000000001"
    aside.write_bytes(b"damaged")
    Path(f"{path}-wal").write_bytes(b"its log")
    (tmp_path / "a.sqlite.new").write_bytes(b"half of a fresh one")
    found = opened(path)
    assert found.aside == aside
    assert "missing" in found.why
    assert names(found.connection) == ["first: True"]
    found.connection.close()
    assert Path(f"{aside}-wal").read_bytes() == b"its log"
    # A log that has no home is kept too, and overwrites nothing.
    path.unlink()
    Path(f"{path}-wal").write_bytes(b"another log")
    found = opened(path)
    assert found.why
    found.connection.close()
    assert Path(f"{aside}-wal").read_bytes() == b"its log"
    assert len(set_aside_files(path)) == 2


def test_set_aside_files_do_not_pile_up(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    for _ in range(ASIDE_LIMIT):
        path.write_bytes(b"damaged")
        opened(path).connection.close()
    path.write_bytes(b"damaged again")
    with pytest.raises(Unusable, match=f"{ASIDE_LIMIT} files like it were set aside"):
        opened(path)
    assert path.read_bytes() == b"damaged again"
    assert len(set_aside_files(path)) == ASIDE_LIMIT


def test_what_cannot_be_used_now_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.database.BUSY_S", 0.05)
    path = tmp_path / "a.sqlite"
    closed(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unusable, match="locked"):
        opened(path)
    other.execute("ROLLBACK")
    other.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(Unusable, match="file"):
        opened(tmp_path / "file" / "a.sqlite")
    (tmp_path / "b.sqlite").mkdir()
    with pytest.raises(Unusable):
        opened(tmp_path / "b.sqlite")
    os.mkfifo(tmp_path / "c.sqlite")    # to open it would wait for a writer, and the start with it
    with pytest.raises(Unusable, match="it is no file"):
        opened(tmp_path / "c.sqlite")
    assert not set_aside_files(path)
    opened(path).connection.close()
