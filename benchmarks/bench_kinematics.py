"""Forward and inverse kinematics: compiled, as the cycle calls them, against their aims; and called from Python beside
pinocchio, the library that the tests check them with."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks.bench_cycle import JOG_EVERY, TURN_EVERY, Tape
from benchmarks.table import Aim, Table, show
from controller._core import Kinematics
from controller.chain import chain_of
from controller.config import Config
from controller.spec.modes import CommandKind
from tests.virtual_arm import VirtualArm

AXES = (4, 5, 8)
AIM_AXES, FORWARD_US, INVERSE_US = 5, 1.0, 5.0


def poses(axes: int, count: int) -> list[list[float]]:
    """Well inside the simulated arm's range, the same in every run."""
    source = random.Random(axes)
    return [[source.uniform(-40.0, 70.0) for _ in range(axes)] for _ in range(count)]


def compiled(quick: bool) -> Table:
    """Without any call from Python."""
    times, rounds = (20_000, 5) if quick else (100_000, 15)
    rows: list[list[Any]] = []
    aims = []
    for axes in AXES:
        kinematics = Kinematics(chain_of(Config(), axes))
        found = [kinematics.timed(pose, (100.0, -50.0, 80.0), times) for pose in poses(axes, rounds)]
        forward_us, inverse_us = (median(values) / 1e3 for values in zip(*found, strict=True))
        rows.append([axes, forward_us, inverse_us])
        if axes == AIM_AXES:
            aims = [Aim(f"forward kinematics, {axes} axes", forward_us, FORWARD_US, "us"),
                    Aim(f"inverse kinematics, {axes} axes", inverse_us, INVERSE_US, "us")]
    return Table("Kinematics in the core, us", ["axes", "forward", "inverse"], rows,
                 f"Median over {rounds} poses of the mean of {times:,} calls. Forward: frames of all joints and the "
                 "hand. Inverse: those, the Jacobian, and damped least squares for a velocity of the hand.", aims)


class HandTape(Tape):
    """A cycle that jogs the hand to and fro."""

    def _command(self, arm: VirtualArm, number: int) -> None:
        if self.moving and number % JOG_EVERY == 0:
            arm.push(CommandKind.HAND_JOG, [0.0, 0.0, 12.0 if number // TURN_EVERY % 2 else -12.0])


def cycles(quick: bool) -> Table:
    """What a jog of the hand adds to a whole cycle."""
    rounds, count = (3, 2000) if quick else (15, 10_000)
    rows: list[list[Any]] = []
    aims = []
    for axes in AXES:
        tapes = {"joints jog": Tape(axes, True, count), "hand jogs": HandTape(axes, True, count)}
        spent: dict[str, list[float]] = {name: [] for name in tapes}
        for _ in range(rounds):
            for name, tape in tapes.items():
                spent[name].append(tape.play() / 1e3)
        joints, hand = (median(spent[name]) for name in tapes)
        rows.append([axes, joints, hand, hand - joints])
        if axes == AIM_AXES:
            aims = [Aim(f"a hand jog's cycle beyond a joint jog's, {axes} axes", hand - joints, INVERSE_US, "us")]
    return Table("Whole cycle, us", ["axes", "joints jog", "hand jogs", "difference"], rows,
                 f"Virtual clock, as in \"Compiled cycle alone\": {count:,} cycles, {rounds} interleaved rounds. The "
                 "difference is all of the inverse kinematics of a cycle: limits ahead, singular postures, ramp.", aims)


def from_python(quick: bool) -> Table:
    """Both libraries as Python calls them."""
    import numpy
    import pinocchio

    from tests.unit.test_kinematics import Peer

    rounds, calls = (3, 2000) if quick else (15, 10_000)
    rows: list[list[Any]] = []
    for axes in AXES:
        chain = chain_of(Config(), axes)
        ours, peer = Kinematics(chain), Peer(chain)
        pose = poses(axes, 1)[0]
        radians = numpy.radians(pose)

        def peer_forward(peer: Peer = peer, radians: Any = radians) -> None:
            pinocchio.framesForwardKinematics(peer.model, peer.data, radians)

        def peer_jacobian(peer: Peer = peer, radians: Any = radians) -> None:
            pinocchio.computeFrameJacobian(peer.model, peer.data, radians, peer.hand,
                                           pinocchio.ReferenceFrame.LOCAL_WORLD_ALIGNED)

        jobs: dict[str, Callable[[], object]] = {
            "forward": lambda ours=ours, pose=pose: ours.forward(pose), "pinocchio": peer_forward,  # type: ignore[misc]
            "jacobian": lambda ours=ours, pose=pose: ours.jacobian(pose), "its": peer_jacobian}  # type: ignore[misc]
        spent: dict[str, list[float]] = {name: [] for name in jobs}
        for _ in range(rounds):
            for name, job in jobs.items():
                start = time.perf_counter_ns()
                for _ in range(calls):
                    job()
                spent[name].append((time.perf_counter_ns() - start) / calls / 1e3)
        rows.append([axes, *(median(spent[name]) for name in jobs)])
    return Table("Called from Python, us", ["axes", "forward", "pinocchio's", "Jacobian", "pinocchio's "], rows,
                 f"{rounds} interleaved rounds of {calls:,} calls, the call itself included. pinocchio's forward "
                 "kinematics is that of all frames of the same chain; ours hands back the hand alone.")


def run(quick: bool) -> list[Table]:
    """Three tables: compiled, in a cycle, from Python beside pinocchio."""
    return [compiled(quick), cycles(quick), from_python(quick)]


if __name__ == "__main__":
    show(run(quick=True))
