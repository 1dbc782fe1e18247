"""External development on the virtual clock: who is admitted, what is followed, what is refused, and the heartbeat."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator

import msgspec
import pytest

from controller.external._link import ExternalState
from controller.spec import external
from controller.spec.external import ExternalKind, ExternalLimit, ExternalPhase, ExternalRefusal
from controller.spec.modes import (
    CommandKind,
    CommandResult,
    DriverMode,
    EventKind,
    MasterMode,
    MasterState,
    StopCategory,
)
from tests.external.raw_memory import RawTargets
from tests.external.virtual_program import VirtualProgram, external_config
from tests.virtual_arm import codes

SILENT, INVALID = (630, 0), (631, 0)


@pytest.fixture
def program() -> Iterator[VirtualProgram]:
    found = VirtualProgram()
    yield found
    found.close()


def refused(program: VirtualProgram) -> CommandResult:
    """What an operator who wants to admit the program is answered."""
    program.arm.push(CommandKind.EXTERNAL)
    state = program.cycle()
    assert state.mode != MasterMode.EXTERNAL_DEVELOPER_AUTO
    assert not state.motor_power
    return CommandResult(state.last_command_result)


# -- admission

def test_an_admitted_program_moves_the_arm(program: VirtualProgram) -> None:
    """Admission is also the operator's start, like any motion command."""
    start = program.admit()
    assert (start.state, start.motor_power, start.external_phase) == (MasterState.AUTO, 1, ExternalPhase.ADMITTED)
    target = [deg + 10.0 for deg in start.position_deg]
    program.answer = program.position(target)
    end = program.run(2.0)
    assert end.position_deg == pytest.approx(target, abs=0.2)
    assert end.fault_count == 0
    assert program.state is not None
    assert (program.state.admitted, program.state.limited, program.state.rejected) == (1, (0, 0), 0)


def test_a_program_that_comes_during_anothers_power_up_is_not_admitted(program: VirtualProgram) -> None:
    """Who was admitted has gone; the newcomer beats well before the power-up is over, and still has to be asked for."""
    program.until(lambda s: s.state == MasterState.WAITING)
    program.run(0.01)
    program.arm.push(CommandKind.EXTERNAL)
    program.until(lambda s: s.state == MasterState.TRANSITION_TO_AUTO)
    admitted = program.arm.core.push(CommandKind.SPEED_LIMITS, values=[100.0] * 8, mask=0xFF, value=60.0)
    refused_before = program.states[-1].commands_refused
    program.close()
    program.connect()
    target = [deg + 10.0 for deg in program.states[-1].position_deg]
    program.answer = program.position(target)
    state = program.until(lambda s: s.state == MasterState.AUTO)
    assert state.last_command == admitted
    end = program.run(0.5)
    assert end.state == MasterState.AUTO    # it stands, held, and waits for a command
    assert end.external_phase == ExternalPhase.BEATING
    assert not any(found.moving and found.external_phase == ExternalPhase.ADMITTED for found in program.states)
    assert end.commands_refused == refused_before + 1
    assert any(kind == EventKind.COMMAND and (what, result) == (CommandKind.EXTERNAL, CommandResult.NO_PROGRAM)
               for _, kind, what, result, _ in program.arm.core.events())
    assert end.position_deg == pytest.approx([deg - 10.0 for deg in target], abs=1.0)     # it sags until it is held
    program.arm.push(CommandKind.EXTERNAL)
    assert program.run(1.0).external_phase == ExternalPhase.ADMITTED


def test_many_cycles_at_once_serve_a_program_too(program: VirtualProgram) -> None:
    """Core.run does what as many steps do: it takes a new program, and tells it every cycle."""
    told: list[int] = []

    def board(now_ns: int, sent: bytes) -> bytes:
        state = program.link.wait(0.0)
        if state is not None:
            told.append(state.cycle)
            program.link.send(ExternalKind.SPEED, (), [0.0] * state.axes)
        return program.arm.board.step(now_ns, sent)

    program.until(lambda s: s.state == MasterState.WAITING)
    program.close()
    program.connect()
    arm = program.arm
    first = program.states[-1].cycle + 1
    arm.received, _, _ = arm.core.run(board, arm.now_ns, 50, period_ns=arm.period_ns, answer_ns=300_000,
                                      received=arm.received)
    arm.now_ns += 50 * arm.period_ns
    assert told == list(range(first, first + 50))
    state = arm.reader.latest()
    assert state is not None
    assert state.external_phase == ExternalPhase.BEATING


