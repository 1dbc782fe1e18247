"""The start-up self-test of the relay path: first thing of the first start after each bring-up, drives off."""

from __future__ import annotations

import pytest

from controller.spec.modes import CommandKind, DriverMode, MasterState, SelfTest
from tests.telegrams import command
from tests.virtual_arm import VirtualArm, codes, summary

POWER = 1


def reset(arm: VirtualArm):
    arm.push(CommandKind.RESET)
    return arm.run(0.5)


def test_saf_1_power_stays_off_until_the_operators_start_and_the_test_comes_first() -> None:
    arm = VirtualArm(2)
    flags: list[int] = []
    arm.run(0.5, lambda _: flags.append(command(arm.telegram, 2).flags & POWER))
    assert not any(flags)
    assert arm.cycle().self_test == SelfTest.NOT_DONE
    arm.push(CommandKind.START)
    path: list[tuple[int, bool]] = []

    def note(state) -> None:
        sent = command(arm.telegram, 2)
        step = (sent.flags & POWER, bool(state.inputs & 2))
        if state.self_test == SelfTest.RUNNING:
            assert set(sent.modes) == {DriverMode.DRIVER_OFF}
        if not path or path[-1] != step:
            path.append(step)

    arm.run(0.3, note)
    # enable, contacts; off, they open; then the power-up proper
    assert path == [(1, False), (0, True), (1, False), (1, True)]
    state = arm.cycle()
    assert state.self_test == SelfTest.PASSED
    assert state.state == MasterState.AUTO


@pytest.mark.parametrize("relay_ms", [1.0, 20.0, 45.0])
def test_it_adds_two_relay_times_and_answers_to_the_first_start_and_nothing_to_later_ones(relay_ms: float) -> None:
    arm = VirtualArm(2, relay_ms=relay_ms)
    arm.waiting()
    took = []
    for _ in range(3):
        began = arm.now_ns
        arm.push(CommandKind.START)
        took.append((arm.until(lambda s: s.state == MasterState.AUTO, 2.0).time_ns - began) * 1e-6)
        arm.push(CommandKind.OFF)
        arm.run(0.3)
    assert abs(took[1] - took[2]) <= 2.0
    assert 2.0 * relay_ms <= took[0] - took[1] <= 2.0 * relay_ms + 6.0


def test_each_bring_up_tests_anew() -> None:
    arm = VirtualArm(2)
    arm.auto()
    arm.board.set_fault("silence", seconds=0.3)
    arm.run(0.5)
    arm.reattach()
    assert arm.run(0.3).self_test == SelfTest.NOT_DONE
    reset(arm)
    arm.push(CommandKind.START)
    assert arm.run(0.02).self_test == SelfTest.RUNNING
    assert arm.until(lambda s: s.state == MasterState.AUTO).self_test == SelfTest.PASSED


@pytest.mark.parametrize(("fault", "found"), [
    ("relay_stuck_open", {(613, 0), (295, 0)}), ("welded_relay", {(614, 0), (293, 0)})])
def test_a_failure_says_which_way_keeps_power_off_and_the_next_start_tests_again(
        fault: str, found: set[tuple[int, int]]) -> None:
    arm = VirtualArm(2)
    arm.waiting()
    arm.move(30.0, 30.0)
    arm.cycle()
    arm.board.set_fault(fault)
    state = arm.until(lambda s: s.state == MasterState.ERROR, 0.3)
    state = arm.run(0.1)
    assert codes(state) == found
    assert state.self_test == SelfTest.FAILED
    assert not state.motor_power
    assert arm.board.maxima()["command_speed_deg_s"] == (0.0, 0.0)
    assert (reset(arm).state == MasterState.WAITING) == (fault == "relay_stuck_open")
    arm.board.clear_faults()
    arm.run(0.1)
    assert reset(arm).state == MasterState.WAITING
    arm.push(CommandKind.START)
    state = arm.until(lambda s: s.state == MasterState.AUTO)
    assert state.self_test == SelfTest.PASSED


@pytest.mark.parametrize("after_ms", [1, 5, 15, 22, 25, 35, 41])
@pytest.mark.parametrize("how", ["stop", "off", "button", "battery", "silence"])
def test_a_start_that_ends_in_the_middle_of_the_test_leaves_power_off(how: str, after_ms: int) -> None:
    """Power that came on for the test alone must not stay on, and the test counts as not done."""
    arm = VirtualArm(2)
    arm.waiting()
    arm.push(CommandKind.START)
    assert arm.run(after_ms * 1e-3).self_test == SelfTest.RUNNING
    if how == "stop":
        arm.core.request_stop()
    elif how == "off":
        arm.push(CommandKind.OFF)
    elif how == "button":
        arm.board.set_fault("button", seconds=0.3)
    elif how == "battery":
        arm.board.set_fault("low_battery", mv=1, seconds=0.4)
    else:
        arm.board.set_fault("silence", seconds=0.3)
    state = arm.run(0.5)
    if how == "battery":    # averaged: the power-up was over before it was seen, so the limb is held
        assert state.self_test == SelfTest.PASSED
        return
    assert not state.motor_power, summary(state)
    assert state.self_test == SelfTest.NOT_DONE
    if arm.core.released:
        arm.reattach()
        arm.run(0.3)
    reset(arm)
    arm.push(CommandKind.START)
    arm.until(lambda s: s.state == MasterState.AUTO)


def test_a_limb_that_sinks_during_the_test_is_no_fault() -> None:
    """Drives are off in it; where the arm stands is taken afterwards."""
    arm = VirtualArm(2, gravity_scale=3.0)
    arm.run(0.058)
    assert arm.cycle().state == MasterState.WAITING
    arm.push(CommandKind.START)
    state = arm.until(lambda s: s.state == MasterState.AUTO)
    assert not codes(arm.run(1.0))
    assert state.fault_total == 0
