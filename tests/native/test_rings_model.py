"""Every interleaving of both rings, by the model checker spin: exhaustive, never bit-state hashing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.native.toolchain import NATIVE, tool


def check(model: str, folder: Path, defines: dict[str, int], liveness: bool = False) -> tuple[int, int]:
    """(errors, states) of one exhaustive search; AssertionError when the search itself failed or was cut short."""
    spin = tool(["spin"], "spin")
    gcc = tool(["gcc", "cc"], "gcc")
    flags = [f"-D{name}={value}" for name, value in defines.items()]

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout

    run(spin, *flags, "-a", str(NATIVE / model))
    mode = ["-DNFAIR=4"] if liveness else ["-DSAFETY", "-DNOCLAIM"]
    run(gcc, "-O2", "-w", "-DMEMLIM=1500", *mode, "-o", "pan", "pan.c")
    output = run("./pan", "-m1000000", *(["-a", "-f"] if liveness else []))
    assert "max search depth too small" not in output, output
    assert "out of memory" not in output, output
    found = re.search(r"State-vector.*errors: (\d+)\n\s*(\d+) states, stored", output)
    assert found is not None, output
    errors, states = int(found[1]), int(found[2])
    assert ("assertion violated" in output) if errors else ("Search not completed" not in output), output
    return errors, states


@pytest.mark.timeout(300)
@pytest.mark.parametrize("capacity", [2, 4])
def test_command_ring(capacity: int, tmp_path: Path) -> None:
    errors, states = check("command_ring.pml", tmp_path, {"CAP": capacity})
    print(f"\ncommand ring, capacity {capacity}: {states} states")
    assert errors == 0
    assert states > 500  # the search did happen


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("capacity", "readers", "records"), [(2, 1, 8), (4, 1, 10), (2, 2, 4)])
def test_state_ring(capacity: int, readers: int, records: int, tmp_path: Path) -> None:
    errors, states = check("state_ring.pml", tmp_path, {"CAP": capacity, "READERS": readers, "N": records})
    print(f"\nstate ring, capacity {capacity}, {readers} readers, {records} records: {states} states")
    assert errors == 0
    assert states > 5000


@pytest.mark.timeout(300)
def test_state_ring_writer_never_waits(tmp_path: Path) -> None:
    errors, states = check("state_ring.pml", tmp_path, {"CAP": 2, "READERS": 1, "N": 6}, liveness=True)
    print(f"\nwriter never waits: {states} states")
    assert errors == 0
    assert states > 5000


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("model", "variant"), [("command_ring.pml", i) for i in range(1, 9)]
                         + [("state_ring.pml", i) for i in range(1, 14)])
def test_broken_variant_is_caught(model: str, variant: int, tmp_path: Path) -> None:
    """Each limit and each check of the headers is needed: without it the model checker finds a failing order."""
    errors, _ = check(model, tmp_path, {"BROKEN": variant})
    assert errors > 0
