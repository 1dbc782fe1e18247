"""Loads and the process under test: started and ended by id, with what they are told and answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.arm_process import ArmProcess

TRIES = 3


@contextmanager
def busy_cores() -> Iterator[None]:
    """One process per core that computes without end, at normal priority."""
    processes = []
    try:
        for cpu in sorted(os.sched_getaffinity(0)):
            code = f"import os; os.sched_setaffinity(0, {{{cpu}}})\nwhile True: sum(range(100000))"
            processes.append(subprocess.Popen([sys.executable, "-c", code]))
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


class CoreProcess:
    """benchmarks.core_process as a child, with a simulated arm; a context manager."""

    def __init__(self, axes: int) -> None:
        self._axes = axes

    def __enter__(self) -> CoreProcess:
        self._arm = ArmProcess(self._axes)
        self._arm.__enter__()
        self._process = subprocess.Popen([sys.executable, "-m", "benchmarks.core_process", self._arm.port],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        finally:
            self._arm.__exit__()

    def hog(self, on: bool) -> None:
        self._ask({"do": "hog", "on": on})

    def measure(self, seconds: float, *, spin_us: int = 0, moving: bool = False,
                any_state: bool = False) -> dict[str, Any]:
        """See core_process: every cycle's lateness and run time in ns, and what the core says about itself.

        Unless `any_state`, a measurement in which the arm is lost is repeated: such cycles have less to do."""
        for _ in range(TRIES):
            found = self._ask({"do": "measure", "seconds": seconds, "spin_us": spin_us, "moving": moving})
            if not found["problem"] or (any_state and found["lateness_ns"]):
                return found
        raise RuntimeError(f"{TRIES} measurements without the arm ({found['problem']}): is the "
                           "machine overloaded?")

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"benchmarks.core_process ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer
