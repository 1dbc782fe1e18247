"""Forms are recognised by their whole key set, one form at most, and values are bounded."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.hmi import forms
from controller.hmi.clients import Refused
from controller.spec import hmi
from controller.spec.hmi import Notice


def form_of(axes: int, *keys: str) -> str:
    return forms.recognise(dict.fromkeys(keys, 0), axes).form.name


@pytest.mark.parametrize(("axes", "keys", "name"), [
    (4, ["1"], "version_check"), (4, ["10"], "mode"), (4, ["10", "11"], "test_cycle"),
    (4, ["4", "50"], "go_to_position"), (4, ["4", "50", "53"], "go_to_position"), (4, ["60"], "advanced_speed"),
    (4, ["60", "61", "lockSpeedAd"], "advanced_speed"), (4, ["lockSpeed"], "user_speed"), (4, ["74"], "user_speed"),
    (4, ["80", "84", "lockJoySens"], "joystick_sensitivity"), (4, ["85", "89"], "movement_speed"),
    (4, ["101", "102"], "range_of_motion"), (4, ["107", "108", "101", "102"], "range_of_motion"),
    (5, ["109", "110"], "range_of_motion"), (4, ["51", "52", "53", "54"], "wearing_position"),
    (4, ["56", "57", "58", "59"], "rest_position"), (5, ["56", "57", "58", "59", "60"], "rest_position"),
    (5, ["60"], "advanced_speed"), (4, ["21", "22", "23", "24"], "default_position_1"),
    (4, ["26", "27", "28", "29"], "default_position_2"), (5, ["46", "47", "48", "49", "50"], "default_position_6"),
    (4, ["default_3"], "rename"), (4, ["90", "91", "92", "93"], "arm_adjustments"), (4, ["1a", "1b", "1c"], "voice"),
])
def test_known_forms(axes: int, keys: list[str], name: str) -> None:
    assert form_of(axes, *keys) == name


@pytest.mark.parametrize(("axes", "keys"), [
    (4, []), (4, ["4"]), (4, ["11"]), (4, ["1", "10"]), (4, ["50"]), (4, ["4", "54"]), (4, ["60", "70"]),
    (4, ["51", "52", "53"]), (4, ["51", "52", "53", "54", "55"]), (4, ["56", "57", "58", "59", "60"]),
    (5, ["56", "57", "58", "59"]), (4, ["109", "110"]), (4, ["21"]), (4, ["21", "22", "23", "24", "25"]),
    (4, ["__proto__"]), (4, ["default_7"]), (4, ["010"]), (4, ["10 "]), (0, []), (0, ["4"]), (0, ["nothing"]),
])
def test_everything_else_is_refused(axes: int, keys: list[str]) -> None:
    with pytest.raises(Refused) as refused:
        form_of(axes, *keys)
    assert refused.value.notice == Notice.UNKNOWN


@pytest.mark.parametrize("keys", [["4", "50"], ["101", "102"], ["51"], ["56", "57", "58", "59"]])
def test_without_an_arm_forms_per_axis_say_that_it_is_missing(keys: list[str]) -> None:
    with pytest.raises(Refused, match="not connected") as refused:
        form_of(0, *keys)
    assert refused.value.notice == Notice.BLOCKED


def test_a_form_of_another_arm_names_its_axes() -> None:
    with pytest.raises(Refused, match="arm with 5 axes, this one has 4"):
        form_of(4, "51", "52", "53", "54", "55")


@pytest.mark.parametrize("axes", range(1, 9))
def test_positions_are_saved_whole_for_arms_of_every_size(axes: int) -> None:
    for first, name in ((51, "wearing_position"), (56, "rest_position"),
                        *((16 + 5 * n, f"default_position_{n}") for n in range(1, 7))):
        keys = [str(first + i) for i in range(axes)]
        assert form_of(axes, *keys) == ("advanced_speed" if keys == ["60"] else name)


def test_no_two_forms_share_a_key_set() -> None:
    for axes in range(1, 9):
        rows = forms.compiled(axes)
        for one, other in itertools.combinations(rows, 2):
            shared = one.allowed & other.allowed
            # A common key set would need every required key of both inside what both allow.
            if one.required | other.required and not (one.required | other.required) <= shared:
                continue
            assert not shared, (axes, one.form.name, other.form.name)


@given(st.integers(0, 8), st.sets(st.sampled_from([str(n) for n in range(0, 112)] + [
    "lockSpeed", "lockSpeedAd", "lockJoySens", "1a", "1b", "1c", "default_1", "__proto__"]), max_size=6))
def test_at_most_one_form_fits_any_key_set(axes: int, keys: set[str]) -> None:
    fits = [row.form.name for row in forms.compiled(axes) if row.fits(keys)]
    assert len(fits) <= 1


@given(st.dictionaries(st.text(max_size=8), st.integers(), max_size=40))
def test_any_object_is_a_form_or_refused(message: dict[str, object]) -> None:
    refused = None
    try:
        found = forms.recognise(message, 4)
    except Refused as error:
        refused = error
    assert len(refused.message) < 200 if refused else found.form in hmi.FORMS


ANY = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
                   lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
                   max_leaves=8)


@given(ANY, st.sampled_from(hmi.SETTINGS))
def test_a_stored_value_is_always_within_its_row(value: Any, row: hmi.Setting) -> None:
    refused = None
    try:
        taken = forms.setting_value("k", row, value)
    except Refused as error:
        refused = error
    if refused:
        assert refused.field == "k"
        assert "allowed" in refused.message
        assert len(refused.message) < 200
        return
    if row.kind == "number":
        assert isinstance(taken, float)
        assert row.low <= taken <= row.high
        assert not row.whole or taken == int(taken)
    elif row.kind == "boolean":
        assert taken is True or taken is False
    elif row.kind == "choice":
        assert taken in row.choices
    else:
        assert isinstance(taken, str)
        assert 1 <= len(taken) <= row.high


@pytest.mark.parametrize("value", [math.nan, math.inf, "NaN", "inf", "1e2", "0x10", " 5", "5 ", "٥", "", True, None,
    [5]])
def test_what_is_no_number(value: object) -> None:
    with pytest.raises(Refused, match="allowed is a number"):
        forms.number("60", value, 0, 100)


@pytest.mark.parametrize(("value", "number"), [(5, 5.0), (5.5, 5.5), ("5", 5.0), ("+5.25", 5.25), ("-0", 0.0),
    ("100", 100.0)])
def test_numbers_and_plain_decimal_text(value: object, number: float) -> None:
    assert forms.number("60", value, 0, 100) == number
