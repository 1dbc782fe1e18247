"""A database whose disk fails or hangs on command."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any


class Faulty:
    """Commits, and writes outside a transaction, fail while `fault` is set; commits wait for `hold`."""

    def __init__(self, database: sqlite3.Connection, *, fault: bool = False) -> None:
        self._database, self.fault, self.hold = database, fault, threading.Event()
        self.hold.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def execute(self, text: str, *more: Any) -> Any:
        if self.fault and text.startswith("PRAGMA user_version ="):
            raise sqlite3.OperationalError("disk I/O error")
        if text == "COMMIT":
            self.hold.wait(30)
            if self.fault:
                raise sqlite3.OperationalError("disk I/O error")
        return self._database.execute(text, *more)
