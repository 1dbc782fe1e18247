"""The body of an HTTP request, bounded in size and time.

Thread contract: HMI thread only.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from controller.hmi.refusal import Refusal


async def read_body(request: web.Request, most_bytes: int, limit_s: float, *, what: str, allowed: str) -> bytes:
    """All of it; Refusal 413 when it is longer than `most_bytes`, 400 when it takes longer than `limit_s` to come.
    `what` and `allowed` are for the sentence."""
    too_long = Refusal(413, f"{what} is too long: allowed are {allowed} bytes")
    if (request.content_length or 0) > most_bytes:
        raise too_long
    body = bytearray()
    try:
        async with asyncio.timeout(limit_s):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > most_bytes:
                    raise too_long
    except TimeoutError:
        raise Refusal(400, f"{what} did not come within {limit_s:g} s") from None
    return bytes(body)
