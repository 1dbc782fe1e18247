"""Every row of the catalogue is provoked, or listed with the reason why it cannot be (spec/faults_unraised.py), in both
directions. A code of the core or of a drive goes the whole way: simulated board, telegrams, core, record, fault list.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from controller._core import State
from controller.hmi.faultlist import Active, FaultList
from controller.spec import faults_it
from controller.spec.faults import BY_NAME, ERRORS, WARNINGS, Fault, Language
from controller.spec.faults_unraised import UNRAISED
from controller.spec.modes import CommandKind
from tests.virtual_arm import VirtualArm

ROOT = Path(__file__).resolve().parents[2]


class ListedArm(VirtualArm):
    """A virtual arm whose every record goes through a fault list; `seen` keeps all that was ever in it."""

    def __init__(self, axes: int = 2, *, language: Language = "en", **board: Any) -> None:
        self.seen: dict[tuple[bool, int, int, str], Active] = {}
        self.list = FaultList(language)
        super().__init__(axes, **board)

    def cycle(self) -> State:
        state = super().cycle()
        self.list.follow(state)
        for item in (*self.list.errors, *self.list.warnings):
            self.seen[item.warning, item.code, item.axis, item.source] = item
        return state


Recipe = Callable[[Language], tuple[ListedArm, int]]     # -> the arm, and the axis (1-based, 0 the master) of the row


def faulty(name: str, axis: int = 0, *, axes: int = 2, start: bool = True, seconds: float = 0.3, lasting: float = 0.0,
           also: tuple[str, ...] = (), code_axis: int | None = None, board: dict[str, float] | None = None,
           **parameters: float) -> Recipe:
    """A fault of the simulated board, in AUTO (`start`) or WAITING."""
    def provoke(language: Language) -> tuple[ListedArm, int]:
        arm = ListedArm(axes, language=language, **(board or {}))
        if start:
            arm.auto()
            arm.run(0.3)
        else:
            arm.waiting()
        for each in also:
            arm.board.set_fault(each)
        given = {**parameters, **({"axis": axis} if axis else {}), **({"seconds": lasting} if lasting else {})}
        arm.board.set_fault(name, **given)
        arm.run(seconds)
        return arm, axis if code_axis is None else code_axis

    return provoke


def from_the_start(*names: str) -> Recipe:
    def provoke(language: Language) -> tuple[ListedArm, int]:
        arm = ListedArm(language=language)
        for name in names:
            arm.board.set_fault(name)
        arm.run(0.3)
        return arm, 0

    return provoke


def after_start(name: str, seconds: float = 0.5) -> Recipe:
    """A fault that shows when the operator starts."""
    def provoke(language: Language) -> tuple[ListedArm, int]:
        arm = ListedArm(language=language)
        arm.waiting()
        arm.push(CommandKind.START)
        arm.cycle()
        arm.board.set_fault(name)
        arm.run(seconds)
        return arm, 0

    return provoke


def welded_when_off(language: Language) -> tuple[ListedArm, int]:
    arm = ListedArm(language=language)
    arm.auto()
    arm.board.set_fault("welded_relay")
    arm.push(CommandKind.OFF)
    arm.run(0.5)
    return arm, 0


def outside_its_range(sign: int) -> Recipe:
    def provoke(language: Language) -> tuple[ListedArm, int]:
        arm = ListedArm(language=language, gravity_scale=0.0)
        arm.auto()
        at = arm.cycle().position_deg
        arm.push(CommandKind.ROM_MINIMUM, [deg - 0.5 for deg in at])
        arm.push(CommandKind.ROM_MAXIMUM, [deg + 0.5 for deg in at])
        arm.push(CommandKind.ROM_ENABLE, mask=3)
        arm.run(0.3)
        two_deg = arm.facts.counts(0, 2.0) - arm.facts.counts(0, 0.0)
        arm.board.set_fault("sensor_jump", axis=1, counts=sign * two_deg)
        arm.run(0.1)
        return arm, 1

    return provoke


def pushed_at_a_limit(language: Language) -> tuple[ListedArm, int]:
    arm = ListedArm(1, language=language, start_deg=[118.5], gravity_scale=0.0)
    arm.auto()
    arm.board.set_fault("drift", axis=1, speed_deg_s=58.0)
    arm.run(0.1)
    return arm, 1


def blocked(language: Language) -> tuple[ListedArm, int]:
    arm = ListedArm(language=language)
    arm.auto()
    arm.move(80.0, 60.0)
    arm.until(lambda s: s.setpoint_speed_deg_s[0] > 30.0)
    arm.board.set_fault("blocked", axis=1)
    arm.run(0.5)
    return arm, 1


def stalled(language: Language) -> tuple[ListedArm, int]:
    arm = ListedArm(language=language)
    arm.auto()
    arm.run(0.3)
    arm.now_ns += 55_000_000
    arm.run(0.01)
    return arm, 0


def jogged_into_a_limit(language: Language) -> tuple[ListedArm, int]:
    arm = ListedArm(1, language=language)
    arm.auto()
    for _ in range(40):
        arm.jog(100.0)
        arm.run(0.1)
    return arm, 1


def no_way(name: str) -> Recipe:
    """Every joint may turn by a degree, and the hand is to go far: the joints that stand in the way are named."""
    def provoke(language: Language) -> tuple[ListedArm, int]:
        arm = ListedArm(4, language=language, gravity_scale=0.0)
        arm.auto()
        at = arm.cycle()
        arm.push(CommandKind.ROM_MINIMUM, [deg - 1.0 for deg in at.position_deg])
        arm.push(CommandKind.ROM_MAXIMUM, [deg + 1.0 for deg in at.position_deg])
        arm.push(CommandKind.ROM_ENABLE, mask=15)
        arm.run(0.1)
        for way in product((0.0, -60.0, 60.0), repeat=3):
            to = [part + step for part, step in zip((at.hand_x_mm, at.hand_y_mm, at.hand_z_mm), way, strict=True)]
            arm.push(CommandKind.HAND_MOVE, to, mask=7, value=100.0)
            arm.run(0.25)
            if (True, BY_NAME[name].code, 0, "master") in arm.seen:
                return arm, 0
        raise AssertionError(f"no move of the hand was refused with {name}: {sorted(arm.seen)}")

    return provoke


def pushed_in_a_motion(fault: str, counts: float) -> Recipe:
    def provoke(language: Language) -> tuple[ListedArm, int]:
        arm = ListedArm(language=language)
        arm.auto()
        arm.move(80.0, 60.0)
        arm.run(0.3)
        arm.board.set_fault(fault, axis=1, counts=counts)
        arm.run(0.2)
        return arm, 1

    return provoke


def hand_move(*values: float, mask: int = 7, axes: int = 4) -> Recipe:
    def provoke(language: Language) -> tuple[ListedArm, int]:
        arm = ListedArm(axes, language=language)
        arm.auto()
        arm.push(CommandKind.HAND_MOVE, values, mask=mask, value=100.0)
        arm.run(0.5)
        return arm, 0

    return provoke


def hand_jogged_out_of_reach(language: Language) -> tuple[ListedArm, int]:
    arm = ListedArm(4, language=language)
    arm.auto()
    for _ in range(30):
        arm.push(CommandKind.HAND_JOG, [100.0, 0.0, 0.0])
        arm.run(0.1)
    return arm, 0


def held_at_the_hand_over(language: Language) -> tuple[ListedArm, int]:
    arm = ListedArm(language=language)
    arm.auto()
    arm.board.set_fault("outside_torque", axis=1, counts=60)
    arm.push(CommandKind.COMPLIANT, mask=1)
    arm.run(0.5)
    return arm, 1


def too_slow(language: Language) -> tuple[ListedArm, int]:
    """Every tenth cycle takes two periods, for a second."""
    arm = ListedArm(language=language)
    arm.auto()
    for number in range(1000):
        arm.cycle()
        arm.now_ns += arm.period_ns * (number % 10 == 0)
    return arm, 0


def drive(row: Fault) -> Recipe:
    """The drive's own code, reported in its telegrams."""
    name = "drive_warning" if row.warning else "drive_error"
    return faulty(name, 2, start=False, seconds=0.05, code=row.code)


RECIPES: dict[str, Recipe] = {
    "BUS_LOST": faulty("silence"), "BATTERY_LOW": faulty("low_battery", mv=18000, seconds=6.0),
    "DRIVE_ERROR": faulty("drive_error", 2, code=3), "DRIVE_LOST": faulty("not_connected", 2),
    "DRIVE_SETUP": faulty("setup_needed", 2), "DRIVE_SETUP_BEYOND_5": faulty("setup_needed", 7, axes=8),
    "ESM_ENABLE_AT_START": from_the_start("enable_stuck"), "ESM_CONTACTS_AT_START": from_the_start("welded_relay"),
    "ESM_START_REPEATED": from_the_start("welded_relay"), "ESM_CONTACTS_CLOSED": welded_when_off,
    "ESM_BUTTON_CONTACTS": faulty("button", also=("welded_relay", "enable_stuck")),
    "ESM_CONTACTS_OPEN": faulty("relay_stuck_open"), "ESM_BUTTON": faulty("button"),
    "ESS_HARD_MINIMUM": faulty("drift", 1, start=False, speed_deg_s=-100.0, seconds=2.0, lasting=1.5,
                               board={"gravity_scale": 0.0}),
    "ESS_HARD_MAXIMUM": faulty("drift", 1, start=False, speed_deg_s=100.0, seconds=2.0, lasting=1.5,
                               board={"gravity_scale": 0.0}),
    "ESS_ROM_MINIMUM": outside_its_range(-1), "ESS_ROM_MAXIMUM": outside_its_range(1),
    "ESS_OVERSPEED": faulty("drift", 1, speed_deg_s=90.0, board={
        "speed_limit_deg_s": 200.0, "acceleration_limit_deg_s2": 1e5}),
    "ESS_CANNOT_STOP": pushed_at_a_limit,
    "ESS_STANDSTILL": faulty("drift", 2, speed_deg_s=1.0, seconds=4.0),
    "ESS_FOLLOWING": blocked, "DEADLINES_MISSED": stalled,
    "DRIVES_NOT_READY": after_start("drive_waiting", 1.5),
    "RELAY_NOT_CLOSING": after_start("relay_stuck_open"), "RELAY_NOT_OPENING": after_start("welded_relay"),
    "BATTERY_HIGH": faulty("high_battery", mv=30000, seconds=6.0), "LIMIT_BRAKE": jogged_into_a_limit,
    "CYCLE_TIME": too_slow,
    **{name: no_way(name) for name in ("IK_LIMIT_1", "IK_LIMIT_2", *(
        f"IK_JOINT_{n}_{end}" for n in (1, 2, 3) for end in ("MAXIMUM", "MINIMUM")))},
    "IK_LIMIT_3": hand_move(420.0, -140.0, -370.0, 0.0, 100.0, mask=23, axes=5),
    "ARM_LENGTH_MAXIMUM_TARGET": hand_move(900.0, 0.0, 0.0), "ARM_LENGTH_MINIMUM": hand_move(0.0, 0.0, -10.0),
    "ARM_LENGTH_MAXIMUM": hand_jogged_out_of_reach,
    "CONTACT": pushed_in_a_motion("outside_torque", -600), "COMPLIANT_LOAD": held_at_the_hand_over,
    "TORQUE_SENSOR": pushed_in_a_motion("torque_offset", 65535),
    **{row.name: drive(row) for row in (*ERRORS, *WARNINGS) if row.source == "drive"},
}
# What the HMI's thread raises needs a server, a folder and a disk; an external program's errors need a program.
# do that.
ELSEWHERE: dict[str, str] = {
    "LOG_READ": "tests/hmi/test_hmi_own_faults.py::test_code_50_the_history_cannot_be_read",
    "LOG_DELETE": "tests/hmi/test_hmi_own_faults.py::test_code_51_old_entries_cannot_be_deleted",
    "ADDRESS_UNKNOWN": "tests/hmi/test_hmi_own_faults.py::test_codes_52_53_no_network_address",
    "ADDRESS_FAILED": "tests/hmi/test_hmi_own_faults.py::test_codes_52_53_no_network_address",
    "REGISTER_WRITE": "tests/hmi/test_hmi_own_faults.py::test_code_57_a_setting_that_cannot_be_saved",
    "REGISTER_SEND": "tests/hmi/test_hmi_own_faults.py::test_code_58_a_setting_that_the_arm_does_not_take",
    "FILE_UNOPENED": "tests/hmi/test_hung_disk.py::test_code_640_settings_that_do_not_open_at_the_start",
    "FILE_UNREADABLE": "tests/hmi/test_hmi_own_faults.py::test_code_72_settings_that_were_set_aside",
    "EXTERNAL_SILENT":
        "tests/external/test_external_cycle.py::test_saf_3_saf_10_error_630_a_missed_heartbeat_is_a_soft_stop",
    "EXTERNAL_TARGET":
        "tests/external/test_external_cycle.py::test_saf_9_error_631_nonsense_of_an_admitted_program_ends_its_motion",
    "SPEED_ZERO": "tests/hmi/test_hmi_own_faults.py::test_warning_136_a_speed_limit_of_zero",
}


