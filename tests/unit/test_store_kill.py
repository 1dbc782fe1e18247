"""A process that writes settings is killed (SIGKILL) at random points, thousands of times: what it told to be saved is
there, no form is half written, and a damaged file that it was setting aside is neither lost nor forgotten."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from controller.database import set_aside_files
from controller.store import FILE, Store
from tests.store_writer import number_of

CUTS = 2000
DAMAGED = b"not a database" * 300
LONGEST_S = 0.012


def cut(server: subprocess.Popen[str], folder: Path, first: int, after_s: float) -> tuple[int, bool]:
    """(last group told to be saved, first - 1 when none was; acceptance told) of one writer."""
    assert server.stdin is not None
    assert server.stdout is not None
    print(folder, first, file=server.stdin, flush=True)
    lines = iter(server.stdout.readline, "gone\n")
    told = []
    for line in lines:
        if line.startswith("pid "):
            time.sleep(after_s)
            os.kill(int(line.split()[1]), signal.SIGKILL)
        else:
            told.append(line.split())
    saved = [int(words[1]) for words in told if words[0] == "saved"]
    return saved[-1] if saved else first - 1, ["accepted"] in told


def test_killed_thousands_of_times(memory_folder: Path) -> None:
    chance = random.Random(1)
    seen: Counter[str] = Counter()
    server = subprocess.Popen([sys.executable, "-m", "tests.store_writer", "serve"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    try:
        for series in range(CUTS // 10):
            folder = memory_folder / str(series)
            folder.mkdir()
            damaged = series % 3 == 0
            if damaged:
                (folder / FILE).write_bytes(DAMAGED)
            number, accepted = 0, False
            for _ in range(10):
                saved, accepted_now = cut(server, folder, number + 1, chance.uniform(0, LONGEST_S))
                accepted = accepted or accepted_now
                store = Store(folder)
                found = number_of(store.items())
                assert found in {saved, saved + 1}, f"{saved} was told to be saved, {found} is there"
                assert store.problem == ""
                if accepted or not damaged:
                    assert store.unaccepted == ""
                elif found == 0:
                    assert "set-aside" in store.unaccepted
                if damaged:
                    aside, = set_aside_files(folder / FILE)
                    assert aside.read_bytes() == DAMAGED
                seen["before the first"] += saved == number
                seen["in the middle"] += saved > number
                seen["written, not told"] += found > saved
                seen["not accepted"] += bool(store.unaccepted)
                store.close()
                number = found
            shutil.rmtree(folder)
    finally:
        assert server.stdin is not None
        server.stdin.close()
        server.wait(10)
    assert seen["before the first"] + seen["in the middle"] == CUTS
    assert min(seen.values()) >= 10, f"the cuts do not come where they should: {seen}"
