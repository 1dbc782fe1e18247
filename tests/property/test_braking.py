"""Braking before limits, over random limits, ranges of motion, loop rates and motions, with the compiled core against
the simulated arm: whatever speed and acceleration an axis has, it comes to rest inside its range, within its limits.

Every cycle is checked by tests/sim/storm_watch.cpp; the joint itself by the simulated arm's own record.
"""

from __future__ import annotations

import ctypes
import math

import msgspec
import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from controller.config import Config, Motion
from controller.spec.modes import CommandKind, CommandResult, MasterState
from tests.sim.storm_watch import StormWatch, library
from tests.virtual_arm import VirtualArm, codes, summary

AXES = 3


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return library(tmp_path_factory.mktemp("braking"))


def magnitude(low: float, high: float) -> st.SearchStrategy[float]:
    """Every order of magnitude alike."""
    return st.floats(math.log(low), math.log(high)).map(math.exp)


@st.composite
def configurations(draw: st.DrawFn) -> Config:
    speed = draw(magnitude(2.0, 200.0))
    acceleration = draw(magnitude(5.0, 5000.0))
    motion = Motion(
        max_speed_deg_s=speed, max_acceleration_deg_s2=acceleration,
        max_jerk_deg_s3=draw(magnitude(50.0, 500_000.0)),
        quick_stop_deceleration_deg_s2=max(acceleration, 2.0 * speed) * draw(st.floats(1.0, 4.0)),
        limit_margin_deg=draw(magnitude(0.3, 5.0)))
    base = Config()
    return msgspec.structs.replace(
        base, motion=motion, loop=msgspec.structs.replace(base.loop, rate_hz=draw(st.sampled_from((250, 1000, 2000)))))


# (percent per axis, seconds): jogs one after the other, so that the last one begins at any speed and acceleration
JOGS = st.lists(st.tuples(st.tuples(*[st.floats(-100.0, 100.0)] * AXES), magnitude(0.002, 1.0)), max_size=5)
OUTWARDS = st.tuples(*[st.sampled_from((-100.0, 100.0))] * AXES)
RANGE_DEG = st.one_of(st.none(), st.tuples(magnitude(0.5, 60.0), magnitude(0.5, 60.0)))
ENDS = ("limit", "stop", "error", "release", "stand still")


def jog(arm: VirtualArm, watch: StormWatch, percent: tuple[float, ...], seconds: float) -> None:
    """Held for so long, refreshed in time."""
    left = max(1, round(seconds * 1e9 / arm.period_ns))
    each = round(0.1e9 / arm.period_ns)
    while left > 0:
        arm.jog(*percent)
        watch.run(min(left, each))
        left -= each


def restrict(arm: VirtualArm, spread: tuple[float, float] | None) -> None:
    """A range of motion around where the arm stands, wherever it has room."""
    if spread is None:
        return
    places = list(zip(arm.facts.axis, arm.cycle().position_deg, strict=True))
    arm.push(CommandKind.ROM_MINIMUM, [max(facts.minimum_deg, at - spread[0]) for facts, at in places])
    arm.push(CommandKind.ROM_MAXIMUM, [min(facts.maximum_deg, at + spread[1]) for facts, at in places])
    arm.push(CommandKind.ROM_ENABLE, mask=(1 << AXES) - 1)
    assert arm.cycle().last_command_result == CommandResult.OK


def rest(arm: VirtualArm, watch: StormWatch, limits: Motion) -> None:
    """Run until every axis must have come to rest, however gentle its limits are."""
    seconds = limits.max_speed_deg_s / limits.max_acceleration_deg_s2 + 2.0 * math.sqrt(
        limits.max_speed_deg_s / limits.max_jerk_deg_s3) + limits.max_acceleration_deg_s2 / limits.max_jerk_deg_s3
    watch.run(round(min(2.0 * seconds + 0.3, 20.0) * 1e9 / arm.period_ns))


