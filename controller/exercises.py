"""Exercises and scenarios that survive power loss: an SQLite file of their own (write-ahead log, full synchronisation).

Thread contract: methods only hand work to the store's own thread and return a future, so that nobody waits for a disk;
that thread alone touches the database, one request after another. `close` and `tick` belong to the HMI thread.
A file that cannot be used never ends the program: requests then fail with StoreError, and `problem` says why. It is
tried again every kept.RETRY_S, and with later requests.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import msgspec

from controller import exercise_reports, kept
from controller.database import FolderLock, Schema, Unusable, open_database
from controller.kept import KeptFile, StoreError
from controller.spec import rest

T = TypeVar("T")
FILE = "exercises.sqlite"
AXES = tuple(f"axis_{i + 1}" for i in range(rest.AXES))
FIRST_SCHEMA = Schema(1, (
    "CREATE TABLE exercise (name TEXT PRIMARY KEY, rep INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE position (exercise TEXT NOT NULL REFERENCES exercise (name) ON UPDATE CASCADE ON DELETE CASCADE, "
    f"order_pos INTEGER NOT NULL, {', '.join(f'{name} REAL' for name in AXES)}, pause REAL NOT NULL, "
    "speed REAL NOT NULL, PRIMARY KEY (exercise, order_pos)) WITHOUT ROWID",
    "CREATE TABLE scenario (name TEXT PRIMARY KEY, content TEXT NOT NULL, chosen INTEGER NOT NULL) WITHOUT ROWID",
))
SCHEMA = Schema(2, (*FIRST_SCHEMA.statements, *exercise_reports.TABLES), FIRST_SCHEMA, exercise_reports.TABLES)


class NotStored(LookupError):
    """There is nothing of that name; `field` is the one that names it."""

    def __init__(self, message: str, field: str = "name") -> None:
        super().__init__(message)
        self.field = field


class NotAllowed(ValueError):
    """It contradicts what is stored, or there is no room; nothing was changed."""

    def __init__(self, message: str, field: str = "name") -> None:
        super().__init__(message)
        self.field = field


class Row(msgspec.Struct, frozen=True):
    """One position: degrees per axis (None leaves the axis where it is), pause 0..5 s, speed 0..100 %."""

    order_pos: int
    axes_deg: tuple[float | None, ...]
    pause_s: float
    speed_percent: float


class Exercise(msgspec.Struct, frozen=True):
    """An exercise: repetitions 1..100 and its positions in order."""

    name: str
    rep: int
    rows: tuple[Row, ...] = ()


class Exercises(KeptFile):
    """The store in FILE of `folder`; None keeps it in memory only. Every method returns a future.

    Futures fail with NotStored, NotAllowed or StoreError; methods raise worker.Busy when too much waits.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        super().__init__(Path(folder) / FILE if folder is not None else None, "exercises",
                         "exercises and scenarios cannot be read or saved", first=self._try_open)
        self._damage = ""
        self._tried_s = -kept.RETRY_S
        if self.path is not None:
            self._worker.start()

    # -- exercises

    def exercises(self) -> Future[list[Exercise]]:
        """Every exercise, without its rows, by name."""
        return self._ask(lambda db: [Exercise(*row) for row in db.execute(
            "SELECT name, rep FROM exercise ORDER BY name")])

    def exercise(self, name: str) -> Future[Exercise]:
        """One exercise with its rows; NotStored."""
        return self._ask(lambda db: Exercise(name, _rep(db, name), _rows(db, name)))

    def several(self, names: Sequence[str]) -> Future[list[Exercise]]:
        """Exercises with their rows, in the order of `names`; NotStored."""
        return self._ask(lambda db: [Exercise(name, _rep(db, name, "scenario"), _rows(db, name)) for name in names])

    def add(self, name: str, rep: int) -> Future[None]:
        """A new exercise; NotAllowed when the name is taken."""
        def work(db: sqlite3.Connection) -> None:
            if _exists(db, name):
                raise NotAllowed(f"name: there is an exercise {name!r} already; choose another name")
            _room(db, "exercise")
            db.execute("INSERT INTO exercise VALUES (?, ?)", (name, rep))

        return self._change(work)

    def save(self, exercises: Iterable[Exercise]) -> Future[None]:
        """Store whole exercises, all or none: rows of former ones of these names are replaced."""
        given = tuple(exercises)

        def work(db: sqlite3.Connection) -> None:
            for exercise in given:
                if not _exists(db, exercise.name):
                    _room(db, "exercise")
                db.execute("INSERT INTO exercise VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET rep = excluded.rep",
                           (exercise.name, exercise.rep))
                db.execute("DELETE FROM position WHERE exercise = ?", (exercise.name,))
                db.executemany(f"INSERT INTO position VALUES ({', '.join('?' * (4 + len(AXES)))})", [
                    (exercise.name, row.order_pos, *row.axes_deg, row.pause_s, row.speed_percent)
                    for row in exercise.rows])

        return self._change(work)

    def change_row(self, name: str, order_pos: int, new: dict[str, float | None], rep: int | None) -> Future[None]:
        """New values (of "axis_1".., "pause", "speed") of one row, and of the exercise's repetitions; NotStored."""
        columns = [column for column in (*AXES, "pause", "speed") if column in new]

        def work(db: sqlite3.Connection) -> None:
            stored = _rep(db, name)
            if not db.execute("SELECT 1 FROM position WHERE exercise = ? AND order_pos = ?",
                              (name, order_pos)).fetchone():
                raise NotStored(f"order_pos: exercise {name!r} has no position {order_pos}", "order_pos")
            if columns:
                db.execute(f"UPDATE position SET {', '.join(f'{column} = ?' for column in columns)} "
                           "WHERE exercise = ? AND order_pos = ?", (*(new[c] for c in columns), name, order_pos))
            db.execute("UPDATE exercise SET rep = ? WHERE name = ?", (stored if rep is None else rep, name))

        return self._change(work)

    def change(self, old: str, name: str, rep: int, field: str) -> Future[None]:
        """New name and repetitions of exercise `old`, named by `field`; NotStored, NotAllowed when taken."""
        def work(db: sqlite3.Connection) -> None:
            _rep(db, old, field)
            if name != old and _exists(db, name):
                raise NotAllowed(f"name: there is an exercise {name!r} already; choose another name")
            db.execute("UPDATE exercise SET name = ?, rep = ? WHERE name = ?", (name, rep, old))

        return self._change(work)

    def delete(self, name: str) -> Future[None]:
        """Delete an exercise and its rows; NotStored."""
        def work(db: sqlite3.Connection) -> None:
            _rep(db, name)
            db.execute("DELETE FROM exercise WHERE name = ?", (name,))

        return self._change(work)

    # -- scenarios

    def scenarios(self) -> Future[tuple[list[str], str]]:
        """Names of all scenarios, and the one chosen last, "" none."""
        def work(db: sqlite3.Connection) -> tuple[list[str], str]:
            found = db.execute("SELECT name, chosen FROM scenario ORDER BY name").fetchall()
            return [name for name, _ in found], next((name for name, chosen in found if chosen), "")

        return self._ask(work)

    def scenario(self, name: str, field: str) -> Future[str]:
        """The stored JSON text; NotStored."""
        return self._ask(lambda db: _scenario(db, name, field))

    def scenario_to_play(self, name: str | None) -> Future[tuple[str, str]]:
        """(name, stored JSON text) of a scenario, of the one chosen last where `name` is None; NotStored."""
        def work(db: sqlite3.Connection) -> tuple[str, str]:
            found = db.execute("SELECT name FROM scenario WHERE chosen").fetchone()
            if name is None and found is None:
                raise NotStored("scenario: none was chosen yet; name one, or an exercise", "scenario")
            chosen = str(found[0]) if name is None else name
            return chosen, _scenario(db, chosen, "scenario")

        return self._ask(work)

    def save_scenario(self, name: str, content: str) -> Future[None]:
        """Store a scenario's JSON text, in place of a former one."""
        def work(db: sqlite3.Connection) -> None:
            if not db.execute("SELECT 1 FROM scenario WHERE name = ?", (name,)).fetchone():
                _room(db, "scenario")
            db.execute("INSERT INTO scenario VALUES (?, ?, 0) "
                       "ON CONFLICT (name) DO UPDATE SET content = excluded.content", (name, content))

        return self._change(work)

    def choose_scenario(self, name: str) -> Future[None]:
        """Make a scenario the one chosen last; NotStored."""
        def work(db: sqlite3.Connection) -> None:
            _scenario(db, name, "name")
            db.execute("UPDATE scenario SET chosen = (name = ?)", (name,))

        return self._change(work)

    def delete_scenario(self, name: str, field: str) -> Future[None]:
        """Delete a scenario; NotStored."""
        def work(db: sqlite3.Connection) -> None:
            _scenario(db, name, field)
            db.execute("DELETE FROM scenario WHERE name = ?", (name,))

        return self._change(work)

    # -- reports

    def begin_report(self, report: exercise_reports.Beginning) -> Future[int]:
        """The number of a new report; the oldest ones go where there are too many."""
        return self._change(lambda db: exercise_reports.begin(db, report))

    def add_move(self, number: int, move: exercise_reports.ReportMove) -> Future[None]:
        """One more move of the report `number`."""
        return self._change(lambda db: exercise_reports.add_move(db, number, move))

    def add_interruption(self, number: int, interruption: exercise_reports.ReportInterruption) -> Future[None]:
        """A pause, a resume, or the end before the last position."""
        return self._change(lambda db: exercise_reports.add_interruption(db, number, interruption))

    def end_report(self, number: int, ended: str, seconds: float, lost: int) -> Future[None]:
        """How it ended, after how long, and how many of its moves could not be kept."""
        return self._change(lambda db: exercise_reports.end(db, number, ended, seconds, lost))

    def reports(self, limit: int, before: int | None) -> Future[list[exercise_reports.ReportSummary]]:
        """The newest `limit` reports, older than number `before`; the newest first, without their moves."""
        return self._ask(lambda db: exercise_reports.newest(db, limit, before))

    def report(self, number: int, first: int, limit: int) -> Future[exercise_reports.Report]:
        """A whole report with up to `limit` of its moves from move `first` on; NotStored."""
        def work(db: sqlite3.Connection) -> exercise_reports.Report:
            found = exercise_reports.whole(db, number, first, limit)
            if found is None:
                raise NotStored(f"id: there is no report {number}", "id")
            return found

        return self._ask(work)

    # -- the store's own thread

    def _ask(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        return self._worker.submit(lambda: self._do(work, "BEGIN"))

    def _change(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        return self._worker.submit(lambda: self._do(work, "BEGIN IMMEDIATE"))

    def _do(self, work: Callable[[sqlite3.Connection], T], begin: str) -> T:
        """One transaction: all of it is on disk when this returns, or nothing was changed."""
        if self._database is None and time.monotonic() - self._tried_s >= kept.RETRY_S:
            self._try_open()
        if self._database is None:
            raise StoreError(self.problem)
        try:
            self._database.execute(begin)
            result = work(self._database)
            self._database.execute("COMMIT")
        except (NotStored, NotAllowed):
            self._database.execute("ROLLBACK")
            raise
        except Exception as error:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            self._report(f"exercises: the request was not carried out ({error}); check {self.path} and its free space")
            raise StoreError(self.problem) from error
        self.problem = self._damage
        return result

    def _try_open(self) -> None:
        self._tried_s = time.monotonic()
        try:
            self._database = self._open()
            self._database.execute("PRAGMA foreign_keys = ON")
            exercise_reports.close_open_ones(self._database)
        except (Unusable, sqlite3.Error) as error:
            self._report(f"exercise file {error} cannot be used: nothing is saved; check the folder's rights and free "
                         "space")
        else:
            self.problem = self._damage

    def _open(self) -> sqlite3.Connection:
        if self.path is None:
            database = sqlite3.connect(":memory:", isolation_level=None)
            for statement in SCHEMA.statements:
                database.execute(statement)
            return database
        self._lock = self._lock or FolderLock(self.path, 0.0)
        opened = open_database(self.path, SCHEMA)
        if opened.aside is not None:
            self._report(f"exercise file {self.path} could not be read ({opened.why}); it was kept as "
                         f"{opened.aside.name}, a new one was begun")
            self._damage = self.problem  # stays visible for this run
        return opened.connection

    def _late(self, begun: bool) -> StoreError:
        what = ("whether the request is carried out shows when it does: look before asking again" if begun else
                "nothing was changed; ask again when it does")
        return StoreError(f"the disk of {self.path} does not answer: {what}")

    @property
    def _stuck(self) -> bool:
        return self.path is not None and (self._database is None or self.problem != self._damage)

    def _retry(self) -> None:
        """Open the file, or see whether what was wrong with it is over: it is whole, and takes a write."""
        if self._database is None:
            self._try_open()
            return
        with contextlib.suppress(sqlite3.Error):    # `problem` still holds
            if self._database.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok":
                self._database.execute(f"PRAGMA user_version = {SCHEMA.version}")   # writes a page, changes nothing
                self.problem = self._damage


def _exists(db: sqlite3.Connection, name: str) -> bool:
    return db.execute("SELECT 1 FROM exercise WHERE name = ?", (name,)).fetchone() is not None


def _rep(db: sqlite3.Connection, name: str, field: str = "name") -> int:
    found = db.execute("SELECT rep FROM exercise WHERE name = ?", (name,)).fetchone()
    if found is None:
        raise NotStored(f"{field}: there is no exercise {name!r}", field)
    return int(found[0])


def _rows(db: sqlite3.Connection, name: str) -> tuple[Row, ...]:
    return tuple(Row(order, tuple(axes), pause, speed) for order, *axes, pause, speed in db.execute(
        f"SELECT order_pos, {', '.join(AXES)}, pause, speed FROM position WHERE exercise = ? ORDER BY order_pos",
        (name,)))


def _scenario(db: sqlite3.Connection, name: str, field: str) -> str:
    found = db.execute("SELECT content FROM scenario WHERE name = ?", (name,)).fetchone()
    if found is None:
        raise NotStored(f"{field}: there is no scenario {name!r}", field)
    return str(found[0])


def _room(db: sqlite3.Connection, table: str) -> None:
    if db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] >= rest.NAMES_HIGHEST:
        raise NotAllowed(f"there are {rest.NAMES_HIGHEST} {table}s already, that many are kept: delete one first")
