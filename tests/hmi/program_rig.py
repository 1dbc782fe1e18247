"""The whole program on its simulated arm with the face of a Rig: state by HTTP, board by the control socket."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from controller.arm import ArmFacts
from controller.bus.serial import arm_facts
from controller.config import Config
from controller.hmi.state import CODES
from controller.sim._board import Board
from controller.spec import record, registers, telegram
from controller.spec.load import default_links
from controller.spec.modes import Blocker
from tests.hmi.rig import describe
from tests.program import Program, running

# The pseudo-terminal and the simulator may be held up by other processes for longer than a real line is.
CONFIG = "[bus]\nsilence_ms = 400\n[loop]\nrate_hz = 250\nmax_overruns_in_a_row = 1000\n"
INPUTS = {"button_closed": telegram.INPUT_BUTTON, "contacts_closed": telegram.INPUT_CONTACTS,
          "enable_seen": telegram.INPUT_ENABLE}


class SimulatorBoard:
    """Faults of the simulated arm, and how it really is."""

    def __init__(self, control: Path) -> None:
        self._control = control

    def _say(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5)
            connection.connect(str(self._control))
            connection.sendall(command.encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                answer += connection.recv(4096)
        text = answer.decode().strip()
        assert text.startswith(("ok", "{")), text
        return text.removeprefix("ok").strip()

    def set_fault(self, name: str, **parameters: float) -> None:
        self._say(" ".join(("fault", name, *(f"{key}={value}" for key, value in parameters.items()))))

    def clear_faults(self) -> None:
        self._say("clear")

    def truth(self) -> dict[str, Any]:
        return json.loads(self._say("state"))  # type: ignore[no-any-return]


class ProgramRig:
    """What the cases ask of a Rig."""

    def __init__(self, program: Program, control: Path, axes: int = 4) -> None:
        self.program, self.url = program, program.address
        self.board = SimulatorBoard(control)
        self.facts = facts_of(axes).with_margin(Config().motion.limit_margin_deg)
        self.until(lambda s: s.state == 1)

    def status(self) -> dict[str, Any]:
        return self.program.status()

    @property
    def state(self) -> Any:
        """The state record, made again from /status.json."""
        return as_record(self.status())

    def until(self, condition: Callable[[Any], bool], seconds: float = 20.0) -> Any:
        end_s = time.monotonic() + seconds
        while not condition(state := self.state):
            assert time.monotonic() < end_s, describe(state)
            time.sleep(0.02)
        return state


def as_record(status: dict[str, Any]) -> Any:
    """Fields of the record with their codes as numbers."""
    def code(name: str, value: Any) -> Any:
        return int(CODES[name][value]) if name in CODES and isinstance(value, str) else value

    found: dict[str, Any] = {}
    for row in record.FIELDS:
        if row.count == record.PER_AXIS:
            found[row.name] = tuple(code(row.name, axis[row.name]) for axis in status["axis"])
        elif row.name in status:
            found[row.name] = code(row.name, status[row.name])
    found["inputs"] = sum(bit for name, bit in INPUTS.items() if status["inputs"][name])
    found["blockers"] = sum(1 << item for item in Blocker if item.doc in status["blockers"])
    found["faults"] = tuple(item["code"] for item in status["faults"])
    found["fault_count"] = len(status["faults"])
    return SimpleNamespace(**found)


def facts_of(axes: int) -> ArmFacts:
    """The simulated arm as a bring-up finds it."""
    board = Board(axes, 1)
    addresses = [*registers.BRING_UP_ARM, *(a + i for a in registers.BRING_UP_AXIS for i in range(axes)),
                 *registers.BRING_UP_SPRING]
    found = {address: board.register(address) for address in addresses}
    return arm_facts(found, axes, [Config().limits(i).max_speed_deg_s for i in range(axes)])


def links(axes: int) -> str:
    """[[link]] tables of the simulated arm: on a port of its own it is an arm like any other."""
    return "".join(f'[[link]]\nmass_kg = {row.mass_kg}\ncentre_mm = {list(row.centre_mm)}\nlimb = "{row.limb}"\n'
                   f"inertia_kg_m2 = {row.inertia_kg_m2}\n"
                   f"torque_counts_per_nm = {row.torque_counts_per_nm}\n" for row in default_links(axes, "right"))


@contextlib.contextmanager
def program_rig(folder: Path) -> Iterator[ProgramRig]:
    """The program as a user starts it, on `allyarm sim` with a board whose watchdog is as patient."""
    config, link, control = folder / "allyarm.toml", folder / "arm", folder / "arm.ctl"
    config.write_text(CONFIG + links(4))
    if os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, -10)  # inherited by both
    simulator = subprocess.Popen(
        [sys.executable, "-m", "controller", "sim", "--link", str(link), "--control", str(control), "--axes", "4",
         "--seed", "1", "--set", "watchdog_ms=5000", "--set", "fallback_ms=10000"], stdout=subprocess.PIPE, text=True)
    try:
        assert simulator.stdout is not None
        assert simulator.stdout.readline().startswith("port")
        with running("--config", str(config), "--bus-port", str(link), folder=folder) as program:
            yield ProgramRig(program, control)
    finally:
        simulator.terminate()
        simulator.wait(10)
