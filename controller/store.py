"""Settings that survive power loss: a key/value table in SQLite, opened by controller/database.py.

Thread contract: `get`, `items`, `put`, `accept` and `tick` belong to one thread (HMI), `close` to the one that made the
store (main); the database is only touched by the store's own writer thread, so that a slow disk never delays a stop. A
lock that is never held during disk access guards what the two sides hand over.
A file that cannot be used never ends the program: values then live in memory, and `problem` says why. What could not be
saved is tried again with the next write and every
kept.RETRY_S. Whenever defaults stand in for values that may have been
set, `unaccepted` says so until an operator accepts them: nobody's limits may get lost without somebody knowing.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDone
from pathlib import Path

import msgspec

from controller import kept
from controller.database import FolderLock, Schema, Unusable, open_database, set_aside_files
from controller.kept import KeptFile, StoreError
from controller.worker import Busy

Value = float | bool | str | None
Check = Callable[[str, Value], str]     # (name, value) -> "" or what is wrong with it
FILE = "settings.sqlite"
SCHEMA = Schema(1, (
    "CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL, changed_at REAL NOT NULL, "
    "checksum INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE acceptance (id INTEGER PRIMARY KEY, asked_at REAL NOT NULL, why TEXT NOT NULL, accepted_at REAL, "
    "accepted_by TEXT)"))
OPEN_LIMIT_S = 5.0  # others may use the file, or it is checked: some of it is ordinary
AT_ONCE_S = 0.0
HOW_TO_ACCEPT = "check the settings, then accept them (button Reset, or `allyarm settings accept`)"
log = logging.getLogger(__name__)


class _Change(msgspec.Struct):
    """What is to be written: new values, names to forget, and who accepted the settings."""

    values: dict[str, Value] = msgspec.field(default_factory=dict)
    removed: set[str] = msgspec.field(default_factory=set)
    accepted_by: str = ""

    def __bool__(self) -> bool:
        return bool(self.values or self.removed or self.accepted_by)

    def add(self, later: _Change) -> None:
        """Put a later change on top."""
        self.removed -= later.values.keys()
        self.removed |= later.removed
        self.values = {key: value for key, value in {**self.values, **later.values}.items() if key not in self.removed}
        self.accepted_by = later.accepted_by or self.accepted_by


class Store(KeptFile):
    """Key/value settings in FILE of `folder`; None keeps them in memory only (`problem` stays empty).

    `check` finds values that are no longer allowed; like unreadable ones they are left out. `problem` says what is
    wrong with the file now, `unaccepted` why the settings in force are not what was stored; "" when all is well.
    `opened` is False when the file was not to be had: then nothing is saved in this run. Opening takes OPEN_LIMIT_S at
    most, and ends when `cancelled` says so.
    """

    def __init__(self, folder: Path | str | None = None, check: Check | None = None, *,
                 cancelled: Callable[[], bool] = lambda: False) -> None:
        super().__init__(Path(folder) / FILE if folder is not None else None, "store",
                         "changes of settings are in force and not saved")
        self.unaccepted = ""
        self.writes = 0
        self.failures = 0
        self.opened = True
        self._check = check
        self._values: dict[str, Value] = {}
        self._unsaved = _Change()       # writer thread only, like the next
        self._bad_rows: list[str] = []
        self._handing = threading.Lock()    # guards the next lines; never held during disk access
        self._asked = _Change()
        self._left_behind = False       # nobody waits for what was asked: the writer has to look by itself
        self._done_opening = self._too_late = False
        if self.path is not None:
            self._values = self._opened(self.path, cancelled)

    def get(self, key: str, default: Value = None) -> Value:
        """The stored value, or `default`."""
        return self._values.get(key, default)

    def items(self) -> dict[str, Value]:
        """A copy of all stored values."""
        return dict(self._values)

    def put(self, values: Mapping[str, Value], remove: Iterable[str] = ()) -> Future[None]:
        """All of it at once, or nothing. In force immediately; the future is done when it is on disk, or fails with
        StoreError. Removed names have their defaults again."""
        change = _Change(dict(values), set(remove) - values.keys())
        self._values.update(values)
        for name in change.removed:
            self._values.pop(name, None)
        return self._hand_over(change)

    def accept(self, who: str) -> Future[None]:
        """An operator accepts the settings in force; the future as for `put`."""
        self.unaccepted = ""
        return self._hand_over(_Change(accepted_by=who))

    def _hand_over(self, change: _Change) -> Future[None]:
        future: Future[None] = Future()
        if self.path is None:
            future.set_result(None)
            return future
        with self._handing:
            self._asked.add(change)
        try:
            return self._worker.submit(self._flush)
        except Busy as error:
            with self._handing:
                self._left_behind = True
            future.set_exception(StoreError(f"{error}: it is not saved" if self._worker.ended else
                                            "the disk is behind: saved as soon as it has caught up"))
            return future

    def _opened(self, path: Path, cancelled: Callable[[], bool]) -> dict[str, Value]:
        """What is stored. A disk that hangs must not keep the controller from starting, or from ending."""
        opening = self._worker.submit(lambda: self._open_in_time(path))
        until_s = time.monotonic() + OPEN_LIMIT_S
        while not cancelled() and time.monotonic() < until_s:
            with contextlib.suppress(NotDone):
                return opening.result(0.1)
        with self._handing:
            self._too_late = not self._done_opening
        if not self._too_late:
            return opening.result()
        self.opened = False
        self._report(f"the disk of {path} did not answer at the start: settings are not saved; check it, then start "
                     "the controller again")
        self.unaccepted = f"the settings could not be read, defaults are in force: {HOW_TO_ACCEPT}"
        return {}

    # -- writer thread

    def _open_in_time(self, path: Path) -> dict[str, Value]:
        values = self._open(path)
        with self._handing:
            self._done_opening = True
            if not self._too_late:
                return values
        self._shut()    # others are in force meanwhile, and would be mixed with what is stored
        return {}

    def _late(self, begun: bool) -> StoreError:
        with self._handing:
            self._left_behind = True
        return StoreError(f"the disk of {self.path} does not answer: saved as soon as it does; check it")

    @property
    def _stuck(self) -> bool:
        return bool(self._unsaved)

    def _pause_s(self) -> float | None:
        return AT_ONCE_S if self._left_behind else super()._pause_s()

    def _retry(self) -> None:
        with contextlib.suppress(StoreError):
            self._flush()

    def _flush(self) -> None:
        """Save all that was asked for; StoreError says why it is not saved."""
        with self._handing:
            asked, self._asked, self._left_behind = self._asked, _Change(), False
        self._unsaved.add(asked)
        if self._database is None or self._unsaved:
            self._save()

    def _end(self) -> None:
        self._retry()
        super()._end()

    def _open(self, path: Path) -> dict[str, Value]:
        try:
            self._lock = FolderLock(path)
            opened = open_database(path, SCHEMA, _ask_for_acceptance)
        except Unusable as error:
            self._shut()
            self.opened = False
            self._report(f"settings file cannot be used ({error}): settings are not saved; check the folder's rights "
                         "and free space, then start the controller again")
            if _may_exist(path):
                self.unaccepted = f"the settings could not be read, defaults are in force: {HOW_TO_ACCEPT}"
            return {}
        self._database = opened.connection
        if opened.why:
            log.error("the stored settings in %s could not be used (%s)", path, opened.why)
        try:
            values = self._read(opened.connection)
            asked = opened.connection.execute("SELECT why FROM acceptance WHERE accepted_at IS NULL").fetchall()
        except sqlite3.Error as error:
            self._shut()
            self.opened = False
            self._report(f"settings file {path} cannot be read ({error}): settings are not saved; start the controller "
                         "again")
            self.unaccepted = f"the settings could not be read, defaults are in force: {HOW_TO_ACCEPT}"
            return {}
        reasons = [_readable(why) for why, in asked]
        if self._bad_rows:
            names = ", ".join(map(ascii, self._bad_rows[:5])) + (" and more" if len(self._bad_rows) > 5 else "")
            reasons.append(f"stored values that are unreadable or not allowed were left out: {names}")
            log.error("settings in %s: %s", path, reasons[-1])
        if reasons:
            self.unaccepted = f"{'; '.join(reasons)}. Defaults are in force instead: {HOW_TO_ACCEPT}"
        return values

    def _read(self, database: sqlite3.Connection) -> dict[str, Value]:
        values: dict[str, Value] = {}
        database.text_factory = _lenient
        for key, text, checksum in database.execute("SELECT key, value, checksum FROM setting"):
            value = _decoded(key, text, checksum)
            if isinstance(value, bool | int | float | str | None) and not (self._check and self._check(key, value)):
                values[key] = value
            else:
                self._bad_rows.append(key)
        return values

    def _save(self) -> None:
        """Write all that is not on disk yet; what could not be written stays unsaved, and StoreError says why."""
        if self._database is None:
            self.failures += 1
            self._unsaved = _Change()  # it will not open in this run: `problem` says so until the end
            raise StoreError(self.problem)
        try:
            self._database.execute("BEGIN IMMEDIATE")
            _apply(self._database, self._unsaved, self._bad_rows)
            self._database.execute("COMMIT")
        except Exception as error:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            self.failures += 1
            count = len(self._unsaved.values) + len(self._unsaved.removed) + bool(self._unsaved.accepted_by)
            self._report(f"{count} changes of settings not saved ({error}): they are in force until the next restart "
                         f"and tried again every {kept.RETRY_S:g} s; check the free space of {self.path}")
            raise StoreError(self.problem) from None
        done, self._unsaved = self._unsaved, _Change()
        self._bad_rows = [] if done.accepted_by else [
            key for key in self._bad_rows if key not in done.values and key not in done.removed]
        self.writes += 1
        self.problem = ""


def _may_exist(path: Path) -> bool:
    """Whether there may be settings that nobody could read. Where nothing can be, nothing was set."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return bool(set_aside_files(path))
    except OSError:
        pass
    return True


