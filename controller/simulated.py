"""The simulated arm as a child process of `allyarm run`: started, watched, started again, ended.

Thread contract: main thread only.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

log = logging.getLogger("allyarm.sim")
RESTART_AFTER_S = 1.0
END_LIMIT_S = 0.3       # it has nothing to finish
FOLDER = re.compile(r"allyarm-sim-([1-9][0-9]{0,9})-[a-z0-9_]{8}")    # of the controller with that process id
SIMULATOR_PRIORITY = 40
# Where this very program was imported from: a release's launcher puts it on the path, a new interpreter would not.
PACKAGES = str(Path(__file__).resolve().parents[1])


def prefer(process_id: int) -> None:
    """Real-time scheduling for a simulator, where allowed: a real board answers in time whatever this machine does, and
    a simulator that has to wait its turn looks like a broken cable. Only once it serves its port: a real-time task that
    the control thread preempts is pushed to the processor where the HMI starts, and would hold that up (50 ms)."""
    with contextlib.suppress(OSError):
        os.sched_setaffinity(process_id, range(os.cpu_count() or 1))
        os.sched_setscheduler(process_id, os.SCHED_FIFO, os.sched_param(SIMULATOR_PRIORITY))


def keep_apart(process_id: int) -> None:
    """A simulator starts on the control thread's processor, which is idle but for that; then it may run on any."""
    with contextlib.suppress(OSError):
        every = set(range(os.cpu_count() or 1))
        os.sched_setaffinity(process_id, every - os.sched_getaffinity(0) or every)
        os.sched_setaffinity(process_id, every)


def remove_stale_folders(parent: str) -> None:
    """Remove folders of simulated arms whose controller is gone without having removed them (kill -9)."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(parent):
            with contextlib.suppress(OSError):
                if not (found := FOLDER.fullmatch(entry.name)):
                    continue
                kind = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(kind.st_mode) and kind.st_uid == os.geteuid() and not _exists(int(found[1])):
                    shutil.rmtree(entry.path, ignore_errors=True)


def _exists(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


class SimulatedArm:
    """`port()` is the pseudo-terminal to use, "" while there is none."""

    def __init__(self, axes: int, seed: int) -> None:
        self._axes, self._seed = axes, seed
        remove_stale_folders(tempfile.gettempdir())
        self._folder = tempfile.mkdtemp(prefix=f"allyarm-sim-{os.getpid()}-")
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
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "PYTHONPATH": PACKAGES})
        keep_apart(self._process.pid)
        self._preferred = False

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
        if not os.path.exists(self.link):
            return ""
        if not self._preferred:
            self._preferred = True
            prefer(self._process.pid)
        return self.link

    def close(self) -> None:
        """End the simulator and remove its files."""
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
