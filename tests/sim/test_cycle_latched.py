"""Errors are latched until RESET, all of them together; warnings come and go; a drive's warnings by their own codes."""

from __future__ import annotations

import pytest

from controller.hmi.faultlist import FaultList
from controller.spec.modes import CommandKind, EventKind, MasterState
from tests.virtual_arm import VirtualArm, codes, summary, warnings

SHORT = {
    "button": ({"seconds": 0.002}, (296, 0)),
    "drive_error": ({"axis": 1, "seconds": 0.002}, (101, 1)),
    "not_connected": ({"axis": 2, "seconds": 0.002}, (112, 2)),
    "sensor_jump": ({"axis": 1, "counts": 150, "seconds": 0.002}, (607, 1)),
}


@pytest.mark.parametrize("name", SHORT)
def test_saf_6_an_error_of_two_milliseconds_stays_until_reset(name: str) -> None:
    parameters, found = SHORT[name]
    arm = VirtualArm(2, gravity_scale=0.0)
    arm.auto()
    arm.run(0.3)
    arm.board.set_fault(name, **parameters)
    arm.run(0.02)
    arm.core.events()
    state = arm.run(3.0)
    if arm.core.released:       # the drives' new set-up
        arm.reattach()
        state = arm.run(0.3)
    assert found in codes(state)
    assert state.state == MasterState.ERROR
    assert not [row for row in arm.core.events() if row[1] == EventKind.FAULT_CLEARED and not row[4]]
    arm.push(CommandKind.RESET)
    state = arm.run(0.5)
    assert not codes(state), summary(state)
    assert state.state == MasterState.WAITING


def test_saf_6_reset_clears_all_errors_or_none() -> None:
    """One cause that is left keeps every error, also those whose cause is gone."""
    arm = VirtualArm(2)
    arm.auto()
    arm.run(0.3)
    arm.board.set_fault("drive_error", axis=1, seconds=0.01)
    arm.board.set_fault("button")
    arm.run(0.5)
    assert codes(arm.cycle()) == {(101, 1), (296, 0)}
    arm.push(CommandKind.RESET)
    state = arm.run(0.6)
    assert codes(state) == {(101, 1), (296, 0)}
    assert state.state == MasterState.ERROR
    arm.board.clear_faults("button")
    arm.run(0.1)
    arm.push(CommandKind.RESET)
    state = arm.run(0.5)
    assert not codes(state)
    assert state.state == MasterState.WAITING


def test_the_controllers_own_warnings_come_and_go_and_stop_nothing() -> None:
    arm = VirtualArm(2)
    arm.auto()
    for _ in range(25):
        arm.jog(100.0, 0.0)
        state = arm.run(0.1)
    assert (401, 1) in warnings(state)
    assert state.state == MasterState.AUTO
    arm.jog(-100.0, 0.0)
    assert not warnings(arm.run(0.1))


class Watched:
    """A drive's warnings as the controller lists them."""

    def __init__(self) -> None:
        self.arm = VirtualArm(2)
        self.arm.auto()
        self.list = FaultList()

    def report(self, axis: int, code: int) -> set[tuple[int, int]]:
        """The drive of `axis` (1-based) reports the code from now on; the active warnings after 0.1 s."""
        self.arm.board.set_fault("drive_warning", axis=axis, code=code)
        return self.follow()

    def quiet(self, axis: int) -> set[tuple[int, int]]:
        """The drive reports 0 again."""
        self.arm.board.set_fault("drive_warning", on=False, axis=axis)
        return self.follow()

    def follow(self) -> set[tuple[int, int]]:
        state = self.arm.run(0.1, self.list.follow)
        assert state.state == MasterState.AUTO      # a warning stops nothing
        return {(item.code, item.axis) for item in self.list.warnings}


def test_a_code_of_16000_or_more_withdraws_that_warning_alone() -> None:
    drive = Watched()
    assert drive.report(1, 3) == {(3, 1)}
    assert drive.report(1, 6) == {(3, 1), (6, 1)}       # the next code does not replace the first
    assert drive.report(2, 3) == {(3, 1), (6, 1), (3, 2)}
    assert drive.report(1, 16_003) == {(6, 1), (3, 2)}
    assert drive.report(1, 16_003) == {(6, 1), (3, 2)}  # once more: nothing else goes
    assert drive.report(1, 16_007) == {(6, 1), (3, 2)}  # one that was never there
    assert drive.report(1, 16_006) == {(3, 2)}
    assert drive.report(1, 3) == {(3, 1), (3, 2)}       # it may come again


def test_code_0_withdraws_all_of_that_axis_and_of_no_other() -> None:
    drive = Watched()
    drive.report(1, 3)
    drive.report(1, 6)
    assert drive.report(2, 7) == {(3, 1), (6, 1), (7, 2)}
    assert drive.quiet(1) == {(7, 2)}
    assert drive.quiet(2) == set()
