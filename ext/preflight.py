"""What building the compiled core needs from the system, said before pip fails with a wall of text.

Runs with the bare system Python, before any environment exists: `python3 ext/preflight.py`.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.util import find_spec

PYTHONS = ((3, 11), (3, 13))
KERNEL_HEADER = "/usr/include/linux/input.h"  # where the build of evdev looks for it
PROGRAM = "#include <version>\n#include <atomic>\nstatic_assert(__cplusplus >= 202002L);\nint main() { return 0; }\n"


def compiler():
    """The C++ compiler that the build will use, or None."""
    named = os.environ.get("CXX", "").split()
    return next((path for name in [*named[:1], "g++", "c++", "clang++"] if (path := shutil.which(name))), None)


def speaks_cxx20(path):
    """Does the compiler compile and link a C++20 program?"""
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "probe.cpp")
        with open(source, "w") as file:
            file.write(PROGRAM)
        command = [path, "-std=c++20", source, "-o", os.path.join(folder, "probe")]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def problems():
    """(what is missing, Debian packages that bring it) for everything that is."""
    found = []
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        found.append((f"Python {sys.version.split()[0]} at {sys.executable}: 3.11, 3.12 or 3.13 is needed; name one "
                      "with `make run PYTHON=/path/to/python3.12`", "python3"))
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        found.append(("Python's venv module", "python3-venv"))
    if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
        found.append(("Python's C headers (Python.h)", "python3-dev"))
    path = compiler()
    if not os.path.exists(KERNEL_HEADER):
        found.append((f"the kernel's headers ({KERNEL_HEADER}, for input devices)", "linux-libc-dev"))
    if path is None:
        found.append(("a C++ compiler", "g++"))
    elif not speaks_cxx20(path):
        found.append((f"a compiler for C++20 ({path} is not one)", "g++"))
    return found


def main():
    found = problems()
    for what, _ in found:
        print(f"missing: {what}", file=sys.stderr)
    if found:
        packages = " ".join(dict.fromkeys(package for _, package in found))
        print(f"install what is missing with:\n  sudo apt-get install {packages}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
