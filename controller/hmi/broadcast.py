"""Sends `data` and `state`: encoded once per tick, written to each client that takes it, latest state wins.

Clients with the same rate share a grid, so that a tick costs little more than one write per client. A client that still
has unsent bytes is skipped, so nothing queues up; after `stalled_s` of that it is cut.
Thread contract: HMI thread only.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import Any

import engineio.packet
import msgspec

from controller.hmi.clients import Client
from controller.hmi.counters import Counters
from controller.hmi.transport import SocketServer, text_frame
from controller.spec import hmi

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


class Group(msgspec.Struct):
    """Clients that get the same event at the same rate."""

    event: str
    period_s: float
    due_s: float
    clients: list[Client] = msgspec.field(default_factory=list)


class Broadcast:
    """`data` and `state` make the messages of this tick, `notice` one for a single client."""

    def __init__(self, server: SocketServer, counters: Counters, stalled_s: float, *, data: Callable[[], bytes],
                 state: Callable[[], bytes], notice: Callable[[dict[str, object]], bytes]) -> None:
        self._server, self._counters, self._stalled_s = server, counters, stalled_s
        self._make = {hmi.DATA: data, hmi.STATE: state}
        self._notice = notice
        self._groups: dict[tuple[str, float], Group] = {}

    def regroup(self, clients: Iterable[Client], now_s: float) -> None:
        """After a client came, went or chose another rate. A rate nobody had yet begins now."""
        groups: dict[tuple[str, float], Group] = {}
        for client in clients:
            for event, rate_hz in ((hmi.DATA, client.data_hz), (hmi.STATE, client.state_hz)):
                if rate_hz:
                    key = (event, rate_hz)
                    if key not in groups:
                        due_s = self._groups[key].due_s if key in self._groups else now_s
                        groups[key] = Group(event, 1.0 / rate_hz, due_s)
                    groups[key].clients.append(client)
        self._groups = groups

    def next_due_s(self, latest_s: float) -> float:
        """When `send_due` has something to send again, at the latest `latest_s`."""
        for group in self._groups.values():
            latest_s = min(latest_s, group.due_s)
        return latest_s

    def send_due(self, now_s: float) -> None:
        """Everything that is due. A quarter of a period early is due: timers are right to a millisecond only, and the
        group's own grid keeps its rate exact; what is late is not made up for."""
        messages: dict[str, Message] = {}
        for group in self._groups.values():
            if group.due_s <= now_s + EARLY * group.period_s:
                group.due_s += group.period_s
                if group.due_s <= now_s:
                    group.due_s = now_s + group.period_s
                if group.event not in messages:
                    messages[group.event] = Message(self._make[group.event])
                self._send_group(group, messages[group.event], now_s)

    def _send_group(self, group: Group, message: Message, now_s: float) -> None:
        links, frame, sent = self._server.eio.links, message.frame(), 0
        for client in group.clients:
            if client.notices:  # before the message: on polling nothing fits behind one that is not fetched yet
                self.send_notice(client, now_s)
            link = links.get(client.key)
            if link is not None and link.take(frame):
                sent += 1
                client.stalled_since_s = None
            else:
                self.send(client, message, now_s)
        self._counters.add("sent", sent)

    def send_notice(self, client: Client, now_s: float) -> None:
        """The oldest notice at once, where the client takes it; otherwise before the next message."""
        if client.notices:
            notice = client.notices[0]
            if self.send(client, Message(lambda: self._notice(notice)), now_s):
                client.notices.popleft()

    def send(self, client: Client, message: Message, now_s: float) -> bool:
        """Write to one client unless it has not taken what it was sent before. False: skipped."""
        if (link := self._server.eio.links.get(client.key)) is not None:
            if not link.ready or link.unsent() > UNSENT_LIMIT_BYTES:
                return self._skip(client, now_s)
            link.write(message.frame())
        else:
            session = self._server.eio.sockets.get(client.key)
            if session is None or session.closed or session.upgrading:
                return False
            if not session.queue.empty():
                return self._skip(client, now_s)
            session.queue.put_nowait(_packet(message))
        client.stalled_since_s = None
        self._counters.add("sent")
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


def own_ipv4(peer: str = "192.0.2.1") -> tuple[str, str]:
    """(IPv4 address this board uses towards others, "" or the back-end's error why it is loopback instead). No packet
    is sent."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:     # fails too: when all descriptors are in use
            probe.connect((peer, 9))
            return str(ipaddress.IPv4Address(probe.getsockname()[0])), ""
    except (OSError, ValueError) as error:
        no_network = isinstance(error, OSError) and error.errno in {errno.ENETUNREACH, errno.ENETDOWN}
        return "127.0.0.1", "ADDRESS_UNKNOWN" if no_network else "ADDRESS_FAILED"
