"""Counts and degrees are each other's inverse, and what does not fit is refused by name."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.arm import INT16_MAX, INT16_MIN, ArmFacts, AxisFacts


def axis(**changes: float) -> AxisFacts:
    facts = {"resolution_counts": 4096, "stroke_deg": 360.0, "zero_counts": 1024, "inverted": False,
             "hard_minimum_counts": 341, "hard_maximum_counts": 2389, "speed_conversion_deg": 0.01,
             "max_speed_deg_s": 60.0}
    return AxisFacts(**{**facts, **changes})  # type: ignore[arg-type]


def test_the_formula_of_the_motor_bus() -> None:
    assert axis().degrees(1024) == 0.0
    assert axis().degrees(2048) == 90.0
    assert axis(inverted=True).degrees(2048) == -90.0
    assert axis(stroke_deg=270.0, resolution_counts=8192).degrees(1124) == pytest.approx(270 / 8192 * 100)
    assert axis().counts(90.0) == 2048
    assert axis().counts(0.04) == 1024  # nearest
    assert axis().counts(0.05) == 1025


def test_limits_in_degrees_are_ordered_whatever_the_direction() -> None:
    straight, inverted = axis(), axis(inverted=True)
    assert (straight.minimum_deg, straight.maximum_deg) == pytest.approx((-60.03, 119.97), abs=0.01)
    assert (inverted.minimum_deg, inverted.maximum_deg) == pytest.approx((-119.97, 60.03), abs=0.01)


@given(counts=st.integers(INT16_MIN, INT16_MAX), zero=st.integers(INT16_MIN, INT16_MAX), inverted=st.booleans(),
       resolution=st.integers(2, 32767), stroke=st.floats(1.0, 3600.0))
def test_counts_to_degrees_and_back(counts: int, zero: int, inverted: bool, resolution: int, stroke: float) -> None:
    facts = axis(zero_counts=zero, inverted=inverted, resolution_counts=resolution, stroke_deg=stroke)
    assert facts.counts(facts.degrees(counts)) == counts


@pytest.mark.parametrize("position_deg", [math.nan, math.inf, -math.inf, 1e9, 3000.0])
def test_what_no_sensor_can_read_is_refused_with_axis_and_range(position_deg: float) -> None:
    arm = ArmFacts("S", "1", (axis(), axis()))
    with pytest.raises(ValueError, match="axis 2: "):
        arm.counts(1, position_deg)
    with pytest.raises(ValueError, match=r"axis 1: .*allowed -60\.03\.\.119\.97 deg"):
        arm.check_target(0, position_deg)


def test_targets_at_the_hard_limits_are_allowed_beyond_not() -> None:
    arm = ArmFacts("S", "1", (axis(inverted=True),))
    arm.check_target(0, arm.axis[0].minimum_deg)
    arm.check_target(0, arm.axis[0].maximum_deg)
    for beyond in (arm.axis[0].minimum_deg - 1e-6, arm.axis[0].maximum_deg + 1e-6):
        with pytest.raises(ValueError, match="hard limits"):
            arm.check_target(0, beyond)


def test_a_target_keeps_the_margin_to_the_hard_limits() -> None:
    arm = ArmFacts("s", "v", (axis(),)).with_margin(1.0)
    lowest = arm.axis[0].minimum_deg
    arm.check_limit(0, lowest)
    arm.check_target(0, lowest + 1.0)
    with pytest.raises(ValueError, match=r"hard limits less 1 deg"):
        arm.check_target(0, lowest + 0.9)
