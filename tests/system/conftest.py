"""Fixtures: the release tree and package of this checkout, and machines to install them on.

Everything here needs root and a few Debian packages. Without them the tests are skipped with the reason, but where
$ALLYARM_ALL_TESTS is set (as .ci/run does) a missing tool is a failure.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.machine import CACHE, ROOT, Machine, missing, template

sys.path.append(str(ROOT / "packaging"))    # target, tree, deb: scripts, not a package


@pytest.fixture(scope="session", autouse=True)
def _able() -> None:
    if why := missing():
        if os.environ.get("ALLYARM_ALL_TESTS"):
            pytest.fail(f"ALLYARM_ALL_TESTS is set, but machines cannot be made: {why}")
        pytest.skip(why)


def sources_key() -> str:
    """Changes when anything changes that goes into a package."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", "controller", "ext", "packaging",
                            "systemd", "setup.py", "pyproject.toml", "requirements.lock", "docs/faults.md"], cwd=ROOT,
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
        done = subprocess.run([sys.executable, *command, "--output", str(work)], cwd=ROOT, capture_output=True, text=True,
                              check=False)
        assert done.returncode == 0, done.stderr
        work.rename(place)
    return place


@pytest.fixture(scope="session")
def release_tree() -> Path:
    """The release tree of this checkout, for this architecture and the machines' Python (3.11)."""
    (found,) = (path for path in made_once("tree", "packaging/tree.py", "--no-archive").iterdir() if path.is_dir())
    return found


@pytest.fixture(scope="session")
def package(release_tree: Path) -> Path:
    """The Debian package of it."""
    (found,) = made_once("package", "packaging/deb.py", "--tree", str(release_tree)).glob("*.deb")
    return found


@pytest.fixture(scope="session")
def root_template() -> Path:
    return template()


@pytest.fixture(scope="module")
def make_machine(tmp_path_factory: pytest.TempPathFactory, root_template: Path) -> Iterator[Callable[[], Machine]]:
    """Makes bare machines, off; all of them end with the module."""
    made: list[Machine] = []

    def make() -> Machine:
        made.append(Machine(tmp_path_factory.mktemp("machine"), root_template))
        return made[-1]

    yield make
    for machine in made:
        machine.close()


@pytest.fixture(scope="module")
def machine(make_machine: Callable[[], Machine], package: Path) -> Machine:
    """A booted machine with the package installed."""
    found = make_machine()
    found.install(package)
    found.boot()
    return found
