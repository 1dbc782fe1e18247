"""Contact and spasm: a torque in a motion that the load does not explain leads to a soft stop or a retreat."""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgspec.structs import replace

from controller._core import State
from controller.config import Config, Contact
from controller.load import links_of
from controller.spec.modes import CommandKind, CommandResult, CompliantPhase, MasterMode, MasterState, StopCategory
from tests.sim.led_arm import led, pull
from tests.virtual_arm import VirtualArm, codes, summary

CONTACT, SENSOR = 650, 651


def config(action: str = "stop") -> Config:
    return Config(contact=Contact(action=action))  # type: ignore[arg-type]


def moving(action: str = "stop", how: str = "move") -> VirtualArm:
    arm = VirtualArm(4, config=config(action))
    arm.auto()
    keep(arm, how)
    arm.run(0.5, lambda s: keep(arm, how) if how == "jog" and s.cycle % 50 == 0 else None)
    assert arm.cycle().setpoint_speed_deg_s[0] > 5.0
    return arm


def keep(arm: VirtualArm, how: str) -> None:
    if how == "jog":
        arm.jog(60.0, 0.0, 0.0, 0.0)
    else:
        arm.move(90.0, 60.0, 20.0, 80.0, percent=60.0)


@pytest.mark.parametrize("how", ["move", "jog"])
def test_saf_12_a_contact_in_a_motion_is_a_soft_stop_that_holds(how: str) -> None:
    arm = moving(how=how)
    arm.board.set_fault("outside_torque", axis=1, counts=-500.0)
    state = arm.until(lambda s: s.state == MasterState.ERROR, 0.2)
    assert codes(state) == {(CONTACT, 1)}
    steepest = [0.0]

    def watch(s: State) -> None:
        steepest.append(max(map(abs, s.setpoint_acceleration_deg_s2)))
        if how == "jog" and s.cycle % 50 == 0:
            keep(arm, how)      # still held: refused

    state = arm.run(2.0, watch)
    assert max(steepest) <= arm.config.motion.max_acceleration_deg_s2
    assert (state.stop_category, state.motor_power, any(state.moving)) == (StopCategory.SOFT, 1, False)
    at = arm.board.truth()["position_deg"]
    # RESET only when the cause is gone (SAF-6), and then nothing moves by itself
    arm.push(CommandKind.RESET)
    assert arm.run(0.6).state == MasterState.ERROR
    arm.board.clear_faults()
    arm.run(0.2)
    arm.push(CommandKind.RESET)
    state = arm.run(0.6)
    assert state.state == MasterState.WAITING, summary(state)
    assert arm.board.truth()["position_deg"] == pytest.approx(at, abs=0.05)


def test_saf_12_a_contact_that_is_short_or_light_is_none() -> None:
    arm = moving()
    arm.board.set_fault("outside_torque", axis=1, counts=-500.0, seconds=0.03)
    assert not codes(arm.run(0.3))
    arm.board.set_fault("outside_torque", axis=1, counts=-100.0)
    assert not codes(arm.run(1.0))


@pytest.mark.parametrize("told", [True, False])
def test_saf_12_what_a_sensor_reads_without_a_torque_is_no_contact_where_it_is_known(told: bool) -> None:
    """A sensor with an offset of 8 Nm: configured it is none of the arm's, else it would be an obstacle."""
    links = links_of(Config(), 4)
    assert links is not None
    known = replace(links[0], torque_zero_counts=400.0 if told else 0.0)
    arm = VirtualArm(4, config=replace(config(), link=(known, *links[1:])))
    arm.board.set_fault("torque_offset", axis=1, counts=400.0)
    arm.auto()
    keep(arm, "move")
    state = arm.run(1.5)
    assert codes(state) == (set() if told else {(CONTACT, 1)})
    if not told:
        return
    assert state.residual_counts[0] == pytest.approx(0.0, abs=150.0)
    assert state.torque_counts[0] - state.holding_counts[0] > 250.0     # shown and recorded is what it reads
    arm.board.set_fault("outside_torque", axis=1, counts=-350.0)        # and a contact is one from there
    assert codes(arm.until(lambda s: s.state == MasterState.ERROR, 0.3)) == {(CONTACT, 1)}


