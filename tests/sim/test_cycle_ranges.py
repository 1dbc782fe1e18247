"""The range of motion in the core: set, enforced, kept, and never a reason for a worn arm to drop. Prepared targets."""

from __future__ import annotations

import math

import pytest

from controller.spec.modes import Blocker, CommandKind, CommandResult, MasterMode, MasterState
from tests.virtual_arm import VirtualArm, codes, summary, warnings

START_DEG = (12.0, 25.0, -15.0, 45.0)      # where the simulated arm stands
MARGIN_DEG = 1.0                           # motion.limit_margin_deg


def give(arm: VirtualArm, low: list[float], high: list[float], mask: int | None = None) -> int:
    """Set and enforce; the result of the last of the three commands."""
    arm.push(CommandKind.ROM_MINIMUM, low)
    arm.push(CommandKind.ROM_MAXIMUM, high)
    arm.push(CommandKind.ROM_ENABLE, mask=(1 << len(low)) - 1 if mask is None else mask)
    return arm.cycle().last_command_result


def around(spread: float = 10.0) -> tuple[list[float], list[float]]:
    return [x - spread for x in START_DEG], [x + spread for x in START_DEG]


def ranged(spread: float = 10.0) -> VirtualArm:
    arm = VirtualArm(4, gravity_scale=0.0)
    arm.auto()
    assert give(arm, *around(spread)) == CommandResult.OK
    return arm


def result(arm: VirtualArm) -> int:
    return arm.cycle().last_command_result


def test_the_record_tells_the_range_in_force() -> None:
    arm = VirtualArm(4, gravity_scale=0.0)
    free = arm.waiting()
    assert free.rom_enforced == (0, 0, 0, 0)
    low, high = around()
    assert give(arm, low, high, 0b0101) == CommandResult.OK
    state = arm.cycle()
    assert state.rom_enforced == (1, 0, 1, 0)
    assert state.range_minimum_deg == (low[0], free.range_minimum_deg[1], low[2], free.range_minimum_deg[3])
    assert state.range_maximum_deg == (high[0], free.range_maximum_deg[1], high[2], free.range_maximum_deg[3])
    arm.push(CommandKind.ROM_ENABLE, mask=0)
    state = arm.cycle()
    assert state.rom_enforced == (0, 0, 0, 0)
    assert (state.range_minimum_deg, state.range_maximum_deg) == (free.range_minimum_deg, free.range_maximum_deg)


def test_saf_5_targets_outside_the_range_of_motion_are_refused() -> None:
    arm = ranged()
    arm.move(START_DEG[0] + 10.1, *START_DEG[1:])
    assert result(arm) == CommandResult.OUT_OF_RANGE
    assert arm.run(0.3).setpoint_speed_deg_s == (0.0,) * 4
    arm.move(START_DEG[0] + 9.9, *START_DEG[1:])
    arm.until(lambda s: s.motions_done == 1)
    arm.push(CommandKind.ROM_ENABLE, mask=0)
    arm.move(START_DEG[0] + 20.0, *START_DEG[1:])
    arm.until(lambda s: s.motions_done == 2)


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_saf_5_a_jog_brakes_before_the_range_of_motion(direction: float) -> None:
    arm = ranged()
    for _ in range(40):
        arm.jog(*[100.0 * direction] * 4)
        state = arm.run(0.1)
        for i in range(4):
            assert START_DEG[i] - 10.02 <= state.setpoint_position_deg[i] <= START_DEG[i] + 10.02
    assert {code for code, _ in warnings(state)} == {401}
    assert state.state == MasterState.AUTO
    assert state.setpoint_speed_deg_s == pytest.approx((0.0,) * 4, abs=1e-6)
    moved = [abs(at - start) for at, start in zip(state.position_deg, START_DEG, strict=True)]
    assert moved == pytest.approx([10.0] * 4, abs=0.2)


@pytest.mark.parametrize(("counts", "code"), [(-1, 603), (1, 604)])
@pytest.mark.parametrize("axis", [1, 2, 3, 4])
def test_ess_3_ess_4_leaving_the_range_of_motion_takes_power_away(counts: int, code: int, axis: int) -> None:
    arm = ranged(0.5)
    facts = arm.facts.axis[axis - 1]
    sign = -1 if facts.inverted else 1
    arm.run(0.3)
    arm.board.set_fault("sensor_jump", axis=axis, counts=counts * sign * round(2.0 / abs(facts.stroke_deg)
                                                                               * facts.resolution_counts))
    state = arm.until(lambda s: s.state == MasterState.ERROR, 0.5)
    assert (code, axis) in codes(state)
    assert not state.motor_power
    assert state.stop_category == 0


