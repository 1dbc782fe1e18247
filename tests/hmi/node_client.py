"""The real socket.io-client of npm in a child process, as a Python object."""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PACKAGES = ("socket.io-client-4.7", "socket.io-client")


def install(folder: Path = FOLDER) -> None:
    """`npm ci` in `folder` once; the lock file pins what is installed."""
    marker = folder / "node_modules" / ".package-lock.json"
    lock = folder / "package-lock.json"
    if not marker.exists() or marker.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, check=True,
                       capture_output=True, timeout=240)
        marker.touch()


class NodeClient:
    """`next(kind)` waits for the next message of a kind; others that come before it are kept in `seen`."""

    def __init__(self, package: str, url: str, **options: Any) -> None:
        self._process = subprocess.Popen(
            ["node", "client.mjs", package, url, json.dumps({"transports": ["websocket"], **options})], cwd=FOLDER,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._queue: queue.Queue[dict[str, Any]] = queue.Queue()
        self._ids = itertools.count(1)
        self.data: dict[str, Any] = {}
        self.notices: list[dict[str, Any]] = []
        self.counts: dict[str, int] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            self.counts[message["is"]] = self.counts.get(message["is"], 0) + 1
            if message["is"] == "data":
                self.data = message["payload"]
                if "errorServerMessage" in self.data:
                    self.notices.append(self.data["errorServerMessage"])
            self._queue.put(message)

    def next(self, kind: str, seconds: float = 10.0) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while True:
            message = self._queue.get(timeout=max(0.01, until - time.monotonic()))
            if message["is"] == kind:
                return message

    def send(self, **message: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def emit(self, event: str, *args: Any) -> None:
        self.send(emit=event, args=args)

    def ask(self, event: str, *args: Any) -> dict[str, Any]:
        """Emit with acknowledgement and wait for it."""
        number = next(self._ids)
        self.send(emit=event, args=args, id=number)
        while (answer := self.next("answer"))["id"] != number:
            pass
        assert answer["answer"] is not None, "no acknowledgement in time"
        return answer["answer"]  # type: ignore[no-any-return]

    def command(self, kind: str, **fields: Any) -> dict[str, Any]:
        return self.ask("command", {"type": kind, **fields})

    def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"not within {seconds} s: {self.notices} {self.counts}"
            time.sleep(0.01)

    def signal(self, number: int) -> None:
        """SIGKILL: gone without a word; SIGSTOP: the connection stays open and nobody answers."""
        self._process.send_signal(number)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.send_signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(10)


@contextlib.contextmanager
def node(package: str, url: str, **options: Any) -> Iterator[NodeClient]:
    """A connected client."""
    install()
    client = NodeClient(package, url, **options)
    try:
        client.next("connect")
        yield client
    finally:
        client.close()
