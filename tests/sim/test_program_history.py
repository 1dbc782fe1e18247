"""SAF-8 on the whole program: what happened before it was killed is in the history, who, what and when."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.program import ROOT, Client, Program, running

pytestmark = pytest.mark.flaky(reruns=2, only_rerun=["Lost bus communication", "Contacts open with enable"])


def history(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """`allyarm history --json` of a user beside the program."""
    done = subprocess.run([sys.executable, "-m", "controller", "history", "--json", "--limit", "1000", *arguments],
                          env={**os.environ, "STATE_DIRECTORY": str(folder), "PYTHONPATH": str(ROOT)}, check=True,
                          capture_output=True, text=True, timeout=30)
    return [json.loads(line) for line in done.stdout.splitlines()]


def do(program: Program, client: Client, **message: Any) -> None:
    """A command that has to be accepted; what the program said tells why it was not."""
    answer = client.send(**message)
    assert answer["ok"], f"{message}: {answer}\n{program.output}"


def test_saf_8_the_history_survives_a_kill(tmp_path: Path) -> None:
    with running(folder=tmp_path) as program:
        program.until(lambda s: s["state"] == "WAITING")
        client = Client(program.address)
        do(program, client, type="settings", write={"user_speed_percent.1": 80})
        do(program, client, type="move", position_deg=[20, 10, 5, -10])
        program.until(lambda s: s["motions_done"] == 1)
        do(program, client, type="visit")
        program.simulator("fault drive_error axis=2 code=3")
        program.until(lambda s: s["state"] == "ERROR")
        program.simulator("clear")
        program.until(lambda s: client.send(type="reset")["ok"])
        do(program, client, type="start")
        do(program, client, type="stop")
        program.until(lambda s: s["state"] == "WAITING")
        client.close()
        program.until(lambda s: s["hmi"]["clients"] == 0)
        written = program.status()["hmi"]["history_written"]
        assert program.until(lambda s: s["hmi"]["history_written"] >= written)["hmi"]["history_dropped"] == 0
        seen = history(tmp_path)        # beside the running program
        program.process.send_signal(signal.SIGKILL)
        program.process.wait(10)
    found = history(tmp_path)
    assert found[:len(seen)] == seen
    assert {entry["run"] for entry in found} == {1}
    kinds = {entry["kind"] for entry in found}
    assert kinds >= {"program", "client", "control", "settings", "start", "stop", "state", "mode", "error",
                     "error_cleared", "visit", "bus", "command"}
    at = {entry["text"]: entry for entry in found}
    who = {entry["who"] for entry in found if entry["who"]}
    assert who == {"client 1 (127.0.0.1)"}
    assert at["settings changed"]["detail"] == {"user_speed_percent.1": [None, 80.0]}
    assert at["took control"]["who"] == at["no longer has control"]["who"] == "client 1 (127.0.0.1)"
    drive, = [entry for entry in found if entry["kind"] == "error" and entry["code"] == 3]
    master, = [entry for entry in found if entry["kind"] == "error" and entry["code"] == 102]
    assert (drive["axis"], master["axis"]) == (2, 2)
    assert [entry["text"] for entry in found if entry["kind"] == "stop"]
    order = [entry["monotonic_ns"] for entry in found if entry["kind"] == "state"]
    assert order == sorted(order)
    assert all(abs(entry["time_s"] - found[0]["time_s"]) < 600 for entry in found)
    # The next run goes on behind it, and ends in order.
    with running(folder=tmp_path) as program:
        program.until(lambda s: s["state"] == "WAITING")
        assert program.stop() == 0
    after = history(tmp_path)
    assert after[:len(found)] == found
    last_run = [entry for entry in after if entry["run"] == 2]
    assert last_run[0]["text"].endswith("started")
    assert last_run[-1]["text"] == "allyarm ends: a signal"
    assert [entry["code"] for entry in history(tmp_path, "--errors", "--limit", "10")][:2] in ([3, 102], [102, 3])
