"""What the stores share: a SQLite file in the care of a thread of its own; what is wrong with it, in words; its end.

Thread contract: the database and its lock belong to the worker's thread. The rest may be called by the thread that uses
the store, and does not wait for a disk, but `close`, which waits for at most its limit.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

from controller.database import FolderLock
from controller.worker import Worker

RETRY_S = 5.0
CLOSE_LIMIT_S = 1.0
WAITING = 64
log = logging.getLogger(__name__)


class StoreError(Exception):
    """It is not on disk, or cannot be read; the text says why and what to do."""


class KeptFile:
    """`hanging` is what it means that the disk does not answer. `problem` says what is wrong with the file now, "" when
    all is well; as long as `_stuck` holds, `_retry` is called every RETRY_S."""

    def __init__(self, path: Path | None, name: str, hanging: str, *, first: Callable[[], None] | None = None) -> None:
        self.path, self.problem = path, ""
        self._hanging = f"the disk of {path} does not answer: {hanging}"
        self._database: sqlite3.Connection | None = None
        self._lock: FolderLock | None = None
        self._worker = Worker(name, WAITING, first=first, last=self._end, late=self._late, idle=self._retry,
                              pause_s=self._pause_s)

    @property
    def trouble(self) -> str:
        """`problem`, or that the disk hangs: then nothing fails, and nobody would learn of it."""
        return self._hanging if self._worker.hangs else self.problem

    def tick(self, now_s: float) -> None:
        """About once a second: who waits for a disk that hangs is answered (StoreError)."""
        self._worker.give_up(now_s)

    def close(self, limit_s: float | None = None) -> None:
        """Do what is waiting and close the file, within `limit_s` (None: CLOSE_LIMIT_S). May be called twice."""
        if not self._worker.close(CLOSE_LIMIT_S if limit_s is None else limit_s):
            log.error("the disk of %s does not answer: what was changed last may not be saved", self.path)

    # -- for the stores

    def _late(self, begun: bool) -> StoreError:
        """The answer to who has waited too long."""
        raise NotImplementedError

    @property
    def _stuck(self) -> bool:
        """Whether something has to be tried again."""
        raise NotImplementedError

    def _retry(self) -> None:
        """Try it again. In the worker's thread."""
        raise NotImplementedError

    def _pause_s(self) -> float | None:
        return RETRY_S if self._stuck else None

    def _end(self) -> None:
        """Last thing of the thread."""
        self._shut()

    def _shut(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _report(self, text: str) -> None:
        if text != self.problem:  # once per cause, not once per try
            log.error(text)
        self.problem = text
