"""python-socketio with the edges we need: no compression, checked packets, and frames written straight to a client.

Every packet passes `packet_problem` before the library sees it, events go to one function in the order they came, and
what the library would queue without bound for a client that does not read is skipped instead.
Thread contract: everything here runs in the HMI thread.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Protocol

import engineio
import engineio.async_drivers.aiohttp as driver
import engineio.async_socket
import engineio.base_socket
import engineio.packet
import engineio.payload
import msgspec
import socketio
import socketio.packet
from aiohttp import web
from aiohttp.http import WSCloseCode, WSMsgType
from aiohttp.http_exceptions import HttpProcessingError

from controller._core import send_now
from controller.hmi.access import Access
from controller.hmi.counters import Counters, logger
from controller.spec import hmi

# The library times pings by the wall clock; a step of it would drop every client and so end their motions.
engineio.async_socket.time = engineio.base_socket.time = SimpleNamespace(time=time.monotonic)

# A polling client sends all that came together during a round trip as one body. Above 16 packets the library would drop
# all of it, a stop too, and answer "OK"; the body's size and the message rate are limit enough.
engineio.payload.Payload.max_decode_packets = hmi.MESSAGE_BYTES

# SAF-4: the motion of a client whose link broke without a word ends within three seconds, counted from its last answer:
# PING_AFTER_S, twice the time between two calls of `tend`, and the timeout.
PING_INTERVAL_S, PING_TIMEOUT_S = 1, 2  # as the handshake tells them
PING_AFTER_S = 0.8
BODY_LIMIT_S = 5.0
WEBSOCKET_BYTES = 8 * hmi.MESSAGE_BYTES  # between the two limits a refusal can still be answered
TOO_LARGE = f"a message has at most {hmi.MESSAGE_BYTES} bytes"
REASON_BYTES = 123  # RFC 6455, 5.5: what a close frame has room for
BROKEN_REQUEST = (ConnectionError, HttpProcessingError, web.RequestPayloadError)  # the client's fault, not ours
TEXT_FRAME = 0x81
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()
log = logger("controller.hmi.socketio")
log.setLevel(logging.WARNING)  # below it the library writes every packet


class Json:
    """The library's `json` interface on msgspec: strict, and NaN or Infinity become null."""

    @staticmethod
    def dumps(value: object, separators: object = None) -> str:
        return _encoder.encode(value).decode()

    @staticmethod
    def loads(text: str | bytes) -> object:
        try:
            return _decoder.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise ValueError(str(error)) from None


class Packet(socketio.packet.Packet):  # type: ignore[misc]
    """Our own class because the library sets `json` on it for the whole process."""

    json = Json
    uses_binary_events = False


class Receiver(Protocol):
    """What the server does with packets; `key` is the Engine.IO session."""

    def packet_came(self, key: str, size: int) -> None: ...
    def malformed(self, key: str, why: str) -> None: ...
    async def connected(self, key: str, sid: str, request: web.Request, auth: object) -> str: ...
    def disconnected(self, sid: str) -> None: ...
    def event(self, key: str, sid: str, name: object, args: list[object],
              answer: Callable[[dict[str, object]], None] | None) -> None: ...