@pytest.mark.parametrize(("counts", "code"), [(-1, 603), (1, 604)])
def test_ess_3_ess_4_the_margin_for_sensor_noise(counts: int, code: int) -> None:
    """Standing on the edge of the range, 0.8 degrees of error are within the margin, 1.3 are not."""
    for excess, found in ((0.8, False), (1.3, True)):
        arm = ranged(10.0)
        arm.move(*[x + 10.0 * counts for x in START_DEG])
        arm.until(lambda s: s.motions_done == 1)
        for i, row in enumerate(arm.facts.axis):
            sign = -1 if row.inverted else 1
            arm.board.set_fault("sensor_jump", axis=i + 1, counts=round(
                counts * sign * excess / row.stroke_deg * row.resolution_counts))
        state = arm.run(0.1)
        assert ((code, 1) in codes(state)) is found, (excess, codes(state))
        assert ((code, 4) in codes(state)) is found, (excess, codes(state))


def test_saf_6_reset_is_refused_while_the_arm_stands_outside_its_range() -> None:
    arm = ranged(0.5)
    arm.board.set_fault("sensor_jump", axis=4, counts=-60)
    state = arm.until(lambda s: s.state == MasterState.ERROR, 1.0)
    assert {(603, 4), (604, 4)} & codes(state)
    arm.run(1.0)
    arm.push(CommandKind.RESET)
    state = arm.run(0.5)
    assert state.state == MasterState.ERROR
    assert state.blockers >> Blocker.RANGE_OF_MOTION & 1
    arm.push(CommandKind.ROM_ENABLE, mask=0)        # always possible: it moves nothing
    arm.push(CommandKind.RESET)
    state = arm.until(lambda s: s.state == MasterState.WAITING, 1.0)
    assert not state.blockers, summary(state)
    assert not state.motor_power


def test_enabling_is_refused_when_the_arm_stands_outside_and_drops_nothing() -> None:
    arm = VirtualArm(4, gravity_scale=0.0)
    arm.auto()
    low, high = around()
    low[1], high[1] = START_DEG[1] + 5.0, START_DEG[1] + 20.0
    assert give(arm, low, high) == CommandResult.OUTSIDE_RANGE
    state = arm.run(0.5)
    assert state.rom_enforced == (0, 0, 0, 0)
    assert state.state == MasterState.AUTO
    assert state.motor_power
    assert not codes(state)
    assert give(arm, low, high, 0b1101) == CommandResult.OK


BAD = {
    "minimum above maximum": ([20.0], [10.0], 1), "minimum is maximum": ([12.0], [12.0], 1),
    "below the hard minimum": ([-61.0], [20.0], 1), "above the hard maximum": ([0.0], [121.0], 1),
    "wholly inside the margin of the hard limit": ([119.2], [119.9], 1),
    "an axis that is not there": ([0.0], [20.0], 16),
}


@pytest.mark.parametrize("name", BAD)
def test_saf_9_ranges_that_make_no_sense_are_refused(name: str) -> None:
    low, high, mask = BAD[name]
    arm = ranged()
    before = arm.cycle()
    arm.push(CommandKind.ROM_MINIMUM, low)
    arm.push(CommandKind.ROM_MAXIMUM, high)
    arm.push(CommandKind.ROM_ENABLE, mask=mask)
    state = arm.cycle()
    assert state.last_command_result == CommandResult.OUT_OF_RANGE
    assert (state.rom_enforced, state.range_minimum_deg, state.range_maximum_deg) == (
        before.rom_enforced, before.range_minimum_deg, before.range_maximum_deg)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e7])
@pytest.mark.parametrize("kind", [CommandKind.ROM_MINIMUM, CommandKind.ROM_MAXIMUM])
def test_saf_9_ranges_that_are_no_numbers_are_refused(kind: CommandKind, value: float) -> None:
    arm = ranged()
    arm.push(kind, [value])
    assert result(arm) == CommandResult.OUT_OF_RANGE
    arm.push(CommandKind.ROM_ENABLE, mask=15)
    assert result(arm) == CommandResult.OK          # the one given before is still there
    assert arm.cycle().range_minimum_deg == tuple(around()[0])


