"""The two HMI servers under comparison, each in its own process: ours (the whole controller) and Node's socket.io."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from benchmarks.arm_process import ArmProcess
from benchmarks.machine import cpu_ns, other_cpus, require_node

NODE = Path(__file__).resolve().parent / "node"
READY_S = 20.0


def free_port() -> int:
    """A TCP port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def status(port: int) -> dict[str, Any] | None:
    """/status.json of our server, None while it does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2.0)
    try:
        connection.request("GET", "/status.json")
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def wait_ready(port: int, process: subprocess.Popen[Any]) -> dict[str, Any]:
    """The status once the arm is WAITING, ready to move."""
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.poll() is None:
        found = status(port)
        if found is not None and found["state"] == "WAITING":
            return found
        time.sleep(0.05)
    raise RuntimeError(f"the controller was not ready within {READY_S:g} s (exit code {process.poll()})")


def install_node_packages() -> None:
    """npm ci, once: again when the lock file is newer than what is installed."""
    require_node()
    installed, lock = NODE / "node_modules" / ".package-lock.json", NODE / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    print("installing the Node peer (npm ci, once)", file=sys.stderr)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=NODE, check=True)
    installed.touch()


def end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Ours:
    """`allyarm run` as benchmarks.hmi_program, on a simulated arm of its own; a context manager."""

    name = "AllyArm"

    def __init__(self, rate_hz: int, axes: int) -> None:
        self._rate_hz, self._arm = rate_hz, ArmProcess(axes)

    def __enter__(self) -> Ours:
        self._arm.__enter__()
        self._folder = tempfile.mkdtemp(prefix="allyarm-bench-")
        config = Path(self._folder) / "bench.toml"
        # a busy machine must not look like a broken cable: neither the arm's process nor the pty is real time
        config.write_text(f"[hmi]\nrate_hz = {self._rate_hz}\n[bus]\nsilence_ms = 90\n")
        self.port = free_port()
        reading, writing = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.hmi_program", str(writing), "run", "--config", str(config), "--hmi-port",
             str(self.port), "--bus-port", self._arm.port], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, pass_fds=[writing], text=True, env=environment(self._folder))
        os.close(writing)
        self._door: IO[str] = os.fdopen(reading)
        wait_ready(self.port, self.process)
        self._control = int(self._ask("thread"))
        return self

    def __exit__(self, *_: object) -> None:
        end(self.process)
        self._door.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._arm.__exit__()

    def cpu_ns(self) -> int:
        """CPU time of the server and all else in the process but the control thread."""
        return cpu_ns(self.process.pid, self._control)

    def stamps(self) -> list[int]:
        """Times at which `data` was begun to be sent since the last call."""
        found: list[int] = self._ask("stamps")
        return found

    def stops(self) -> list[tuple[int, int]]:
        """(arrival in the process, end of the cycle that acted on it) in ns of every stop since the first call."""
        found: list[tuple[int, int]] = self._ask("stops")
        return found

    def lateness_ns(self, seconds: float) -> list[int]:
        """Lateness of every cycle of the control thread for so long."""
        found: list[int] = self._ask(f"lateness {seconds}")
        return found

    def _ask(self, line: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self._door.readline())


class Node:
    """node/server.cjs with our payload, on the processors that ours uses; a context manager."""

    name = "Node socket.io"

    def __init__(self, rate_hz: int, payload: object) -> None:
        self._rate_hz, self._payload = rate_hz, payload

    def __enter__(self) -> Node:
        install_node_packages()
        self._file = tempfile.NamedTemporaryFile("w", suffix=".json")
        json.dump(self._payload, self._file)
        self._file.flush()
        self.process = subprocess.Popen(
            [require_node(), str(NODE / "server.cjs"), str(self._rate_hz), self._file.name], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env={**os.environ, "NODE_ENV": "production"})
        os.sched_setaffinity(self.process.pid, other_cpus())    # before it has other threads: they inherit it
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        end(self.process)
        self._file.close()

    def cpu_ns(self) -> int:
        """CPU time of the whole process."""
        return cpu_ns(self.process.pid)

    def stamps(self) -> list[int]:
        """Times at which `data` was begun to be sent since the last call."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        found: list[int] = json.loads(self.process.stdout.readline())
        return found


def environment(state_folder: str) -> dict[str, str]:
    """Environment of a controller that leaves the user's settings alone."""
    return {**os.environ, "STATE_DIRECTORY": state_folder}


class Clients:
    """benchmarks.hmi_clients against a port, in steps, so that the caller can measure meanwhile."""

    def __init__(self, port: int, count: int, seconds: float, cpus: set[int]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.hmi_clients", str(port), str(count), str(seconds),
             ",".join(str(cpu) for cpu in sorted(cpus))], stdout=subprocess.PIPE, text=True)

    def until(self, word: str) -> None:
        """Wait for "go" or "done"."""
        if (line := self._line()) != word:
            raise RuntimeError(f"benchmarks.hmi_clients said {line!r} instead of {word!r}")

    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._line())
        self._process.wait()
        return found

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"benchmarks.hmi_clients ended with code {self._process.wait()}")
        return line
