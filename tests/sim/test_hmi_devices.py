"""Input devices on the real core: recorded streams move the arm, and whatever is doubtful stops it. Virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controller._core import State
from controller.input.mapping import Modes, drives_of
from controller.spec import hmi
from controller.spec import input as spec_input
from controller.spec.input import EV_ABS, EV_REL, EV_SYN, GIVE_BACK_S, READER_SILENT_S, SYN_DROPPED, SYN_REPORT
from controller.spec.modes import MasterMode, MasterState
from tests.input.recording import load
from tests.virtual_devices import Plugged, VirtualDevices
from tests.virtual_hmi import VirtualHmi

PAD, SPACE, STOP = load("pad_left_stick"), load("space_x"), load("pad_to_the_stop")
MODES, TURN = load("space_modes"), load("space_turn")
HAND_DRIVES = tuple(row for row in spec_input.DEFAULT_DRIVES if row.mode == "hand")
RIGHT, LEFT = 0x137, 0x136


def rig(axes: int = 4, **options: object) -> VirtualDevices:
    page = VirtualHmi(axes)
    page.stand_at(*([0.0, 0.0, 0.0, 30.0] + [0.0] * 4)[:axes])
    page.control.release(page.one)
    page.run(0.5)
    devices = VirtualDevices(page, **options)
    page.devices = 1
    return devices


@pytest.fixture
def desk() -> VirtualDevices:
    return rig()


def stick(x: float, y: float = 0.0) -> list[tuple[int, int, int]]:
    return [(EV_ABS, 0, round(32767 * x)), (EV_ABS, 1, round(32767 * y))]


def deflected(desk: VirtualDevices, x: float = 0.6, seconds: float = 0.5) -> Plugged:
    """A pad whose stick is held to the right, with a hand's tremor; the arm moves."""
    pad = desk.plug(PAD)
    hold(desk, pad, x, seconds)
    assert desk.page.state.setpoint_speed_deg_s[0] > 10
    return pad


def hold(desk: VirtualDevices, pad: Plugged, x: float, seconds: float) -> None:
    for i in range(round(seconds / 0.02)):
        pad.frame(*stick(x + 0.002 * (i % 2)))
        desk.run(0.02)


def stands(desk: VirtualDevices, within_s: float = 0.8) -> State:
    return desk.until(lambda s: not any(s.moving), within_s)


def braking_begins(desk: VirtualDevices) -> float:
    """Seconds until the set-point of axis 1 slows down."""
    start_s, fastest = desk.page.now_s, desk.page.state.setpoint_speed_deg_s[0]
    while desk.page.state.setpoint_speed_deg_s[0] >= 0.9 * fastest:
        desk.round()
        assert desk.page.now_s - start_s < 3
    return desk.page.now_s - start_s


def only_from_rest(desk: VirtualDevices, pad: Plugged) -> None:
    """What is still held does not move the arm; let go and pushed again, it does."""
    stands(desk)
    before = desk.page.state.position_deg[0]
    hold(desk, pad, 0.6, 0.5)
    assert desk.page.state.position_deg[0] == pytest.approx(before, abs=0.3)
    hold(desk, pad, 0.0, 0.1)
    hold(desk, pad, 0.6, 0.5)
    assert desk.page.state.position_deg[0] > before + 1


@pytest.mark.parametrize(("recording", "share"), [(PAD, 0.6), (SPACE, 0.7)])
def test_a_recorded_push_moves_the_axis_and_ends_with_it(desk: VirtualDevices, recording, share: float) -> None:
    device = desk.plug(recording)
    device.play(recording)
    desk.run(recording.seconds)
    state = stands(desk)
    assert state.position_deg[0] > 10
    assert state.position_deg[1:] == pytest.approx([0, 0, 30], abs=0.5)
    limit = state.speed_limit_deg_s[0]
    assert desk.highest_deg_s == pytest.approx(limit * 0.95 * (share - 0.1) / 0.9, rel=0.12)   # beyond the dead zone
    assert state.state == MasterState.AUTO
    assert desk.told == []


def test_a_dead_zone_keeps_a_worn_stick_still(desk: VirtualDevices) -> None:
    pad = desk.plug(PAD)
    for i in range(100):
        pad.frame(*stick(0.095 if i % 3 else -0.095))
        desk.run(0.02)
    assert desk.jogs == []
    assert desk.page.control.holder is None