def test_without_a_beating_program_nobody_is_admitted(program: VirtualProgram) -> None:
    program.answer = None
    program.until(lambda s: s.state == MasterState.WAITING)
    assert refused(program) is CommandResult.NO_PROGRAM
    assert program.states[-1].external_phase == ExternalPhase.SILENT
    program.answer = program.stay
    program.run(0.01)
    assert program.states[-1].external_phase == ExternalPhase.BEATING
    program.arm.core.lend_region(None)
    assert refused(program) is CommandResult.NO_PROGRAM
    assert program.states[-1].external_phase == ExternalPhase.NONE


def test_switched_off_says_so() -> None:
    config = msgspec.structs.replace(external_config(), external=external_config().external.__class__())
    program = VirtualProgram(config=config)
    program.until(lambda s: s.state == MasterState.WAITING)
    program.run(0.05)
    assert refused(program) is CommandResult.EXTERNAL_OFF
    program.close()


def test_blockers_come_first(program: VirtualProgram) -> None:
    program.until(lambda s: s.state == MasterState.WAITING)
    program.arm.board.set_fault("button")
    program.until(lambda s: (296, 0) in codes(s))
    assert refused(program) is CommandResult.NOT_READY


def test_a_program_that_dies_during_the_power_up_is_not_admitted(program: VirtualProgram) -> None:
    program.until(lambda s: s.state == MasterState.WAITING)
    program.run(0.01)
    program.arm.push(CommandKind.EXTERNAL)
    program.cycle()
    program.answer = None
    state = program.until(lambda s: s.state == MasterState.AUTO)
    assert state.mode == MasterMode.STAND_STILL
    assert state.last_command_result == CommandResult.NO_PROGRAM
    assert state.fault_count == 0


def test_targets_from_before_the_admission_are_not_followed(program: VirtualProgram) -> None:
    """A target counts once the program can know that it moves the arm."""
    far = [100.0, 100.0]
    program.answer = program.position(far)
    begun = program.admit()
    where = begun.setpoint_position_deg

    def old(state: ExternalState) -> None:      # a program that has not seen the admission yet
        if not state.admitted:
            program.link.send(ExternalKind.POSITION, far, ())
        else:
            program.link.send(ExternalKind.SPEED, (), [0.0, 0.0])

    program.answer = old
    assert program.run(0.2).setpoint_position_deg == pytest.approx(where, abs=0.01)


# -- heartbeat

@pytest.mark.parametrize("heartbeat_ms", [5.0, 20.0, 200.0])
def test_saf_3_saf_10_error_630_a_missed_heartbeat_is_a_soft_stop(heartbeat_ms: float) -> None:
    program = VirtualProgram(config=external_config(heartbeat_ms))
    program.admit()
    program.answer = program.speed([20.0, -10.0])
    program.run(0.5)
    program.answer = None
    begun = len(program.states)
    state = program.until(lambda s: s.state == MasterState.ERROR)
    late = (len(program.states) - begun) * program.arm.period_ns / 1e6
    assert heartbeat_ms <= late <= heartbeat_ms + 2.0
    assert codes(state) == {SILENT}
    assert (state.mode, state.stop_category) == (MasterMode.EXTERNAL_DEVELOPER_ERROR, StopCategory.SOFT)
    held = program.run(1.0)
    assert held.motor_power, "a worn arm is held, not dropped"
    assert set(held.driver_mode) == {DriverMode.STAND_STILL_IN_WAITING_STATE}
    assert held.mode == MasterMode.EXTERNAL_DEVELOPER_ERROR
    program.close()


def test_saf_6_saf_2_it_never_resumes_by_itself(program: VirtualProgram) -> None:
    """Beating again is not enough, nor is a reset: an operator has to admit the program anew."""
    program.admit()
    program.answer = None
    program.until(lambda s: s.state == MasterState.ERROR)
    program.answer = program.speed([20.0, 20.0])
    program.run(1.0)
    assert program.states[-1].state == MasterState.ERROR
    assert refused_in_error(program)
    program.arm.push(CommandKind.RESET)
    program.until(lambda s: s.state == MasterState.WAITING)
    where = program.states[-1].position_deg
    rest = program.run(1.0)
    assert rest.mode == MasterMode.STAND_STILL
    assert rest.position_deg == pytest.approx(where, abs=0.2)
    program.admit()
    moved = program.run(1.0)
    assert all(now - before > 10.0 for now, before in zip(moved.position_deg, where, strict=True))


def refused_in_error(program: VirtualProgram) -> bool:
    program.arm.push(CommandKind.EXTERNAL)
    return program.cycle().last_command_result == CommandResult.NOT_READY


def test_memory_taken_back_is_a_missed_heartbeat(program: VirtualProgram) -> None:
    program.admit()
    program.arm.core.lend_region(None)
    assert codes(program.cycle()) == {SILENT}


