"""Counts of what the HMI server did and refused, shown in every status, and a log that cannot be flooded."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Any

KINDS_LIMIT = 64


class Counters:
    """Named counts. Names are the program's own, never a client's text, so their number is bounded."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def add(self, name: str, by: int = 1) -> None:
        self.count[name] += by

    def refuse(self, kind: str) -> None:
        self.refused[kind] += 1

    def as_dict(self) -> dict[str, object]:
        return {**self.count, "refused": dict(self.refused)}


class Sparing(logging.Filter):
    """Lets each message template through at most `burst` times per `period_s`, and says how many it held back."""

    def __init__(self, burst: int = 5, period_s: float = 10.0) -> None:
        super().__init__()
        self._burst, self._period_s = burst, period_s
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        key = f"{record.name}:{str(record.msg)[:60]}"
        since, count = self._seen.get(key, (now, 0))
        if now - since >= self._period_s:
            if count > self._burst:
                record.msg = f"{record.msg} ({count - self._burst} more like it)"
            since, count = now, 0
        if len(self._seen) >= KINDS_LIMIT and key not in self._seen:
            self._seen.clear()
        self._seen[key] = (since, count + 1)
        return count < self._burst


def logger(name: str) -> logging.Logger:
    """Logger `name` with a Sparing filter, made once."""
    found = logging.getLogger(name)
    if not any(isinstance(item, Sparing) for item in found.filters):
        found.addFilter(Sparing())
    return found


class HttpLog(logging.LoggerAdapter[logging.Logger]):
    """What aiohttp logs. What a client did wrong is counted and one line; only our own faults have a traceback."""

    def __init__(self, counters: Counters, clients_faults: tuple[type[Exception], ...]) -> None:
        super().__init__(logger("controller.hmi.http"))
        self._counters, self._clients_faults = counters, clients_faults

    def exception(self, msg: object, *args: object, **options: Any) -> None:
        """Instead of `Logger.exception`."""
        error = options.get("exc_info")
        if isinstance(error, self._clients_faults):
            self._counters.refuse("http")
            self.warning("malformed or broken HTTP request refused: %s", f"{error}".strip().split("\n")[0][:120])
        else:
            self._counters.add("internal_errors")
            self.error(msg, *args, **{"exc_info": True, **options})
