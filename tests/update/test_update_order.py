"""What a power failure may undo: the system calls of an update, recorded by strace, and whether each name that others
rely on was given only when what it names was on the disk, and was there itself before the next step.

Only fsync of a file or folder counts here; syncfs, which an update calls too, is not relied on.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.update.killed import OLD, write
from tests.update.rig import BUILT, rigged

CALLS = "openat,mkdir,mkdirat,write,fsync,fdatasync,rename,renameat,renameat2,symlink,symlinkat,unlink,unlinkat"
_CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (\d+)(?:<(.*)>)?$")
ROOT = Path(__file__).parents[2]


def recorded(folder: Path, url: str, log: Path, *without: str) -> list[tuple[str, list[str]]]:
    """(call, paths) of one update, those that worked."""
    assert shutil.which("strace"), "strace is needed: apt-get install strace"
    command = ["strace", "-y", "-o", str(log), "-s", "4096", "-e", f"trace={CALLS}", sys.executable, "-m",
               "tests.update.ordered", str(folder), url, *without]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = []
    for line in log.read_text().splitlines():
        if (call := _CALL.match(line)) is None:
            continue
        name, arguments, opened = call[1], call[2], call[4]
        if name == "openat":
            if "O_CREAT" in arguments:
                found.append(("create", [opened]))
        elif name in {"write", "fsync", "fdatasync"}:
            path = re.match(r"\d+<(.*?)>", arguments)
            found.append(("write" if name == "write" else "sync", [path[1]] if path else []))
        else:
            found.append((name.removesuffix("at").removesuffix("at2"), re.findall(r'"((?:[^"\\]|\\.)*)"', arguments)))
    return found


class Disk:
    """What is not flushed: contents of files, and entries of folders."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.contents, self.entries = set[str](), set[str]()
        self.problems: list[str] = []
        self.gave: list[str] = []

    def take(self, call: str, paths: list[str]) -> None:
        paths = [path for path in paths if path.startswith(self.root)]
        if not paths or "/tuf" in paths[0]:     # a cache: it may be cut off anywhere, seen.json stands beside it
            return
        path = paths[-1]
        parent = path.rpartition("/")[0]
        if call == "write":
            self.contents.add(path)
        elif call == "sync":
            self.contents.discard(path)
            self.entries.discard(path)
        elif call in {"create", "mkdir", "symlink"}:
            self.entries.add(parent)
        elif call == "unlink":
            if path.endswith("/pending.json"):
                self.need_flushed(self.root, "before the end of a trial is noted")
            self.entries.add(parent)
        elif call == "rename":
            self.rename(paths[0], paths[-1])

    def rename(self, before: str, after: str) -> None:
        name = after.rpartition("/")[2]
        if not name.startswith("."):
            self.gave.append(name)
            for path in self.contents | self.entries:
                if path == before or path.startswith(f"{before}/"):
                    self.problems.append(f"{name} is given before {path} is flushed")
            if name == "current":
                self.need_flushed(f"{self.root}/releases", "before it is switched to")
                self.need_flushed(f"{self.root}/pending.json", "before it is switched to")
                if "pending.json" not in self.gave:
                    self.problems.append("switched before it was noted in pending.json")
        for found in (self.contents, self.entries):
            for path in [item for item in found if item == before or item.startswith(f"{before}/")]:
                found.discard(path)
                found.add(after + path[len(before):])
        self.entries.update({after.rpartition("/")[0], before.rpartition("/")[0]})

    def need_flushed(self, path: str, when: str) -> None:
        if path in self.contents | self.entries:
            self.problems.append(f"{path} is not flushed {when}")


def watched(tmp_path: Path, *without: str, behaviour: str = "good") -> Disk:
    board = tmp_path / "watched"
    with rigged(tmp_path) as rig:
        rig.manufacturer.release("0.2.0", behaviour, built=BUILT.format(2), files=3)
        shutil.copytree(rig.folder / "board", board, symlinks=True)
        write(board / "var/lib/allyarm", *OLD)
        disk = Disk(board / "var/lib/allyarm-releases")
        for call in recorded(board, rig.web.url, tmp_path / "log", *without):
            disk.take(*call)
    return disk


@pytest.mark.parametrize("behaviour", ["good", "stuck"])
def test_nothing_is_named_before_it_is_on_the_disk(tmp_path: Path, behaviour: str) -> None:
    disk = watched(tmp_path, behaviour=behaviour)
    assert disk.problems == []
    left = {path for path in disk.contents | disk.entries
            if path.startswith(disk.root) and "/downloads" not in path}    # nobody relies on what was downloaded
    assert left == set()
    for name in ("0.2.0", "pending.json", "previous", "current", "last.json", "seen.json", "settings.sqlite",
                 "0.1.0-before-0.2.0"):
        assert name in disk.gave, name
    assert disk.gave.index("0.2.0") < disk.gave.index("pending.json") < disk.gave.index("current")


@pytest.mark.parametrize(("without", "problem"), [
    ("sync_tree", "0.2.0 is given before"), ("sync_folder", "is not flushed before"), ("fsync", "is given before"),
])
def test_a_flush_that_is_left_out_is_noticed(tmp_path: Path, without: str, problem: str) -> None:
    disk = watched(tmp_path, without)
    assert any(problem in text for text in disk.problems), disk.problems
