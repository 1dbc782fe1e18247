"""The controller does not get slower or larger by updates: nothing of them is loaded before somebody asks for one."""

from __future__ import annotations

import subprocess
import sys


def test_nothing_heavy_is_loaded_with_the_controller() -> None:
    code = ("import sys, controller.hmi.server, controller.hmi.service, controller.app\n"
            "print(*(name for name in sys.modules if name.split('.')[0] in {'tuf', 'securesystemslib', "
            "'cryptography'} or name.startswith('controller.update.')))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"controller.update.announced", "controller.update.places"}
