"""The release tree and the package of this checkout, built when its sources have changed and kept under build/."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.system.machine import CACHE, ROOT


def sources_key() -> str:
    """Changes when anything changes that goes into a package."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", "controller", "ext", "packaging",
                            "systemd", "setup.py", "pyproject.toml", "requirements.lock", "docs", "CHANGELOG.md"],
                            cwd=ROOT,
                           capture_output=True, text=True, check=True).stdout.split("\n")
    found = hashlib.sha256()
    for name in sorted(filter(None, names)):
        path = ROOT / name
        found.update(name.encode() + (path.read_bytes() if path.is_file() else b""))
    return found.hexdigest()[:16]


def made_once(name: str, *command: str) -> Path:
    """The folder that `command --output FOLDER` fills; kept under build/ until the sources change."""
    place = CACHE / f"{name}-{sources_key()}"
    if not place.exists():
        for old in CACHE.glob(f"{name}-*"):
            shutil.rmtree(old)
        work = CACHE / f"making-{name}-{os.getpid()}"
        work.mkdir(parents=True)
        done = subprocess.run([sys.executable, *command, "--output", str(work)], cwd=ROOT, capture_output=True,
                              text=True,
                              check=False)
        assert done.returncode == 0, done.stderr
        work.rename(place)
    return place


def release_tree() -> Path:
    (found,) = (path for path in made_once("tree", "packaging/tree.py", "--no-archive").iterdir() if path.is_dir())
    return found


def package() -> Path:
    (found,) = made_once("package", "packaging/deb.py", "--quick", "--tree", str(release_tree())).glob("*.deb")
    return found
