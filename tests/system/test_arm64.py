"""The arm64 release under qemu-user, with Debian's own arm64 Python. Only with ALLYARM_ARM64=1: it cross compiles first
(about two minutes, and 200 MB of compilers), which an ordinary CI run has no time for. `make test-arm64`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.system.machine import ROOT

pytestmark = [pytest.mark.skipif(os.environ.get("ALLYARM_ARM64") != "1",
                                 reason="opt-in: ALLYARM_ARM64=1 (cross compiles)"),
              pytest.mark.timeout(900)]
# What /usr/bin/python3.11 of Debian 12 loads.
RUNTIME = ["python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libstdc++6", "libgcc-s1",
           "gcc-12-base", "zlib1g", "libexpat1", "libssl3", "libffi8", "libsqlite3-0", "libbz2-1.0", "liblzma5",
           "libuuid1"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command line of the release's `allyarm` on an arm64 processor."""
    qemu = shutil.which("qemu-aarch64-static")
    assert qemu, "apt-get install qemu-user-static"
    from target import Target

    root, output = tmp_path_factory.mktemp("arm64"), tmp_path_factory.mktemp("package")
    Target("arm64", "3.11").unpack(RUNTIME, root)
    subprocess.run([sys.executable, "packaging/deb.py", "--quick", "--architecture", "arm64", "--output", str(output)],
                   cwd=ROOT, check=True)
    (package,) = output.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
    return [qemu, "-L", str(root), "-E", f"PYTHONHOME={root}/usr", str(root / "usr/bin/python3.11"), "-S",
            str(root / "usr/lib/allyarm/bin/allyarm")]


def test_it_runs(program: list[str]) -> None:
    done = subprocess.run([*program, "--version"], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("allyarm 0.1.0\n", "")


def test_it_checks_a_configuration(program: list[str]) -> None:
    done = subprocess.run([*program, "check", str(ROOT / "systemd/allyarm.toml")], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert "allyarm.toml: good" in done.stdout


def test_the_core_runs_its_loop(program: list[str]) -> None:
    """`doctor --measure` runs the compiled control thread; how late it is under emulation means nothing."""
    done = subprocess.run([*program, "doctor", "--measure", "0.5", "--json"], capture_output=True, text=True,
                          check=False)
    assert done.returncode in (0, 1), done.stderr
    (found,) = (row for row in json.loads(done.stdout)["findings"] if row["name"] == "wake-up lateness")
    assert int(found["found"].split(" in ")[1].split()[0]) > 10
