"""The power fails at every write of the settings file, from a damaged one set aside to the last group, and of the
history: what was told to be saved is there, no form is half written, the file opens, and nothing damaged is lost or
forgotten.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from controller.database import set_aside_files
from controller.history import History
from controller.history_table import FILE as HISTORY_FILE
from controller.history_table import Query
from controller.store import FILE, Store
from tests.power_loss import recorded, states
from tests.store_writer import ACCEPT_AFTER, HISTORY_ROWS, ONCE_GROUPS, number_of

STATES = 3000
DAMAGED = b"not a database" * 300
DAMAGED_LOG = b"its log" * 100


def check(folder: Path, saved: int, accepted: bool) -> str:
    """Start from what the power failure left; returns where the cut came."""
    store = Store(folder)
    try:
        found = number_of(store.items())
        assert found in {saved, saved + 1}, f"{saved} was told to be saved, {found} is there: {store.unaccepted}"
        assert store.problem == ""
        assert "left out" not in store.unaccepted
        if accepted:
            assert store.unaccepted == ""
        elif found < ACCEPT_AFTER:
            assert "set-aside" in store.unaccepted
        aside, = set_aside_files(folder / FILE)
        assert aside.read_bytes() == DAMAGED
        assert Path(f"{aside}-wal").read_bytes() == DAMAGED_LOG
    finally:
        store.close()
    return "nothing" if not found else "told" if found == saved else "not told"


def test_power_fails_at_every_write(tmp_path: Path) -> None:
    folder = tmp_path / "writer"
    folder.mkdir()
    (folder / FILE).write_bytes(DAMAGED)
    (folder / f"{FILE}-wal").write_bytes(DAMAGED_LOG)
    found = recorded(tmp_path / "strace.log", folder, "tests.store_writer", "once")
    seen: Counter[str] = Counter()
    saved, accepted = 0, False
    for call, state in states(folder, found, random.Random(7), STATES):
        if call.name == "tell":
            words = call.data.decode().split()
            saved, accepted = (int(words[1]), accepted) if words[0] == "saved" else (saved, True)
        seen[check(state, saved, accepted)] += 1
    assert (saved, accepted) == (2 * ONCE_GROUPS, True)
    assert seen.total() >= STATES
    assert min(seen[where] for where in ("nothing", "told", "not told")) >= 20, seen
    written = {Path(call.path).name for call in found if call.name == "write"}
    assert {FILE, f"{FILE}-wal", f"{FILE}.new-wal"} <= written, f"the whole life was recorded: {written}"


def test_saf_8_power_fails_at_every_write_of_the_history(tmp_path: Path) -> None:
    folder = tmp_path / "writer"
    folder.mkdir()
    found = recorded(tmp_path / "strace.log", folder, "tests.store_writer", "history")
    saved, told, later = 0, 0, 0
    for call, state in states(folder, found, random.Random(8), STATES // 2):
        if call.name == "tell":
            saved = int(call.data.decode().split()[1])
        history = History(state, HISTORY_ROWS)
        numbers = [int(entry.text.rstrip("x").split()[1]) for entry in history.read(Query(1000)).result(10)]
        history.close()
        assert numbers in (list(range(1, saved + 1)), list(range(1, saved + 2))), saved
        assert history.problem == ""
        assert not set_aside_files(state / HISTORY_FILE)
        told, later = told + (len(numbers) == saved), later + (len(numbers) > saved)
    assert saved == 2 * ONCE_GROUPS
    assert told + later >= STATES // 2
    assert min(told, later) >= 20
