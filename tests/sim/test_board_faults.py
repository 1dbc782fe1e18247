"""Every named fault of the simulated arm does what its row says, and ends."""

import pytest
from board_line import (
    ABS,
    BUTTON,
    CLEAR,
    CONTACTS,
    ENABLE,
    ENABLED,
    HOLD_AUTO,
    HOLD_WAITING,
    MICROSTEPS,
    MS,
    OFF,
    Line,
    decode,
    request,
)

from controller.sim.faults import FAULTS, NAMES

CHECKS = {}


def check(name):
    def keep(function):
        CHECKS[name] = function
        return function
    return keep


def whole(answer: bytes, line: Line) -> list[int]:
    """Sequence numbers of the valid telegrams in an answer made of nothing else."""
    assert len(answer) % 108 == 0
    return [decode(answer[k:k + 108], line.axes).sequence for k in range(0, len(answer), 108)]


def valid(answer: bytes, line: Line) -> bool:
    try:
        decode(answer, line.axes)
    except AssertionError:
        return False
    return True


@check("lost")
def lost(line):
    line.board.set_fault("lost", count=3)
    assert [len(line.raw()) for _ in range(5)] == [0, 0, 0, 108, 108]
    line.board.set_fault("lost", probability=0.25)
    missing = sum(not line.raw() for _ in range(4000))
    assert 850 < missing < 1150
    line.board.clear_faults()
    line.cycle(50)
    assert line.counters()["valid_commands"] >= 4055


@check("late")
def late(line):
    line.board.set_fault("late", delay_ms=1, count=1)
    assert line.raw() == b""
    first = line.sequence
    assert whole(line.raw(), line) == [first, first + 1]
    line.board.set_fault("late", delay_ms=2.5, count=1)
    assert line.raw() == b""
    assert line.board.due_ns == line.now_ns + 2.5 * MS
    overtaken = line.sequence
    assert whole(line.raw(), line) == [overtaken + 1]
    assert whole(line.raw(), line) == [overtaken + 2]
    assert whole(line.raw(), line) == [overtaken, overtaken + 3]
    assert line.board.due_ns == -1


@check("duplicated")
def duplicated(line):
    line.board.set_fault("duplicated", count=1)
    answer = line.raw()
    assert whole(answer, line) == [line.sequence] * 2
    assert answer[:108] == answer[108:]


@check("truncated")
def truncated(line):
    line.board.set_fault("truncated", keep=10, count=1)
    assert len(line.raw()) == 10
    line.board.set_fault("truncated")
    lengths = {len(line.raw()) for _ in range(300)}
    assert min(lengths) >= 1
    assert max(lengths) <= 107
    assert len(lengths) > 50


@check("bit_flipped")
def bit_flipped(line):
    line.board.set_fault("bit_flipped")
    assert not any(valid(line.raw(), line) for _ in range(200))
    line.board.clear_faults()
    before = line.raw()
    line.board.set_fault("bit_flipped", bits=5, count=1)
    assert len(line.raw()) == len(before)


@check("reordered")
def reordered(line):
    line.board.set_fault("reordered", count=1)
    assert line.raw() == b""
    held = line.sequence
    assert whole(line.raw(), line) == [held + 1, held]
    assert whole(line.raw(), line) == [held + 2]


@check("garbage")
def garbage(line):
    line.board.set_fault("garbage", bytes=7, count=2)
    answers = [line.raw(), line.raw()]
    assert [len(a) for a in answers] == [115, 115]
    assert answers[0][:7] != answers[1][:7]
    assert whole(answers[1][7:], line) == [line.sequence]


@check("wrong_sequence")
def wrong_sequence(line):
    line.board.set_fault("wrong_sequence", offset=250, count=1)
    assert whole(line.raw(), line) == [(line.sequence + 250) & 0xFF]
    line.cycle()


@check("deaf")
def deaf(line):
    line.power_on()
    before = line.counters()["valid_commands"]
    line.board.set_fault("deaf", count=2)
    assert [len(line.raw()) for _ in range(3)] == [0, 0, 108]
    assert line.counters()["valid_commands"] == before + 1
    line.board.set_fault("deaf")
    for _ in range(60):
        line.raw()
    assert line.counters()["watchdog_trips"] == 1


@check("silence")
def silence(line):
    line.power_on()
    line.board.set_fault("silence", seconds=0.02)
    silent = [line.raw() for _ in range(40)]
    assert [bool(a) for a in silent] == [False] * 19 + [True] * 21
    assert line.board.truth()["contacts"]  # it went on listening
    assert line.board.faults() == ()


