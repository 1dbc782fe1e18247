"""`allyarm run` on the simulated arm, the example program in a process of its own, a real client as the operator."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.external import ConnectError, ExternalProgram
from tests.program import ROOT, Client, Program, running, wait_for

# see tests/sim/test_program.py: only what the pseudo-terminal of a busy machine does is tried again
pytestmark = pytest.mark.flaky(reruns=2, only_rerun=["Lost bus communication", "Contacts open with enable"])
ON = "[external]\nenabled = true\nheartbeat_ms = 200\n[bus]\nsilence_ms = 100\n"


def controller(folder: Path, text: str) -> Any:
    (folder / "allyarm.toml").write_text(text)
    return running("--config", str(folder / "allyarm.toml"), folder=folder)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with controller(tmp_path, ON) as found:
        found.until(lambda s: s["state"] == "WAITING")
        yield found


def example(program: Program, *arguments: str) -> subprocess.Popen[str]:
    path = program.line(r"external development: programs connect to (\S+)")[1]
    assert path == program.status()["link"]["external_path"]
    return example_at(path, *arguments)


def example_at(path: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "examples/external_sine.py", "--socket", path, *arguments], cwd=ROOT,
                            env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_the_example_moves_the_arm_and_gives_it_back(program: Program) -> None:
    client = Client(program.address)
    refused = client.send(type="mode", mode=8)
    assert not refused["ok"]
    assert "no program for external development is connected" in refused["error"]["message"]

    sine = example(program, "--amplitude", "20", "--frequency", "0.5", "--duration", "5")
    try:
        beating = program.until(lambda s: s["external_phase"] == "BEATING")
        assert beating["link"]["external_program"] == sine.pid
        assert not beating["motor_power"], "a program alone starts nothing"
        start = [axis["position_deg"] for axis in beating["axis"]]
        assert client.send(type="mode", mode=8)["ok"]
        program.until(lambda s: s["mode"] == "EXTERNAL_DEVELOPER_AUTO")
        seen: list[list[float]] = []

        def done() -> bool:
            status = program.status()
            assert not status["faults"], status["faults"]
            seen.append([axis["position_deg"] - deg for axis, deg in zip(status["axis"], start, strict=True)])
            return sine.poll() is not None

        wait_for(done, 20.0, lambda: f"the example does not end\n{program.output}")
        for axis in range(4):       # two swings and a half: up to 20 degrees, back, and never beyond
            way = [row[axis] for row in seen]
            assert max(way) == pytest.approx(20.0, abs=1.0)
            assert min(way) > -1.0
        output = sine.communicate()[0]
        assert sine.returncode == 0, output
        assert "waiting for an operator" in output
        end = program.until(lambda s: s["mode"] == "STAND_STILL")
        assert (end["state"], end["faults"], end["external_rejected"]) == ("AUTO", [], 0)
        program.until(lambda s: s["external_phase"] == "NONE" and s["link"]["external_program"] == 0)
        kept = str(program.get("/history?limit=100"))
        assert f"external program {sine.pid} connected" in kept
        assert f"external program {sine.pid} has ended" in kept
    finally:
        sine.kill()
        sine.wait()
    client.close()
    assert program.stop() == 0
    assert not Path(program.folder / "external").exists()


def test_saf_4_when_the_operator_s_client_goes_the_program_s_motion_ends_softly(program: Program) -> None:
    client = Client(program.address)
    sine = example(program, "--amplitude", "20")
    try:
        program.until(lambda s: s["external_phase"] == "BEATING")
        assert client.send(type="mode", mode=8)["ok"]
        program.until(lambda s: s["external_phase"] == "ADMITTED" and any(axis["moving"] for axis in s["axis"]))
        client.close()
        end = program.until(lambda s: not any(axis["moving"] for axis in s["axis"]))
        assert (end["external_phase"], end["faults"]) == ("BEATING", [])
        assert end["motor_power"]
    finally:
        sine.kill()
        sine.wait()


def test_a_program_is_told_when_the_controller_ends(program: Program) -> None:
    sine = example(program)
    program.until(lambda s: s["external_phase"] == "BEATING")
    assert program.stop() == 0
    output = sine.communicate(timeout=10)[0]
    assert sine.returncode == 1
    assert output.strip().split("\n")[1:] == [     # one line, no traceback
        "external_sine: the controller has ended or closed the connection: connect anew"]
    late = example_at(str(program.folder / "external"))
    output = late.communicate(timeout=10)[0]
    assert (late.returncode, output.count("\n")) == (1, 1)
    assert output.startswith("external_sine: no controller")


def test_off_by_default_and_says_how_to_switch_it_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with controller(tmp_path, "") as program:
        program.until(lambda s: s["state"] == "WAITING")
        assert program.status()["link"]["external_path"] == ""
        client = Client(program.address)
        answer = client.send(type="mode", mode=8)
        assert "external development is switched off (external.enabled" in answer["error"]["message"]
        client.close()
        monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
        with pytest.raises(ConnectError, match=r"\[external\] enabled = true"):
            ExternalProgram.connect()