def test_saf_12_a_violent_one_counts_at_once() -> None:
    arm = moving()
    arm.board.set_fault("outside_torque", axis=1, counts=-3000.0)
    state = arm.until(lambda s: s.state == MasterState.ERROR, 0.02)
    assert codes(state) == {(CONTACT, 1)}


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_saf_12_a_retreat_goes_a_little_way_with_the_torque_and_ends(direction: float) -> None:
    arm = moving("retreat")
    arm.board.set_fault("outside_torque", axis=1, counts=direction * 500.0)
    arm.until(lambda s: s.state == MasterState.ERROR, 0.2)
    arm.until(lambda s: not any(s.moving), 2.0)
    stood = arm.board.truth()["position_deg"][0]
    fastest = [0.0]
    state = arm.run(3.0, lambda s: fastest.append(abs(s.setpoint_speed_deg_s[0])))
    way = arm.board.truth()["position_deg"][0] - stood
    assert way == pytest.approx(direction * Contact().retreat_deg, abs=0.5)
    assert max(fastest) <= 0.26 * 60.0
    assert (state.state, state.motor_power, any(state.moving)) == (MasterState.ERROR, 1, False)
    assert codes(state) == {(CONTACT, 1)}
    at = arm.board.truth()["position_deg"]
    arm.run(2.0)        # once
    assert arm.board.truth()["position_deg"] == pytest.approx(at, abs=0.05)


def test_saf_12_no_retreat_when_the_torque_is_gone_or_the_program_stops() -> None:
    arm = moving("retreat")
    arm.board.set_fault("outside_torque", axis=1, counts=-500.0, seconds=0.12)
    arm.until(lambda s: s.state == MasterState.ERROR, 0.2)
    arm.until(lambda s: not any(s.moving), 2.0)
    at = arm.board.truth()["position_deg"][0]
    arm.run(2.0)
    assert arm.board.truth()["position_deg"][0] == pytest.approx(at, abs=0.2)
    # stop in the midst of a retreat
    arm = moving("retreat")
    arm.board.set_fault("outside_torque", axis=1, counts=-500.0)
    arm.until(lambda s: s.state == MasterState.ERROR, 0.2)
    arm.until(lambda s: not any(s.moving), 2.0)
    stood = arm.board.truth()["position_deg"][0]
    arm.until(lambda s: s.setpoint_speed_deg_s[0] < -2.0, 2.0)
    arm.core.request_stop()
    state = arm.run(2.0)
    assert abs(arm.board.truth()["position_deg"][0] - stood) < 0.6 * Contact().retreat_deg
    assert (state.state, any(state.moving), state.motor_power) == (MasterState.ERROR, False, 1)


def retreating(percent: float = 100.0) -> tuple[VirtualArm, float]:
    """An arm that gives way to a torque at axis 1, downwards; where it stood."""
    arm = moving("retreat")
    arm.board.set_fault("outside_torque", axis=1, counts=-500.0)
    arm.until(lambda s: s.state == MasterState.ERROR, 0.2)
    arm.until(lambda s: not any(s.moving), 2.0)
    stood = arm.board.truth()["position_deg"][0]
    arm.push(CommandKind.SPEED_LIMITS, [percent] * 4, value=70.0)
    arm.until(lambda s: s.setpoint_speed_deg_s[0] < -0.2 * 0.25 * 0.6 * percent, 1.0)
    return arm, stood


def changed_torque(arm: VirtualArm, how: str) -> None:
    arm.board.clear_faults("outside_torque")
    if how == "reversed":
        arm.board.set_fault("outside_torque", axis=1, counts=900.0)
    elif how == "another axis":
        arm.board.set_fault("outside_torque", axis=1, counts=-500.0)
        arm.board.set_fault("outside_torque", axis=2, counts=500.0)
    elif how == "sensor":
        arm.board.set_fault("outside_torque", axis=1, counts=-500.0)
        arm.board.set_fault("torque_offset", axis=3, counts=-65535.0)


@pytest.mark.parametrize("how", ["gone", "reversed", "another axis", "sensor"])
@pytest.mark.parametrize("percent", [100.0, 5.0])
def test_saf_12_a_retreat_ends_with_the_torque_and_where_something_else_presses(how: str, percent: float) -> None:
    arm, stood = retreating(percent)
    at = arm.board.truth()["position_deg"][0]
    changed_torque(arm, how)
    state = arm.run(0.8)
    assert (state.state, state.motor_power, any(state.moving)) == (MasterState.ERROR, 1, False), summary(state)
    assert abs(arm.board.truth()["position_deg"][0] - at) < 0.5 * Contact().retreat_deg
    assert abs(arm.board.truth()["position_deg"][0] - stood) < 0.6 * Contact().retreat_deg
    at = arm.board.truth()["position_deg"][0]
    arm.run(1.0)        # once
    assert arm.board.truth()["position_deg"][0] == pytest.approx(at, abs=0.05)


