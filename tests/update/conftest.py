"""Fixtures of the update's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.update import trial
from tests.update.rig import Rig, rigged


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate looks more often than on a board, so that its times can be short here."""
    monkeypatch.setattr(trial, "POLL_S", 0.02)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A board on the packaged 0.1.0, whose controller runs, and a repository with 0.2.0."""
    with rigged(tmp_path, "0.2.0") as found:
        found.machine.start()
        yield found
