"""An emulated arm64 machine that boots the card as it is: U-Boot, its script, Debian's kernel, the read-only system.

Nothing of the card is changed for it. A shell for the tests comes in by a unit that systemd takes from the machine's
own firmware (credentials over fw_cfg); real boards have no such way in.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

UBOOT = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")
CARD_BYTES = 6 * 2**30     # larger than the image: the data partition has to grow
BOOT_S = 600.0
COMMAND_S = 120.0
AGENT = """[Unit]
Description=Shell of the tests
DefaultDependencies=no
After=local-fs.target
[Service]
ExecStart=/bin/sh -c 'exec 3<>/dev/virtio-ports/agent; exec /bin/sh <&3 >&3 2>&3'
Environment=PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
Restart=always
RestartSec=2
"""
# fw_cfg has 55 characters for a name: few units fit, and -.slice is in every boot.
WANTED = "[Unit]\nWants=t.service\n"


class Machine:
    """A running machine with a copy of the card; `folder` is served to it at `url`."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.folder = folder
        card = folder / "card.img"
        subprocess.run(["cp", "--sparse=always", str(image), str(card)], check=True)
        os.truncate(card, CARD_BYTES)
        (folder / "agent.service").write_text(AGENT)
        (folder / "wanted").write_text(WANTED)
        self.console = folder / "console.log"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: Quiet(*given, directory=str(folder)))
        Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://10.0.2.2:{self._server.server_address[1]}"
        credentials = "name=opt/io.systemd.credentials/"
        self.process = subprocess.Popen([
            "qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "cortex-a72", "-smp", "2", "-m", "1024",
            "-bios", str(UBOOT), "-display", "none", "-monitor", "none", "-serial", f"file:{self.console}",
            "-drive", f"file={card},format=raw,if=none,id=card,cache=unsafe", "-device", "virtio-blk-device,drive=card",
            "-device", "i6300esb", "-action", "watchdog=reset",
            "-netdev", "user,id=net", "-device", "virtio-net-device,netdev=net", "-device", "virtio-rng-device",
            "-device", "virtio-serial-device", "-chardev", f"socket,id=agent,path={folder}/agent,server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=agent",
            "-fw_cfg", f"{credentials}systemd.extra-unit.t.service,file={folder}/agent.service",
            "-fw_cfg", f"{credentials}systemd.unit-dropin.-.slice,file={folder}/wanted",
        ], stdin=subprocess.DEVNULL)
        self._line: socket.socket | None = None

    def connect(self, seconds: float = BOOT_S) -> None:
        """Wait for the shell; AssertionError with the end of the console otherwise."""
        until = time.monotonic() + seconds
        while True:
            assert self.process.poll() is None, f"the machine has ended: {self.seen()}"
            assert time.monotonic() < until, f"no shell within {seconds:g} s: {self.seen()}"
            with contextlib.suppress(OSError, TimeoutError):
                self._line = socket.socket(socket.AF_UNIX)
                self._line.connect(str(self.folder / "agent"))
                if self._ask("true", 5.0)[0] == 0:
                    return
            if self._line is not None:
                self._line.close()
            time.sleep(1)

    def _ask(self, command: str, seconds: float) -> tuple[int, str]:
        assert self._line is not None
        mark = secrets.token_hex(8)
        self._line.settimeout(seconds)
        self._line.sendall(f"( {command}\n) </dev/null 2>&1; echo \"{mark[:8]}\"\"{mark[8:]} $?\"\n".encode())
        answer = b""
        until = time.monotonic() + seconds
        while (at := answer.find(f"{mark} ".encode())) < 0 or b"\n" not in answer[at:]:
            if time.monotonic() > until:
                raise TimeoutError(command)
            got = self._line.recv(65536)
            if not got:
                raise ConnectionResetError(command)
            answer += got
        return int(answer[at:].split()[1]), answer[:at].decode("utf-8", "replace").strip()

    def tried(self, command: str, seconds: float = COMMAND_S) -> tuple[int, str]:
        """(exit code, what it printed) of a shell command."""
        return self._ask(command, seconds)

    def run(self, command: str, seconds: float = COMMAND_S) -> str:
        """What a shell command that has to succeed printed."""
        code, text = self._ask(command, seconds)
        assert code == 0, f"{command}: {code}: {text}\n{self.seen()}"
        return text

    def until(self, command: str, seconds: float = COMMAND_S) -> str:
        """Until a shell command succeeds."""
        until = time.monotonic() + seconds
        while True:
            code, text = self._ask(command, COMMAND_S)
            if code == 0:
                return text
            assert time.monotonic() < until, f"{command} never succeeded: {text}\n{self.seen()}"
            time.sleep(1)

    def status(self) -> dict[str, Any]:
        """The controller's own state."""
        import json

        found: dict[str, Any] = json.loads(self.run("allyarm status --json"))
        return found

    def reboot(self) -> None:
        """Start anew and wait for the shell."""
        assert self._line is not None
        boot = self.run("cat /proc/sys/kernel/random/boot_id")
        self._line.sendall(b"systemctl reboot\n")
        time.sleep(5)
        self.again(boot)

    def again(self, boot: str, seconds: float = BOOT_S) -> None:
        """Wait for a shell of another boot than `boot`."""
        until = time.monotonic() + seconds
        while True:
            if self._line is not None:
                self._line.close()
            self.connect(until - time.monotonic())
            with contextlib.suppress(OSError, TimeoutError):
                if self.run("cat /proc/sys/kernel/random/boot_id") != boot:
                    return
            time.sleep(2)

    def seen(self) -> str:
        """The end of the console."""
        return self.console.read_bytes()[-3000:].decode("utf-8", "replace") if self.console.exists() else ""

    def close(self) -> None:
        """Switch off."""
        self.process.kill()
        self.process.wait()
        self._server.shutdown()
        self._server.server_close()
        (self.folder / "card.img").unlink()


class Quiet(SimpleHTTPRequestHandler):
    """Files with ranges, which RAUC asks for; says nothing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *given: object) -> None:
        pass

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        size = path.stat().st_size
        first, last = 0, size - 1
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes="):
            begin, _, end = asked[6:].partition("-")
            first, last = int(begin), min(int(end) if end else size - 1, size - 1)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        with path.open("rb") as file, contextlib.suppress(OSError):
            file.seek(first)
            left = last - first + 1
            while left and (piece := file.read(min(left, 1 << 20))):
                self.wfile.write(piece)
                left -= len(piece)


@contextlib.contextmanager
def machine(image: Path, folder: Path) -> Iterator[Machine]:
    """A machine that is certainly ended afterwards."""
    if not shutil.which("qemu-system-aarch64") or not UBOOT.exists():
        raise FileNotFoundError("apt-get install qemu-system-arm u-boot-qemu")
    found = Machine(image, folder)
    try:
        found.connect()
        yield found
    finally:
        found.close()
