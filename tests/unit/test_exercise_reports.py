"""Reports in the exercises' file: a file of the version before is brought forward, and what is kept stays bounded."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from controller import exercise_reports as reports
from controller.database import Schema, Unusable, open_database, set_aside_files
from controller.exercise_reports import Beginning, ReportInterruption, ReportMove, ReportReached
from controller.exercises import FILE, FIRST_SCHEMA, SCHEMA, Exercise, Exercises, NotStored, Row

BEGINNING = Beginning("exercise", "Wave", "client 1", 1_700_000_000.0, 4, 12.5)


def move(step: int) -> ReportMove:
    return ReportMove(step, "Wave", 1, step, 1.25, ReportReached([1.0, None], [1.01, 2.0], [3.0, 4.0], [5.0, 6.0]))


def old_file(folder: Path) -> Path:
    """As the version before reports left it."""
    path = folder / FILE
    database = open_database(path, FIRST_SCHEMA).connection
    database.execute("INSERT INTO exercise VALUES ('Wave', 3)")
    database.execute("INSERT INTO position VALUES ('Wave', 7, 1.5, NULL, 0, 45, NULL, 0.5, 60)")
    database.execute("INSERT INTO scenario VALUES ('Lunch', '[1]', 1)")
    database.close()
    return path


def version(path: Path) -> int:
    database = sqlite3.connect(path)
    found: int = database.execute("PRAGMA user_version").fetchone()[0]
    database.close()
    return found


def test_a_file_of_the_version_before_keeps_everything_and_takes_reports(tmp_path: Path) -> None:
    path = old_file(tmp_path)
    assert version(path) == 1
    for _ in range(2):  # brought forward once, then as it is
        store = Exercises(tmp_path)
        assert store.exercise("Wave").result(5) == Exercise("Wave", 3, (Row(7, (1.5, None, 0, 45, None), 0.5, 60),))
        assert store.scenarios().result(5) == (["Lunch"], "Lunch")
        number = store.begin_report(BEGINNING).result(5)
        store.add_move(number, move(1)).result(5)
        assert store.problem == ""
        store.close()
        assert version(path) == SCHEMA.version == 2
    assert set_aside_files(path) == []


def test_bringing_forward_happens_whole_or_not_at_all(tmp_path: Path) -> None:
    path = old_file(tmp_path)
    broken = Schema(2, SCHEMA.statements, FIRST_SCHEMA, (reports.TABLES[0], "CREATE TABLE nonsense (", *reports.TABLES))
    with pytest.raises(Unusable):
        open_database(path, broken)
    assert version(path) == 1
    opened = open_database(path, SCHEMA)
    assert opened.why == ""
    assert opened.connection.execute("SELECT count(*) FROM exercise").fetchone() == (1,)
    opened.connection.close()


def test_a_file_that_only_says_it_is_of_the_version_before_is_set_aside(tmp_path: Path) -> None:
    path = old_file(tmp_path)
    database = sqlite3.connect(path)
    database.execute("DROP TABLE scenario")
    database.commit()
    database.close()
    store = Exercises(tmp_path)
    assert store.exercises().result(5) == []
    assert "set-aside" in store.problem
    store.close()
    assert len(set_aside_files(path)) == 1


def test_a_report_grows_and_is_read_part_by_part(tmp_path: Path) -> None:
    store = Exercises(tmp_path)
    number = store.begin_report(BEGINNING).result(5)
    for step in (1, 2, 4):  # a rest between
        store.add_move(number, move(step)).result(5)
    store.add_interruption(number, ReportInterruption(2, 3.5, "pause", "", "client 1")).result(5)
    store.add_interruption(number, ReportInterruption(2, 9.5, "resume", "", "client 1")).result(5)
    first = store.report(number, 1, 2).result(5)
    assert ([item.step for item in first.moves], first.next_step) == ([1, 2], 4)
    rest = store.report(number, 4, 2).result(5)
    assert ([item.step for item in rest.moves], rest.next_step) == ([4], None)
    assert first.moves[0] == move(1)
    assert [item.what for item in first.interruptions] == ["pause", "resume"]
    assert (first.summary.ended, first.summary.began, first.summary.moves) == ("", "2023-11-14T22:13:20Z", 3)
    store.close()
    store = Exercises(tmp_path)  # nobody has ended it: its program is gone
    (summary,) = store.reports(10, None).result(5)
    assert (summary.ended, summary.seconds) == (reports.CUT_SHORT, None)
    with pytest.raises(NotStored, match="no report 99"):
        store.report(99, 1, 2).result(5)
    store.close()


def test_as_many_reports_as_are_kept_and_the_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "REPORTS_KEPT", 5)
    store = Exercises()
    numbers = [store.begin_report(BEGINNING).result(5) for _ in range(9)]
    assert [item.id for item in store.reports(10, None).result(5)] == numbers[:3:-1]
    assert [item.id for item in store.reports(2, numbers[-1]).result(5)] == numbers[-2:-4:-1]
    store.close()


def test_moves_of_all_reports_together_are_bounded_and_go_with_their_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MOVES_KEPT", 10)
    store = Exercises()
    for _ in range(6):
        number = store.begin_report(BEGINNING).result(5)
        for step in range(1, 5):
            store.add_move(number, move(step)).result(5)
        store.add_interruption(number, ReportInterruption(1, 1.0, "end", "stopped", "")).result(5)
    kept = store.reports(10, None).result(5)
    assert [item.moves for item in kept] == [4, 4, 4]
    left = store._ask(lambda db: [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                                  for table in ("report_move", "report_interruption")]).result(5)
    assert left == [12, 3]
    store.close()