def test_saf_4_unplugged_while_deflected(desk: VirtualDevices) -> None:
    pad = deflected(desk)
    desk.pull(pad)
    assert braking_begins(desk) < 0.1
    assert stands(desk).state == MasterState.AUTO
    assert desk.page.control.holder is None
    again = desk.plug(PAD, settle=False)    # plugged in again, it has to be seen at rest
    hold(desk, again, 0.6, 1.5)
    only_from_rest(desk, again)


@pytest.mark.parametrize("settle", [True, False])
def test_plugged_in_deflected_it_does_nothing(desk: VirtualDevices, settle: bool) -> None:
    pad = desk.plug(PAD, settle=False)
    pad.frame(*stick(0.8))
    hold(desk, pad, 0.8, 1.5 if settle else 0.2)
    assert desk.jogs == []
    hold(desk, pad, 0.0, 1.2)
    hold(desk, pad, 0.6, 0.3)
    assert desk.page.state.setpoint_speed_deg_s[0] > 5


def test_saf_4_lost_events_stop_it(desk: VirtualDevices) -> None:
    pad = deflected(desk)
    pad.take((EV_SYN, SYN_DROPPED, 0), (EV_SYN, SYN_REPORT, 0))
    assert braking_begins(desk) < 0.1
    assert "events were lost" in desk.told[-1]
    only_from_rest(desk, pad)


@pytest.mark.parametrize("garbage", [b"\x07" * 24, b"A" * 2400])
def test_saf_9_garbage_stops_it(desk: VirtualDevices, garbage: bytes) -> None:
    pad = deflected(desk)
    pad.tracker.take(garbage, desk.page.now_s)
    assert braking_begins(desk) < 0.1
    only_from_rest(desk, pad)


def test_saf_4_a_reading_thread_that_hangs_stops_it(desk: VirtualDevices) -> None:
    pad = deflected(desk)
    desk.reading = False
    assert braking_begins(desk) < READER_SILENT_S + 0.1
    assert "held up" in desk.told[-1]
    desk.run(1.0)
    desk.reading = True
    only_from_rest(desk, pad)


def test_saf_4_a_3d_mouse_that_falls_silent_stops_the_arm(desk: VirtualDevices) -> None:
    mouse = desk.plug(SPACE)
    mouse.play(SPACE)
    desk.run(1.0)
    assert desk.page.state.setpoint_speed_deg_s[0] > 10
    mouse.silence()
    assert braking_begins(desk) < 0.3
    assert "fell silent" in desk.told[-1]
    stands(desk)
    before = desk.page.state.position_deg[0]
    for _ in range(30):     # the link is back, the hand still holds
        mouse.frame((EV_REL, 0, 250))
        desk.run(0.016)
    assert desk.page.state.position_deg[0] == pytest.approx(before, abs=0.3)
    mouse.frame((EV_REL, 0, 10))
    mouse.frame((EV_REL, 0, 250))
    for _ in range(30):
        desk.run(0.016)
        mouse.frame((EV_REL, 0, 20), )
    desk.run(0.1)
    mouse.frame((EV_REL, 0, 250))
    desk.run(0.05)
    assert desk.page.state.setpoint_speed_deg_s[0] > 0


def test_a_3d_mouse_let_go_at_once_acts_again_after_a_second(desk: VirtualDevices) -> None:
    """Its zeros are not told: a cap that sprang back between two reports is one that fell silent, for a second."""
    mouse = desk.plug(SPACE)
    mouse.play(SPACE)
    desk.run(1.0)
    mouse.silence()
    desk.run(1.5)
    assert desk.message().devices[0].why == ""
    mouse.play(SPACE)
    desk.run(1.0)
    assert desk.page.state.setpoint_speed_deg_s[0] > 10


def test_saf_4_a_pad_held_still_for_too_long_stops_the_arm(desk: VirtualDevices) -> None:
    """At its stop a stick tells nothing, like a radio link that broke: after still_ms the arm stops."""
    pad = desk.plug(STOP)
    pad.play(STOP)
    desk.until(lambda s: s.setpoint_speed_deg_s[0] > 20)
    desk.until(lambda s: not any(s.moving), 2.5)
    assert "nothing was heard of it for 1 s" in desk.told[-1]
    before = desk.page.state.position_deg[0]
    desk.run(0.5)
    assert pad.playing      # it is still held
    assert desk.page.state.position_deg[0] == pytest.approx(before, abs=0.3)
    desk.run(2.5)
    pad.play(PAD)
    desk.run(1.0)
    assert desk.page.state.position_deg[0] > before + 2


