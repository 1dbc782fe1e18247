"""The range of motion from the page to the core and over restarts, on the virtual clock."""

from __future__ import annotations

import pytest

from controller.spec import hmi
from controller.spec.modes import MasterState
from controller.store import Store
from tests.virtual_hmi import VirtualHmi


def worn(store: Store | None = None) -> VirtualHmi:
    """Range of axis 1 0..40 degrees, on; the arm stands inside."""
    page = VirtualHmi(store=store)
    page.stand_at(20, 0, 0, 0)
    assert page.say({"101": 0, "102": 40}).code == "ok"
    assert page.say(["wearing_ROM_position"]).code == "ok"
    return page


def test_a_range_is_stored_in_degrees_and_enforced_only_when_on() -> None:
    page = VirtualHmi()
    free = (page.state.range_minimum_deg, page.state.range_maximum_deg)
    assert page.say({"101": 0, "102": 40, "107": "10", "108": 90.5}).code == "ok"
    assert (page.store.get("range_minimum_deg.1"), page.store.get("range_maximum_deg.4")) == (0.0, 90.5)
    assert (page.state.range_minimum_deg, page.state.range_maximum_deg) == free
    page.stand_at(20, 0, 0, 50)
    assert page.ask("range_of_motion", on=True).code == "ok"
    assert (page.state.range_minimum_deg[0], page.state.range_maximum_deg[0]) == (0, 40)
    assert (page.state.range_minimum_deg[3], page.state.range_maximum_deg[3]) == (10, 90.5)
    assert page.state.range_minimum_deg[1] == free[0][1]  # never saved: hard limits
    assert page.ask("range_of_motion", on=False).code == "ok"
    assert (page.state.range_minimum_deg, page.state.range_maximum_deg) == free


def test_moving_is_possible_at_once_after_switching() -> None:
    page = worn()
    assert page.say({"4": 0, "50": 30}).code == "ok"
    for message in (["rest_ROM_position"], {"101": 0, "102": 45}, ["wearing_ROM_position"], {"101": 0, "102": 42}):
        assert page.say(message).code == "ok"
        assert page.handlers.gate.general() == []


def test_saf_5_a_jog_ends_at_the_range() -> None:
    page = worn()
    for _ in range(300):
        page.ask("jog", speed_percent=[100, 0, 0, 0])
        page.round()
    assert page.state.position_deg[0] == pytest.approx(40, abs=0.5)
    assert page.state.state == MasterState.AUTO


def test_a_new_range_comes_into_force_at_once_or_not_at_all() -> None:
    page = worn()
    assert page.say({"101": 10, "102": 30}).code == "ok"
    assert (page.state.range_minimum_deg[0], page.state.range_maximum_deg[0]) == (10, 30)
    refused = page.say({"101": 25, "102": 30})
    assert refused.code == "refused"
    assert "axis 1 stands at 20.0 deg, its range is 25..30 deg" in refused.text
    page.run(1.0)
    assert (page.store.get("range_minimum_deg.1"), page.store.get("range_maximum_deg.1")) == (10.0, 30.0)
    assert (page.state.range_minimum_deg[0], page.state.range_maximum_deg[0]) == (10, 30)
    assert page.handlers.in_force.problem == ""
    assert page.say({"4": 0, "50": 12}).code == "ok"


def test_saf_1_a_worn_arm_has_its_range_again_after_a_restart() -> None:
    store = Store()
    worn(store)
    page = VirtualHmi(store=store)  # stands at 12 degrees
    page.run(1.0)
    assert page.state.rom_enforced == (1, 1, 1, 1)
    assert page.handlers.gate.general() == []
    assert page.say({"4": 0, "50": 50}).code == "value"
    assert page.say({"4": 0, "50": 30}).code == "ok"


