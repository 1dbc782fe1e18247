"""The time that signatures are judged by: never earlier than what is known to have been.

A board without a clock battery starts in the past, where metadata that expired long ago looks fresh for ever. So the
time is at least that of the release that runs, and that of the newest signed metadata that was ever seen, which is
kept.
"""

from __future__ import annotations

import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

FORMAT = "%Y-%m-%dT%H:%M:%SZ"
Count = Annotated[int, Meta(ge=0)]


def parsed(text: str) -> datetime.datetime:
    """ValueError when it is not like 2026-11-25T01:00:00Z."""
    return datetime.datetime.strptime(text, FORMAT).replace(tzinfo=datetime.UTC)


def written(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).strftime(FORMAT)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Seen(msgspec.Struct, frozen=True):
    """What is known from verified metadata, beside the metadata: a cache that was cut off by a power failure must not
    make the board forget it.

    `offline` is the time proven by the keys of root and targets, which are kept offline: it never goes back. `online`
    is that of the timestamp key, which lives on a server: it counts as long as `online_keys` do. `versions` are the
    highest of each role.
    """

    offline: str = ""
    online: str = ""
    online_keys: tuple[str, ...] = ()
    versions: dict[str, Count] = {}


def floor(seen: Seen, *built: str) -> datetime.datetime:
    """The latest of all that is known; `built` are the build times of releases on this board."""
    times = [datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)]
    for text in (seen.offline, seen.online, *built):
        try:
            times.append(parsed(text))
        except ValueError:
            continue  # "" for not known
    return max(times)


def reference(seen: Seen, *built: str) -> datetime.datetime:
    """The clock's time, or the floor where the clock is behind it."""
    return max(now(), floor(seen, *built))


def later(first: str, second: str) -> str:
    """The later of two written times; "" is none."""
    return max(first, second)   # the format sorts
