"""A calibration run is killed (SIGKILL) at random instants, and loses its power at every write: every row that was told
to be on disk is there, the run goes on at the first missing one, and nothing is left of a run that never began."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from controller.calibration import FOLDER, RunFile, read_rows, runs
from tests.calibration_writer import NAME, ONCE_ROWS, OTHER, description, row
from tests.power_loss import recorded, states

KILLS, KILLS_OF_A_RUN = 150, 5
LONGEST_S = {"pid": 0.002, "saved": 0.006}
STATES = 600


def told_until_killed(server: subprocess.Popen[str], folder: Path, after: str, seconds: float) -> list[tuple[str, int]]:
    """What a writer told before it was killed, so long after it first told `after`: a busy machine may keep it from
    getting far in any time."""
    assert server.stdin is not None
    assert server.stdout is not None
    print(folder, file=server.stdin, flush=True)
    told, process = [], 0
    for line in iter(server.stdout.readline, "gone\n"):
        word, number = line.split()
        if word == "pid":
            process = int(number)
        else:
            told.append((word, int(number)))
        if process and (after == "pid" or after in dict(told)):
            time.sleep(seconds)
            os.kill(process, signal.SIGKILL)
            process = 0
    return told


def rows(count: int) -> list[tuple[float, ...]]:
    return [(*positions, *torques) for positions, torques in map(row, range(count))]


def measured(folder: Path) -> int:
    """Whole rows of the run, all of which are right; what a kill may leave behind them is cut off by going on."""
    path = folder / FOLDER / f"{NAME}.csv"
    if not path.with_suffix(".json").exists():
        assert not path.exists()    # or it could neither be begun nor gone on with
        return 0
    file = RunFile.resume(folder, NAME)
    file.close()
    found = read_rows(path)[1]
    assert found == rows(len(found))
    assert path.read_bytes().endswith(b"\n")
    assert len(found) == file.measured
    return file.measured


def test_a_run_is_killed_hundreds_of_times(memory_folder: Path) -> None:
    chance = random.Random(1)
    seen: Counter[str] = Counter()
    server = subprocess.Popen([sys.executable, "-m", "tests.calibration_writer", "serve"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    try:
        for series in range(KILLS // KILLS_OF_A_RUN):
            folder, before = memory_folder / str(series), 0
            for _ in range(KILLS_OF_A_RUN):
                after = chance.choice(("pid", "saved"))
                told = told_until_killed(server, folder, after, chance.uniform(0.0, LONGEST_S[after]))
                if chance.random() < 0.3 and (path := folder / FOLDER / f"{NAME}.csv").exists():
                    with path.open("ab") as file:   # and of the row that was being written a part is on disk
                        file.write(",".join(map(str, rows(1)[0])).encode()[:chance.randint(1, 20)])
                    seen["torn"] += 1
                if told:
                    assert told[0] == ("begun", before)     # no row twice, none left out
                    assert [number for word, number in told[1:]] == list(range(before, before + len(told) - 1))
                found = measured(folder)
                saved = max(before, told[-1][1] + 1) if told[1:] else before
                assert found in {saved, saved + 1}, f"{saved} were told to be saved, {found} are there"
                seen["not begun" if not told else "no row" if not told[1:] else "rows"] += 1
                before = found
    finally:
        assert server.stdin is not None
        server.stdin.close()
        server.wait(10)
    assert seen["not begun"] + seen["no row"] + seen["rows"] == KILLS
    assert min(seen[word] for word in ("not begun", "rows", "torn")) >= 10, f"not where they should be: {seen}"


def test_the_power_fails_at_every_write_of_a_run(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    found = recorded(tmp_path / "strace.log", folder, "tests.calibration_writer", "once")
    seen: Counter[str] = Counter()
    saved, begun, abandoned = 0, False, False
    left = tmp_path / "left"
    left.mkdir()
    for call, state in states(folder, found, random.Random(7), STATES):
        if call.name == "tell":
            word, _, number = call.data.decode().strip().partition(" ")
            saved = int(number) + 1 if word == "saved" else saved
            begun, abandoned = True, abandoned or word == "abandoned"
        (left / FOLDER).unlink(missing_ok=True)
        (left / FOLDER).symlink_to(state)
        after = measured(left)
        assert after in {saved, saved + 1}, f"{saved} were told to be saved, {after} are there"
        names = {entry["name"]: entry["problem"] for entry in runs(left)}
        assert (NAME in names) or not begun
        assert not any(names.values())
        if abandoned:
            assert not list(state.glob(f"{OTHER}*"))
        elif OTHER not in names:    # it can be begun, whatever was left of it
            RunFile.begin(left, OTHER, description(ONCE_ROWS)).close()
        seen["abandoned" if abandoned else "told" if after == saved else "not told"] += 1
    assert saved == ONCE_ROWS
    assert seen.total() >= STATES
    assert min(seen[word] for word in ("abandoned", "told", "not told")) >= 3, seen