@pytest.mark.parametrize("how", ["off", "shutdown"])
def test_saf_12_power_off_does_not_wait_for_the_end_of_a_retreat(how: str) -> None:
    arm, stood = retreating(5.0)
    if how == "off":
        arm.push(CommandKind.OFF)
    else:
        arm.core.request_quit()
    arm.until(lambda s: not s.motor_power, 0.4)     # at this speed the whole way takes seven seconds
    assert abs(arm.board.truth()["position_deg"][0] - stood) < 0.6


def test_saf_12_a_retreat_stays_inside_the_range() -> None:
    arm = VirtualArm(4, config=config("retreat"), start_deg=[117.5, 25.0, -15.0, 45.0])
    arm.auto()
    arm.move(90.0, 25.0, -15.0, 45.0, percent=10.0)
    arm.run(0.4)
    arm.board.set_fault("outside_torque", axis=1, counts=500.0)
    highest = [0.0]
    state = arm.run(4.0, lambda s: highest.append(s.setpoint_position_deg[0] - s.range_maximum_deg[0]))
    assert (CONTACT, 1) in codes(state)
    assert max(highest) <= 0.02


def test_saf_12_off_means_off_but_in_compliant_mode() -> None:
    arm = moving("off")
    arm.board.set_fault("outside_torque", axis=1, counts=-500.0)
    assert not codes(arm.run(0.5))
    arm = VirtualArm(4, config=config("off"))
    arm.auto()
    led(arm)
    arm.board.set_fault("outside_torque", axis=1, counts=-500.0)
    state = arm.run(0.5)
    assert codes(state) == {(CONTACT, 1)}
    assert state.compliant_phase == CompliantPhase.NONE


@pytest.mark.parametrize("action", ["stop", "retreat"])
def test_saf_11_saf_12_a_spasm_in_compliant_mode_ends_it_and_the_arm_is_held(action: str) -> None:
    for counts in (400.0, -800.0, 3000.0):
        arm = VirtualArm(4, config=config(action))
        arm.auto()
        led(arm)
        arm.board.set_fault("outside_torque", axis=2, counts=40.0)
        arm.run(0.6)
        arm.board.set_fault("outside_torque", axis=2, counts=counts)
        state = arm.run(3.0)
        assert codes(state) == {(CONTACT, 2)}, (counts, summary(state))
        assert (state.motor_power, any(state.moving), state.mode) == (1, False, MasterMode.STAND_STILL)


def test_saf_9_a_torque_sensor_at_its_end_ends_any_motion() -> None:
    for mode in ("move", "led"):
        arm = moving() if mode == "move" else VirtualArm(4)
        if mode == "led":
            arm.auto()
            led(arm)
        arm.board.set_fault("torque_offset", axis=3, counts=-65535.0)
        state = arm.run(1.0)
        assert codes(state) == {(SENSOR, 3)}
        assert (state.stop_category, state.motor_power) == (StopCategory.SOFT, 1)
        arm.push(CommandKind.RESET)
        assert arm.run(0.6).state == MasterState.ERROR
        arm.board.clear_faults()
        arm.run(0.2)
        arm.push(CommandKind.RESET)
        assert arm.run(0.6).state == MasterState.WAITING


@pytest.mark.parametrize("axes", [1, 4, 5, 8])
def test_ordinary_motions_are_no_contact(axes: int) -> None:
    """Full speed from end to end, reversed on the way: inertia, damping, friction stay below a contact's torque."""
    arm = VirtualArm(axes, 3)
    pick = random.Random(axes)
    arm.auto()
    worst = [0.0]

    def watch(s: State) -> None:
        for i in range(axes):
            worst[0] = max(worst[0], abs(s.residual_counts[i]) / s_limit[i])

    s_limit = [6.0 * scale for scale in (50.0, 50.0, 60.0, 100.0, 200.0, 300.0, 300.0, 300.0)]
    for _ in range(25):
        arm.move(*[pick.choice((facts.minimum_deg + 2.0, facts.maximum_deg - 2.0)) for facts in arm.facts.axis])
        state = arm.run(pick.uniform(0.3, 2.0), watch)
        assert not codes(state), summary(state)
    assert 0.1 < worst[0] < 0.8


def test_a_hand_that_only_holds_the_arm_in_a_motion_is_none() -> None:
    arm = moving()
    pull(arm, 3.0, -3.0, 3.0)
    assert not codes(arm.run(1.5))