def text_frame(text: bytes) -> bytes:
    """One unmasked WebSocket text frame (RFC 6455, 5.2), as a server sends it."""
    size = len(text)
    if size < 126:
        head = bytes((TEXT_FRAME, size))
    elif size < 65536:
        head = bytes((TEXT_FRAME, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((TEXT_FRAME, 127)) + size.to_bytes(8, "big")
    return head + text


PING_FRAME = text_frame(engineio.packet.Packet(engineio.packet.PING).encode().encode())


def packet_problem(packet: str | bytes) -> str:
    """Why an Engine.IO packet is refused, "" when it is well-formed (of the few kinds that clients really send)."""
    if not isinstance(packet, str):
        return "binary packets are not used here"
    kind = packet[:1]
    if kind == "4":
        return "" if packet[1:2] in {"0", "1", "2"} else "a Socket.IO packet is CONNECT, DISCONNECT or EVENT"
    if kind == "2":
        return "" if packet == "2probe" else "only the server pings"
    if kind in {"1", "3", "5", "6"} and kind:
        return "" if len(packet) == 1 else "a control packet carries no data"
    return "unknown Engine.IO packet type"


class WebSocket(web.WebSocketResponse):
    """Says in its close frame why it ends; aiohttp itself says only 1009 to what is too big."""

    why = ""

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True) -> bool:
        why = TOO_LARGE if code == WSCloseCode.MESSAGE_TOO_BIG else self.why
        if why and code == WSCloseCode.OK:
            code = WSCloseCode.POLICY_VIOLATION
        return await super().close(code=code, message=message or why.encode()[:REASON_BYTES], drain=drain)


class Link:
    """One WebSocket under the library, without compression, and a way around its queue for prebuilt frames."""

    def __init__(self, handler: Callable[[Link], Any], server: Engine) -> None:
        self._handler = handler
        self._server = server
        self._engine_socket: Any = handler.__self__  # type: ignore[attr-defined]
        self._upgrade = self._engine_socket.connected
        self._opened = self._upgrade
        self._socket = WebSocket(compress=False, max_msg_size=WEBSOCKET_BYTES, timeout=2.0)
        self._transport: asyncio.Transport | None = None
        self._fd = -1  # of the transport, valid until it closes
        self._through = False  # frames may pass it now: was `ready` once, and nobody has begun to close it

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        request: web.Request = environ["aiohttp.request"]
        await self._socket.prepare(request)
        self.environ = environ
        self._transport = request.transport
        self._fd = request.transport.get_extra_info("socket").fileno() if request.transport else -1
        self._server.links[self._engine_socket.sid] = self
        try:
            await self._handler(self)
        finally:
            self._server.links.pop(self._engine_socket.sid, None)
        return self._socket

    async def close(self, why: str = "") -> None:
        self._through = False
        self._socket.why = self._socket.why or why
        await self._socket.close()

    async def send(self, message: str) -> None:
        await self._socket.send_str(message)
        if message.startswith("40"):
            self._opened = True  # a frame before the CONNECT packet would reach a client that is not there yet

    async def wait(self) -> str:
        """The next packet; OSError makes the library end the connection in good order."""
        message = await self._socket.receive()
        key = self._engine_socket.sid
        self._through = self._through and message.type is WSMsgType.TEXT
        if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
            self._server.receiver.packet_came(key, len(message.data))
            if len(message.data) > hmi.MESSAGE_BYTES:
                self._socket.why = TOO_LARGE
                raise OSError("closed")
            if not (problem := packet_problem(message.data)):
                return str(message.data)
            self._socket.why = problem
            self._server.receiver.malformed(key, problem)
        elif message.type is WSMsgType.ERROR:
            self._server.receiver.malformed(key, f"WebSocket: {message.data}")
        raise OSError("closed")

    @property
    def ready(self) -> bool:
        """Whether frames may be written now: upgraded, told so, and nothing of the library waiting."""
        session = self._engine_socket
        return bool(self._opened and session.upgraded and not session.closed and session.queue.empty()
                    and not self._socket.closed)

    def unsent(self) -> int:
        """Bytes that the client has not taken from us yet."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    def write(self, frame: bytes) -> None:
        """Write one prebuilt frame. Ask `ready` and `unsent` first."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)
            self._through = True

    def take(self, frame: bytes) -> bool:
        """Write one prebuilt frame straight to the socket, past the transport's queue, which costs twice as much.

        False: not now, because it was never `ready` yet or something waits before it; `ready` and `write` then decide.
        """
        if not self._through or (transport := self._transport) is None:
            return False
        if transport.is_closing() or transport.get_write_buffer_size():
            return False
        sent = send_now(self._fd, frame)
        if sent < 0:  # full, or broken: the transport finds out which
            return False
        if sent < len(frame):
            transport.write(frame[sent:])
        return True

    def abort(self) -> None:
        """Cut the connection without waiting for the client."""
        if self._transport is not None:
            self._transport.abort()


class Session(engineio.async_socket.AsyncSocket):  # type: ignore[misc]
    """A session that is pinged by `Engine.tend`: the library has a task, a timer and a way through its queue for each
    ping, which together cost as much as several messages."""

    last_ping: float | None  # when it was pinged, None once it has answered
    ping_due_s = math.inf

    def schedule_ping(self) -> None:
        if self.last_ping:  # else one is due already
            self.last_ping = None
            self.ping_due_s = time.monotonic() + PING_AFTER_S

    async def poll(self) -> list[Any]:
        """Packets to send; [] at the end. A WebSocket whose pings do not come this way may have none for long."""
        if not self.upgraded:
            return list(await super().poll())
        packets = []
        packet = await self.queue.get()
        self.queue.task_done()
        while packet is not None:
            packets.append(packet)
            if self.queue.empty():
                return packets
            packet = self.queue.get_nowait()
            self.queue.task_done()
        if packets:
            self.queue.put_nowait(None)  # the end comes with the next call
        return packets


engineio.async_socket.AsyncSocket = Session


class Body:
    """A request body that was read and checked before the library reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self, length: int = -1) -> bytes:
        return self._body[:length] if length >= 0 else self._body


class Engine(engineio.AsyncServer):  # type: ignore[misc]
    """Engine.IO server whose packets are checked before it decodes them."""

    receiver: Receiver
    access: Access
    counters: Counters

    def __init__(self, **options: Any) -> None:
        super().__init__(monitor_clients=False, **options)  # `tend` does
        self.links: dict[str, Link] = {}
        self._async: dict[str, Any] = {**driver._async, "websocket": Link, "translate_request": self._translate}

    def tend(self, now_s: float) -> None:
        """Ping the sessions whose turn it is, end those that did not answer, forget those that have ended."""
        for key, session in list(self.sockets.items()):
            if session.closed:
                self.sockets.pop(key, None)
            elif session.last_ping is None:
                if now_s >= session.ping_due_s and not session.closing:
                    session.last_ping = now_s
                    link = self.links.get(key)
                    if link is None or not link.take(PING_FRAME):
                        session.queue.put_nowait(engineio.packet.Packet(engineio.packet.PING))
            elif now_s - session.last_ping > PING_TIMEOUT_S and not session.closing:
                self.start_background_task(session.check_ping_timeout)

    async def _translate(self, request: web.Request) -> dict[str, Any]:
        """aiohttp request -> the library's environ; refuses by HTTP error what it would choke on."""
        if not self.access.host_allowed(request.host):
            raise self._refuse("host", web.HTTPForbidden(text="the Host header does not name this machine"))
        if not self.access.origin_allowed(request.headers.get("Origin"), request.host):
            raise self._refuse("origin", web.HTTPForbidden(text="this origin is not allowed: see hmi.allowed_origins"))
        if "j" in request.query:
            raise self._refuse("jsonp", web.HTTPBadRequest(text="JSONP is not offered: use websocket or polling"))
        environ: dict[str, Any] = driver.translate_request(request)
        if request.method == "POST":
            try:
                async with asyncio.timeout(BODY_LIMIT_S):
                    body = await request.content.read(hmi.MESSAGE_BYTES + 1)
                    while len(body) <= hmi.MESSAGE_BYTES and not request.content.at_eof():
                        body += await request.content.read(hmi.MESSAGE_BYTES + 1 - len(body))
            except TimeoutError:
                raise self._refuse("http", web.HTTPRequestTimeout(
                    text=f"the request's body did not come within {BODY_LIMIT_S:g} s")) from None
            except BROKEN_REQUEST:
                raise self._refuse("http", web.HTTPBadRequest(text="the request's body broke off")) from None
            key = request.query.get("sid", "")
            self.receiver.packet_came(key, len(body))
            if len(body) > hmi.MESSAGE_BYTES:
                raise web.HTTPRequestEntityTooLarge(hmi.MESSAGE_BYTES, len(body), text=TOO_LARGE)
            try:
                packets = body.decode().split("\x1e")
            except UnicodeDecodeError:
                packets = [""]
            for packet in packets:
                if problem := packet_problem(packet):
                    self.receiver.malformed(key, problem)
                    raise web.HTTPBadRequest(text=problem)
            for _ in packets[1:]:
                self.receiver.packet_came(key, 0)
            environ["wsgi.input"] = Body(body)
            environ["CONTENT_LENGTH"] = str(len(body))
        return environ

    def _refuse(self, kind: str, error: web.HTTPException) -> web.HTTPException:
        self.counters.refuse(kind)
        return error


class SocketServer(socketio.AsyncServer):  # type: ignore[misc]
    """Socket.IO server that hands every event, in order, to a Receiver."""

    def __init__(self, receiver: Receiver, access: Access, counters: Counters) -> None:
        super().__init__(
            async_mode="aiohttp", serializer=Packet, async_handlers=False, namespaces=["/"], logger=log,
            engineio_logger=log, max_http_buffer_size=hmi.MESSAGE_BYTES, http_compression=False,
            ping_interval=PING_INTERVAL_S, ping_timeout=PING_TIMEOUT_S, cors_credentials=False,
            cors_allowed_origins=lambda *origin: True)  # Engine._translate refused the others before; this adds headers
        self.eio.receiver, self.eio.access, self.eio.counters = receiver, access, counters
        self._receiver = receiver
        self._closing: set[Any] = set()
        self.on("connect", self._connected)
        self.on("disconnect", self._disconnected)

    def _engineio_server_class(self) -> type[Engine]:
        return Engine

    async def _connected(self, sid: str, environ: dict[str, Any], auth: object = None) -> bool:
        key = self.manager.eio_sid_from_sid(sid, "/")
        if problem := await self._receiver.connected(key, sid, environ["aiohttp.request"], auth):
            raise socketio.exceptions.ConnectionRefusedError(problem)
        return True

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        try:
            await super()._handle_eio_message(eio_sid, data)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
            why = f"Socket.IO packet: {error}"
            self._receiver.malformed(eio_sid, why)
            await self.close_engine(eio_sid, why)

    async def _handle_event(self, eio_sid: str, namespace: str | None, id: int | None, data: Any) -> None:
        sid = self.manager.sid_from_eio_sid(eio_sid, "/")
        if namespace not in {None, "/"} or sid is None or not self.manager.is_connected(sid, "/"):
            raise ValueError("event before CONNECT or in a namespace that does not exist")
        if not isinstance(data, list) or not data:
            raise ValueError("an event is an array that begins with its name")

        def answer(result: dict[str, object]) -> None:
            socket = self.eio.sockets.get(eio_sid)
            if socket is not None and not socket.closed:
                text = Packet(socketio.packet.ACK, data=[result], id=id).encode()
                socket.queue.put_nowait(engineio.packet.Packet(engineio.packet.MESSAGE, data=text))

        self._receiver.event(eio_sid, sid, data[0], data[1:], answer if id is not None else None)

    async def _disconnected(self, sid: str, reason: str = "") -> None:
        self._receiver.disconnected(sid)

    async def close_engine(self, key: str, why: str) -> None:
        """End a session: a WebSocket in good order, a polling client at its next request."""
        if (link := self.eio.links.get(key)) is not None:
            # In a task: the close handshake reads, and here the session's own reader is at work.
            self._closing.add(task := self.start_background_task(link.close, why))
            task.add_done_callback(self._closing.discard)
        elif (session := self.eio.sockets.get(key)) is not None:
            await session.close(wait=False, abort=True, reason=self.reason.SERVER_DISCONNECT)

    def tend(self, now_s: float) -> None:
        """Keep-alive of all sessions; to be called about ten times a second."""
        self.eio.tend(now_s)

    def cut(self, key: str) -> None:
        """End a session without waiting for its client."""
        if (link := self.eio.links.get(key)) is not None:
            link.abort()
            return
        session = self.eio.sockets.get(key)
        if session is not None and not session.closing:
            self._closing.add(task := self.start_background_task(
                session.close, wait=False, abort=True, reason=self.reason.TRANSPORT_ERROR))
            task.add_done_callback(self._closing.discard)
