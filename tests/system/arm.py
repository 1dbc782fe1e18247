"""A simulated arm on a machine, in a unit of its own: it outlives the controller, as a real one does."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.system.machine import Machine

# Patient: inside of a container the control thread gets no real-time scheduling, and the machine may be busy.
PATIENT = "[loop]\nrate_hz = 200\nmax_overruns_in_a_row = 1000\n[bus]\nsilence_ms = 300\n"
CONFIGURATION = f'{PATIENT}port = "/run/arm/line"\n'


class Arm:
    """`connect` before or after the controller was started."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def connect(self) -> None:
        self.machine.run("systemd-run", "--quiet", "--unit=arm", "--uid=allyarm", "--property=RuntimeDirectory=arm",
                         "--property=Nice=-15",
                         "/usr/bin/allyarm", "sim", "--link", "/run/arm/line", "--control", "/run/arm/control")

    def tell(self, command: str) -> str:
        """A command of `allyarm sim`, and its answer."""
        return self.machine.run("allyarm", "sim", "--send", "/run/arm/control", command).stdout

    def state(self) -> dict[str, Any]:
        found = re.search(r"ok (\{.*\})", self.tell("state"))
        assert found
        state: dict[str, Any] = json.loads(found[1])
        return state

    def until_waiting(self, seconds: float = 30.0) -> dict[str, Any]:
        """Connected, start checks good, motor power off."""
        def waiting() -> dict[str, Any] | None:
            code, body = self.machine.get("/status.json")
            state = json.loads(body) if code == 200 else {}
            return state if state.get("state") == "WAITING" and state["serial"] else None

        found = self.machine.until(waiting, seconds, "the arm was not connected")
        assert found["motor_power"] is False
        return found
