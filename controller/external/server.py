"""Lets one external program at a time into the controller: a Unix socket of mode 0600 that hands out shared memory.

Every program gets fresh memory, so whatever one that was replaced still writes is read by nobody. The socket only tells
that the program is there; its heartbeat is the control thread's (ext/external.pxi).
Thread contract: main thread only; nothing here waits but for the control thread to let go of old memory (one cycle).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import stat
import struct
from typing import TYPE_CHECKING

from controller._core import ExternalRegion
from controller.folders import LONGEST_PATH
from controller.history_words import Note, unheard
from controller.spec.external import LAYOUT_VERSION
from controller.spec.history import Kind

if TYPE_CHECKING:
    from controller._core import Core

log = logging.getLogger("allyarm.external")
CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class ExternalServer:
    """Call `tick` often. `program` is the process id of the program that is connected, 0 none. OSError names what is
    wrong with the path."""

    def __init__(self, core: Core, path: str, note: Note = unheard) -> None:
        self._core, self.path, self._note = core, path, note
        self.program = 0
        self._line: socket.socket | None = None
        self._trouble = ""
        self._listener = _listen(path)
        log.info("external development: programs connect to %s", path)

    def tick(self) -> bool:
        """Let a program in, notice one that has gone. True when `program` changed."""
        before = self.program
        if self._line is not None and _hung_up(self._line):
            self._part("has ended")
        if (line := self._accepted()) is not None:
            self._greet(line)
        return self.program != before

    def _accepted(self) -> socket.socket | None:
        """The next program that knocks. Without a free descriptor nobody can be let in, which is no reason to end a
        controller that holds an arm."""
        try:
            line, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            self._trouble = ""
            return None
        except OSError as error:
            if str(error) != self._trouble:  # once, not in every round
                log.error("no external program can be let in: %s", error)
            self._trouble = str(error)
            return None
        self._trouble = ""
        return line

    def close(self) -> None:
        """Take the memory back and remove the socket."""
        self._part("is cut off: the controller ends")
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def _greet(self, line: socket.socket) -> None:
        line.setblocking(False)
        process_id, user, _ = CREDENTIALS.unpack(
            line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
        refusal = ""
        if user not in (0, os.geteuid()):
            refusal = f"user {user} is not the controller's user {os.geteuid()}"
        elif self._line is not None:
            refusal = f"program {self.program} is connected; one at a time, end it first"
        try:
            region = None if refusal else ExternalRegion()
            if region is None:
                line.send(json.dumps({"error": refusal}).encode())
                line.close()
                log.warning("external program %d refused: %s", process_id, refusal)
                return
            self._core.lend_region(region)
            socket.send_fds(line, [json.dumps({"version": LAYOUT_VERSION}).encode()], [region.fd])
            region.close_fd()
        except (OSError, TimeoutError) as error:
            line.close()
            log.error("external program %d could not be let in: %s", process_id, error)
            return
        self._line, self.program = line, process_id
        self._tell(f"external program {process_id} connected")

    def _tell(self, text: str) -> None:
        log.info("%s", text)
        self._note(Kind.CLIENT, text)

    def _part(self, why: str) -> None:
        if self._line is None:
            return
        self._tell(f"external program {self.program} {why}")
        self._line.close()
        self._line, self.program = None, 0
        try:
            self._core.lend_region(None)
        except TimeoutError as error:
            log.error("the memory of the external program stays mapped: %s", error)


def _hung_up(line: socket.socket) -> bool:
    """Programs send nothing over the socket: whatever can be read but its end is thrown away."""
    try:
        return line.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _listen(path: str) -> socket.socket:
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise OSError(f"external.path {path} is {len(os.fsencode(path))} bytes long, a socket's path has at most "
                      f"{LONGEST_PATH}")
    os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
    if os.path.lexists(path):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(f"external.path {path}: there is something that is not a socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            probe.setblocking(False)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)  # left behind by a controller that was killed
            except BlockingIOError:
                raise OSError(f"external.path {path}: another controller serves it") from None
            else:
                raise OSError(f"external.path {path}: another controller serves it")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    except OSError as error:
        listener.close()
        raise OSError(f"external.path {path}: {error.strerror}") from None
    finally:
        os.umask(before)
    listener.listen(4)
    listener.setblocking(False)
    return listener
