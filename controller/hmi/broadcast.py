"""Sends `data` and `state`: encoded once per tick, written to each client that takes it, latest state wins.

A client that still has unsent bytes is skipped, so nothing queues up; after `stalled_s` of that it is cut.
Thread contract: HMI thread only.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import Any

import engineio.packet

from controller.hmi.clients import Client
from controller.hmi.counters import Counters
from controller.hmi.transport import SocketServer, text_frame

EARLY = 0.25  # of a period
UNSENT_LIMIT_BYTES = 8192


class Message:
    """One message, made when the first client wants it, in the forms the transports want."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make
        self._text: bytes | None = None
        self._frame: bytes | None = None

    def text(self) -> bytes:
        """Engine.IO packet as text."""
        if self._text is None:
            self._text = self._make()
        return self._text

    def frame(self) -> bytes:
        """WebSocket frame of it: the same bytes for every client."""
        if self._frame is None:
            self._frame = text_frame(self.text())
        return self._frame


class Broadcast:
    """`data` and `state` make the messages of this tick, `notice` one for a single client."""

    def __init__(self, server: SocketServer, counters: Counters, stalled_s: float, *, data: Callable[[], bytes],
                 state: Callable[[], bytes], notice: Callable[[dict[str, object]], bytes]) -> None:
        self._server, self._counters, self._stalled_s = server, counters, stalled_s
        self._data, self._state, self._notice = data, state, notice

    def send_due(self, clients: Iterable[Client], now_s: float) -> None:
        """Everything that is due for every client. A quarter of a period early is due: the timers of the rounds are
        right to a millisecond only, and each client's own grid keeps its rate exact."""
        data, state = Message(self._data), Message(self._state)
        for client in clients:
            wants: list[Message] = []
            if client.data_hz and client.data_due_s <= now_s + EARLY / client.data_hz:
                wants.append(data)
                client.data_due_s = _next(client.data_due_s, client.data_hz, now_s)
            if client.state_hz and client.state_due_s <= now_s + EARLY / client.state_hz:
                wants.append(state)
                client.state_due_s = _next(client.state_due_s, client.state_hz, now_s)
            if client.notices:
                wants.append(self._notice_of(client))
            if wants and self.send(client, wants, now_s) and client.notices:
                client.notices.popleft()

    def send_notice(self, client: Client, now_s: float) -> None:
        """The oldest notice at once, where the client takes it; otherwise it goes with the next tick."""
        if client.notices and self.send(client, [self._notice_of(client)], now_s):
            client.notices.popleft()

    def _notice_of(self, client: Client) -> Message:
        notice = client.notices[0]
        return Message(lambda: self._notice(notice))

    def send(self, client: Client, messages: list[Message], now_s: float) -> bool:
        """Write to one client unless it has not taken what it was sent before. False: skipped."""
        session = self._server.eio.sockets.get(client.key)
        if session is None or session.closed or session.upgrading:
            return False
        link = self._server.eio.links.get(client.key)
        if link is not None:
            if not link.ready or link.unsent() > UNSENT_LIMIT_BYTES:
                return self._skip(client, now_s)
            for message in messages:
                link.write(message.frame())
        else:
            if not session.queue.empty():
                return self._skip(client, now_s)
            for message in messages:
                session.queue.put_nowait(_packet(message))
        client.stalled_since_s = None
        self._counters.add("sent", len(messages))
        return True

    def _skip(self, client: Client, now_s: float) -> bool:
        if client.stalled_since_s is None:
            client.stalled_since_s = now_s
        elif now_s - client.stalled_since_s >= self._stalled_s:
            client.stalled_since_s = now_s
            self._counters.add("dropped")
            self._server.cut(client.key)
        self._counters.add("skipped")
        return False


def _packet(message: Message) -> Any:
    return engineio.packet.Packet(engineio.packet.MESSAGE, data=message.text()[1:].decode())


def _next(due_s: float, rate_hz: float, now_s: float) -> float:
    """Next due time on the client's own grid; a late one is not made up for."""
    due_s += 1.0 / rate_hz
    return due_s if due_s > now_s else now_s + 1.0 / rate_hz


def own_ipv4(peer: str = "192.0.2.1") -> tuple[str, str]:
    """(IPv4 address this board uses towards others, "" or the back-end's error why it is loopback instead). No packet
    is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((peer, 9))
            return str(ipaddress.IPv4Address(probe.getsockname()[0])), ""
        except (OSError, ValueError) as error:
            no_network = isinstance(error, OSError) and error.errno in {errno.ENETUNREACH, errno.ENETDOWN}
            return "127.0.0.1", "ADDRESS_UNKNOWN" if no_network else "ADDRESS_FAILED"
