"""Options of the whole suite. `--port PATH` runs tests/hardware against the arm on that port, and nothing else does."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.traceability import Traceability

pytest.register_assert_rewrite("tests.hmi.cases", "tests.hmi.data_cases", "tests.hmi.page", "tests.virtual_hmi")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--port", help="serial port of a real arm: runs tests/hardware (motor power stays off)")
    parser.addoption("--traceability", type=Path, metavar="FILE", help="of a run of every test: write requirement, "
                     "tests and results to FILE and fail when a requirement is not proven")


def pytest_configure(config: pytest.Config) -> None:
    # Under nohup children would inherit that SIGHUP is ignored, and `allyarm run` rightly leaves it so; a handler they
    # do not inherit.
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    if path := config.getoption("--traceability"):
        config.pluginmanager.register(Traceability(path))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if collection_path.name == "hardware" and not config.getoption("--port"):
        return True
    return None