def test_every_row_is_provoked_or_has_a_reason() -> None:
    homes = [*RECIPES, *ELSEWHERE, *UNRAISED]
    assert sorted(homes) == sorted(BY_NAME), set(homes) ^ set(BY_NAME)      # each once, none missing, none stale
    assert all(len(reason) > 20 for reason in UNRAISED.values())


@pytest.mark.parametrize("name", RECIPES)
def test_code(name: str) -> None:
    row = BY_NAME[name]
    arm, axis = RECIPES[name]("en")
    source = "drive" if row.source == "drive" else "master"
    code = row.code + axis * row.per_axis
    assert (row.warning, code, axis, source) in arm.seen, f"{code} of {axis} in {sorted(arm.seen)}"
    found = arm.seen[row.warning, code, axis, source]
    assert found.texts == (row.message, row.description, row.cause, row.solution)
    assert found.category == row.category


@pytest.mark.parametrize("name", ["ESM_BUTTON", "DRIVE_LOST", "DRIVE_SLOWED_MAXIMUM"])
def test_code_in_italian(name: str) -> None:
    arm, axis = RECIPES[name]("it")
    row = BY_NAME[name]
    texts = [item.texts for item in arm.seen.values() if item.code == row.code + axis * row.per_axis]
    assert (faults_it.WARNINGS if row.warning else faults_it.ERRORS)[name] in texts


def _tests_of(path: Path) -> Iterator[str]:
    for item in ast.walk(ast.parse(path.read_text())):
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and item.name.startswith("test_"):
            yield item.name


def test_the_tests_named_elsewhere_exist() -> None:
    for name, node in ELSEWHERE.items():
        path, _, test = node.partition("::")
        assert test in _tests_of(ROOT / path), f"{name}: no test {node}"
        assert str(BY_NAME[name].code + BY_NAME[name].per_axis) in test