# Its acceleration comes and goes within a twentieth of a cycle.
STIFF = msgspec.structs.replace(
    Config(), loop=msgspec.structs.replace(Config().loop, rate_hz=250), motion=Motion(
        max_speed_deg_s=20.085536923187668, max_acceleration_deg_s2=49.71218131735948,
        max_jerk_deg_s3=268337.2865208745, quick_stop_deceleration_deg_s2=49.71218131735948))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=configurations(), jogs=JOGS, outwards=OUTWARDS, held_s=magnitude(0.01, 6.0), spread=RANGE_DEG,
       end=st.sampled_from(ENDS), seed=st.integers(0, 1000))
@example(config=Config(), jogs=[], outwards=(100.0, -100.0, 100.0), held_s=6.0, spread=(0.5, 0.5), end="limit", seed=0)
@example(config=STIFF, jogs=[((0.0, 0.0, 1.0), 0.0024787521766663585)], outwards=(-100.0, -100.0, -100.0), held_s=1.0,
         spread=(1.0, 1.0), end="limit", seed=0)     # planned anew in the last 0.2 ms of a stop
@example(config=Config(), jogs=[((100.0, 100.0, -100.0), 0.2)], outwards=(-100.0, -100.0, 100.0), held_s=0.05,
         spread=(5.0, 5.0), end="error", seed=1)
def test_saf_5_every_axis_stops_before_its_limits_from_any_motion(  # noqa: PLR0917 - hypothesis names them
        loaded: ctypes.CDLL, config: Config, jogs: list[tuple[tuple[float, ...], float]], outwards: tuple[float, ...],
        held_s: float, spread: tuple[float, float] | None, end: str, seed: int) -> None:
    limits = config.motion
    arm = VirtualArm(AXES, seed, config, gravity_scale=0.0, speed_limit_deg_s=1000.0, acceleration_limit_deg_s2=1e5)
    arm.auto()
    restrict(arm, spread)
    watch = StormWatch(loaded, arm)
    arm.board.reset_maxima()
    for percent, seconds in jogs:
        jog(arm, watch, percent, seconds)
    jog(arm, watch, outwards, held_s)
    if end == "limit":
        jog(arm, watch, outwards, 3.0)
    elif end == "stop":
        arm.core.request_stop()
    elif end == "error":
        arm.board.set_fault("low_battery", mv=1)
    elif end == "stand still":
        arm.push(CommandKind.STAND_STILL)
    rest(arm, watch, limits)
    arm.reader.latest()
    state = arm.cycle()
    event(f"{end}, {'range of motion' if spread else 'hard limits'}, braked before it: {state.limit_interventions > 0}")
    assert {code for code, _ in codes(state)} == ({30} if end == "error" else set()), summary(state)
    assert state.state == (MasterState.ERROR if end == "error" else MasterState.WAITING if end == "stop"
                           else MasterState.AUTO)
    assert max(map(abs, state.setpoint_speed_deg_s)) < 1e-3
    maxima = arm.board.maxima()
    for i in range(AXES):
        assert state.range_minimum_deg[i] - 0.3 <= maxima["lowest_deg"][i], i
        assert maxima["highest_deg"][i] <= state.range_maximum_deg[i] + 0.3, i


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=configurations(), percent=st.tuples(*[st.floats(-100.0, 100.0)] * AXES), held_s=magnitude(0.002, 1.5),
       seed=st.integers(0, 1000))
def test_saf_5_a_quick_stop_from_any_motion_ends_inside_the_range(
        loaded: ctypes.CDLL, config: Config, percent: tuple[float, ...], held_s: float, seed: int) -> None:
    arm = VirtualArm(AXES, seed, config, gravity_scale=0.0, speed_limit_deg_s=1000.0, acceleration_limit_deg_s2=1e5)
    arm.auto()
    restrict(arm, (20.0, 20.0))
    watch = StormWatch(loaded, arm)
    jog(arm, watch, percent, held_s)
    arm.board.set_fault("lost", seconds=0.04)       # silence: error 1, a quick stop over the line
    watch.run(round(1.0e9 / arm.period_ns))
    arm.reader.latest()
    state = arm.cycle()
    assert codes(state) == {(1, 0)}
    for i in range(AXES):
        assert state.range_minimum_deg[i] - 0.02 <= state.setpoint_position_deg[i] <= state.range_maximum_deg[i] + 0.02
