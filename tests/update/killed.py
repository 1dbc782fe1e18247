"""A board computer that can be killed: `python -m tests.update.killed FOLDER URL`.

For every line on standard input ("go") a child process starts the controller, installs the newest release, tries it and
confirms or leaves it; its process id is told, and how it ended. Whoever kills it has cut the board's power, but for
what the disk has not written yet (test_update_order.py is about that).
"""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path

from controller.update import fetch, get, trial, trust  # noqa: F401 - what a child would import takes longer than it
from controller.update.board import Board
from controller.update.places import places
from controller.update.progress import Progress
from controller.update.service import Controller
from controller.update.updater import Options, Update
from tests.update.rig import Machine

CONFIRM_S, START_S = 0.03, 0.3
OLD, NEW = ("before", 1), ("changed by the new release", 2)


class Changing(Machine):
    """A machine on which a new release brings the settings forward, as soon as it starts."""

    def start(self) -> None:
        before = len(self.starts)
        super().start()
        if len(self.starts) > before and self.starts[-1] != "0.1.0":
            write(self.board.where.state, *NEW)


def write(state: Path, value: str, schema: int) -> None:
    """What the played settings hold."""
    with sqlite3.connect(state / "settings.sqlite") as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE IF NOT EXISTS setting (value)")
        database.execute("DELETE FROM setting")
        database.execute("INSERT INTO setting VALUES (?)", (value,))
        database.execute(f"PRAGMA user_version = {schema}")
    database.close()


def read(state: Path) -> tuple[str, int]:
    with sqlite3.connect(state / "settings.sqlite") as database:
        found = (str(database.execute("SELECT value FROM setting").fetchone()[0]),
                 int(database.execute("PRAGMA user_version").fetchone()[0]))
    database.close()
    return found


def on_board(folder: Path, url: str, boot: str) -> tuple[Machine, Update]:
    """The machine and a command on it."""
    where = places(folder)
    machine = Changing(Board(where))
    update = Update(Options(where, where.state, url, "stable", CONFIRM_S, START_S), machine, Controller(machine.url),
                    Progress(where.status))
    update.trial._boot = lambda: boot
    trial.POLL_S, trial.UNWELL_S = 0.01, 0.02
    return machine, update


def main() -> None:
    folder, url = Path(sys.argv[1]), sys.argv[2]
    print("ready", flush=True)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            machine, update = on_board(folder, url, "first boot")
            machine.start()
            update.install()
            update.trial.gate()
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
