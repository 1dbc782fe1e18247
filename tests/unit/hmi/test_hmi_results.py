"""The control loop's verdicts, matched to who asked; a reset is answered by its end."""

from __future__ import annotations

from typing import Any

from controller.hmi.clients import Client
from controller.hmi.results import ANSWER_LIMIT_S, REMEMBERED, RESET_LIMIT_S, Results
from controller.hmi.state import empty_state
from controller.spec.hmi import Notice
from controller.spec.modes import Blocker, CommandKind, CommandResult, MasterMode, MasterState


def test_results_are_matched_to_who_asked() -> None:
    results, told = Results(), []
    client = Client(1, "k", "s", "a", 0.0)
    for sequence in (1, 2, 3):
        results.expect(sequence, client, 0.0, lambda refused, n=sequence: told.append(  # type: ignore[misc]
            (n, refused.notice if refused else None)))
    state: Any = empty_state(1)
    state.last_command, state.last_command_kind = 1, int(CommandKind.RESET)
    results.follow(state)
    assert told == [(1, None)]
    state = empty_state(1)
    state.last_command, state.last_command_kind = 2, int(CommandKind.MOVE)
    state.last_command_result, state.commands_refused = int(CommandResult.OUT_OF_RANGE), 1
    results.follow(state)
    assert told[1:] == [(2, Notice.REFUSED)]
    assert results.waiting == 1
    results.tick(ANSWER_LIMIT_S - 0.01)
    assert results.waiting == 1
    results.tick(ANSWER_LIMIT_S)
    assert told[2:] == [(3, Notice.NO_LOOP)]
    assert results.waiting == 0


def test_a_motion_refused_after_the_power_up_is_told_late() -> None:
    results, told = Results(), []
    results.expect(1, Client(1, "k", "s", "a", 0.0), 0.0, told.append)
    state: Any = empty_state(1)
    state.last_command, state.last_command_kind = 1, int(CommandKind.MOVE)
    results.follow(state)
    later: Any = empty_state(1)
    later.last_command, later.last_command_kind = 1, int(CommandKind.MOVE)
    later.last_command_result, later.commands_refused = int(CommandResult.NO_SPEED), 1
    later.late_command, later.late_command_result = 1, int(CommandResult.NO_SPEED)
    results.follow(later)
    assert told[0] is None
    assert CommandResult.NO_SPEED.doc in told[1].message


class Resetting:
    """A reset that the loop has just begun."""

    def __init__(self) -> None:
        self.results, self.told = Results(), []
        self.results.expect(5, Client(1, "k", "s", "a", 0.0), 0.0, self.told.append, reset=True)
        self.see(MasterState.ERROR, MasterMode.RESET_ERROR)

    def see(self, state: MasterState, mode: MasterMode, **fields: Any) -> None:
        record: Any = empty_state(1)
        record.last_command, record.last_command_kind = 5, int(CommandKind.RESET)
        record.state, record.mode = int(state), int(mode)
        for name, value in fields.items():
            setattr(record, name, value)
        self.results.follow(record)


def test_a_reset_is_answered_when_the_error_is_gone() -> None:
    reset = Resetting()
    reset.see(MasterState.ERROR, MasterMode.RESET_ERROR, last_command=6)  # another command meanwhile
    reset.results.tick(RESET_LIMIT_S - 0.1)
    assert (reset.told, reset.results.waiting) == ([], 1)
    reset.see(MasterState.WAITING, MasterMode.OFF)
    assert (reset.told, reset.results.waiting) == ([None], 0)


def test_a_reset_that_fails_names_what_is_in_the_way() -> None:
    reset = Resetting()
    reset.see(MasterState.ERROR, MasterMode.OFF, blockers=1 << Blocker.ERROR | 1 << Blocker.BUTTON,
              faults=(1, 101 | 2 << 16), fault_count=2, last_command_result=int(CommandResult.NOT_READY))
    (refused,) = reset.told
    assert refused.notice is Notice.REFUSED
    assert Blocker.BUTTON.doc in refused.message
    assert "error 1, Lost bus communication" in refused.message
    assert "error 101 of axis 2" in refused.message


