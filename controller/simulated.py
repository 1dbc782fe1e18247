"""The simulated arm as a child process of `allyarm run`: started, watched, started again, ended.

Thread contract: main thread only.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time

log = logging.getLogger("allyarm.sim")
RESTART_AFTER_S = 1.0
SIMULATOR_PRIORITY = 40


def prefer(process_id: int) -> None:
    """Real-time scheduling for a simulator, where allowed: a real board answers in time whatever this machine does, and
    a simulator that has to wait its turn looks like a broken cable. On any processor: ours is kept from the control
    thread's, and the simulator must not hold up the start of the HMI on the other one."""
    with contextlib.suppress(OSError):
        os.sched_setaffinity(process_id, range(os.cpu_count() or 1))
        os.sched_setscheduler(process_id, os.SCHED_FIFO, os.sched_param(SIMULATOR_PRIORITY))


class SimulatedArm:
    """`port()` is the pseudo-terminal to use, "" while there is none."""

    def __init__(self, axes: int, seed: int) -> None:
        self._axes, self._seed = axes, seed
        self._folder = tempfile.mkdtemp(prefix="allyarm-sim-")
        self.link = os.path.join(self._folder, "arm")
        self.control = os.path.join(self._folder, "control")
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = 0.0
        self._start()

    def _start(self) -> None:
        # A session of its own: Ctrl-C must reach the controller alone, or the arm is gone before its soft stop.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "controller.sim", "--axes", str(self._axes), "--seed", str(self._seed),
             "--link", self.link, "--control", self.control, "--die-with-parent", str(os.getpid())],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
        prefer(self._process.pid)

    def port(self) -> str:
        """Path of the arm's port once it is there. A simulator that ended is started again after a second."""
        assert self._process is not None
        if self._process.poll() is not None:
            if not self._ended:
                log.error("the simulated arm ended with code %d; starting it again", self._process.returncode)
                self._ended = time.monotonic()
            elif time.monotonic() - self._ended > RESTART_AFTER_S:
                self._ended = 0.0
                self._start()
            return ""
        return self.link if os.path.exists(self.link) else ""

    def close(self) -> None:
        """End the simulator and remove its files."""
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
