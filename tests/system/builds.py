"""The release tree and the package of this checkout, built when its sources have changed and kept under build/."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.system.machine import CACHE, ROOT

PROGRAM = ("controller", "ext", "packaging", "setup.py", "pyproject.toml", "requirements.lock")
PACKAGE = (*PROGRAM, "systemd", "docs", "CHANGELOG.md")


def sources_key(names: tuple[str, ...]) -> str:
    """Changes when any of these files changes."""
    found = hashlib.sha256()
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", *names], cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout.splitlines()
    for name in sorted(listed):
        path = ROOT / name
        found.update(name.encode() + (path.read_bytes() if path.is_file() else b""))
    return found.hexdigest()[:16]


def made_once(name: str, sources: tuple[str, ...], *command: str) -> Path:
    """The folder that `command --output FOLDER` fills; kept under build/ until the sources change."""
    place = CACHE / f"{name}-{sources_key(sources)}"
    if not place.exists():
        for old in CACHE.glob(f"{name}-*"):
            shutil.rmtree(old)
        work = CACHE / f"making-{name}-{os.getpid()}"
        work.mkdir(parents=True)
        done = subprocess.run([sys.executable, *command, "--output", str(work)], cwd=ROOT, capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0, done.stderr
        work.rename(place)
    return place


def release_tree() -> Path:
    made = made_once("tree", PROGRAM, "packaging/tree.py", "--no-archive")
    (found,) = (path for path in made.iterdir() if path.is_dir())
    return found


def package() -> Path:
    made = made_once("package", PACKAGE, "packaging/deb.py", "--quick", "--tree", str(release_tree()))
    (found,) = made.glob("*.deb")
    return found
