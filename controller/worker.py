"""One daemon thread that does what it is given, in order. For what may wait: disks and password hashes.

A disk that hangs lets its thread wait for ever, but not whoever asked: `give_up` answers for it.
Thread contract: `submit`, `give_up` and `close` from any thread; the work runs in the worker's own.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
LATE_S = 3.0  # work that is older is given up for whoever asked; a synchronised write to a slow card takes less


class Busy(Exception):
    """Too much is waiting already: try again."""


class Late(Exception):
    """The work was not done in time."""


class _Item(msgspec.Struct, eq=False):
    """`begun` and `given_up` are guarded by the worker's lock: one of the two comes first."""

    work: Callable[[], Any]
    future: Future[Any]
    since_s: float
    begun: bool = False
    given_up: bool = False


def _too_late(begun: bool) -> Exception:
    return Late("it takes too long: " + ("it may still be done" if begun else "nothing was done"))


def _never() -> float | None:
    return None


class Worker:
    """At most `waiting` pieces of work wait. `first` runs in the thread before all work, `last` after it.

    `late(begun)` makes the error of work that is given up: whether it had begun, so that nobody knows what comes of it,
    or will not be done. `idle` runs in the thread when nothing came for `pause_s()` seconds, None: never.
    """

    def __init__(self, name: str, waiting: int, *, first: Callable[[], None] | None = None,
                 last: Callable[[], None] | None = None, late: Callable[[bool], Exception] = _too_late,
                 idle: Callable[[], None] | None = None, pause_s: Callable[[], float | None] = _never) -> None:
        self._name, self._first, self._last, self._late = name, first, last, late
        self._idle, self._pause_s = idle, pause_s
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._open: deque[_Item] = deque()  # not finished, in order
        self._waiting = waiting
        self._lock = threading.Lock()  # never held during work
        self._thread: threading.Thread | None = None
        self._ended = False
        self._at_work_since_s = 0.0  # 0: waits for work

    def start(self) -> None:
        """Start the thread; `submit` does it too. A daemon: work that hangs cannot keep the program from ending."""
        with self._lock:
            self._start()

    def _start(self) -> None:
        if self._thread is None and not self._ended:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    @property
    def hangs(self) -> bool:
        """Whether it is at one piece of work for longer than LATE_S."""
        since_s = self._at_work_since_s
        return bool(since_s) and time.monotonic() - since_s > LATE_S

    @property
    def ended(self) -> bool:
        """Whether it takes no more work."""
        return self._ended

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """A future of the result of `work`. Busy when too much waits or the worker has ended. While it hangs the future
        has failed at once."""
        future: Future[T] = Future()
        with self._lock:
            if self._ended or self._queue.qsize() >= self._waiting:
                raise Busy("the program is ending" if self._ended else "too many requests wait: try again")
            hangs = self.hangs
            if not hangs:
                self._start()
                self._open.append(item := _Item(work, future, time.monotonic()))
                self._queue.put(item)
        if hangs:
            future.set_exception(self._late(False))
        return future

    def give_up(self, now_s: float) -> None:
        """Fail the futures of work that is older than LATE_S (monotonic). What had not begun is not done any more."""
        with self._lock:
            late = [item for item in self._open if not item.given_up and now_s - item.since_s > LATE_S]
            for item in late:
                item.given_up = True
        for item in late:
            with contextlib.suppress(InvalidStateError):  # it has just come to an end
                item.future.set_exception(self._late(item.begun))

    def close(self, limit_s: float) -> bool:
        """Do what is waiting, then end; False when that takes longer than `limit_s`. May be called twice."""
        with self._lock:
            if self._thread is None:
                self._ended = True
                return True
            if not self._ended:
                self._ended = True
                self._queue.put(None)
        self._thread.join(limit_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        if self._first is not None:
            self._timed(self._first)
        while True:
            try:
                item = self._queue.get(timeout=self._pause_s())
            except queue.Empty:
                if self._idle is not None:
                    self._timed(self._idle)
                continue
            if item is None:
                break
            with self._lock:
                item.begun = not item.given_up
            if item.begun and item.future.set_running_or_notify_cancel():
                self._timed(lambda item=item: _do(item))  # type: ignore[misc]
            with self._lock:
                self._open.popleft()
            del item  # nothing of the last work stays in memory while the thread waits
        if self._last is not None:
            with contextlib.suppress(Exception):
                self._timed(self._last)

    def _timed(self, work: Callable[[], None]) -> None:
        self._at_work_since_s = time.monotonic()
        try:
            work()
        finally:
            self._at_work_since_s = 0.0


def _do(item: _Item) -> None:
    try:
        result = item.work()
    except BaseException as error:
        with contextlib.suppress(InvalidStateError):  # given up meanwhile
            item.future.set_exception(error)
    else:
        with contextlib.suppress(InvalidStateError):
            item.future.set_result(result)
