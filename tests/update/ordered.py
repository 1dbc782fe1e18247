"""One whole update, to be watched: `python -m tests.update.ordered FOLDER URL [WITHOUT]`. WITHOUT leaves a flush out,
so that the watcher can be seen to notice: sync_tree, sync_folder, fsync."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from controller.update import files, get, tree
from tests.update.killed import on_board


def main() -> None:
    folder, url, without = Path(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else ""
    if without == "sync_tree":
        tree.sync_tree = lambda _: None
    elif without == "sync_folder":
        for module in (files, get):
            module.sync_folder = lambda _: None     # type: ignore[attr-defined]
    elif without == "fsync":
        files.os = OsWithout()  # type: ignore[attr-defined,assignment]
    machine, update = on_board(folder, url, "boot")
    machine.start()
    update.install()
    update.trial.gate()
    machine.stop()


class OsWithout:
    """The module os, whose fsync does nothing."""

    def __getattr__(self, name: str) -> object:
        return (lambda _: None) if name == "fsync" else getattr(os, name)


if __name__ == "__main__":
    main()
