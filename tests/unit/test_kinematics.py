"""Forward kinematics and Jacobian: by hand, against pinocchio over random chains, and what the state shows."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy
import pinocchio
import pytest

from controller._core import Core, Kinematics
from controller.chain import chain_of
from controller.config import Config, load
from controller.spec import chain as spec_chain
from controller.supervisor import core_axes, core_settings
from tests.virtual_arm import VirtualArm

DEFAULT = {axes: chain_of(Config(), axes) for axes in range(1, 9)}


def random_chain(source: random.Random, joints: int | None = None) -> dict[str, Any]:
    """Any directions, any offsets, 1..8 joints."""
    def direction() -> tuple[float, ...]:
        parts = [source.gauss(0, 1) for _ in range(3)]
        length = math.hypot(*parts)  # never near 0 for the seeds used here
        return tuple(part / length for part in parts)

    def offset() -> tuple[float, ...]:
        return tuple(source.uniform(-400, 400) for _ in range(3))

    count = joints or source.randint(1, 8)
    return {"joints": [{"axis": direction(), "offset_mm": offset()} for _ in range(count)], "hand_offset_mm": offset(),
            "elbow_axis": source.randint(0, count), "wrist_axis": source.randint(0, count), "max_speed_mm_s": 250.0,
            "max_acceleration_mm_s2": 1000.0}


class Peer:
    """The same chain in pinocchio, in metres and radians."""

    def __init__(self, chain: dict[str, Any]) -> None:
        self.model = pinocchio.Model()
        parent = 0
        for i, joint in enumerate(chain["joints"]):
            placement = pinocchio.SE3(numpy.eye(3), numpy.array(joint["offset_mm"]) * 1e-3)
            parent = self.model.addJoint(parent, pinocchio.JointModelRevoluteUnaligned(numpy.array(joint["axis"])),
                                         placement, f"j{i}")
        at_hand = pinocchio.SE3(numpy.eye(3), numpy.array(chain["hand_offset_mm"]) * 1e-3)
        self.hand = self.model.addFrame(pinocchio.Frame("hand", parent, at_hand, pinocchio.FrameType.OP_FRAME))
        self.data = self.model.createData()

    def forward_mm(self, position_deg: list[float]) -> numpy.ndarray:
        pinocchio.framesForwardKinematics(self.model, self.data, numpy.radians(position_deg))
        return self.data.oMf[self.hand].translation * 1e3

    def jacobian(self, position_deg: list[float]) -> numpy.ndarray:
        """Linear rows in mm/rad, then the angular ones."""
        found = pinocchio.computeFrameJacobian(self.model, self.data, numpy.radians(position_deg), self.hand,
                                               pinocchio.ReferenceFrame.LOCAL_WORLD_ALIGNED)
        return found.reshape(6, -1) * numpy.array([1e3, 1e3, 1e3, 1, 1, 1])[:, None]  # flat for one joint


@pytest.mark.parametrize("seed", range(50))
def test_forward_and_jacobian_agree_with_pinocchio(seed: int) -> None:
    """1e-9 of the chain's length, over random chains of 1..8 joints and random poses of several turns."""
    source = random.Random(seed)
    chain = random_chain(source)
    ours, peer = Kinematics(chain), Peer(chain)
    length = sum(math.hypot(*joint["offset_mm"]) for joint in chain["joints"]) + math.hypot(*chain["hand_offset_mm"])
    for _ in range(40):
        position_deg = [source.uniform(-720, 720) for _ in chain["joints"]]
        hand, elbow = ours.forward(position_deg)
        assert numpy.abs(hand - peer.forward_mm(position_deg)).max() < 1e-9 * length
        jacobian, theirs = numpy.array(ours.jacobian(position_deg)), peer.jacobian(position_deg)
        assert numpy.abs(jacobian[:3] - theirs[:3]).max() < 1e-9 * length
        assert numpy.abs(jacobian[3:] - theirs[3:]).max() < 1e-9
        assert elbow == (position_deg[chain["elbow_axis"] - 1] if chain["elbow_axis"] else 0.0)
        for i, (origin, axis, rotation) in enumerate(ours.frames(position_deg)):
            at = peer.data.oMi[i + 1]
            assert numpy.abs(origin - at.translation * 1e3).max() < 1e-9 * length
            assert numpy.abs(numpy.array(rotation).reshape(3, 3) - at.rotation).max() < 1e-9
            assert numpy.abs(axis - at.rotation @ chain["joints"][i]["axis"]).max() < 1e-9


def hand_at(axes: int = 4, side: str = "right", **position_deg: float) -> tuple[float, ...]:
    """Rounded, by the joints' names of the default arm."""
    chain = chain_of(load(None, {"arm.side": side}), axes)
    names = [row.name.replace(" ", "_") for row in spec_chain.JOINTS[:axes]]
    assert set(position_deg) <= set(names)
    hand, _ = Kinematics(chain).forward([position_deg.get(name, 0.0) for name in names])
    return tuple(round(part, 6) + 0.0 for part in hand)


