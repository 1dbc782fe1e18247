"""The power fails at every write of the settings file, from a damaged one set aside to the last group: what was told to
be saved is there, no form is half written, the file opens, and the damaged one is neither lost nor forgotten."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from controller.database import set_aside_files
from controller.store import FILE, Store
from tests.power_loss import STRACE, Call, Disk, calls
from tests.store_writer import ACCEPT_AFTER, ONCE_GROUPS, number_of

STATES = 3000
DAMAGED = b"not a database" * 300
DAMAGED_LOG = b"its log" * 100


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Call]]:
    """(folder as it was before, every call of a writer's whole life)"""
    assert shutil.which("strace"), "strace is needed: apt-get install strace"
    folder, before = tmp_path_factory.mktemp("writer"), tmp_path_factory.mktemp("before")
    (folder / FILE).write_bytes(DAMAGED)
    (folder / f"{FILE}-wal").write_bytes(DAMAGED_LOG)
    for item in folder.iterdir():
        shutil.copy(item, before)
    log = before.parent / "strace.log"
    subprocess.run([*STRACE, "-o", str(log), sys.executable, "-m", "tests.store_writer", "once", str(folder)],
                   check=True, timeout=120, stdout=subprocess.DEVNULL)
    found = list(calls(log, folder))
    for item in folder.iterdir():
        item.unlink()
    for item in before.iterdir():
        shutil.copy(item, folder)
    return folder, found


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


def test_power_fails_at_every_write(recorded: tuple[Path, list[Call]], tmp_path: Path) -> None:
    folder, found = recorded
    disk, chance = Disk(folder), random.Random(7)
    root = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else tmp_path
    state = root / f"allyarm-power-{os.getpid()}"
    seen: Counter[str] = Counter()
    saved, accepted = 0, False
    variants = -(-STATES // len(found))
    for call in found:
        disk.take(call)
        if call.name == "tell":
            words = call.data.decode().split()
            saved, accepted = (int(words[1]), accepted) if words[0] == "saved" else (saved, True)
        for _ in range(variants):
            state.mkdir()
            try:
                disk.cut(state, chance)
                seen[check(state, saved, accepted)] += 1
            finally:
                shutil.rmtree(state)
    assert (saved, accepted) == (2 * ONCE_GROUPS, True)
    assert seen.total() >= STATES
    assert min(seen[where] for where in ("nothing", "told", "not told")) >= 20, seen
    written = {Path(call.path).name for call in found if call.name == "write"}
    assert {FILE, f"{FILE}-wal", f"{FILE}.new-wal"} <= written, f"the whole life was recorded: {written}"
