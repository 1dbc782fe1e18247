"""What an update says of itself in /run/allyarm-update/status.json, and how the controller reads it.

Thread contract: the reader belongs to the HMI thread; the file is on a memory file system, so that nobody waits for a
disk. The file is believed for what is shown only, never for what is done.
"""

from __future__ import annotations

import os
import stat
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from controller.update.places import STATUS

FILE_BYTES = 4096


class Phase(StrEnum):
    """How far an update is; docs/update.md says it in more words."""

    NONE = ""
    CHECK = "check"
    DOWNLOAD = "download"
    UNPACK = "unpack"
    SWITCH = "switch"
    TRY = "try"
    CONFIRMED = "confirmed"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    READY = "ready"


class Announced(msgspec.Struct, frozen=True):
    """`version` is the release it is about, `percent` of this phase, `text` a sentence for people."""

    phase: Phase = Phase.NONE
    version: Annotated[str, Meta(max_length=40)] = ""
    percent: Annotated[int, Meta(ge=0, le=100)] = 0
    text: Annotated[str, Meta(max_length=500)] = ""


class UpdateState(msgspec.Struct, frozen=True):
    """The release that runs (`running`, and its folder `tree`, "" in a development tree), and the update under way or
    the last one since the machine started. `problem` says why what the update says cannot be read, "" otherwise."""

    running: str = ""
    tree: str = ""
    phase: str = ""
    version: str = ""
    percent: int = 0
    text: str = ""
    problem: str = ""


def own_tree() -> str:
    """The release this program runs from, links followed; "" when it is none."""
    tree = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    tree = os.path.dirname(tree) if os.path.basename(tree) == "lib" else tree
    return tree if os.path.exists(os.path.join(tree, "release.json")) else ""


class Watch:
    """Looks once per `tick` whether the file has changed; reads it only then."""

    def __init__(self, running: str, path: str | Path = STATUS) -> None:
        self._path = os.fspath(path)
        self._key: tuple[int, ...] | None = None
        self.state = UpdateState(running, own_tree())

    def tick(self) -> bool:
        """Whether another phase or another update is told than before, or that the file cannot be read."""
        try:
            found = os.stat(self._path, follow_symlinks=False)
        except OSError:     # none since the machine started
            key = None
        else:
            key = (found.st_mtime_ns, found.st_ino, found.st_size)
        if key == self._key:
            return False
        self._key = key
        before = self.state
        self.state = self._read() if key is not None else UpdateState(before.running, before.tree)
        now = self.state
        return (before.phase, before.version, before.problem) != (now.phase, now.version, now.problem)

    def _read(self) -> UpdateState:
        running, tree = self.state.running, self.state.tree
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise ValueError("it is no file")
                content = os.read(descriptor, FILE_BYTES + 1)
            finally:
                os.close(descriptor)
            if len(content) > FILE_BYTES:
                raise ValueError(f"it is longer than {FILE_BYTES} bytes")
            found = msgspec.json.decode(content, type=Announced)
        except (OSError, ValueError, RecursionError) as error:   # msgspec's errors are ValueErrors
            return UpdateState(running, tree, problem=f"{self._path}: {error}"[:300])
        return UpdateState(running, tree, str(found.phase), found.version, found.percent, found.text)
