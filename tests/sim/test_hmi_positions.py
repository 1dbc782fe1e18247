"""Saved positions, the wearing sequence and mode 5: handlers on the real core, on the virtual clock."""

from __future__ import annotations

import pytest

from controller.spec import hmi
from controller.spec.modes import CommandResult, MasterMode, MasterState
from controller.store import Store
from tests.virtual_hmi import VirtualHmi

FIRST = {"wearing": 51, "rest": 56, **{f"default_{n}": 16 + 5 * n for n in range(1, 7)}}
PLACE = (30.0, -10.0, 20.0, 60.0)


@pytest.mark.parametrize("name", hmi.POSITIONS)
def test_a_position_is_saved_and_gone_to(name: str) -> None:
    page = VirtualHmi()
    button = hmi.POSITIONS[name][0]
    refused = page.say([button])
    assert (refused.code, refused.refused.field if refused.refused else "") == ("never_saved", name)
    assert "never saved" in refused.text
    assert page.state.motor_power == 0
    page.stand_at(*PLACE)
    saved = page.state.position_counts
    assert page.save(FIRST[name]).code == "ok"
    page.stand_at(0.0, 0.0, 0.0, 0.0)
    assert page.say([button]).code == "ok"
    page.until(lambda s: all(s.on_target) and not any(s.moving))
    for now, then in zip(page.state.position_counts, saved, strict=True):
        assert abs(now - then) <= 4
    assert page.ask("go_to", position=name, speed_percent=20).code == "ok"


@pytest.mark.parametrize("axes", range(1, 9))
def test_positions_of_arms_of_every_size(axes: int) -> None:
    page = VirtualHmi(axes)
    assert page.save(51).code == "ok"
    assert page.say(["wearing_position"]).code == "ok"
    page.until(lambda s: (s.state == MasterState.AUTO and s.mode == MasterMode.STAND_STILL) or all(s.on_target))
    assert page.state.fault_count == 0


@pytest.mark.parametrize(("saved_with", "used_with"), [(4, 5), (5, 4), (8, 4), (4, 8)])
def test_a_position_of_an_arm_with_other_axes_is_refused(saved_with: int, used_with: int) -> None:
    store = Store()
    assert VirtualHmi(saved_with, store).save(21).code == "ok"
    page = VirtualHmi(used_with, store)
    refused = page.say(["default1"])
    assert refused.code == "never_saved"
    assert f"saved for an arm with {saved_with} axes, this arm has {used_with}" in refused.text
    assert page.save(21).code == "ok"
    assert page.say(["default1"]).code == "ok"


def test_a_saved_position_is_checked_against_the_limits_when_it_is_used() -> None:
    page = VirtualHmi()
    page.say({"21": 32767, "22": 0, "23": 0, "24": 0})
    page.say({"default_1": "Door"})
    refused = page.say(["default1"])
    assert refused.code == "value"
    assert "Door" in refused.text
    assert "axis 1" in refused.text
    assert "allowed" in refused.text
    page.say({"26": 1024, "27": -700, "28": 2048, "29": -1500})  # where every axis is at 0 degrees
    assert page.say({"101": 10, "102": 50}).code == "ok"
    page.stand_at(20, 0, 0, 0)
    assert page.say(["wearing_ROM_position"]).code == "ok"
    refused = page.say(["default2"])
    assert refused.code == "value"
    assert "outside the range of motion, allowed 10.00..50.00" in refused.text
    assert not any(page.state.moving)


def test_a_damaged_position_is_refused() -> None:
    page = VirtualHmi()
    page.save(21)
    for value in ("far", True, 1e9):
        page.store.put({"default_position_1_counts.2": value})
        assert "damaged (axis 2)" in page.say(["default1"]).text
    page.store.put({"default_position_1_counts.2": None})
    assert page.say(["default1"]).code == "never_saved"


def test_the_wearing_sequence() -> None:
    """Go to the wearing position; worn: range on; relax: range off; go to the rest position."""
    page = VirtualHmi()
    assert page.say({"101": 0, "102": 40, "107": 20, "108": 90}).code == "ok"
    page.stand_at(20, 0, 0, 50)
    page.save(51)
    page.stand_at(50, 0, 0, 10)
    page.save(56)
    outside = page.say(["wearing_ROM_position"])
    assert outside.code == "refused"
    assert "axis 1 stands at 5" in outside.text
    assert page.state.rom_enforced == (0, 0, 0, 0)
    assert page.say(["wearing_position"]).code == "ok"
    page.until(lambda s: all(s.on_target) and not any(s.moving))
    assert page.say(["wearing_ROM_position"]).code == "ok"
    assert page.state.rom_enforced == (1, 1, 1, 1)
    assert page.store.get("range_of_motion_on") is True
    assert page.say({"4": 0, "50": 41}).code == "value"
    assert page.say(["rest_position"]).code == "value"  # outside: relax first
    assert page.say({"4": 0, "50": 5}).code == "ok"
    page.until(lambda s: all(s.on_target))
    assert page.say(["rest_ROM_position"]).code == "ok"
    assert page.state.rom_enforced == (0, 0, 0, 0)
    assert page.store.get("range_of_motion_on") is False
    assert page.say(["rest_position"]).code == "ok"
    page.until(lambda s: all(s.on_target) and not any(s.moving))
    assert page.state.position_deg[0] == pytest.approx(50, abs=0.5)


