"""Faults that show before a limit is reached: reversed drives, limbs that sag right after a stop, late commands."""

from __future__ import annotations

import msgspec
import pytest

from controller.arm import ArmFacts
from controller.spec.modes import CommandKind, CommandResult, MasterState
from tests.virtual_arm import VirtualArm, codes, summary, warnings

SECOND_NS = 1_000_000_000


class ReversedArm(VirtualArm):
    """The speed conversion of the first axis has the wrong sign: its drive turns the other way."""

    def _facts(self) -> ArmFacts:
        facts = super()._facts()
        first = msgspec.structs.replace(facts.axis[0], speed_conversion_deg=-facts.axis[0].speed_conversion_deg)
        return msgspec.structs.replace(facts, axis=(first, *facts.axis[1:]))


@pytest.mark.parametrize("percent", [2.0, 10.0, 50.0, 100.0, -2.0, -100.0])
@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_ess_8_a_reversed_drive_is_caught_within_two_degrees(percent: float, noise: float) -> None:
    arm = ReversedArm(2, noise_counts=noise)
    begin = arm.auto().position_deg[0]
    for _ in range(40):
        arm.jog(percent, 0.0)
        state = arm.run(0.1)
        if state.state == MasterState.ERROR:
            break
    assert (608, 1) in codes(state)
    arm.board.reset_maxima()
    truth = arm.board.truth()
    assert abs(truth["position_deg"][0] - begin) < 2.0 + 2.0, truth     # two of them the sinking without power
    assert not state.motor_power


@pytest.mark.parametrize("percent", [20.0, 60.0, 100.0])
def test_ess_8_a_reversed_drive_is_caught_in_a_move(percent: float) -> None:
    arm = ReversedArm(2)
    begin = arm.auto().position_deg[0]
    arm.move(80.0, 80.0, percent=percent)
    state = arm.until(lambda s: s.state == MasterState.ERROR, 2.0)
    assert (608, 1) in codes(state)
    assert abs(state.position_deg[0] - begin) < 2.0