def test_an_old_answer_is_no_heartbeat(program: VirtualProgram) -> None:
    """A program that goes on sending but does not read, or takes too long, works on an old picture of the arm."""
    program.admit()
    assert program.state is not None
    old = program.state.cycle
    raw = RawTargets(program.fd)
    program.answer = lambda state: raw.send(cycle=old)
    state = program.until(lambda s: s.state == MasterState.ERROR, 0.1)
    assert codes(state) == {SILENT}
    assert program.state.last_refusal == ExternalRefusal.CYCLE


def test_saf_2_stop_ends_it_without_an_error(program: VirtualProgram) -> None:
    program.admit()
    program.answer = program.speed([30.0, 30.0])
    program.run(0.5)
    program.arm.core.request_stop()
    assert program.cycle().state == MasterState.TRANSITION_TO_WAITING
    state = program.until(lambda s: s.state == MasterState.WAITING)
    assert (state.fault_count, state.motor_power) == (0, 1)
    assert program.run(1.0).state == MasterState.WAITING


@pytest.mark.parametrize("kind", [CommandKind.STAND_STILL, CommandKind.OFF, CommandKind.START, CommandKind.MOVE])
def test_other_commands_of_the_operator_take_over(program: VirtualProgram, kind: CommandKind) -> None:
    program.admit()
    program.answer = program.speed([30.0, 30.0])
    program.run(0.5)
    program.arm.push(kind, [0.0, 0.0], value=100.0)
    program.cycle()
    state = program.until(lambda s: not any(s.moving))
    assert state.fault_count == 0
    assert state.external_phase == ExternalPhase.BEATING
    assert state.motor_power == (kind is not CommandKind.OFF)


def test_end_gives_the_arm_back(program: VirtualProgram) -> None:
    program.admit()
    program.answer = program.speed([30.0, 30.0])
    program.run(0.5)
    program.answer = lambda state: program._sent(program.link.send(ExternalKind.END, (), ()))
    program.run(0.003)
    program.answer = None
    state = program.run(1.0)
    assert (state.state, state.mode, state.fault_count) == (MasterState.AUTO, MasterMode.STAND_STILL, 0)
    assert not any(state.moving)


# -- records

@pytest.mark.parametrize(("fields", "refusal"), [
    ({"checksum": 1}, ExternalRefusal.CHECKSUM),
    ({"sequence": 0}, ExternalRefusal.SEQUENCE),
    ({"cycle": 2**63}, ExternalRefusal.CYCLE),
    ({"kind": 0}, ExternalRefusal.KIND),
    ({"kind": 4}, ExternalRefusal.KIND),
    ({"kind": 2**32 - 1}, ExternalRefusal.KIND),
    ({"axes": 0}, ExternalRefusal.AXES),
    ({"axes": 3}, ExternalRefusal.AXES),
    ({"axes": 2**32 - 1}, ExternalRefusal.AXES),
    ({"spare": 7}, ExternalRefusal.AXES),
    ({"position_deg": (math.nan, 0.0)}, ExternalRefusal.VALUE),
    ({"position_deg": (0.0, math.inf)}, ExternalRefusal.VALUE),
    ({"speed_deg_s": (-math.inf, 0.0)}, ExternalRefusal.VALUE),
])
def test_saf_9_a_record_that_is_none_changes_nothing(program: VirtualProgram, fields: dict[str, object],
                                                     refusal: ExternalRefusal) -> None:
    program.run(0.05)
    before = program.state
    assert before is not None
    raw = RawTargets(program.fd)
    program.answer = lambda state: raw.send(**{"cycle": state.cycle, **fields})
    program.run(0.004)
    after = program.state
    assert after is not None
    assert after.rejected >= 2
    assert after.last_refusal == refusal
    assert after.target_sequence <= before.target_sequence + 1
    assert program.states[-1].external_rejected == after.rejected


@pytest.mark.parametrize("fields", [{"kind": 9}, {"axes": 5}, {"speed_deg_s": (math.nan, 0.0)}])
def test_saf_9_error_631_nonsense_of_an_admitted_program_ends_its_motion(program: VirtualProgram,
                                                                         fields: dict[str, object]) -> None:
    program.admit()
    program.answer = program.speed([20.0, 20.0])
    program.run(0.3)
    raw = RawTargets(program.fd)
    program.answer = lambda state: raw.send(**{"cycle": state.cycle, **fields})
    state = program.until(lambda s: s.state == MasterState.ERROR, 0.01)
    assert codes(state) == {INVALID}
    assert (state.mode, state.stop_category) == (MasterMode.EXTERNAL_DEVELOPER_ERROR, StopCategory.SOFT)
    assert all(math.isfinite(speed) for speed in program.run(1.0).setpoint_speed_deg_s)


