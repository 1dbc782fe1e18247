"""A process that writes settings until it is cut off. Numbered groups of values; each is told when it is saved.

`python -m tests.store_writer serve`: for each line "FOLDER FIRST" on stdin a child is forked that writes group FIRST,
FIRST + 1, ... in FOLDER; stdout gets "pid N", then "saved N" after each group and "accepted" from the child, and "gone"
once it was killed.
`python -m tests.store_writer once FOLDER`: the whole life of a file, for a recorder of its system calls; with `history`
that of a history, and "saved N" after each entry.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from controller.history import History
from controller.history_table import Query
from controller.spec.history import Kind
from controller.store import Store, Value

KEYS = 5
ACCEPT_AFTER = 3        # groups
CHECKPOINT_PAGES = 24
ONCE_GROUPS = 60
HISTORY_ROWS = 1000


def group(number: int) -> dict[str, Value]:
    """The values of one form, which belong together; every seventh group is long."""
    values: dict[str, Value] = {f"value.{i}": number for i in range(KEYS)}
    return {**values, "label": f"{number}" + "x" * (5000 if number % 7 == 0 else number % 50)}


def number_of(items: dict[str, Value]) -> int:
    """Which group is stored, 0 none; AssertionError when it is half of one."""
    if not items:
        return 0
    number = items["value.0"]
    assert isinstance(number, int)
    assert items == group(number), f"half of a group: {items}"
    return number


def tell(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def write(store: Store, number: int) -> None:
    store.put(group(number)).result()
    tell(f"saved {number}")


def endless(folder: Path, number: int) -> None:
    store = Store(folder)
    for count in range(1_000_000):
        write(store, number + count)
        if count + 1 == ACCEPT_AFTER and store.unaccepted:
            store.accept("test").result()
            tell("accepted")


def serve() -> None:
    for line in sys.stdin:
        folder, number = line.split()
        child = os.fork()
        if child == 0:
            endless(Path(folder), int(number))
        tell(f"pid {child}")
        os.waitpid(child, 0)
        tell("gone")


def once(folder: Path) -> None:
    number = 0
    for _ in range(2):
        store = Store(folder)
        assert store._database is not None
        store._database.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        for _ in range(ONCE_GROUPS):
            number += 1
            write(store, number)
            if number == ACCEPT_AFTER:
                store.accept("test").result()
                tell("accepted")
        store.close()


def history(folder: Path) -> None:
    number = 0
    for _ in range(2):
        kept = History(folder, HISTORY_ROWS)
        kept.read(Query()).result()
        assert kept._database is not None
        kept._database.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        for count in range(1, ONCE_GROUPS + 1):
            number += 1
            kept.note(Kind.ERROR, f"entry {number}" + "x" * (300 * (number % 3)))
            while kept.written < count:
                time.sleep(0.0005)
            tell(f"saved {number}")
        kept.close()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        {"once": once, "history": history}[sys.argv[1]](Path(sys.argv[2]))