def test_with_a_cable_a_pad_may_be_held_longer() -> None:
    desk = rig(still_s=10.0)
    pad = desk.plug(STOP)
    desk.sensitivities[0] = 0.3
    pad.play(STOP)
    desk.run(3.0)
    assert desk.page.state.setpoint_speed_deg_s[0] > 5
    assert desk.told == []


@pytest.mark.parametrize("who", ["the page", "the left button"])
def test_saf_2_a_stop_ends_the_hold(desk: VirtualDevices, who: str) -> None:
    pad = deflected(desk)
    stops = desk.page.state.stops
    if who == "the page":
        desk.page.say(["stop"], desk.page.two)
    else:
        pad.press(LEFT)
    desk.until(lambda s: s.stops > stops, 0.1)
    stands(desk)
    before = desk.page.state.position_deg[0]
    hold(desk, pad, 0.6, 1.5)
    assert desk.page.state.position_deg[0] == pytest.approx(before, abs=0.3)
    assert desk.page.state.state == MasterState.WAITING
    hold(desk, pad, 0.0, 0.3)
    hold(desk, pad, 0.6, 1.0)       # a new push is a new start by the operator
    assert desk.page.state.position_deg[0] > before + 1


def test_the_stop_button_acts_at_rest_and_without_control(desk: VirtualDevices) -> None:
    pad = desk.plug(PAD)
    assert desk.page.ask("move", position_deg=[40, None, None, None]).code == "ok"
    desk.until(lambda s: s.setpoint_speed_deg_s[0] > 10)
    pad.press(LEFT)
    stands(desk)
    assert desk.page.state.state == MasterState.WAITING
    assert desk.page.state.position_deg[0] < 35


def test_saf_6_an_error_ends_the_hold(desk: VirtualDevices) -> None:
    pad = deflected(desk)
    desk.page.arm.board.set_fault("button")
    desk.until(lambda s: s.state == MasterState.ERROR)
    desk.page.arm.board.clear_faults()
    hold(desk, pad, 0.6, 0.3)
    assert desk.page.ask("reset", desk.page.two).code == "ok"
    before = desk.page.state.position_deg[0]
    hold(desk, pad, 0.6, 1.0)
    assert desk.page.state.state == MasterState.WAITING
    assert desk.page.state.position_deg[0] < before + 0.5      # it sinks a little, without power


def test_another_client_in_control_is_named_once(desk: VirtualDevices) -> None:
    pad = desk.plug(PAD)
    desk.page.control.take(desk.page.two, desk.page.now_s)
    desk.page.two.hands_over = False
    hold(desk, pad, 0.6, 0.5)
    assert len(desk.told) == 1
    assert "client 2 (10.0.0.1) has control" in desk.told[0]
    assert len([jog for jog in desk.jogs if any(jog[1])]) == 1      # not repeated while it is held
    desk.page.control.release(desk.page.two)
    hold(desk, pad, 0.6, 0.5)
    assert not any(desk.page.state.moving)
    hold(desk, pad, 0.0, 0.1)
    hold(desk, pad, 0.6, 0.3)
    assert desk.page.state.setpoint_speed_deg_s[0] > 5


def test_a_page_that_pressed_start_lends_the_arm_to_the_device(desk: VirtualDevices) -> None:
    """The contract: start begins joystick control. A page that moves the arm itself does not lend it."""
    pad = desk.plug(PAD)
    assert desk.page.say(["start"]).code == "ok"
    assert desk.page.control.holder is desk.page.one
    hold(desk, pad, 0.6, 0.3)
    assert desk.page.state.setpoint_speed_deg_s[0] > 5
    holder = desk.page.control.holder
    assert holder is not None
    assert holder.device
    asked = desk.page.ask("move", position_deg=[0, None, None, None])
    assert asked.code == "control"
    assert "Microsoft X-Box 360 pad" in asked.text
    hold(desk, pad, 0.0, 0.5)
    desk.run(GIVE_BACK_S + 0.5)
    assert desk.page.control.holder is None
    assert desk.page.state.state == MasterState.AUTO
    assert desk.page.ask("move", position_deg=[0, None, None, None]).code == "ok"
    desk.run(0.3)
    assert any(desk.page.state.moving)
    hold(desk, pad, 0.6, 0.3)
    assert "has control" in desk.told[-1]
    desk.until(lambda s: s.on_target[0] and not any(s.moving))


