"""The door between Python and the core: what it refuses, the record's stub, several readers, events."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

import controller
from controller._core import ControlThread, Core
from controller.config import Config
from controller.spec import emit
from controller.spec.modes import BusState, CommandKind, CommandResult, EventKind, MasterState
from controller.spec.record import FIELDS
from controller.supervisor import core_axes, core_settings
from tests.virtual_arm import VirtualArm, codes

STUB = Path(controller.__file__).with_name("_core.pyi")


def test_the_stub_of_the_record_is_that_of_the_table() -> None:
    text = STUB.read_text()
    assert text[text.index("class State:"):].strip() == emit.record_stub().strip()


def test_every_method_of_the_core_is_in_the_stub_and_the_other_way_round() -> None:
    text = STUB.read_text()
    begins = [text.index(f"class {name}") for name in ("ControlThread:", "Core(ControlThread):", "StateReader:")]
    for kind, begin, end in zip((ControlThread, Core), begins, begins[1:], strict=False):
        stubbed = set(re.findall(r"def (\w+)\(", text[begin:end]))
        assert stubbed - {"__init__"} == {name for name in vars(kind) if not name.startswith("__")}


def test_a_record_holds_every_field() -> None:
    arm = VirtualArm(3)
    state = arm.run(0.3)
    for field in FIELDS:
        value = getattr(state, field.name)
        assert isinstance(value, tuple) == bool(field.count), field.name
        if field.count:
            assert len(value) == (3 if field.count < 0 else field.count)


BASE = VirtualArm(1)
GOOD, GOOD_AXIS = core_settings(Config()), core_axes(Config(), BASE.facts)[0]


@pytest.mark.parametrize(("key", "value"), [
    ("rate_hz", 0.0), ("rate_hz", float("nan")), ("rate_hz", 1e9), ("silence_ms", float("inf")), ("silence_ms", -1.0),
    ("relay_switch_ms", float("nan")), ("jog_timeout_ms", -5.0), ("position_gain_1_s", float("nan")),
    ("limit_margin_deg", 1e4), ("battery_minimum_v", 99.0), ("battery_averaging_s", -1.0)])
def test_saf_9_settings_that_make_no_sense_name_their_key(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=key if key != "limit_margin_deg" else "margin"):
        Core().configure(GOOD | {key: value}, [GOOD_AXIS])


@pytest.mark.parametrize(("key", "value"), [
    ("resolution_counts", 0), ("stroke_deg", 0.0), ("deg_per_microstep", 0.0), ("deg_per_microstep", float("inf")),
    ("hard_minimum_counts", 99999), ("max_speed_deg_s", 0.0), ("max_speed_deg_s", float("nan")),
    ("max_acceleration_deg_s2", -1.0), ("max_jerk_deg_s3", 0.0), ("quick_stop_deceleration_deg_s2", 0.0)])
def test_saf_9_axes_that_make_no_sense_are_refused(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=r"axis 1|not a finite number"):
        Core().configure(GOOD, [GOOD_AXIS | {key: value}])


def test_missing_keys_and_wrong_numbers_of_axes() -> None:
    for key in GOOD:
        with pytest.raises(KeyError, match=key):
            Core().configure({k: v for k, v in GOOD.items() if k != key}, [GOOD_AXIS])
    for key in GOOD_AXIS:
        with pytest.raises(KeyError, match=key):
            Core().configure(GOOD, [{k: v for k, v in GOOD_AXIS.items() if k != key}])
    for count in (0, 9):
        with pytest.raises(ValueError, match=r"1\.\.8"):
            Core().configure(GOOD, [GOOD_AXIS] * count)


def test_a_refused_configuration_changes_nothing() -> None:
    core = Core()
    with pytest.raises(ValueError, match="rate_hz"):
        core.configure(GOOD | {"rate_hz": -1.0}, [GOOD_AXIS])
    with pytest.raises(RuntimeError, match="configure"):
        core.attach(-1)


def test_readers_are_independent_and_count_what_they_lost() -> None:
    arm = VirtualArm(1)
    late = arm.core.reader()
    arm.run(2.0)
    state = late.next()
    assert state is not None
    assert late.lost == 2000 - 1024 + (state.cycle - (2001 - 1024))
    newest = late.latest()
    assert newest is not None
    assert newest.cycle == 2000
    assert late.latest() is None
    assert late.next() is None


def test_the_ring_of_commands_counts_up_and_says_when_it_is_full() -> None:
    core = Core()
    numbers = [core.push(CommandKind.RESET) for _ in range(70)]
    assert numbers[:64] == list(range(1, 65))
    assert numbers[64:] == [0] * 6


def test_events_tell_the_story_in_order() -> None:
    arm = VirtualArm(1)
    arm.auto()
    arm.move(40.0)
    arm.until(lambda s: s.motions_done == 1)
    arm.core.request_stop()
    arm.waiting()
    rows = arm.core.events()
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    states = [row[2:4] for row in rows if row[1] == EventKind.STATE]
    assert states == [(0, 1), (1, 4), (4, 2), (2, 5), (5, 1)]
    assert [row[2:4] for row in rows if row[1] == EventKind.BUS] == [(0, 1), (1, 2)]
    assert EventKind.MOTION_DONE in [row[1] for row in rows]
    assert arm.core.events() == []


def test_events_that_nobody_reads_are_counted_not_waited_for() -> None:
    arm = VirtualArm(1)
    arm.waiting()
    for _ in range(1200):
        arm.push(99)
        state = arm.cycle()
    assert state.events_dropped > 100
    assert len(arm.core.events()) == 1024


def test_at_ten_hertz_the_boards_watchdog_wins_and_the_arm_stays_safe() -> None:
    """A period longer than the board's 50 ms: motor power cannot stay on, and nothing moves."""
    config = Config()
    config = msgspec.structs.replace(config, loop=msgspec.structs.replace(config.loop, rate_hz=10),
                                     bus=msgspec.structs.replace(config.bus, silence_ms=300.0))
    arm = VirtualArm(2, config=config)
    arm.waiting()
    arm.move(50.0, 50.0)
    state = arm.until(lambda s: s.state == MasterState.ERROR, 5.0)
    assert codes(state) <= {(295, 0), (613, 0)}     # the self-test already finds it
    assert state.bus_state == BusState.CYCLIC
    assert state.motor_power == 0
    assert arm.board.maxima()["command_speed_deg_s"] == (0.0, 0.0)


