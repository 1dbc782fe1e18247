"""SAF-1..4 and SAF-6 on the virtual clock: stop latency, stop categories and their escalation, jump-free re-enable."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from controller.config import Motion
from controller.spec.modes import (
    Blocker,
    BusState,
    CommandKind,
    CommandResult,
    DriverMode,
    EventKind,
    MasterMode,
    MasterState,
    StopCategory,
)
from tests.telegrams import command
from tests.virtual_arm import VirtualArm, codes, summary

MOTION = Motion()
POWER, QUICK_STOP, LEAVE = 1, 2, 8


def moving(axes: int = 2, seed: int = 0) -> VirtualArm:
    """An arm at full speed towards far targets."""
    arm = VirtualArm(axes, seed)
    arm.auto()
    arm.move(*[facts.maximum_deg - 3.0 for facts in arm.facts.axis])
    arm.until(lambda s: s.setpoint_speed_deg_s[0] > 40.0)
    return arm


def jogging(axes: int = 2) -> VirtualArm:
    arm = VirtualArm(axes)
    arm.auto()
    for _ in range(4):
        arm.jog(*[100.0] * axes)
        arm.run(0.1)
    return arm


def starting(axes: int = 2) -> VirtualArm:
    """In TRANSITION_TO_AUTO with a motion waiting for it."""
    arm = VirtualArm(axes)
    arm.waiting()
    arm.move(*[30.0] * axes)
    state = arm.cycle()
    assert state.state == MasterState.TRANSITION_TO_AUTO
    return arm


def standing(axes: int = 2) -> VirtualArm:
    arm = VirtualArm(axes)
    arm.auto()
    return arm


def waiting(axes: int = 2) -> VirtualArm:
    arm = VirtualArm(axes)
    arm.waiting()
    return arm


def startup(axes: int = 2) -> VirtualArm:
    return VirtualArm(axes)


def error(axes: int = 2) -> VirtualArm:
    arm = moving(axes)
    arm.board.set_fault("low_battery", mv=12000)
    arm.until(lambda s: s.state == MasterState.ERROR)
    return arm


PLACES: dict[str, tuple[Callable[[], VirtualArm], set[MasterState]]] = {
    "move": (moving, {MasterState.TRANSITION_TO_WAITING}),
    "jog": (jogging, {MasterState.TRANSITION_TO_WAITING}),
    "power-up": (starting, {MasterState.WAITING}),
    "standing": (standing, {MasterState.WAITING}),
    "waiting": (waiting, {MasterState.WAITING}),
    "startup": (startup, {MasterState.STARTUP}),
    "error": (error, {MasterState.ERROR}),
}


@pytest.mark.parametrize("place", PLACES)
def test_saf_2_stop_acts_in_the_next_cycle_from_every_state_with_a_full_ring(place: str) -> None:
    make, after = PLACES[place]
    arm = make()
    before = arm.cycle() if place != "startup" else None
    stops, done, refused = (before.stops, before.commands_done, before.commands_refused) if before else (0, 0, 0)
    arm.core.events()
    pushed = 0
    while arm.push(CommandKind.JOG, [-100.0, -100.0], 3):
        pushed += 1
    assert pushed == 64     # the ring is full and says so
    arm.core.request_stop()
    state = arm.cycle()
    assert state.stops == stops + 1
    assert state.state in after, summary(state)
    assert (state.commands_done - done, state.commands_refused - refused) == (64, 64)   # none acted, each counted
    dropped = [row for row in arm.core.events() if row[1] == EventKind.COMMAND]
    assert {row[3] for row in dropped} == {CommandResult.DROPPED_BY_STOP}
    assert len(dropped) == 64
    resting = arm.run(1.5)
    assert not any(resting.moving)
    assert arm.cycle().stops == stops + 1    # acted on once


@pytest.mark.parametrize("place", ["move", "jog", "power-up", "standing", "waiting"])
def test_saf_2_after_a_stop_nothing_moves_and_new_commands_work(place: str) -> None:
    arm = PLACES[place][0]()
    arm.core.request_stop()
    arm.until(lambda s: s.state == MasterState.WAITING, 2.0)
    arm.run(0.3)
    arm.board.reset_maxima()
    state = arm.run(1.0)
    assert arm.board.maxima()["command_speed_deg_s"] == (0.0, 0.0)
    assert state.state == MasterState.WAITING
    arm.move(40.0, 40.0)
    done = state.motions_done
    arm.until(lambda s: s.motions_done == done + 1)


def test_saf_2_the_first_cycle_after_stop_brakes() -> None:
    arm = moving()
    before = arm.until(lambda s: s.setpoint_speed_deg_s[0] > 56.9 and s.setpoint_acceleration_deg_s2[0] == 0.0)
    arm.core.request_stop()
    state = arm.cycle()
    assert state.setpoint_acceleration_deg_s2[0] < before.setpoint_acceleration_deg_s2[0]
    assert state.setpoint_speed_deg_s[0] < before.setpoint_speed_deg_s[0]


def test_saf_2_a_jog_held_through_a_stop_moves_again_only_after_it_was_released() -> None:
    arm = jogging()
    arm.core.request_stop()
    results = set()
    for _ in range(20):     # its client does not know of the stop yet
        arm.jog(100.0, 100.0)
        state = arm.run(0.1)
        results.add(state.last_command_result)
        assert state.state in (MasterState.TRANSITION_TO_WAITING, MasterState.WAITING)
    assert not any(state.moving)
    assert results == {CommandResult.DROPPED_BY_STOP, CommandResult.NOT_READY, CommandResult.WRONG_STATE}
    arm.run(0.25)
    arm.jog(50.0, 50.0)
    arm.until(lambda s: s.state == MasterState.AUTO and s.command_speed_deg_s[0] > 5.0, 1.0)


def test_saf_2_the_release_of_a_jog_does_not_switch_power_on() -> None:
    arm = waiting()
    arm.jog(0.0, 0.0)
    state = arm.run(0.1)
    assert (state.state, state.motor_power) == (MasterState.WAITING, 0)
    assert state.last_command_result == CommandResult.OK


# -- categories (SAF-3) ------------------------------------------------------------------------------------------------

def test_saf_3_soft_stop_holds_the_limb_under_power() -> None:
    arm = moving()
    speeds: list[float] = []
    arm.core.request_stop()
    arm.until(lambda s: speeds.append(s.command_speed_deg_s[0]) or s.state == MasterState.WAITING, 2.0)
    dt = arm.period_ns * 1e-9
    slopes = [(b - a) / dt for a, b in pairwise(speeds)]
    assert max(map(abs, slopes)) <= MOTION.max_acceleration_deg_s2 * 1.001
    assert max(abs(b - a) / dt for a, b in pairwise(slopes)) <= MOTION.max_jerk_deg_s3 * 1.01
    state = arm.run(1.0)
    parts = command(arm.telegram, 2)
    assert state.motor_power == 1
    assert parts.flags & POWER
    assert parts.modes == (DriverMode.STAND_STILL_IN_WAITING_STATE,) * 2
    where = arm.board.truth()["position_deg"]
    arm.run(2.0)
    assert arm.board.truth()["position_deg"] == pytest.approx(where, abs=0.1)   # gravity does not move it


def test_saf_3_movement_while_holding_after_a_soft_stop_escalates_to_emergency() -> None:
    arm = moving()
    arm.core.request_stop()
    arm.until(lambda s: s.state == MasterState.WAITING, 2.0)
    arm.run(0.3)
    arm.board.set_fault("drift", axis=1, speed_deg_s=10.0)
    state = arm.until(lambda s: s.state == MasterState.ERROR, 0.5)
    assert codes(state) == {(607, 1)}
    assert state.stop_category == StopCategory.EMERGENCY
    assert not command(arm.telegram, 2).flags & POWER


def test_saf_3_quick_stop_ramps_faster_then_takes_power() -> None:
    arm = moving()
    arm.board.set_fault("not_connected", axis=2)
    state = arm.until(lambda s: s.state == MasterState.ERROR, 0.1)
    assert state.stop_category == StopCategory.QUICK
    began, speeds = state.cycle, []
    state = arm.until(lambda s: speeds.append(s.setpoint_speed_deg_s[0]) or not s.motor_power, 1.0)
    slopes = [(b - a) * 1000.0 for a, b in pairwise(speeds[:-1])]
    assert MOTION.max_acceleration_deg_s2 < max(-s for s in slopes) <= MOTION.quick_stop_deceleration_deg_s2
    assert state.cycle - began < 130        # 58 deg/s at 810 deg/s^2, reached within 20 ms


def test_saf_3_emergency_takes_power_in_the_same_cycle() -> None:
    arm = moving()
    arm.board.set_fault("button")
    state = arm.until(lambda s: s.state == MasterState.ERROR, 0.01)
    parts = command(arm.telegram, 2)
    assert state.stop_category == StopCategory.EMERGENCY
    assert parts.flags & (POWER | QUICK_STOP) == QUICK_STOP
    assert parts.modes == (DriverMode.HARD_STOP,) * 2


def test_saf_3_categories_only_escalate_and_the_lowest_of_several_wins() -> None:
    arm = moving()
    arm.core.request_stop()                                  # 2
    assert arm.cycle().stop_category == StopCategory.SOFT
    arm.board.set_fault("drive_error", axis=2)               # 1, while the soft stop runs
    state = arm.until(lambda s: s.state == MasterState.ERROR, 0.1)
    assert state.stop_category == StopCategory.QUICK
    assert state.motor_power == 1                            # still ramping down
    arm.board.set_fault("button")                            # 0, while the quick stop runs
    state = arm.run(0.005)
    assert state.stop_category == StopCategory.EMERGENCY
    assert state.motor_power == 0
    arm.core.request_stop()
    arm.board.set_fault("drive_error", axis=1)               # 1 again: changes nothing any more
    state = arm.cycle()
    state = arm.cycle()
    assert state.stop_category == StopCategory.EMERGENCY
    assert {(296, 0), (102, 2), (101, 1)} <= codes(state)


def test_saf_3_two_errors_in_one_cycle_the_lower_category_wins() -> None:
    arm = moving()
    arm.board.set_fault("drive_error", axis=2)
    arm.board.set_fault("button")
    state = arm.until(lambda s: s.state == MasterState.ERROR, 0.1)
    assert codes(state) >= {(296, 0), (102, 2)}
    assert state.stop_category == StopCategory.EMERGENCY


def test_saf_3_low_battery_holds_the_limb() -> None:
    arm = error()
    state = arm.run(1.5)
    assert (state.stop_category, state.motor_power) == (StopCategory.SOFT, 1)
    assert codes(state) == {(30, 0)}
    assert command(arm.telegram, 2).modes == (DriverMode.STAND_STILL_IN_WAITING_STATE,) * 2


# -- error state (SAF-6) -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", [k for k in CommandKind if k not in (CommandKind.RESET, CommandKind.SPEED_LIMITS)])
def test_saf_6_only_reset_leaves_the_error_state(kind: CommandKind) -> None:
    arm = error()
    arm.board.clear_faults()
    arm.run(8.0)
    arm.push(kind, [10.0, 10.0], 3, 50.0)
    state = arm.run(0.5)
    assert state.state == MasterState.ERROR
    arm.core.request_stop()
    assert arm.run(0.5).state == MasterState.ERROR
    arm.push(CommandKind.RESET)
    assert arm.until(lambda s: s.state != MasterState.ERROR, 0.1).state == MasterState.WAITING
    arm.board.reset_maxima()
    arm.run(1.0)
    assert arm.board.maxima()["command_speed_deg_s"] == (0.0, 0.0)      # never straight to motion


def test_saf_6_reset_is_refused_while_a_stop_still_runs() -> None:
    arm = error()
    arm.push(CommandKind.RESET)
    state = arm.cycle()
    assert (state.state, state.last_command_result) == (MasterState.ERROR, CommandResult.NOT_READY)


def test_saf_6_an_error_during_reset_ends_the_reset_and_its_mode() -> None:
    arm = waiting()
    arm.board.set_fault("button")
    arm.run(0.2)
    arm.push(CommandKind.RESET)
    assert arm.run(0.05).mode == MasterMode.RESET_ERROR
    arm.board.set_fault("not_connected", axis=1)
    state = arm.run(0.05)
    assert (state.state, state.mode) == (MasterState.ERROR, MasterMode.OFF)


def test_saf_6_faults_that_come_and_go_during_reset() -> None:
    arm = waiting()
    for _ in range(5):
        arm.board.set_fault("drive_error", axis=1)
        arm.run(0.1)
        arm.push(CommandKind.RESET)
        arm.run(0.05)
        arm.board.clear_faults()
        arm.run(0.05)
    arm.push(CommandKind.RESET)
    state = arm.until(lambda s: s.state == MasterState.WAITING, 1.0)
    assert not codes(state)


# -- re-enable without a jump ------------------------------------------------------------------------------------------

def by_soft_stop(arm: VirtualArm) -> None:
    arm.core.request_stop()
    arm.until(lambda s: s.state == MasterState.WAITING, 2.0)


def by_silence(arm: VirtualArm) -> None:
    arm.board.set_fault("silence")
    arm.until(lambda s: s.bus_state == BusState.LOST, 0.1)
    arm.run(0.5)
    arm.board.clear_faults()
    arm.reattach()
    arm.run(0.3)
    arm.push(CommandKind.RESET)
    arm.waiting()


def by_button(arm: VirtualArm) -> None:
    arm.board.set_fault("button")
    arm.run(0.7)
    arm.board.clear_faults()
    arm.run(0.1)
    arm.push(CommandKind.RESET)
    arm.waiting()


def by_off_and_moved_by_hand(arm: VirtualArm) -> None:
    arm.push(CommandKind.OFF)
    arm.until(lambda s: not s.motor_power, 2.0)
    arm.run(0.3)
    arm.board.set_fault("drift", axis=1, speed_deg_s=-20.0, seconds=0.5)
    arm.run(0.6)


def by_drive_error(arm: VirtualArm) -> None:
    arm.board.set_fault("drive_error", axis=1)
    arm.run(0.5)
    arm.board.clear_faults()
    arm.push(CommandKind.RESET)
    arm.waiting()


def by_hang_up_in_mid_ramp(arm: VirtualArm) -> None:
    """The line is taken back while the quick stop still runs, and lent again at once."""
    arm.board.set_fault("silence")
    arm.until(lambda s: s.bus_state == BusState.LOST, 0.1)
    assert any(arm.cycle().moving)
    arm.board.clear_faults()
    arm.reattach()
    arm.run(0.3)
    arm.push(CommandKind.RESET)
    arm.waiting()


def by_detach_in_auto(arm: VirtualArm) -> None:
    arm.reattach()
    arm.run(0.3)
    arm.push(CommandKind.RESET)
    arm.waiting()


@pytest.mark.parametrize("stop", [by_soft_stop, by_silence, by_button, by_off_and_moved_by_hand, by_drive_error,
                                  by_hang_up_in_mid_ramp, by_detach_in_auto])
def test_saf_1_re_enable_never_jumps_and_forgets_old_targets(stop: Callable[[VirtualArm], None]) -> None:
    arm = moving(axes=4, seed=3)
    old = arm.cycle().target_position_deg
    stop(arm)
    arm.run(0.5)
    arm.board.reset_maxima()
    state = arm.run(1.0)
    assert state.state == MasterState.WAITING, summary(state)
    assert arm.board.maxima()["command_speed_deg_s"] == (0.0,) * 4      # no motion until a new command
    arm.push(CommandKind.START)
    arm.until(lambda s: s.state == MasterState.AUTO, 2.0)
    arm.run(0.5)
    assert arm.board.maxima()["command_speed_deg_s"] == (0.0,) * 4      # nor by the start alone
    here = arm.cycle().position_deg
    arm.push(CommandKind.MOVE, [here[0] + (5.0 if here[0] < 50.0 else -5.0)], 1, 100.0)
    state = arm.cycle()
    assert state.target_position_deg[1:] == pytest.approx(here[1:], abs=0.3)    # old targets are forgotten
    assert state.target_position_deg[1:] != pytest.approx(old[1:], abs=0.3)
    speeds = [state.command_speed_deg_s[0]]
    assert abs(speeds[0]) <= MOTION.max_acceleration_deg_s2 * 1e-3              # the first speed is that of one cycle
    arm.until(lambda s: speeds.append(s.command_speed_deg_s[0]) or s.motions_done == 1, 3.0)
    assert max(abs(b - a) for a, b in pairwise(speeds[:-1])) <= MOTION.max_acceleration_deg_s2 * 1.001e-3
    assert arm.board.maxima()["command_change_deg_s"][0] <= 0.8     # from the joint's true speed, sensor step included
    assert not codes(arm.cycle())


def test_saf_1_a_new_line_never_inherits_a_running_ramp() -> None:
    arm = moving()
    arm.board.set_fault("silence")
    arm.until(lambda s: s.bus_state == BusState.LOST, 0.1)
    arm.board.clear_faults()
    arm.reattach()
    parts = []
    arm.run(0.3, lambda s: parts.append(command(arm.telegram, 2)))
    assert all(not part.flags & POWER for part in parts)
    assert {mode for part in parts for mode in part.modes} == {DriverMode.DRIVER_OFF}


def test_saf_1_power_is_off_from_the_first_telegram_until_the_operators_start() -> None:
    arm = VirtualArm(3)
    parts = []
    state = arm.run(2.0, lambda s: parts.append(command(arm.telegram, 3)))
    assert state.state == MasterState.WAITING
    assert all(part.flags == 0 and set(part.modes) == {DriverMode.DRIVER_OFF} for part in parts)


@pytest.mark.parametrize("place", PLACES)
def test_saf_1_shutdown_stops_softly_takes_power_and_leaves_the_cyclic_phase(place: str) -> None:
    arm = PLACES[place][0]()
    arm.cycle()
    arm.core.request_quit()
    arm.run(1.5)
    truth = arm.board.truth()
    assert (truth["phase"], truth["enable"], truth["contacts"]) == ("register", False, False)
    left = [flags for _, flags in arm.board.flag_log() if flags & LEAVE]
    assert left
    assert not any(flags & POWER for flags in left)
    if place in ("move", "jog"):    # softly
        assert arm.board.maxima()["command_change_deg_s"][0] <= 0.8


def test_a_motion_command_is_refused_with_its_blockers() -> None:
    arm = waiting()
    arm.board.set_fault("button")
    arm.run(0.1)
    arm.move(30.0, 30.0)
    state = arm.run(0.01)
    assert state.last_command_result == CommandResult.NOT_READY
    assert state.blockers == 1 << Blocker.ERROR | 1 << Blocker.BUTTON


def test_off_takes_power_after_a_soft_stop_and_stays_off() -> None:
    arm = moving()
    arm.push(CommandKind.OFF)
    state = arm.until(lambda s: not s.motor_power, 2.0)
    assert (state.state, state.mode) == (MasterState.WAITING, MasterMode.OFF)
    assert not any(state.moving)
    state = arm.run(1.0)
    assert (state.motor_power, state.state) == (0, MasterState.WAITING)
    assert not codes(state)
