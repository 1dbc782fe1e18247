"""The drives, joints and sensors of the simulated arm."""

import itertools
import math
import statistics

import pytest
from board_line import (
    ABS,
    COMPLIANT,
    COUNTS,
    DEG,
    HARD,
    HOLD_AUTO,
    HOLD_WAITING,
    MICROSTEPS,
    NONE,
    OFF,
    PERCENT,
    PERCENTAGE,
    PROFILER,
    SOFT,
    TORQUE,
    WAIT,
    Line,
)

CONVERSION = (0.01, 0.01, -0.0125, 0.008)


def powered(**options) -> Line:
    line = Line(**options)
    line.power_on()
    return line


def test_speed_abs_is_microsteps_times_conversion_positive_is_positive_degrees():
    line = powered()
    before = line.board.truth()["position_deg"]
    line.set(ABS, MICROSTEPS, 1000.0)
    state = line.cycle(1000)
    after = line.board.truth()
    for i, conversion in enumerate(CONVERSION):
        assert after["speed_deg_s"][i] == pytest.approx(1000 * conversion, rel=0.01)
        assert after["position_deg"][i] - before[i] == pytest.approx(1000 * conversion, abs=0.2)
        assert state.axes[i].speed == pytest.approx(1000, abs=2)
        assert state.axes[i].target == 1000
        assert state.axes[i].status & 0b11 == 0b10


def test_speed_percent_is_of_the_drives_maximum():
    line = powered()
    line.set(PERCENT, PERCENTAGE, -10.0)
    line.cycle(200)
    assert line.board.truth()["speed_deg_s"] == pytest.approx((-12.0,) * 4, rel=0.01)


@pytest.mark.parametrize(("mode", "kind", "target"), [
    (ABS, PERCENTAGE, 50.0), (PERCENT, MICROSTEPS, 500.0), (ABS, DEG, 40.0), (PROFILER, MICROSTEPS, 400.0),
    (ABS, NONE, 500.0), (HOLD_AUTO, MICROSTEPS, 500.0), (HOLD_WAITING, DEG, 50.0),
])
def test_targets_of_another_kind_do_not_move(mode, kind, target):
    line = powered()
    before = line.board.truth()["position_deg"]
    line.set(mode, kind, target)
    line.cycle(500)
    assert line.board.truth()["position_deg"] == pytest.approx(before, abs=0.05)


def test_the_drives_own_speed_and_acceleration_limits():
    line = powered(lag_ms=0)
    line.set(ABS, MICROSTEPS, 1e9)
    speeds = [line.truth("speed_deg_s")]
    for _ in range(200):
        state = line.cycle()
        speeds.append(line.truth("speed_deg_s"))
    assert max(speeds) == pytest.approx(120.0)
    assert max(b - a for a, b in itertools.pairwise(speeds)) <= 1.5 + 1e-6
    assert state.axes[0].warning == 6
    assert line.board.maxima()["command_speed_deg_s"][0] == pytest.approx(1e7, rel=1e-3)
    line.set(ABS, MICROSTEPS, -1e9)
    line.cycle(1)
    assert line.cycle().axes[0].warning == 7


def test_the_joint_lags_its_drive():
    fast, slow = powered(lag_ms=0), powered(lag_ms=50)
    for line in (fast, slow):
        line.set(ABS, MICROSTEPS, 1000.0)
        line.cycle(50)
    assert fast.truth("speed_deg_s") == pytest.approx(10.0, rel=0.01)
    assert 3.0 < slow.truth("speed_deg_s") < 8.0


@pytest.mark.parametrize("goal_deg", [-40.0, 13.0, 75.0])
def test_internal_profiler_arrives_without_overshoot(goal_deg):
    line = powered()
    line.set(PROFILER, DEG, goal_deg)
    low, high = sorted((line.truth("position_deg"), goal_deg))
    line.board.reset_maxima()
    for _ in range(3000):
        state = line.cycle()
        if state.axes[0].status & 1:
            break
    line.cycle(100)
    assert line.truth("position_deg") == pytest.approx(goal_deg, abs=0.01)
    maxima = line.board.maxima()
    assert maxima["lowest_deg"][0] >= low - 0.01
    assert maxima["highest_deg"][0] <= high + 0.01
    assert maxima["speed_deg_s"][0] <= 120.0 + 1e-6


def test_internal_profiler_takes_sensor_counts():
    line = powered(noise_counts=0.0)
    line.command = [(PROFILER, COUNTS, float(c)) for c in (1500, -1000, 2000, -2000)]
    state = line.cycle(3000)
    assert [axis.position for axis in state.axes] == [1500, -1000, 2000, -2000]
    assert [axis.target for axis in state.axes] == [1500, -1000, 2000, -2000]


def test_wait_for_start_stores_the_target():
    line = powered()
    before = line.truth("position_deg")
    line.set(WAIT, DEG, 30.0)
    line.cycle(300)
    assert line.truth("position_deg") == pytest.approx(before, abs=0.05)
    line.set(PROFILER, NONE)
    line.cycle(1500)
    assert line.board.truth()["position_deg"] == pytest.approx((30.0,) * 4, abs=0.02)


