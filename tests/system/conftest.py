"""Fixtures: the release tree and package of this checkout, and machines to install them on.

Everything here needs root and a few Debian packages. Without them the tests are skipped with the reason, but where
$ALLYARM_ALL_TESTS is set (as .ci/run does) a missing tool is a failure.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system import builds
from tests.system.machine import ROOT, Machine, missing, template

sys.path.append(str(ROOT / "packaging"))    # target, tree, deb: scripts, not a package


@pytest.fixture(scope="session", autouse=True)
def _able() -> None:
    if why := missing():
        if os.environ.get("ALLYARM_ALL_TESTS"):
            pytest.fail(f"ALLYARM_ALL_TESTS is set, but machines cannot be made: {why}")
        pytest.skip(why)


@pytest.fixture(scope="session")
def release_tree() -> Path:
    """The release tree of this checkout, for this architecture and the machines' Python (3.11)."""
    return builds.release_tree()


@pytest.fixture(scope="session")
def package() -> Path:
    """The Debian package of it."""
    return builds.package()


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
