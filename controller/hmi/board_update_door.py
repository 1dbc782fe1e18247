"""HTTP of firmware updates: an administrator brings an image, the base board fetches it.

Thread contract: HMI thread only; an image is hashed in another one.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import re
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from controller.hmi.board_update import BoardUpdate, Image
from controller.hmi.body import read_body
from controller.hmi.clients import Refused
from controller.hmi.counters import Counters
from controller.hmi.login import Login
from controller.hmi.options import HmiOptions
from controller.hmi.refusal import Refusal, json_response
from controller.hmi.transport import BROKEN_REQUEST
from controller.spec import board as spec
from controller.spec.hmi import Role

CHUNK_BYTES = 16384
QUERY = ("node", "sha256", "version")


class BoardUpdateDoor:
    """The routes. `port` is set when the server listens."""

    def __init__(self, login: Login, counters: Counters, options: HmiOptions, update: BoardUpdate) -> None:
        self._login, self._counters, self._options, self._update = login, counters, options, update
        self._receiving = False
        self.port = options.port

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_post("/board_update", self._guarded(self._begin))
        app.router.add_post("/board_update_cancel", self._guarded(self._cancel))
        app.router.add_get(spec.IMAGE_PATH, self._image, allow_head=False)

    def _guarded(self, work: Callable[[web.Request], Awaitable[web.Response]]) -> Callable[
            [web.Request], Awaitable[web.Response]]:
        """For administrators only; refusals are counted."""
        async def handle(request: web.Request) -> web.Response:
            try:
                role = await self._login.role(request.headers)
                if role < Role.ADMINISTRATOR:
                    raise Refusal(403, f"firmware needs role {Role.ADMINISTRATOR.name.lower()}, this client has "
                                  f"{role.name.lower()}")
                return await work(request)
            except Refusal as refused:
                self._counters.refuse(f"board_update_{refused.status}")
                return refused.response()
            except BROKEN_REQUEST:
                self._counters.refuse("http")
                return Refusal(400, "the image broke off on its way to the controller").response()
        return handle

    async def _begin(self, request: web.Request) -> web.Response:
        node, sha256, version = _query(request)
        if self._receiving:
            raise Refusal(409, "another image is on its way to the controller: wait for its end")
        self._update.may_begin(node, version)
        address = self._address()
        self._receiving = True
        try:
            content = await _content(request)
            found = await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())
        finally:
            self._receiving = False
        if found != sha256:
            raise Refusal(400, f"sha256: the image that came has SHA-256 {found}, not {sha256}: it was damaged, or "
                          "it is another file", "sha256")
        ordered = self._update.begin(Image(content, sha256, node, version), address, f"HTTP ({request.remote})")
        try:
            await asyncio.wrap_future(ordered)
        except Refused as refused:
            raise Refusal(409, refused.message) from None
        finally:
            self._update.tick(time.monotonic())
        return json_response(self._update.state)

    async def _cancel(self, request: web.Request) -> web.Response:
        self._update.cancel()
        return json_response(self._update.state)

    async def _image(self, request: web.Request) -> web.StreamResponse:
        """The offered image, for whoever knows its hash; the board has no token to show."""
        begun = self._update.download(request.query.get("sha256", ""))
        if begun is None:
            self._counters.refuse("board_image")
            return Refusal(404, "no image is offered here").response()
        image, number = begun
        response = web.StreamResponse(headers={
            "Content-Type": "application/octet-stream", "Cache-Control": "no-store",
            "Content-Length": str(len(image.content)),
            "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(image.sha256)).decode()}:"})
        sent, view = 0, memoryview(image.content)
        try:
            await response.prepare(request)
            while sent < len(view):
                await response.write(view[sent:sent + CHUNK_BYTES])
                sent = min(sent + CHUNK_BYTES, len(view))
                if not self._update.fetched(number, sent):
                    request.protocol.force_close()      # the offer has ended: half an image is none
                    break
            else:
                await response.write_eof()
        finally:
            self._update.broke_off(number)
        return response

    def _address(self) -> str:
        """"http://address:port" of this server as the board reaches it."""
        name = "hmi.board_address" if self._options.board_address else "hmi.host"
        host = self._options.board_address or self._options.host
        try:
            found = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        except ValueError:
            found = None
        if found is None or found.is_unspecified:
            raise Refusal(409, f"{name} is {host!r}: set hmi.board_address to the controller's IP address on its "
                          "hot-spot, which the board is to fetch the image from")
        listens = self._options.host
        if listens not in {"0.0.0.0", "::", str(found), "localhost"}:
            raise Refusal(409, f"hmi.board_address is {found}, but the server listens on hmi.host {listens} only: set "
                          "hmi.host to the same address, or to 0.0.0.0 with hmi.token")
        return f"http://[{found}]:{self.port}" if found.version == 6 else f"http://{found}:{self.port}"


def _query(request: web.Request) -> tuple[int, str, str]:
    """(node, sha256, version); Refusal that names the one that is wrong."""
    query = request.query
    if unknown := [name for name in query if name not in QUERY or len(query.getall(name)) > 1]:
        raise Refusal(400, f"{unknown[0][:40]}: allowed are {', '.join(QUERY)}, each once", unknown[0][:40])
    node, sha256, version = query.get("node", ""), query.get("sha256", "").lower(), query.get("version", "")
    if not re.fullmatch(r"[0-8]", node, re.ASCII):
        raise Refusal(400, "node: allowed are 0, the base board, and the number of a drive", "node")
    if not re.match(spec.SHA256_PATTERN, sha256):
        raise Refusal(400, "sha256: 64 hexadecimal digits are needed, the SHA-256 of the image", "sha256")
    if version and not re.match(spec.VERSION_PATTERN, version):
        raise Refusal(400, "version: allowed are 1..32 printable ASCII characters without blanks and '*'", "version")
    return int(node), sha256, version


async def _content(request: web.Request) -> bytes:
    """The image; Refusal when it is empty, too long, or does not come in time."""
    allowed = f"1..{spec.IMAGE_BYTES_HIGHEST}"
    content = await read_body(request, spec.IMAGE_BYTES_HIGHEST, spec.UPLOAD_S, what="the image", allowed=allowed)
    if not content:
        raise Refusal(400, f"the image is empty: allowed are {allowed} bytes")
    return content
