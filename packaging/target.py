"""What is built for: an architecture and a Python version, with compiler, headers and interpreter found or fetched.

The compiled parts are always built with Debian's own headers and with flags that stand here, never with those that the
building interpreter happened to be compiled with: same commit, same bytes, whatever Python builds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "packaging"
MIRROR = os.environ.get("ALLYARM_DEBIAN_MIRROR", "http://deb.debian.org/debian")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SUITES = {"3.11": "bookworm", "3.13": "trixie"}     # Python of Debian 12 and 13
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
CFLAGS = "-fno-strict-overflow -Wsign-compare -DNDEBUG -g0 -fwrapv -O2 -Wall -fstack-protector-strong"
LDFLAGS = "-Wl,-z,relro -Wl,-z,now -Wl,--build-id=sha1 -s"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is built for, which every command here takes."""
    parser.add_argument("--architecture", choices=MACHINES, default="amd64")
    parser.add_argument("--python", default="3.11", help="of the board: 3.11 for Debian 12, 3.13 for Debian 13")
    parser.add_argument("--output", type=Path, default=ROOT / "dist")


class BuildError(Exception):
    """What is missing, and the remedy."""


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Output of a command that must succeed; BuildError with the end of what it said when it does not."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True,
                          check=False)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
        raise BuildError(f"{' '.join(map(str, command))[:300]}\nended with {done.returncode}:\n{said}")
    return done.stdout


@dataclass(frozen=True)
class Target:
    """One architecture ("amd64", "arm64") and Python ("3.11", "3.13") to build for."""

    architecture: str
    python: str

    def __post_init__(self) -> None:
        for name, value, known in (("architecture", self.architecture, MACHINES), ("python", self.python, SUITES)):
            if value not in known:
                raise BuildError(f"{name}: found {value!r}; allowed: {' or '.join(known)}")

    @property
    def machine(self) -> str:
        """As uname -m has it."""
        return MACHINES[self.architecture]

    @property
    def triplet(self) -> str:
        return f"{self.machine}-linux-gnu"

    @property
    def tag(self) -> str:
        """The interpreter's tag of wheels, "cp311"."""
        return "cp" + self.python.replace(".", "")

    @property
    def folder(self) -> Path:
        """Everything built for this target; made when asked for."""
        path = BUILD / f"{self.architecture}-py{self.python}"
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def native(self) -> bool:
        return os.uname().machine == self.machine

    @cached_property
    def builder(self) -> Path:
        """An interpreter of this very version that runs here, with what [build-system] asks for: this one, else one
        in an environment of its own."""
        running = f"{sys.version_info.major}.{sys.version_info.minor}"
        if running == self.python and (Path(sys.executable).parent / "cython").exists():
            return Path(sys.executable)
        environment = BUILD / f"environment-{self.python}"
        done = environment / ".done"
        lock = ROOT / "requirements.lock"
        if not done.exists() or done.read_bytes() != lock.read_bytes():
            run(_interpreter(self.python), "-m", "venv", "--clear", environment)
            run(environment / "bin/python", "-m", "pip", "install", "--quiet", "--require-hashes", "-r", lock)
            done.write_bytes(lock.read_bytes())
        return environment / "bin/python"

    @cached_property
    def includes(self) -> list[Path]:
        """Folders of Debian's Python headers for this target."""
        installed = Path("/usr/include")
        if self.native and (installed / f"python{self.python}/Python.h").exists():
            return [installed / f"python{self.python}"]
        found = self._sysroot() / "usr/include"
        return [found / f"python{self.python}", found]

    def _sysroot(self) -> Path:
        """libpython3-dev of the target, unpacked."""
        place = self.folder / "sysroot"
        if not (place / f"usr/include/python{self.python}/Python.h").exists():
            self.unpack([f"libpython{self.python}-dev"], place)
        return place

    def unpack(self, packages: list[str], place: Path) -> None:
        """Debian packages of the target, unpacked into a folder: through an apt of its own, which touches nothing of
        this machine's."""
        apt = self.folder / "apt"
        for name in ("lists/partial", "archives/partial", "download"):
            (apt / name).mkdir(parents=True, exist_ok=True)
        (apt / "status").touch()
        (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {SUITES[self.python]} main\n")
        options = [f"-o{key}={value}" for key, value in {
            "Dir::Etc::SourceList": apt / "sources.list", "Dir::Etc::SourceParts": "-",
            "Dir::State::Lists": apt / "lists", "Dir::State::Status": apt / "status", "Dir::Cache": apt,
            "APT::Architecture": self.architecture, "APT::Architectures": self.architecture,
            "APT::Sandbox::User": "root", "Acquire::Languages": "none",
        }.items()]
        run("apt-get", *options, "-qq", "update")
        run("apt-get", *options, "-qq", "download", *packages, cwd=apt / "download")
        for package in sorted((apt / "download").glob("*.deb")):
            run("dpkg-deb", "-x", package, place)
        shutil.rmtree(apt)

    def environment(self, source: Path) -> dict[str, str]:
        """Variables under which setuptools builds for this target. `source`: the folder that is built, whose name must
        not get into the result."""
        for tool in (compilers := [f"{self.triplet}-gcc", f"{self.triplet}-g++"]):
            if not shutil.which(tool):
                raise BuildError(f"{tool} is missing: apt-get install {_packages(self.architecture)}")
        settings = self.folder / "settings"
        settings.mkdir(exist_ok=True)
        flags = " ".join([CFLAGS, f"-ffile-prefix-map={source}=.", *(f"-I{path}" for path in self.includes)])
        suffix = f".cpython-{self.python.replace('.', '')}-{self.triplet}.so"
        variables = {
            "CC": compilers[0], "CXX": compilers[1], "CFLAGS": flags, "CCSHARED": "-fPIC", "AR": f"{self.triplet}-ar",
            "ARFLAGS": "rcsD", "SHLIB_SUFFIX": ".so", "LDSHARED": f"{compilers[0]} -shared {LDFLAGS}",
            "LDCXXSHARED": f"{compilers[1]} -shared {LDFLAGS}", "EXT_SUFFIX": suffix,
            "SOABI": suffix[1:-3], "MULTIARCH": self.triplet, "Py_DEBUG": 0, "Py_ENABLE_SHARED": 0,
            "Py_GIL_DISABLED": 0, "VERSION": self.python, "HOST_GNU_TYPE": self.triplet,
        }
        (settings / "allyarm_sysconfig.py").write_text(f"build_time_vars = {variables!r}\n")
        kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name in ("HOME",
                                                                                                         "TMPDIR")}
        return kept | {
            "PATH": f"{self.builder.parent}:/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(settings), "SOURCE_DATE_EPOCH": str(commit_time()),
            "_PYTHON_HOST_PLATFORM": f"linux-{self.machine}", "_PYTHON_SYSCONFIGDATA_NAME": "allyarm_sysconfig"}


