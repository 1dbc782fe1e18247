"""Reads every open device in a thread of its own, so that neither a flood nor a device that hangs reaches the HMI.

Thread contract: `views`, `alive_s` and `problem` are replaced whole by the reading thread and may be read anywhere;
`add` and `close` may be called anywhere. However many events come, a device is read at most once per READ_S, and at
most READ_BYTES of it; `wake` is called at most as often.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

from controller.input.device import Source
from controller.input.events import EVENT, Tracker, View
from controller.spec.input import ACT_S, READ_S

READ_BYTES = 256 * EVENT.size
IDLE_S = 0.25  # longest wait for an event while nothing is deflected
IN_USE_S = 2.0  # after its last event; or while it is deflected
DEFLECTED = 0.05
CLOSE_LIMIT_S = 0.1  # of the half second that the server has for its end
log = logging.getLogger(__name__)


class Reader:
    """`wake` is called when there is something new, with True when it is a stop; `lost`, which may be set before the
    start, with the path of a device that is gone."""

    def __init__(self, wake: Callable[[bool], None]) -> None:
        self._wake = wake
        self.lost: Callable[[str], None] = lambda path: None
        self._new: deque[Source] = deque()
        self._open: dict[int, tuple[Source, Tracker]] = {}
        self._numbers = 0
        self._ending = False
        self._bell_out, self._bell_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._bell_out, select.POLLIN)
        self._thread = threading.Thread(target=self._run, name="input-reader", daemon=True)
        self.views: tuple[View, ...] = ()
        self.alive_s = time.monotonic()
        self.problem = ""

    def start(self) -> None:
        self._thread.start()

    def add(self, source: Source) -> None:
        """Read this one too; it is closed when it is gone, or with the reader."""
        self._new.append(source)
        self._ring()

    def close(self) -> None:
        """End the thread and close every device. One that hangs in the kernel is left to the end of the process."""
        self._ending = True
        self._ring()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_LIMIT_S)

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # full: it rings already
            os.write(self._bell_in, b"\0")

    def _run(self) -> None:
        try:
            while not self._ending:
                self._round()
                time.sleep(READ_S)
        except Exception:
            self.problem = "the thread that reads input devices ended by a fault: restart the controller"
            log.exception("the thread that reads input devices ended by a fault")
        finally:
            self.views = ()
            for source, _ in self._open.values():
                source.close()
            self._wake(True)

    def _round(self) -> None:
        """Wait for events, take them, publish."""
        wait_s = ACT_S if self._in_use() else IDLE_S
        ready = self._poll.poll(wait_s * 1e3)
        now_s = time.monotonic()
        changed = self._take_new(now_s)
        for fd, _ in ready:
            if fd == self._bell_out:
                os.read(fd, 4096)
            elif fd in self._open:
                changed = True
                self._read(fd, now_s)
        self.alive_s = now_s
        if changed:
            stops = sum(view.stop_presses for view in self.views)
            self.views = tuple(tracker.view() for _, tracker in self._open.values())
            self._wake(sum(view.stop_presses for view in self.views) != stops)

    def _in_use(self) -> bool:
        now_s = time.monotonic()
        return any(now_s - tracker.heard_s < IN_USE_S or any(
            not axis.relative and abs(axis.deflection(value)) > DEFLECTED
            for axis, value in zip(tracker.description.axes, tracker.values, strict=True))
            for _, tracker in self._open.values())

    def _take_new(self, now_s: float) -> bool:
        changed = False
        while self._new:
            source = self._new.popleft()
            self._numbers += 1
            try:
                tracker = Tracker(self._numbers, source.description, source.absolutes, now_s)
            except OSError:
                self._give_up(source)
                continue
            self._open[source.fd] = (source, tracker)
            self._poll.register(source.fd, select.POLLIN)
            log.info("input device: %s (%s, %s)", source.description.name, source.description.kind,
                     source.description.path)
            changed = True
        return changed

    def _read(self, fd: int, now_s: float) -> None:
        source, tracker = self._open[fd]
        try:
            data = os.read(fd, READ_BYTES)
            if not data:
                raise OSError("end of file")
            tracker.take(data, now_s)
        except BlockingIOError:
            return
        except Exception as error:
            if isinstance(error, OSError):
                log.info("input device %s is gone: %s", source.description.name, error)
            else:  # a fault of ours: the others go on
                log.exception("fault while reading the input device %s", source.description.name)
            self._poll.unregister(fd)
            del self._open[fd]
            self._give_up(source)

    def _give_up(self, source: Source) -> None:
        with contextlib.suppress(OSError):
            source.close()
        self.lost(source.description.path)