def test_nothing_moves_while_the_range_cannot_come_into_force() -> None:
    """The arm was put down outside its range: it is moved back by hand, or the range is switched off."""
    store = Store()
    worn(store)
    for i, deg in enumerate((60.0, 90.0)):
        store.put({("range_minimum_deg.1", "range_maximum_deg.1")[i]: deg})
    page = VirtualHmi(store=store)
    page.run(1.0)
    assert page.state.rom_enforced == (0, 0, 0, 0)
    refused = page.say(["start"])
    assert refused.code == "blocked"
    assert "not in force: nothing moves until it is or is switched off" in refused.text
    assert "axis 1 stands at" in refused.text
    assert any("not in force" in item["message"] for item in (page.ask("why").fields or {})["blockers"])
    assert page.say(["rest_ROM_position"]).code == "ok"
    assert page.say(["start"]).code == "ok"


def test_the_range_stays_in_force_over_a_lost_line() -> None:
    page = worn()
    page.arm.reattach()
    page.handlers.set_facts(page.facts)
    page.until(lambda s: s.state == MasterState.ERROR)
    page.run(1.0)
    assert page.state.rom_enforced == (1, 1, 1, 1)
    assert page.handlers.in_force.problem == ""
    page.say(["reset"])
    page.until(lambda s: s.state == MasterState.WAITING)
    page.run(1.0)
    assert page.say({"4": 0, "50": 50}).code == "value"
    assert page.say({"4": 0, "50": 30}).code == "ok", page.handlers.in_force.problem


def test_a_range_saved_for_another_arm_that_does_not_fit_blocks_until_it_is_set() -> None:
    store = Store()
    store.put({"range_minimum_deg.1": 200.0, "range_maximum_deg.1": 300.0, "range_of_motion_on": True})
    page = VirtualHmi(store=store)
    page.run(1.0)
    assert "axis 1 leaves no room inside this arm's limits" in page.say(["start"]).text
    assert page.say({"103": -40, "104": 40}).code == "value"  # axis 1 is still wrong
    assert page.say({"101": 0, "102": 40}).code == "ok"
    page.run(1.0)
    assert page.say(["start"]).code == "ok"
    assert page.state.rom_enforced == (1, 1, 1, 1)


@pytest.mark.parametrize(("message", "field"), [
    ({"101": 5, "102": 5}, "101"), ({"101": 1}, "101"), ({"102": 1, "103": 2}, "102"), ({"101": -61, "102": 5}, "101"),
    ({"103": 0, "104": 131}, "104"), ({"101": 119.2, "102": 119.9}, "101"), ({"101": "", "102": 5}, "101"),
    ({"101": None, "102": 5}, "101"), ({"101": "NaN", "102": 5}, "101"),
])
def test_range_of_motion_is_a_pair_inside_the_hard_limits(message: dict[str, object], field: str) -> None:
    page = VirtualHmi()
    refused = page.say(message)
    assert (refused.code, refused.refused and refused.refused.field) == ("value", field)
    assert page.store.items() == {}


def test_the_switch_has_one_door() -> None:
    page = VirtualHmi()
    refused = page.ask("settings", write={"range_of_motion_on": True})
    assert "only the command `range_of_motion`" in refused.text
    both = {"range_minimum_deg.1": 0, "range_maximum_deg.1": 90, "lock_speed": True}
    assert page.ask("settings", write=both).code == "ok"       # a range may come with other settings: all or nothing
    assert page.store.items() == both
    assert page.ask("settings", write={"range_minimum_deg.1": 9, "range_maximum_deg.1": 0, "lock_speed": False}
                    ).code == "value"
    assert page.store.items() == both
    page.one.connected_s = page.now_s
    for message in (["wearing_ROM_position"], ["rest_ROM_position"]):
        assert page.say(message).code == "replay"
    page.control.take(page.two, page.now_s)
    page.run(hmi.REPLAY_WINDOW_S)
    for message in (["wearing_ROM_position"], ["rest_ROM_position"]):
        assert page.say(message).code == "control"
