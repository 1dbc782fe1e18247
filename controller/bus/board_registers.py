"""The base board's text registers on their way from the HMI to the line: Wi-Fi credentials, firmware update.

Their values are secrets: no text, log or representation here ever holds one.
While the board's firmware is updated nobody else speaks on the line: `hold` keeps it from the control loop, so that
motor power cannot come on, whatever a client asks for.
Thread contract: `offer`, `withdraw`, `hold` and `let_go` are the HMI thread's, `waiting`, `held` and `take` the main
thread's, `fail` is both's; none of them waits.
"""

from __future__ import annotations

import threading
import time
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


class Held(Exception):
    """What was to be written is written, and the line stays in the register phase."""


class BoardWrites:
    """At most one write on its way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: BoardWrite | None = None
        self._held_until_s = 0.0

    def hold(self, seconds: float) -> None:
        """No bring-up for so long, except to write what waits. To be renewed: an HMI that hangs holds nothing."""
        self._held_until_s = time.monotonic() + seconds     # one float: replaced whole

    def let_go(self) -> None:
        """The arm may be connected again."""
        self._held_until_s = 0.0

    @property
    def held(self) -> bool:
        """Whether the line is kept from the control loop."""
        return time.monotonic() < self._held_until_s

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
        """There is no line to write on, or nobody waits any more."""
        if (write := self.take()) is not None:
            write.done.set_exception(error)
