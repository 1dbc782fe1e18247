"""HTTP as TUF's client needs it: with progress, an end in time, and no more bytes than are wanted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import urllib3
from tuf.api.exceptions import SlowRetrievalError
from tuf.ngclient.urllib3_fetcher import Urllib3Fetcher

from controller import __version__

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

SILENCE_S = 15  # without a byte
SLOWEST_BYTES_S = 2000  # on average, after GRACE_S: less is a server that holds the line to keep the board busy
GRACE_S = 30.0
CHUNK = 1 << 16


class Fetcher(Urllib3Fetcher):
    """`came` is told of every chunk."""

    def __init__(self, came: Callable[[int], None] = lambda _: None, silence_s: int = SILENCE_S,
                 grace_s: float = GRACE_S) -> None:
        super().__init__(socket_timeout=silence_s, chunk_size=CHUNK, app_user_agent=f"allyarm/{__version__}")
        self.came, self._grace_s = came, grace_s

    def _chunks(self, response: BaseHTTPResponse) -> Iterator[bytes]:
        started, count = time.monotonic(), 0
        for chunk in super()._chunks(response):
            count += len(chunk)
            self.came(len(chunk))
            if (took_s := time.monotonic() - started) > self._grace_s and count < took_s * SLOWEST_BYTES_S:
                raise SlowRetrievalError(f"{count} bytes in {took_s:.0f} s")
            yield chunk


def reason(error: BaseException) -> str:
    """The innermost cause in few words."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason is not None:
        error = error.reason
    return (str(error) or type(error).__name__)[:300]
