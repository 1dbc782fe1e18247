"""Fixtures of the update's tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.update import trial
from tests.update.rig import Rig, rigged


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate looks more often than on a board, so that its times can be short here."""
    monkeypatch.setattr(trial, "POLL_S", 0.02)
    monkeypatch.setattr(trial, "UNWELL_S", 0.1)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is such a place: nothing is cut off from its power here, and a disk is slow."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="allyarm-update-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A board on the packaged 0.1.0, whose controller runs, and a repository with 0.2.0."""
    with rigged(tmp_path, "0.2.0") as found:
        found.machine.start()
        yield found
