"""Looks for input devices: opens what is new and wanted, in a thread of its own, because opening may take as long as a
device likes.

Thread contract: `found` is called in the finding thread; `problem` may be read, `forget` called anywhere.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from controller.input.device import EvdevSource, Source
from controller.spec.input import LOOK_S

FOLDER = Path("/dev/input")
HANGS_S = 5.0
GROUP = ("the user of the controller has to be in the group input: usermod -aG input USER, then log in again (as a "
         "service: SupplementaryGroups=input)")
log = logging.getLogger(__name__)


def nodes(folder: Path = FOLDER) -> Iterator[Path]:
    """Event devices, in the order of their numbers."""
    try:
        names = [name for name in os.listdir(folder) if name.startswith("event") and name[5:].isdigit()]
    except OSError:
        return
    for name in sorted(names, key=lambda name: int(name[5:])):
        yield folder / name


class Finder:
    """`patterns` as in Description.matches; `found` gets each Source that is new and wanted."""

    def __init__(self, patterns: Sequence[str], found: Callable[[Source], None], *, folder: Path = FOLDER,
                 open_source: Callable[[str], Source] = EvdevSource) -> None:
        self._patterns, self._found, self._folder, self._open = tuple(patterns), found, folder, open_source
        self._known: dict[Path, tuple[int, int]] = {}
        self._forgotten: deque[Path] = deque()
        self._refused: dict[Path, str] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="input-finder", daemon=True)
        self._at: tuple[float, str] = (0.0, "")

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End; a device that hangs is not waited for."""
        self._ending.set()

    @property
    def problem(self) -> str:
        """What keeps devices from being used, "" when nothing does."""
        since_s, path = self._at
        if path and time.monotonic() - since_s > HANGS_S:
            return f"{path} does not answer since {time.monotonic() - since_s:.0f} s: unplug it"
        return "; ".join(f"{path.name}: {why}" for path, why in list(self._refused.items())[:3])

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self.look()
            except Exception:  # the next look tries again; a finder that is gone would find nothing any more
                log.exception("fault while looking for input devices")
            self._ending.wait(LOOK_S)

    def look(self) -> None:
        """One look: what is there, what is new."""
        while self._forgotten:
            self._known.pop(self._forgotten.popleft(), None)
        there = {}
        for path in nodes(self._folder):
            try:
                status = path.stat()
            except OSError:
                continue
            there[path] = (status.st_ino, status.st_ctime_ns)
        self._known = {path: mark for path, mark in self._known.items() if there.get(path) == mark}
        self._refused = {path: why for path, why in self._refused.items() if path in there}
        for path, mark in there.items():
            if path not in self._known and not self._ending.is_set():
                self._try(path, mark)

    def _try(self, path: Path, mark: tuple[int, int]) -> None:
        self._at = (time.monotonic(), str(path))
        source: Source | None = None
        try:
            source = self._open(str(path))
            wanted = source.description.matches(self._patterns)
            if wanted:
                source.hold()
        except OSError as error:
            if source is not None:
                source.close()
            why = refusal(error)
            if self._refused.get(path) != why and error.errno not in {errno.ENODEV, errno.ENOENT}:
                log.warning("input device %s: %s", path, why)
            self._refused[path] = why  # rights come a moment after the device, and another program may let it go
            return
        finally:
            self._at = (0.0, "")
        self._known[path] = mark
        self._refused.pop(path, None)
        if wanted:
            self._found(source)
        else:
            source.close()

    def forget(self, path: str) -> None:
        """A device that was given out is closed: if it is still there it may be opened again."""
        self._forgotten.append(Path(path))


def refusal(error: OSError) -> str:
    """Why a device cannot be opened, and what to do."""
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"may not be read: {GROUP}"
    if error.errno == errno.EBUSY:
        return "another program has it for itself: end that program"
    return error.strerror or str(error)
