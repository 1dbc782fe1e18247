"""The base board's text registers on their way from the HMI to the line: Wi-Fi credentials, firmware update.

Their values are secrets: no text, log or representation here ever holds one.
Thread contract: `offer` and `withdraw` are the HMI thread's, `waiting`, `take` and `fail` the main thread's; none of
them waits.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future

import msgspec

from controller.spec import registers as reg
from controller.spec.board import BOARD_TEXTS


class BoardWrite(msgspec.Struct, frozen=True):
    """Texts by address, and what becomes of them: `done` holds None or an exception whose text is for the operator."""

    texts: dict[int, str]
    done: Future[None] = msgspec.field(default_factory=Future)

    def __repr__(self) -> str:     # texts may be credentials: they must not reach a log by way of a traceback
        return f"BoardWrite({self.names})"

    @property
    def names(self) -> str:
        return ", ".join(reg.at(address)[0].name for address in self.texts)


class BoardWrites:
    """At most one write on its way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: BoardWrite | None = None

    def offer(self, texts: dict[str, str]) -> BoardWrite | None:
        """Leave texts by register name for the next bring-up; None while another write waits."""
        write = BoardWrite({row.address: texts[name] for name, row in BOARD_TEXTS.items() if name in texts})
        with self._lock:
            if self._waiting is not None:
                return None
            self._waiting = write
            return write

    @property
    def waiting(self) -> bool:
        """Whether texts wait for a line to be written on."""
        with self._lock:
            return self._waiting is not None

    def withdraw(self, write: BoardWrite) -> bool:
        """Take it back; False when the main thread has it already."""
        with self._lock:
            if self._waiting is not write:
                return False
            self._waiting = None
            return True

    def take(self) -> BoardWrite | None:
        """What is to be written now."""
        with self._lock:
            write, self._waiting = self._waiting, None
            return write

    def fail(self, error: Exception) -> None:
        """There is no line to write on."""
        if (write := self.take()) is not None:
            write.done.set_exception(error)
