"""How an HTTP request is refused: the exception, and the body it becomes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from aiohttp import web


class Problem(msgspec.Struct, omit_defaults=True):
    """Why a request was refused: a sentence for people, and the field it is about if it is about one."""

    message: str
    field: str = ""


class Refusal(Exception):
    """A request is refused: HTTP status, a sentence for people, the field it is about."""

    def __init__(self, status: int, message: str, field: str = "", *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.status, self.message, self.field, self.retry_after_s = status, message, field, retry_after_s

    def response(self) -> web.Response:
        """{message, field} with its status."""
        response = json_response(Problem(self.message, self.field), self.status)
        if self.retry_after_s:
            response.headers["Retry-After"] = str(math.ceil(self.retry_after_s))
        if self.status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response


def json_response(value: object, status: int = 200) -> web.Response:
    """Any value that msgspec encodes."""
    from aiohttp import web  # here, because the descriptions are made without it too

    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
