"""The mass model: against the simulated arm's own, against potential energy, and what is refused."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy
import pinocchio
import pytest

from controller._core import Kinematics, MassModel
from controller.chain import chain_of
from controller.config import Config, Contact, Joint, Link, load
from controller.load import load_of
from controller.sim._board import Board
from controller.sim.arm import AXES
from controller.spec.load import LINKS, STANDARD_GRAVITY_M_S2, default_links
from controller.spec.modes import ContactAction
from controller.supervisor import core_axes, core_settings
from tests.virtual_arm import VirtualArm

NAN = math.nan


def model(axes: int, config: Config | None = None, **given: float) -> MassModel:
    config = config or Config()
    found = load_of(config, VirtualArm(axes).facts)
    assert found is not None
    return MassModel(chain_of(config, axes), found, **given)


def poses(axes: int, count: int) -> list[list[float]]:
    pick, facts = random.Random(axes), VirtualArm(axes).facts.axis
    return [[pick.uniform(f.minimum_deg + 0.1, f.maximum_deg - 0.1) for f in facts] for _ in range(count)]


@pytest.mark.parametrize("axes", range(1, 9))
def test_agrees_with_the_simulated_arm_which_has_a_model_of_its_own(axes: int) -> None:
    ours = model(axes)
    for pose in poses(axes, 25):
        theirs = Board(axes, start_deg=pose).truth()["load_counts"]
        assert ours.holding_counts(pose) == pytest.approx(theirs, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("axes", [1, 2, 4, 6, 8])
@pytest.mark.parametrize("given", [{}, {"upper_arm_mm": 40.0, "forearm_mm": 120.0},
                                   {"upper_arm_weight": 0.5, "forearm_weight": 1.7}])
def test_is_the_slope_of_the_potential_energy(axes: int, given: dict[str, float]) -> None:
    """tau = dV/dq with V = sum of m g z, the centres placed by the frames of the kinematics."""
    ours, links = model(axes, **given), default_links(axes, "right")
    lengths = {name: value for name, value in given.items() if name.endswith("_mm")}
    usual, hand = Kinematics(chain_of(Config(), axes)), Kinematics(chain_of(Config(), axes), **lengths)
    weight = {"none": 1.0, "upper_arm": given.get("upper_arm_weight", 1.0), "forearm": given.get("forearm_weight", 1.0)}

    def ends(chain: Kinematics, pose: list[float]) -> list[tuple[float, float, float]]:
        return [*(origin for origin, _, _ in chain.frames(pose)[1:]), chain.forward(pose)[0]]

    def energy(pose: list[float]) -> float:
        found = 0.0
        for i, (origin, _, r) in enumerate(hand.frames(pose)):
            begin = usual.frames(pose)[i][0]
            before, now = math.dist(begin, ends(usual, pose)[i]), math.dist(origin, ends(hand, pose)[i])
            longer = now / before if before else 1.0
            height = origin[2] + longer * sum(r[6 + k] * links[i].centre_mm[k] for k in range(3))
            found += links[i].mass_kg * weight[links[i].limb] * STANDARD_GRAVITY_M_S2 * height * 1e-3
        return found

    for pose in poses(axes, 5):
        torques = ours.holding_nm(pose)
        for i in range(axes):
            around = [[angle + (end if k == i else 0.0) for k, angle in enumerate(pose)] for end in (-1e-3, 1e-3)]
            slope = (energy(around[1]) - energy(around[0])) / math.radians(2e-3)
            assert torques[i] == pytest.approx(slope, abs=1e-6)


def test_a_left_arm_is_the_mirror_of_a_right_one() -> None:
    left = model(8, load(None, {"arm.side": "left"}))
    for pose in poses(8, 10):
        assert left.holding_nm(pose) == pytest.approx(model(8).holding_nm(pose), abs=1e-9)


def test_the_last_link_of_an_arm_with_fewer_axes_carries_what_is_left_out() -> None:
    for axes in range(1, 9):
        links = default_links(axes, "right")
        assert len(links) == axes
        assert sum(link.mass_kg for link in links) == pytest.approx(sum(row.mass_kg for row in LINKS))
    straight = [0.0, 90.0, 0.0, 0.0]
    assert model(4).holding_nm(straight)[1] == pytest.approx(model(8).holding_nm([*straight, *[0.0] * 4])[1])


def test_what_the_configuration_gives_the_core() -> None:
    facts = VirtualArm(2).facts
    links = (Link(mass_kg=1.0, limb="forearm", torque_counts_per_nm=-20.0), Link(mass_kg=2.0, contact_nm=4.0))
    found = load_of(Config(link=links, contact=Contact(action="retreat", torque_nm=3.0)), facts)
    assert found is not None
    assert [row["contact_counts"] for row in found["links"]] == [60.0, 200.0]
    assert [row["limb"] for row in found["links"]] == [2, 0]
    assert [row["spring_offset_counts"] for row in found["links"]] == [0.0, 120.0]      # axis 2 has the spring
    assert found["contact_action"] == ContactAction.RETREAT


def test_the_inertia_that_compliant_mode_allows_for_is_the_given_one_or_that_of_the_stretched_out_masses() -> None:
    facts = VirtualArm(2).facts
    joints = (Joint(axis=(1.0, 0.0, 0.0)), Joint(axis=(1.0, 0.0, 0.0), offset_mm=(0.0, 300.0, -400.0)))
    links = (Link(mass_kg=1.0, centre_mm=(0.0, 0.0, -200.0), torque_counts_per_nm=-20.0), Link(
        mass_kg=2.0, centre_mm=(0.0, 60.0, -80.0), inertia_kg_m2=0.3))
    found = load_of(Config(joint=joints, link=links), facts)
    assert found is not None
    inertia = [row["inertia_counts"] for row in found["links"]]
    # 1 kg at 0.2 m and 2 kg at 0.5 + 0.1 m
    assert inertia == pytest.approx([math.radians(0.04 + 0.72) * 20.0, math.radians(0.3) * 50.0])


def test_the_simulated_arms_inertia_is_known() -> None:
    for axes in range(1, 9):
        found = load_of(Config(), VirtualArm(axes).facts)
        assert found is not None
        for row, axis in zip(found["links"], AXES, strict=False):
            assert row["inertia_counts"] == pytest.approx(axis.inertia, rel=0.06)


def test_masses_that_nobody_gave_are_not_known() -> None:
    facts = VirtualArm(1).facts
    assert load_of(load(None, {"bus.port": "/dev/ttyS0"}), facts) is None
    assert load_of(Config(joint=(Joint(axis=(1.0, 0.0, 0.0)),)), facts) is None
    assert load_of(Config(), facts) is not None


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "mass": ({"mass_kg": -1.0}, "mass_kg: -1.0"), "nan": ({"mass_kg": NAN}, "mass_kg: nan"),
    "limb": ({"limb": 3}, "limb: 3"), "centre": ({"centre_mm": (0.0, NAN, 0.0)}, "link 1: centre_mm"),
    "two": ({"centre_mm": (0.0, 0.0)}, "centre_mm: 2 numbers"), "spring": ({"spring_counts_per_deg": 1e9}, "spring"),
    "zero": ({"torque_zero_counts": 16_001.0}, "torque_zero_counts: 16001.0 given, -16000..16000 allowed"),
    "contact": ({"contact_counts": -1.0}, "contact_counts"), "inertia": ({"inertia_counts": -1.0}, "inertia_counts"),
}


@pytest.mark.parametrize("name", BAD)
def test_saf_9_masses_that_make_no_sense_are_refused_and_named(name: str) -> None:
    wrong, text = BAD[name]
    found = load_of(Config(), VirtualArm(1).facts)
    assert found is not None
    found["links"][0].update(wrong)
    with pytest.raises(ValueError, match=text):
        MassModel(chain_of(Config(), 1), found)
    arm = VirtualArm(1)
    arm.core.detach()
    with pytest.raises(ValueError, match=text):
        arm.core.configure(core_settings(Config()), core_axes(Config(), arm.facts), chain_of(Config(), 1), found)


@pytest.mark.parametrize(("key", "value"), [("contact_ms", NAN), ("response_ms", 0.0), ("limit_zone_deg", 0.0),
                                            ("max_speed_percent", 101.0), ("contact_action", 3), ("retreat_deg", -1.0)])
def test_saf_9_limits_that_make_no_sense_are_refused_and_named(key: str, value: float) -> None:
    found = load_of(Config(), VirtualArm(1).facts)
    assert found is not None
    with pytest.raises(ValueError, match=key):
        MassModel(chain_of(Config(), 1), {**found, key: value})
    with pytest.raises(KeyError, match=key):
        MassModel(chain_of(Config(), 1), {name: each for name, each in found.items() if name != key})


def test_arguments_of_the_model_are_checked() -> None:
    ours = model(2)
    for pose, text in (([0.0], "1 given, 2 needed"), ([0.0, NAN], r"position_deg\[1\]")):
        with pytest.raises(ValueError, match=text):
            ours.holding_nm(pose)
        with pytest.raises(ValueError, match=text):
            ours.holding_counts(pose)
    with pytest.raises(ValueError, match="not a finite number"):
        model(2, forearm_weight=NAN)
    with pytest.raises(ValueError, match="calls: 0"):
        ours.seconds_per_call([0.0, 0.0], 0)


def random_arm(pick: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """Any chain of 1..8 joints, and any masses on it."""
    def vector(size: float) -> tuple[float, float, float]:
        return pick.uniform(-size, size), pick.uniform(-size, size), pick.uniform(-size, size)

    joints = []
    for _ in range(pick.randint(1, 8)):
        direction = vector(1.0)
        joints.append({"axis": tuple(part / math.hypot(*direction) for part in direction), "offset_mm": vector(400.0)})
    found = load_of(Config(), VirtualArm(len(joints)).facts)
    assert found is not None
    for link in found["links"]:
        link.update(mass_kg=pick.uniform(0.0, 5.0), centre_mm=vector(300.0), limb=0)
    chain = {**chain_of(Config(), len(joints)), "joints": joints, "hand_offset_mm": vector(400.0)}
    return {**chain, "elbow_axis": 0, "wrist_axis": 0}, found


def pinocchio_model(chain: dict[str, Any], masses: dict[str, Any]) -> pinocchio.Model:
    """The same arm in pinocchio, in metres and radians."""
    peer, parent = pinocchio.Model(), 0
    for i, (joint, link) in enumerate(zip(chain["joints"], masses["links"], strict=True)):
        placement = pinocchio.SE3(numpy.eye(3), numpy.array(joint["offset_mm"]) * 1e-3)
        turning = pinocchio.JointModelRevoluteUnaligned(numpy.array(joint["axis"]))
        parent = peer.addJoint(parent, turning, placement, f"j{i}")
        inertia = pinocchio.Inertia(link["mass_kg"], numpy.array(link["centre_mm"]) * 1e-3, numpy.eye(3) * 1e-3)
        peer.appendBodyToJoint(parent, inertia, pinocchio.SE3.Identity())
    peer.gravity.linear = numpy.array([0.0, 0.0, -STANDARD_GRAVITY_M_S2])
    return peer


@pytest.mark.parametrize("seed", range(30))
def test_agrees_with_pinocchio_over_random_chains_and_masses(seed: int) -> None:
    pick = random.Random(seed)
    chain, masses = random_arm(pick)
    ours, peer = MassModel(chain, masses), pinocchio_model(chain, masses)
    for _ in range(10):
        pose = [pick.uniform(-180.0, 180.0) for _ in chain["joints"]]
        theirs = pinocchio.computeGeneralizedGravity(peer, peer.createData(), numpy.radians(pose))
        assert ours.holding_nm(pose) == pytest.approx(list(theirs), abs=1e-9)