@pytest.mark.parametrize("where", ["at the end of the range", "not led", "no speed"])
@pytest.mark.parametrize("counts", [250.0, 3000.0])
def test_saf_11_saf_12_a_hand_against_an_axis_that_keeps_its_place(where: str, counts: float) -> None:
    """The drives are soft in this mode: what is not to move has to be carried, and a jerk must not take power away."""
    arm = VirtualArm(2, start_deg=[10.0, 30.0])
    arm.auto()
    if where == "not led":
        arm.push(CommandKind.LOAD_SETTINGS, [0.0, 100.0], value=185.0)
    led(arm)
    if where == "no speed":
        arm.push(CommandKind.SPEED_LIMITS, [0.0, 100.0], value=60.0)
    if where == "at the end of the range":
        arm.board.set_fault("outside_torque", axis=1, counts=250.0)
        arm.run(25.0)
    arm.run(1.2)
    before = arm.board.truth()["position_deg"][0]
    arm.board.set_fault("outside_torque", axis=1, counts=counts)
    state = arm.run(3.0)
    assert codes(state) == ({(CONTACT, 1)} if counts > 300.0 else set()), summary(state)
    assert state.motor_power == 1
    assert abs(arm.board.truth()["position_deg"][0] - before) < 0.5


def standing(**contact: Any) -> VirtualArm:
    """An arm that stands in AUTO after a move, for a while already."""
    arm = VirtualArm(4, config=Config(contact=Contact(**contact)))
    arm.auto()
    done = arm.cycle().motions_done
    arm.move(20.0, 20.0, 0.0, 60.0)
    arm.until(lambda s: s.motions_done > done)
    assert not codes(arm.run(1.0))
    return arm


@pytest.mark.parametrize(("counts", "within_s"), [(-500.0, 0.2), (500.0, 0.2), (-3000.0, 0.03)])
def test_saf_12_a_spasm_against_an_arm_that_is_held_is_an_error(counts: float, within_s: float) -> None:
    arm = standing()
    at = arm.board.truth()["position_deg"]
    arm.board.set_fault("outside_torque", axis=1, counts=counts)
    state = arm.until(lambda s: s.state == MasterState.ERROR, within_s)
    assert codes(state) == {(CONTACT, 1)}
    state = arm.run(2.0)
    assert codes(state) == {(CONTACT, 1)}
    assert (state.motor_power, any(state.moving), state.mode) == (1, False, MasterMode.STAND_STILL)
    assert arm.board.truth()["position_deg"] == pytest.approx(at, abs=0.5)
    arm.move(0.0, 0.0, 0.0, 0.0)        # the next position of an exercise does not begin against it
    assert not any(arm.run(0.3).moving)


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_saf_12_an_arm_that_is_held_retreats_from_a_spasm(direction: float) -> None:
    arm = standing(action="retreat")
    stood = arm.board.truth()["position_deg"]
    arm.board.set_fault("outside_torque", axis=1, counts=direction * 500.0)
    arm.until(lambda s: s.state == MasterState.ERROR, 0.2)
    fastest = [0.0]
    state = arm.run(3.0, lambda s: fastest.append(abs(s.setpoint_speed_deg_s[0])))
    at = arm.board.truth()["position_deg"]
    assert at[0] - stood[0] == pytest.approx(direction * Contact().retreat_deg, abs=0.5)
    assert at[1:] == pytest.approx(stood[1:], abs=0.3)
    assert max(fastest) <= 0.26 * 60.0
    assert (state.state, state.motor_power, any(state.moving)) == (MasterState.ERROR, 1, False)
    assert (codes(state), state.mode) == ({(CONTACT, 1)}, MasterMode.STAND_STILL)
    arm.run(2.0)        # once
    assert arm.board.truth()["position_deg"] == pytest.approx(at, abs=0.05)
    arm.board.clear_faults()
    arm.run(0.2)
    arm.push(CommandKind.RESET)
    assert arm.run(0.6).state == MasterState.WAITING


def test_saf_12_a_held_arm_s_retreat_ends_with_the_torque() -> None:
    arm = standing(action="retreat")
    stood = arm.board.truth()["position_deg"][0]
    arm.board.set_fault("outside_torque", axis=1, counts=-500.0, seconds=0.15)
    arm.until(lambda s: s.state == MasterState.ERROR, 0.2)
    arm.run(2.0)
    assert -0.6 * Contact().retreat_deg < arm.board.truth()["position_deg"][0] - stood < 0.2