def _packages(architecture: str) -> str:
    return "gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libc6-dev-arm64-cross" if architecture == "arm64" else "g++"


def _interpreter(python: str) -> str:
    """A Python of this minor version: Debian's, one on the path, or one of pyenv."""
    places = [f"/usr/bin/python{python}", shutil.which(f"python{python}") or "",
              *map(str, sorted(Path.home().glob(f".pyenv/versions/{python}.*/bin/python")))]
    for place in filter(os.path.exists, places):
        works = subprocess.run([place, "-c", "import sys, ensurepip, venv; print('%d.%d' % sys.version_info[:2])"],
                               capture_output=True, text=True, check=False)
        if works.stdout.strip() == python:
            return place
    raise BuildError(f"no Python {python} with venv was found: apt-get install python{python}-venv, or: "
                     f"pyenv install {python}")


def commit() -> str:
    """The commit that is built, "" outside of a checkout; "+" behind it when there are changes on top.
    $ALLYARM_COMMIT says it where the source is no checkout."""
    if given := os.environ.get("ALLYARM_COMMIT"):
        return given
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    changed = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=ROOT, capture_output=True, text=True,
                             check=False)
    return found.stdout.strip() + ("+" if found.stdout and changed.stdout.strip() else "")


def commit_time() -> int:
    """SOURCE_DATE_EPOCH where it is set, else the time of the commit; s since 1970."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    found = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False)
    return int(found.stdout) if found.stdout.strip() else 0
