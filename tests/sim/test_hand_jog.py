"""The hand's jog on the running core: hold-to-run as for joints, straight, within every limit, and what it does at the
ends of what the arm can. Virtual clock; LimitWatch decodes and differences every telegram.
"""

from __future__ import annotations

import math

import pytest

from controller._core import State
from controller.spec import hmi
from controller.spec.modes import CommandKind, CommandResult, MasterMode, MasterState
from tests.sim.test_cycle_limits import LimitWatch
from tests.sim.test_hand_line import HandArm, off_line
from tests.virtual_arm import codes, warnings
from tests.virtual_hmi import VirtualHmi


def held(arm: HandArm, seconds: float, *percent: float) -> tuple[State, set[int]]:
    """Hold it, every telegram watched; then let go, to standstill: (last state, warnings seen)."""
    watch, seen = LimitWatch(arm), set()
    for cycle in range(round(seconds * 1000) + 3000):
        if cycle % 50 == 0 and cycle < seconds * 1000:
            arm.push(CommandKind.HAND_JOG, percent)
        elif cycle == round(seconds * 1000):
            arm.push(CommandKind.HAND_JOG, [0.0, 0.0, 0.0])
        state = arm.cycle()
        watch.check(state)
        seen |= {code for code, _ in warnings(state)}
    assert not codes(state)
    assert not any(state.moving)
    assert state.state == MasterState.AUTO
    return state, seen


@pytest.mark.parametrize("way", [(0, 0, 40), (0, 40, 0), (40, 0, 0), (-30, -30, 20), (0, 0, -40)])
def test_it_goes_straight_and_stands_when_it_is_let_go(way: tuple[int, int, int]) -> None:
    arm = HandArm(4, 10, 30, 0, 80)
    start = arm.setpoint_hand(arm.cycle())
    state, seen = held(arm, 1.0, *way)
    end = arm.setpoint_hand(state)
    assert math.dist(start, end) == pytest.approx(2.5 * math.hypot(*way), rel=0.1)
    assert off_line(end, start, [a + b for a, b in zip(start, way, strict=True)]) < 1.0
    assert not seen


def test_it_turns_at_the_end_of_its_reach_and_comes_back() -> None:
    arm = HandArm(4, 0, 60, 0, 60)
    state, seen = held(arm, 3.0, 100, 0, 0)
    assert 106 in seen
    assert warnings(state) == set()  # withdrawn with the end of the jog
    assert math.dist(arm.setpoint_hand(state), (0, 0, 0)) > 0.99 * arm.kinematics.reach_mm[1]
    before = arm.setpoint_hand(state)
    state, _ = held(arm, 1.0, -100, 0, 0)
    assert arm.setpoint_hand(state)[0] < before[0] - 50


def test_out_of_the_arm_that_hangs_down_stretched() -> None:
    """Singular: no joint's speed lifts the hand. Held up, it rises all the same, elbow to the side that has room."""
    arm = HandArm(4, 0, 0, 0, 0)
    state, _ = held(arm, 2.0, 0, 0, 50)
    x, y, z = arm.setpoint_hand(state)
    assert z > -560
    assert math.hypot(x, y) < 5
    assert state.elbow_deg > 40
    before = arm.setpoint_hand(state)
    state, seen = held(HandArm(4, 0, 0, 0, 0), 1.0, 0, 0, -50)
    assert 106 in seen
    assert before[2] > z - 1


def test_joint_limits_stop_it_and_are_named() -> None:
    arm = HandArm(4, 0, -20, 0, 90)
    state, seen = held(arm, 4.0, -100, 0, 0)
    assert seen & {100, 101}
    assert seen & {108, 109, 110, 111, 112, 113} or 101 in seen
    assert all(low - 0.02 <= deg <= high + 0.02 for low, deg, high in zip(
        state.range_minimum_deg, state.setpoint_position_deg, state.range_maximum_deg, strict=True))


def test_warnings_do_not_flicker() -> None:
    """A warning that is raised stays while its cause comes and goes from cycle to cycle."""
    arm = HandArm(4, 0, -20, 0, 90)
    changes, before = 0, set()
    for cycle in range(5000):
        if cycle % 50 == 0:
            arm.push(CommandKind.HAND_JOG, [-100.0, 0.0, 60.0])
        now = warnings(arm.cycle())
        changes, before = changes + (now != before), now
    assert before
    assert changes < 12


