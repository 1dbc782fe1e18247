"""The program as a user starts it: simulated arm, real client, move, stop, and a clean end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from controller.spec import hmi
from tests.hmi.node_client import PACKAGES, node


def test_the_whole_program(tmp_path: Path) -> None:
    # Generous bus timeouts: this test is about the path through the program, and may share its processors.
    config = tmp_path / "allyarm.toml"
    config.write_text("[bus]\nsilence_ms = 400\n[loop]\nrate_hz = 250\nmax_overruns_in_a_row = 1000\n")
    program = subprocess.Popen(
        [sys.executable, "-m", "controller", "run", "--hmi-port", "0", "--config", str(config)], text=True,
        stdout=subprocess.PIPE, env={**os.environ, "STATE_DIRECTORY": str(tmp_path), "PYTHONPATH": os.getcwd()})
    try:
        assert program.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", program.stdout.readline())
        assert found is not None
        with node(PACKAGES[1], found[0]) as client:
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
            program.send_signal(signal.SIGINT)
            client.next("disconnect")
        assert program.wait(5) == 0
    finally:
        if program.poll() is None:
            program.kill()
            program.wait()