@pytest.mark.parametrize("axes", range(1, 9))
def test_the_default_arm_hangs_down(axes: int) -> None:
    assert hand_at(axes) == (0, 0, -630)


@pytest.mark.parametrize("axes", range(4, 9))
def test_the_default_arm_goes_where_its_joints_are_named_for(axes: int) -> None:
    assert hand_at(axes, shoulder_flexion=90) == (630, 0, 0)
    assert hand_at(axes, shoulder_abduction=90) == (0, -630, 0)  # outwards, to the right
    assert hand_at(axes, elbow=90) == (330, 0, -300)
    assert hand_at(axes, elbow=90, shoulder_rotation=90) == (0, 330, -300)  # inwards, in front of the body
    assert hand_at(axes, "left", shoulder_abduction=90) == (0, 630, 0)
    assert hand_at(axes, "left", elbow=90, shoulder_rotation=90) == (0, -330, -300)
    assert hand_at(axes, "left", shoulder_flexion=90) == (630, 0, 0)


def test_length_adjustments_lengthen_their_links() -> None:
    for axes in range(4, 9):
        bent = [0.0, 0.0, 0.0, 90.0, 0.0, 0.0, 0.0, 0.0][:axes]
        hand, _ = Kinematics(DEFAULT[axes], upper_arm_mm=40, forearm_mm=100).forward(bent)
        assert hand == pytest.approx((430, 0, -340))
    for axes in range(1, 4):  # no elbow, nothing to lengthen
        hand, _ = Kinematics(DEFAULT[axes], upper_arm_mm=40, forearm_mm=100).forward([0.0] * axes)
        assert hand == pytest.approx((0, 0, -630))


def test_bad_chains_and_angles_are_refused_by_name() -> None:
    good = DEFAULT[4]
    joint = good["joints"][0]
    for change, message in (
            ({"joints": []}, "joints: 0 given"), ({"joints": [joint] * 9}, "joints: 9 given"),
            ({"joints": [joint | {"axis": (0, 0, 0)}]}, "joint 1: axis: its length is 0"),
            ({"joints": [joint | {"axis": (0, 0, math.nan)}]}, "joint 1: axis: nan is not a finite"),
            ({"joints": [joint | {"offset_mm": (0, math.inf, 0)}]}, "joint 1: offset_mm: inf is not a finite"),
            ({"hand_offset_mm": (0, 1)}, "hand_offset_mm: 2 numbers given"),
            ({"elbow_axis": 5}, "elbow_axis: 5 given"), ({"wrist_axis": -1}, "wrist_axis: -1 given")):
        with pytest.raises(ValueError, match=message):
            Kinematics(good | change)
    with pytest.raises(ValueError, match="position_deg: 3 given, 4 needed"):
        Kinematics(good).forward([0, 0, 0])
    with pytest.raises(ValueError, match=r"position_deg\[1\]: nan"):
        Kinematics(good).jacobian([0, math.nan, 0, 0])
    arm = VirtualArm(3)
    with pytest.raises(ValueError, match="chain: 4 joints given, 3 needed"):
        Core().configure(core_settings(Config()), core_axes(Config(), arm.facts), good)


@pytest.mark.parametrize("axes", [1, 4, 5, 8])
def test_every_cycle_tells_where_the_hand_is(axes: int) -> None:
    arm = VirtualArm(axes)
    first = arm.cycle()
    assert (first.hand_x_mm, first.hand_y_mm, first.hand_z_mm, first.elbow_deg) == (0, 0, 0, 0)  # nothing heard yet
    arm.auto()
    ours, seen = Kinematics(DEFAULT[axes]), set()
    for cycle in range(400):
        if cycle % 100 == 0:
            arm.jog(*(20.0,) * axes)
        state = arm.cycle()
        hand, elbow = ours.forward(state.position_deg)
        assert (state.hand_x_mm, state.hand_y_mm, state.hand_z_mm) == hand
        assert state.elbow_deg == elbow
        seen.add(hand)
    assert len(seen) > 30
    arm.core.detach()
    state = arm.cycle()
    assert (state.hand_x_mm, state.hand_y_mm, state.hand_z_mm, state.elbow_deg) == (0, 0, 0, 0)


def test_without_a_chain_the_hand_stays_unknown() -> None:
    arm = VirtualArm(2)
    arm.core.detach()
    arm.core.configure(core_settings(arm.config), core_axes(arm.config, arm.facts))
    arm.reattach()
    state = arm.run(0.3)
    assert any(state.position_deg)
    assert (state.hand_x_mm, state.hand_y_mm, state.hand_z_mm, state.elbow_deg) == (0, 0, 0, 0)