def test_a_range_that_was_never_given_cannot_be_enforced() -> None:
    arm = VirtualArm(2)
    arm.push(CommandKind.ROM_ENABLE, mask=1)
    assert result(arm) == CommandResult.NOT_READY   # nobody knows yet where the arm stands
    arm.waiting()
    arm.push(CommandKind.ROM_ENABLE, mask=1)
    assert result(arm) == CommandResult.OUT_OF_RANGE


def test_a_motion_that_runs_stays_inside_a_range_that_comes_into_force() -> None:
    """Refused while it could not stop in time; else its target is out of bounds now and it ends softly, inside."""
    arm = VirtualArm(4, gravity_scale=0.0)
    arm.auto()
    high = [START_DEG[0] + 15.0, *[x + 10.0 for x in START_DEG[1:]]]
    arm.move(START_DEG[0] + 40.0, *START_DEG[1:])
    arm.until(lambda s: s.setpoint_position_deg[0] > START_DEG[0] + 14.0)
    assert give(arm, around(20.0)[0], high) == CommandResult.OUTSIDE_RANGE
    arm.until(lambda s: s.motions_done == 1)
    arm.move(*START_DEG)
    arm.until(lambda s: s.motions_done == 2)
    arm.move(START_DEG[0] + 40.0, *START_DEG[1:])
    arm.until(lambda s: s.setpoint_position_deg[0] > START_DEG[0] + 2.0)
    assert give(arm, around(20.0)[0], high) == CommandResult.OK
    seen: list[float] = []
    state = arm.run(3.0, lambda s: seen.append(s.setpoint_position_deg[0]))
    assert max(seen) <= high[0] + 0.02
    assert not any(state.moving)
    assert state.motions_done == 2
    assert state.state == MasterState.AUTO


