"""Hold-to-run on the real core: how long a jog acts, and what ends it. Virtual clock."""

from __future__ import annotations

import pytest

from controller.spec import hmi
from controller.spec.modes import MasterState
from tests.virtual_hmi import VirtualHmi

SPEED, ZERO = [40, 0, 0, 0], [0, 0, 0, 0]


def held(page: VirtualHmi, seconds: float = 0.5, **fields: float) -> None:
    """Jog axis 1, refreshed every 50 ms."""
    for _ in range(round(seconds / 0.05)):
        assert page.ask("jog", speed_percent=SPEED, **fields).code == "ok"
        page.run(0.05)


def jogging() -> VirtualHmi:
    page = VirtualHmi()
    page.stand_at(0, 0, 0, 0)
    held(page)
    assert page.state.setpoint_speed_deg_s[0] > 10
    return page


def time_to_brake(page: VirtualHmi) -> float:
    """Seconds until the set-point slows down."""
    start_s, fastest = page.now_s, page.state.setpoint_speed_deg_s[0]
    while page.state.setpoint_speed_deg_s[0] >= fastest - 0.01:
        page.round()
        assert page.now_s - start_s < 2
    return page.now_s - start_s


def test_saf_4_a_jog_acts_for_200_ms_after_its_last_refresh() -> None:
    page = jogging()
    page.ask("jog", speed_percent=SPEED)
    assert time_to_brake(page) == pytest.approx(hmi.JOG_REFRESH_S, abs=0.03)
    page.until(lambda s: not any(s.moving), 1.0)
    assert page.state.state == MasterState.AUTO


def test_saf_4_a_late_jog_acts_so_much_shorter() -> None:
    page = jogging()
    page.ask("jog", speed_percent=SPEED, age_ms=120)
    assert time_to_brake(page) == pytest.approx(0.08, abs=0.03)


def test_saf_4_queued_jogs_do_not_keep_the_arm_moving() -> None:
    """The link stalls for half a second; then everything that was sent meanwhile arrives at once."""
    page = VirtualHmi()
    page.stand_at(0, 0, 0, 0)
    for n in range(10):
        assert page.ask("jog", speed_percent=SPEED, sequence=n, sent_ms=page.now_s * 1e3).code == "ok"
        page.run(0.05)
    sent_ms = page.now_s * 1e3
    page.run(0.5)
    page.until(lambda s: not any(s.moving), 1.0)
    stale = [page.ask("jog", speed_percent=SPEED, sequence=10 + n, sent_ms=sent_ms + 50 * n).code for n in range(5)]
    assert stale == ["stale"] * 5
    assert not any(page.run(0.3).moving)


def test_saf_4_a_release_ends_it_at_once() -> None:
    page = jogging()
    assert page.ask("jog", speed_percent=ZERO).code == "ok"
    assert time_to_brake(page) < 0.05
    page.until(lambda s: not any(s.moving), 1.0)


def test_saf_4_losing_control_ends_it_at_once() -> None:
    page = jogging()
    page.ask("jog", speed_percent=SPEED)
    page.control.release(page.one)
    assert time_to_brake(page) < 0.05


def test_saf_2_a_held_jog_does_not_undo_a_stop() -> None:
    page = jogging()
    page.say(["stop"], page.two)
    for _ in range(40):
        assert page.ask("jog", speed_percent=SPEED).code in {"refused", "blocked", "stale"}
        page.run(0.05)
    assert page.state.state == MasterState.WAITING
    assert not any(page.state.moving)
    assert page.ask("jog", speed_percent=ZERO).code == "ok"
    page.run(0.3)
    assert page.ask("jog", speed_percent=SPEED).code == "ok"
    page.until(lambda s: s.state == MasterState.AUTO)


def test_saf_2_a_stop_from_elsewhere_ends_the_hold_too() -> None:
    """The main thread stops the arm; the HMI refuses the jog while the stop runs, and the core does not hear of it."""
    page = jogging()
    page.arm.core.request_stop()
    for _ in range(40):
        assert page.ask("jog", speed_percent=SPEED).code in {"refused", "blocked", "stale"}
        page.run(0.05)
    assert not any(page.state.moving)
    page.run(0.9)  # a link may stall for so long, and without the sender's clock nobody can tell
    assert page.ask("jog", speed_percent=SPEED).code == "stale"
    page.run(1.1)  # no link does that: a pause is a release
    assert page.ask("jog", speed_percent=SPEED).code == "ok"


def test_saf_6_a_jog_held_over_a_reset_does_not_begin_by_itself() -> None:
    page = jogging()
    page.arm.board.set_fault("button", seconds=0.5)
    page.until(lambda s: s.state == MasterState.ERROR)
    for n in range(40):
        assert page.ask("jog", speed_percent=SPEED).code in {"blocked", "stale"}
        page.run(0.05)
        if n == 20:
            assert page.say(["reset"], page.two).code == "ok"
    assert page.state.state == MasterState.WAITING
    assert page.state.motor_power == 0
    assert page.ask("jog", speed_percent=ZERO).code == "ok"
    page.run(0.25)  # in WAITING the core asks for a release of its jog timeout
    assert page.ask("jog", speed_percent=SPEED).code == "ok"
    page.until(lambda s: s.state == MasterState.AUTO)
