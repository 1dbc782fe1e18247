"""Options of the whole suite. `--port PATH` runs tests/hardware against the arm on that port, and nothing else does.

With pytest-xdist (`-n 2`: `make test` for the whole suite) all that is in real time has one worker, one test after the
other, as it would be alone; what only computes fills the other processor, at lower priority.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.traceability import Traceability

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


def in_real_time(path: str) -> bool:
    """Whether a test of this file, named from the root folder, waits for wall-clock time rather than compute."""
    return path.removeprefix("tests/").startswith(REALTIME)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files as a whole, and everything in real time in one piece, which is begun first because it is the largest."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "real time" if in_real_time(file) else file

    return Scheduling(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if os.environ.get("PYTEST_XDIST_WORKER") and os.geteuid() == 0:     # others could not take it back
        real_time = in_real_time(item.nodeid)
        os.setpriority(os.PRIO_PROCESS, 0, 0 if real_time else COMPUTING_NICENESS)