def test_one_device_at_a_time(desk: VirtualDevices) -> None:
    first, second = desk.plug(PAD), desk.plug(SPACE)
    hold(desk, first, 0.6, 0.3)
    for _ in range(20):
        first.frame(*stick(0.6))
        second.frame((EV_REL, 1, 300))
        desk.run(0.02)
    state = desk.page.state
    assert state.setpoint_speed_deg_s[0] > 10
    assert state.setpoint_speed_deg_s[1] == 0.0
    assert "Microsoft X-Box 360 pad (client 101) has control" in desk.told[-1]
    first.frame(*stick(0.0))
    desk.run(GIVE_BACK_S + 1.5)
    second.play(SPACE)
    desk.run(1.0)
    assert desk.page.state.setpoint_speed_deg_s[0] > 10


def test_the_right_button_cycles_the_modes_and_moves_nothing(desk: VirtualDevices) -> None:
    mouse = desk.plug(MODES)
    assert (desk.message().mode, desk.message().modes[:2]) == ("joints 1-3", ["joints 1-3", "joints 3-5"])
    mouse.play(MODES)
    desk.run(1.3)
    first = stands(desk).position_deg
    assert first[1] < -5
    desk.run(0.4)
    assert desk.message().mode == "joints 3-5"
    assert desk.told == [f"input devices: mode joints 3-5 (2 of {len(desk.message().modes)})"]
    assert desk.page.state.position_deg == pytest.approx(first, abs=0.3)
    desk.run(1.5)
    last = stands(desk).position_deg
    assert last[2] > first[2] + 1
    assert last[:2] == pytest.approx(first[:2], abs=0.5)


def test_a_mode_change_ends_what_is_held(desk: VirtualDevices) -> None:
    pad = deflected(desk)
    pad.press(RIGHT)
    assert braking_begins(desk) < 0.1
    stands(desk)
    before = desk.page.state.position_deg
    hold(desk, pad, 0.6, 0.5)
    assert desk.page.state.position_deg == pytest.approx(before, abs=0.3)
    hold(desk, pad, 0.0, 0.1)
    hold(desk, pad, 0.6, 0.5)
    assert desk.page.state.position_deg[0] == pytest.approx(before[0], abs=0.3)
    assert desk.page.state.position_deg[2] > before[2] + 1


def test_a_bouncing_button_changes_the_mode_once(desk: VirtualDevices) -> None:
    pad = desk.plug(PAD)
    for _ in range(10):
        pad.press(RIGHT)
        desk.run(0.015)
    assert desk.message().mode == "joints 3-5"


def test_inversion_sensitivity_and_dead_zone(desk: VirtualDevices) -> None:
    desk.devices.choose(Modes.of("test", drives_of([
        {"mode": "a", "axis": "x", "drives": "joint 2", "invert": True, "sensitivity_percent": 50,
         "dead_zone_percent": 40}])), desk.page.now_s)
    desk.sensitivities[1] = 0.5
    pad = desk.plug(PAD)
    hold(desk, pad, 0.38, 0.3)
    assert not any(desk.page.state.moving)
    hold(desk, pad, 0.0, 0.1)
    hold(desk, pad, 1.0, 0.5)
    assert desk.jogs[-1][1] == pytest.approx([0, -25, 0, 0], abs=0.2)
    hold(desk, pad, 0.7, 0.1)
    assert desk.jogs[-1][1] == pytest.approx([0, -12.5, 0, 0], abs=0.2)


def test_rows_of_the_same_joint_add_up_to_full_speed(desk: VirtualDevices) -> None:
    desk.devices.choose(Modes.of("test", drives_of([
        {"mode": "a", "axis": axis, "drives": "joint 1"} for axis in ("x", "y")])), desk.page.now_s)
    pad = desk.plug(PAD)
    pad.frame(*stick(1.0, 1.0))
    desk.run(0.1)
    assert desk.jogs[-1][1] == [100.0, 0.0, 0.0, 0.0]


