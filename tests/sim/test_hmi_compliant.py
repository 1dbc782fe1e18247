"""The command `compliant` on the real core: motion command by the HMI's rules, control, settings. Virtual clock."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from controller.config import Config, Contact
from controller.hmi.clients import Refused
from controller.spec import hmi
from controller.spec.hmi import Notice, Role
from controller.spec.modes import CommandKind, CompliantPhase, DriverMode, MasterState
from controller.store import Store
from tests.virtual_arm import codes
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


@pytest.mark.parametrize("form", [{"90": 30}, {"92": 50}, {"93": 50}])
def test_what_changes_the_load_waits_for_the_hand_to_let_go_and_the_client_is_told(form: dict[str, int]) -> None:
    page, usual = VirtualHmi(), VirtualHmi()
    page.stand_at(10.0, 60.0, 0.0, 60.0)
    usual.stand_at(10.0, 60.0, 0.0, 60.0)
    led(page)
    page.run(1.5)
    refused, before = page.state.commands_refused, page.state.position_deg
    asked = page.say(form)
    assert asked.code == "refused"
    assert "stored, but not in force while a hand leads the arm" in asked.text
    page.run(5.0)
    assert page.state.commands_refused - refused == 1       # given once; not in every round again
    assert page.handlers.in_force.late
    assert page.state.position_deg == pytest.approx(before, abs=0.5)
    assert page.ask("compliant", on=False).code == "ok"
    page.run(1.5)
    assert not page.handlers.in_force.late
    assert page.state.commands_refused - refused <= 1 + ("90" in form)      # lengths perhaps once more, as it settles
    assert max(abs(now - then) for now, then in
               zip(page.state.holding_counts, usual.state.holding_counts, strict=True)) > 1.0


def test_a_speed_limit_is_in_force_while_a_weight_waits_for_the_hand() -> None:
    page = VirtualHmi()
    led(page)
    assert page.say({"93": 50}).code == "refused"
    full = page.state.speed_limit_deg_s[0]
    assert page.say({"70": 40}).code == "ok"
    page.run(0.1)
    assert page.state.speed_limit_deg_s[0] == pytest.approx(0.4 * full)
    asked = page.ask("jog", speed_percent=[40, 0, 0, 0])
    assert asked.code == "blocked"
    assert "switch compliant mode off" in asked.text


@pytest.mark.parametrize("action", ["stop", "retreat"])
def test_a_weight_that_waited_for_the_hand_comes_without_a_contact(action: str) -> None:
    page = VirtualHmi(config=Config(contact=Contact(action=action)))  # type: ignore[arg-type]
    page.stand_at(85.0, 20.0, 0.0, 10.0)
    led(page)
    page.run(1.5)
    assert page.say({"93": 200}).code == "refused"
    assert page.ask("compliant", on=False).code == "ok"
    at, before = page.state.position_deg, page.state.holding_counts
    page.run(3.0)
    assert not page.handlers.in_force.late
    assert max(abs(now - then) for now, then in zip(page.state.holding_counts, before, strict=True)) > 100.0
    assert (codes(page.state), page.state.state) == (set(), MasterState.AUTO)
    assert page.state.position_deg == pytest.approx(at, abs=1.0)


def test_lengths_that_the_loop_refuses_go_out_once_a_second() -> None:
    page = VirtualHmi()
    page.handlers.in_force._lengths_late = True
    given: list[CommandKind] = []
    push = page.handlers.in_force._push

    def refuse(kind: CommandKind, *args: Any, **fields: Any) -> Future[None]:
        given.append(kind)
        fields["answered"](Refused(Notice.REFUSED, "", "the arm moves"))
        return Future()

    page.handlers.in_force._push = refuse  # type: ignore[method-assign]
    page.run(3.5)
    assert 3 <= given.count(CommandKind.ARM_LENGTHS) <= 5
    page.handlers.in_force._push = push  # type: ignore[method-assign]
    page.run(1.2)
    assert not page.handlers.in_force.late
