"""What is listed as active: latched errors, withdrawn warnings, our own faults, and what the history is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from controller.hmi.faultlist import Active, FaultList
from controller.hmi.state import empty_state
from controller.spec import faults, faults_it
from controller.spec.modes import CommandKind, MasterState
from tests.virtual_arm import VirtualArm


def state(*words: int, axes: int = 2, **changes: Any) -> Any:
    made = empty_state(axes)
    assert isinstance(made, SimpleNamespace)
    made.faults, made.fault_count = (*words, *(0,) * (16 - len(words))), len(words)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def word(code: int, axis: int = 0, category: int = 0, *, warning: bool = False) -> int:
    return code | axis << 16 | category << 24 | warning << 31


class Told:
    """A list with all that it tells."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []
        self.list = FaultList(changed=self._changed)

    def _changed(self, fault: Active, raised: bool) -> None:
        self.told.append(("+" if raised else "-", fault.code, fault.axis))

    def errors(self, record: Any) -> list[tuple[int, int]]:
        self.list.follow(record)
        return [(item.code, item.axis) for item in self.list.errors]

    def warnings(self, record: Any) -> list[tuple[int, int]]:
        self.list.follow(record)
        return [(item.code, item.axis) for item in self.list.warnings]


def test_a_drives_error_stays_as_long_as_the_error_that_refers_to_it() -> None:
    bench = Told()
    assert bench.errors(state(error_code=(0, 3))) == [(3, 2)]       # the drive is first
    assert sorted(bench.errors(state(word(102, 2, 1), error_code=(0, 3)))) == [(3, 2), (102, 2)]
    assert sorted(bench.errors(state(word(102, 2, 1)))) == [(3, 2), (102, 2)]
    assert sorted(bench.errors(state(word(102, 2, 1), error_code=(0, 9)))) == [(3, 2), (9, 2), (102, 2)]
    assert sorted(bench.errors(state(word(101, 1, 1)))) == [(101, 1)]       # of another axis
    assert bench.errors(state()) == []
    assert bench.told == [("+", 3, 2), ("+", 9, 2), ("-", 3, 2), ("-", 9, 2)]


def test_a_drives_error_that_the_master_did_not_take_goes_with_its_code() -> None:
    bench = Told()
    assert bench.errors(state(error_code=(7, 0))) == [(7, 1)]
    assert bench.errors(state()) == []


@pytest.mark.parametrize(("codes", "seen"), [
    ((1, 3, 16_001, 4, 16_099, 0), [[1], [1, 3], [3], [3, 4], [3, 4], []]),
    ((16_001, 1, 1, 16_001), [[], [1], [1], []]),
    ((7, 16_007, 7), [[7], [], [7]]),
    ((15_999, 31_999), [[15_999], []]),
    ((5, 16_000), [[5], [5]]),      # withdraws the warning 0, which there is not
])
def test_withdrawal_of_warnings(codes: tuple[int, ...], seen: list[list[int]]) -> None:
    bench = Told()
    found = []
    for code in codes:
        listed = bench.warnings(state(warning_code=(2, code)))
        assert (2, 1) in listed     # the other axis keeps its own
        found.append(sorted(number for number, axis in listed if axis == 2))
    assert found == seen


def test_all_warnings_of_an_axis_are_withdrawn_by_zero() -> None:
    bench = Told()
    for code in (1, 2, 3):
        bench.list.follow(state(warning_code=(code, code)))
    assert sorted(bench.warnings(state(warning_code=(0, 3)))) == [(1, 2), (2, 2), (3, 2)]
    assert bench.list.drive_warning(0) == 0
    assert bench.list.drive_warning(1) == 3
    assert {item[2] for item in bench.told if item[0] == "-"} == {1}


def test_the_core_tells_its_own_faults() -> None:
    bench = Told()
    bench.list.follow(state(word(296), word(401, 2, 3, warning=True)))
    bench.list.follow(state())
    assert bench.told == []


def test_own_faults_come_and_go_once() -> None:
    bench = Told()
    for present in (True, True, False, False):
        bench.list.own("REGISTER_WRITE", present)
    bench.list.own("SPEED_ZERO", True, 2)
    assert bench.told == [("+", 57, 0), ("-", 57, 0), ("+", 137, 2)]
    assert bench.warnings(state(word(137, 2, 3, warning=True))) == [(137, 2)]       # the core finds it as well
    bench.list.own("SPEED_ZERO", False, 2)
    assert bench.warnings(state()) == []


def test_the_gravest_error_is_first_in_either_language() -> None:
    for language, texts in (("en", None), ("it", faults_it.ERRORS["ESM_BUTTON"])):
        found = FaultList(language)  # type: ignore[arg-type]
        found.own("ADDRESS_UNKNOWN", True)
        found.follow(state(word(30, 0, 2), word(110, 2, 1), word(296, 0, 0), word(999, 0, 2)))
        assert [item.code for item in found.errors] == [296, 110, 30, 999, 52]
        row = faults.BY_NAME["ESM_BUTTON"]
        assert found.errors[0].texts == (texts or (row.message, row.description, row.cause, row.solution))
        assert found.errors[3].texts == (("Unknown error 999" if language == "en" else "Errore sconosciuto 999"),
                                         "", "", "")


def test_saf_6_errors_are_latched_from_the_drive_to_the_page() -> None:
    """On the simulated board: the drive is cleared by the reset only, and until then both errors stay listed."""
    arm, listed = VirtualArm(2), FaultList()

    def errors(seconds: float) -> list[int]:
        arm.run(seconds, listed.follow)
        return sorted(item.code for item in listed.errors)

    arm.auto()
    arm.board.set_fault("drive_error", axis=2, code=22)
    assert errors(0.5) == [22, 102]
    arm.board.clear_faults()
    assert errors(2.0) == [22, 102]
    arm.push(CommandKind.RESET)
    assert errors(0.5) == []
    assert arm.cycle().state == MasterState.WAITING
