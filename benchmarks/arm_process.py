"""The simulated arm as a process that is not starved: a real base board shares no processor with the controller."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time

from benchmarks.machine import other_cpus
from controller.simulated import prefer

READY_S = 10.0


class ArmProcess:
    """`allyarm sim` with `axes` axes on `port`; a context manager."""

    def __init__(self, axes: int) -> None:
        self._axes = axes

    def __enter__(self) -> ArmProcess:
        self._folder = tempfile.mkdtemp(prefix="allyarm-bench-")
        self.port = os.path.join(self._folder, "arm")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "controller.sim", "--axes", str(self._axes), "--seed", "1", "--link", self.port,
             "--die-with-parent"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        os.sched_setaffinity(self._process.pid, other_cpus())
        prefer(self._process.pid)
        until = time.monotonic() + READY_S
        while not os.path.exists(self.port):
            if self._process.poll() is not None or time.monotonic() > until:
                self.__exit__()
                raise RuntimeError("the simulated arm does not come up")
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
