"""Serves simulated arms on pseudo-terminals in real time. One thread, one select loop; imports little, starts fast.

A board is only advanced when bytes arrive, an answer is due or the loop idles: its physics catch up in 1 ms substeps.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
import sys
import termios
import time
from collections.abc import Sequence

from controller.sim import commands
from controller.sim._board import Board
from controller.sim.firmware import Firmware

IDLE_S = 0.02  # longest sleep: bounds how late a fault limited in time ends and a signal is noticed
READ_BYTES = 65536
MAX_LINE_BYTES = 4096  # of a control command
MAX_CONTROL_CLIENTS = 16


def open_pty() -> tuple[int, int, str]:
    """(master, slave, path of the slave): raw, the master without blocking.

    The slave stays open here: without one a master reads EIO between two clients, and the line settings would be lost.
    Closing the master hangs the line up for every slave all the same.
    """
    master, slave = os.openpty()
    mode = termios.tcgetattr(slave)
    mode[0] = mode[1] = mode[3] = 0  # no translation, no echo, no signals
    mode[2] = termios.CS8 | termios.CREAD | termios.CLOCAL
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    termios.tcsetattr(slave, termios.TCSANOW, mode)
    os.set_blocking(master, False)
    return master, slave, os.ttyname(slave)


class Port:
    """One arm on one pseudo-terminal, which comes and goes with the fault hang_up."""

    def __init__(self, board: Board, link: str | None = None) -> None:
        self.board = board
        self.link = link
        self.firmware = Firmware(board)
        self.path = ""
        self.master = self.slave = -1
        self.bytes_in = self.bytes_out = self.bytes_dropped = 0
        if link and os.path.lexists(link) and not os.path.islink(link):
            raise ValueError(f"--link {link}: there is something that is not a symbolic link")

    def plug(self) -> None:
        self.master, self.slave, self.path = open_pty()
        if self.link:
            temporary = f"{self.link}.{os.getpid()}"
            os.symlink(self.path, temporary)
            os.replace(temporary, self.link)  # nobody ever sees a half-made link
        try:
            print(f"port {self.path}", flush=True)
        except BrokenPipeError:  # nobody reads our output any more: serving goes on
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115

    def unplug(self) -> None:
        if self.link and os.path.islink(self.link) and os.readlink(self.link) == self.path:
            os.unlink(self.link)
        if self.master >= 0:
            os.close(self.master)  # hangs up every open slave
            os.close(self.slave)
        self.master = self.slave = -1
        self.path = ""

    def exchange(self, now_ns: int, readable: bool) -> None:
        """Hands the board what came and sends what it answers."""
        received = b""
        if readable and self.master >= 0:
            try:
                received = os.read(self.master, READ_BYTES)
            except OSError:
                received = b""
        if self.firmware.silent(now_ns):
            self.board.step(now_ns)     # time goes on; what is heard and what would be said is lost
            answer = b""
        else:
            answer = self.board.step(now_ns, received)
        self.bytes_in += len(received)
        if answer and self.master >= 0:
            try:
                sent = os.write(self.master, answer)
            except OSError:
                sent = 0  # nobody reads: a serial line would lose the bytes too
            self.bytes_out += sent
            self.bytes_dropped += len(answer) - sent

    def follow_cable(self) -> None:
        """Opens or closes the pseudo-terminal as the fault hang_up says."""
        if self.board.hung_up and self.master >= 0:
            self.unplug()
        elif not self.board.hung_up and self.master < 0:
            self.plug()

    def state(self) -> str:
        """One JSON line."""
        import json

        return json.dumps({
            **self.board.truth(), "firmware": self.firmware.versions, "faults": self.board.faults(), "port": self.path,
            "link": self.link or "", "bytes_in": self.bytes_in, "bytes_out": self.bytes_out,
            "bytes_dropped": self.bytes_dropped,
        })


class Control:
    """The control socket: one command per line, one line back."""

    def __init__(self, path: str) -> None:
        self.path = path
        if os.path.lexists(path):
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                raise ValueError(f"--control {path}: there is something that is not a socket")
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(path)
                except ConnectionRefusedError:
                    os.unlink(path)  # left behind by a simulator that was killed
                else:
                    raise ValueError(f"--control {path}: another simulator serves it")
        self.listener = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            self.listener.bind(path)
        finally:
            os.umask(before)
        self.listener.listen(MAX_CONTROL_CLIENTS)
        self.listener.setblocking(False)
        self.clients: dict[int, tuple[socket.socket, bytearray]] = {}

    def filenos(self) -> list[int]:
        return [self.listener.fileno(), *self.clients]

    def lines(self, readable: Sequence[int]) -> list[tuple[int, str]]:
        """Takes new clients and their complete lines: [(client, line), ...]."""
        ready: list[tuple[int, str]] = []
        if self.listener.fileno() in readable:
            self._accept()
        for number in [n for n in self.clients if n in readable]:
            client, text = self.clients[number]
            try:
                data = client.recv(MAX_LINE_BYTES)
            except OSError:
                data = b""
            text += data
            if len(text) > MAX_LINE_BYTES and b"\n" not in text:
                self.answer(number, f"error: a command has at most {MAX_LINE_BYTES} bytes")
                data = b""
            if not data:
                self.drop(number)
                continue
            *complete, rest = text.split(b"\n")
            text[:] = rest
            ready += [(number, line.decode("utf-8", "replace")) for line in complete]
        return ready

    def _accept(self) -> None:
        try:
            client, _ = self.listener.accept()
        except OSError:  # gone again, or no descriptor left
            return
        client.setblocking(False)
        if len(self.clients) < MAX_CONTROL_CLIENTS:
            self.clients[client.fileno()] = (client, bytearray())
        else:
            client.close()

    def answer(self, number: int, line: str) -> None:
        if number in self.clients:
            try:
                self.clients[number][0].sendall(line.encode() + b"\n")
            except OSError:  # gone, or does not read its answers
                self.drop(number)

    def drop(self, number: int) -> None:
        if number in self.clients:
            self.clients.pop(number)[0].close()

    def close(self) -> None:
        for number in list(self.clients):
            self.drop(number)
        self.listener.close()
        if os.path.lexists(self.path):
            os.unlink(self.path)


class Server:
    """The loop over all ports, the control socket and the script."""

    def __init__(self, ports: Sequence[Port], control: Control | None = None,
                 script: Sequence[tuple[float, commands.Action]] = (), parent: int = 0) -> None:
        self.ports = ports
        self.control = control
        self.script = list(script)
        self.parent = parent
        self.stopped = False

    def stop(self, *_: object) -> None:
        self.stopped = True

    def run(self) -> None:
        """Serves until SIGTERM, SIGINT or, when a parent was given, its end."""
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        try:
            start_ns = time.monotonic_ns()
            for port in self.ports:
                port.exchange(start_ns, False)
                port.follow_cable()
            while not self.stopped:
                self.turn(start_ns)
                if self.parent and os.getppid() != self.parent:
                    break
        finally:
            for port in self.ports:
                port.unplug()
            if self.control:
                self.control.close()

    def turn(self, start_ns: int) -> None:
        """Waits for bytes, a due answer or the next line of the script, and serves them."""
        now_ns = time.monotonic_ns()
        wake_ns = now_ns + int(IDLE_S * 1e9)
        due = [port.board.due_ns for port in self.ports]
        if self.script:
            due.append(start_ns + int(self.script[0][0] * 1e9))
        wake_ns = min([wake_ns, *(t for t in due if t >= 0)])
        watched = [port.master for port in self.ports if port.master >= 0]
        if self.control:
            watched += self.control.filenos()
        readable = select.select(watched, [], [], max(0.0, (wake_ns - now_ns) * 1e-9))[0]
        now_ns = time.monotonic_ns()
        for port in self.ports:
            port.exchange(now_ns, port.master in readable)
        while self.script and now_ns >= start_ns + int(self.script[0][0] * 1e9):
            action = self.script.pop(0)[1]
            commands.apply(action, self.ports[action.arm - 1])
        if self.control:
            for client, line in self.control.lines(readable):
                self.control.answer(client, self.execute(line))
        for port in self.ports:
            port.follow_cable()

    def execute(self, line: str) -> str:
        """The answer to one control command."""
        try:
            action = commands.parse(line, self.ports[0].board.axes, len(self.ports))
            return f"ok {commands.apply(action, self.ports[action.arm - 1])}"
        except ValueError as error:
            return f"error: {error}"
