"""Relay, button, watchdog and phase of the simulated board."""

import itertools

import pytest
from board_line import ABS, BUTTON, CONTACTS, ENABLE, ENABLED, LEAVE, MICROSTEPS, QUICK, Line


def cycles_until(line: Line, contacts: bool, limit: int = 200) -> int:
    for k in range(1, limit):
        if bool(line.cycle().inputs & CONTACTS) == contacts:
            return k
    raise AssertionError(f"contacts did not become {contacts} in {limit} ms")


@pytest.mark.parametrize("relay_ms", [0, 5, 20, 60])
def test_relay_takes_its_switching_time(relay_ms):
    line = Line(relay_ms=relay_ms)
    assert line.cycle().inputs == BUTTON
    line.flags = ENABLE
    closing = cycles_until(line, True)
    assert relay_ms <= closing - 1 <= relay_ms + 2
    assert line.cycle().inputs == BUTTON | CONTACTS | ENABLED
    line.flags = 0
    opening = cycles_until(line, False)
    assert relay_ms <= opening - 1 <= relay_ms + 2


def test_a_pulse_shorter_than_the_switching_time_does_nothing():
    line = Line()
    line.flags = ENABLE
    line.cycle(15)
    line.flags = 0
    assert not any(line.cycle().inputs & CONTACTS for _ in range(60))


def test_button_opens_the_contacts_whatever_is_commanded():
    line = Line()
    line.power_on()
    line.board.set_fault("button")
    assert line.cycle().inputs == CONTACTS | ENABLED
    assert 18 <= cycles_until(line, False) <= 22
    line.flags = 0
    line.cycle(5)
    line.flags = ENABLE
    assert not any(line.cycle().inputs & CONTACTS for _ in range(60))
    line.board.set_fault("button", on=False)
    assert 18 <= cycles_until(line, True) <= 23


def test_driver_states_follow_power_and_mode():
    line = Line()
    assert {axis.driver_state for axis in line.cycle().axes} == {2}
    state = line.power_on()
    assert {axis.driver_state for axis in state.axes} == {3}
    for mode, expected in ((0, 2), (1, 3), (2, 3), (3, 3), (4, 3), (5, 2), (6, 2), (7, 2), (8, 3), (9, 3)):
        line.set(mode)
        state = line.cycle(2)
        assert {axis.driver_state for axis in state.axes} == {expected}
        assert {axis.mode for axis in state.axes} == {mode}


def test_watchdog_opens_the_relay_and_hard_stops():
    line = Line()
    line.power_on()
    line.set(ABS, MICROSTEPS, 3000.0)
    line.cycle(200)
    speed = line.truth("speed_deg_s")
    assert speed == pytest.approx(30.0, rel=0.01)
    line.step(ms=49)
    assert line.truth("speed_deg_s") == pytest.approx(speed, rel=0.01)
    assert line.counters()["watchdog_trips"] == 0
    line.step(ms=20)
    assert line.counters()["watchdog_trips"] == 1
    assert abs(line.truth("speed_deg_s")) < 4.0  # hard-stopped while there is still torque
    line.step(ms=10)
    assert not line.board.truth()["contacts"]


def test_after_a_trip_power_needs_a_new_enable_edge():
    line = Line()
    line.power_on()
    line.step(ms=100)
    for _ in range(100):
        state = line.cycle()
        assert not state.inputs & CONTACTS
    assert state.inputs & ENABLED
    line.flags = 0
    line.cycle(2)
    line.flags = ENABLE
    assert 18 <= cycles_until(line, True) <= 23


def test_invalid_telegrams_do_not_feed_the_watchdog():
    line = Line()
    line.power_on()
    for _ in range(90):
        line.step(line.telegram()[:-1] + b"\x00")
    assert line.counters()["watchdog_trips"] == 1
    assert not line.board.truth()["contacts"]


def test_one_second_of_silence_leads_back_to_registers():
    line = Line()
    line.power_on()
    line.step(ms=999)
    assert line.board.truth()["phase"] == "cyclic"
    line.step(ms=5)
    assert line.board.truth()["phase"] == "register"
    assert line.counters()["fallbacks"] == 1
    assert line.board.truth()["command"] == ((0, 0, 0.0),) * 4
    assert not line.board.truth()["enable"]
    line.bring_up()
    line.flags = 0
    assert line.cycle().inputs == BUTTON  # nothing comes back by itself
    line.power_on()
    assert line.board.truth()["contacts"]


def test_leaving_the_cyclic_phase_drops_power():
    line = Line()
    line.power_on()
    line.flags |= LEAVE
    line.cycle()
    assert not line.board.truth()["enable"]
    line.step(ms=30)
    assert not line.board.truth()["contacts"]


def test_quick_stop_flag_stops_every_axis():
    line = Line()
    line.power_on()
    line.set(ABS, MICROSTEPS, 3000.0)
    line.cycle(100)
    line.flags |= QUICK
    line.cycle(40)
    assert line.board.truth()["speed_deg_s"] == pytest.approx((0.0,) * 4, abs=0.1)
    assert line.board.truth()["contacts"]


def test_flag_log_keeps_the_last_changes():
    line = Line()
    line.cycle(3)
    assert [flags for _, flags in line.board.flag_log()] == [0]
    for _ in range(300):
        line.flags ^= QUICK
        line.cycle()
    log = line.board.flag_log()
    assert len(log) == 256
    assert log[-1] == (line.now_ns, line.flags)
    times = [t for t, _ in log]
    assert times == sorted(times)
    assert all(a != b for (_, a), (_, b) in itertools.pairwise(log))


def test_battery_falls_with_time_and_load():
    idle = Line(noise_counts=0.0)
    idle.step(ms=60_000)
    assert idle.board.truth()["battery_mv"] == pytest.approx(25200 - 6, abs=1)
    loaded = Line(noise_counts=0.0)
    loaded.power_on()
    for _ in range(60):
        loaded.cycle(1000)
    loaded.flags = 0
    loaded.cycle(40)
    assert loaded.board.truth()["battery_mv"] < idle.board.truth()["battery_mv"] - 5
