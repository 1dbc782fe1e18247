"""Position motions and jogs on the virtual clock: convergence, synchronised arrival, limits, the speed cascade."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from controller._core import State
from controller.config import Motion
from controller.spec.faults import WARNINGS
from controller.spec.modes import Blocker, CommandKind, CommandResult, DriverMode, EventKind, MasterMode, MasterState
from tests.telegrams import command
from tests.virtual_arm import VirtualArm, codes, summary, warnings

MOTION = Motion()
LIMIT_BRAKE = next(row.code for row in WARNINGS if row.name == "LIMIT_BRAKE")


def random_targets(arm: VirtualArm, pick: random.Random) -> list[float]:
    return [pick.uniform(facts.minimum_deg + MOTION.limit_margin_deg, facts.maximum_deg - MOTION.limit_margin_deg)
            for facts in arm.facts.axis]


def count_deg(arm: VirtualArm, axis: int) -> float:
    facts = arm.facts.axis[axis]
    return facts.stroke_deg / facts.resolution_counts


def standing_in_auto(state: State) -> bool:
    return state.state == MasterState.AUTO and state.mode == MasterMode.STAND_STILL


def arrive(arm: VirtualArm, motions: int, seconds: float = 15.0) -> State:
    return arm.until(lambda s: s.motions_done == motions, seconds)


def assert_on_target(arm: VirtualArm, targets: list[float]) -> None:
    """Within 2 counts by the sensor and in truth."""
    state, truth = arm.cycle(), arm.board.truth()
    for i, target in enumerate(targets):
        wanted = arm.facts.counts(i, target)
        assert abs(state.position_counts[i] - wanted) <= 2, (i, state.position_counts[i], wanted)
        assert abs(truth["position_deg"][i] - target) <= 2.5 * count_deg(arm, i)
    assert all(state.on_target)


@pytest.mark.parametrize("axes", [1, 4, 5, 8])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_moves_converge_within_two_counts(axes: int, seed: int) -> None:
    arm = VirtualArm(axes, seed)
    pick = random.Random(seed)
    arm.waiting()
    for motion in range(1, 4):
        targets = random_targets(arm, pick)
        arm.move(*targets, percent=pick.choice((100.0, 60.0, 25.0)))
        state = arrive(arm, motion, 40.0)
        assert standing_in_auto(state)
        assert_on_target(arm, targets)


@pytest.mark.parametrize("seed", range(4))
def test_a_fast_move_does_not_overshoot_by_more_than_two_counts(seed: int) -> None:
    arm = VirtualArm(8, seed)
    start = arm.waiting().position_deg
    targets = [facts.minimum_deg + 3.0 if at > (facts.minimum_deg + facts.maximum_deg) / 2 else facts.maximum_deg - 3.0
               for facts, at in zip(arm.facts.axis, start, strict=True)]
    beyond = [0.0] * 8
    arm.move(*targets)

    def watch(state: State) -> None:
        for i, at in enumerate(arm.board.truth()["position_deg"]):
            beyond[i] = max(beyond[i], (at - targets[i]) * (1.0 if targets[i] > start[i] else -1.0))

    arm.run(8.0, watch)
    assert arm.cycle().motions_done == 1
    assert all(beyond[i] <= 2.0 * count_deg(arm, i) for i in range(8)), beyond


def test_axes_of_one_move_arrive_together() -> None:
    arm = VirtualArm(5, 3)
    arm.auto()
    arm.move(60.0, 5.0, 10.0, -20.0, 55.0)
    last_moving = [0] * 5

    def watch(state: State) -> None:
        for i, moving in enumerate(state.moving):
            if moving:
                last_moving[i] = state.cycle

    arm.run(6.0, watch)
    assert arm.cycle().motions_done == 1
    assert min(last_moving) > 0
    assert max(last_moving) - min(last_moving) <= 2


@pytest.mark.parametrize("seed", range(3))
def test_new_targets_while_moving(seed: int) -> None:
    arm = VirtualArm(4, seed)
    pick = random.Random(seed)
    arm.auto()
    for _ in range(8):
        targets = random_targets(arm, pick)
        arm.move(*targets)
        arm.run(pick.uniform(0.02, 0.9))
        assert not codes(arm.cycle())
    state = arrive(arm, 1, 20.0)     # the ones before never arrived
    assert state.motions_done == 1
    assert_on_target(arm, targets)


def test_a_partial_mask_moves_only_its_axes_and_keeps_earlier_targets() -> None:
    arm = VirtualArm(4)
    before = arm.auto().position_deg
    arm.push(CommandKind.MOVE, [50.0, 0.0, 0.0, 0.0], 0b0001, 100.0)
    arm.run(0.3)
    arm.push(CommandKind.MOVE, [0.0, 0.0, 40.0, 0.0], 0b0100, 100.0)    # axis 1 goes on to its own target
    arrive(arm, 1)
    assert_on_target(arm, [50.0, before[1], 40.0, before[3]])


def test_a_move_out_of_a_jog_ends_the_other_axes_softly() -> None:
    arm = VirtualArm(4)
    arm.auto()
    for _ in range(5):
        arm.jog(100.0, 100.0, 0.0, 0.0)
        state = arm.run(0.1)
    braking_from = state.setpoint_position_deg[1]
    arm.push(CommandKind.MOVE, [20.0], 0b0001, 100.0)
    arrive(arm, 1)
    truth = arm.board.truth()["position_deg"]
    assert truth[0] == pytest.approx(20.0, abs=0.25)
    assert braking_from < truth[1] < braking_from + 20.0


# -- refusals (SAF-9) --------------------------------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")
BAD = {
    "nan target": (CommandKind.MOVE, [NAN, 0, 0, 0], 0xF, 50.0, CommandResult.OUT_OF_RANGE),
    "inf target": (CommandKind.MOVE, [0, INF, 0, 0], 0xF, 50.0, CommandResult.OUT_OF_RANGE),
    "far target": (CommandKind.MOVE, [0, 0, 1e9, 0], 0xF, 50.0, CommandResult.OUT_OF_RANGE),
    "target beyond the soft limit": (CommandKind.MOVE, [119.5, 0, 0, 0], 0xF, 50.0, CommandResult.OUT_OF_RANGE),
    "no axis": (CommandKind.MOVE, [0, 0, 0, 0], 0, 50.0, CommandResult.OUT_OF_RANGE),
    "axis 5 of 4": (CommandKind.MOVE, [0] * 5, 0x1F, 50.0, CommandResult.OUT_OF_RANGE),
    "axis 32": (CommandKind.JOG, [0] * 8, 1 << 31, 0.0, CommandResult.OUT_OF_RANGE),
    "speed 0": (CommandKind.MOVE, [0, 0, 0, 0], 0xF, 0.0, CommandResult.OUT_OF_RANGE),
    "speed 101 %": (CommandKind.MOVE, [0, 0, 0, 0], 0xF, 101.0, CommandResult.OUT_OF_RANGE),
    "speed nan": (CommandKind.MOVE, [0, 0, 0, 0], 0xF, NAN, CommandResult.OUT_OF_RANGE),
    "jog 101 %": (CommandKind.JOG, [101.0, 0, 0, 0], 0xF, 0.0, CommandResult.OUT_OF_RANGE),
    "jog nan": (CommandKind.JOG, [NAN, 0, 0, 0], 0xF, 0.0, CommandResult.OUT_OF_RANGE),
    "jog inf": (CommandKind.JOG, [0, -INF, 0, 0], 0xF, 0.0, CommandResult.OUT_OF_RANGE),
    "limit 101 %": (CommandKind.SPEED_LIMITS, [101.0], 1, 60.0, CommandResult.OUT_OF_RANGE),
    "limit -1 %": (CommandKind.SPEED_LIMITS, [-1.0], 1, 70.0, CommandResult.OUT_OF_RANGE),
    "limit nan": (CommandKind.SPEED_LIMITS, [NAN], 1, 80.0, CommandResult.OUT_OF_RANGE),
    "limit register 61": (CommandKind.SPEED_LIMITS, [50.0], 1, 61.0, CommandResult.OUT_OF_RANGE),
    "limit register nan": (CommandKind.SPEED_LIMITS, [50.0], 1, NAN, CommandResult.OUT_OF_RANGE),
    "limit of axis 9": (CommandKind.SPEED_LIMITS, [50.0], 0x100, 60.0, CommandResult.OUT_OF_RANGE),
    "kind 0": (0, [], 0, 0.0, CommandResult.UNKNOWN),
    "kind 99": (99, [], 0, 0.0, CommandResult.UNKNOWN),
    "kind -1": (-1, [], 0, 0.0, CommandResult.UNKNOWN),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("auto", [False, True], ids=["waiting", "auto"])
def test_saf_9_bad_values_are_refused_counted_and_change_nothing(name: str, auto: bool) -> None:
    kind, values, mask, value, result = BAD[name]
    arm = VirtualArm(4)
    before = arm.auto() if auto else arm.waiting()
    sequence = arm.push(kind, values, mask, value)
    state = arm.run(0.2)
    assert (state.last_command, state.last_command_result) == (sequence, result)
    assert state.commands_refused == before.commands_refused + 1
    assert (state.state, state.mode, state.speed_limit_deg_s) == (before.state, before.mode, before.speed_limit_deg_s)
    assert arm.board.maxima()["command_speed_deg_s"] == (0.0,) * 4


def test_saf_9_values_that_are_no_numbers_stop_at_the_door() -> None:
    arm = VirtualArm(1)
    with pytest.raises(TypeError):
        arm.core.push(CommandKind.MOVE, values=["1"], mask=1, value=50.0)
    with pytest.raises(ValueError, match="at most 8"):
        arm.core.push(CommandKind.MOVE, values=[0.0] * 9)
    with pytest.raises(OverflowError):
        arm.core.push(CommandKind.MOVE, mask=1 << 32)
    with pytest.raises(OverflowError):
        arm.core.push(1 << 40)
    assert arm.run(0.01).commands_done == 0


# -- speed cascade -----------------------------------------------------------------------------------------------------

def test_saf_5_speed_limits_multiply() -> None:
    arm = VirtualArm(2)
    arm.auto()
    for register, percent in ((60.0, 80.0), (70.0, 50.0), (80.0, 25.0)):
        arm.push(CommandKind.SPEED_LIMITS, [percent, 100.0], 3, register)
    arm.jog(100.0, 100.0)
    state = arm.run(0.15)
    assert state.speed_limit_deg_s == pytest.approx((60.0 * 0.8 * 0.5 * 0.25, 60.0))
    arm.jog(100.0, 100.0)
    state = arm.run(0.15)
    assert 0.9 * 6.0 < state.command_speed_deg_s[0] <= 6.0


def test_no_speed_refuses_a_move_and_moves_nothing() -> None:
    arm = VirtualArm(2)
    arm.auto()
    arm.push(CommandKind.SPEED_LIMITS, [0.0], 1, 70.0)
    arm.move(30.0, 30.0)
    state = arm.run(0.1)
    assert state.last_command_result == CommandResult.NO_SPEED
    assert arm.board.maxima()["command_speed_deg_s"] == (0.0, 0.0)
    arm.push(CommandKind.MOVE, [0.0, 30.0], 2, 100.0)   # the other axis may
    arrive(arm, 1)


@pytest.mark.parametrize("percent", [50.0, 3.0, 0.0])
def test_lowering_a_limit_while_moving_slows_down_within_the_limits(percent: float) -> None:
    arm = VirtualArm(2)
    arm.auto()
    arm.move(110.0, 100.0)
    arm.until(lambda s: s.command_speed_deg_s[0] > 55.0)
    arm.push(CommandKind.SPEED_LIMITS, [percent, 100.0], 3, 60.0)
    arm.run(0.7)
    for _ in range(200):
        assert abs(arm.cycle().command_speed_deg_s[0]) <= 60.0 * percent / 100.0
    if percent == 0.0:      # no speed to arrive with: the motion has ended softly, in AUTO
        state = arm.run(1.5)
        assert state.state == MasterState.AUTO
        assert not any(state.moving)
        assert command(arm.telegram, 2).modes == (DriverMode.STAND_STILL_IN_AUTO_STATE,) * 2


def test_raising_a_limit_while_moving_speeds_up() -> None:
    arm = VirtualArm(1)
    arm.auto()
    arm.push(CommandKind.SPEED_LIMITS, [10.0], 1, 60.0)
    arm.move(100.0)
    assert arm.run(0.5).command_speed_deg_s[0] <= 6.0
    arm.push(CommandKind.SPEED_LIMITS, [100.0], 1, 60.0)
    arm.until(lambda s: s.command_speed_deg_s[0] > 50.0, 1.0)
    arrive(arm, 1)


# -- jog ---------------------------------------------------------------------------------------------------------------

def test_saf_4_a_jog_that_is_not_refreshed_ends_softly_after_200_ms() -> None:
    arm = VirtualArm(2)
    arm.auto()
    arm.jog(20.0, -20.0)
    speeds: list[float] = []

    def watch(state: State) -> None:
        speeds.append(abs(state.setpoint_speed_deg_s[0]))

    state = arm.run(1.5, watch)
    falling = [i for i, (a, b) in enumerate(pairwise(speeds)) if b < a - 1e-9]
    assert 199 <= falling[0] <= 203
    assert speeds[-1] == 0.0
    assert state.state == MasterState.AUTO
    assert max(abs(b - a) for a, b in pairwise(speeds)) <= 0.3      # softly: 300 deg/s^2


def test_saf_4_a_refreshed_jog_goes_on() -> None:
    arm = VirtualArm(1)
    arm.auto()
    for _ in range(12):
        arm.jog(20.0)
        state = arm.run(0.15)
    assert state.command_speed_deg_s[0] == pytest.approx(0.95 * 12.0, abs=0.6)


def test_saf_8_the_beginning_of_a_jog_is_told_with_its_client_and_its_refreshes_are_not() -> None:
    arm = VirtualArm(1)
    arm.waiting()

    def jog(percent: float, client: int, times: int = 5) -> list[tuple[int, int, int]]:
        """Commands told of meanwhile: (kind, result, client)."""
        arm.core.events()
        for _ in range(times):
            arm.core.push(CommandKind.JOG, client=client, mask=1, values=[percent])
            arm.run(0.1)
        return [event[2:] for event in arm.core.events() if event[1] == EventKind.COMMAND]

    begun = (CommandKind.JOG, CommandResult.OK)
    assert jog(20.0, 7) == [(*begun, 7)], "from WAITING it is the operator's start"
    assert arm.cycle().state == MasterState.AUTO
    assert jog(30.0, 7) == []
    assert jog(0.0, 7) == [], "the release is told by the mode, if at all"
    arm.until(lambda s: not any(s.moving))
    assert jog(0.0, 7) == []
    assert jog(20.0, 8) == [(*begun, 8)]
    arm.run(1.0)        # let go without a word
    assert jog(-20.0, 8) == [(*begun, 8)]


@pytest.mark.parametrize("direction", [100.0, -100.0])
def test_saf_5_a_jog_brakes_before_the_limit_and_can_go_back(direction: float) -> None:
    arm = VirtualArm(8, 5)
    arm.auto()
    for _ in range(60):
        arm.jog(*[direction] * 8)
        state = arm.run(0.1)
    soft = [f.maximum_deg - 1.0 if direction > 0 else f.minimum_deg + 1.0 for f in arm.facts.axis]
    truth = arm.board.truth()["position_deg"]
    for i in range(8):
        assert truth[i] == pytest.approx(soft[i], abs=0.3), i
        assert state.setpoint_speed_deg_s[i] == 0.0
    assert {axis for code, axis in warnings(state) if code == LIMIT_BRAKE} == set(range(1, 9))
    assert state.state == MasterState.AUTO
    for _ in range(5):
        arm.jog(*[-direction] * 8)
        state = arm.run(0.1)
    assert not codes(state)
    assert not warnings(state)
    back = arm.board.truth()["position_deg"]
    assert all((back[i] - soft[i]) * direction < -100.0 for i in range(8))


@pytest.mark.parametrize("noise", [0.3, 2.0])
def test_saf_5_repeated_jogs_against_a_limit_do_not_creep_beyond_it(noise: float) -> None:
    arm = VirtualArm(2, 9, noise_counts=noise)
    arm.auto()
    for _ in range(50):
        arm.jog(100.0, 100.0)
        arm.run(0.1)
    for _ in range(60):
        arm.jog(30.0, 30.0)
        arm.run(0.1)
        arm.push(CommandKind.STAND_STILL)
        arm.run(0.3)
    truth = arm.board.truth()
    assert not codes(arm.cycle())
    for i in range(2):
        assert truth["position_deg"][i] <= truth["maximum_deg"][i] - 0.5


def test_an_axis_between_soft_and_hard_limit_may_only_go_inwards() -> None:
    arm = VirtualArm(2, start_deg=[119.6, 20.0], noise_counts=0.0, gravity_scale=0.0)
    arm.auto()
    arm.jog(100.0, 0.0)
    state = arm.run(0.1)
    assert arm.board.truth()["position_deg"][0] == pytest.approx(119.6, abs=0.05)
    assert (LIMIT_BRAKE, 1) in warnings(state)
    arm.push(CommandKind.MOVE, [0.0, 40.0], 2, 100.0)       # another axis is free meanwhile
    arrive(arm, 1)
    arm.move(100.0, 40.0)
    arrive(arm, 2)
    assert not codes(arm.cycle())


def test_ess_2_an_axis_outside_its_hard_limits_blocks_until_it_is_moved_back_by_hand() -> None:
    arm = VirtualArm(2, start_deg=[119.9, 20.0], noise_counts=0.0, gravity_scale=0.0)
    arm.waiting()
    arm.board.set_fault("drift", axis=1, speed_deg_s=20.0, seconds=0.1)
    state = arm.run(0.3)
    assert codes(state) >= {(602, 1)}
    assert state.blockers >> Blocker.OUTSIDE_LIMITS & 1
    arm.push(CommandKind.RESET)
    state = arm.run(0.5)
    assert state.state == MasterState.ERROR
    arm.move(50.0, 20.0)
    assert arm.run(0.05).last_command_result == CommandResult.NOT_READY
    arm.board.set_fault("drift", axis=1, speed_deg_s=-20.0, seconds=0.3)
    arm.run(0.5)
    arm.push(CommandKind.RESET)
    state = arm.until(lambda s: s.state == MasterState.WAITING, 1.0)
    assert state.blockers == 0, summary(state)
    arm.move(50.0, 20.0)
    arrive(arm, 1)


def test_a_move_that_was_held_back_goes_on_to_its_target_as_long_as_it_comes_nearer() -> None:
    arm = VirtualArm(1)
    arm.auto()
    arm.move(40.0, percent=25.0)
    arm.until(lambda s: s.setpoint_speed_deg_s[0] > 10.0)
    arm.board.set_fault("blocked", axis=1, seconds=0.4)     # some 6 deg behind: more than a second to make up
    state = arrive(arm, 1)
    assert not codes(state)
    assert_on_target(arm, [40.0])


def test_ess_8_a_move_that_stays_blocked_is_an_error_after_a_second() -> None:
    """Not only a motion that stands: the next one would begin from there and forgive it."""
    arm = VirtualArm(1)
    start = arm.auto().position_deg[0]
    arm.board.set_fault("blocked", axis=1)
    arm.move(start + 5.0)
    state = arm.run(3.0)
    assert codes(state) & {(607, 1), (608, 1)}, summary(state)
    assert (state.on_target[0], state.motions_done, state.motor_power) == (0, 0, 0)


def test_saf_8_a_jog_is_told_when_it_begins_and_not_when_it_is_repeated() -> None:
    arm = VirtualArm(2)
    arm.auto()
    arm.core.events()
    for _ in range(2):
        for _ in range(10):
            arm.jog(20.0, -10.0)
            arm.run(0.05)
        arm.jog(0.0, 0.0)
        arm.run(1.0)
        told = [row[2:4] for row in arm.core.events() if row[1] == EventKind.COMMAND]
        assert told == [(CommandKind.JOG, CommandResult.OK)]


def test_saf_8_a_jog_that_switches_motor_power_on_is_told() -> None:
    arm = VirtualArm(2)
    arm.waiting()
    arm.core.events()
    arm.jog(20.0, -10.0)
    arm.until(lambda s: s.state == MasterState.AUTO)     # a jog that was not repeated during the power-up moves nothing
    told = [row[2:4] for row in arm.core.events() if row[1] == EventKind.COMMAND]
    assert told == [(CommandKind.JOG, CommandResult.OK)]
