"""Compiler and model checker for the native tests: found, or named with the command that installs them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

NATIVE = Path(__file__).resolve().parent
EXT = NATIVE.parents[1] / "ext"
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]


def tool(names: list[str], package: str) -> str:
    """Path of the first of these programs; AssertionError naming the package when there is none."""
    for name in names:
        if found := shutil.which(name):
            return found
    raise AssertionError(f"{' or '.join(names)} not found: apt-get install {package}")


def compiler() -> list[str]:
    """The C++ compiler as a command: CXX of the environment, else g++, else c++."""
    chosen = os.environ.get("CXX", "").split()
    return chosen if chosen else [tool(["g++", "c++"], "g++")]


def compile_cpp(source: Path, target: Path, flags: list[str], headers: Path = EXT) -> Path:
    """Compile one C++20 file with the project's warnings as errors; AssertionError carries what the compiler said."""
    command = [*compiler(), "-std=c++20", *WARNINGS, *flags, f"-I{headers}", str(source), "-o", str(target), "-pthread"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    return target
