"""Locks, the generations' joystick sensitivity, positions saved whole."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controller.hmi.payload import DataMessage
from controller.spec import hmi
from controller.spec.hmi import Notice
from controller.spec.modes import CommandKind
from tests.handler_bench import Bench, notice

GROUPS = [("60", "lockSpeedAd", "advanced_speed_percent"), ("70", "lockSpeed", "user_speed_percent"),
          ("80", "lockJoySens", "joystick_sensitivity")]


@pytest.mark.parametrize(("key", "lock", "name"), GROUPS)
def test_a_locked_group_keeps_its_values_until_it_is_unlocked(key: str, lock: str, name: str) -> None:
    bench = Bench()
    bench.say({key: 30, lock: True})  # value and lock in one message: taken, then locked
    assert bench.store.get(f"{name}.1") == 30
    pushed, second = len(bench.ring.pushed), bench.store.get(f"{name}.2")
    for message in ({key: 40}, {key: 40, lock: True}, {key: 30, str(int(key) + 1): 5}):
        kind, _, text = notice(lambda message=message: bench.say(message))  # type: ignore[misc]
        assert kind == Notice.LOCKED
        assert lock in text
    kind, field, _ = notice(lambda: bench.ask("settings", write={f"{name}.2": 5}))
    assert (kind, field) == (Notice.LOCKED, f"{name}.2")
    assert bench.store.get(f"{name}.1") == 30
    assert bench.store.get(f"{name}.2") == second
    assert len(bench.ring.pushed) == pushed
    bench.say({key: 30, lock: True})  # the page says again what is in force
    bench.say({key: 40, lock: False})  # unlocked by the same message
    assert (bench.store.get(f"{name}.1"), bench.store.get(hmi.SETTING[name].lock)) == (40, False)
    bench.say({lock: 1})
    bench.say({lock: 0})
    bench.say({key: 50})
    assert bench.store.get(f"{name}.1") == 50


def test_a_lock_is_of_its_own_group_only() -> None:
    bench = Bench()
    bench.say({"lockSpeed": True})
    for message in ({"60": 10}, {"80": 10}, {"85": 10}):
        bench.say(message)
    assert notice(lambda: bench.say({"70": 10}))[0] == Notice.LOCKED


@pytest.mark.parametrize(("version", "value", "allowed"), [("", 100, True), ("", 101, False), ("1.7.8", 10, True),
                                                          ("1.7.8", 11, False)])
def test_joystick_sensitivity_of_both_generations(version: str, value: int, allowed: bool) -> None:
    bench = Bench()
    if version:
        bench.say({"1": version})
    if not allowed:
        kind, field, text = notice(lambda: bench.say({"80": value}))
        assert (kind, field) == (Notice.VALUE, "80")
        assert "0..10" in text
        return
    bench.say({"80": value, "84": value})
    full = 10 if version else 100
    assert bench.kinds() == []  # stays in the controller: register 80 is the movement speed
    data = DataMessage(bench.store, None, bench.counters)  # type: ignore[arg-type]
    row = next(row for row in hmi.DATA_FIELDS if row.name == "joystickSensData")
    assert msgspec.json.decode(data._object(row)) == {
        "80": value, "81": full, "82": full, "83": full, "84": value, "lockJoySens": False}
    assert bench.store.get("joystick_sensitivity_scale", 10) == full


def test_what_the_sensitivity_is_a_share_of_is_stored_with_it() -> None:
    """One page says 7 of 10, the other 50 of 100: what the other axes had keeps its meaning."""
    bench = Bench()

    def shares() -> list[float]:
        scale = bench.store.get("joystick_sensitivity_scale", 10)
        assert isinstance(scale, float | int)
        values = [bench.store.get(f"joystick_sensitivity.{i}", 10) for i in range(1, 6)]
        return [value / scale for value in values if isinstance(value, float | int)]

    bench.say({"1": "1.7.8"})
    bench.say({"80": 7, "81": 5})
    assert shares() == [0.7, 0.5, 1.0, 1.0, 1.0]
    bench.say({"80": 50}, bench.two)
    assert shares() == [0.5, 0.5, 1.0, 1.0, 1.0]
    bench.say({"82": 2})
    assert shares() == [0.5, 0.5, 0.2, 1.0, 1.0]
    bench.ask("settings", bench.two, write={"joystick_sensitivity.1": 3, "joystick_sensitivity_scale": 10})
    assert shares()[0] == 0.3
    bench.ask("settings", bench.two, write={"joystick_sensitivity_scale": 100})
    assert shares() == [0.3, 0.5, 0.2, 1.0, 1.0]
    bench.ask("settings", bench.two, write={"joystick_sensitivity_scale": 10})
    kind, field, _ = notice(lambda: bench.ask("settings", bench.two, write={
        "joystick_sensitivity.1": 30, "joystick_sensitivity_scale": 10}))
    assert (kind, field) == (Notice.VALUE, "joystick_sensitivity.1")


@pytest.mark.parametrize(("write", "field"), [
    ({"rest_position_counts.1": 5}, "rest_position_counts.2"),
    ({f"rest_position_counts.{i}": 5 for i in range(1, 6)}, "rest_position_counts.5"),
    ({f"rest_position_counts.{i}": 5.5 for i in range(1, 5)}, "rest_position_counts.1"),
    ({f"rest_position_counts.{i}": 40000 for i in range(1, 5)}, "rest_position_counts.1"),
])
def test_positions_are_saved_whole(write: dict[str, Any], field: str) -> None:
    bench = Bench()
    assert notice(lambda: bench.ask("settings", write=write))[:2] == (Notice.VALUE, field)
    assert bench.store.items() == {}


def test_saving_clears_what_an_arm_with_more_axes_left() -> None:
    bench = Bench(5)
    bench.say({str(51 + i): 9 for i in range(5)})
    smaller = Bench(4)
    smaller.store.put(bench.store.items())
    smaller.say({str(51 + i): 7 for i in range(4)})
    assert [smaller.store.get(f"wearing_position_counts.{i}") for i in range(1, 9)] == [7, 7, 7, 7, *[None] * 4]


@pytest.mark.parametrize("axes", range(1, 9))
def test_after_a_bring_up_the_loop_gets_limits_and_range(axes: int) -> None:
    bench = Bench(axes)
    bench.store.put({"range_of_motion_on": True, "range_minimum_deg.1": -10.0, "range_maximum_deg.1": 20.0})
    bench.handlers.set_facts(bench.handlers.facts)
    assert bench.kinds() == [CommandKind.SPEED_LIMITS] * 3 + [CommandKind.LOAD_SETTINGS] * 6 + [
        CommandKind.ARM_LENGTHS, CommandKind.ROM_MINIMUM, CommandKind.ROM_MAXIMUM, CommandKind.ROM_ENABLE]
    assert [fields["value"] for _, fields in bench.ring.pushed[:9]] == [60, 70, 80, 91, 93, 180, 185, 190, 195]
    low, high, enable = (fields for _, fields in bench.ring.pushed[10:])
    assert (low["values"][0], high["values"][0]) == (-10.0, 20.0)
    assert {len(low["values"]), len(high["values"])} == {axes}
    assert low["mask"] == high["mask"] == enable["mask"] == (1 << axes) - 1
    assert bench.handlers.gate.general()[0].message.startswith("the range of motion is on and is being given")
    bench.agree()
    assert bench.handlers.gate.general() == []
    bench.store.put({"range_of_motion_on": False})
    bench.handlers.set_facts(bench.handlers.facts)
    assert bench.last == (CommandKind.ROM_ENABLE, {"client": 0, "mask": 0, "values": (), "value": 0.0})