@pytest.mark.parametrize("room_deg", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("up_ms", range(60, 200, 20))
def test_saf_5_a_jog_that_is_reversed_brakes_before_the_limit_that_it_turns_to(up_ms: int, room_deg: float) -> None:
    """While it still moves up its acceleration leads down: the limit ahead is not the one its speed points to."""
    arm = VirtualArm(4, gravity_scale=0.0)
    arm.auto()
    low = [x - room_deg for x in START_DEG]
    assert give(arm, low, [x + 60.0 for x in START_DEG]) == CommandResult.OK
    arm.jog(*[100.0] * 4)
    arm.run(up_ms * 1e-3)
    lowest = list(START_DEG)
    for _ in range(15):
        arm.jog(*[-100.0] * 4)
        state = arm.run(0.1, lambda s: lowest.__setitem__(slice(None), map(min, lowest, s.setpoint_position_deg)))
    assert state.state == MasterState.AUTO, summary(state)
    for i in range(4):
        assert low[i] - 0.02 < lowest[i] < low[i] + 0.15


def test_the_arm_may_always_move_inwards() -> None:
    """Moved out by hand while power was off: no error, it starts, comes in, and cannot go out again."""
    arm = VirtualArm(4, gravity_scale=0.0)
    arm.waiting()
    low, high = around(5.0)
    assert give(arm, low, high) == CommandResult.OK
    arm.board.set_fault("drift", axis=1, speed_deg_s=20.0, seconds=0.6)
    state = arm.run(1.0)
    assert state.position_deg[0] > high[0] + 3.0
    assert not codes(state)
    begin = state.position_deg[0]
    arm.jog(100.0, 0.0, 0.0, 0.0)       # outwards: power comes on, and nothing moves
    state = arm.run(0.6)
    assert state.state == MasterState.AUTO
    assert state.position_deg[0] == pytest.approx(begin, abs=0.3)
    arm.move(high[0] - 2.0, *START_DEG[1:])
    arm.until(lambda s: s.motions_done == 1)
    arm.move(begin, *START_DEG[1:])
    assert result(arm) == CommandResult.OUT_OF_RANGE
    arm.board.set_fault("drift", axis=1, speed_deg_s=10.0, seconds=1.0)
    state = arm.until(lambda s: s.state == MasterState.ERROR, 1.0)


def test_the_range_of_motion_survives_a_new_bring_up() -> None:
    arm = ranged()
    arm.board.set_fault("silence", seconds=0.5)
    arm.until(lambda s: s.state == MasterState.ERROR, 1.0)
    arm.run(0.5)
    arm.reattach()
    state = arm.run(0.3)
    assert state.rom_enforced == (1, 1, 1, 1)
    assert state.range_minimum_deg == tuple(around()[0])


def test_saf_2_a_stop_does_not_lose_a_range_that_waits_in_the_ring() -> None:
    arm = VirtualArm(4, gravity_scale=0.0)
    arm.auto()
    low, high = around()
    arm.push(CommandKind.ROM_MINIMUM, low)
    arm.push(CommandKind.ROM_MAXIMUM, high)
    arm.push(CommandKind.ROM_ENABLE, mask=15)
    arm.core.request_stop()
    assert arm.cycle().rom_enforced == (1, 1, 1, 1)


# -- prepared targets --------------------------------------------------------------------------------------------------

TARGETS = (20.0, 20.0, -10.0, 40.0)


def prepared(auto: bool) -> VirtualArm:
    arm = VirtualArm(4, gravity_scale=0.0)
    if auto:
        arm.auto()
    else:
        arm.waiting()
    arm.push(CommandKind.PREPARE, TARGETS, value=100.0)
    state = arm.run(0.5)
    assert state.mode == MasterMode.POSITION_TARGET_WAIT_FOR_START
    assert state.state == (MasterState.AUTO if auto else MasterState.WAITING)
    assert state.motor_power == auto
    assert not any(state.moving)
    return arm


@pytest.mark.parametrize("auto", [False, True])
def test_prepared_targets_run_with_the_next_start_and_once(auto: bool) -> None:
    arm = prepared(auto)
    arm.push(CommandKind.START)
    state = arm.until(lambda s: s.motions_done == 1)
    assert state.position_deg == pytest.approx(TARGETS, abs=0.3)
    arm.push(CommandKind.START)
    state = arm.run(0.5)
    assert state.mode == MasterMode.JOG
    assert not any(state.moving)


FORGET = {
    "stop": lambda arm: arm.core.request_stop(),
    "move": lambda arm: arm.move(*START_DEG),
    "jog": lambda arm: arm.jog(1.0, 0.0, 0.0, 0.0),
    "off": lambda arm: arm.push(CommandKind.OFF),
    "button": lambda arm: arm.board.set_fault("button", seconds=0.2),
    "reset": lambda arm: arm.push(CommandKind.RESET),
    "silence": lambda arm: arm.board.set_fault("silence", seconds=0.2),
}


@pytest.mark.parametrize("auto", [False, True])
@pytest.mark.parametrize("what", FORGET)
def test_anything_else_forgets_prepared_targets(what: str, auto: bool) -> None:
    arm = prepared(auto)
    FORGET[what](arm)
    state = arm.run(1.5)
    assert state.mode != MasterMode.POSITION_TARGET_WAIT_FOR_START
    if arm.core.released:
        arm.reattach()
        arm.run(0.3)
    arm.push(CommandKind.RESET)
    state = arm.run(0.5)
    done = state.motions_done
    arm.push(CommandKind.START)
    seen: list[bool] = []
    state = arm.run(2.0, lambda s: seen.append(any(s.moving)))
    assert state.state == MasterState.AUTO, summary(state)
    assert not any(seen)
    assert state.motions_done == done


def test_speed_limits_leave_prepared_targets_and_a_range_that_shuts_them_out_refuses_the_start() -> None:
    arm = prepared(True)
    arm.push(CommandKind.SPEED_LIMITS, [50.0] * 4, value=70.0)
    assert give(arm, *around(5.0)) == CommandResult.OK
    assert arm.cycle().mode == MasterMode.POSITION_TARGET_WAIT_FOR_START
    arm.push(CommandKind.START)
    assert result(arm) == CommandResult.OUT_OF_RANGE
    assert not any(arm.run(0.5).moving)
    arm.push(CommandKind.ROM_ENABLE, mask=0)
    arm.push(CommandKind.START)
    arm.until(lambda s: s.motions_done == 1)


@pytest.mark.parametrize("values", [(math.nan,) * 4, (1e9,) * 4, (119.5, 0.0, 0.0, 0.0)])
def test_saf_9_bad_targets_are_not_prepared(values: tuple[float, ...]) -> None:
    arm = VirtualArm(4, gravity_scale=0.0)
    before = arm.waiting()
    arm.push(CommandKind.PREPARE, values, value=100.0)
    state = arm.cycle()
    assert state.last_command_result == CommandResult.OUT_OF_RANGE
    assert state.mode == before.mode
