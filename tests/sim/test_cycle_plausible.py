"""ESS-7 of an axis in motion: faster than its working mode may make it, though near its set-point yet."""

from __future__ import annotations

import pytest

from controller._core import State
from controller.spec.modes import CommandKind, MasterState
from tests.sim.led_arm import led
from tests.virtual_arm import VirtualArm, codes, summary

STANDSTILL = 607


def run_away(arm: VirtualArm, axis: int, speed_deg_s: float) -> tuple[State, float]:
    """The joint goes so much faster than its drive makes it: the state with the error, and the degrees until then."""
    before = arm.cycle()
    arm.board.set_fault("drift", axis=axis, speed_deg_s=speed_deg_s)
    state = arm.until(lambda s: s.state == MasterState.ERROR, 0.3)
    return state, abs(state.position_deg[axis - 1] - before.position_deg[axis - 1])


def test_ess_7_an_axis_that_a_hand_leads_is_no_faster_than_a_hand_may_make_it() -> None:
    arm = VirtualArm(4)
    arm.auto()
    led(arm)
    arm.board.set_fault("outside_torque", axis=4, counts=60.0)
    assert arm.run(0.6).speed_deg_s[3] > 10.0
    state, way_deg = run_away(arm, 4, 40.0)
    assert codes(state) == {(STANDSTILL, 4)}, summary(state)
    assert not state.motor_power
    assert way_deg < 5.0        # the following error alone allows 8 degrees more than the hand's own way


@pytest.mark.parametrize("how", ["move", "jog"])
def test_ess_7_a_speed_limit_in_force_is_what_is_plausible(how: str) -> None:
    """At 10 % of the speed an axis that runs away goes far before it is 8 degrees from its set-point."""
    arm = VirtualArm(4)
    arm.auto()
    arm.push(CommandKind.SPEED_LIMITS, [10.0] * 4, value=60.0)
    if how == "move":
        arm.move(90.0, 60.0, 20.0, 80.0)
        arm.run(0.5)
    else:
        arm.jog(100.0, 0.0, 0.0, 0.0)
        for _ in range(5):
            arm.run(0.1)
            arm.jog(100.0, 0.0, 0.0, 0.0)
    state, way_deg = run_away(arm, 1, 20.0)
    assert codes(state) == {(STANDSTILL, 1)}, summary(state)
    assert way_deg < 2.5


def test_a_lowered_limit_and_the_end_of_a_motion_are_no_implausible_speed() -> None:
    arm = VirtualArm(4)
    arm.auto()
    for percent in (2.0, 0.0):
        arm.push(CommandKind.SPEED_LIMITS, [100.0] * 4, value=60.0)
        arm.move(90.0, 60.0, 20.0, 80.0)
        assert arm.run(0.6).speed_deg_s[0] > 40.0
        arm.push(CommandKind.SPEED_LIMITS, [percent] * 4, value=60.0)
        assert not codes(arm.run(1.5)), percent
        arm.push(CommandKind.SPEED_LIMITS, [100.0] * 4, value=60.0)
        arm.move(0.0, 0.0, 0.0, 0.0)
        assert arm.run(0.6).speed_deg_s[0] < -10.0
        led(arm)
        assert not codes(arm.run(1.0)), percent
