"""One daemon thread that does what it is given, in order. For what may wait: disks and password hashes.

Thread contract: `submit` and `close` from any thread; the work runs in the worker's own.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class Busy(Exception):
    """Too much is waiting already: try again."""


class Worker:
    """At most `waiting` pieces of work wait. `first` runs in the thread before all work, `last` after it."""

    def __init__(self, name: str, waiting: int, *, first: Callable[[], None] | None = None,
                 last: Callable[[], None] | None = None) -> None:
        self._name, self._first, self._last = name, first, last
        self._queue: queue.SimpleQueue[tuple[Callable[[], object], Future[object]] | None] = queue.SimpleQueue()
        self._waiting = waiting
        self._lock = threading.Lock()  # never held during work
        self._thread: threading.Thread | None = None
        self._ended = False

    def start(self) -> None:
        """Start the thread; `submit` does it too. A daemon: work that hangs cannot keep the program from ending."""
        with self._lock:
            self._start()

    def _start(self) -> None:
        if self._thread is None and not self._ended:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """A future of the result of `work`. Busy when too much waits or the worker has ended."""
        future: Future[T] = Future()
        with self._lock:
            if self._ended or self._queue.qsize() >= self._waiting:
                raise Busy("the program is ending" if self._ended else "too many requests wait: try again")
            self._start()
            self._queue.put((work, future))  # type: ignore[arg-type]
        return future

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
            self._first()
        while (item := self._queue.get()) is not None:
            work, future = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            del item, work, future  # nothing of the last work stays in memory while the thread waits
        if self._last is not None:
            with contextlib.suppress(Exception):
                self._last()
