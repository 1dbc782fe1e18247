"""Settings that survive power loss: a key/value table in SQLite (write-ahead log, full synchronisation).

Thread contract: `get`, `items` and `put` belong to one thread (HMI), `close` to the one that made the store (main); the
database is only touched by the store's own writer thread, so that a slow disk never delays a stop. A lock that is never
held during disk access guards what the two sides hand over.
A file that cannot be used never ends the program: values then live in memory, and `problem` says why. What could not be
saved is tried again with the next write and every RETRY_S.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path

Value = float | bool | str | None
FILE = "settings.sqlite"
SCHEMA_VERSION = 1
SCHEMA = "CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL, changed_at REAL NOT NULL) WITHOUT ROWID"
RETRY_S = 5.0
CLOSE_LIMIT_S = 1.0
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
        self._unsaved: dict[str, Value] = {}  # writer thread only
        self._work = threading.Condition()
        self._asked: list[tuple[dict[str, Value], Future[None]]] = []
        self._ending = False
        self._writer: threading.Thread | None = None
        if self.path is not None:
            opened: Future[dict[str, Value]] = Future()
            # A daemon, so that a disk that hangs cannot keep the program from ending.
            self._writer = threading.Thread(target=self._write, args=(self.path, opened), name="store", daemon=True)
            self._writer.start()
            self._values = opened.result()

    def get(self, key: str, default: Value = None) -> Value:
        """The stored value, or `default`."""
        return self._values.get(key, default)

    def items(self) -> dict[str, Value]:
        """A copy of all stored values."""
        return dict(self._values)

    def put(self, values: Mapping[str, Value]) -> Future[None]:
        """Values are in force at once; the future is done when they are on disk, or fails with StoreError."""
        self._values.update(values)
        future: Future[None] = Future()
        if self._writer is None:
            future.set_result(None)
            return future
        with self._work:
            if self._ending:
                future.set_exception(StoreError("the program is ending: it is not saved"))
            else:
                self._asked.append((dict(values), future))
                self._work.notify()
        return future

    def close(self) -> None:
        """Save what is waiting and close the file, within CLOSE_LIMIT_S. May be called twice."""
        if self._writer is None or self._ending:
            return
        with self._work:
            self._ending = True
            self._work.notify()
        self._writer.join(CLOSE_LIMIT_S)
        if self._writer.is_alive():
            log.error("the disk of %s does not answer: what was changed last may not be saved", self.path)

    # -- writer thread

    def _write(self, path: Path, opened: Future[dict[str, Value]]) -> None:
        try:
            opened.set_result(self._open(path))
        except BaseException as error:
            opened.set_exception(error)
            return
        ending = False
        while not ending:
            with self._work:
                self._work.wait_for(lambda: self._asked or self._ending, RETRY_S if self._unsaved else None)
                asked, self._asked, ending = self._asked, [], self._ending
            for values, _ in asked:
                self._unsaved.update(values)
            failure = self._save() if self._unsaved else None
            for _, future in asked:
                if failure is None:
                    future.set_result(None)
                else:
                    future.set_exception(failure)
        self._close()

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

    def _save(self) -> StoreError | None:
        """Write all that is not on disk yet; what could not be written stays unsaved, and the error says why."""
        if self._database is None:
            self.failures += 1
            self._unsaved.clear()  # it will not open in this run: `problem` says so until the end
            return StoreError(self.problem)
        now = time.time()
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(
                "INSERT INTO setting VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, "
                "changed_at = excluded.changed_at",
                [(key, json.dumps(value), now) for key, value in self._unsaved.items()])
            self._database.execute("COMMIT")
        except Exception as error:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            self.failures += 1
            self._report(f"{len(self._unsaved)} settings not saved ({error}): they are in force until the next restart "
                         f"and tried again every {RETRY_S:g} s; check the free space of {self.path}")
            return StoreError(self.problem)
        self._unsaved.clear()
        self.writes += 1
        self.problem = self._damage
        return None

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _report(self, text: str) -> None:
        if text != self.problem:  # once per cause, not once per try
            log.error(text)
        self.problem = text