def test_the_speed_cascade_slows_it_down() -> None:
    arm = HandArm(4, 10, 30, 0, 80)
    arm.push(CommandKind.SPEED_LIMITS, [20.0, 100.0, 100.0, 100.0], 15, 70.0)
    start = arm.setpoint_hand(arm.cycle())
    state, _ = held(arm, 1.0, 0, 0, 40)
    assert math.dist(start, arm.setpoint_hand(state)) == pytest.approx(20.0, rel=0.1)


def test_saf_4_it_ends_200_ms_after_its_last_refresh() -> None:
    arm = HandArm(4, 10, 30, 0, 80)
    for _ in range(10):
        arm.push(CommandKind.HAND_JOG, [0.0, 0.0, 40.0])
        arm.run(0.05)
    fastest = arm.cycle().setpoint_speed_deg_s[3]
    slower = arm.until(lambda s: abs(s.setpoint_speed_deg_s[3]) < 0.9 * abs(fastest), 1.0)
    assert 0.15 - 0.06 < (slower.time_ns - arm.now_ns) * 1e-9 + 0.4 < 0.5
    arm.until(lambda s: not any(s.moving), 1.0)
    assert arm.cycle().state == MasterState.AUTO


@pytest.mark.parametrize("values", [[math.nan, 0, 0], [101.0, 0, 0], [0, math.inf, 0], [0, 0, -100.5]])
def test_saf_9_nonsense_never_moves_it(values: list[float]) -> None:
    arm = HandArm(4, 10, 30, 0, 80)
    arm.push(CommandKind.HAND_JOG, values)
    state = arm.run(0.2)
    assert state.last_command_result == CommandResult.OUT_OF_RANGE
    assert not any(state.moving)
    arm.push(CommandKind.HAND_JOG, [10.0] * 4)
    assert arm.run(0.05).last_command_result == CommandResult.OUT_OF_RANGE


def test_in_test_mode_the_mode_stays() -> None:
    arm = HandArm(4, 10, 30, 0, 80)
    arm.push(CommandKind.START, mask=1)
    arm.run(0.05)
    arm.push(CommandKind.HAND_JOG, [0.0, 0.0, 40.0])
    assert arm.run(0.1).mode == MasterMode.TEST


# -- through the HMI's handlers

def page_at(*joints_deg: float) -> VirtualHmi:
    page = VirtualHmi()
    page.stand_at(*joints_deg)
    return page


def test_saf_4_the_typed_jog_is_held_and_let_go_as_one_of_joints() -> None:
    page = page_at(10, 30, 0, 80)
    for n in range(10):
        assert page.ask("jog", hand_percent=[0, 0, 40], sequence=n).code == "ok"
        page.run(0.05)
    assert any(page.state.moving)
    assert page.ask("jog", hand_percent=[0, 0, 40], sequence=3).code == "stale"
    assert page.ask("jog", hand_percent=[0, 0, 0]).code == "ok"
    page.until(lambda s: not any(s.moving), 1.0)
    page.ask("jog", hand_percent=[0, 0, 40])
    start_s = page.now_s
    page.until(lambda s: any(s.moving), 1.0)
    page.until(lambda s: not any(s.moving), 2.0)
    assert page.now_s - start_s < hmi.JOG_REFRESH_S + 1.0
    page.say(["stop"])
    page.until(lambda s: s.state == MasterState.WAITING)
    assert page.ask("jog", hand_percent=[0, 0, 40]).code in {"stale", "refused"}


@pytest.mark.parametrize("fields", [
    {}, {"speed_percent": [1, 0, 0, 0], "hand_percent": [1, 0, 0]}, {"hand_percent": [1, 0]},
    {"hand_percent": [101, 0, 0]}, {"hand_percent": ["1", 0, 0]}])
def test_a_jog_of_neither_or_both_is_refused(fields: dict[str, object]) -> None:
    page = page_at(10, 30, 0, 80)
    assert page.ask("jog", **fields).code == "value"
    assert not any(page.run(0.2).moving)


def test_check_only_answers_and_moves_nothing() -> None:
    page = page_at(10, 30, 0, 80)
    state = page.state
    near = [state.hand_x_mm, state.hand_y_mm, state.hand_z_mm + 50]
    commands = state.commands_done
    found = page.ask("move", hand_mm=near, check="only")
    assert (found.code, found.fields) == ("ok", {"reachable": True, "why": []})
    found = page.ask("move", hand_mm=[900, 0, 0], check="only", client=page.two)  # everyone may ask
    assert found.fields is not None
    assert found.fields["reachable"] is False
    assert "warning 104" in str(found.fields["why"])
    elbow = page.ask("move", hand_mm=near, elbow_deg=-20, check="only").fields
    assert elbow is not None
    assert "elbow is at" in str(elbow["why"])
    assert page.run(0.3).commands_done == commands
    assert page.ask("move", hand_mm=near, wrist_deg=5, check="only").code == "value"


