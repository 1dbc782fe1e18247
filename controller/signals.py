"""What signals mean to `allyarm run`. Cheap to import: installed before anything slow is.

SIGTERM, SIGINT, SIGHUP and SIGQUIT all ask for the same clean end: soft stop, power off, exit. A second one ends the
process at once, but only when the clean end is overdue: an impatient Ctrl-C must not cut motor power in a motion.

Thread contract: handlers run in the main thread, between two of its instructions.
"""

from __future__ import annotations

import os
import select
import signal
import time

TYPE_CHECKING = False   # typing's own costs the first control cycle 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

ASK_TO_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
IGNORED = (signal.SIGUSR1, signal.SIGUSR2)      # their default would end the process without a stop
STOP_LIMIT_S = 1.5      # the core's soft stop, power off and last telegrams
OVERDUE_S = STOP_LIMIT_S + 0.5


class StopSignals:
    """`asked` is True from the first signal on, `first_s` when that was (monotonic, 0.0 never); `on_first` is then
    called once, in the handler."""

    def __init__(self) -> None:
        self.asked = False
        self.on_first: Callable[[], None] | None = None
        self.first_s = 0.0
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def __del__(self) -> None:
        os.close(self._wake)

    def wait(self, timeout_s: float) -> None:
        """Sleep, but not longer than to the next signal (an ordinary sleep goes on after its handler)."""
        if not self.asked:
            select.select([self._wake], [], [], timeout_s)

    def install(self) -> None:
        """Take over the signals; SIGHUP stays ignored when whoever started us ignores it (nohup)."""
        for number in ASK_TO_STOP:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._handle)
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        now = time.monotonic()
        if self.asked:
            if now - self.first_s > OVERDUE_S:
                os._exit(128 + number)      # the board's watchdog takes motor power
            return
        self.asked, self.first_s = True, now
        os.eventfd_write(self._wake, 1)
        if self.on_first is not None:
            self.on_first()