def test_changes_tell_everything_new_and_the_newest_record() -> None:
    """What may show in a single record only is kept: here a refused command among a thousand quiet cycles."""
    arm = VirtualArm(2)
    reader = arm.core.reader()
    assert reader.changes() == ([], None)
    arm.run(0.01)
    arm.waiting()
    news, newest = reader.changes()
    assert newest is not None
    assert news[-1].state == newest.state == MasterState.WAITING
    arm.run(0.2)
    news, newest = reader.changes()
    assert news == []
    assert newest is not None
    arm.push(CommandKind.MOVE, [1e9, 0.0], value=50.0)
    arm.run(0.3)
    news, newest = reader.changes()
    assert [state.last_command_result for state in news] == [CommandResult.OUT_OF_RANGE]
    assert newest is not None
    assert newest.cycle == arm.cycle().cycle - 1
    assert reader.lost == 0


def test_estimates_are_what_the_cycle_does() -> None:
    arm = VirtualArm(2)
    arm.auto()
    arm.move(0, 20)
    state = arm.until(lambda s: s.motions_done == 1)
    moves = [((30.0, None), 100.0), ((None, 40.0), 50.0), ((30.0, 40.0), 10.0), ((0.0, 20.0), 20.0)]
    planned = arm.core.estimate(state.position_deg, moves, state.speed_limit_deg_s)
    assert planned[2] == 0.0  # it stands there
    place = [0.0, 20.0]
    for number, ((targets, percent), planned_s) in enumerate(zip(moves, planned, strict=True)):
        place = [old if new is None else new for old, new in zip(place, targets, strict=True)]
        began_ns = arm.now_ns
        arm.move(*place, percent=percent)
        arm.until(lambda s, n=number: s.motions_done == n + 2 and not any(s.moving), 60.0)  # type: ignore[misc]
        assert planned_s <= (arm.now_ns - began_ns) * 1e-9 + 0.002 < planned_s + 0.4
    assert arm.core.estimate((0.0, 20.0), [((30.0, None), 100.0)], (0.0, 60.0)) == [-1.0]
    assert arm.core.estimate((0.0, 20.0), [((None, 30.0), 100.0)], (0.0, 60.0))[0] > 0  # the other one has its speed


@pytest.mark.parametrize(("start", "moves", "limits"), [
    ((0.0,), [], (60.0, 60.0)), ((0.0, 0.0), [], (60.0,)), ((float("nan"), 0.0), [], (60.0, 60.0)),
    ((0.0, 0.0), [], (60.0, float("inf"))), ((0.0, 0.0), [((1.0,), 50.0)], (60.0, 60.0)),
    ((0.0, 0.0), [((1.0, float("inf")), 50.0)], (60.0, 60.0)), ((0.0, 0.0), [((1.0, 1.0), 0.0)], (60.0, 60.0)),
    ((0.0, 0.0), [((1.0, 1.0), float("nan"))], (60.0, 60.0)), ((0.0, 0.0), [((1.0, 1.0), 101.0)], (60.0, 60.0)),
])
def test_saf_9_estimates_of_what_is_no_number_are_refused(start: tuple[float, ...], moves: list[Any],
                                                          limits: tuple[float, ...]) -> None:
    arm = VirtualArm(2)
    with pytest.raises(ValueError, match=r"estimate|move 0"):
        arm.core.estimate(start, moves, limits)
    with pytest.raises(RuntimeError, match="configure"):
        Core().estimate((), [], ())


def test_a_meter_sees_every_telegram_once() -> None:
    arm = VirtualArm(2)
    arm.auto()
    meter = arm.core.meter()
    assert meter.means() == (0, (), (), ())
    states = []
    for _ in range(5):  # taken in parts
        arm.run(0.1, states.append)
        meter.take()
    count, position_deg, torque_counts, largest = meter.means()
    assert count == len(states) == 500
    for axis in range(2):
        assert position_deg[axis] == pytest.approx(sum(s.position_deg[axis] for s in states) / count)
        assert torque_counts[axis] == pytest.approx(sum(s.torque_counts[axis] for s in states) / count)
        assert largest[axis] == max(abs(s.torque_counts[axis]) for s in states)
    arm.board.set_fault("silence", seconds=0.005)
    arm.run(0.1)
    assert 500 < meter.take() < 600  # old feedback once more is no measurement
    arm.run(0.1)
    meter.skip()
    before = meter.take()
    arm.run(0.01)
    assert meter.take() - before == 10
    meter.clear()
    assert meter.take() == 0
