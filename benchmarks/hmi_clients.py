"""Many Socket.IO clients in one process: Engine.IO 4 over WebSocket, as little work per message as can be.

    python -m benchmarks.hmi_clients PORT CLIENTS SECONDS CPU,CPU,...

Prints "go" once every client has received a message, "done" SECONDS later, then one line of JSON: {"arrivals":
[[ns, ...] per client] (CLOCK_MONOTONIC), "bytes": of all messages, "payload": the first `data` object}.
"""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import sys
import time
from typing import Any

CONNECT_S = 20.0
SETTLE_S = 0.3
TEXT, CLOSE, PING = 1, 8, 9
MASK = b"\x00\x00\x00\x00"      # a mask of zeros is a valid one and leaves the bytes as they are


class Client:
    """One connection; `data_ns` are the arrival times of its `data` messages."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), CONNECT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data_ns: list[int] = []
        self.bytes = 0
        self.first: Any = None
        self._buffer = bytearray()
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n").encode())
        while b"\r\n\r\n" not in self._buffer:
            got = self.socket.recv(4096)
            if not got:
                raise SystemExit(f"port {port} closed the connection: {bytes(self._buffer[:200])!r}")
            self._buffer += got
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise SystemExit(f"port {port} refused the upgrade: {head[:200]!r}")
        self._buffer = bytearray(rest)
        self.send(b"40")
        self.socket.setblocking(False)

    def send(self, text: bytes) -> None:
        """A masked text frame of less than 126 bytes."""
        self.socket.send(bytes((0x80 | TEXT, 0x80 | len(text))) + MASK + text)

    def receive(self) -> None:
        """Take what has come; every message gets the time of its last byte's arrival."""
        got = self.socket.recv(1 << 18)
        now_ns = time.monotonic_ns()
        if not got:
            raise SystemExit("the server closed a connection")
        buffer = self._buffer
        buffer += got
        offset = 0
        while len(buffer) - offset >= 2:
            size, begin = buffer[offset + 1] & 0x7F, offset + 2
            if size == 126:
                size, begin = int.from_bytes(buffer[begin:begin + 2], "big"), begin + 2
            elif size == 127:
                size, begin = int.from_bytes(buffer[begin:begin + 8], "big"), begin + 8
            if len(buffer) < begin + size:
                break
            self._message(buffer[offset] & 0x0F, buffer, begin, begin + size, now_ns)
            offset = begin + size
        del buffer[:offset]

    def _message(self, kind: int, buffer: bytearray, begin: int, end: int, now_ns: int) -> None:
        if kind == CLOSE:
            raise SystemExit("the server closed a connection")
        if kind != TEXT:
            return
        if buffer.startswith(b'42["data"', begin):
            if self.first is None:
                self.first = json.loads(bytes(buffer[begin + 2:end]))[1]
            self.data_ns.append(now_ns)
            self.bytes += end - begin
        elif end - begin == 1 and buffer[begin:end] == b"2":
            self.send(b"3")


def serve(clients: list[Client], poll: select.epoll, until: float) -> None:
    by_fd = {client.socket.fileno(): client for client in clients}
    while (left := until - time.monotonic()) > 0:
        for fd, _ in poll.poll(left):
            by_fd[fd].receive()


def main() -> None:
    port, count, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    os.sched_setaffinity(0, {int(cpu) for cpu in sys.argv[4].split(",")})
    clients = [Client(port) for _ in range(count)]
    poll = select.epoll()
    for client in clients:
        poll.register(client.socket.fileno(), select.EPOLLIN)
    limit = time.monotonic() + CONNECT_S
    while not all(client.data_ns for client in clients):
        serve(clients, poll, time.monotonic() + 0.05)
        if time.monotonic() > limit:
            raise SystemExit(f"not every client received a message within {CONNECT_S:g} s")
    serve(clients, poll, time.monotonic() + SETTLE_S)
    for client in clients:
        client.data_ns.clear()
        client.bytes = 0
    print("go", flush=True)
    serve(clients, poll, time.monotonic() + seconds)
    print("done", flush=True)
    arrivals = [client.data_ns for client in clients]
    print(json.dumps({"arrivals": arrivals, "bytes": sum(client.bytes for client in clients),
                      "payload": clients[0].first}), flush=True)


if __name__ == "__main__":
    main()
