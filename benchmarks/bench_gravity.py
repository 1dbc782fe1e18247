"""Gravity torques of all joints, as the cycle computes them: beside pinocchio, the robotics library."""

from __future__ import annotations

import time
from statistics import median

import numpy
import pinocchio

from benchmarks.table import Aim, Table
from controller._core import MassModel
from controller.chain import chain_of
from controller.config import Config
from controller.load import load_of
from tests.unit.test_mass_model import pinocchio_model
from tests.virtual_arm import VirtualArm

AXES = (4, 5, 8)
AIM_AXES, AIM_NS = 5, 1000.0


def run(quick: bool) -> list[Table]:
    """One row per number of axes; interleaved rounds, medians."""
    rounds, calls = (5, 20_000) if quick else (15, 100_000)
    rows, aims = [], []
    for axes in AXES:
        chain, masses = chain_of(Config(), axes), load_of(Config(), VirtualArm(axes).facts)
        assert masses is not None
        ours, peer = MassModel(chain, masses), pinocchio_model(chain, masses)
        data, pose = peer.createData(), [20.0] * axes
        radians = numpy.radians(pose)
        ours_ns, theirs_ns = [], []
        for _ in range(rounds):
            ours_ns.append(ours.seconds_per_call(pose, calls) * 1e9)
            begin = time.perf_counter_ns()
            for _ in range(calls // 100):
                pinocchio.computeGeneralizedGravity(peer, data, radians)
            theirs_ns.append((time.perf_counter_ns() - begin) / (calls // 100))
        rows.append((axes, median(ours_ns), median(theirs_ns)))
        if axes == AIM_AXES:
            aims.append(Aim(f"gravity torques, {axes} axes", median(ours_ns), AIM_NS, "ns"))
    return [Table("Gravity torques", ("axes", "ours, ns", "pinocchio from Python, ns"), rows,
                  f"Medians of {rounds} rounds. Ours has the frames of the links, which the cycle's forward kinematics "
                  "has made already; pinocchio makes them in the same call, and its call from Python is in its "
                  "figure.", aims)]
