"""These tests boot a whole card under emulation: `make test-image`, after `make image`. Not part of the ordinary run.

ALLYARM_IMAGES names the folder with what was built: the newest card, and bundles of a newer and an older version.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.machine import Machine, machine

IMAGES = os.environ.get("ALLYARM_IMAGES", "")
collect_ignore_glob = [] if IMAGES else ["test_*.py"]


def one(pattern: str) -> Path:
    found = sorted(Path(IMAGES).glob(pattern))
    assert len(found) == 1, f"{IMAGES}: one {pattern} is needed, found {[path.name for path in found]}"
    return found[0]


@pytest.fixture(scope="session")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card, unpacked."""
    unpacked = tmp_path_factory.mktemp("card") / "card.img"
    subprocess.run(["zstd", "-q", "-d", str(one("allyarm-image-*.img.zst")), "-o", str(unpacked)], check=True)
    return unpacked


@pytest.fixture(scope="session")
def running(card: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One machine for all tests, in the order they stand in: each begins where the one before has ended."""
    with machine(card, tmp_path_factory.mktemp("machine")) as found:
        yield found
