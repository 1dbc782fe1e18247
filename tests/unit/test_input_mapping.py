"""Rows of a mapping: checked, sorted into modes, taken from a scenario; the dead zone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.input.mapping import (
    DEFAULT,
    TEST_CYCLE,
    Modes,
    ScenarioError,
    beyond_dead_zone,
    drives_of,
    of_scenario,
    of_stored,
    problems,
)
from controller.spec.input import MODES_MOST, ROWS_MOST

ROW: dict[str, Any] = {"mode": "arm", "axis": "x", "drives": "joint 1"}


def test_rows_become_modes_in_their_order() -> None:
    modes = Modes.of("test", drives_of([
        {**ROW, "mode": "b"}, {**ROW, "mode": "a", "drives": "z"},
        {**ROW, "mode": "b", "axis": "y", "drives": "joint 2"}]))
    assert modes.names == ["b", "a"]
    assert [drive.joint for drive in modes.rows["b"]] == [0, 1]
    assert [drive.joint for drive in modes.rows["a"]] == [-1]
    assert (modes.after("b"), modes.after("a"), modes.after("gone")) == ("a", "b", "b")


@pytest.mark.parametrize(("change", "field"), [
    ({"mode": ""}, "mode"), ({"mode": " "}, "mode"), ({"mode": "x" * 25}, "mode"), ({"mode": "a\n"}, "mode"),
    ({"mode": 3}, "mode"), ({"axis": "a"}, "axis"), ({"axis": None}, "axis"), ({"drives": "joint 9"}, "drives"),
    ({"drives": "joint"}, "drives"), ({"drives": 1}, "drives"), ({"device": 1}, "device"),
    ({"device": "x" * 81}, "device"), ({"invert": 1}, "invert"), ({"sensitivity_percent": 0}, "sensitivity_percent"),
    ({"sensitivity_percent": 101}, "sensitivity_percent"), ({"sensitivity_percent": True}, "sensitivity_percent"),
    ({"sensitivity_percent": float("nan")}, "sensitivity_percent"), ({"dead_zone_percent": -1}, "dead_zone_percent"),
    ({"dead_zone_percent": 91}, "dead_zone_percent"), ({"speed": 3}, "speed"),
])
def test_every_wrong_value_is_named(change: dict[str, Any], field: str) -> None:
    (wrong,) = problems([ROW, {**ROW, **change}])
    assert (wrong.row, wrong.field) == (1, field)
    assert "allowed is" in wrong.message or "fields are" in wrong.message
    with pytest.raises(ValueError, match=field):
        drives_of([ROW, {**ROW, **change}])


def test_what_only_the_whole_can_tell() -> None:
    assert problems([ROW]) == []
    assert "0 rows" in problems([])[0].message
    assert f"1..{ROWS_MOST}" in problems([ROW] * (ROWS_MOST + 1))[0].message
    assert "modes" in problems([{**ROW, "mode": f"m{i}"} for i in range(MODES_MOST + 1)])[0].message
    assert "joints and the hand" in problems([ROW, {**ROW, "drives": "x"}])[0].message


def test_the_tables_of_defaults_are_good() -> None:
    for modes in (DEFAULT, TEST_CYCLE):
        for rows in modes.rows.values():
            assert problems([{"mode": row.mode, "axis": row.axis, "drives": row.drives, "device": row.device}
                             for row in rows]) == []


def test_a_scenario_carries_a_mapping_beside_what_the_page_keeps() -> None:
    page = [{"exercise": "Wave", "rep": 2}, "note", None, 5, ["input_axes"], {"input": 1}]
    assert of_scenario("Lunch", page) is None
    found = of_scenario("Lunch", [*page, {"input_axes": [ROW], "comment": "left-handed"}])
    assert found is not None
    assert (found.source, found.names) == ("scenario Lunch", ["arm"])
    text = '[{"input_axes": [{"mode": "m", "axis": "y", "drives": "joint 2", "invert": null}]}]'
    assert of_stored("Lunch", text) == (
        Modes.of("scenario Lunch", drives_of([{"mode": "m", "axis": "y", "drives": "joint 2"}])))
    assert of_stored("Lunch", "{}") is None


@pytest.mark.parametrize(("array", "field"), [
    ([{"input_axes": 3}], "scenario[0].input_axes"), ([1, {"input_axes": [3]}], "scenario[1].input_axes"),
    ([{"input_axes": []}], "scenario[0].input_axes"),
    ([{"input_axes": [ROW, {**ROW, "axis": "q"}]}], "scenario[0].input_axes[1].axis"),
    ([{"input_axes": [{}]}], "scenario[0].input_axes[0].mode"),
    ([{"input_axes": [ROW]}, {"input_axes": [ROW]}], "scenario[1]"),
])
def test_a_wrong_mapping_in_a_scenario_says_where(array: list[object], field: str) -> None:
    with pytest.raises(ScenarioError) as wrong:
        of_scenario("Lunch", array)
    assert wrong.value.field == field
    assert str(wrong.value).startswith(field)


@given(st.floats(-1, 1), st.floats(0, 0.9))
def test_the_dead_zone_is_cut_out_without_a_jump(deflection: float, zone: float) -> None:
    found = beyond_dead_zone(deflection, zone)
    assert abs(found) <= 1.0
    assert found == 0.0 if abs(deflection) <= zone else found * deflection >= 0
    assert beyond_dead_zone(-deflection, zone) == -found
    assert abs(beyond_dead_zone(zone + 1e-9, zone)) < 1e-6
    assert beyond_dead_zone(1.0, zone) == 1.0
