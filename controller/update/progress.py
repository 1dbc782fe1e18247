"""Tells what is done now: to the controller's file, and to the terminal. Neither can make an update fail."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

import msgspec

from controller.update.announced import Announced, Phase

LEAST_S = 0.2   # between two writes of one phase


class Progress:
    """`path` of the file for the controller; `terminal` shows a line that is written over."""

    def __init__(self, path: Path, terminal: bool = False) -> None:
        self._path, self._terminal = path, terminal
        self._now = Announced()
        self._told_s = 0.0
        self._open_line = False
        self._total, self._done = 0, 0

    def phase(self, phase: Phase, text: str, version: str | None = None, total: int = 0) -> None:
        """A new phase; `total` is what `came` counts up to."""
        self._total, self._done = total, 0
        self._now = Announced(phase, self._now.version if version is None else version[:40], 0, text[:500])
        self._tell(True)

    def came(self, count: int) -> None:
        """`count` more of the total."""
        self._done += count
        if self._total > 0:
            percent = min(100, 100 * self._done // self._total)
            if percent != self._now.percent:
                self._now = msgspec.structs.replace(self._now, percent=percent)
                self._tell(percent == 100)

    def end(self) -> None:
        """The last line stays."""
        if self._open_line:
            print(file=sys.stderr, flush=True)
            self._open_line = False

    def _tell(self, at_once: bool) -> None:
        now_s = time.monotonic()
        if not at_once and now_s - self._told_s < LEAST_S:
            return
        self._told_s = now_s
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            draft = self._path.with_name(".status.json.new")
            draft.write_bytes(msgspec.json.encode(self._now))
            draft.chmod(0o644)
            os.replace(draft, self._path)
        if self._terminal:
            percent = f" {self._now.percent:3d} %" if self._total else ""
            with contextlib.suppress(OSError):
                print(f"\r\x1b[K{self._now.text}{percent}", end="", file=sys.stderr, flush=True)
            self._open_line = True
