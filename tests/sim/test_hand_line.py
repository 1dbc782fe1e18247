"""Moves of the hand along straight lines on the running core: straight, smooth, within every limit; what stands in the
way; and everything that ends them. Virtual clock; LimitWatch decodes and differences every telegram.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import msgspec
import pytest

from controller._core import Kinematics, State
from controller.config import Config, Hand, Joint, Motion, load
from controller.spec.modes import CommandKind, CommandResult, MasterMode, MasterState
from tests.sim.test_cycle_limits import LimitWatch
from tests.unit.test_kinematics import random_chain
from tests.virtual_arm import VirtualArm, codes, warnings

STRAIGHT_MM = 2.0
UNCHECKED = 32


class HandArm(VirtualArm):
    """Moves the hand and measures how."""

    def __init__(self, axes: int = 4, *joints_deg: float, **board: object) -> None:
        super().__init__(axes, 1, **board)  # type: ignore[arg-type]
        self.kinematics = Kinematics(self.facts.chain)  # type: ignore[arg-type]
        self.last = self.auto()
        if joints_deg:
            self.go(*joints_deg)

    def go(self, *joints_deg: float) -> None:
        done = self.cycle().motions_done
        self.move(*joints_deg)
        self.until(lambda s: s.motions_done > done, 20.0)

    def hand(self, state: State) -> tuple[float, float, float]:
        return state.hand_x_mm, state.hand_y_mm, state.hand_z_mm

    def true_hand(self) -> tuple[float, ...]:
        """Of the simulated joints themselves, no sensor between."""
        return self.kinematics.forward(self.board.truth()["position_deg"])[0]

    def setpoint_hand(self, state: State) -> tuple[float, ...]:
        return self.kinematics.forward(state.setpoint_position_deg)[0]

    def ask(self, *to_mm: float, percent: float = 100.0, mask: int = 7) -> int:
        return self.push(CommandKind.HAND_MOVE, to_mm, mask=mask, value=percent)

    def line(self, *to_mm: float, percent: float = 100.0, mask: int = 7) -> tuple[State, float, float]:
        """Go there: (last state, how far the set-points, and the true hand, were from the straight line)."""
        watch, before = LimitWatch(self), self.cycle()
        self.ask(*to_mm, percent=percent, mask=mask)
        start, off_setpoint, off_true, moved = None, 0.0, 0.0, False
        for cycle in range(30_000):
            state = self.cycle()
            watch.check(state)
            if any(state.moving):
                moved = True
                start = start or self.setpoint_hand(before)
            before = state
            if moved and start is not None:
                off_setpoint = max(off_setpoint, off_line(self.setpoint_hand(state), start, to_mm))
                if cycle % 5 == 0:
                    off_true = max(off_true, off_line(self.true_hand(), start, to_mm))
            if state.motions_done != watch_done(before, state) or (cycle > 5 and state.mode == MasterMode.STAND_STILL):
                break
        assert moved, warnings(state)
        assert not codes(state)
        assert state.limit_interventions == 0
        return state, off_setpoint, off_true


def watch_done(before: State, state: State) -> int:
    return before.motions_done if before is not state else state.motions_done


def off_line(at: Sequence[float], start: Sequence[float], to: Sequence[float]) -> float:
    """Distance of a place from the straight line between two others."""
    way = [b - a for a, b in zip(start, to, strict=False)]
    off = [b - a for a, b in zip(start, at, strict=True)]
    along = sum(a * b for a, b in zip(way, off, strict=True)) / max(1e-9, sum(a * a for a in way))
    return math.dist(off, [along * part for part in way])


def test_a_square_is_straight_within_2_mm_and_ends_where_it_began() -> None:
    arm = HandArm()
    start = arm.hand(arm.cycle())
    corners = [(start[0], start[1] + 120, start[2]), (start[0], start[1] + 120, start[2] + 120),
               (start[0], start[1], start[2] + 120), start]
    for corner in corners:
        state, off_setpoint, off_true = arm.line(*corner)
        assert off_setpoint < 0.1
        assert off_true < STRAIGHT_MM
        assert math.dist(arm.hand(state), corner) < STRAIGHT_MM
        assert all(state.on_target)


@pytest.mark.parametrize("seed", range(6))
def test_random_lines_are_straight_and_within_every_limit(seed: int) -> None:
    """Wherever the search finds a line, the arm goes it straight; where it does not, nothing moves. Axes 4, 5 and 7."""
    source = random.Random(seed)
    arm = HandArm((4, 5, 7)[seed % 3])
    gone = refused = 0
    while gone < 4:
        pose = [source.uniform(f.minimum_deg + 5, f.maximum_deg - 5) for f in arm.facts.axis]
        to, state = arm.kinematics.forward(pose)[0], arm.cycle()
        found = arm.kinematics.line(state.position_deg, to, state.range_minimum_deg, state.range_maximum_deg)
        if found.share < 1.0:
            before = state.position_deg
            arm.ask(*to)
            state = arm.until(lambda s: s.last_command_result == CommandResult.NOT_REACHABLE, 3.0)
            assert warnings(state) == {(code, 0) for code in found.warnings}
            assert arm.run(0.3).position_deg == pytest.approx(before, abs=0.2)
            refused += 1
            assert refused < 60
            continue
        state, off_setpoint, off_true = arm.line(*to, percent=source.choice((100.0, 60.0)))
        gone += 1
        assert off_setpoint < 0.2
        assert off_true < STRAIGHT_MM
        assert math.dist(arm.setpoint_hand(state), to) < 0.01


@pytest.mark.parametrize("elbow_deg", [-0.09, 0.0, 0.09])
def test_out_of_the_stretched_arm(elbow_deg: float) -> None:
    """The arm hangs down stretched, a singular posture: the hand can still be drawn straight up, with the elbow bent to
    the side that has room, whichever way the noise of the sensors points."""
    arm = HandArm(4, 0, 0, 0, elbow_deg)
    state, off_setpoint, off_true = arm.line(0.0, 0.0, -500.0)
    assert off_setpoint < 0.2
    assert off_true < STRAIGHT_MM
    assert state.elbow_deg > 60


def test_unchecked_it_goes_as_far_as_there_is_a_way() -> None:
    arm = HandArm()
    before = arm.hand(arm.cycle())
    arm.ask(900.0, -140.0, -377.0)
    state = arm.until(lambda s: s.last_command_result == CommandResult.NOT_REACHABLE)
    assert warnings(state) == {(104, 0)}
    assert math.dist(arm.hand(arm.run(0.3)), before) < 2
    state, off_setpoint, _ = arm.line(900.0, -140.0, -377.0, mask=7 | UNCHECKED)
    assert off_setpoint < 0.2
    assert math.dist(arm.hand(state), (0, 0, 0)) > 0.99 * arm.kinematics.reach_mm[1]
    assert warnings(state) == {(104, 0)}
    arm.ask(*before)
    arm.run(0.1)
    assert warnings(arm.cycle()) == set()  # withdrawn by the next motion


def test_a_range_of_motion_is_kept() -> None:
    arm = HandArm()
    at = arm.cycle().position_deg
    arm.push(CommandKind.ROM_MINIMUM, [deg - 15 for deg in at])
    arm.push(CommandKind.ROM_MAXIMUM, [deg + 15 for deg in at])
    arm.push(CommandKind.ROM_ENABLE, mask=15)
    arm.run(0.1)
    state, _, _ = arm.line(200.0, -140.0, -377.0, mask=7 | UNCHECKED)
    assert all(low - 0.02 <= deg <= high + 0.02 for low, deg, high in zip(
        state.range_minimum_deg, state.setpoint_position_deg, state.range_maximum_deg, strict=True))
    assert any(min(deg - low, high - deg) < 0.1 for low, deg, high in zip(
        state.range_minimum_deg, state.setpoint_position_deg, state.range_maximum_deg, strict=True))
    assert warnings(state)


def test_the_wrist_turns_evenly_and_the_elbow_is_checked() -> None:
    arm = HandArm(5)
    x, y, z = arm.hand(arm.cycle())
    wrist = arm.cycle().position_deg[4]
    state, off_setpoint, _ = arm.line(x, y, z + 60, 0.0, wrist + 30, mask=7 | 16)
    assert state.setpoint_position_deg[4] == pytest.approx(wrist + 30, abs=0.15)
    assert off_setpoint < 0.1
    elbow = state.elbow_deg
    arm.ask(x, y, z + 60, elbow, mask=7 | 8)
    assert arm.run(0.5).last_command_result == CommandResult.OK
    arm.ask(x, y, z + 60, elbow + 10, mask=7 | 8)
    state = arm.until(lambda s: s.last_command_result == CommandResult.NOT_REACHABLE)
    assert warnings(state) == {(101, 0)}


@pytest.mark.parametrize(("values", "mask", "percent", "result"), [
    ((math.nan, 0, 0), 7, 100, CommandResult.OUT_OF_RANGE), ((0, math.inf, 0), 7, 100, CommandResult.OUT_OF_RANGE),
    ((1e7, 0, 0), 7, 100, CommandResult.OUT_OF_RANGE), ((0, 0, 0), 3, 100, CommandResult.OUT_OF_RANGE),
    ((0, 0, 0), 64 + 7, 100, CommandResult.OUT_OF_RANGE), ((0, 0, 0), 7, 0, CommandResult.OUT_OF_RANGE),
    ((0, 0, 0), 7, math.nan, CommandResult.OUT_OF_RANGE), ((0, 0, 0, math.nan), 15, 100, CommandResult.OUT_OF_RANGE),
    ((0, 0, 0, 0, 5), 23, 100, CommandResult.OUT_OF_RANGE),  # an arm of four axes has no wrist
])
def test_saf_9_nonsense_changes_nothing(values: Sequence[float], mask: int, percent: float,
                                        result: CommandResult) -> None:
    arm = HandArm()
    before = arm.cycle()
    arm.push(CommandKind.HAND_MOVE, values, mask=mask, value=percent)
    state = arm.run(0.3)
    assert state.last_command_result == result
    assert (state.mode, state.motions_done) == (before.mode, before.motions_done)
    assert not any(state.moving)


def in_mid_line() -> HandArm:
    arm = HandArm()
    arm.ask(200.0, 200.0, -300.0)
    arm.until(lambda s: math.hypot(*s.setpoint_speed_deg_s) > 15.0)
    return arm


def test_saf_2_a_stop_ends_it_and_its_search() -> None:
    arm = in_mid_line()
    arm.core.request_stop()
    state = arm.until(lambda s: s.state == MasterState.WAITING, 2.0)
    assert state.motions_done == 0
    arm.auto()
    arm.ask(200.0, 200.0, -300.0)
    arm.run(0.01)  # still searching
    arm.core.request_stop()
    arm.until(lambda s: s.state == MasterState.WAITING, 2.0)
    assert not any(arm.run(1.0).moving)


@pytest.mark.parametrize("begin", [
    lambda arm: arm.push(CommandKind.STAND_STILL), lambda arm: arm.move(10, 20, -15, 50),
    lambda arm: arm.jog(0, 20, 0, 0), lambda arm: arm.push(CommandKind.HAND_JOG, [0, 0, 50]),
    lambda arm: arm.push(CommandKind.START, mask=2), lambda arm: arm.ask(300.0, 0.0, -350.0)])
def test_another_command_takes_over_within_the_limits(begin) -> None:
    arm = in_mid_line()
    watch = Follow(arm)
    begin(arm)
    for _ in range(4000):
        watch.check(arm.cycle())
    state = arm.cycle()
    assert not any(state.moving)
    assert state.state == MasterState.AUTO
    assert not codes(state)


class Follow:
    """Set-point speeds differenced twice, from mid-motion on."""

    def __init__(self, arm: HandArm) -> None:
        self.dt, one, two = arm.period_ns * 1e-9, arm.cycle(), arm.cycle()
        self.before = two.setpoint_speed_deg_s
        self.slope = [(b - a) / self.dt
                      for a, b in zip(one.setpoint_speed_deg_s, two.setpoint_speed_deg_s, strict=True)]

    def check(self, state: State) -> None:
        limits = Motion()
        for i, speed in enumerate(state.setpoint_speed_deg_s):
            slope = (speed - self.before[i]) / self.dt
            assert abs(speed) <= limits.max_speed_deg_s
            assert abs(slope) <= limits.max_acceleration_deg_s2 + 1e-6
            if any(state.moving):
                assert abs(slope - self.slope[i]) / self.dt <= limits.max_jerk_deg_s3 * 1.001
            self.slope[i] = slope
        self.before = state.setpoint_speed_deg_s


def test_saf_5_a_lower_speed_limit_slows_the_line_down_at_once() -> None:
    arm = in_mid_line()
    arm.push(CommandKind.SPEED_LIMITS, [10.0] * 8, 0xFF, 70.0)
    arm.run(0.6)
    done = arm.cycle().motions_done
    while (state := arm.cycle()).motions_done == done:
        assert max(map(abs, state.setpoint_speed_deg_s)) <= 6.0 + 1e-3
    arm.push(CommandKind.SPEED_LIMITS, [0.0] * 8, 0xFF, 70.0)
    arm.ask(300.0, 100.0, -350.0)
    assert arm.run(0.1).last_command_result == CommandResult.NO_SPEED


def test_from_waiting_it_is_the_operators_start() -> None:
    arm = VirtualArm(4, 1)
    arm.waiting()
    at = arm.cycle()
    arm.push(CommandKind.HAND_MOVE, [at.hand_x_mm, at.hand_y_mm, at.hand_z_mm + 50], mask=7, value=100.0)
    state = arm.until(lambda s: s.motions_done == 1)
    assert state.hand_z_mm == pytest.approx(at.hand_z_mm + 50, abs=1.5)


def test_lengths_of_the_wearer_move_the_hand_and_its_lines() -> None:
    arm = HandArm()
    arm.push(CommandKind.ARM_LENGTHS, [40.0, 60.0])
    state = arm.run(0.1)
    longer = Kinematics(arm.facts.chain, upper_arm_mm=40.0, forearm_mm=60.0)  # type: ignore[arg-type]
    assert arm.hand(state) == longer.forward(state.position_deg)[0]
    for bad in ([-1.0, 0.0], [0.0, 201.0], [math.nan, 0.0]):
        arm.push(CommandKind.ARM_LENGTHS, bad)
        assert arm.run(0.01).last_command_result == CommandResult.OUT_OF_RANGE
    arm.kinematics = longer
    x, y, z = arm.hand(arm.cycle())
    _, off_setpoint, _ = arm.line(x, y + 80, z)
    assert off_setpoint < 0.2


def test_without_a_chain_it_is_refused() -> None:
    from controller.supervisor import core_axes, core_settings

    arm = VirtualArm(2)
    arm.core.detach()
    arm.core.configure(core_settings(load(None)), core_axes(load(None), arm.facts))
    arm.reattach()
    arm.waiting()
    for kind in (CommandKind.HAND_MOVE, CommandKind.HAND_JOG):
        arm.push(kind, [50.0, 0.0, -40.0], mask=7, value=100.0)
        assert arm.run(0.05).last_command_result == CommandResult.NO_HAND


def arm_with(source: random.Random, axes: int) -> HandArm:
    """Any chain at all: directions and offsets at random."""
    chain = random_chain(source, axes)
    joints = tuple(Joint(axis=tuple(row["axis"]), offset_mm=tuple(row["offset_mm"])) for row in chain["joints"])
    config = msgspec.structs.replace(Config(), joint=joints, hand=Hand(offset_mm=tuple(chain["hand_offset_mm"])))
    return HandArm(axes, config=config)


@pytest.mark.parametrize("seed", range(2, 8))
def test_saf_5_arms_of_any_kind_keep_every_limit(seed: int) -> None:
    """Random chains of 3..8 joints, random jogs and moves of the hand, into limits and singular postures: every
    telegram is within the limits, and nothing is an error."""
    source = random.Random(seed)
    arm = arm_with(source, 1 + seed)
    watch, moved = LimitWatch(arm), 0
    for _ in range(200):
        jog = [source.choice((0.0, 100.0, source.uniform(-100, 100))) for _ in range(3)]
        if source.random() < 0.5:
            to = [part + source.uniform(-150, 150) for part in arm.hand(arm.last)]
            arm.ask(*to, mask=source.choice((7, 7 | UNCHECKED)))
            jog = []
        for cycle in range(source.choice((30, 150, 600, 1500))):
            if jog and cycle % 100 == 0:
                arm.push(CommandKind.HAND_JOG, jog)
            arm.last = arm.cycle()
            watch.check(arm.last)
            moved += any(arm.last.moving)
        assert not codes(arm.last)
    assert moved > 10_000


@pytest.mark.parametrize("seed", range(2, 8))
def test_lines_of_arms_of_any_kind_are_straight(seed: int) -> None:
    source = random.Random(seed)
    arm = arm_with(source, 1 + seed)
    gone = 0
    for _ in range(200):
        state = arm.cycle()
        to = [part + source.uniform(-120, 120) for part in arm.hand(state)]
        found = arm.kinematics.line(state.position_deg, to, state.range_minimum_deg, state.range_maximum_deg)
        if found.share == 1.0:
            state, off_setpoint, off_true = arm.line(*to)
            assert off_setpoint < 0.3
            assert off_true < STRAIGHT_MM
            gone += 1
            if gone == 3:
                return
    raise AssertionError(f"only {gone} lines were found")


def test_the_watch_over_random_arms_can_fail() -> None:
    arm = arm_with(random.Random(4), 5)
    watch = LimitWatch(arm, Motion(max_acceleration_deg_s2=20.0))
    arm.push(CommandKind.HAND_JOG, [100.0, -100.0, 100.0])
    with pytest.raises(AssertionError):
        arm.run(0.15, watch.check)
