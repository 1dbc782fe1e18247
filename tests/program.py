"""The whole program as a user starts it: `python -m controller run` in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import socketio

ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T")
ANNOUNCEMENT = re.compile(r"allyarm \S+: HMI (http://\S+), bus (.*), loop (\d+) Hz (\S+)")


class Program:
    """A running controller. Its output is collected in `lines`; `address` is known once it has announced itself."""

    def __init__(self, *arguments: str, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "controller", "run", "--hmi-port", "0", *arguments], cwd=ROOT,
            env={**os.environ, "STATE_DIRECTORY": str(folder), "PYTHONPATH": str(ROOT), **(environment or {})},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._pump = threading.Thread(target=self._collect, daemon=True)
        self._pump.start()

    def _collect(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def line(self, pattern: str, seconds: float = 20.0) -> re.Match[str]:
        """The first output line that matches; AssertionError with the output when it does not come."""
        return wait_for(lambda: next((m for line in list(self.lines) if (m := re.search(pattern, line))), None),
                        seconds, lambda: f"no line like {pattern!r} in:\n{self.output}")

    @property
    def address(self) -> str:
        return self.line(ANNOUNCEMENT.pattern)[1]

    def get(self, path: str) -> tuple[int, Any]:
        """(HTTP status, decoded JSON) of a GET."""
        try:
            with urllib.request.urlopen(self.address + path, timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def status(self) -> dict[str, Any]:
        code, body = self.get("/status.json")
        assert code == 200
        assert isinstance(body, dict)
        return body

    def until(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 20.0) -> dict[str, Any]:
        """The first status for which `condition` holds."""
        seen: list[dict[str, Any]] = []

        def check() -> dict[str, Any] | None:
            seen[:] = [self.status()]
            return seen[0] if condition(seen[0]) else None

        return wait_for(check, seconds, lambda: f"status stays {seen[-1:]}\n{self.output}")

    def simulator(self, command: str) -> str:
        """Send a line to the simulated arm's control socket; returns its answer."""
        path = self.line(r"allyarm sim --send (\S+) help")[1]
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5)
            connection.connect(path)
            connection.sendall(command.encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                answer += connection.recv(4096)
        return answer.decode().strip()

    def stop(self, number: int = signal.SIGTERM, seconds: float = 10.0) -> int:
        """Signal it and wait; returns the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(seconds)
        self._pump.join(5)
        return code


def wait_for(check: Callable[[], T | None], seconds: float, complaint: Callable[[], str]) -> T:
    until = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < until, complaint()
        time.sleep(0.02)


@contextlib.contextmanager
def running(*arguments: str, folder: Path | None = None,
            environment: dict[str, str] | None = None) -> Iterator[Program]:
    """A program that is certainly ended afterwards."""
    with tempfile.TemporaryDirectory() as temporary:
        program = Program(*arguments, folder=folder or Path(temporary), environment=environment)
        try:
            yield program
        finally:
            if program.process.poll() is None:
                program.process.kill()
                program.process.wait()


class Client:
    """python-socketio's asyncio client on a thread of its own, kept past the first second (no motion commands then)."""

    def __init__(self, address: str, transport: str = "websocket", settle_s: float = 1.1) -> None:
        self.data: list[dict[str, Any]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._socket = self._run(self._connect(address, transport))
        time.sleep(settle_s)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _connect(self, address: str, transport: str) -> socketio.AsyncClient:
        client = socketio.AsyncClient(reconnection=False)
        client.on("data", self.data.append)
        await client.connect(address, transports=[transport])
        return client

    def send(self, **message: Any) -> dict[str, Any]:
        """A typed `command`; returns its acknowledgement."""
        answer = self._run(self._socket.call("command", message, timeout=5))
        assert isinstance(answer, dict)
        return answer

    def close(self) -> None:
        self._run(self._socket.disconnect())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
