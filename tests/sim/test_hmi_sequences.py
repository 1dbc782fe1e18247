"""Motions one after the other: test cycle 1 on the real core, and all that ends it. Virtual clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controller.hmi.sequence import Plan, Step, standard_movements
from controller.spec.modes import Blocker, MasterState
from tests.virtual_hmi import VirtualHmi

CYCLE_1 = {"10": 2, "11": 1}


def begun() -> VirtualHmi:
    """Test cycle 1 in its first movement."""
    page = VirtualHmi()
    page.stand_at(10, 10, 10, 10)
    assert page.say(CYCLE_1).code == "ok"
    page.until(lambda s: any(s.moving))
    return page


@pytest.mark.parametrize("axes", [1, 4, 5, 8])
def test_test_cycle_1_moves_every_axis_inside_its_range(axes: int) -> None:
    page = VirtualHmi(axes)
    ranges = {str(101 + i): v for i, v in enumerate((-20, 30))} if axes == 1 else {"101": -20, "102": 30, "103": 0,
                                                                                   "104": 40}
    assert page.say(ranges).code == "ok"
    page.stand_at(*(10,) * axes)
    before = page.state.motions_done
    lowest, highest, together = [1e9] * axes, [-1e9] * axes, 0
    assert page.say(CYCLE_1).code == "ok"
    page.round()
    while page.handlers.sequencer.running:
        state = page.round()
        lowest = [min(now, deg) for now, deg in zip(lowest, state.position_deg, strict=True)]
        highest = [max(now, deg) for now, deg in zip(highest, state.position_deg, strict=True)]
        together = max(together, sum(state.moving))
        assert state.fault_count == 0
    assert page.ended == []
    assert page.state.motions_done == before + 3 * axes
    assert together == 1
    limits = page.handlers.in_force.target_ranges_deg()
    assert limits[0] == (-20, 30)
    for (low, high), found_low, found_high in zip(limits, lowest, highest, strict=True):
        assert found_low == pytest.approx(min(10, low + 0.25 * (high - low)), abs=0.5)
        assert found_high == pytest.approx(max(10, high - 0.25 * (high - low)), abs=0.5)
    assert page.state.position_deg == pytest.approx([10] * axes, abs=0.5)
    progress = page.handlers.sequencer.progress
    assert progress is not None
    assert (progress.step, progress.steps, progress.ended) == (3 * axes, 3 * axes, "done")
    assert page.state.state == MasterState.AUTO


def test_standard_movements_return_into_the_range() -> None:
    page = VirtualHmi(1)
    steps = standard_movements(page.arm.facts, [(0.0, 40.0)], [55.0])
    assert [dict(step.targets) for step in steps] == [{0: 10.0}, {0: 30.0}, {0: 40.0}]


def stop(page: VirtualHmi) -> None:
    page.say(["stop"], page.two)


def core_stop(page: VirtualHmi) -> None:
    page.arm.core.request_stop()


def error(page: VirtualHmi) -> None:
    page.arm.board.set_fault("drive_error", axis=2, code=3, seconds=1)


def disconnect(page: VirtualHmi) -> None:
    page.control.release(page.one)


@pytest.mark.parametrize(("happens", "why"), [
    (stop, "stopped"), (core_stop, "stopped"), (error, "an error"), (disconnect, "no longer has control"),
])
def test_what_ends_a_sequence_tells_its_client(happens: Callable[[VirtualHmi], None], why: str) -> None:
    page = begun()
    happens(page)
    page.until(lambda s: not page.handlers.sequencer.running)
    page.until(lambda s: not any(s.moving))
    done = page.state.motions_done
    assert any(why in text for text in page.ended), page.ended
    assert "step 1 of 12" in page.ended[0]
    page.run(5.0)
    assert not any(page.state.moving)
    assert page.state.motions_done == done


@pytest.mark.parametrize("message", [{"4": 0, "50": 12}, ["start"], {"10": 1}, {"10": 0}, {"10": 2, "11": 8}])
def test_another_command_of_its_own_client_ends_it(message: object) -> None:
    page = begun()
    assert page.say(message).code == "ok"
    assert not page.handlers.sequencer.running
    assert page.ended == []
    page.until(lambda s: not any(s.moving))
    page.run(3.0)
    assert not any(page.state.moving)


def test_a_jog_ends_it_at_once() -> None:
    page = begun()
    assert page.ask("jog", speed_percent=[0, 0, 0, 0]).code == "ok"
    assert not page.handlers.sequencer.running
    page.until(lambda s: not any(s.moving), 1.0)


def test_a_second_one_begins_anew() -> None:
    page = begun()
    page.run(1.0)
    assert page.say(CYCLE_1).code == "ok"
    progress = page.handlers.sequencer.progress
    assert progress is not None
    assert (progress.step, progress.ended) == (1, "")


def test_control_is_not_lost_while_it_runs() -> None:
    page = begun()
    page.until(lambda s: not page.handlers.sequencer.running, 120.0)
    assert page.control.holder is page.one
    assert page.ended == []


def test_a_step_that_overtakes_a_stop_is_stopped() -> None:
    """The main thread stops the arm between two looks of the HMI thread, which then still sends the next step."""
    page = begun()
    page.until(lambda s: (s.motions_done and not any(s.moving)) or any(s.on_target))
    while True:     # to the end of the first step, cycle by cycle, without a round of the HMI
        page.state = page.arm.cycle()
        page.results.follow(page.state)
        if page.state.on_target[0] and not any(page.state.moving):
            break
    page.arm.core.request_stop()
    page.arm.cycle()    # acted on, and the HMI has not seen it
    page.handlers.sequencer.follow(page.state, page.now_s)     # sends the second step
    page.run(3.0)
    assert page.state.state == MasterState.WAITING
    assert not any(page.state.moving)
    assert any("stopped" in text for text in page.ended)


def test_refusals_of_the_first_step_are_the_answer() -> None:
    page = VirtualHmi()
    page.say({"70": 0})
    assert page.say(CYCLE_1).code == "ok"  # begun: the power-up
    page.until(lambda s: not page.handlers.sequencer.running)
    assert "no speed" in page.ended.pop()
    refused = page.say(CYCLE_1)  # with power on, the loop refuses at once
    assert (refused.code, page.ended) == ("refused", [])
    assert not page.handlers.sequencer.running
    page.say({"70": 100})
    page.arm.board.set_fault("button")
    page.until(lambda s: bool(s.blockers))
    assert Blocker.BUTTON.doc in page.say(CYCLE_1).text


def test_a_full_ring_ends_it() -> None:
    page = begun()
    sent = page.handlers.sequencer._push
    page.handlers.sequencer._push = lambda *args: (_ for _ in ()).throw(full)  # type: ignore[assignment]
    from controller.hmi.clients import Refused
    from controller.spec.hmi import Notice
    full = Refused(Notice.BUSY, "", "full")
    page.until(lambda s: not page.handlers.sequencer.running)
    assert any("full" in text for text in page.ended)
    page.handlers.sequencer._push = sent  # type: ignore[method-assign]


def test_steps_rest_as_long_as_they_say_and_have_their_speed() -> None:
    page = VirtualHmi()
    page.stand_at(0, 0, 0, 0)
    page.control.take(page.one, page.now_s)
    steps = [Step("out", {0: 10.0}, 100.0, pause_s=2.0), Step("back", {0: 0.0}, 10.0)]
    page.handlers.sequencer.start(page.one, Plan("exercise", steps), page.state, page.now_s)
    page.until(lambda s: s.on_target[0] == 1 and s.position_deg[0] > 9)
    arrived_s = page.now_s
    page.until(lambda s: any(s.moving))
    assert page.now_s - arrived_s == pytest.approx(2.0, abs=0.1)
    fastest = 0.0
    while page.handlers.sequencer.running:
        fastest = max(fastest, -page.round().setpoint_speed_deg_s[0])
    assert 1.0 < fastest <= 6.01


def hand_mm(page: VirtualHmi) -> tuple[float, ...]:
    return page.state.hand_x_mm, page.state.hand_y_mm, page.state.hand_z_mm


def test_test_cycle_3_goes_round_and_a_pause_keeps_it() -> None:
    """Steps of the hand have no joint targets, and are no rests."""
    page = VirtualHmi()
    page.stand_at(10, 30, 0, 70)
    before, done = hand_mm(page), page.state.motions_done
    assert page.say({"10": 2, "11": 3}).code == "ok"
    page.until(lambda s: any(s.moving))
    page.run(0.3)
    assert page.ask("pause").code == "ok"
    page.until(lambda s: not any(s.moving))
    page.run(3.0)
    progress = page.handlers.sequencer.progress
    assert progress is not None
    assert (progress.paused, progress.step, progress.steps) == (True, 1, 4)
    assert page.ask("resume").code == "ok"
    page.until(lambda s: not page.handlers.sequencer.running, 60.0)
    progress = page.handlers.sequencer.progress
    assert progress is not None
    assert progress.ended == "done"
    assert page.state.motions_done >= done + 4
    assert hand_mm(page) == pytest.approx(before, abs=3.0)
