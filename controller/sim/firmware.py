"""The board's side of a firmware update: ordered by register 6, fetched over HTTP, checked, flashed, started anew.

An image of the simulated board begins with a line `ALLYSIM <node> <version>`; what follows is its content. The order's
address has the image's SHA-256 in its query.
Thread contract: `silent` is the serving thread's; the download has a thread of its own, so that the line is served
meanwhile.
"""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from urllib.parse import parse_qs, urlsplit

from controller.sim._board import Board
from controller.sim.arm import BOARD_VERSION, DRIVE_VERSION

BEHAVIOURS: dict[str, str] = {
    "normal": "fetches what it is told to and checks it",
    "corrupt": "every download is damaged on its way",
    "broken": "the first download of an order breaks off in the middle",
    "deaf": "confirms an order and never asks for the image",
}
TRIES = 3
IMAGE_BYTES = 4 * 1024 * 1024
TIMEOUT_S = 5.0
RECEIVE_BYTES = 8192
FLASH_S = 0.6
HEAD = re.compile(rb"ALLYSIM ([0-8]) ([!-)+-~]{1,32})\n")


def _small_socket(host: str, port: int) -> socket.socket:
    """A connection that holds little, so that most of what is not read has not left the controller either."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.settimeout(TIMEOUT_S)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        made.connect(address)
    except OSError:
        made.close()
        raise
    return made


class BadImage(Exception):
    """It is not flashed."""


class Firmware:
    """Firmware of one arm: `versions` by node, 0 the base board. Downloads end with the process."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.behaviour = "normal"
        self.versions: dict[int, str] = {0: BOARD_VERSION, **dict.fromkeys(range(1, board.axes + 1), DRIVE_VERSION)}
        self._orders = 0
        self._work: threading.Thread | None = None
        self._flashing = False
        self._found: tuple[int, str] | None = None
        self._flashed_ns = 0
        self.refused: list[str] = []

    def silent(self, now_ns: int) -> bool:
        """Whether the board says nothing now; also begins what is ordered and ends what is done."""
        if self._work is not None and not self._work.is_alive():
            self._work = None
        if self._board.update_orders != self._orders and self._work is None:
            self._orders = self._board.update_orders
            if self.behaviour != "deaf":
                order = str(self._board.register(6))
                self._work = threading.Thread(target=self._update, args=(order,), name="firmware", daemon=True)
                self._work.start()
        if self._found is not None and not self._flashed_ns:
            self._flashed_ns = now_ns + int(FLASH_S * 1e9)
        if self._found is not None and now_ns >= self._flashed_ns:
            node, version = self._found
            self.versions[node] = version
            self._board.set_version(self.versions[0])
            self._found, self._flashed_ns, self._flashing = None, 0, False
            self._orders = self._board.update_orders  # what was written to a board that flashes is forgotten
        return self._flashing

    def _update(self, order: str) -> None:
        node, _, url = order.partition(";")
        for attempt in range(TRIES):
            try:
                image = self._download(url, attempt)
                self._flashing = True  # from the last byte on
                found = self._checked(image, url, int(node))
            except (OSError, ValueError, BadImage) as error:
                self._flashing = False
                self.refused.append(f"{error}")
                continue
            self._found = found
            return

    def _download(self, url: str, attempt: int) -> bytes:
        from http.client import HTTPConnection, HTTPException

        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise BadImage("this board fetches over http only")
        connection = HTTPConnection(parts.hostname, parts.port or 80, timeout=TIMEOUT_S)
        try:
            if broken := self.behaviour == "broken" and attempt == 0:
                connection.sock = _small_socket(parts.hostname, parts.port or 80)
            connection.request("GET", f"{parts.path}?{parts.query}")
            answer = connection.getresponse()
            if answer.status != 200:
                raise BadImage(f"answered {answer.status}")
            size = answer.length or 0
            if not 0 < size <= IMAGE_BYTES:
                raise BadImage(f"{size} bytes")
            if broken:
                answer.read(size // 8)
                raise BadImage("broke off")
            image = bytearray(answer.read(size))
        except HTTPException as error:
            raise BadImage(str(error)) from None
        finally:
            connection.close()
        if self.behaviour == "corrupt":
            image[-1] ^= 1
        return bytes(image)

    def _checked(self, image: bytes, url: str, node: int) -> tuple[int, str]:
        """(node, version) of an image that may be flashed."""
        (sha256,) = parse_qs(urlsplit(url).query).get("sha256", [""])
        if hashlib.sha256(image).hexdigest() != sha256:
            raise BadImage("the hash is wrong")
        head = HEAD.match(image)
        if head is None or int(head[1]) != node or node not in self.versions:
            raise BadImage("it is for something else")
        return node, head[2].decode()
