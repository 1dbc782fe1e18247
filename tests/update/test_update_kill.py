"""The process that updates is killed (SIGKILL) at random instants: the next start is always a complete release with the
settings that belong to it. A hundred times here; ALLYARM_KILLS=1000 for more (docs/update.md has the result)."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from controller.update.board import Board
from controller.update.tree import verify
from tests.update.killed import NEW, OLD, on_board, read, write
from tests.update.rig import BUILT, Rig, rigged

KILLS = int(os.environ.get("ALLYARM_KILLS", "100"))
ROOT = Path(__file__).parents[2]
LONGEST_S = 10.0


def fresh(rig: Rig, board: Path) -> Board:
    """The board before the update."""
    shutil.rmtree(board, ignore_errors=True)
    shutil.copytree(rig.folder / "board", board, symlinks=True)
    write(board / "var/lib/allyarm", *OLD)
    from controller.update.places import places

    return Board(places(board))


def begin(server: subprocess.Popen[str]) -> int:
    """Process id of one update that has begun."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write("go\n")
    server.stdin.flush()
    return int(server.stdout.readline())


def cut(server: subprocess.Popen[str], after_s: float) -> int:
    """One update, killed after so long; its exit code, -9 when it was killed."""
    assert server.stdout is not None
    child = begin(server)
    time.sleep(after_s)
    with contextlib.suppress(ProcessLookupError):   # it has ended
        os.kill(child, signal.SIGKILL)
    return int(server.stdout.readline())


@pytest.mark.timeout(60 + KILLS * 3)
@pytest.mark.parametrize("behaviour", ["good", "stuck"])
def test_killed_at_random_instants(tmp_path: Path, behaviour: str) -> None:
    chance = random.Random(f"{KILLS} {behaviour}")
    board = tmp_path / "killed"
    seen: Counter[str] = Counter()
    with rigged(tmp_path) as rig:
        rig.manufacturer.release("0.2.0", behaviour, built=BUILT.format(2))
        with subprocess.Popen([sys.executable, "-m", "tests.update.killed", str(board), rig.web.url], cwd=ROOT,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            fresh(rig, board)
            started = time.monotonic()
            begin(server)
            assert server.stdout.readline() == "0\n"
            whole_s = time.monotonic() - started
            assert whole_s < LONGEST_S
            for number in range(KILLS // 2):
                state = fresh(rig, board)
                code = cut(server, chance.uniform(0.0, whole_s))
                check(state, number)
                seen["killed" if code == -9 else "ended"] += 1
                pending = state.pending()
                seen["while nothing was pending" if pending is None else "while it was left" if pending.leaving else
                     "while it was tried"] += 1
                machine, update = on_board(board, rig.web.url, "second boot")
                try:
                    machine.boot()
                    update.trial.gate()
                    if pending is not None and pending.invocation == "" and state.pending() is not None:
                        update.trial.gate()
                    check(state, number)
                    assert state.pending() is None, number
                    release = state.running().version
                    assert read(state.where.state) == (OLD if release == "0.1.0" else NEW), (number, release)
                    assert release == "0.1.0" or behaviour == "good"
                    assert machine.active == "active"
                    assert machine.starts[-1] == release
                    seen[release] += 1
                finally:
                    machine.stop()
            server.stdin.close()
    print(f"{behaviour}: {dict(seen)}, an update takes {whole_s:.2f} s")
    assert seen["killed"] > KILLS // 4
    if behaviour == "good":
        assert min(seen["0.1.0"], seen["0.2.0"]) > 0      # the kills came before and after the switch
    assert seen["while it was tried"] > 0


def check(board: Board, number: int) -> None:
    """What would be started now is complete, and so is everything that has the name of a release."""
    verify(board.current())
    for version, tree in board.installed().items():
        assert verify(tree).version == version, number
    if board.where.releases.is_dir():
        for item in board.where.releases.iterdir():
            assert item.name.startswith(".") or item.name in board.installed(), (number, item)
