"""The program as a user starts it: simulated arm, real client, move, stop, and a clean end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.spec import hmi
from tests.hmi.node_client import PACKAGES, NodeClient, node


@contextmanager
def program(folder: Path, config: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The program with this configuration, and the address it serves at."""
    file = folder / "allyarm.toml"
    file.write_text(config)
    process = subprocess.Popen(
        [sys.executable, "-m", "controller", "run", "--hmi-port", "0", "--config", str(file)], text=True,
        stdout=subprocess.PIPE, env={**os.environ, "STATE_DIRECTORY": str(folder), "PYTHONPATH": os.getcwd()})
    try:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found is not None
        yield process, found[0]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def without_errors(client: NodeClient, condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition; an error of the arm ends the wait, by its name."""
    until = time.monotonic() + seconds
    while True:
        errors = "; ".join(str(entry["message"]) for entry in client.data.get("errorTest", []))
        assert not errors, errors
        if condition():
            return
        assert time.monotonic() < until, f"not within {seconds} s: {client.data}"
        time.sleep(0.01)


# A simulated arm on a pseudo-terminal can be held up by a busy machine for longer than the 20 ms of a real line.
@pytest.mark.flaky(reruns=2, only_rerun=["Lost bus communication"])
def test_the_whole_program_as_it_is_delivered(tmp_path: Path) -> None:
    """Loop at 1 kHz and 20 ms of silence, the defaults."""
    with program(tmp_path, "") as (process, url), node(PACKAGES[1], url) as client:
        without_errors(client, lambda: client.data.get("axisNumberTest") == 4)
        time.sleep(hmi.REPLAY_WINDOW_S)
        answer = client.command("move", position_deg=[15, None, None, None])
        without_errors(client, lambda: answer == {"ok": True}, 0.5)
        without_errors(client, lambda: client.data["onTargetPosition"][5] == 1 and
                       abs(client.data["actualPositionDeg"][0] - 15) < 0.4)
        assert client.command("stop") == {"ok": True}
        without_errors(client, lambda: client.data["driverState"][5] == 1)
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0


def test_the_whole_program(tmp_path: Path) -> None:
    # Generous bus timeouts: this test is about the path through the program, and may share its processors.
    config = "[bus]\nsilence_ms = 400\n[loop]\nrate_hz = 250\nmax_overruns_in_a_row = 1000\n"
    with program(tmp_path, config) as (process, url):
        with node(PACKAGES[1], url) as client:
            client.emit("response", {"1": "1.7.8"})
            client.until(lambda: client.data.get("axisNumberTest") == 4)
            time.sleep(hmi.REPLAY_WINDOW_S)
            assert client.ask("response", {"4": 0, "50": "30", "53": 20}) == {"ok": True}
            client.until(lambda: client.data["onTargetPosition"][5] == 1 and
                         abs(client.data["actualPositionDeg"][0] - 30) < 0.4)
            assert abs(client.data["actualPositionDeg"][3] - 20) < 0.4
            assert client.ask("response", ["stop"]) == {"ok": True}
            client.until(lambda: client.data["driverState"][5] == 1)
            assert client.notices == []
            process.send_signal(signal.SIGINT)
            client.next("disconnect")
        assert process.wait(5) == 0
