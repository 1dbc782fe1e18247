"""A Debian machine with a real systemd: a root made by mmdebstrap, booted by systemd-nspawn, entered by nsenter.

`/var` and `/etc` of one machine outlive its power cuts; the template that machines are copied from is never changed.
It has no network but its own loopback. A process that is to meet it from here uses `beside`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("ALLYARM_SYSTEM_CACHE", ROOT / "build" / "system"))
SUITE = "bookworm"
# What a small Debian with systemd has, and what the package depends on.
PACKAGES = ("systemd", "systemd-sysv", "dbus", "udev", "adduser", "python3", "libstdc++6", "zstd", "procps", "kmod")
TOOLS = {"systemd-nspawn": "systemd-container", "mmdebstrap": "mmdebstrap", "nsenter": "util-linux", "zstd": "zstd",
         "dpkg-deb": "dpkg", "g++": "g++"}
BOOT_LIMIT_S = 60.0
T = TypeVar("T")


def missing() -> str:
    """Why machines cannot be made here, or ""."""
    if os.geteuid() != 0:
        return "not root: systemd-nspawn and mmdebstrap need it"
    absent = sorted({package for tool, package in TOOLS.items() if not shutil.which(tool)})
    return f"apt-get install {' '.join(absent)}" if absent else ""


def template(extra: tuple[str, ...] = ()) -> Path:
    """The root folder with these Debian packages; made once, kept under build/."""
    packages = sorted({*PACKAGES, *extra})
    key = hashlib.sha256(" ".join([SUITE, *packages]).encode()).hexdigest()[:12]
    place = CACHE / f"root-{key}"
    if place.exists():
        return place
    CACHE.mkdir(parents=True, exist_ok=True)
    work = CACHE / f"making-{key}-{os.getpid()}"
    done = subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}",
         "--aptopt=Acquire::Languages none", "--dpkgopt=path-exclude=/usr/share/locale/*",
         "--dpkgopt=path-exclude=/usr/share/man/*", SUITE, str(work)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"mmdebstrap: {done.stderr[-3000:]}"
    # It would clear the table of foreign binaries of the whole host.
    (work / "etc/systemd/system/systemd-binfmt.service").symlink_to("/dev/null")
    (work / "etc/machine-id").write_text("")
    with contextlib.suppress(OSError):  # another run was quicker
        work.rename(place)
    shutil.rmtree(work, ignore_errors=True)
    return place


class Machine:
    """One machine. `boot`, `run`, `power_cut` as often as wanted; `close` at the end."""

    def __init__(self, folder: Path, root_template: Path | None = None) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.log = folder / "boot.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self._mounted = False
        self._copy(root_template or template())
        # In place of the real-time scheduling that a container cannot have.
        self.write("/etc/systemd/system/allyarm.service.d/busy-machine.conf", "[Service]\nNice=-15\n")

    def _copy(self, source: Path) -> None:
        """An overlay costs nothing; where there is none, a copy."""
        for name in ("root", "changed", "work"):
            (self.folder / name).mkdir(parents=True)
        options = f"lowerdir={source},upperdir={self.folder / 'changed'},workdir={self.folder / 'work'}"
        self._mounted = not subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(self.root)],
                                           capture_output=True, check=False).returncode
        if not self._mounted:
            subprocess.run(["cp", "-a", "--reflink=auto", f"{source}/.", str(self.root)], check=True)

    # -- power

    def boot(self, wait: bool = True) -> float:
        """Power on; returns the monotonic time of it. `wait`: until systemd has started everything it was to start."""
        assert self._process is None, "it runs already"
        started = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--capability=all", "--private-network",
                 "--system-call-filter=@known", "--console=pipe", "--machine=allyarm-test", "--link-journal=no",
                 "--directory", str(self.root), "--boot", "systemd.show_status=0"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_LOCK": "0"})
        self._leader = self.until(self._find_leader, 20, "systemd-nspawn started nothing")
        if wait:
            self.until(lambda: self.run("systemctl", "is-system-running", check=False).stdout.strip()
                       in ("running", "degraded"), BOOT_LIMIT_S, "it did not boot")
        return started

    def _find_leader(self) -> int:
        assert self._process is not None
        assert self._process.poll() is None, f"systemd-nspawn ended: {self.log.read_text(errors='replace')[-2000:]}"
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return int(child)
        return 0

    def power_cut(self) -> None:
        """Everything in it ends at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._leader or self._process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._process.kill()
            self._process.wait()
            self._process, self._leader = None, 0

    def close(self) -> None:
        self.power_cut()
        if self._mounted:
            subprocess.run(["umount", "--lazy", str(self.root)], check=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- inside

    def run(self, *command: str, check: bool = True, seconds: float = 60.0,
            text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in it as root; AssertionError with all it said when it fails. `text` is its input."""
        inside = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8",
                  "HOME": "/root",
                  "DEBIAN_FRONTEND": "noninteractive"}
        enter = (["nsenter", "--target", str(self._leader), "--all", "--root", "--wd"] if self._leader else
                 ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--pipe", "--private-network",
                  "--directory", str(self.root)])
        done = subprocess.run([*enter, "--", *command], capture_output=True, text=True, check=False, timeout=seconds,
                              input=text, env=inside | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                                                        "SYSTEMD_NSPAWN_LOCK": "0"})
        if check:
            assert done.returncode == 0, f"{' '.join(command)} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def beside(self, *command: str, environment: Mapping[str, str] | None = None) -> list[str]:
        """The command line that runs a program of this host within the machine's network: for Popen and run."""
        assert self._leader, "it is off"
        return ["nsenter", "--target", str(self._leader), "--net", "--",
                *(["env", *(f"{name}={value}" for name,
                            value in environment.items())] if environment else []), *command]

    def host_pid(self, pid: int) -> int:
        """What a process of the machine is called on this host."""
        namespace = os.readlink(f"/proc/{self._leader}/ns/pid")
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(entry / "ns/pid") == namespace:
                    status = (entry / "status").read_text()
                    if int(status.partition("NSpid:")[2].splitlines()[0].split()[-1]) == pid:
                        return int(entry.name)
        raise AssertionError(f"no process {pid} in the machine")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file in it, whether it is on or off (not under /run, /tmp or /dev)."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)

    def copy(self, source: Path, path: str) -> None:
        """A file or folder of this host into it."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", str(source), str(place)], check=True)

    def install(self, package: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """dpkg -i, on or off."""
        self.copy(package, f"/var/cache/{package.name}")
        return self.run("dpkg", "--force-confold", "-i", f"/var/cache/{package.name}", check=check, seconds=120)

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit, as `systemctl show` has them."""
        lines = self.run("systemctl", "show", unit, *(f"--property={name}" for name in names)).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines)

    def property(self, unit: str, name: str) -> str:
        return self.show(unit, name)[name]

    def journal(self, unit: str = "") -> str:
        return self.run("journalctl", "--no-pager", "--output=short-monotonic", *([f"--unit={unit}"] if unit else []),
                        check=False).stdout

    def get(self, path: str, port: int = 3001) -> tuple[int, str]:
        """(HTTP status, body) of its HMI server; (0, why) when there is no answer."""
        code = ("import sys,urllib.request as u,urllib.error as e\n"
                "try:\n r=u.urlopen(sys.argv[1],timeout=5)\nexcept e.HTTPError as r2: r=r2\n"
                "except OSError as w: sys.exit('0 %s'%w)\nprint(r.status, r.read().decode())")
        done = self.run("python3", "-c", code, f"http://127.0.0.1:{port}{path}", check=False)
        status, _, body = (done.stdout or done.stderr).partition(" ")
        return int(status), body.strip()

    def healthy(self, port: int = 3001) -> bool:
        return self.get("/healthz", port)[0] == 200

    def status(self, port: int = 3001) -> dict[str, object]:
        """/status.json"""
        code, body = self.get("/status.json", port)
        assert code == 200, body
        found: dict[str, object] = json.loads(body)
        return found

    def until(self, condition: Callable[[], T], seconds: float, why: str = "") -> T:
        """The first true value of a condition; AssertionError with the machine's own words when it does not come."""
        end = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > end:
                said = self.journal()[-4000:] if self._leader else self.log.read_text(errors="replace")[-4000:]
                raise AssertionError(f"{why or 'not'} within {seconds:g} s\n{said}")
            time.sleep(0.05)
        return value
