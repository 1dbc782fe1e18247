"""Options of the whole suite. `--port PATH` runs tests/hardware against the arm on that port, and nothing else does.

With pytest-xdist (`-n 2 --dist loadgroup`: `make test` for the whole suite) all that is in real time has one worker,
one test after the other, as it would be alone; what only computes fills the other processor, at lower priority.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.traceability import TESTS, Traceability

pytest.register_assert_rewrite("tests.hmi.cases", "tests.hmi.data_cases", "tests.hmi.page", "tests.virtual_hmi")

REALTIME = ("external", "hmi", "sim/test_program", "sim/test_cycle_thread", "sim/test_board_server", "sim/test_sim_cli",
            "system")     # under tests/: over pseudo-terminals, sockets and wall-clock time
COMPUTING_NICENESS = 10


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--port", help="serial port of a real arm: runs tests/hardware (motor power stays off)")
    parser.addoption("--traceability", type=Path, metavar="FILE", help="of a run of every test: write requirement, "
                     "tests and results to FILE and fail when a requirement is not proven")


def pytest_configure(config: pytest.Config) -> None:
    # Under nohup children would inherit that SIGHUP is ignored, and `allyarm run` rightly leaves it so; a handler they
    # do not inherit.
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    path = config.getoption("--traceability")
    if path and not hasattr(config, "workerinput"):     # a worker of xdist knows its own tests only
        config.pluginmanager.register(Traceability(path))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if collection_path.name == "hardware" and not config.getoption("--port"):
        return True
    return None


def in_real_time(item: pytest.Item) -> bool:
    """Whether a test waits for wall-clock time rather than compute."""
    return item.path.relative_to(TESTS).as_posix().startswith(REALTIME)


@pytest.hookimpl(tryfirst=True)     # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items if config.pluginmanager.hasplugin("xdist") else ():
        item.add_marker(pytest.mark.xdist_group("real time" if in_real_time(item) else item.path.name))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if os.environ.get("PYTEST_XDIST_WORKER") and os.geteuid() == 0:     # others could not take it back
        os.setpriority(os.PRIO_PROCESS, 0, 0 if in_real_time(item) else COMPUTING_NICENESS)