def test_what_an_arm_that_is_held_gets_used_to_is_no_spasm() -> None:
    """A limb that is laid into it, a weight in its hand, masses that are not quite right: and what goes away again."""
    arm = standing(action="retreat")
    for counts in [*range(0, 501, 5), *range(500, -501, -5), 0]:        # 250 counts/s; a contact's torque is 300
        arm.board.set_fault("outside_torque", axis=1, counts=float(counts))
        state = arm.run(0.02)
        assert not codes(state), (counts, summary(state))
    arm.board.set_fault("torque_offset", axis=2, counts=280.0)          # at once, but less than a contact's
    assert not codes(arm.run(1.0))
    arm.board.clear_faults("torque_offset")
    assert not codes(arm.run(1.0))


def test_saf_12_where_an_arm_that_stands_is_not_watched() -> None:
    """Not when that is switched off; not in WAITING: after a stop nothing moves by itself, a retreat neither."""
    arm = standing(standing=False)
    arm.board.set_fault("outside_torque", axis=1, counts=-500.0)
    assert not codes(arm.run(1.0))
    arm = standing(action="off")
    arm.board.set_fault("outside_torque", axis=1, counts=-500.0)
    assert not codes(arm.run(1.0))
    arm = standing(action="retreat")
    arm.core.request_stop()
    arm.until(lambda s: s.state == MasterState.WAITING, 0.5)
    at = arm.board.truth()["position_deg"]
    arm.board.set_fault("outside_torque", axis=1, counts=-500.0)
    state = arm.run(1.0)
    assert (codes(state), state.state) == (set(), MasterState.WAITING)
    assert arm.board.truth()["position_deg"] == pytest.approx(at, abs=0.5)


@pytest.mark.parametrize("counts", [450.0, 650.0, 950.0])
@pytest.mark.parametrize("action", ["stop", "retreat"])
def test_saf_12_the_start_of_an_arm_whose_masses_do_not_fit_is_no_spasm(action: str, counts: float) -> None:
    """Power-up, the first moment in AUTO: what is there from the beginning is not sudden. The first motion says it."""
    arm = VirtualArm(4, config=config(action))
    arm.waiting()
    arm.board.set_fault("torque_offset", axis=2, counts=counts)
    arm.push(CommandKind.START)
    arm.until(lambda s: s.state == MasterState.AUTO, 3.0)
    at = arm.board.truth()["position_deg"]
    assert not codes(arm.run(2.0))
    assert arm.board.truth()["position_deg"] == pytest.approx(at, abs=0.2)
    arm.move(10.0, 10.0, 10.0, 10.0)
    assert codes(arm.run(0.5)) == {(CONTACT, 2)}


@pytest.mark.parametrize("percent", [0.0, 200.0])
@pytest.mark.parametrize("action", ["stop", "retreat"])
def test_saf_12_a_weight_share_that_is_given_to_a_standing_arm_is_no_spasm(action: str, percent: float) -> None:
    """The load that is reckoned with changes at once; the one that is measured does not."""
    arm = VirtualArm(4, config=config(action), start_deg=[85.0, 20.0, 0.0, 10.0])
    before = arm.auto()
    assert before is None or not codes(before)
    at, holding = arm.board.truth()["position_deg"], arm.run(1.0).holding_counts
    for register in (91.0, 93.0):
        arm.push(CommandKind.LOAD_SETTINGS, [percent], 1, register)
        assert arm.cycle().last_command_result == CommandResult.OK
    state = arm.run(3.0)
    assert max(abs(now - then) for now, then in zip(state.holding_counts, holding, strict=True)) > 300.0
    assert (codes(state), state.state) == (set(), MasterState.AUTO)
    assert arm.board.truth()["position_deg"] == pytest.approx(at, abs=0.2)
    # what comes then is one all the same
    arm.board.set_fault("outside_torque", axis=1, counts=-900.0)
    assert (CONTACT, 1) in codes(arm.run(1.0))


def test_drives_that_have_just_taken_the_load_are_no_contact() -> None:
    """Without current they measure nothing, which is the whole load missing."""
    arm = VirtualArm(4, config=Config(contact=Contact(torque_nm=0.6)))
    target = arm.waiting().position_deg
    arm.move(*[deg + 3.0 for deg in target], percent=5.0)
    state = arm.until(lambda s: s.motions_done == 1)
    assert not codes(state)
    assert max(map(abs, state.holding_counts)) > 3 * 0.6 * 100.0