@pytest.mark.parametrize("seed", range(3))
def test_sensor_noise_is_no_reversed_drive(seed: int) -> None:
    """Jogs to and fro at every speed, with a sensor three times as noisy as the real one."""
    arm = VirtualArm(4, seed, noise_counts=1.0)
    arm.auto()
    for step in range(120):
        percent = (1.0, 3.0, 10.0, 100.0)[step % 4]
        arm.jog(*[percent if (step // 4 + i) % 2 else -percent for i in range(4)])
        state = arm.run(0.12)
        assert not codes(state), summary(state)


@pytest.mark.parametrize("after_ms", [0, 20, 60, 120])
def test_ess_7_an_arm_that_loses_torque_right_after_a_stop_is_seen_to_sag(after_ms: int) -> None:
    """Standstill is supervised from its first cycle: it may not sag by much more than the drift allowed."""
    arm = VirtualArm(2, gravity_scale=0.0)
    arm.auto()
    arm.move(60.0, 60.0)
    arm.run(0.6)
    arm.core.request_stop()
    arm.until(lambda s: s.state == MasterState.WAITING)
    if after_ms:
        arm.run(after_ms * 1e-3)
    begin = arm.board.truth()["position_deg"][0]
    arm.board.set_fault("drift", axis=1, speed_deg_s=-25.0)
    state = arm.until(lambda s: s.state == MasterState.ERROR, 0.2)
    assert codes(state) == {(607, 1)}
    assert not state.motor_power
    assert abs(arm.board.truth()["position_deg"][0] - begin) < 2.0 + 0.4


def test_ess_7_the_last_lag_of_the_drives_is_no_drift() -> None:
    arm = VirtualArm(4)
    arm.auto()
    for _ in range(6):
        arm.move(70.0, 70.0, 40.0, 70.0)
        arm.run(0.5)
        arm.core.request_stop()
        state = arm.run(0.8)
        assert state.state == MasterState.WAITING, summary(state)
        arm.move(20.0, 20.0, 0.0, 20.0)
        arm.run(0.5)
        arm.push(CommandKind.STAND_STILL)
        assert not codes(arm.run(0.8))


# -- commands from the past --------------------------------------------------------------------------------------------

OLD = {
    "jog": (CommandKind.JOG, [50.0, 50.0], 3, 0.0, 0.2), "move": (CommandKind.MOVE, [40.0, 40.0], 3, 50.0, 1.0),
    "start": (CommandKind.START, [], 0, 0.0, 1.0), "prepare": (CommandKind.PREPARE, [40.0, 40.0], 3, 50.0, 1.0),
}


@pytest.mark.parametrize("auto", [False, True])
@pytest.mark.parametrize("name", OLD)
def test_saf_4_motion_commands_from_the_past_are_refused(name: str, auto: bool) -> None:
    kind, values, mask, value, limit_s = OLD[name]
    arm = VirtualArm(2)
    if auto:
        arm.auto()
    arm.waiting() if not auto else arm.run(0.3)
    before = arm.cycle()
    arm.core.push(kind, values=values, mask=mask, value=value, asked_ns=arm.now_ns - int((limit_s + 0.01) * 1e9))
    state = arm.cycle()
    assert state.last_command_result == CommandResult.EXPIRED
    assert (state.state, state.mode, state.motor_power) == (before.state, before.mode, before.motor_power)
    assert not any(arm.run(0.3).moving)
    arm.core.push(kind, values=values, mask=mask, value=value, asked_ns=arm.now_ns - int((limit_s - 0.01) * 1e9))
    assert arm.cycle().last_command_result == CommandResult.OK


def cruising() -> VirtualArm:
    arm = VirtualArm(2)
    arm.auto()
    for _ in range(6):
        arm.jog(100.0, 0.0)
        state = arm.run(0.1)
    assert abs(state.setpoint_acceleration_deg_s2[0]) < 1e-9
    return arm


def test_saf_4_a_jog_lasts_200_ms_from_when_it_was_asked_for() -> None:
    arm = cruising()
    arm.core.push(CommandKind.JOG, values=[100.0, 0.0], mask=3, asked_ns=arm.now_ns - 150_000_000)
    began = arm.now_ns
    state = arm.until(lambda s: s.setpoint_acceleration_deg_s2[0] < -1.0, 0.3)
    assert 50 <= (state.time_ns - began) / 1e6 <= 65


def test_saf_9_a_jog_from_the_future_lasts_no_longer() -> None:
    arm = cruising()
    arm.core.push(CommandKind.JOG, values=[100.0, 0.0], mask=3, asked_ns=arm.now_ns + 3600 * SECOND_NS)
    began = arm.now_ns
    state = arm.until(lambda s: s.setpoint_acceleration_deg_s2[0] < -1.0, 0.5)
    assert (state.time_ns - began) / 1e6 <= 215


@pytest.mark.parametrize("kind", [CommandKind.STAND_STILL, CommandKind.OFF, CommandKind.SPEED_LIMITS])
def test_commands_that_begin_no_motion_never_expire(kind: CommandKind) -> None:
    arm = VirtualArm(2)
    arm.auto()
    arm.core.push(kind, values=[50.0], mask=1, value=70.0, asked_ns=1)
    assert arm.cycle().last_command_result == CommandResult.OK


def test_warning_103_says_that_the_machine_is_too_slow_for_the_rate() -> None:
    """With a threshold to raise it and a lower one to withdraw it; one stall is none, and it stops nothing."""
    arm = cruising()
    arm.now_ns += 30_000_000
    seen: list[bool] = []

    def left_out_of(cycles: int, of: int) -> None:
        for number in range(cycles):
            arm.now_ns += arm.period_ns * (of > 0 and number % of == 0)
            seen.append((103, 0) in warnings(arm.cycle()))

    left_out_of(3000, 0)
    assert not any(seen)
    left_out_of(2000, 10)       # 9 %
    assert seen[-1]
    first = seen.index(True)
    left_out_of(3000, 33)       # 3 %: between both
    assert all(seen[first:])
    left_out_of(3000, 0)
    assert not seen[-1]
    last = len(seen) - seen[::-1].index(True)
    left_out_of(2000, 33)
    assert not any(seen[last:])
    assert arm.cycle().state == MasterState.AUTO