@check("hang_up")
def hang_up(line):
    line.power_on()
    line.board.set_fault("hang_up")
    assert line.board.hung_up
    assert not any(line.raw() for _ in range(80))
    assert line.counters()["watchdog_trips"] == 1
    assert not line.board.truth()["contacts"]
    line.board.clear_faults()
    assert not line.board.hung_up
    assert not line.cycle().inputs & CONTACTS


@check("slow_answers")
def slow_answers(_):
    line = Line(bring_up=False)
    line.board.set_fault("slow_answers", delay_ms=150)
    assert line.step(request(2)) == b""
    assert line.step(ms=149) == b""
    assert line.step(ms=1) == b"#2:4*\r\n"


@check("missing_register")
def missing_register(_):
    line = Line(bring_up=False)
    line.board.set_fault("missing_register", address=200)
    assert line.step(request(200)) == b""
    assert line.step(request(201)) == b"#201:360*\r\n"
    line.board.clear_faults()
    assert line.step(request(200)) == b"#200:360*\r\n"


@check("wrong_register")
def wrong_register(_):
    line = Line(bring_up=False)
    line.board.set_fault("wrong_register", address=130, value=-1)
    assert line.step(request(130)) == b"#130:-1*\r\n"
    line.board.set_fault("wrong_register", address=2, value=99)
    assert line.step(request(2)) == b"#2:99*\r\n"
    assert line.step(request(130)) == b"#130:4096*\r\n"


@check("setup_needed")
def setup_needed(line):
    line.power_on()
    line.board.set_fault("setup_needed", axis=2)
    state = line.cycle(2)
    assert [axis.driver_state for axis in state.axes] == [3, 1, 3, 3]
    before = line.truth("position_deg", 2)
    line.cycle(300)
    assert abs(line.truth("position_deg", 2) - before) > 0.3  # no torque
    line.flags |= 8
    line.cycle()
    line.bring_up()
    line.flags = 0
    assert {axis.driver_state for axis in line.cycle(40).axes} == {2}


@check("not_connected")
def not_connected(line):
    line.power_on()
    line.board.set_fault("not_connected", axis=3)
    axis = line.cycle(2).axes[2]
    assert (axis.driver_state, axis.status, axis.error, axis.position, axis.torque, axis.speed) == (0,) * 6
    line.board.clear_faults("not_connected")
    assert line.cycle().axes[2].driver_state == 3


@check("drive_waiting")
def drive_waiting(line):
    line.power_on()
    line.set(ABS, MICROSTEPS, 1000.0)
    line.cycle(100)
    line.board.set_fault("drive_waiting", axis=1)
    state = line.cycle(50)
    assert [(axis.driver_state, axis.mode) for axis in state.axes] == [(2, HOLD_WAITING)] + [(3, ABS)] * 3
    assert [axis.error for axis in state.axes] == [0] * 4
    held = line.truth("position_deg", 1)
    state = line.cycle(500)
    assert line.truth("position_deg", 1) == pytest.approx(held, abs=0.01)   # it has torque, but does not move
    assert line.truth("speed_deg_s", 2) == pytest.approx(10.0, rel=0.01)
    assert state.axes[0].status == 0b10000001   # at its target: where it stands
    line.set(OFF)
    line.cycle(300)
    assert line.truth("position_deg", 1) == pytest.approx(held, abs=0.01)   # not even OFF; only the relay helps
    line.set(ABS, MICROSTEPS, 1000.0)
    line.board.clear_faults()
    assert line.cycle(2).axes[0].driver_state == 3
    line.cycle(100)
    assert line.truth("speed_deg_s", 1) == pytest.approx(10.0, rel=0.01)


@check("drive_error")
def drive_error(line):
    line.power_on()
    line.set(ABS, MICROSTEPS, 1000.0)
    line.cycle(100)
    line.board.set_fault("drive_error", axis=1, code=21)
    state = line.cycle(50)
    assert [axis.error for axis in state.axes] == [21, 0, 0, 0]
    assert state.axes[0].driver_state == 4
    assert state.axes[0].status & 8
    assert line.truth("speed_deg_s", 1) == pytest.approx(0.0, abs=0.05)
    assert line.truth("speed_deg_s", 2) == pytest.approx(10.0, rel=0.01)
    line.flags |= CLEAR
    assert line.cycle(3).axes[0].error == 21  # the cause is still there
    line.flags = ENABLE
    line.board.clear_faults()
    assert line.cycle(3).axes[0].error == 21  # latched
    line.flags |= CLEAR
    assert line.cycle(2).axes[0].error == 0


