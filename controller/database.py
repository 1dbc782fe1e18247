"""Opens a SQLite file so that a commit survives power loss and nothing old is ever lost or overwritten.

Write-ahead log, full synchronisation, `quick_check`, schema version. A file that is damaged, or that another version of
the program wrote, is set aside under a name of its own and a fresh one takes its place; the caller is told. A file that
merely cannot be used now (rights, full disk, in use) is left as it is: Unusable.

A fresh file is made under another name and renamed when it is complete, so a cut at any instant leaves a whole file or
none; none beside set-aside ones means that the cut came between the two, and counts as set aside.
Thread contract: no state; the connection belongs to whoever asked for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from controller.folders import sync_folder

MARK = ".set-aside-"
ASIDE_LIMIT = 5         # further ones would fill the disk while nobody looks
BUSY_S = 2.0            # another process may read or copy the file meanwhile
LOCK_RETRY_S = 0.02
CACHE_KB = 256
WAL_LIMIT_BYTES = 4 << 20
MAGIC, SMALLEST_BYTES = b"SQLite format 3\0", 512
COMPANIONS = ("-wal", "-shm", "-journal")


class Schema(msgspec.Struct, frozen=True):
    """`statements` make an empty database, one CREATE each, in the words SQLite keeps; a change of them is a new
    `version` (1, 2, ...). A file of the version `before` is brought forward by `upgrade`, in one transaction."""

    version: int
    statements: tuple[str, ...]
    before: Schema | None = None
    upgrade: tuple[str, ...] = ()


class Opened(msgspec.Struct, frozen=True):
    """A connection in autocommit mode. `why` is "" or says what was wrong with the file that stood there before and
    where it is now: `aside`."""

    connection: sqlite3.Connection
    why: str = ""
    aside: Path | None = None


class Unusable(Exception):
    """The file cannot be used now; says why. It was not touched."""


class _Damaged(Exception):
    """What is wrong with the content of a file."""


class FolderLock:
    """Held as long as a file is in use, so that no second controller or command writes it. A killed holder frees it.

    Raises Unusable when somebody else still holds it after `wait_s`, or when there is no such folder to be had.
    """

    def __init__(self, path: Path, wait_s: float = BUSY_S) -> None:
        until = time.monotonic() + wait_s
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(_lock_file(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise Unusable(f"{path}: {error}") from error
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= until:
                    os.close(self._descriptor)
                    raise Unusable(f"{path}: another controller or command uses it, end that or give this one another "
                                   "folder (store.path)") from None
                time.sleep(LOCK_RETRY_S)
            except OSError as error:
                os.close(self._descriptor)
                raise Unusable(f"{path}: it cannot be locked: {error}") from error

    def close(self) -> None:
        os.close(self._descriptor)


def in_use(path: Path) -> bool:
    """Whether somebody holds the FolderLock of `path`; for this the right to read is enough."""
    try:
        descriptor = os.open(_lock_file(path), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _lock_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


Fill = Callable[[sqlite3.Connection, str], None]


def nothing(_: sqlite3.Connection, why: str) -> None:
    """A `fill` for tables that start empty."""


def open_database(path: Path, schema: Schema, fill: Fill = nothing) -> Opened:
    """Open `path`, or make it. `fill(connection, why)` writes the first rows of a fresh file in the transaction that
    makes it; `why` as in Opened. Raises Unusable. The calling thread may close the connection in another one.
    """
    why, aside = "", None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _finish_set_aside(path)
        if path.exists():
            try:
                return Opened(_connect(path, schema))
            except (_Damaged, sqlite3.DatabaseError) as error:
                if isinstance(error, sqlite3.OperationalError):     # no access, disk full, locked: not its content
                    raise
                aside = _set_aside(path)
                why = f"{error}; the file was kept as {aside.name}"
        elif kept := set_aside_files(path):
            why, aside = f"it is missing beside {kept[-1].name}, which was set aside", kept[-1]
        _make(path, schema, fill, why)
        return Opened(_connect(path, schema), why, aside)
    except (sqlite3.Error, OSError, _Damaged) as error:
        raise Unusable(f"{path}: {error}") from error


def set_aside_files(path: Path) -> list[Path]:
    """The set-aside predecessors of `path`, the oldest first; a log that lost its database counts as one."""
    found = {item.name for item in path.parent.glob(f"{path.name}{MARK}*")}
    return [path.with_name(name) for name in sorted({re.sub(r"-(wal|shm|journal)$", "", name) for name in found})]


def _connect(path: Path, schema: Schema) -> sqlite3.Connection:
    if not path.is_file():
        raise OSError("it is no file")      # to open a pipe would wait for ever
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC or path.stat().st_size < SMALLEST_BYTES:
            raise _Damaged("it is no SQLite file")  # a short one SQLite would take for empty, and overwrite
    database = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        database.execute(f"PRAGMA cache_size = -{CACHE_KB}")     # of locked memory
        if (found := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise _Damaged(found)
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version > schema.version:
            raise _Damaged(f"a newer version of the program wrote it: schema {version}, this one knows "
                           f"{schema.version}")
        _bring_forward(database, schema, version)
        database.execute("BEGIN IMMEDIATE")     # whether it can be written, before anybody relies on it
        database.execute("ROLLBACK")
    except BaseException:
        database.close()
        raise
    return database


def _bring_forward(database: sqlite3.Connection, schema: Schema, version: int) -> None:
    """From the version that wrote the file to the present one, each step whole or not at all."""
    if version < schema.version and schema.before is not None:
        _bring_forward(database, schema.before, version)
        database.execute("BEGIN IMMEDIATE")
        for statement in schema.upgrade:
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {schema.version}")
        database.execute("COMMIT")
    elif version != schema.version:
        raise _Damaged(f"its tables are not those of schema {schema.version}")
    tables = {text for text, in database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    if tables != set(schema.statements):
        raise _Damaged(f"its tables are not those of schema {schema.version}")


def _make(path: Path, schema: Schema, fill: Fill, why: str) -> None:
    """A complete file or none: made beside, then renamed."""
    draft = path.with_name(f"{path.name}.new")
    for name in (draft, *(Path(f"{draft}{suffix}") for suffix in COMPANIONS)):
        name.unlink(missing_ok=True)
    database = sqlite3.connect(draft, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("BEGIN IMMEDIATE")
        for statement in schema.statements:
            database.execute(statement)
        fill(database, why)
        database.execute(f"PRAGMA user_version = {schema.version}")
        database.execute("COMMIT")
    finally:
        database.close()
    os.replace(draft, path)
    sync_folder(path.parent)


def _set_aside(path: Path) -> Path:
    """Rename the file and its log; the log comes second, so a cut in between is found by `_finish_set_aside`."""
    if len(kept := set_aside_files(path)) >= ASIDE_LIMIT:
        raise OSError(f"it cannot be used, and {len(kept)} files like it were set aside already ({kept[0].name} to "
                      f"{kept[-1].name}): look at them, and move or delete them")
    aside = _aside_name(path)
    os.rename(path, aside)
    _move_companions(path, aside)
    sync_folder(path.parent)
    return aside


def _finish_set_aside(path: Path) -> None:
    """A log without its database is what a cut in the middle of `_set_aside` leaves; SQLite would delete it."""
    if path.exists() or not any(Path(f"{path}{suffix}").exists() for suffix in COMPANIONS):
        return
    kept = set_aside_files(path)
    whole = not kept or any(Path(f"{kept[-1]}{suffix}").exists() for suffix in COMPANIONS)
    _move_companions(path, _aside_name(path) if whole else kept[-1])


def _aside_name(path: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    return path.with_name(f"{path.name}{MARK}{stamp}-{time.monotonic_ns() % 1_000_000_000:09d}")


def _move_companions(path: Path, aside: Path) -> None:
    for suffix in COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{aside}{suffix}")
