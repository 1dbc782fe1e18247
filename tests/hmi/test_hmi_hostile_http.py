"""What is no HTTP, or breaks off: counted, one line of log, no traceback."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from tests.hmi.rig import running

HOSTILE_HTTP = [
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"b" * 20_000 + b"\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nno colon here\r\n\r\n", b"\r\n" * 5 + b"\x00\xff\r\n\r\n",
    b"POST /stop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
    b"POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500\r\n\r\n4",
    b"POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Encoding: gzip\r\n"
    b"Content-Length: 5\r\n\r\nxxxxx",
]


async def test_hostile_http_is_counted_and_makes_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with running() as rig:
        host, port = rig.url.removeprefix("http://").split(":")
        for request in HOSTILE_HTTP * 2:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(request)
            await writer.drain()
            await asyncio.sleep(0.05)
            socket_ = writer.get_extra_info("socket")
            socket_.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
            writer.close()
            del reader
        await asyncio.sleep(0.2)
        assert [record.getMessage() for record in caplog.records if record.exc_info] == []
        lines = [record for record in caplog.records if "HTTP request refused" in record.getMessage()]
        assert 1 <= len(lines) <= 5
        assert (await asyncio.to_thread(rig.refused))["http"] >= 14
        assert (await asyncio.to_thread(rig.status))["hmi"].get("internal_errors", 0) == 0
