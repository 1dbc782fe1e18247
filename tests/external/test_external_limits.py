"""SAF-5 and SAF-9: whatever a program sends, or writes over the shared memory, no telegram breaks a limit."""

from __future__ import annotations

import math
import os
import random

import pytest

from controller.external._link import ExternalState
from controller.spec.external import ExternalKind, ExternalLimit
from controller.spec.modes import CommandKind, MasterMode, MasterState
from tests.external.raw_memory import RawTargets
from tests.external.virtual_program import VirtualProgram, external_config
from tests.sim.test_cycle_limits import LimitWatch
from tests.virtual_arm import codes, summary

ALLOWED = {(630, 0), (631, 0)}
WILD = (0.0, 1e-9, 1.0, -1.0, 60.0, -60.0, 1e3, -1e3, 1e9, -1e9, 1e300, -1e300)


def watched(program: VirtualProgram, seconds: float, watch: LimitWatch) -> None:
    """Run; every telegram within its limits, no error but the program's."""
    for _ in range(round(seconds * 1e9 / program.arm.period_ns)):
        state = program.cycle()
        watch.check(state)
        assert codes(state) <= ALLOWED, summary(state)


def readmit(program: VirtualProgram, watch: LimitWatch) -> None:
    """What an operator would do after an error of the program."""
    watched(program, 1.5, watch)
    program.arm.push(CommandKind.RESET)
    watched(program, 0.05, watch)
    program.arm.push(CommandKind.EXTERNAL)
    watched(program, 0.5, watch)
    assert program.states[-1].mode == MasterMode.EXTERNAL_DEVELOPER_AUTO, summary(program.states[-1])


@pytest.mark.parametrize("seed", range(6))
def test_saf_5_wild_targets_never_break_a_limit(seed: int) -> None:
    """Jumps, ramps, noise and absurd numbers, changed at random; also speed limits and the operator's own commands."""
    pick = random.Random(seed)
    axes = pick.choice((1, 2, 4, 5))
    program = VirtualProgram(axes, external_config(rate_hz=pick.choice((500, 1000)), following_error_deg=40.0))
    watch = LimitWatch(program.arm)
    wanted: list[float] = [0.0] * axes
    speeds: list[float] = [0.0] * axes
    kind = ExternalKind.SPEED

    def answer(state: ExternalState) -> None:
        nonlocal kind
        if pick.random() < 0.02:
            kind = pick.choice((ExternalKind.POSITION, ExternalKind.SPEED))
            for i in range(axes):
                wanted[i] = pick.choice((*WILD, pick.uniform(-130.0, 130.0), state.position_deg[i]))
                speeds[i] = pick.choice((*WILD, pick.uniform(-60.0, 60.0)))
        noise = pick.choice((0.0, 0.0, 0.5))
        if pick.random() > 0.3:     # some cycles without a record: the target goes on at its speed
            program.link.send(kind, [deg + pick.uniform(-noise, noise) for deg in wanted], speeds)

    program.answer = answer
    program.until(lambda s: s.state == MasterState.WAITING)
    readmit(program, watch)
    for _ in range(40):
        watched(program, 0.5, watch)
        percent = pick.choice((100.0, 100.0, 30.0, 5.0, 0.0))
        program.arm.push(CommandKind.SPEED_LIMITS, [percent] * axes, value=pick.choice((60.0, 70.0, 80.0)))
        assert program.states[-1].state == MasterState.AUTO, summary(program.states[-1])
    assert watch.moving_cycles > 5000
    assert program.states[-1].external_rejected == 0
    program.close()