def test_a_row_may_be_for_one_kind_of_device(desk: VirtualDevices) -> None:
    desk.devices.choose(Modes.of("test", drives_of([
        {"mode": "a", "axis": "x", "drives": "joint 1", "device": "3D mouse"},
        {"mode": "a", "axis": "x", "drives": "joint 2", "device": "Microsoft*"}])), desk.page.now_s)
    pad = desk.plug(PAD)
    hold(desk, pad, 0.6, 0.3)
    assert desk.jogs[-1][1][0] == 0.0
    assert desk.jogs[-1][1][1] > 50


def test_a_joint_that_the_arm_has_not_is_said(desk: VirtualDevices) -> None:
    desk.devices.choose(Modes.of("scenario Lunch", drives_of([
        {"mode": "a", "axis": "x", "drives": "joint 7"}, {"mode": "a", "axis": "y", "drives": "joint 1"}])),
        desk.page.now_s)
    pad = desk.plug(PAD)
    assert "joint 7" in desk.message().problem
    pad.frame(*stick(1.0, 0.0))
    desk.run(0.1)
    assert desk.jogs == []


def test_another_mapping_ends_what_is_held(desk: VirtualDevices) -> None:
    pad = deflected(desk)
    desk.devices.choose(Modes.of("scenario Lunch", drives_of([{"mode": "a", "axis": "x", "drives": "joint 3"}])),
                        desk.page.now_s)
    assert braking_begins(desk) < 0.1
    stands(desk)
    before = desk.page.state.position_deg
    hold(desk, pad, 0.6, 0.5)
    assert desk.page.state.position_deg == pytest.approx(before, abs=0.3)
    assert desk.message().source == "scenario Lunch"
    desk.devices.choose(None, desk.page.now_s)
    assert desk.message().source == "default"


def test_without_may_start_a_device_moves_a_started_arm_only() -> None:
    desk = rig(may_start=False)
    desk.page.say(["stop"])
    desk.until(lambda s: s.state == MasterState.WAITING)
    pad = desk.plug(PAD)
    hold(desk, pad, 0.6, 0.5)
    assert desk.page.state.state == MasterState.WAITING
    assert "press start" in desk.told[-1]
    hold(desk, pad, 0.0, 0.1)
    assert desk.page.say(["start"]).code == "ok"
    hold(desk, pad, 0.6, 0.5)
    assert desk.page.state.setpoint_speed_deg_s[0] > 10


def test_a_deflection_is_the_operator_s_start(desk: VirtualDevices) -> None:
    desk.page.say({"10": 0})
    desk.until(lambda s: not s.motor_power)
    pad = desk.plug(PAD)
    desk.page.control.release(desk.page.one)
    for _ in range(100):
        hold(desk, pad, 0.6, 0.02)
        if desk.page.state.setpoint_speed_deg_s[0] > 10:
            break
    assert desk.page.state.setpoint_speed_deg_s[0] > 10
    assert desk.page.state.motor_power


def test_a_blocker_is_named(desk: VirtualDevices) -> None:
    pad = desk.plug(PAD)
    desk.page.arm.board.set_fault("button")
    desk.until(lambda s: s.state == MasterState.ERROR)
    hold(desk, pad, 0.6, 0.2)
    assert "an error is active: reset it" in desk.told[-1]
    assert "let it go first" in desk.message().devices[0].why


def test_a_hand_s_mode_sends_velocities_of_the_hand(desk: VirtualDevices, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, object]] = []
    monkeypatch.setattr(desk, "jog", lambda client, message, done: sent.append(message))
    desk.devices.choose(Modes.of("test", HAND_DRIVES), desk.page.now_s)
    desk.sensitivities[-1] = 0.5
    pad = desk.plug(PAD)
    hold(desk, pad, -0.55, 0.1)     # to the left
    hold(desk, pad, 0.0, 0.1)
    assert sent[0]["hand_percent"] == pytest.approx([0, 25, 0], abs=0.1)
    assert sent[-1]["hand_percent"] == [0, 0, 0]
    assert not any("speed_percent" in message for message in sent)


