"""LiveText: numbers of a record as JSON, the same as Python would write them, whatever the record holds."""

from __future__ import annotations

import json
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller._core import LiveText, State
from controller.hmi.payload import live_rows
from controller.hmi.state import empty_state
from controller.spec import hmi, record

DOUBLES = st.floats(width=64)
ROWS = [("x", record.offsets()["position_deg"], "double", True, 0, 1), ("f", record.offsets()["frequency_microsteps_s"],
        "float", True, 5, 0), ("b", record.offsets()["battery_percent"], "float", False, 0, 1)]


def made(axes: int, **fields: object) -> State:
    shown = empty_state(axes)
    for name, value in fields.items():
        setattr(shown, name, value)
    return State.from_bytes(record.pack(shown))


def expected(value: float, decimals: int) -> float | None:
    if not math.isfinite(value):
        return None
    return round(max(-1e12, min(1e12, value)), decimals)


@given(st.lists(DOUBLES, min_size=1, max_size=8), st.floats(width=32))
def test_numbers_are_those_of_python(values: list[float], battery: float) -> None:
    text = LiveText(ROWS)
    frequency = [struct.unpack("f", struct.pack("f", max(-1e30, min(1e30, v)) if math.isfinite(v) else v))[0]
                 for v in values]
    found = json.loads(b"{" + text.text(made(len(values), position_deg=tuple(values), frequency_microsteps_s=tuple(
        frequency), battery_percent=battery)) + b"}", parse_constant=pytest.fail)
    wanted = ([expected(v, 1) for v in values],
              [expected(v, 0) for v in frequency] + [0] * (5 - len(values)), [expected(battery, 1)])
    nulls = 0
    for got, want in zip((found["x"], found["f"], [found["b"]]), wanted, strict=True):
        assert len(got) == len(want)
        for a, b in zip(got, want, strict=True):
            assert (a is None) == (b is None)
            assert a is None or math.isclose(a, b or 0.0, abs_tol=0.1 + 1e-9, rel_tol=1e-12)  # ties may go either way
            nulls += a is None
    assert text.nulls == nulls


@pytest.mark.parametrize(("value", "shown"), [
    (0.0, "0.0"), (-0.0, "0.0"), (-0.04, "0.0"), (0.06, "0.1"), (-0.06, "-0.1"), (9.96, "10.0"), (-123.44, "-123.4"),
    (1e300, "1000000000000.0"), (-math.inf, "null"), (math.nan, "null"),
])
def test_one_decimal(value: float, shown: str) -> None:
    assert LiveText(ROWS[:1]).text(made(1, position_deg=(value,))) == f'"x":[{shown}]'.encode()


def test_every_live_field_of_the_contract_is_there() -> None:
    found = json.loads(b"{" + LiveText(live_rows()).text(made(3)) + b"}")
    assert set(found) == {row.name for row in hmi.DATA_FIELDS if row.live}
    assert found["actualPositionDeg"] == [0.0] * 3
    assert found["actualTorque"] == [0] * 5


@pytest.mark.parametrize("row", [
    ("x", 0, "uint64_t", False, 0, 0), ("x", 0, "double", False, 0, 2), ("x", -1, "double", False, 0, 0),
    ("x", 10**6, "double", True, 0, 0), ("x", 0, "double", True, 9, 0),
])
def test_rows_it_cannot_show_are_refused(row: tuple[str, int, str, bool, int, int]) -> None:
    with pytest.raises(ValueError, match="LiveText: x"):
        LiveText([row])
    with pytest.raises(ValueError, match="at most 16"):
        LiveText([("x", 0, "double", False, 0, 0)] * 17)


def test_a_record_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="bytes, 3 given"):
        State.from_bytes(b"123")