def test_a_reset_without_an_end_is_told_after_its_limit() -> None:
    reset = Resetting()
    reset.results.tick(RESET_LIMIT_S)
    assert "not finished within 4 s" in reset.told[0].message
    assert reset.results.waiting == 0


def test_a_reset_does_not_blame_the_command_after_it() -> None:
    reset = Resetting()
    later: list[Any] = []
    reset.results.expect(6, None, 0.0, later.append)
    reset.see(MasterState.ERROR, MasterMode.RESET_ERROR, last_command=6)
    reset.see(MasterState.ERROR, MasterMode.OFF, last_command=6, last_command_result=int(CommandResult.NOT_READY))
    assert later == [None]
    assert len(reset.told) == 1


def test_a_reset_names_what_no_reset_clears_and_what_to_do() -> None:
    results, told = Results(), []
    results.expect(1, Client(1, "k", "s", "a", 0.0), 0.0, told.append, reset=True)
    state: Any = empty_state(1)
    state.state, state.mode, state.blockers = int(MasterState.ERROR), int(MasterMode.OFF), 1 << Blocker.ERROR
    state.faults, state.fault_count = (291,), 1
    state.last_command, state.last_command_kind = 1, int(CommandKind.RESET)
    results.follow(state)
    assert "error 291" in told[0].message
    assert "which no reset clears: Do not use the arm." in told[0].message


def record_of(last: int, refused: int = 0, **fields: Any) -> Any:
    record: Any = empty_state(1)
    record.last_command, record.last_command_kind, record.commands_refused = last, int(CommandKind.MOVE), refused
    for name, value in fields.items():
        setattr(record, name, value)
    return record


def expecting(*sequences: int) -> tuple[Results, dict[int, list[Any]]]:
    """Commands in the ring, and what their askers are told."""
    results, told = Results(), {number: [] for number in sequences}
    for number in sequences:
        results.expect(number, Client(1, "k", "s", "a", 0.0), 0.0, told[number].append)
    return results, told


def test_a_late_refusal_is_that_of_its_command_also_when_another_came_after_it() -> None:
    """A line of the hand is searched while other commands come; its verdict names it by number."""
    results, told = expecting(1, 2, 3)
    for last in (1, 2, 3):
        results.follow(record_of(last))
    assert told == {1: [None], 2: [None], 3: [None]}
    results.follow(record_of(3, 1, late_command=1, late_command_result=int(CommandResult.NOT_REACHABLE)))
    assert (told[2], told[3]) == ([None], [None])
    assert CommandResult.NOT_REACHABLE.doc in told[1][1].message


def test_a_late_refusal_in_the_cycle_of_another_command_blames_only_its_own() -> None:
    results, told = expecting(1, 2)
    results.follow(record_of(1))
    results.follow(record_of(2, 1, late_command=1, late_command_result=int(CommandResult.NO_SPEED)))
    assert told[2] == [None]
    assert CommandResult.NO_SPEED.doc in told[1][1].message
    results, told = expecting(1, 2, 3)  # and what was refused beside it is not forgotten
    results.follow(record_of(1))
    results.follow(record_of(3, 2, late_command=1, late_command_result=int(CommandResult.NO_SPEED)))
    assert told[2][0].notice is Notice.REFUSED
    assert told[3] == [None]


def test_answered_commands_give_way_to_those_not_answered() -> None:
    results, told = expecting(*range(1, REMEMBERED + 1))
    results.follow(record_of(REMEMBERED - 1))
    results.expect(REMEMBERED + 1, None, 0.0, [].append)
    assert told[REMEMBERED] == []
    assert results.waiting == 2