def _ask_for_acceptance(database: sqlite3.Connection, why: str) -> None:
    """In the transaction that makes a fresh file: it takes the place of another one, and says so until accepted."""
    if why:
        database.execute("INSERT INTO acceptance (asked_at, why) VALUES (?, ?)", (
            time.time(), f"the stored settings could not be used ({why})"))


def _apply(database: sqlite3.Connection, change: _Change, bad_rows: Iterable[str]) -> None:
    now = time.time()
    texts = [(key, json.dumps(value)) for key, value in change.values.items()]
    database.executemany("INSERT OR REPLACE INTO setting VALUES (?, ?, ?, ?)",
                         [(key, text, now, _checksum(key, text)) for key, text in texts])
    database.executemany("DELETE FROM setting WHERE key = ?", [(key,) for key in change.removed])
    if change.accepted_by:
        kept = change.values.keys()
        for key in bad_rows:
            if key not in kept:
                raw = key.encode(errors="surrogateescape")
                database.execute("INSERT INTO acceptance (asked_at, why) SELECT ?, 'left out: ' || quote(key) || ' = ' "
                                 "|| quote(value) FROM setting WHERE key = CAST(? AS TEXT)", (now, raw))
                database.execute("DELETE FROM setting WHERE key = CAST(? AS TEXT)", (raw,))
        database.execute("UPDATE acceptance SET accepted_at = ?, accepted_by = ? WHERE accepted_at IS NULL",
                         (now, change.accepted_by))


def _checksum(key: str, text: str) -> int:
    """SQLite finds damage of its own structure only; a changed digit of a limit must not pass."""
    return zlib.crc32(f"{key}={text}".encode(errors="surrogateescape"))


def _readable(why: object) -> str:
    """Why acceptance was asked for; the record of it may be damaged too."""
    if not isinstance(why, str) or not why.strip():
        return "the record of why they were asked to be accepted is damaged"
    return "".join(letter if letter.isprintable() else "?" for letter in why)


def _lenient(raw: bytes) -> str:
    """Damaged text must not hide the rows beside it."""
    return raw.decode(errors="surrogateescape")


def _decoded(key: str, text: object, checksum: object) -> object:
    """The value of a row, or ... when it is not what was written."""
    if not isinstance(text, str) or checksum != _checksum(key, text):
        return ...
    try:
        return json.loads(text)
    except ValueError:
        return ...
