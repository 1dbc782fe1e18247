"""What a disk may hold when the power fails: the recorded system calls of a program, replayed up to any point.

What was synchronised is there. What was written after that is there or not, sector by sector, in any order; names
(made, renamed, removed) are there in order up to any point after the last synchronisation of their folder. That is
what POSIX grants, and less than a journalling file system does.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

SECTOR = 512
APPENDED = -1   # offset of a plain write: all programs here write so at the end of the file only
STRACE = ("strace", "-f", "-y", "-xx", "-s", "1000000", "-e",
          "trace=pwrite64,write,fdatasync,fsync,ftruncate,unlink,unlinkat,rename,openat")
_HEX = re.compile(r"((?:\\x[0-9a-f]{2})+)")
_CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)")


def recorded(log: Path, folder: Path, *command: str) -> list[Call]:
    """What `python -m COMMAND folder` does in `folder`, which is then as it was before: the first state of a Disk."""
    assert shutil.which("strace"), "strace is needed: apt-get install strace"
    before = {item: item.read_bytes() for item in folder.iterdir()}
    subprocess.run([*STRACE, "-o", str(log), sys.executable, "-m", *command, str(folder)], check=True, timeout=120,
                   stdout=subprocess.DEVNULL)
    found = list(calls(log, folder))
    for item in folder.iterdir():
        item.unlink()
    for item, content in before.items():
        item.write_bytes(content)
    return found


@dataclass
class Call:
    """One system call in the folder: `name`, paths or data as text or bytes, and its numbers."""

    name: str
    path: str = ""
    to: str = ""
    data: bytes = b""
    offset: int = 0


def _text(hexadecimal: str) -> bytes:
    return bytes.fromhex(hexadecimal.replace("\\x", ""))


def calls(log: Path, folder: Path) -> Iterator[Call]:
    """The calls of a strace log (options STRACE) that concern `folder`, and what was written to standard output."""
    assert "unfinished" not in log.read_text(), "two threads wrote at once: the order is not known"
    for line in log.read_text().splitlines():
        found = _CALL.match(line)
        if found is None or found[3].startswith("-"):
            continue
        name, arguments = found[1], found[2]
        texts = [_text(item) for item in _HEX.findall(arguments)]
        if name == "write" and arguments.startswith("1<"):
            yield Call("tell", data=texts[1])
        paths = [item.decode(errors="replace") for item in texts if item.startswith(bytes(folder))]
        numbers = [int(number) for number in re.findall(r", (\d+)(?=[,)]|$)", arguments)]
        if not paths or paths[0].endswith(("-shm", ".lock")):
            continue
        if name == "pwrite64":
            yield Call("write", paths[0], data=texts[1], offset=numbers[-1])
        elif name == "write":
            yield Call("write", paths[0], data=texts[1], offset=APPENDED)
        elif name == "ftruncate":
            yield Call("truncate", paths[0], offset=numbers[-1])
        elif name in {"fsync", "fdatasync"}:
            yield Call("sync", paths[0])
        elif name in {"unlink", "unlinkat"}:
            yield Call("unlink", paths[-1])
        elif name == "rename":
            yield Call("rename", paths[0], paths[1])
        elif name == "openat" and "O_CREAT" in arguments:
            yield Call("create", paths[0])


@dataclass
class File:
    """Content that is safe, and the calls after its last synchronisation."""

    safe: bytearray = field(default_factory=bytearray)
    unsafe: list[Call] = field(default_factory=list)

    def size(self) -> int:
        """As the program sees it."""
        size = len(self.safe)
        for call in self.unsafe:
            size = call.offset if call.name == "truncate" else max(size, call.offset + len(call.data))
        return size

    def sync(self) -> None:
        for call in self.unsafe:
            _apply(self.safe, call)
        self.unsafe.clear()

    def after_cut(self, chance: random.Random) -> bytes:
        """The content with any of the unsafe sectors."""
        content = bytearray(self.safe)
        share = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        for call in self.unsafe:
            if call.name == "truncate":
                if chance.random() < share:
                    _apply(content, call)
                continue
            at = 0
            while at < len(call.data):
                end = min(len(call.data), at + SECTOR - (call.offset + at) % SECTOR)
                if chance.random() < share:
                    _apply(content, Call("write", data=call.data[at:end], offset=call.offset + at))
                at = end
        return bytes(content)


def _apply(content: bytearray, call: Call) -> None:
    if call.name == "truncate":
        del content[call.offset:]
        return
    content.extend(bytes(max(0, call.offset + len(call.data) - len(content))))
    content[call.offset:call.offset + len(call.data)] = call.data


class Disk:
    """Follows the calls; `cut` writes one of the states that a power failure at this moment may leave."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._names = {str(item): File(bytearray(item.read_bytes())) for item in folder.iterdir()}
        self._safe_names = dict(self._names)
        self._unsafe_names: list[tuple[Call, File]] = []

    def take(self, call: Call) -> None:
        if call.name in {"write", "truncate"}:
            file = self._names[call.path]
            at = file.size() if call.offset == APPENDED else call.offset
            file.unsafe.append(replace(call, offset=at))
        elif call.name == "sync" and call.path == self._folder:
            self._settle(len(self._unsafe_names), self._safe_names)
            self._unsafe_names.clear()
        elif call.name == "sync":
            self._names[call.path].sync()
        elif call.name == "create" and call.path in self._names:
            pass
        elif call.name in {"create", "unlink", "rename"}:
            file = File() if call.name == "create" else self._names[call.path]
            self._unsafe_names.append((call, file))
            _rename(self._names, call, file)

    def _settle(self, count: int, names: dict[str, File]) -> None:
        for call, file in self._unsafe_names[:count]:
            _rename(names, call, file)

    def cut(self, folder: Path, chance: random.Random) -> None:
        names = dict(self._safe_names)
        self._settle(chance.randint(0, len(self._unsafe_names)), names)
        for name, file in names.items():
            (folder / Path(name).name).write_bytes(file.after_cut(chance))


def states(folder: Path, found: list[Call], chance: random.Random, count: int) -> Iterator[tuple[Call, Path]]:
    """`count` or a few more states that a power failure may leave, spread over all calls: (the last call, a folder)."""
    disk, variants = Disk(folder), -(-count // len(found))
    root = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else folder.parent
    state = root / f"allyarm-power-{os.getpid()}"
    for call in found:
        disk.take(call)
        for _ in range(variants):
            state.mkdir()
            try:
                disk.cut(state, chance)
                yield call, state
            finally:
                shutil.rmtree(state)


def _rename(names: dict[str, File], call: Call, file: File) -> None:
    if call.name == "create":
        names[call.path] = file
    else:
        names.pop(call.path, None)
        if call.name == "rename":
            names[call.to] = file
