"""Random commands and random faults together: limits hold in every cycle, no motion after a stop without a command, and
when the faults are gone RESET (and a new bring-up where needed) always leads back to a moving arm.
"""

from __future__ import annotations

import random

import pytest

from controller.sim.faults import FAULTS
from controller.spec.modes import BusState, CommandKind, MasterState
from tests.sim.test_cycle_limits import LimitWatch, random_command
from tests.virtual_arm import VirtualArm, codes, summary

# The joint must stay where hands could reach it: a drift adds up while a drive has no current.
LEFT_OUT = {"drift", "sensor_wrap", "sensor_jump", "enable_stuck", "welded_relay"}
NAMES = [row.name for row in FAULTS if row.name not in LEFT_OUT]


def random_fault(arm: VirtualArm, pick: random.Random) -> None:
    name = pick.choice(NAMES)
    row = next(row for row in FAULTS if row.name == name)
    parameters: dict[str, float] = {"seconds": pick.choice((0.001, 0.01, 0.05, 0.3, 1.2))}
    if row.per_axis:
        parameters["axis"] = pick.randrange(arm.board.axes + 1)
    if row.telegrams:
        parameters["probability"] = pick.choice((0.05, 0.3, 1.0))
    arm.board.set_fault(name, **parameters)


def again(arm: VirtualArm) -> None:
    """A bring-up works only over a line without faults."""
    arm.board.clear_faults()
    arm.reattach()


def recover(arm: VirtualArm) -> None:
    """What the supervisor and an operator do once the faults are gone."""
    arm.board.clear_faults()
    for _ in range(6):
        arm.run(1.0)
        state = arm.cycle()
        if state.bus_state == BusState.LOST or arm.core.released:
            arm.reattach()
            state = arm.run(0.3)
        if state.state == MasterState.ERROR:
            arm.push(CommandKind.RESET)
            state = arm.run(0.5)
        if state.state in (MasterState.WAITING, MasterState.AUTO) and state.bus_state == BusState.CYCLIC:
            break
    assert state.state in (MasterState.WAITING, MasterState.AUTO), summary(state)
    assert not codes(state)
    arm.push(CommandKind.SPEED_LIMITS, [100.0] * 8, 0xFF, 60.0)
    arm.push(CommandKind.SPEED_LIMITS, [100.0] * 8, 0xFF, 70.0)
    arm.push(CommandKind.SPEED_LIMITS, [100.0] * 8, 0xFF, 80.0)
    done = state.motions_done
    targets = [(facts.minimum_deg + facts.maximum_deg) / 2.0 for facts in arm.facts.axis]
    arm.move(*targets)
    arm.until(lambda s: s.motions_done == done + 1, 20.0)


@pytest.mark.parametrize("seed", range(8))
def test_saf_3_saf_5_limits_hold_in_a_storm_of_faults_and_it_ends_well(seed: int) -> None:
    pick = random.Random(seed)
    arm = VirtualArm(1 + seed % 5, seed)
    arm.waiting()
    for _ in range(4):
        watch = LimitWatch(arm)
        due = 0
        for cycle in range(5_000):
            if cycle >= due:
                due = cycle + pick.choice((1, 20, 150, 500))
                if pick.random() < 0.3:
                    random_fault(arm, pick)
                elif pick.random() < 0.2:
                    arm.push(CommandKind.RESET)
                elif pick.random() < 0.05:
                    again(arm)
                    watch = LimitWatch(arm)
                else:
                    random_command(arm, pick)
            state = arm.cycle()
            if arm.telegram:
                watch.check(state)
            if arm.core.released and pick.random() < 0.01:
                again(arm)
                watch = LimitWatch(arm)
        recover(arm)