def test_saf_5_an_end_of_the_range_is_approached_and_kept() -> None:
    axes = 4
    program = VirtualProgram(axes)
    watch = LimitWatch(program.arm)
    program.admit()
    for sign in (1.0, -1.0):
        program.answer = program.speed([sign * 1e6] * axes)
        watched(program, 6.0, watch)
        state = program.states[-1]
        ends = state.range_maximum_deg if sign > 0.0 else state.range_minimum_deg
        assert state.setpoint_position_deg == pytest.approx(ends, abs=0.015)
        assert max(map(abs, state.setpoint_acceleration_deg_s2)) < 1.0, "no chatter at the end"
    program.close()


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("by", ["speed", "position", "moving position", "position inside, moving out"])
def test_saf_5_an_axis_that_is_found_outside_goes_no_further_out(by: str, sign: float) -> None:
    program = VirtualProgram(1, gravity_scale=0.0, noise_counts=0.0)
    program.until(lambda s: s.state == MasterState.WAITING)
    at = program.run(0.05).position_deg[0]
    ends = sorted((at + sign * 50.0, at + sign * 0.08))     # by less than a count, no reason to refuse the range
    program.arm.push(CommandKind.ROM_MINIMUM, ends[:1])
    program.arm.push(CommandKind.ROM_MAXIMUM, ends[1:])
    program.arm.push(CommandKind.ROM_ENABLE, mask=1)
    assert program.run(0.01).rom_enforced[0]
    start = program.admit().setpoint_position_deg[0]
    assert not ends[0] <= start <= ends[1]
    program.answer = {"speed": program.speed([-sign * 60.0]), "position": program.position([-sign * 500.0]),
                      "moving position": program.position([-sign * 500.0], [-sign * 50.0]),
                      "position inside, moving out": program.position([start + sign * 4.0], [-sign * 1e9])}[by]
    for _ in range(500):
        assert sign * (program.cycle().setpoint_position_deg[0] - start) >= -1e-9
    assert program.state is not None
    assert program.state.limited[0] & ExternalLimit.RANGE
    program.answer = program.speed([sign * 20.0])
    program.run(0.5)
    program.answer = program.speed([-sign * 20.0])      # what it has come in it does not go back out
    end = program.run(1.5)
    assert ends[0] - 0.015 <= end.setpoint_position_deg[0] <= ends[1] + 0.015
    assert end.fault_count == 0
    program.close()


def test_targets_that_run_out_of_the_range_are_met_at_its_end() -> None:
    """A moving target that leaves the range: the set-point must not shoot after it."""
    program = VirtualProgram(2)
    watch = LimitWatch(program.arm)
    program.admit()
    assert program.state is not None
    begun, start = program.state.time_ns, program.state.setpoint_position_deg

    def ramp(state: ExternalState) -> None:
        wanted = [deg + 50.0 * (state.time_ns - begun) * 1e-9 for deg in start]
        program.link.send(ExternalKind.POSITION, wanted, [50.0, 50.0])

    program.answer = ramp
    watched(program, 5.0, watch)
    state = program.states[-1]
    assert state.setpoint_position_deg == pytest.approx(state.range_maximum_deg, abs=0.015)
    program.close()


@pytest.mark.parametrize("whole", [False, True], ids=["targets", "all memory"])
@pytest.mark.parametrize("seed", range(4))
def test_saf_9_random_bytes_in_the_shared_memory_while_running(seed: int, whole: bool) -> None:
    """A foreign process may write anything anywhere. No fault but the external error, no limit broken; and with fresh
    memory for the next program all is well again."""
    pick = random.Random(f"{seed} {whole}")
    program = VirtualProgram(4)
    watch = LimitWatch(program.arm)
    program.admit()
    errors = 0
    for _ in range(25):
        raw = RawTargets(program.fd)

        def answer(state: ExternalState, raw: RawTargets = raw) -> None:
            program.link.send(ExternalKind.SPEED, (), [pick.uniform(-60.0, 60.0) for _ in range(4)])
            if pick.random() < 0.2:
                raw.scribble(pick, whole)

        program.answer = answer
        watched(program, 0.5, watch)
        assert all(map(math.isfinite, program.states[-1].setpoint_position_deg))
        errors += program.states[-1].state == MasterState.ERROR
        os.close(program.fd)
        program.connect()
        program.answer = program.stay
        if program.states[-1].state == MasterState.ERROR:
            readmit(program, watch)
        else:
            program.arm.push(CommandKind.EXTERNAL)
    assert errors > 10, "the scribbling was too gentle to prove anything"
    assert watch.moving_cycles > 3000
    program.close()
