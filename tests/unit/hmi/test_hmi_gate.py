"""Why can't I move? All of it at once, for this client."""

from __future__ import annotations

import pytest

from controller.hmi.clients import Refused
from controller.spec import hmi
from controller.spec.faults import lookup
from controller.spec.hmi import ACTIONS, Notice, Role
from controller.spec.modes import Blocker
from tests.handler_bench import Bench, notice


def everything_wrong() -> Bench:
    bench = Bench()
    bench.control.take(bench.two, 10.0)
    with pytest.raises(Refused):
        bench.say({"1": "2.0.0"})
    bench.one.role = Role.BASE
    bench.one.connected_s = 9.9
    bench.state.blockers = 1 << Blocker.BUTTON | 1 << Blocker.ERROR
    bench.handlers.in_force.problem = "the range of motion is on, but not in force"
    return bench


WORDS = ("contract 2.0.0", "younger than one second", "client 2 (10.0.0.1) has control", Blocker.BUTTON.doc,
         Blocker.ERROR.doc, "range of motion is on, but not in force")


def test_a_refused_motion_names_everything_that_stands_against_it() -> None:
    bench = everything_wrong()
    for message in (["start"], {"10": 2, "11": 8}, {"4": 0, "50": 1}):
        kind, _, text = notice(lambda message=message: bench.say(message))  # type: ignore[misc]
        assert kind == Notice.VERSION  # the first, for programs
        assert all(word in text for word in WORDS), text
    assert "needs role administrator" in notice(lambda: bench.say({"10": 2, "11": 8}))[2]
    assert bench.ring.pushed == []


def test_why_answers_with_a_list() -> None:
    bench = everything_wrong()
    found = bench.ask("why")["blockers"]
    assert [item["code"] for item in found] == ["version", "replay", "control", "blocked", "blocked", "blocked"]
    for item, word in zip(found, WORDS, strict=True):
        assert word in item["message"] or item["message"] in (Blocker.BUTTON.doc, Blocker.ERROR.doc)
    assert Bench().ask("why") == {"blockers": []}
    assert bench.control.holder is bench.two
    bench.state = None
    assert {"code": "no_loop", "message": Notice.NO_LOOP.doc} in bench.ask("why")["blockers"]


@pytest.mark.parametrize("blocker", Blocker)
def test_every_blocker_of_the_core_stands_against_a_motion(blocker: Blocker) -> None:
    bench = Bench()
    bench.state.blockers = 1 << blocker
    kind, _, text = notice(lambda: bench.say(["start"]))
    assert (kind, text) == (Notice.BLOCKED, blocker.doc)
    bench.say({"10": 0})  # power off is no motion
    bench.say({"70": 10})


@pytest.mark.parametrize("row", [row for row in ACTIONS if row.available], ids=lambda row: row.name)
def test_every_action_has_the_gates_of_its_row(row: hmi.Action) -> None:
    """Role, contract version, first second, control: as the table says, and nothing else."""
    bench = Bench()

    def refusals(client: object = None) -> set[Notice]:
        return {found.notice for found in bench.handlers.gate.against(bench.one, row, 10.0)}

    assert refusals() == set()
    bench.one.role = Role.BASE
    assert refusals() == ({Notice.ROLE} if row.role > Role.BASE else set())
    bench.one.role = row.role
    assert refusals() == set()
    bench.one.connected_s = 9.5
    assert refusals() == ({Notice.REPLAY} if row.guarded else set())
    bench.one.connected_s = 0.0
    bench.one.compatible = False
    assert refusals() == (set() if row.incompatible else {Notice.VERSION})
    bench.one.compatible = True
    bench.control.take(bench.two, 10.0)
    assert refusals() == (set() if row.control == "anyone" else {Notice.CONTROL})
    bench.control.release(bench.two)
    bench.state.blockers = 1
    assert refusals() == ({Notice.BLOCKED} if row.motion else set())
    bench.state.blockers = 0
    bench.handlers.gate.check(bench.one, row, 10.0)
    assert (bench.control.holder is bench.one) == (row.control == "takes")


@pytest.mark.parametrize("code", [290, 291, 292])
def test_what_no_reset_clears_is_not_told_to_be_reset(code: int) -> None:
    bench = Bench()
    bench.state.blockers = 1 << Blocker.ERROR | 1 << Blocker.BUTTON
    bench.state.faults, bench.state.fault_count = (296, code), 2
    texts = [item["message"] for item in bench.ask("why")["blockers"]]
    assert Blocker.BUTTON.doc in texts
    assert Blocker.ERROR.doc not in texts
    text, = (found for found in texts if str(code) in found)
    row = lookup(code, 0, False)
    assert row is not None
    assert "no reset clears" in text
    assert "restart" in text
    assert row.solution in text
    bench.state.faults, bench.state.fault_count = (296, code | 1 << 31, code), 2  # a warning, and one of long ago
    assert Blocker.ERROR.doc in [item["message"] for item in bench.ask("why")["blockers"]]


@pytest.mark.parametrize("message", [
    {"93": 0}, {"92": 0}, {"90": 40}, {"91": 100}, {"101": -10, "102": 10}, {"70": 10}])
@pytest.mark.parametrize("typed", [False, True])
def test_what_the_loop_uses_is_not_changed_under_the_hands_of_the_client_in_control(
        message: dict[str, float], typed: bool) -> None:
    """Less weight carried, or another length, would let a worn arm sink or its hand leave its line."""
    bench = Bench()
    bench.say(["start"], bench.one)
    names = {"93": "forearm_weight_percent", "92": "upper_arm_weight_percent", "90": "upper_arm_length_mm",
             "91": "forearm_length_mm", "101": "range_minimum_deg.1", "102": "range_maximum_deg.1",
             "70": "user_speed_percent.1"}
    pushed, stored = len(bench.ring.pushed), bench.store.items()
    write = {names[key]: value for key, value in message.items()}
    found = notice(lambda: bench.ask("settings", write=write, client=bench.two) if typed
                   else bench.say(message, bench.two))
    assert found[0] is Notice.CONTROL
    assert (len(bench.ring.pushed), bench.store.items()) == (pushed, stored)
    assert bench.say(message, bench.one)