def test_go_checked_and_unchecked() -> None:
    page = page_at(10, 30, 0, 80)
    state = page.state
    x, y, z = state.hand_x_mm, state.hand_y_mm, state.hand_z_mm
    refused = page.ask("move", hand_mm=[900, 0, 0])
    assert (refused.code, refused.refused.field if refused.refused else "") == ("value", "hand_mm")
    assert "104" in refused.text
    assert not any(page.run(0.3).moving)
    done = page.state.motions_done
    assert page.ask("move", hand_mm=[x, y, z + 60], speed_percent=60).code == "ok"
    page.until(lambda s: s.motions_done > done)
    assert page.state.hand_z_mm == pytest.approx(z + 60, abs=1.5)
    done = page.state.motions_done
    assert page.ask("move", hand_mm=[900, y, z], check="unchecked").code == "ok"
    page.until(lambda s: s.motions_done > done)
    assert warnings(page.state) == {(104, 0)}


@pytest.mark.parametrize("fields", [
    {"hand_mm": [1, 2]}, {"hand_mm": [1, 2, "x"]}, {"hand_mm": [1e9, 0, 0]}, {"hand_mm": [9, 0, 9], "check": "maybe"},
    {"hand_mm": [300, 0, -300], "position_deg": [0, 0, 0, 0]}, {"position_deg": [0, 0, 0, 0], "check": "only"},
    {"hand_mm": [300, 0, -300], "wait_for_start": True}, {}, {"hand_mm": [300, 0, -300], "elbow_deg": 1e9}])
def test_saf_9_bad_moves_are_refused_by_field(fields: dict[str, object]) -> None:
    page = page_at(10, 30, 0, 80)
    found = page.ask("move", **fields)
    assert found.code == "value"
    assert found.refused is not None
    assert found.refused.field
    assert not any(page.run(0.2).moving)


def test_stored_lengths_reach_the_loop_and_survive_a_bring_up() -> None:
    page = page_at(10, 30, 0, 80)
    def reach_mm() -> float:
        return math.hypot(page.state.hand_x_mm, page.state.hand_y_mm, page.state.hand_z_mm)

    before = reach_mm()
    assert page.say({"90": 50, "91": 100}).code == "ok"  # HMI numbering: upper arm, forearm
    page.run(0.1)
    longer = reach_mm()
    assert longer > before + 80
    page.handlers.set_facts(page.arm.facts)
    page.run(0.1)
    assert reach_mm() == pytest.approx(longer, abs=1.0)


def test_test_cycle_3_goes_round_a_square() -> None:
    page = page_at(10, 30, 0, 80)
    start = page.state.hand_x_mm, page.state.hand_y_mm, page.state.hand_z_mm
    done = page.state.motions_done
    assert page.say({"10": 2, "11": 3}).code == "ok"
    corners = []
    page.round()
    while page.handlers.sequencer.running:
        state = page.round()
        if state.motions_done > done:
            done = state.motions_done
            corners.append((state.hand_x_mm, state.hand_y_mm, state.hand_z_mm))
        assert state.fault_count == 0
    assert page.ended == []
    assert len(corners) == 4
    side = math.dist(start, corners[0])
    assert any(abs(side - mm) < 2 for mm in (120, 90, 60, 30))
    assert math.dist(corners[0], corners[1]) == pytest.approx(side, abs=2)
    assert math.dist(corners[1], corners[3]) == pytest.approx(side * math.sqrt(2), abs=2)
    assert math.dist(corners[3], start) < 2
    assert all(abs(corner[0] - start[0]) < 2 for corner in corners)


def test_a_stop_ends_test_cycle_3() -> None:
    page = page_at(10, 30, 0, 80)
    assert page.say({"10": 2, "11": 3}).code == "ok"
    page.until(lambda s: any(s.moving))
    page.say(["stop"], page.two)
    page.until(lambda s: s.state == MasterState.WAITING)
    assert not page.handlers.sequencer.running
    assert not any(page.run(1.0).moving)


def test_where_no_square_fits_test_cycle_3_says_so() -> None:
    page = page_at(0, 0, 0, 0)
    page.say({f"{101 + 2 * i}": -1 for i in range(4)} | {f"{102 + 2 * i}": 1 for i in range(4)})
    assert page.ask("range_of_motion", on=True).code == "ok"
    refused = page.say({"10": 2, "11": 3})
    assert refused.code == "blocked"
    assert "no square of 30 mm fits" in refused.text
