"""Every named fault of the simulated arm: what the controller does about it, when RESET works again, and that the arm
moves afterwards. A fault without an expectation fails here. Then ESM-1..7 and ESS-1..8 one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from controller._core import State
from controller.sim.faults import FAULTS
from controller.spec.modes import Blocker, BusFault, BusState, CommandKind, MasterState, StopCategory
from tests.telegrams import command
from tests.virtual_arm import VirtualArm, codes, summary, warnings


@dataclass(frozen=True)
class Expect:
    """What one fault does to an arm in mid-motion. `errors` empty: harmless, `counters` move instead."""

    parameters: dict[str, float] = field(default_factory=dict)
    errors: frozenset[tuple[int, int]] = frozenset()
    also: frozenset[tuple[int, int]] = frozenset()      # may come with them
    warnings: frozenset[tuple[int, int]] = frozenset()
    counters: tuple[BusFault, ...] = ()
    power: int = 1                                      # motor power two seconds later: 1 the limb is held
    category: StopCategory = StopCategory.NONE
    reattach: bool = False                              # the line has to be brought up anew
    reset_while_present: bool = False                   # RESET can work although the fault is still there
    by_hand: float = 0.0                                # deg/s for half a second, to bring axis 1 back inside


def errors(*rows: tuple[int, int]) -> frozenset[tuple[int, int]]:
    return frozenset(rows)


LOST = errors((1, 0))
EMERGENCY, QUICK, SOFT = StopCategory.EMERGENCY, StopCategory.QUICK, StopCategory.SOFT
EXPECT: dict[str, Expect] = {
    "lost": Expect({"probability": 0.2}, counters=(BusFault.MISSED,)),
    "late": Expect({"probability": 0.2, "delay_ms": 1.0}, counters=(BusFault.MISSED, BusFault.LATE)),
    "duplicated": Expect(counters=(BusFault.REPEATED,)),
    "truncated": Expect({"probability": 0.2}, counters=(BusFault.MISSED, BusFault.GARBAGE_BYTES)),
    "bit_flipped": Expect({"probability": 0.2}, counters=(BusFault.MISSED, BusFault.GARBAGE_BYTES)),
    "reordered": Expect({"probability": 0.2}, counters=(BusFault.MISSED,)),
    "garbage": Expect({"bytes": 100}, counters=(BusFault.GARBAGE_BYTES,)),
    "wrong_sequence": Expect({"probability": 0.2}, counters=(BusFault.SEQUENCE, BusFault.MISSED)),
    "deaf": Expect({"probability": 0.2}, counters=(BusFault.MISSED,)),
    "silence": Expect(errors=LOST, power=0, category=QUICK, reattach=True),
    "hang_up": Expect(errors=LOST, power=0, category=QUICK, reattach=True),
    "slow_answers": Expect(counters=()),                # of the register phase: nothing in the cyclic phase
    "missing_register": Expect(),
    "wrong_register": Expect(),
    "setup_needed": Expect({"axis": 1}, errors((121, 1)), errors((608, 1)), power=0, category=QUICK, reattach=True),
    "not_connected": Expect({"axis": 1}, errors((111, 1)), power=0, category=QUICK, reattach=True),
    "drive_waiting": Expect({"axis": 1}, errors((101, 1)), power=0, category=QUICK,
                            reset_while_present=True),     # without power every drive is WAITING
    "drive_error": Expect({"axis": 1}, errors((101, 1)), power=0, category=QUICK),
    "drive_warning": Expect({"axis": 1}),
    "sensor_stuck": Expect({"axis": 1}, errors((608, 1)), power=0, category=EMERGENCY, reset_while_present=True),
    "sensor_jump": Expect({"axis": 1, "counts": 300}, errors((608, 1)), power=0, category=EMERGENCY,
                          reset_while_present=True),
    "sensor_wrap": Expect({"axis": 1}, errors((602, 1)), errors((608, 1), (606, 1), (101, 1)), power=0,
                          category=EMERGENCY),
    "drift": Expect({"axis": 1, "speed_deg_s": -45.0}, errors((608, 1)), errors((601, 1), (101, 1)), power=0,
                    category=EMERGENCY, by_hand=20.0),
    "hand_force": Expect({"x_n": 5.0, "z_n": -5.0}),    # the drives carry it; see test_compliant
    "outside_torque": Expect({"axis": 1, "counts": 50.0}),
    "torque_offset": Expect({"axis": 1, "counts": 50.0}),
    "blocked": Expect({"axis": 1}, errors((608, 1)), power=0, category=EMERGENCY, reset_while_present=True),
    "welded_relay": Expect(),                           # unseen while power is wanted; see test_esm_4
    "relay_stuck_open": Expect(errors=errors((295, 0)), also=errors((608, 1), (608, 2)), power=0, category=EMERGENCY,
                               reset_while_present=True),
    "relay_chatter": Expect(errors=errors((295, 0)), also=errors((608, 1), (608, 2)), power=0, category=EMERGENCY,
                            reset_while_present=True),
    "relay_without_edge": Expect(),                     # needs a trip of the watchdog to matter
    "enable_stuck": Expect(),                           # unseen while power is wanted; see test_esm_1
    "button": Expect(errors=errors((296, 0)), power=0, category=EMERGENCY),
    "low_battery": Expect(errors=errors((30, 0)), power=1, category=SOFT),
    "high_battery": Expect(warnings=errors((120, 0))),
}


def test_every_fault_of_the_simulator_has_an_expectation() -> None:
    assert set(EXPECT) == {row.name for row in FAULTS}


def in_motion(seed: int = 1) -> VirtualArm:
    arm = VirtualArm(2, seed)
    arm.auto()
    arm.move(70.0, 90.0, percent=60.0)
    arm.until(lambda s: s.setpoint_speed_deg_s[0] > 20.0)
    return arm


def reset(arm: VirtualArm) -> State:
    arm.push(CommandKind.RESET)
    return arm.run(0.5)


@pytest.mark.parametrize("name", EXPECT)
def test_saf_3_saf_6_recovery_from_every_named_fault(name: str) -> None:
    expect = EXPECT[name]
    arm = in_motion()
    before = arm.cycle()
    arm.board.set_fault(name, **expect.parameters)
    worst = {"category": int(StopCategory.NONE)}
    state = arm.run(2.0, lambda s: worst.update(category=min(worst["category"], s.stop_category)))
    assert expect.errors <= codes(state) <= expect.errors | expect.also, summary(state)
    assert warnings(state) >= expect.warnings
    assert worst["category"] == expect.category or expect.also, worst
    assert state.motor_power == expect.power
    for kind in expect.counters:
        assert state.bus_faults[kind] > before.bus_faults[kind], kind.name
    if expect.errors:
        assert state.state == MasterState.ERROR
        assert not any(state.moving)
        stays = reset(arm)
        assert (stays.state == MasterState.WAITING) == expect.reset_while_present, summary(stays)
    arm.board.clear_faults()
    if expect.by_hand:
        arm.board.set_fault("drift", axis=1, speed_deg_s=expect.by_hand, seconds=0.5)
        arm.run(8.0)    # until the limb has sunk to where its friction holds it
    if expect.reattach:
        assert arm.core.released
        assert arm.cycle().bus_state == BusState.LOST
        arm.reattach()
        arm.run(0.3)
    arm.run(2.0 if name.endswith("battery") else 0.1)
    if expect.errors:
        state = reset(arm)
    if name == "low_battery":   # the average has to come up again first
        arm.run(5.0)
        state = reset(arm)
    assert not codes(state), summary(state)
    done = arm.cycle().motions_done
    arm.move(40.0, 60.0)
    arm.until(lambda s: s.motions_done == done + 1, 8.0)
    for i, target in enumerate((40.0, 60.0)):
        assert abs(arm.cycle().position_counts[i] - arm.facts.counts(i, target)) <= 2


def test_lost_answers_up_to_the_silence_limit_are_harmless() -> None:
    for lost in (1, 2, 5, 10, 18):
        arm = in_motion()
        arm.board.set_fault("lost", count=lost)
        state = arm.run(0.5)
        assert not codes(state)
        assert state.bus_faults[BusFault.MISSED] == lost
        assert not arm.core.released
        assert arm.until(lambda s: s.motions_done == 1).state == MasterState.AUTO


def test_saf_1_answers_lost_for_longer_end_in_a_quick_stop_and_power_off() -> None:
    arm = in_motion()
    arm.board.set_fault("lost", count=25)
    state = arm.until(lambda s: s.state == MasterState.ERROR, 0.05)
    assert codes(state) == {(1, 0)}
    assert state.bus_state == BusState.LOST
    assert state.motor_power == 1       # ramping down over the line, which may still carry commands
    arm.run(0.3)
    assert not arm.board.truth()["enable"]
    assert arm.board.truth()["phase"] == "register"


def test_the_zeros_of_a_drive_that_is_not_connected_are_no_place_outside_the_limits() -> None:
    """Its axis 1 has its zero at 1024 counts: 0 counts would be -90 deg, outside -60..120."""
    arm = VirtualArm(2)
    arm.board.set_fault("not_connected", axis=1)
    state = arm.run(0.3)
    assert state.blockers >> Blocker.DRIVE_SETUP & 1
    assert not state.blockers >> Blocker.OUTSIDE_LIMITS & 1


def test_a_drives_new_set_up_is_asked_for_once() -> None:
    arm = in_motion()
    arm.board.set_fault("not_connected", axis=2)
    arm.until(lambda s: s.bus_state == BusState.LOST, 1.0)
    arm.until(lambda s: arm.core.released, 0.1)
    arm.reattach()
    state = arm.run(1.0)
    assert state.bus_state == BusState.CYCLIC       # still not connected: not again and again
    assert not arm.core.released
    assert reset(arm).state == MasterState.ERROR    # but once more with each RESET
    assert arm.core.released
    arm.board.clear_faults()
    arm.reattach()
    arm.until(lambda s: s.state == MasterState.WAITING, 3.5)    # the RESET goes on over the new bring-up


@pytest.mark.parametrize("axis", [1, 5, 6, 8])
def test_codes_of_a_drive_that_needs_set_up(axis: int) -> None:
    arm = VirtualArm(8)
    arm.waiting()
    arm.board.set_fault("setup_needed", axis=axis)
    state = arm.run(0.05)
    assert codes(state) == {((120 if axis <= 5 else 620) + axis, axis)}


def test_more_faults_than_the_list_holds_still_stop_the_arm_and_can_be_reset() -> None:
    arm = VirtualArm(8, gravity_scale=0.0)
    arm.auto()
    arm.move(*[at + 10.0 for at in arm.cycle().position_deg])
    arm.run(0.2)
    arm.board.set_fault("sensor_jump", counts=-230)
    arm.run(0.003)
    assert codes(arm.cycle()) == {(608, axis) for axis in range(1, 9)}
    arm.board.set_fault("drive_error", code=3)
    arm.board.set_fault("button")
    arm.board.set_fault("low_battery", mv=1000)
    state = arm.run(1.0)
    assert state.fault_count == 16      # of 18
    assert (state.state, state.motor_power) == (MasterState.ERROR, 0)
    assert reset(arm).state == MasterState.ERROR
    arm.board.clear_faults()
    arm.run(8.0)
    assert reset(arm).state == MasterState.WAITING


# -- emergency stop monitor --------------------------------------------------------------------------------------------

def started_with(*faults: str) -> VirtualArm:
    arm = VirtualArm(2)
    for name in faults:
        arm.board.set_fault(name)
    return arm


def test_esm_1_esm_3_enable_at_start() -> None:
    arm = started_with("enable_stuck")
    state = arm.run(0.3)
    assert codes(state) >= {(290, 0), (292, 0)}
    arm.board.clear_faults()
    arm.run(0.3)
    assert reset(arm).state == MasterState.ERROR        # not resettable
    arm.reattach()
    assert codes(arm.run(0.3)) >= {(290, 0), (292, 0)}
    arm.move(30.0, 30.0)
    assert arm.run(0.2).motor_power == 0


def test_esm_2_esm_3_contacts_at_start() -> None:
    arm = started_with("welded_relay")
    state = arm.run(0.3)
    assert codes(state) >= {(291, 0), (292, 0)}
    assert reset(arm).state == MasterState.ERROR
    arm.board.clear_faults()
    arm.run(0.3)
    assert reset(arm).state == MasterState.ERROR


def test_esm_4_contacts_closed_without_enable() -> None:
    arm = VirtualArm(2)
    arm.auto()
    arm.board.set_fault("welded_relay")
    arm.push(CommandKind.OFF)
    state = arm.until(lambda s: not s.motor_power, 1.0)
    off_ns = state.time_ns
    state = arm.until(lambda s: s.state == MasterState.ERROR, 0.2)
    assert codes(state) == {(293, 0)}
    assert 50 <= (state.time_ns - off_ns) / 1e6 <= 54       # the relay's switching time and the way there and back
    assert reset(arm).state == MasterState.ERROR
    arm.board.clear_faults()
    arm.run(0.1)
    assert reset(arm).state == MasterState.WAITING


def test_esm_5_contacts_closed_with_the_button_pressed() -> None:
    arm = VirtualArm(2)
    arm.auto()
    for fault in ("welded_relay", "enable_stuck", "button"):
        arm.board.set_fault(fault)
    state = arm.run(0.2)
    assert codes(state) == {(296, 0), (294, 0)}
    assert reset(arm).state == MasterState.ERROR
    arm.board.clear_faults()
    arm.run(0.2)
    assert reset(arm).state == MasterState.WAITING


def test_esm_6_contacts_open_with_enable() -> None:
    arm = VirtualArm(2)
    arm.auto()      # the first start has a self-test of its own
    arm.push(CommandKind.OFF)
    arm.run(0.3)
    arm.board.set_fault("relay_stuck_open")
    arm.move(30.0, 30.0)
    state = arm.until(lambda s: s.state == MasterState.ERROR, 0.2)
    assert codes(state) == {(295, 0)}
    assert state.motor_power == 0
    arm.board.clear_faults()
    assert reset(arm).state == MasterState.WAITING


def test_esm_7_button_is_immediate_and_reset_needs_its_release() -> None:
    arm = VirtualArm(2)
    arm.waiting()
    arm.board.set_fault("button")
    pressed = arm.cycle()       # the board's answer to this cycle's command already says so
    state = arm.cycle()
    assert codes(state) == {(296, 0)}
    assert state.cycle == pressed.cycle + 1
    assert reset(arm).state == MasterState.ERROR
    arm.board.clear_faults()
    assert reset(arm).state == MasterState.WAITING


def test_esm_a_mismatch_shorter_than_the_relay_is_no_error() -> None:
    arm = VirtualArm(2, relay_ms=40.0)
    arm.auto()
    arm.push(CommandKind.OFF)
    state = arm.run(0.5)
    assert not codes(state)
    arm.push(CommandKind.START)
    assert arm.until(lambda s: s.state == MasterState.AUTO, 1.0).fault_total == 0


# -- emergency stop supervisor -----------------------------------------------------------------------------------------

@pytest.mark.parametrize(("identifier", "start", "drift", "code"), [
    ("ESS-1", -59.0, -20.0, 601), ("ESS-2", 119.0, 20.0, 602)])
def test_ess_1_ess_2_hard_limits(identifier: str, start: float, drift: float, code: int) -> None:
    arm = VirtualArm(1, start_deg=[start], gravity_scale=0.0)
    arm.waiting()
    arm.board.set_fault("drift", axis=1, speed_deg_s=drift, seconds=0.15)
    # the drive's own error of the same cause may come a cycle earlier: its sensor has no noise
    state = arm.until(lambda s: (code, 1) in codes(s), 0.3)
    assert state.state == MasterState.ERROR, identifier
    assert (state.stop_category, state.motor_power) == (EMERGENCY, 0)


def test_ess_1_of_an_inverted_axis_is_the_minimum_in_counts() -> None:
    arm = VirtualArm(2, start_deg=[10.0, 129.5], gravity_scale=0.0)
    arm.waiting()
    arm.board.set_fault("drift", axis=2, speed_deg_s=20.0, seconds=0.1)     # upwards in degrees
    assert (601, 2) in codes(arm.run(0.3))


def test_ess_5_overspeed() -> None:
    arm = VirtualArm(1, speed_limit_deg_s=200.0, acceleration_limit_deg_s2=1e5)
    arm.auto()
    arm.board.set_fault("drift", axis=1, speed_deg_s=90.0)
    state = arm.until(lambda s: s.state == MasterState.ERROR, 0.1)
    assert (605, 1) in codes(state)
    assert (state.stop_category, state.motor_power) == (EMERGENCY, 0)


def test_ess_6_too_fast_to_stop_before_the_limit() -> None:
    arm = VirtualArm(1, start_deg=[118.5], gravity_scale=0.0)
    arm.auto()
    arm.board.set_fault("drift", axis=1, speed_deg_s=58.0)
    state = arm.until(lambda s: s.state == MasterState.ERROR, 0.1)
    assert (606, 1) in codes(state)
    assert state.motor_power == 0


def test_ess_7_movement_at_standstill() -> None:
    arm = VirtualArm(2)
    arm.auto()
    arm.run(0.3)
    arm.board.set_fault("drift", axis=2, speed_deg_s=1.0)   # too slow for the speed check: the drift adds up
    state = arm.until(lambda s: s.state == MasterState.ERROR, 4.0)
    assert codes(state) == {(607, 2)}
    assert state.motor_power == 0


def test_ess_7_hand_movement_without_power_is_no_error() -> None:
    arm = VirtualArm(1)
    arm.waiting()
    arm.board.set_fault("drift", axis=1, speed_deg_s=40.0, seconds=0.02)
    assert max(arm.run(0.02).speed_deg_s) > 30.0
    assert not codes(arm.run(1.0))


def test_ess_8_following_error() -> None:
    arm = VirtualArm(1)
    arm.auto()
    arm.move(80.0)
    arm.until(lambda s: s.setpoint_speed_deg_s[0] > 30.0)
    arm.board.set_fault("blocked", axis=1)
    state = arm.until(lambda s: s.state == MasterState.ERROR, 0.5)
    assert codes(state) == {(608, 1)}
    assert (state.stop_category, state.motor_power) == (EMERGENCY, 0)
    assert command(arm.telegram, 1).flags & 3 == 2


# -- battery -----------------------------------------------------------------------------------------------------------

def test_battery_low_is_refused_while_low_and_high_is_a_warning_that_goes() -> None:
    arm = VirtualArm(1)
    arm.waiting()
    assert arm.cycle().battery_percent == pytest.approx(100.0, abs=1.0)
    arm.board.set_fault("high_battery", mv=29000)
    state = arm.run(6.0)
    assert (120, 0) in warnings(state)
    assert not codes(state)
    arm.board.clear_faults()
    assert not warnings(arm.run(5.0))
    arm.board.set_fault("low_battery", mv=20000)
    state = arm.run(6.0)
    assert codes(state) == {(30, 0)}
    assert state.battery_percent == 0.0
    assert reset(arm).state == MasterState.ERROR
    arm.board.clear_faults()
    arm.run(5.0)
    assert reset(arm).state == MasterState.WAITING


def test_a_short_dip_of_the_battery_is_averaged_away() -> None:
    arm = VirtualArm(1)
    arm.waiting()
    arm.board.set_fault("low_battery", mv=15000, seconds=0.1)
    assert not codes(arm.run(1.0))
