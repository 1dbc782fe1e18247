"""The history that survives power loss: who did what, and what happened, when. A bounded table in SQLite.

Thread contract: `note` and `read` may be called by any thread and never wait for a disk: they hand over to the
history's own writer thread, the only one that touches the database, under a lock that is not held during disk access.
The queue is bounded: what finds no room is counted, and the count becomes an entry.
A file that cannot be used or written never ends the program: entries wait, `problem` says why, and it is tried again
every RETRY_S.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path

import msgspec

from controller.database import FolderLock, Unusable, open_database
from controller.history_table import COLUMNS, FILE, SCHEMA, Entry, Query, select
from controller.history_words import Event, entry
from controller.spec.history import ERRORS_KEPT, ROWS_DEFAULT, Kind
from controller.worker import LATE_S

QUEUE_ROWS = 2000
RETRY_S = 5.0
CLOSE_LIMIT_S = 1.0
READINGS_WAITING = 32
REPEAT_S = 1.0          # the same again within this is counted, not written: a held key must not fill the table
REPEATS_KEPT = 64
TEXT_LENGTH, WHO_LENGTH, DETAIL_LENGTH = 400, 100, 16_000     # all settings at once fit
CLIENTS_KEPT = 1000
SELDOM = {Kind.ERROR, Kind.ERROR_CLEARED, Kind.WARNING, Kind.WARNING_CLEARED, Kind.PROGRAM, Kind.ACCEPTANCE}
log = logging.getLogger(__name__)


class HistoryError(Exception):
    """The history cannot be read now; says why."""


class History:
    """FILE in `folder`, None keeps it in memory. `rows` bounds the table (the latest ERRORS_KEPT errors come on top).

    `problem` is "" or why entries are not on disk yet; `written`, `dropped`, `failures` are counters; `read_failed` and
    `prune_failed` tell what the last attempt of each came to.
    """

    def __init__(self, folder: Path | str | None = None, rows: int = ROWS_DEFAULT, *,
                 clock: Callable[[], tuple[float, int]] = lambda: (time.time(), time.monotonic_ns())) -> None:
        self.path = Path(folder) / FILE if folder is not None else None
        self.problem = ""
        self.written = self.dropped = self.failures = 0
        self.read_failed = self.prune_failed = False
        self._rows, self._clock = rows, clock
        self._clients: dict[int, str] = {}
        self._repeats: dict[tuple[Kind, str, str], tuple[int, int]] = {}
        self._database: sqlite3.Connection | None = None        # writer thread only, like the next three lines
        self._run = self._last_id = self._first_id = 0
        self._unsaved: list[Entry] = []
        self._lock: FolderLock | None = None
        self._work = threading.Condition()      # guards the rest
        self._waiting = 0       # entries that the writer could not save yet
        self._lost = 0
        self._queue: list[Entry] = []
        self._readings: list[tuple[Query, Future[list[Entry]]]] = []
        self._ending = False
        self._at_work_since_s = 0.0     # 0: waits for work
        # A daemon, so that a disk that hangs cannot keep the program from ending.
        self._writer = threading.Thread(target=self._write, name="history", daemon=True)
        self._writer.start()

    @property
    def trouble(self) -> str:
        """`problem`, or that the disk hangs: then nothing fails, and nobody would learn of it."""
        since_s = self._at_work_since_s
        if since_s and time.monotonic() - since_s > LATE_S:
            return f"the disk of {self.path} does not answer: the history is not saved"
        return self.problem

    def note(self, kind: Kind, text: str, *, who: str = "", code: int = 0, axis: int = 0,
             detail: Mapping[str, object] | None = None, monotonic_ns: int | None = None) -> None:
        """Keep something. Never waits, never fails. `monotonic_ns` is when it happened, if not now."""
        wall_s, now_ns = self._clock()
        at_ns = now_ns if monotonic_ns is None else monotonic_ns
        more = dict(detail or {})
        with self._work:
            if kind not in SELDOM:
                repeated = self._repeated((kind, who, text), now_ns)
                if repeated < 0:
                    return
                if repeated:
                    more["repeated"] = repeated
            if len(self._queue) + self._waiting >= QUEUE_ROWS or self._ending:
                self.dropped += 1
                self._lost += 1
                return
            packed = json.dumps(more, default=str)
            if len(packed) > DETAIL_LENGTH:
                packed = json.dumps({"too_long": len(packed)})
            self._queue.append(Entry(0, 0, wall_s - (now_ns - at_ns) * 1e-9, at_ns, kind.word, who[:WHO_LENGTH], code,
                                     axis, text[:TEXT_LENGTH], packed))
            self._work.notify()

    def core_event(self, event: Event) -> None:
        """An event of the core's ring."""
        found = entry(event, lambda number: self._clients.get(number, f"client {number}"))
        if found is not None:
            kind, text, who, code, axis = found
            self.note(kind, text, who=who, code=code, axis=axis, monotonic_ns=event[0])

    def client(self, number: int, name: str) -> None:
        """How a client's number in the core's events is to be read."""
        if len(self._clients) >= CLIENTS_KEPT:
            self._clients = dict(list(self._clients.items())[CLIENTS_KEPT // 2:])
        self._clients[number] = name

    def read(self, query: Query) -> Future[list[Entry]]:
        """What was noted, also what is not on disk yet; HistoryError when it cannot be read."""
        future: Future[list[Entry]] = Future()
        with self._work:
            self._readings = [reading for reading in self._readings if not reading[1].cancelled()]
            if self._ending:
                future.set_exception(HistoryError("the program is ending"))
            elif len(self._readings) >= READINGS_WAITING:
                future.set_exception(HistoryError("too many readings of the history wait: try again"))
            else:
                self._readings.append((query, future))
                self._work.notify()
        return future

    def close(self, limit_s: float | None = None) -> None:
        """Write what waits and close the file, within `limit_s` (None: CLOSE_LIMIT_S). May be called twice."""
        with self._work:
            self._ending = True
            self._work.notify()
        self._writer.join(CLOSE_LIMIT_S if limit_s is None else limit_s)
        if self._writer.is_alive():
            log.error("the disk of %s does not answer: the last entries of the history may be lost", self.path)

    def _repeated(self, key: tuple[Kind, str, str], now_ns: int) -> int:
        """-1: the same was noted a moment ago; else how many were left out since it was last written."""
        since_ns, count = self._repeats.pop(key, (now_ns - int(2e9 * REPEAT_S), 0))
        if now_ns - since_ns < REPEAT_S * 1e9:
            self._repeats[key] = (since_ns, count + 1)
            return -1
        while len(self._repeats) >= REPEATS_KEPT:
            del self._repeats[next(iter(self._repeats))]
        self._repeats[key] = (now_ns, 0)
        return count

    # -- writer thread

    def _write(self) -> None:
        self._at_work_since_s = time.monotonic()
        self._open()
        ending = False
        while not ending:
            self._at_work_since_s = 0.0
            with self._work:
                stuck = bool(self._unsaved) or self._database is None
                self._work.wait_for(lambda: self._queue or self._readings or self._ending, RETRY_S if stuck else None)
                if self._lost and not stuck:
                    self._unsaved.append(self._own(f"{self._lost} entries were lost: the storage did not take them in "
                                                   "time"))
                    self._lost = 0
                self._unsaved += self._queue
                self._queue, self._waiting = [], len(self._unsaved)
                readings, self._readings = self._readings, []
                ending = self._ending
            self._at_work_since_s = time.monotonic()
            if self._unsaved and self._save():
                self._unsaved = []
                with self._work:
                    self._waiting = 0
            for query, future in readings:
                self._answer(query, future)
        self._shut()
        if self._lock is not None:
            self._lock.close()

    def _own(self, text: str) -> Entry:
        wall_s, now_ns = self._clock()
        return Entry(0, 0, wall_s, now_ns, Kind.HISTORY.word, "", 0, 0, text)

    def _open(self) -> None:
        """Open the file, if it is not open; one that was set aside becomes an entry."""
        if self._database is not None:
            return
        try:
            if self.path is None:
                self._database = sqlite3.connect(":memory:", isolation_level=None)
                for statement in SCHEMA.statements:
                    self._database.execute(statement)
            else:
                self._lock = self._lock or FolderLock(self.path, 0.0)
                opened = open_database(self.path, SCHEMA)
                self._database = opened.connection
                if opened.why:
                    self._unsaved.insert(0, self._own(f"the history before this could not be used ({opened.why})"))
                    log.error("in %s %s", self.path.parent, self._unsaved[0].text)
            self._run, self._last_id, self._first_id = self._database.execute(
                "SELECT COALESCE(MAX(run), 0) + 1, COALESCE(MAX(id), 0), COALESCE(MIN(id), 1) FROM entry").fetchone()
        except (Unusable, sqlite3.Error) as error:
            self._failed(f"the history cannot be used ({error}): check the folder's rights and free space")

    def _save(self) -> bool:
        """All that waits in one transaction; False: nothing was written, and it will be tried again."""
        self._open()
        if self._database is None:
            return False
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(f"INSERT INTO entry ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                                       [msgspec.structs.astuple(item) for item in self._numbered()])
            self._database.execute("COMMIT")
        except Exception as error:
            self._roll_back()
            if not isinstance(error, sqlite3.OperationalError):
                self._shut()    # damaged: opening it anew sets it aside
            self._failed(f"entries of the history are not saved ({error}): tried again every {RETRY_S:g} s; check the "
                         f"free space of {self.path}")
            return False
        self._last_id += len(self._unsaved)
        self.written += len(self._unsaved)
        self.problem = ""
        self._prune()
        return True

    def _numbered(self) -> list[Entry]:
        return [msgspec.structs.replace(item, id=self._last_id + i, run=self._run)
                for i, item in enumerate(self._unsaved, 1)]

    def _prune(self) -> None:
        """Drop the oldest once there are 1 % too many, but for the latest errors."""
        last_dropped = self._last_id - self._rows
        if self._database is None or last_dropped - self._first_id < self._rows // 100:
            return
        try:
            self._database.execute(
                "DELETE FROM entry WHERE id <= ? AND id NOT IN (SELECT id FROM entry WHERE kind = ? ORDER BY id DESC "
                "LIMIT ?)", (last_dropped, Kind.ERROR.word, ERRORS_KEPT))
            self.prune_failed = False
        except sqlite3.Error as error:
            self._roll_back()
            self.prune_failed = True
            self._failed(f"old entries of the history cannot be deleted ({error}); check {self.path}")
        self._first_id = last_dropped + 1

    def _answer(self, query: Query, future: Future[list[Entry]]) -> None:
        if not future.set_running_or_notify_cancel():
            return      # whoever asked has given up
        try:
            self._open()
            if self._database is None:
                raise HistoryError(self.problem)
            found = select(self._database, query)
            found += [item for item in self._numbered() if query.fits(item)]
            self.read_failed = False
            future.set_result(found[:query.limit] if query.after is not None else found[-query.limit:])
        except (sqlite3.Error, HistoryError) as error:
            self.read_failed = True
            future.set_exception(HistoryError(f"the history cannot be read: {error}"))

    def _roll_back(self) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):    # not in a transaction
                self._database.execute("ROLLBACK")

    def _shut(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _failed(self, text: str) -> None:
        self.failures += 1
        if text != self.problem:
            log.error("%s", text)
        self.problem = text


def boot_id() -> str:
    """Names the boot of the machine within which monotonic times can be compared."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return os.uname().nodename
