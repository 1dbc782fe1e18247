"""Reports of played exercises in the exercises' file: what was reached, how long it took, what interrupted it.

A report begins with its first position and grows by one move at a time, so that one that a power failure cuts short
has all moves up to then. Times of day are for people only; durations come from the monotonic clock of who writes.
Thread contract: functions for the exercises' own thread, inside a transaction of theirs.
"""

from __future__ import annotations

import sqlite3

import msgspec

REPORTS_KEPT = 200
MOVES_KEPT = 100_000  # of all reports together, some 20 MB; the newest report is always kept
MOVES_AT_ONCE = 500  # in one answer
CUT_SHORT = "the controller ended"
TABLES = (
    "CREATE TABLE report (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, who TEXT NOT NULL, "
    "began_s REAL NOT NULL, steps INTEGER NOT NULL, estimate_s REAL, seconds REAL, ended TEXT NOT NULL, "
    "lost INTEGER NOT NULL)",
    "CREATE TABLE report_move (report INTEGER NOT NULL REFERENCES report (id) ON DELETE CASCADE, step INTEGER NOT "
    "NULL, "
    "exercise TEXT NOT NULL, repetition INTEGER NOT NULL, order_pos INTEGER NOT NULL, seconds REAL NOT NULL, "
    "content TEXT NOT NULL, PRIMARY KEY (report, step)) WITHOUT ROWID",
    "CREATE TABLE report_interruption (report INTEGER NOT NULL REFERENCES report (id) ON DELETE CASCADE, "
    "number INTEGER NOT NULL, step INTEGER NOT NULL, after_s REAL NOT NULL, what TEXT NOT NULL, why TEXT NOT NULL, "
    "who TEXT NOT NULL, PRIMARY KEY (report, number)) WITHOUT ROWID",
)


class Beginning(msgspec.Struct, frozen=True):
    """What is known when it begins: `kind` exercise or scenario, `began_s` seconds since 1970, `steps` in all."""

    kind: str
    name: str
    who: str
    began_s: float
    steps: int
    estimate_s: float | None


class ReportReached(msgspec.Struct, frozen=True):
    """Per axis: target (null: it was to stay), position reached in degrees, and torque counts over the whole move."""

    target_deg: list[float | None]
    position_deg: list[float]
    mean_torque_counts: list[float]
    max_torque_counts: list[float]


class ReportMove(msgspec.Struct, frozen=True):
    """One position that was reached; `step` counts from 1, `seconds` from the command to the arrival, without
    pauses."""

    step: int
    exercise: str
    repetition: int
    order_pos: int
    seconds: float
    reached: ReportReached


class ReportInterruption(msgspec.Struct, frozen=True):
    """`what` is pause, resume or end; `step` where it was, `after_s` since the beginning."""

    step: int
    after_s: float
    what: str
    why: str
    who: str


class ReportSummary(msgspec.Struct, frozen=True):
    """A report without its moves; `ended` is "" while it runs, "done" after the last position, else why not. `lost`
    counts moves that could not be kept (disk), `began` is wall time in ISO 8601."""

    id: int
    kind: str
    name: str
    who: str
    began: str
    steps: int
    estimate_s: float | None
    seconds: float | None
    ended: str
    lost: int
    moves: int
    interruptions: int


class Report(msgspec.Struct, frozen=True):
    """A report with a part of its moves, all interruptions, and the step behind the last move, null at the end."""

    summary: ReportSummary
    moves: list[ReportMove]
    interruptions: list[ReportInterruption]
    next_step: int | None


_SUMMARY = (
    "SELECT id, kind, name, who, strftime('%Y-%m-%dT%H:%M:%SZ', began_s, 'unixepoch'), steps, estimate_s, seconds, "
    "ended, "
    "lost, (SELECT count(*) FROM report_move WHERE report = id), "
    "(SELECT count(*) FROM report_interruption WHERE report = id) FROM report ")


def begin(db: sqlite3.Connection, report: Beginning) -> int:
    """Its number."""
    while True:
        kept, oldest = db.execute("SELECT count(*), min(id) FROM report").fetchone()
        moves = db.execute("SELECT count(*) FROM report_move").fetchone()[0]
        if kept <= 1 or (kept < REPORTS_KEPT and moves < MOVES_KEPT):
            break
        db.execute("DELETE FROM report WHERE id = ?", (oldest,))
    found = db.execute("INSERT INTO report (kind, name, who, began_s, steps, estimate_s, ended, lost) "
                       "VALUES (?, ?, ?, ?, ?, ?, '', 0)",
                       (report.kind, report.name, report.who, report.began_s, report.steps, report.estimate_s))
    assert found.lastrowid is not None
    return found.lastrowid


def add_move(db: sqlite3.Connection, number: int, move: ReportMove) -> None:
    db.execute("INSERT OR REPLACE INTO report_move VALUES (?, ?, ?, ?, ?, ?, ?)",
               (number, move.step, move.exercise, move.repetition, move.order_pos, move.seconds,
                msgspec.json.encode(move.reached).decode()))


def add_interruption(db: sqlite3.Connection, number: int, item: ReportInterruption) -> None:
    db.execute("INSERT INTO report_interruption SELECT ?, count(*) + 1, ?, ?, ?, ?, ? FROM report_interruption "
               "WHERE report = ?", (number, item.step, item.after_s, item.what, item.why, item.who, number))


def end(db: sqlite3.Connection, number: int, ended: str, seconds: float, lost: int) -> None:
    db.execute("UPDATE report SET ended = ?, seconds = ?, lost = ? WHERE id = ?", (ended, seconds, lost, number))


def close_open_ones(db: sqlite3.Connection) -> None:
    """Reports that nobody ended: the program that played them is gone."""
    db.execute("UPDATE report SET ended = ? WHERE ended = ''", (CUT_SHORT,))


def newest(db: sqlite3.Connection, limit: int, before: int | None) -> list[ReportSummary]:
    rows = db.execute(f"{_SUMMARY}WHERE id < ? ORDER BY id DESC LIMIT ?", (2**62 if before is None else before, limit))
    return [ReportSummary(*row) for row in rows]


def whole(db: sqlite3.Connection, number: int, first: int, limit: int) -> Report | None:
    """None where there is no such report."""
    found = db.execute(f"{_SUMMARY}WHERE id = ?", (number,)).fetchone()
    if found is None:
        return None
    rows = db.execute("SELECT step, exercise, repetition, order_pos, seconds, content FROM report_move "
                      "WHERE report = ? AND step >= ? ORDER BY step LIMIT ?", (number, first, limit + 1)).fetchall()
    decode = msgspec.json.Decoder(ReportReached).decode
    moves = [ReportMove(step, exercise, repetition, order_pos, seconds, decode(content))
             for step, exercise, repetition, order_pos, seconds, content in rows[:limit]]
    interruptions = [ReportInterruption(*row) for row in db.execute(
        "SELECT step, after_s, what, why, who FROM report_interruption WHERE report = ? ORDER BY number", (number,))]
    return Report(ReportSummary(*found), moves, interruptions, rows[limit][0] if len(rows) > limit else None)