def test_mode_5_stores_targets_until_start() -> None:
    page = VirtualHmi()
    page.stand_at(0, 0, 0, 0)
    assert page.say({"10": 5}).code == "ok"
    assert page.say({"4": 0, "50": 20, "51": ""}).code == "ok"
    assert page.run(1.0).mode == MasterMode.POSITION_TARGET_WAIT_FOR_START
    assert page.state.position_deg[0] == pytest.approx(0, abs=0.5)
    assert page.say(["start"]).code == "ok"
    page.until(lambda s: all(s.on_target) and not any(s.moving))
    assert page.state.position_deg[0] == pytest.approx(20, abs=0.5)
    assert page.say({"4": 0, "50": 10}).code == "ok"  # mode 5 is still chosen: it waits
    assert page.run(1.0).position_deg[0] == pytest.approx(20, abs=0.5)
    assert page.say({"10": 4}).code == "ok"
    assert page.say({"4": 0, "50": 10}).code == "ok"
    page.until(lambda s: s.position_deg[0] < 11)


@pytest.mark.parametrize("leave", [["stop"], {"10": 0}, {"10": 1}, {"10": 3}, {"10": 2, "11": 8}])
def test_what_ends_mode_5_forgets_its_targets(leave: object) -> None:
    page = VirtualHmi()
    page.stand_at(0, 0, 0, 0)
    page.say({"10": 5})
    assert page.say({"4": 0, "50": 20}).code == "ok"
    page.say(leave)
    page.until(lambda s: s.state in {MasterState.WAITING, MasterState.AUTO})
    page.run(0.5)
    assert page.say(["start"]).code == "ok"
    assert page.run(1.0).position_deg[0] == pytest.approx(0, abs=0.5)
    assert page.say({"4": 0, "50": 5}).code == "ok"  # and the next target goes at once
    page.until(lambda s: s.position_deg[0] > 4)


def test_typed_targets_that_wait() -> None:
    page = VirtualHmi()
    page.stand_at(*PLACE)
    page.save(21)
    page.stand_at(0, 0, 0, 0)
    assert page.ask("move", position_deg={"1": 15}, wait_for_start=True).code == "ok"
    assert page.run(0.5).mode == MasterMode.POSITION_TARGET_WAIT_FOR_START
    assert page.ask("go_to", position="default_1", wait_for_start=True).code == "ok"  # in its place
    assert page.ask("start").code == "ok"
    page.until(lambda s: all(s.on_target) and not any(s.moving))
    assert page.state.position_deg == pytest.approx(PLACE, abs=0.5)
    assert page.state.last_command_result == CommandResult.OK


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("lost_by", ["release", "idle"])
def test_saf_1_a_start_of_somebody_else_does_not_run_targets_that_waited(power: bool, lost_by: str) -> None:
    page = VirtualHmi()
    if power:
        page.stand_at(10, 20, -10, 40)
    assert page.say({"10": 5}).code == "ok"
    assert page.say({"4": 0, "50": 60}).code == "ok"
    if lost_by == "release":
        assert page.ask("release").code == "ok"
    else:
        page.run(hmi.CONTROL_IDLE_S + 0.5)
    assert page.control.holder is None
    page.run(0.3)
    assert page.state.mode != MasterMode.POSITION_TARGET_WAIT_FOR_START
    assert page.say(["start"], page.two).code == "ok"
    page.run(1.0)
    assert page.state.position_deg[0] < 15  # without power an arm sinks, it does not rise
    assert page.state.mode == MasterMode.JOG


def test_mode_1_forgets_targets_before_power_is_on() -> None:
    page = VirtualHmi()
    page.say({"10": 5})
    assert page.say({"4": 0, "50": 60}).code == "ok"
    assert page.say({"10": 1}).code == "ok"
    page.run(0.3)
    assert page.say(["start"]).code == "ok"
    page.run(1.0)
    assert page.state.mode == MasterMode.JOG
    assert page.state.position_deg[0] < 15