@check("drive_warning")
def drive_warning(line):
    line.board.set_fault("drive_warning", axis=4, code=3)
    axis = line.cycle(2).axes[3]
    assert axis.warning == 3
    assert axis.status & 4
    line.board.clear_faults()
    assert line.cycle(2).axes[3].warning == 16003
    assert line.cycle(20).axes[3].warning == 0


@check("sensor_stuck")
def sensor_stuck(line):
    line.power_on()
    line.set(ABS, MICROSTEPS, 1000.0)
    reading = line.cycle(100).axes[0].position
    line.board.set_fault("sensor_stuck", axis=1)
    state = line.cycle(500)
    assert state.axes[0].position == reading
    assert line.truth("position_counts", 1) > reading + 40
    line.board.clear_faults()
    assert line.cycle(2).axes[0].position == pytest.approx(line.truth("position_counts", 1), abs=2)


@check("sensor_jump")
def sensor_jump(line):
    before = line.cycle().axes[1].position
    line.board.set_fault("sensor_jump", axis=2, counts=-300)
    assert line.cycle().axes[1].position == pytest.approx(before - 300, abs=3)
    assert line.cycle().axes[0].position == pytest.approx(line.truth("position_counts", 1), abs=3)


@check("sensor_wrap")
def sensor_wrap(line):
    before = line.cycle().axes[0].position
    line.board.set_fault("sensor_wrap", axis=1, strokes=8)
    state = line.cycle(2)
    assert state.axes[0].position == pytest.approx(before + 8 * 4096 - 65536, abs=3)  # around int16
    assert state.axes[0].error == 2


@check("drift")
def drift(line):
    line.power_on()
    line.cycle(50)
    before = line.truth("position_deg", 2)
    line.board.set_fault("drift", axis=2, speed_deg_s=20)
    state = line.cycle(1000)
    assert line.truth("position_deg", 2) - before == pytest.approx(20.0, abs=0.1)
    assert state.axes[1].speed == pytest.approx(2000, abs=2)
    line.cycle(5000)  # past the hard limit: counts below the minimum, for that sensor is inverted
    assert line.cycle().axes[1].error == 2
    line.board.set_fault("drift", axis=2, speed_deg_s=-20)
    line.cycle(1000)
    line.board.clear_faults()
    line.flags |= CLEAR
    assert line.cycle(2).axes[1].error == 0


@check("hand_force")
def hand_force(line):
    line.power_on()
    line.cycle(50)
    before, truth = line.cycle().axes, line.board.truth()
    line.board.set_fault("hand_force", x_n=3.0, y_n=-2.0, z_n=5.0)
    after = line.cycle(20).axes
    for i, (lever, scale) in enumerate(zip(truth["lever_mm"], (50.0, 50.0, 60.0, 100.0), strict=True)):
        torque = sum(way * force for way, force in zip(lever, (3.0, -2.0, 5.0), strict=True)) * 1e-3 * scale
        assert after[i].torque - before[i].torque == pytest.approx(-torque, abs=1.1), i  # less for the drive to carry
    assert line.board.truth()["position_deg"] == pytest.approx(truth["position_deg"], abs=0.02)    # held


@check("outside_torque")
def outside_torque(line):
    line.power_on()
    line.cycle(50)
    before = line.cycle().axes
    line.board.set_fault("outside_torque", axis=2, counts=-200)
    after = line.cycle(2).axes
    assert [b.torque - a.torque for a, b in zip(before, after, strict=True)] == pytest.approx([0, 200, 0, 0], abs=1)


@check("torque_offset")
def torque_offset(line):
    line.power_on()
    line.cycle(50)
    before, load = line.cycle().axes, line.board.truth()["load_counts"]
    line.board.set_fault("torque_offset", axis=3, counts=65535)
    assert line.cycle(2).axes[2].torque == 32767
    line.board.set_fault("torque_offset", axis=3, counts=300)
    after = line.cycle(2).axes
    assert [b.torque - a.torque for a, b in zip(before, after, strict=True)] == pytest.approx([0, 0, 300, 0], abs=1)
    assert line.board.truth()["load_counts"] == pytest.approx(load, abs=0.5)    # only the sensor