@pytest.mark.parametrize(("axis", "share", "moves"), [(1, -0.5, 0), (0, -0.5, 1), (4, -0.5, 2)])
def test_a_pad_drives_the_hand(desk: VirtualDevices, axis: int, share: float, moves: int) -> None:
    """Away from you is forward (x), to the left is to the left (y), the right stick away from you is up (z)."""
    desk.page.stand_at(20, 20, 10, 50)
    desk.page.control.release(desk.page.one)
    desk.devices.choose(Modes.of("test", HAND_DRIVES), desk.page.now_s)
    pad = desk.plug(PAD)

    def hand() -> list[float]:
        state: Any = desk.page.state
        return [state.hand_x_mm, state.hand_y_mm, state.hand_z_mm]

    before = hand()
    for i in range(30):
        pad.frame((EV_ABS, axis, round(32767 * (share - 0.002 * (i % 2)))))
        desk.run(0.02)
    after = hand()
    assert after[moves] - before[moves] > 15
    assert all(abs(after[i] - before[i]) < 5 for i in range(3) if i != moves)
    pad.frame((EV_ABS, axis, 0))
    stands(desk, 2.0)


# -- test cycle 7

def test_test_cycle_7_is_an_input_device_on_axis_1(desk: VirtualDevices) -> None:
    mouse = desk.plug(SPACE)
    assert desk.page.say({"10": 2, "11": 7}).code == "ok"
    desk.until(lambda s: s.mode == MasterMode.TEST)
    assert desk.message().mode == "test cycle 7"
    for _ in range(25):
        mouse.frame((EV_REL, 0, 200), (EV_REL, 1, 200))
        mouse.frame((EV_REL, 5, 200))
        desk.run(0.02)
    state = desk.page.state
    assert state.setpoint_speed_deg_s[0] > 10
    assert state.setpoint_speed_deg_s[1:] == (0.0, 0.0, 0.0)
    assert state.mode == MasterMode.TEST
    mouse.frame((EV_REL, 0, 5))
    stands(desk)
    desk.run(GIVE_BACK_S + 0.5)
    assert desk.message().mode == "test cycle 7"        # it lasts
    assert desk.page.say({"10": 3}).code == "ok"
    desk.run(0.1)
    assert desk.message().mode == "joints 1-3"


@pytest.mark.parametrize("end", [
    lambda page: page.say(["stop"]), lambda page: page.say({"10": 1}), lambda page: page.say({"10": 2, "11": 8}),
    lambda page: page.ask("move", position_deg=[0, None, None, None]),
    lambda page: page.ask("jog", speed_percent=[10, 0, 0, 0]), lambda page: page.control.release(page.one)])
def test_what_ends_test_cycle_7(desk: VirtualDevices, end: Callable[[VirtualHmi], object]) -> None:
    desk.plug(SPACE)
    assert desk.page.say({"10": 2, "11": 7}).code == "ok"
    desk.until(lambda s: s.mode == MasterMode.TEST)
    end(desk.page)
    desk.run(0.1)
    assert desk.message().mode == "joints 1-3"


def test_test_cycle_7_needs_a_device_and_an_administrator(desk: VirtualDevices) -> None:
    desk.page.devices = 0
    asked = desk.page.say({"10": 2, "11": 7})
    assert asked.code == "blocked"
    assert "no input device is connected" in asked.text
    assert not desk.page.handlers.cycles.testing_device
    desk.page.devices = 1
    desk.page.one.role = hmi.Role.ADVANCED
    assert desk.page.say({"10": 2, "11": 7}).code == "role"


def test_saf_5_whatever_a_device_sends_the_limits_hold(desk: VirtualDevices) -> None:
    """Full deflection to and fro, into the limits."""
    pad = desk.plug(PAD)

    def within(state: State) -> None:
        for i in range(4):
            assert state.range_minimum_deg[i] - 0.5 <= state.position_deg[i] <= state.range_maximum_deg[i] + 0.5
            assert abs(state.setpoint_speed_deg_s[i]) <= state.speed_limit_deg_s[i]

    for turn in range(12):
        for _ in range(20):
            pad.frame(*stick((-1.0) ** (turn // 3), (-1.0) ** turn))
            desk.run(0.02, within)
    assert desk.page.state.state == MasterState.AUTO