def test_the_tests_own_records_are_good(program: VirtualProgram) -> None:
    """Written by the published layout alone: what the refusals above are not due to."""
    program.run(0.05)
    raw = RawTargets(program.fd)
    program.answer = lambda state: raw.send(cycle=state.cycle)
    program.run(0.01)
    assert program.state is not None
    assert program.state.rejected == 0
    assert program.state.target_sequence == raw.sequence - 2      # the last one was sent after that state
    assert external.size(external.TARGET_FIELDS) == RawTargets.layout.size
    assert zlib.crc32(b"123456789") == 0xCBF43926
    assert struct.calcsize("<d") == 8


def test_a_full_ring_is_told_to_the_program(program: VirtualProgram) -> None:
    program.run(0.05)
    sent = [program.link.send(ExternalKind.SPEED, (), [0.0, 0.0]) for _ in range(external.TARGET_CAPACITY + 3)]
    assert sent == [True] * (external.TARGET_CAPACITY - 1) + [False] * 4     # one of the cycle before waits
    program.cycle()
    assert program.link.send(ExternalKind.SPEED, (), [0.0, 0.0])


# -- what is followed

def test_a_smooth_path_is_followed_without_delay(program: VirtualProgram) -> None:
    start = program.admit().setpoint_position_deg
    assert program.state is not None
    begun = program.state.time_ns
    lag: list[float] = []

    def sine(state: ExternalState) -> None:
        turn = 2.0 * math.pi * 0.5
        time_s = (state.time_ns - begun) * 1e-9
        wanted = [deg + 5.0 * (1.0 - math.cos(turn * time_s)) for deg in start]
        lag.append(abs(state.setpoint_position_deg[0] - wanted[0]))
        program.link.send(ExternalKind.POSITION, wanted, [5.0 * turn * math.sin(turn * time_s)] * 2)

    program.answer = sine
    program.run(4.0)
    assert max(lag) < 0.05


@pytest.mark.parametrize("every", [1, 4, 10])
def test_targets_at_a_lower_rate_are_carried_on_at_their_speed(program: VirtualProgram, every: int) -> None:
    program.admit()
    assert program.state is not None
    begun, start = program.state.time_ns, program.state.setpoint_position_deg
    accelerations: list[float] = []

    def ramp(state: ExternalState) -> None:
        if state.cycle % every == 0:
            wanted = [deg + 10.0 * (state.time_ns - begun) * 1e-9 for deg in start]
            program.link.send(ExternalKind.POSITION, wanted, [10.0, 10.0])

    program.answer = ramp
    program.run(1.0)
    for _ in range(500):
        accelerations.append(abs(program.cycle().setpoint_acceleration_deg_s2[0]))
    assert max(accelerations) < 1.0, "the arm must not stutter between two targets"
    assert program.states[-1].fault_count == 0


@pytest.mark.parametrize(("answer", "bits"), [
    (lambda p: p.position([1000.0, 0.0]), ExternalLimit.RANGE),
    (lambda p: p.speed([1000.0, 0.0]), ExternalLimit.SPEED | ExternalLimit.LAG),
    (lambda p: p.position([90.0, 0.0]), ExternalLimit.LAG),
])
def test_the_program_is_told_what_limits_it(program: VirtualProgram, answer: object, bits: int) -> None:
    program.admit()
    program.answer = answer(program)  # type: ignore[operator]
    program.run(0.1)
    assert program.state is not None
    assert program.state.limited[0] & bits == bits


def test_saf_5_the_range_of_motion_holds_for_programs(program: VirtualProgram) -> None:
    start = program.admit().position_deg
    axes = len(start)
    program.arm.push(CommandKind.ROM_MINIMUM, [deg - 5.0 for deg in start])
    program.arm.push(CommandKind.ROM_MAXIMUM, [deg + 5.0 for deg in start])
    program.arm.push(CommandKind.ROM_ENABLE, mask=(1 << axes) - 1)
    program.answer = program.speed([60.0] * axes)
    up = program.run(2.0)
    program.answer = program.position([-1000.0] * axes)
    down = program.run(3.0)
    assert up.setpoint_position_deg == pytest.approx([deg + 5.0 for deg in start], abs=0.02)
    assert down.setpoint_position_deg == pytest.approx([deg - 5.0 for deg in start], abs=0.02)
    assert down.fault_count == 0


def test_saf_5_speed_limits_changed_on_the_way_hold(program: VirtualProgram) -> None:
    program.admit()
    program.answer = program.speed([40.0, 40.0])
    program.run(0.5)
    program.arm.push(CommandKind.SPEED_LIMITS, [25.0] * 8, value=70.0)
    program.run(0.5)
    assert all(speed <= 15.0 for speed in program.states[-1].setpoint_speed_deg_s)
    assert program.states[-1].setpoint_speed_deg_s[0] == pytest.approx(0.95 * 15.0, abs=0.01)