def test_targets_beyond_the_limits_are_held_inside_and_warned_of():
    line = powered()
    line.set(PROFILER, DEG, 500.0)
    state = line.cycle(4000)
    truth = line.board.truth()
    assert truth["position_deg"] == pytest.approx(truth["maximum_deg"], abs=0.02)
    assert [axis.warning for axis in state.axes] == [4, 5, 4, 5]  # inverted sensors count down
    assert truth["error_code"] == (0,) * 4
    line.set(HOLD_AUTO)
    state = line.cycle()
    line.cycle()
    warnings = [line.cycle().axes[0].warning for _ in range(20)]
    assert warnings[0] == 16004
    assert warnings[-1] == 0


@pytest.mark.parametrize("direction", [1, -1])
def test_drives_brake_before_the_hard_limits(direction):
    line = powered()
    line.command = [(ABS, MICROSTEPS, direction * 100.0 / c) for c in CONVERSION]
    warned = set()
    for _ in range(4000):
        warned.add(line.cycle().axes[0].warning)
    truth = line.board.truth()
    assert truth["position_deg"] == pytest.approx(truth["maximum_deg" if direction > 0 else "minimum_deg"], abs=0.02)
    assert truth["error_code"] == (0,) * 4
    assert (1 if direction > 0 else 2) in warned


def stopping_ms(line: Line, mode: int) -> int:
    line.set(ABS, MICROSTEPS, 6000.0)
    line.cycle(300)
    assert line.truth("speed_deg_s") == pytest.approx(60.0, rel=0.01)
    line.set(mode)
    for k in range(1000):
        line.cycle()
        if abs(line.truth("speed_deg_s")) < 0.5:
            return k
    raise AssertionError("never stopped")


def test_soft_stop_hard_stop_and_stand_still_ramps():
    soft, stand, hard = (stopping_ms(powered(lag_ms=0), mode) for mode in (SOFT, HOLD_AUTO, HARD))
    assert 190 <= soft <= 210  # 60 deg/s at 300 deg/s^2
    assert 35 <= stand <= 45  # at 1500
    assert 5 <= hard <= 15  # at 6000


@pytest.mark.parametrize("mode", [SOFT, HARD, HOLD_WAITING, HOLD_AUTO])
def test_stand_still_holds_against_gravity(mode):
    line = powered()
    line.cycle(100)
    line.set(mode)
    before = line.board.truth()["position_deg"]
    state = line.cycle(2000)
    assert line.board.truth()["position_deg"] == pytest.approx(before, abs=0.02)
    assert abs(line.truth("torque_counts", 2)) > 50  # gravity is seen in the torque
    assert state.axes[1].torque == pytest.approx(line.truth("torque_counts", 2), abs=1)
    assert all(axis.status & 0b11 == 0b01 for axis in state.axes)


@pytest.mark.parametrize("why", ["power", "mode"])
def test_without_torque_the_arm_sinks_slowly(why):
    line = powered(start_deg=[80.0, 70.0, 0.0, 0.0])
    if why == "power":
        line.flags = 0
    else:
        line.set(OFF)
    line.board.reset_maxima()
    line.cycle(60_000)
    truth, maxima = line.board.truth(), line.board.maxima()
    assert 0.0 < truth["position_deg"][0] < 25.0  # friction holds it near hanging
    assert 20.0 < truth["position_deg"][1] < 70.0  # and the spring carries the most of it
    assert max(maxima["speed_deg_s"]) < 25.0
    for axis, friction in enumerate((90.0, 95.0, 70.0, 60.0)):
        assert abs(truth["load_counts"][axis]) < 1.05 * friction     # at rest: friction carries what is left
    assert truth["torque_counts"] == (0.0,) * 4


def test_power_back_catches_a_falling_joint_where_it_is():
    line = powered(start_deg=[100.0, 0.0, 0.0, 0.0])
    line.flags = 0
    line.cycle(300)
    falling_from = line.truth("position_deg")
    assert line.truth("speed_deg_s") < -5.0
    line.power_on()
    line.cycle(100)
    assert falling_from - 1.5 < line.truth("position_deg") < falling_from
    assert line.truth("speed_deg_s") == pytest.approx(0.0, abs=0.01)


def test_compliant_mode_follows_a_torque():
    line = powered()
    line.set(COMPLIANT, NONE)
    before = line.truth("position_deg")
    line.cycle(500)
    assert line.truth("position_deg") == pytest.approx(before, abs=0.05)
    line.set(COMPLIANT, TORQUE, 20.0)
    state = line.cycle(500)
    assert line.truth("speed_deg_s") == pytest.approx(10.0, rel=0.05)
    assert state.axes[0].target == 20


# -- the load: gravity by the chain, against what a few poses give by hand

UPPER_NM, FOREARM_NM = 2.6 * 9.80665, 1.85 * 9.80665


