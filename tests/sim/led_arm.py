"""A simulated arm that a hand leads: for tests of compliant mode."""

from __future__ import annotations

import math
from collections.abc import Callable

from controller._core import State
from controller.spec.modes import CommandKind, CompliantPhase
from tests.virtual_arm import VirtualArm, summary

DEAD_BAND, PROPORTIONAL, EXPONENTIAL, DERIVATIVE = 180.0, 185.0, 190.0, 195.0
STEP_S = 0.02       # how often a hand's force is given anew


def led(arm: VirtualArm) -> State:
    """From anywhere to an arm that a hand may lead."""
    if arm.cycle().state != 2:
        arm.waiting()
    arm.push(CommandKind.COMPLIANT, mask=1)
    state = arm.until(lambda s: s.compliant_phase == CompliantPhase.LED, 3.0)
    assert set(state.driver_mode) <= {4, 8, 9}, summary(state)
    return state


def gains(arm: VirtualArm, register: float, *values: float) -> State:
    arm.push(CommandKind.LOAD_SETTINGS, values, value=register)
    return arm.cycle()


def pull(arm: VirtualArm, x_n: float = 0.0, y_n: float = 0.0, z_n: float = 0.0) -> None:
    """A hand's force from now on."""
    arm.board.set_fault("hand_force", x_n=x_n, y_n=y_n, z_n=z_n)


def let_go(arm: VirtualArm) -> None:
    arm.board.clear_faults("hand_force")


def lead_axis(arm: VirtualArm, axis: int, newton: float, seconds: float, done: Callable[[State], bool]) -> State:
    """Pull the hand along the way on which the 0-based axis moves it (negative: backwards), until `done`."""
    state = arm.cycle()
    for _ in range(round(seconds / STEP_S)):
        lever = arm.board.truth()["lever_mm"][axis]
        length = math.hypot(*lever)
        pull(arm, *(newton * part / length for part in lever))
        state = arm.run(STEP_S)
        if done(state):
            break
    let_go(arm)
    assert done(state), summary(state)
    return state