@pytest.mark.parametrize("start_deg", [0.0, 60.0])
def test_a_joint_without_torque_drifts_at_just_that_speed(start_deg):
    line = Line(start_deg=[start_deg] * 4, noise_counts=0.0)
    line.board.set_fault("drift", axis=1, speed_deg_s=20.0)
    state = line.cycle(1000)
    assert not state.inputs & CONTACTS
    assert line.truth("position_deg", 1) - start_deg == pytest.approx(20.0, abs=0.03)
    assert state.axes[0].speed == pytest.approx(2000, abs=2)
    assert line.board.maxima()["speed_deg_s"][0] == pytest.approx(20.0, rel=0.001)
    line.power_on()     # the rotor catches the joint without doubling its speed
    assert line.board.maxima()["speed_deg_s"][0] == pytest.approx(20.0, rel=0.01)
    line.board.clear_faults()
    line.cycle(50)
    assert line.truth("speed_deg_s", 1) == pytest.approx(0.0, abs=0.05)


def test_a_joint_let_go_by_the_drift_falls_on_from_that_speed():
    line = Line()
    line.board.set_fault("drift", axis=1, speed_deg_s=20.0, seconds=0.1)
    line.cycle(100)
    speed = line.cycle().axes[0].speed
    assert 1000 < speed < 2000
    line.cycle(1000)
    assert line.truth("speed_deg_s", 1) < 5.0


@check("blocked")
def blocked(line):
    line.power_on()
    line.cycle(50)
    before = line.truth("position_deg", 1)
    line.board.set_fault("blocked", axis=1)
    line.set(ABS, MICROSTEPS, 1000.0)
    line.cycle(500)
    assert line.truth("position_deg", 1) == before
    assert line.truth("speed_deg_s", 2) == pytest.approx(10.0, rel=0.01)
    line.board.clear_faults()
    line.set(HOLD_AUTO)
    line.cycle(100)
    assert line.truth("position_deg", 1) == pytest.approx(before, abs=0.1)  # no jump afterwards


@check("welded_relay")
def welded_relay(line):
    line.power_on()
    line.board.set_fault("welded_relay")
    line.flags = 0
    assert line.cycle(100).inputs == BUTTON | CONTACTS
    line.board.clear_faults()
    assert line.cycle(30).inputs == BUTTON
    line.board.set_fault("welded_relay")
    assert line.cycle(2).inputs == BUTTON | CONTACTS


@check("relay_stuck_open")
def relay_stuck_open(line):
    line.power_on()
    line.board.set_fault("relay_stuck_open")
    assert line.cycle(2).inputs == BUTTON | ENABLED
    assert line.cycle(100).inputs == BUTTON | ENABLED
    line.board.clear_faults()
    assert line.cycle(30).inputs == BUTTON | ENABLED | CONTACTS


@check("relay_chatter")
def relay_chatter(line):
    line.board.set_fault("relay_chatter")
    assert not line.cycle(200).inputs & CONTACTS    # open contacts do not close by it
    line.power_on()
    pattern = "".join("-" if line.cycle().inputs & CONTACTS else "o" for _ in range(1200))
    assert pattern.count("o") == 30
    gaps = [len(closed) for closed in pattern.split("ooo")]
    assert len(gaps) == 11
    assert gaps[1:-1] == [117] * 9
    line.board.set_fault("relay_chatter", period_ms=10, open_ms=5)
    reported_and_real = [(bool(line.cycle().inputs & CONTACTS), line.board.truth()["contacts"]) for _ in range(100)]
    assert reported_and_real.count((True, True)) == reported_and_real.count((False, False)) == 50
    line.board.set_fault("welded_relay")
    assert all(line.cycle().inputs & CONTACTS for _ in range(50))
    line.board.clear_faults()
    assert all(line.cycle().inputs & CONTACTS for _ in range(200))


@check("relay_without_edge")
def relay_without_edge(line):
    for on in (False, True):
        line.board.set_fault("relay_without_edge", on=on)
        line.flags = 0
        line.cycle(50)
        line.power_on()
        trips = line.counters()["watchdog_trips"]
        line.step(ms=80)
        assert line.counters()["watchdog_trips"] == trips + 1
        assert not line.board.truth()["contacts"]
        assert not line.cycle().inputs & CONTACTS
        assert bool(line.cycle(50).inputs & CONTACTS) == on     # enable was commanded all the time
    line.board.set_fault("button")
    assert not line.cycle(50).inputs & CONTACTS


