"""Settings that survive power loss: a key/value table in SQLite (write-ahead log, full synchronisation).

Thread contract: `get`, `items` and `put` belong to the thread that made the store (HMI); the database itself is only
touched by the store's own writer thread, so that a slow disk never delays a stop.
A file that cannot be used never ends the program: values then live in memory, and `problem` says why.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

Value = float | bool | str | None
FILE = "settings.sqlite"
SCHEMA_VERSION = 1
SCHEMA = "CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL, changed_at REAL NOT NULL) WITHOUT ROWID"
log = logging.getLogger(__name__)


class StoreError(Exception):
    """A value is in force but not on disk; the text says why and what to do."""


class Store:
    """Key/value settings in FILE of `folder`; None keeps them in memory only (`problem` stays empty)."""

    def __init__(self, folder: Path | str | None = None) -> None:
        self.path = Path(folder) / FILE if folder is not None else None
        self.problem = ""
        self.writes = 0
        self.failures = 0
        self._damage = ""
        self._values: dict[str, Value] = {}
        self._database: sqlite3.Connection | None = None
        self._writer: ThreadPoolExecutor | None = None
        if self.path is not None:
            self._writer = ThreadPoolExecutor(1, "store")
            self._values = self._writer.submit(self._open, self.path).result()

    def get(self, key: str, default: Value = None) -> Value:
        """The stored value, or `default`."""
        return self._values.get(key, default)

    def items(self) -> dict[str, Value]:
        """A copy of all stored values."""
        return dict(self._values)

    def put(self, values: Mapping[str, Value]) -> Future[None]:
        """Values are in force at once; the future is done when they are on disk, or fails with StoreError."""
        self._values.update(values)
        if self._writer is None:
            done: Future[None] = Future()
            done.set_result(None)
            return done
        return self._writer.submit(self._save, dict(values))

    def close(self) -> None:
        """Wait for running writes and close the file. May be called twice."""
        if self._writer is not None:
            self._writer.submit(self._close).result()
            self._writer.shutdown()
            self._writer = None

    # -- writer thread

    def _open(self, path: Path) -> dict[str, Value]:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return self._load(path)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):  # not corrupt: no access, disk full, locked
                    raise
                aside = self._set_aside(path)
                self._report(f"settings file {path} is damaged ({error}); it was kept as {aside.name}, "
                             "settings start from their defaults")
                self._damage = self.problem  # stays visible for this run
                return self._load(path)
        except (sqlite3.Error, OSError) as error:
            self._close()
            self._report(f"settings file {path} cannot be used ({error}): settings are not saved; "
                         "check the folder's rights and free space")
            return {}

    def _load(self, path: Path) -> dict[str, Value]:
        database = sqlite3.connect(path, isolation_level=None, timeout=2.0, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            if (found := database.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(found)
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise OSError(f"it was written by a newer version: schema {version}, this program knows "
                              f"{SCHEMA_VERSION}")
            if version == 0:
                database.execute("BEGIN IMMEDIATE")
                database.execute(SCHEMA)
                database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                database.execute("COMMIT")
            values = self._read(database)
        except BaseException:
            database.close()
            raise
        self._database = database
        return values

    def _read(self, database: sqlite3.Connection) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for key, text in database.execute("SELECT key, value FROM setting"):
            try:
                value = json.loads(text)
            except ValueError:
                value = ...
            if isinstance(value, bool | int | float | str | None):
                values[key] = value
            else:
                self._report(f"setting {key} in {self.path} is unreadable; its default is used")
        return values

    def _set_aside(self, path: Path) -> Path:
        aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
        os.replace(path, aside)
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{path}{suffix}", f"{aside}{suffix}")
        return aside

    def _save(self, values: dict[str, Value]) -> None:
        if self._database is None:
            self.failures += 1
            raise StoreError(self.problem)
        now = time.time()
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(
                "INSERT INTO setting VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, "
                "changed_at = excluded.changed_at",
                [(key, json.dumps(value), now) for key, value in values.items()])
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            self.failures += 1
            self._report(f"setting not saved ({error}): it is in force until the next restart; "
                         f"check the free space of {self.path}")
            raise StoreError(self.problem) from None
        self.writes += 1
        self.problem = self._damage

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _report(self, text: str) -> None:
        self.problem = text
        log.error(text)
