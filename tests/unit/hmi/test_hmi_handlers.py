"""Who may do what: gates, control, roles, settings; and no message that is not a known form ever reaches the core."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.hmi.clients import Client, Refused
from controller.hmi.counters import Sparing
from controller.hmi.forms import is_stop
from controller.hmi.in_force import _number
from controller.hmi.outcome import Sent
from controller.hmi.results import ANSWER_LIMIT_S, Results, refusal
from controller.hmi.state import empty_state
from controller.spec import hmi
from controller.spec.hmi import Notice, Role
from controller.spec.modes import Blocker, CommandKind, CommandResult, MasterState
from controller.spec.telegram import MAX_AXES
from tests.handler_bench import Bench, notice


@pytest.mark.parametrize(("message", "kind", "fields"), [
    (["start"], CommandKind.START, {"mask": 0}), ({"10": 3}, CommandKind.START, {"mask": 2}),
    ({"10": 2, "11": 8}, CommandKind.START, {"mask": 1}), ({"10": 2, "11": "4"}, CommandKind.OFF, {}),
    ({"10": 0}, CommandKind.OFF, {}), ({"10": 1}, CommandKind.STAND_STILL, {}), ({"10": 7}, CommandKind.RESET, {}),
    (["reset"], CommandKind.RESET, {}),
    ({"4": 0, "50": "12.5", "51": "", "53": -3}, CommandKind.MOVE,
     {"mask": 0b1001, "values": (12.5, 0.0, 0.0, -3.0), "value": 100.0}),
    ({"85": 40, "86": "50"}, CommandKind.SPEED_LIMITS,
     {"mask": 0b11111111, "values": [40.0, 50.0, 100.0, 100.0, 100.0, 40.0, 40.0, 40.0], "value": 80.0}),
    ({"60": 10, "lockSpeedAd": 1}, CommandKind.SPEED_LIMITS, {"value": 60.0}),
    ({"72": 30, "lockSpeed": True}, CommandKind.SPEED_LIMITS,
     {"values": [100.0, 100.0, 30.0, 100.0, 100.0, 30.0, 30.0, 30.0],
    "value": 70.0}),
])
def test_response_forms_become_commands(message: object, kind: CommandKind, fields: dict[str, object]) -> None:
    bench = Bench()
    bench.say(message)
    assert bench.last[0] == kind
    assert bench.last[1]["client"] == 1
    assert {name: bench.last[1][name] for name in fields} == fields


def test_settings_are_stored_by_name_and_arm_adjustments_by_meaning() -> None:
    bench = Bench()
    for message in ({"80": 7, "lockJoySens": True}, {"90": 10, "91": 150, "92": 80, "93": 120}, {"default_2": "Table"},
                    {"51": 1, "52": 2, "53": 3, "54": 4}, {"56": 5, "57": 6, "58": 7, "59": 8},
                    {"26": 1, "27": 2, "28": 3, "29": 4}, {"1a": 50, "1b": 60,
                    "1c": "brief"}):
        answers = bench.say(message)
        assert {type(answer) for answer in answers} == {Future}
        assert len(answers) == (4 if "92" in message else 1)     # the loop has to take weight shares and lengths
    found = {(kind, fields["value"]): fields["values"] for kind, fields in bench.ring.pushed}
    assert found == {(CommandKind.LOAD_SETTINGS, 91.0): [80.0], (CommandKind.LOAD_SETTINGS, 93.0): [120.0],
                     (CommandKind.ARM_LENGTHS, 0.0): [10.0, 150.0]}
    stored = bench.store.items()
    assert stored["joystick_sensitivity.1"] == 7
    assert stored["lock_joystick"] is True
    assert (stored["forearm_length_mm"], stored["upper_arm_weight_percent"]) == (150, 80)  # HMI 91 and 92
    assert hmi.ADJUSTMENT_REGISTERS["forearm_length_mm"] == 92
    assert hmi.ADJUSTMENT_REGISTERS["upper_arm_weight_percent"] == 91
    assert stored["default_position_2_label"] == "Table"
    assert [stored[f"wearing_position_counts.{i}"] for i in range(1, 5)] == [1, 2, 3, 4]
    assert [stored[f"rest_position_counts.{i}"] for i in range(1, 5)] == [5, 6, 7, 8]
    assert [stored[f"default_position_2_counts.{i}"] for i in range(1, 5)] == [1, 2, 3, 4]
    assert stored["voice_verbosity"] == "brief"


@pytest.mark.parametrize(("message", "field"), [
    ({"101": 5, "102": 5}, "101"), ({"101": 1}, "101"), ({"102": 1, "103": 2}, "102"), ({"101": -61, "102": 5}, "101"),
    ({"103": 0, "104": 121}, "104"),
])
def test_range_of_motion_is_a_pair_inside_the_hard_limits(message: dict[str, object], field: str) -> None:
    bench = Bench()
    assert notice(lambda: bench.say(message))[:2] == (Notice.VALUE, field)
    assert bench.store.items() == {}


def test_one_bad_value_stores_nothing() -> None:
    bench = Bench()
    assert notice(lambda: bench.say({"70": 50, "71": 101}))[:2] == (Notice.VALUE, "71")
    assert bench.store.items() == {}
    assert bench.ring.pushed == []


def test_targets_beyond_the_hard_limits_name_axis_and_range() -> None:
    bench = Bench()
    kind, field, text = notice(lambda: bench.say({"4": 0, "52": 120}))
    assert (kind, field) == (Notice.VALUE, "52")
    assert "axis 3" in text
    assert "-60.03..119.97" in text
    kind, field, text = notice(lambda: bench.ask("move", position_deg={"4": -90}))
    assert (kind, field) == (Notice.VALUE, "position_deg.4")
    assert bench.ring.pushed == []
    assert bench.control.holder is None


GUARDED = [["start"], {"4": 0, "50": 1}, {"10": 0}, {"10": 3}, {"10": 2, "11": 8}, {"10": 2, "11": 4}]


@pytest.mark.parametrize("message", GUARDED)
def test_the_first_second_of_a_connection(message: object) -> None:
    bench = Bench()
    assert notice(lambda: bench.say(message, now_s=0.999))[0] == Notice.REPLAY
    assert bench.ring.pushed == []
    assert isinstance(bench.say(message, now_s=1.001), Sent)


@pytest.mark.parametrize("message", [["start"], {"4": 0, "50": 1}, {"10": 2, "11": 8}])
def test_blockers_are_named(message: object) -> None:
    bench = Bench()
    bench.state.blockers = 1 << Blocker.BUTTON | 1 << Blocker.ERROR
    kind, _, text = notice(lambda: bench.say(message))
    assert kind == Notice.BLOCKED
    assert Blocker.BUTTON.doc in text
    assert Blocker.ERROR.doc in text
    assert bench.control.holder is None
    bench.state = None
    assert notice(lambda: bench.say(message))[0] == Notice.NO_LOOP


def test_control_is_one_clients_and_lost_when_idle() -> None:
    bench = Bench()
    bench.say(["start"])
    assert bench.control.holder is bench.one
    for message in (["start"], {"10": 0}, {"10": 1}, {"85": 10}):
        kind, _, text = notice(lambda message=message: bench.say(message, bench.two))  # type: ignore[misc]
        assert kind == Notice.CONTROL
        assert "client 1 (10.0.0.1)" in text
    bench.say({"10": 7}, bench.two)  # a reset moves nothing
    bench.control.tick(10.0 + hmi.CONTROL_IDLE_S - 0.1, moving=False)
    assert bench.control.holder is bench.one
    bench.control.tick(50.0, moving=True)
    bench.control.tick(50.0 + hmi.CONTROL_IDLE_S - 0.1, moving=False)
    assert bench.control.holder is bench.one
    bench.control.tick(50.0 + hmi.CONTROL_IDLE_S, moving=False)
    assert bench.control.holder is None
    assert isinstance(bench.say(["start"], bench.two, 90.0), Sent)


@pytest.mark.parametrize(("state", "taken", "expected"), [
    (MasterState.AUTO, 1, [CommandKind.STAND_STILL]), (MasterState.TRANSITION_TO_AUTO, 1, [CommandKind.STAND_STILL]),
    (MasterState.WAITING, 1, []), (MasterState.WAITING, 0, [CommandKind.STAND_STILL]),  # its command waits in the ring
    (MasterState.ERROR, 1, []),
])
def test_losing_control_ends_the_motion(state: MasterState, taken: int, expected: list[CommandKind]) -> None:
    bench = Bench()
    bench.say({"4": 0, "50": 10})
    bench.state.state, bench.state.last_command = int(state), taken
    bench.control.release(bench.two)
    assert bench.control.holder is bench.one
    bench.control.release(bench.one)
    assert [kind for kind, _ in bench.ring.pushed[1:]] == expected


def test_a_full_ring_refuses_but_never_loses_an_end() -> None:
    bench = Bench()
    bench.say(["start"])
    bench.ring.full = True
    assert notice(lambda: bench.say(["start"]))[0] == Notice.BUSY
    bench.state.state = int(MasterState.AUTO)
    bench.control.release(bench.one)
    assert bench.ring.stops == 1
    bench.say({"70": 20})  # stored at once, in force as soon as there is room
    bench.handlers.tick(10.0)
    bench.ring.full = False
    bench.handlers.tick(10.0)
    limits = [fields for kind, fields in bench.ring.pushed if kind == CommandKind.SPEED_LIMITS]
    assert sorted(fields["value"] for fields in limits) == [60.0, 70.0, 80.0]
    assert {fields["value"]: fields["values"][0] for fields in limits} == {60.0: 100.0, 70.0: 20.0, 80.0: 100.0}
    count = len(bench.ring.pushed)
    bench.handlers.tick(10.0)
    assert len(bench.ring.pushed) == count


def limits_pushed(bench: Bench) -> list[tuple[float, float]]:
    return [(fields["value"], fields["values"][0]) for kind, fields in bench.ring.pushed
            if kind == CommandKind.SPEED_LIMITS]


def test_a_speed_limit_is_answered_by_the_loop_and_the_disk() -> None:
    bench = Bench()
    loop, disk = bench.say({"70": 20})
    assert disk.done()
    assert not loop.done()
    bench.verdicts[1](None)
    assert loop.result(0) is None
    bench.handlers.tick(10.0)
    assert limits_pushed(bench) == [(70.0, 20.0)]


@pytest.mark.parametrize("result", [result for result in CommandResult if result is not CommandResult.OK])
def test_a_speed_limit_the_loop_did_not_take_goes_out_again(result: CommandResult) -> None:
    bench = Bench()
    loop, _ = bench.say({"70": 20})
    bench.verdicts[1](refusal(CommandKind.SPEED_LIMITS, result.doc))
    assert result.doc in str(loop.exception(0))
    bench.handlers.tick(10.0)
    assert limits_pushed(bench)[1:] == [(60.0, 100.0), (70.0, 20.0), (80.0, 100.0)]
    for number in (2, 3, 4):
        bench.verdicts[number](refusal(None, "dropped") if number == 3 else None)
    bench.handlers.tick(10.0)
    assert len(limits_pushed(bench)) == 7
    for number in (5, 6, 7):
        bench.verdicts[number](None)
    bench.handlers.tick(10.0)
    assert len(limits_pushed(bench)) == 7


def test_a_speed_limit_that_still_waits_is_not_doubled_but_its_late_refusal_counts() -> None:
    bench, results = Bench(), Results()
    loop, _ = bench.say({"70": 20})
    results.expect(1, None, 0.0, bench.verdicts[1])
    results.tick(ANSWER_LIMIT_S)
    assert loop.exception(0).notice is Notice.NO_LOOP
    bench.handlers.tick(10.0)
    assert len(limits_pushed(bench)) == 1
    state: Any = empty_state(1)
    state.last_command, state.last_command_kind = 1, int(CommandKind.SPEED_LIMITS)
    state.last_command_result, state.commands_refused = int(CommandResult.DROPPED_BY_STOP), 1
    results.follow(state)
    bench.handlers.tick(10.0)
    assert len(limits_pushed(bench)) == 4


@pytest.mark.parametrize(("role", "message", "allowed"), [
    (Role.BASE, {"70": 1}, True), (Role.BASE, {"60": 1}, False), (Role.ADVANCED, {"60": 1}, True),
    (Role.BASE, {"101": 0, "102": 1}, False), (Role.BASE, ["reset"], False), (Role.ADVANCED, {"10": 7}, True),
    (Role.ADVANCED, {"10": 2, "11": 8}, False), (Role.ADMINISTRATOR, {"10": 2, "11": 8}, True), (Role.BASE,
    ["start"], True),
    (Role.ADVANCED, {"10": 8}, False),
])
def test_roles(role: Role, message: object, allowed: bool) -> None:
    bench = Bench()
    bench.one.role = role
    if allowed:
        bench.say(message)
    else:
        assert notice(lambda: bench.say(message))[0] == Notice.ROLE
        assert bench.ring.pushed == []
        assert bench.store.items() == {}


def test_typed_settings() -> None:
    bench = Bench()
    bench.ask("settings", write={"user_speed_percent.2": 35, "voice_verbosity": None})
    assert bench.last[1]["values"] == [100.0, 35.0, 100.0, 100.0, 100.0, 35.0, 35.0, 35.0]
    assert bench.ask("settings", read=["user_speed_percent.2", "lock_speed"]) == {
        "settings": {"user_speed_percent.2": 35.0, "lock_speed": False}}
    everything = bench.ask("settings", read=[])["settings"]
    assert set(everything) == {name for row in hmi.SETTINGS for name in row.names(MAX_AXES)}
    bench.one.role = Role.BASE
    assert notice(lambda: bench.ask("settings", write={"advanced_speed_percent.1": 1}))[:2] == (
        Notice.ROLE, "advanced_speed_percent.1")


STOPS = [("response", ["stop"]), ("response", {"10": 6}), ("command", {"type": "stop"}),
         ("command", {"type": "stop", "more": [1]}), ("command", {"type": "mode", "mode": 6}),
         ("response", {"10": "6"}), ("response", {"10": "6.0"}), ("response", {"10": 6, "11": 0, "x": None}),
         ("response", ["stop", "now"]), ("command", {"type": "mode", "mode": "6"}),
         ("command", {"type": "mode", "mode": 6, "client": "panel", "at": [1]})]
NO_STOPS = [("response", []), ("response", [["stop"]]), ("response", {"10": 7}), ("response", {"10": True}),
            ("response", {"10": [6]}), ("response", {"11": 6}), ("response", {"10": "sechs"}), ("response", None),
            ("command", {"type": "move", "mode": 6}), ("command", ["stop"]), ("state", {"type": "stop"}),
            ("response", {"10": 10**400}), ("response", {"10": 6.5}), ("command", {"type": ["stop"]})]


@pytest.mark.parametrize(("event", "message"), STOPS)
def test_stops_are_known(event: str, message: object) -> None:
    assert is_stop(event, message)


@pytest.mark.parametrize(("event", "message"), NO_STOPS)
def test_nothing_else_is_a_stop(event: str, message: object) -> None:
    assert not is_stop(event, message)


ANY = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
                   | st.sampled_from(["stop", "start", "type", "jog", "move", *hmi.BUTTONS]),
                   lambda inner: st.lists(inner, max_size=4)
                   | st.dictionaries(st.sampled_from(["1", "4", "10", "11", "50", "60", "85", "101", "102", "type",
                       "mode",
                                                      "speed_percent", "position_deg", "write", "read"])
                                     | st.text(max_size=6), inner, max_size=4), max_leaves=12)


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow])
@given(ANY, st.sampled_from([hmi.RESPONSE, hmi.COMMAND]))
def test_no_json_value_raises_or_reaches_the_core_unless_it_is_a_form(message: Any, event: str) -> None:
    bench = Bench()
    handle = bench.handlers.response if event == hmi.RESPONSE else bench.handlers.command
    refused = None
    try:
        handle(bench.one, message, 10.0)
    except Refused as error:
        refused = error
    if refused is not None:
        assert refused.notice in Notice
        assert len(refused.message) < 400
        assert bench.ring.pushed == []
        assert bench.store.items() == {}
    for kind, fields in bench.ring.pushed:
        assert kind in {CommandKind.START, CommandKind.JOG, CommandKind.MOVE, CommandKind.OFF, CommandKind.RESET,
                        CommandKind.STAND_STILL, CommandKind.SPEED_LIMITS, CommandKind.PREPARE,
                        CommandKind.ROM_MINIMUM, CommandKind.ROM_MAXIMUM, CommandKind.ROM_ENABLE}
        assert all(abs(value) <= 120.0 for value in fields["values"])


def test_the_rate_limit_lets_bursts_of_a_second_pass() -> None:
    client = Client(1, "k", "s", "a", 0.0)
    assert sum(client.within_rate(0.0) for _ in range(300)) == hmi.MESSAGES_PER_S
    assert client.flooding_since_s == 0.0
    assert sum(client.within_rate(0.5) for _ in range(300)) == hmi.MESSAGES_PER_S // 2


def test_the_log_filter_counts_what_it_holds_back(monkeypatch: pytest.MonkeyPatch) -> None:
    import logging

    now = [0.0]
    monkeypatch.setattr("controller.hmi.counters.time.monotonic", lambda: now[0])
    sparing = Sparing(burst=2, period_s=10.0)

    def passes() -> tuple[bool, str]:
        entry = logging.LogRecord("n", logging.WARNING, "f", 1, "bad %s", ("x",), None)
        return sparing.filter(entry), entry.getMessage()

    assert [passes()[0] for _ in range(5)] == [True, True, False, False, False]
    now[0] = 10.0
    assert passes() == (True, "bad x (3 more like it)")


def test_a_damaged_stored_limit_becomes_the_default() -> None:
    row = next(row for row in hmi.SETTINGS if row.name == "user_speed_percent")
    assert [_number(value, row) for value in ("text", None, True, float("nan"), 101, -1)] == [100.0] * 6
    assert _number(35, row) == 35.0


def test_test_cycle_7_ends_with_a_stop_at_once_and_with_a_refusal() -> None:
    """Also before the loop has begun it, when it never leaves AUTO."""
    bench = Bench()
    bench.handlers.cycles._devices = lambda: 1
    bench.say({"10": 2, "11": 7})
    assert bench.handlers.cycles.testing_device
    assert bench.last == (CommandKind.START, {"client": 1, "mask": 1, "values": (), "value": 0.0, "asked_ns": 0})
    bench.handlers.stop()
    assert not bench.handlers.cycles.testing_device
    sent = bench.say({"10": 2, "11": 7})
    assert bench.handlers.cycles.testing_device
    sent.refused()
    assert not bench.handlers.cycles.testing_device


def test_stored_speed_limits_that_found_no_room_block_until_they_are_in_force() -> None:
    """At a start too: without them the arm would move at full speed."""
    bench = Bench()
    bench.store.put({"user_speed_percent.1": 10})
    bench.ring.full = True
    bench.handlers.set_facts(bench.handlers.facts)
    bench.ring.full = False

    def blocking() -> list[str]:
        return [item["message"] for item in bench.ask("why")["blockers"] if "speed limits" in item["message"]]

    assert len(blocking()) == 1
    assert "user_speed_percent" in blocking()[0]
    assert notice(lambda: bench.say(["start"]))[0] == Notice.BLOCKED
    assert bench.handlers.in_force.late
    for verdict in (Refused(Notice.REFUSED, "", "a stop came after it"), None):
        bench.ring.pushed.clear()
        bench.handlers.tick(11.0)
        assert bench.kinds().count(CommandKind.SPEED_LIMITS) == 3
        assert blocking()
        bench.agree(verdict)
    assert blocking() == []
    bench.ring.pushed.clear()
    bench.handlers.tick(12.0)
    assert CommandKind.SPEED_LIMITS not in bench.kinds()
    bench.say(["start"])
    assert bench.last[0] is CommandKind.START


def test_only_the_latest_verdict_on_a_speed_limit_counts() -> None:
    bench = Bench()
    bench.say({"70": 50})
    bench.ring.full = True
    bench.say({"70": 20})
    bench.agree()       # of the first
    assert bench.handlers.in_force.limits_problem
    bench.ring.full = False
    bench.handlers.tick(11.0)
    bench.agree()
    assert bench.handlers.in_force.limits_problem == ""
