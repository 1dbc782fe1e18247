"""Every pair of master state and trigger on the running core, against the table in controller/spec/modes.py: what
leaves the state, what stays, what is refused, which mode it sets and which reason the history gets.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controller._core import ExternalRegion
from controller.external._link import ProgramLink
from controller.spec.external import ExternalKind
from controller.spec.modes import (
    REASONS,
    TRANSITIONS,
    Cell,
    CommandKind,
    CommandResult,
    EventKind,
    MasterMode,
    MasterState,
    Outcome,
    Trigger,
)
from tests.external.virtual_program import external_config
from tests.virtual_arm import VirtualArm, summary


def startup() -> VirtualArm:
    arm = VirtualArm(2, config=external_config())
    arm.run(0.005)
    return arm


def waiting() -> VirtualArm:
    arm = VirtualArm(2, config=external_config())
    arm.waiting()
    return arm


def to_auto() -> VirtualArm:
    arm = waiting()
    arm.push(CommandKind.START)
    arm.cycle()
    return arm


def moving() -> VirtualArm:
    arm = VirtualArm(2, config=external_config())
    arm.auto()
    arm.move(80.0, 80.0)
    arm.run(0.4)
    return arm


def to_waiting() -> VirtualArm:
    arm = moving()
    arm.core.request_stop()
    arm.cycle()
    return arm


def error() -> VirtualArm:
    """Power off, the cause still there."""
    arm = moving()
    arm.board.set_fault("button")
    arm.run(0.3)
    return arm


PLACES: dict[MasterState, Callable[[], VirtualArm]] = {
    MasterState.STARTUP: startup, MasterState.WAITING: waiting, MasterState.TRANSITION_TO_AUTO: to_auto,
    MasterState.AUTO: moving, MasterState.TRANSITION_TO_WAITING: to_waiting, MasterState.ERROR: error,
}

def break_down(arm: VirtualArm) -> None:
    """Something new in every state."""
    arm.board.set_fault("button")
    arm.board.set_fault("drive_error", axis=1)


def ask_for_external(arm: VirtualArm) -> int:
    """A program that is connected and beats, and an operator who admits it."""
    region = ExternalRegion()
    link = ProgramLink(region.fd)
    arm.core.lend_region(region)
    arm.cycle()
    assert link.wait(0.0) is not None
    assert link.send(ExternalKind.SPEED, (), [0.0, 0.0])
    return arm.push(CommandKind.EXTERNAL)


COMMANDS: dict[CommandKind | Trigger, Callable[[VirtualArm], int]] = {
    CommandKind.START: lambda arm: arm.push(CommandKind.START),
    Trigger.START_TEST: lambda arm: arm.push(CommandKind.START, mask=1),
    CommandKind.JOG: lambda arm: arm.jog(50.0, 50.0),
    CommandKind.MOVE: lambda arm: arm.move(60.0, 60.0),
    CommandKind.PREPARE: lambda arm: arm.push(CommandKind.PREPARE, [60.0, 60.0], value=50.0),
    CommandKind.STAND_STILL: lambda arm: arm.push(CommandKind.STAND_STILL),
    CommandKind.OFF: lambda arm: arm.push(CommandKind.OFF),
    CommandKind.RESET: lambda arm: arm.push(CommandKind.RESET),
    CommandKind.SPEED_LIMITS: lambda arm: arm.push(CommandKind.SPEED_LIMITS, [90.0, 90.0], value=70.0),
    CommandKind.ROM_MINIMUM: lambda arm: arm.push(CommandKind.ROM_MINIMUM, [0.0, 0.0]),
    CommandKind.ROM_MAXIMUM: lambda arm: arm.push(CommandKind.ROM_MAXIMUM, [90.0, 90.0]),
    CommandKind.ROM_ENABLE: lambda arm: arm.push(CommandKind.ROM_ENABLE, mask=0),
    CommandKind.HAND_JOG: lambda arm: arm.push(CommandKind.HAND_JOG, [0.0, 0.0, 50.0]),
    CommandKind.HAND_MOVE: lambda arm: arm.push(CommandKind.HAND_MOVE, [0.0, 0.0, -600.0], value=50.0),
    CommandKind.ARM_LENGTHS: lambda arm: arm.push(CommandKind.ARM_LENGTHS, [10.0, 20.0]),
    CommandKind.EXTERNAL: ask_for_external,
    CommandKind.COMPLIANT: lambda arm: arm.push(CommandKind.COMPLIANT, mask=1),
    CommandKind.LOAD_SETTINGS: lambda arm: arm.push(CommandKind.LOAD_SETTINGS, [5.0, 5.0], value=180.0),
    CommandKind.RELEASE_LINE: lambda arm: arm.push(CommandKind.RELEASE_LINE),
}
OTHERS: dict[Trigger, Callable[[VirtualArm], None]] = {
    Trigger.STOP: lambda arm: arm.core.request_stop(),
    Trigger.ERROR: break_down,
    Trigger.HMI_SILENT: lambda arm: arm.core.beat(arm.now_ns - 2_000_000_000),
    Trigger.SHUTDOWN: lambda arm: arm.core.request_quit(),
}
# Not from outside, or (the line) never in the states where it counts: see the last test
INTERNAL = {Trigger.BUS_DETACHED, Trigger.START_CHECKS_GOOD, Trigger.DRIVES_READY, Trigger.STOPPED, Trigger.CAUSES_GONE,
            Trigger.PROGRAM_ENDED}
PAIRS = list(TRANSITIONS)


def identifier(value: object) -> str:
    return str(getattr(value, "name", value))


def in_place(state: MasterState) -> VirtualArm:
    arm = PLACES[state]()
    assert arm.cycle().state == state
    arm.core.events()
    return arm


def state_changes(arm: VirtualArm) -> list[tuple[int, int, int]]:
    return [(a, b, c) for _, kind, a, b, c in arm.core.events() if kind == EventKind.STATE]


def test_every_pair_is_in_the_table_and_every_trigger_is_tried() -> None:
    triggers = {*CommandKind, *Trigger}
    assert set(TRANSITIONS) == {(state, trigger) for state in MasterState for trigger in triggers}
    assert set(COMMANDS) | set(OTHERS) | INTERNAL == triggers
    assert set(PLACES) == set(MasterState)


@pytest.mark.parametrize(("state", "trigger"), PAIRS, ids=identifier)
def test_the_transition_function_does_what_the_table_says(state: MasterState, trigger: CommandKind | Trigger) -> None:
    """The bare transition, also of those triggers that cannot come from outside in that state."""
    cell = TRANSITIONS[state, trigger]
    arm = in_place(state)
    result = arm.core.happen(trigger)
    assert result == (CommandResult.WRONG_STATE if cell.to is Outcome.REFUSED else CommandResult.OK)
    expected = [(state, cell.to, REASONS[trigger])] if isinstance(cell.to, MasterState) else []
    assert state_changes(arm) == expected


@pytest.mark.parametrize(("state", "trigger"), [pair for pair in PAIRS if pair[1] in COMMANDS], ids=identifier)
def test_commands_do_what_the_table_says(state: MasterState, trigger: CommandKind | Trigger) -> None:
    cell = TRANSITIONS[state, trigger]
    arm = in_place(state)
    before = arm.cycle()
    COMMANDS[trigger](arm)
    after = arm.cycle()
    assert after.commands_done == before.commands_done + 1
    if cell.to is Outcome.REFUSED:
        assert after.commands_refused == before.commands_refused + 1
        assert after.last_command_result in (
                CommandResult.WRONG_STATE, CommandResult.NOT_READY, CommandResult.MOTOR_POWER), summary(after)
        assert after.mode == before.mode
        assert after.motor_power == before.motor_power
    else:
        stands = trigger is not CommandKind.ARM_LENGTHS or not any(before.moving)
        assert after.last_command_result == (CommandResult.OK if stands else CommandResult.MOVING), summary(after)
    check_state(arm, state, trigger, cell, after)


@pytest.mark.parametrize(("state", "trigger"), [pair for pair in PAIRS if pair[1] in OTHERS], ids=identifier)
def test_everything_else_that_happens_does_what_the_table_says(state: MasterState, trigger: Trigger) -> None:
    cell = TRANSITIONS[state, trigger]
    arm = in_place(state)
    OTHERS[trigger](arm)
    after = arm.run(0.002)      # the board's answer tells of the button a cycle later
    check_state(arm, state, trigger, cell, after)


def check_state(arm: VirtualArm, state: MasterState, trigger: CommandKind | Trigger, cell: Cell, after) -> None:
    changes = state_changes(arm)
    if isinstance(cell.to, MasterState):
        assert changes[0] == (state, cell.to, REASONS[trigger]), summary(after)
    else:
        assert not changes, summary(after)
        assert after.state == state
    if cell.mode is not None:
        assert after.mode == cell.mode, summary(after)


def test_a_stop_in_motion_shows_its_mode_until_it_has_ended() -> None:
    arm = in_place(MasterState.AUTO)
    arm.core.request_stop()
    assert arm.cycle().mode == MasterMode.STOP
    assert arm.until(lambda s: s.state == MasterState.WAITING).mode == MasterMode.STAND_STILL


def test_a_jog_in_test_stays_in_test() -> None:
    arm = in_place(MasterState.WAITING)
    arm.push(CommandKind.START, mask=1)
    arm.until(lambda s: s.mode == MasterMode.TEST)
    for _ in range(3):
        arm.jog(50.0, 50.0)
        assert arm.run(0.1).mode == MasterMode.TEST
    arm.move(60.0, 60.0)
    assert arm.cycle().mode == MasterMode.POSITION_TARGET


@pytest.mark.parametrize("trigger", [-1, 0, 31, 47, 48, 1000])
def test_a_trigger_that_is_none_is_refused(trigger: int) -> None:
    arm = in_place(MasterState.AUTO)
    assert arm.core.happen(trigger) == CommandResult.WRONG_STATE
    assert not state_changes(arm)


@pytest.mark.parametrize("state", [state for state in MasterState if state is not MasterState.STARTUP], ids=identifier)
def test_saf_6_a_cyclic_line_that_is_taken_away_is_lost_and_only_reset_helps(state: MasterState) -> None:
    arm = in_place(state)
    arm.core.detach()
    after = arm.cycle()
    assert after.state == MasterState.ERROR
    assert not after.motor_power
    arm.board.clear_faults()
    arm.reattach()
    assert arm.run(0.5).state == MasterState.ERROR


def test_saf_1_the_end_of_the_program_gives_the_line_back_without_an_error() -> None:
    arm = in_place(MasterState.WAITING)
    arm.core.request_quit()
    arm.run(0.012)
    arm.core.detach()
    after = arm.cycle()
    assert (after.state, after.mode, after.fault_total) == (MasterState.STARTUP, MasterMode.OFF, 0)
