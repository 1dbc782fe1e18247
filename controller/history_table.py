"""The table of the history: its entries, and how they are asked for. No state; the connection is the caller's."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from controller.database import Schema
from controller.spec.history import READ_DEFAULT, READ_LIMIT, Kind

FILE = "history.sqlite"
SCHEMA = Schema(1, (
    "CREATE TABLE entry (id INTEGER PRIMARY KEY, run INTEGER NOT NULL, wall_s REAL NOT NULL, monotonic_ns INTEGER "
    "NOT NULL, kind TEXT NOT NULL, who TEXT NOT NULL, code INTEGER NOT NULL, axis INTEGER NOT NULL, "
    "text TEXT NOT NULL, detail TEXT NOT NULL)",
    "CREATE INDEX entry_by_kind ON entry (kind, id)"))
COLUMNS = "id, run, wall_s, monotonic_ns, kind, who, code, axis, text, detail"


class Entry(msgspec.Struct, frozen=True):
    """One entry. `monotonic_ns` is CLOCK_MONOTONIC (comparable within one boot), `wall_s` seconds since 1970, `run` the
    number of the program's run, `axis` 1-based (0: none), `who` a client or ""."""

    id: int
    run: int
    wall_s: float
    monotonic_ns: int
    kind: str
    who: str
    code: int
    axis: int
    text: str
    detail: str = "{}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: `time` is the wall clock in ISO 8601 with the offset from UTC."""
        return {"id": self.id, "time": iso_time(self.wall_s), "time_s": round(self.wall_s, 3),
                "monotonic_ns": self.monotonic_ns, "run": self.run, "kind": self.kind, "who": self.who,
                "code": self.code, "axis": self.axis, "text": self.text, "detail": json.loads(self.detail)}


class Query(msgspec.Struct, frozen=True):
    """The newest `limit` (1..READ_LIMIT) entries, or with `after` the oldest behind that id; `errors` only errors,
    `since_s` only from that wall time on. Answers are in order of time."""

    limit: int = READ_DEFAULT
    errors: bool = False
    after: int | None = None
    since_s: float | None = None

    def fits(self, found: Entry) -> bool:
        return ((not self.errors or found.kind == Kind.ERROR.word) and (self.after is None or found.id > self.after)
                and (self.since_s is None or found.wall_s >= self.since_s))


def iso_time(wall_s: float) -> str:
    """Local wall time, "2026-11-24T18:40:00.123+0100"."""
    whole = int(wall_s // 1)
    local = time.localtime(whole)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{int((wall_s - whole) * 1000):03d}{time.strftime('%z', local)}"


def parse_query(given: Mapping[str, str]) -> Query:
    """The question in a URL or on a command line: `limit`, `errors` (0 or 1), `after`, `since` (seconds since 1970, ISO
    8601, or an age like 30m, 12h, 7d). ValueError names the field and what is allowed."""
    if unknown := given.keys() - {"limit", "errors", "after", "since"}:
        raise ValueError(f"{sorted(unknown)[0][:20]!r} is not known: allowed are limit, errors, after, since")
    if (errors := given.get("errors", "0")) not in {"0", "1"}:
        raise ValueError("errors: allowed are 0 and 1")
    after = _whole("after", given["after"], 0, 2**62) if "after" in given else None
    since_s = since(given["since"]) if "since" in given else None
    return Query(_whole("limit", given.get("limit", str(READ_DEFAULT)), 1, READ_LIMIT), errors == "1", after, since_s)


def _whole(name: str, text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"\d{1,19}", text, re.ASCII) or not low <= int(text) <= high:
        raise ValueError(f"{name}: allowed is a whole number {low}..{high}")
    return int(text)


def since(text: str) -> float:
    """A point in time, as seconds since 1970."""
    if (age := re.fullmatch(r"(\d{1,6})([smhd])", text, re.ASCII)) is not None:
        return time.time() - int(age[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[age[2]]
    if re.fullmatch(r"\d{1,11}(\.\d{1,9})?", text, re.ASCII):
        return float(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("since: allowed are a time as 2026-11-24T18:40, seconds since 1970, or an age as 30m, 12h, "
                         "7d") from None


def select(database: sqlite3.Connection, query: Query) -> list[Entry]:
    """Entries of the table that fit, in order of time."""
    terms: list[tuple[str, object]] = []
    if query.errors:
        terms.append(("kind = ?", Kind.ERROR.word))
    if query.after is not None:
        terms.append(("id > ?", query.after))
    if query.since_s is not None:
        terms.append(("wall_s >= ?", query.since_s))
    where = f"WHERE {' AND '.join(term for term, _ in terms)} " if terms else ""
    order = "ASC" if query.after is not None else "DESC"
    rows = database.execute(f"SELECT {COLUMNS} FROM entry {where}ORDER BY id {order} LIMIT ?",
                            (*(value for _, value in terms), query.limit))
    return sorted((Entry(*row) for row in rows), key=lambda found: found.id)
