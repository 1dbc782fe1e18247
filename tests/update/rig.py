"""A board with releases in a folder, a repository of the manufacturer, a web server between them, and a service that is
played: what it does when it is started is written in the release that is current then."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from controller.update import zstd
from controller.update.board import Board
from controller.update.places import Places, places
from controller.update.progress import Progress
from controller.update.publish import Publisher
from controller.update.release_keys import ROLES, load, make
from controller.update.service import Controller, Unit
from controller.update.updater import Options, Update

ARCHITECTURE, PYTHON = "amd64", "3.11"
BUILT = "2026-11-{:02d}T01:00:00Z"
PROGRAM = """#!/bin/sh
# A program that only starts: %s
case "$1" in
  --version) echo "allyarm %s" ;;
  update) %s ;;
esac
"""


def make_tree(folder: Path, version: str, behaviour: str = "good", *, built: str = BUILT.format(1), blob: int = 200_000,
              rehearse: str = "exit 0", files: int = 12, schema: int = 1) -> Path:
    """A small release tree; the blobs of two versions differ in one line of one file."""
    folder.mkdir(parents=True)
    chance = random.Random(7)
    contents = {"bin/allyarm": (PROGRAM % (behaviour, version, rehearse)).encode(),
                "lib/behaviour": behaviour.encode(),
                "lib/controller/__init__.py": f'__version__ = "{version}"\n'.encode()}
    for number in range(files):
        contents[f"lib/package_{number % 3}/part_{number}.bin"] = chance.randbytes(blob // files)
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if name.startswith("bin/") else 0o644)
    (folder / "release.json").write_text(json.dumps({
        "version": version, "architecture": ARCHITECTURE, "python": PYTHON, "built": built, "commit": "0" * 40,
        "settings_schema": schema,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}}))
    return folder


def make_archive(tree: Path, archive: Path) -> Path:
    """The archive of a tree, as whoever builds releases makes it: with folders, and another order than ours."""
    import tarfile

    with tarfile.open(archive.with_suffix(""), "w") as tar:
        tar.add(tree, ".")
    zstd.compress(archive.with_suffix(""), archive, level=3)
    return archive


class Manufacturer:
    """A repository and its keys; `release` offers a made-up one."""

    def __init__(self, folder: Path, now: Callable[[], Any] | None = None, **thresholds: int) -> None:
        self.folder, self.keys = folder / "repository", folder / "keys"
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        self.publisher = Publisher(self.folder, now=now) if now else Publisher(self.folder)
        signers = {role: [make(self.keys, role, lambda _: None) for _ in range(3 if role == "root" else 1)]
                   for role in ROLES}
        self.publisher.init(signers, {"root": 2, **thresholds})

    @property
    def signers(self) -> dict[str, list[Any]]:
        return load(self.keys, ROLES, lambda _: None)   # type: ignore[return-value]

    @property
    def root(self) -> bytes:
        return (self.folder / "metadata" / "1.root.json").read_bytes()

    def release(self, version: str, behaviour: str = "good", *, channel: str = "stable", deltas: int = 3,
                **tree: Any) -> None:
        folder = make_tree(self.work / version, version, behaviour, **tree)
        archive = make_archive(folder, self.work / f"{version}.tar.zst")
        self.publisher.add(archive, self.signers, channel=channel, deltas=deltas, level=3)


class Web:
    """Serves a folder on 127.0.0.1, and says what was asked for; `change` may answer a path otherwise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.change: Callable[[str, BaseHTTPRequestHandler], bool] = lambda path, handler: False
        web = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append(self.path)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    if not web.change(self.path, self):
                        self.directory = str(web.folder)
                        super().do_GET()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Machine:
    """systemd and the controller, played. `behaviour` in the release says what its start gives:

    good; hiccup (answers /healthz with 503 for a moment); crash (fails at once); hang (never ready); restarts (fails
    once, systemd starts it again); no_bus; stuck (its loop does not advance); sick (answers /healthz with 503 after a
    moment); mute (no status); other (says it is another release).
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self.starts: list[str] = []     # releases, in the order of their starts
        self.powered, self.holder, self.bus = False, None, "CYCLIC"
        self.tried = 0
        self._unit = Unit("inactive", "", 0, True)
        self._stale: Unit | None = None
        self._number, self._since, self._behaviour, self._tree = 0, 0.0, "good", ""
        machine = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                code, content = machine.answer(self.path)
                self.send_response(code)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self._handler = Handler
        self._server: ThreadingHTTPServer | None = None
        probe = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = probe.server_address[1]
        probe.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, path: str) -> tuple[int, bytes]:
        now_s = time.monotonic()
        if path == "/healthz":
            age_s = now_s - self._since
            bad = (self._behaviour == "sick" and age_s > 0.06) or (self._behaviour == "hiccup" and 0.06 < age_s < 0.1)
            return 503 if bad else 200, b"{}"
        if self._behaviour == "mute":
            return 200, b"[]"
        cycle = 5 if self._behaviour == "stuck" else int((now_s - self._since) * 1000)
        return 200, json.dumps({
            "control": {"client": self.holder, "name": "page" if self.holder else ""}, "motor_power": self.powered,
            "bus_state": "LOST" if self._behaviour == "no_bus" else self.bus, "cycle": cycle,
            "update": {"running": "x", "tree": "/elsewhere" if self._behaviour == "other" else self._tree}}).encode()

    def unit(self) -> Unit:
        if self._stale is not None:     # systemd was told to start, and has not begun
            stale, self._stale = self._stale, None
            return stale
        if self._behaviour == "restarts" and self._unit.active == "active" and time.monotonic() - self._since > 0.05:
            self._unit = Unit("active", f"i{self._number}-again", 1, True)
        return self._unit

    @property
    def active(self) -> str:
        """What systemd will say in a moment."""
        return self._unit.active

    def stop(self) -> None:
        self._stale = None
        self._unit = Unit("inactive", self._unit.invocation, 1, True)
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def start(self) -> None:
        if self._server is not None or self._unit.active == "activating":
            return
        self._stale = self._unit if self._number else None
        tree = self.board.current()
        self._behaviour, self._tree = (tree / "lib/behaviour").read_text(), str(tree)
        self._number += 1
        self._since = time.monotonic()
        self.starts.append(json.loads((tree / "release.json").read_text())["version"])
        invocation = f"i{self._number}"
        if self._behaviour == "crash":
            self._unit = Unit("failed", invocation, 0, True)
        elif self._behaviour == "hang":
            self._unit = Unit("activating", invocation, 0, True)
        else:
            self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler)
            self._server.daemon_threads = True
            threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            self._unit = Unit("active", invocation, 0, True)

    def try_release(self) -> None:
        self.tried += 1

    def boot(self) -> None:
        """The machine was switched off and on."""
        self.stop()
        self._unit = Unit("inactive", "", 0, True)
        self.start()
        self._stale = None


class Rig:
    """All of it. `update()` is a command on the board."""

    def __init__(self, folder: Path, packaged: str = "0.1.0", **manufacturer: Any) -> None:
        self.folder = folder
        self.manufacturer = Manufacturer(folder / "manufacturer", **manufacturer)
        self.where: Places = places(folder / "board")
        make_tree(self.where.packaged, packaged)
        self.where.trusted_root.parent.mkdir(parents=True)
        self.where.trusted_root.write_bytes(self.manufacturer.root)
        self.where.state.mkdir(parents=True)
        self.web = Web(self.manufacturer.folder)
        self.board = Board(self.where)
        self.machine = Machine(self.board)
        self.said: list[str] = []
        self.boots = 1

    def close(self) -> None:
        self.machine.stop()
        self.web.close()

    def update(self, **options: Any) -> Update:
        settings = {"confirm_s": 0.15, "start_s": 5.0, "url": self.web.url, **options}
        update = Update(Options(self.where, self.where.state, **settings), self.machine, Controller(self.machine.url),
                        Progress(self.where.status), self.said.append)
        update.trial._boot = lambda: f"boot {self.boots}"
        return update

    def boot(self) -> None:
        self.boots += 1
        self.machine.boot()

    @property
    def current(self) -> str:
        return self.board.running().version

    def announced(self) -> dict[str, Any]:
        return json.loads(self.where.status.read_text())    # type: ignore[no-any-return]


@contextlib.contextmanager
def rigged(folder: Path, *releases: str, **options: Any) -> Iterator[Rig]:
    rig = Rig(folder, **options)
    try:
        for number, version in enumerate(releases, 2):
            rig.manufacturer.release(version, built=BUILT.format(number))
        yield rig
    finally:
        rig.close()