@check("enable_stuck")
def enable_stuck(line):
    line.board.set_fault("enable_stuck")
    assert line.cycle().inputs & ENABLED
    assert line.cycle(30).inputs == BUTTON | ENABLED | CONTACTS


@check("button")
def button(line):
    assert line.cycle().inputs == BUTTON
    line.board.set_fault("button")
    assert line.cycle().inputs == 0
    line.board.set_fault("button", on=False)
    assert line.cycle().inputs == BUTTON


@check("low_battery")
def low_battery(line):
    line.board.set_fault("low_battery")
    assert line.cycle().battery_mv == 17000
    line.board.clear_faults()
    assert line.cycle().battery_mv == pytest.approx(25200, abs=2)


@check("high_battery")
def high_battery(line):
    line.board.set_fault("high_battery", mv=40000)
    assert line.cycle().battery_mv == 40000


def test_every_fault_of_the_table_has_a_check():
    assert set(CHECKS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_fault(name):
    CHECKS[name](Line(seed=3))


@pytest.mark.parametrize("row", FAULTS, ids=NAMES)
def test_every_fault_ends_by_its_time_by_clear_and_by_off(row):
    line = Line()
    expected = tuple((row.name, i) for i in (range(1, 5) if row.per_axis else (0,)))
    for end in ("seconds", "clear", "clear one", "off"):
        line.board.set_fault(row.name, seconds=0.01 if end == "seconds" else 0)
        assert line.board.faults() == expected
        if end == "seconds":
            line.step(ms=9)
            assert line.board.faults() == expected
            line.step(ms=1)
        elif end == "off":
            line.board.set_fault(row.name, on=False)
        else:
            line.board.clear_faults(row.name if end == "clear one" else None)
        assert line.board.faults() == ()


def test_a_fault_given_before_time_begins_lasts_its_seconds():
    line = Line(bring_up=False)
    board = type(line.board)(2)
    board.set_fault("silence", seconds=1.0)
    board.step(10**15)
    board.step(10**15 + 999 * MS)
    assert board.faults() == (("silence", 0),)
    board.step(10**15 + 1000 * MS)
    assert board.faults() == ()


@pytest.mark.parametrize(("call", "message"), [
    ({"name": "lots"}, "fault 'lots' is unknown; there are: lost, late,"),
    ({"name": "lost", "probabilty": 1}, "parameter 'probabilty' is unknown; it takes: probability, count, seconds"),
    ({"name": "lost", "probability": 1.5}, r"probability 1\.5 is outside 0\.\.1"),
    ({"name": "lost", "probability": float("nan")}, r"probability nan is outside 0\.\.1"),
    ({"name": "lost", "count": 1.5}, r"count 1\.5 must be a whole number"),
    ({"name": "lost", "axis": 1}, "parameter 'axis' is unknown"),
    ({"name": "silence", "count": 1}, "parameter 'count' is unknown; it takes: seconds"),
    ({"name": "drive_error", "axis": 5}, r"axis 5 is outside 0\.\.4"),
    ({"name": "drive_error", "code": 0}, r"code 0 is outside 1\.\.65535"),
    ({"name": "drive_error", "code": "3"}, "code must be a number, not '3'"),
    ({"name": "drive_error", "code": 10**400}, r"code 1000.* is outside 1\.\.65535"),
])
def test_wrong_faults_are_refused_and_change_nothing(call, message):
    board = Line().board
    with pytest.raises(ValueError, match=message):
        board.set_fault(**call)
    assert board.faults() == ()


def test_telegram_faults_also_act_on_register_lines():
    line = Line(bring_up=False)
    line.board.set_fault("lost", count=1)
    assert line.step(request(2)) == b""
    line.board.set_fault("duplicated", count=1)
    assert line.step(request(2)) == b"#2:4*\r\n#2:4*\r\n"
    line.board.set_fault("truncated", keep=3, count=1)
    assert line.step(request(2)) == b"#2:"


def run(seed: int) -> bytes:
    line = Line(seed=seed)
    line.power_on()
    for name in ("lost", "late", "duplicated", "truncated", "bit_flipped", "reordered", "garbage", "wrong_sequence"):
        line.board.set_fault(name, probability=0.1)
    line.set(ABS, MICROSTEPS, 700.0)
    return b"".join(line.raw() for _ in range(2000))


def test_a_seed_makes_runs_repeatable():
    assert run(11) == run(11)
    assert run(11) != run(12)
