"""The command `compliant` on the real core: motion command by the HMI's rules, control, settings. Virtual clock."""

from __future__ import annotations

import pytest

from controller.spec import hmi
from controller.spec.hmi import Role
from controller.spec.modes import CommandKind, CompliantPhase, DriverMode, MasterState
from controller.store import Store
from tests.virtual_hmi import VirtualHmi

LED, NONE = CompliantPhase.LED, CompliantPhase.NONE


def led(page: VirtualHmi) -> None:
    assert page.ask("compliant", on=True).code == "ok"
    page.until(lambda s: s.compliant_phase == LED, 3.0)


def test_it_is_the_operators_start_and_takes_control() -> None:
    page = VirtualHmi()
    page.one.role = Role.BASE
    led(page)
    assert page.state.motor_power == 1
    assert page.control.holder is page.one
    assert page.ask("compliant", page.two, on=True).code == "control"
    assert page.ask("compliant", page.two, on=False).code == "control"
    assert page.state.compliant_phase == LED
    assert page.ask("compliant", on=False).code == "ok"
    page.run(0.5)
    assert (page.state.compliant_phase, page.state.state) == (NONE, MasterState.AUTO)


def test_it_is_refused_as_a_replay_with_blockers_and_in_error() -> None:
    page = VirtualHmi()
    page.two.connected_s = page.now_s
    assert page.ask("compliant", page.two, on=True).code == "replay"
    page.arm.board.set_fault("button")
    page.run(0.1)
    asked = page.ask("compliant", on=True)
    assert asked.code == "blocked"
    assert "button" in asked.text
    assert page.state.motor_power == 0


def test_saf_4_saf_11_a_client_that_loses_control_ends_it_softly_and_the_arm_is_held() -> None:
    page = VirtualHmi()
    led(page)
    page.arm.board.set_fault("outside_torque", axis=1, counts=100.0)
    page.run(0.5)
    page.control.release(page.one)
    page.run(0.5)
    assert (page.state.compliant_phase, page.state.state, page.state.motor_power) == (NONE, MasterState.AUTO, 1)
    assert not any(page.state.moving)


def test_nobody_loses_control_for_being_idle_while_a_hand_leads() -> None:
    page = VirtualHmi()
    led(page)
    page.run(hmi.CONTROL_IDLE_S + 2.0)
    assert page.control.holder is page.one
    assert page.state.compliant_phase == LED
    page.ask("compliant", on=False)
    page.run(hmi.CONTROL_IDLE_S + 2.0)
    assert page.control.holder is None


def test_stop_is_everyones_and_a_jog_takes_the_place_of_the_hand() -> None:
    page = VirtualHmi()
    led(page)
    page.ask("stop", page.two)
    page.run(0.5)
    assert (page.state.compliant_phase, page.state.state) == (NONE, MasterState.WAITING)
    led(page)
    assert page.ask("jog", speed_percent=[40, 0, 0, 0]).code == "ok"
    page.run(0.15)
    assert page.state.compliant_phase == NONE
    assert set(page.state.driver_mode) == {DriverMode.SPEED_ABS}
    assert page.state.setpoint_speed_deg_s[0] > 1.0


def test_the_loop_gets_stored_gains_and_weights_at_each_bring_up_and_new_ones_at_once() -> None:
    store = Store()
    store.put({"compliant_proportional.1": 0.0, "forearm_weight_percent": 50.0}).result(5)
    page = VirtualHmi(store=store)
    usual = VirtualHmi()
    assert page.state.holding_counts[3] == pytest.approx(0.5 * usual.state.holding_counts[3], rel=0.02)
    assert page.say({"93": 100}).code == "ok"
    page.run(0.1)
    assert page.state.holding_counts[3] == pytest.approx(usual.state.holding_counts[3], rel=0.02)
    led(page)
    page.arm.board.set_fault("outside_torque", axis=1, counts=100.0)
    page.run(1.0)
    assert page.state.setpoint_speed_deg_s[0] == 0.0        # proportional gain 0
    assert page.ask("settings", write={"compliant_proportional.1": 100}).code == "ok"
    page.run(0.5)
    assert page.state.setpoint_speed_deg_s[0] > 3.0


def test_gains_need_the_role_advanced_and_say_what_is_allowed() -> None:
    page = VirtualHmi()
    page.one.role = Role.BASE
    assert page.ask("settings", write={"compliant_dead_band.1": 5}).code == "role"
    page.one.role = Role.ADVANCED
    asked = page.ask("settings", write={"compliant_exponential.1": 101})
    assert (asked.code, asked.refused and asked.refused.field) == ("value", "compliant_exponential.1")
    assert "0..100" in asked.text
    assert page.store.get("compliant_exponential.1") is None


def test_an_arm_whose_masses_nobody_knows_says_what_to_do() -> None:
    page = VirtualHmi(gravity_scale=0.0)        # without a model, see VirtualArm
    asked = page.ask("compliant", on=True)
    assert asked.code == "refused"
    assert "[[link]]" in asked.text
    assert page.state.motor_power == 0
    assert page.state.last_command_kind == CommandKind.COMPLIANT