def nm(line: Line, axis: int) -> float:
    """Torque that holds the axis against gravity, the spring of axis 2 taken away."""
    truth = line.board.truth()
    spring = 120.0 + 2.5 * truth["position_deg"][1] if axis == 2 else 0.0
    return (truth["load_counts"][axis - 1] + spring) / (50.0, 50.0, 60.0, 100.0)[axis - 1]


def forearm_centre() -> float:
    """Metres from the elbow, of forearm, wrist and hand hanging on it."""
    parts = ((0.9, 0.11), (0.4, 0.18), (0.2, 0.265), (0.2, 0.29), (0.15, 0.32))
    return sum(mass * way for mass, way in parts) / 1.85


def test_gravity_of_simple_poses():
    line = Line(start_deg=[0.0, 90.0, 0.0, 0.0])     # stretched forwards
    stretched = UPPER_NM * 0.15 + FOREARM_NM * (0.3 + forearm_centre())
    assert nm(line, 2) == pytest.approx(stretched + 0.5 * 9.80665 * 0.02, rel=1e-9)
    assert nm(line, 4) == pytest.approx(FOREARM_NM * forearm_centre(), rel=1e-9)
    line = Line(start_deg=[90.0, 0.0, 0.0, 0.0])     # to the side: the elbow's axis carries nothing
    assert nm(line, 1) == pytest.approx(stretched + (0.5 * 0.02 - 0.6 * 0.01) * 9.80665, rel=1e-9)
    assert nm(line, 4) == pytest.approx(0.0, abs=0.01)
    line = Line(start_deg=[0.0, 0.0, 0.0, 90.0])     # only the forearm lifted
    assert nm(line, 4) == pytest.approx(FOREARM_NM * forearm_centre(), rel=1e-9)


def test_gravity_is_the_slope_of_the_weight_and_levers_are_the_slope_of_the_hand():
    """Work: turning one joint by a little lifts weights and moves the hand by just that."""
    pose, step = [20.0, 40.0, -30.0, 70.0], 1e-4
    for axis in range(4):
        moved = [angle + (step if i == axis else 0.0) for i, angle in enumerate(pose)]
        before, after = Line(start_deg=pose).board.truth(), Line(start_deg=moved).board.truth()
        way = [(b - a) / math.radians(step) for a, b in zip(before["hand_mm"], after["hand_mm"], strict=True)]
        assert before["lever_mm"][axis] == pytest.approx(way, abs=1e-3)


def test_compliant_mode_with_a_speed_follows_it_and_yields_to_what_nothing_carries():
    line = powered(noise_counts=0.0)
    load = line.board.truth()["load_counts"]
    line.offsets = list(load)
    line.set(COMPLIANT, MICROSTEPS, 1000.0)
    line.cycle(500)
    assert line.truth("speed_deg_s") == pytest.approx(10.0, abs=0.5)
    line.set(COMPLIANT, MICROSTEPS, 0.0)
    for _ in range(300):
        line.offsets = list(line.board.truth()["load_counts"])
        line.cycle()
    assert line.truth("speed_deg_s") == pytest.approx(0.0, abs=0.01)
    load = line.truth("load_counts")
    line.offsets[0] = load - 50.0                   # 50 counts are not carried
    line.cycle(100)
    assert line.truth("speed_deg_s") == pytest.approx(-0.5, abs=0.1)


def test_sensor_noise_has_its_deviation_and_the_registers_convert_to_true_degrees():
    line = powered(noise_counts=2.0)
    line.cycle(100)
    readings = [line.cycle().axes[1].position for _ in range(4000)]
    assert statistics.stdev(readings) == pytest.approx(2.0, rel=0.1)
    degrees = -360.0 / 4096 * (statistics.mean(readings) - -700)
    assert degrees == pytest.approx(line.truth("position_deg", 2), abs=0.02)


def test_held_joints_stand_on_whole_microsteps():
    line = powered(noise_counts=0.0)
    line.set(ABS, MICROSTEPS, 3.0)
    seen = set()
    for _ in range(500):
        line.cycle()
        degrees = (line.truth("position_counts") - 1024) * 360 / 4096
        seen.add(round(degrees / 0.01, 3))
    assert all(abs(step - round(step)) < 0.01 for step in seen)
    assert len(seen) in (2, 3)


def test_running_maxima_of_what_was_commanded():
    line = powered()
    for target in (100.0, 250.0, -50.0, 0.0):
        line.set(ABS, MICROSTEPS, target)
        line.cycle()
    maxima = line.board.maxima()
    assert maxima["command_speed_deg_s"] == pytest.approx([250 * abs(c) for c in CONVERSION], rel=1e-6)
    assert maxima["command_change_deg_s"] == pytest.approx([300 * abs(c) for c in CONVERSION], rel=1e-6)
    line.board.reset_maxima()
    assert line.board.maxima()["command_speed_deg_s"] == (0.0,) * 4
    line.cycle(5)
    assert line.board.maxima()["command_change_deg_s"] == (0.0,) * 4
