"""Random hands on an arm in compliant mode: no limit is exceeded in any telegram, nothing jumps, nothing moves that
nobody asked to move, and whatever ends it holds the arm. Every cycle is checked by storm_watch.cpp, which knows nothing
of the core.
"""

from __future__ import annotations

import ctypes
import random
from collections import Counter

import msgspec
import pytest

from controller.config import Config, Contact, Motion
from controller.spec.modes import CommandKind, CompliantPhase, MasterState
from tests.sim.storm_watch import StormWatch, library
from tests.sim.test_cycle_million import OFFSETS, unexpected
from tests.virtual_arm import VirtualArm

ARMS, ACTIONS_PER_ARM = 12, 3_000
CONTACT = 650
CYCLES = (1, 2, 5, 20, 60, 200)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return library(tmp_path_factory.mktemp("storm"))


class Hands:
    """Operators and hands, at random."""

    def __init__(self, arm: VirtualArm, seed: int) -> None:
        self.arm, self.pick, self.axes = arm, random.Random(seed), arm.board.axes
        self.low = [f.minimum_deg for f in arm.facts.axis]
        self.high = [f.maximum_deg for f in arm.facts.axis]
        self.done: Counter[str] = Counter()
        self.actions = ((10, self.lead), (30, self.pull), (12, self.push_joint), (10, self.let_go), (1, self.no_more),
                        (1, self.stop), (6, self.reset), (2, self.move), (1, self.jog), (2, self.gains),
                        (1, self.weight), (2, self.speed_limits), (2, self.ranges), (0.3, self.silence),
                        (0.5, self.line_fault), (1, self.drag))

    def lead(self) -> None:
        self.arm.push(CommandKind.COMPLIANT, mask=1)

    def no_more(self) -> None:
        self.arm.push(CommandKind.COMPLIANT, mask=0)

    def pull(self) -> None:
        newton = self.pick.choice((1.0, 3.0, 8.0, 8.0, 15.0))
        force = {axis: self.pick.uniform(-newton, newton) for axis in ("x_n", "y_n", "z_n")}
        self.arm.board.set_fault("hand_force", **force)

    def push_joint(self) -> None:
        counts = self.pick.choice((30.0, 100.0, 150.0, 250.0, 400.0, 3000.0 if self.pick.random() < 0.1 else 50.0))
        self.arm.board.set_fault("outside_torque", axis=self.pick.randrange(1, self.axes + 1),
                                 counts=self.pick.choice((-1.0, 1.0)) * counts,
                                 seconds=self.pick.choice((0.02, 0.2, 2.0)))

    def drag(self) -> int:
        """One joint to an end of its range and against it."""
        self.let_go()
        self.lead()
        self.arm.board.set_fault("outside_torque", axis=self.pick.randrange(1, self.axes + 1), seconds=6.0,
                                 counts=self.pick.choice((-1.0, 1.0)) * self.pick.uniform(80.0, 250.0))
        return 5_000

    def let_go(self) -> None:
        self.arm.board.clear_faults("hand_force")
        self.arm.board.clear_faults("outside_torque")

    def stop(self) -> None:
        self.arm.core.request_stop()

    def reset(self) -> None:
        self.let_go()
        self.arm.push(CommandKind.RESET)

    def move(self) -> None:
        self.arm.push(CommandKind.MOVE, [self.pick.uniform(a, b) for a, b in zip(self.low, self.high, strict=True)],
                      value=100.0)

    def jog(self) -> None:
        self.arm.push(CommandKind.JOG, [self.pick.uniform(-100.0, 100.0) for _ in range(self.axes)])

    def gains(self) -> None:
        register, high = self.pick.choice(((180.0, 40.0), (185.0, 150.0), (190.0, 20.0), (195.0, 10.0)))
        self.arm.push(CommandKind.LOAD_SETTINGS, [self.pick.uniform(0.0, high) for _ in range(8)], value=register)

    def weight(self) -> None:
        self.arm.push(CommandKind.LOAD_SETTINGS, [self.pick.uniform(90.0, 110.0)], 1, self.pick.choice((91.0, 93.0)))

    def speed_limits(self) -> None:
        self.arm.push(CommandKind.SPEED_LIMITS, [self.pick.choice((100.0, 100.0, 50.0, 10.0, 0.0))] * self.axes,
                      value=self.pick.choice((60.0, 70.0, 80.0)))

    def ranges(self) -> None:
        self.arm.push(CommandKind.ROM_MINIMUM, [self.pick.uniform(low, low + 40.0) for low in self.low])
        self.arm.push(CommandKind.ROM_MAXIMUM, [self.pick.uniform(high - 40.0, high) for high in self.high])
        self.arm.push(CommandKind.ROM_ENABLE, mask=self.pick.choice((0, (1 << self.axes) - 1)))

    def silence(self) -> None:
        self.arm.board.set_fault("silence", seconds=self.pick.choice((0.005, 0.015)))

    def line_fault(self) -> None:
        self.arm.board.set_fault(self.pick.choice(("lost", "late", "bit_flipped", "reordered")), probability=0.3,
                                 seconds=0.01)

    def act(self) -> int:
        """One of them; how many cycles to go on."""
        function = self.pick.choices([f for _, f in self.actions], [w for w, _ in self.actions])[0]
        self.done[function.__name__] += 1
        return function() or self.pick.choice(CYCLES)


def run(loaded: ctypes.CDLL, seed: int) -> tuple[StormWatch, Counter[str], float]:
    action = ("stop", "retreat")[seed % 2]
    arm = VirtualArm(1 + seed % 6, seed, config=Config(contact=Contact(action=action)))  # type: ignore[arg-type]
    arm.waiting()
    hands, watch, found = Hands(arm, seed), StormWatch(loaded, arm), Counter[str]()
    farthest = -360.0
    for number in range(ACTIONS_PER_ARM):
        row = watch.run(hands.act())
        found["led"] += row[OFFSETS["compliant_phase"]] == CompliantPhase.LED
        if row[OFFSETS["state"]] == MasterState.ERROR:
            assert unexpected(row) <= {CONTACT}, (number, unexpected(row))
            found["contacts"] += 1
            assert row[OFFSETS["motor_power"]] == 1     # held
        truth = arm.board.truth()
        for at, low, high in zip(truth["position_deg"], truth["minimum_deg"], truth["maximum_deg"], strict=True):
            farthest = max(farthest, at - high, low - at)
        if number % 200 == 0:
            arm.push(CommandKind.SPEED_LIMITS, [100.0] * 8, 0xFF, (60.0, 70.0, 80.0)[number // 200 % 3])
            arm.push(CommandKind.LOAD_SETTINGS, [100.0] * 8, 0xFF, 185.0)
            arm.push(CommandKind.LOAD_SETTINGS, [100.0], 1, (91.0, 93.0)[number // 200 % 2])
            watch.run(1)
    return watch, found, farthest


@pytest.mark.parametrize("part", range(4))
@pytest.mark.timeout(600)
def test_saf_5_saf_11_saf_12_no_hand_breaks_a_limit(loaded: ctypes.CDLL, part: int) -> None:
    found: Counter[str] = Counter()
    cycles = moving = 0
    speed, farthest = 0.0, -360.0
    for seed in range(part, ARMS, 4):
        watch, counts, far = run(loaded, seed)
        found += counts
        cycles, moving = cycles + watch.state.cycles, moving + watch.state.moving
        speed, farthest = max(speed, watch.state.worst_speed), max(farthest, far)
    print(f"{cycles} cycles, {moving} in motion, after {found['led']} actions led, after {found['contacts']} in "
          f"contact; highest speed {speed:.3f} of the limit; farthest {farthest:.2f} deg beyond a hard limit")
    assert found["led"] > 800
    assert found["contacts"] > 30
    assert moving > cycles // 4
    assert farthest < 0.0


def test_the_watch_sees_a_hand_that_is_too_fast(loaded: ctypes.CDLL) -> None:
    arm = VirtualArm(2)
    arm.auto()
    tighter = msgspec.structs.replace(Motion(), max_speed_deg_s=0.1 * Motion().max_speed_deg_s)
    watch = StormWatch(loaded, arm, tighter)
    arm.push(CommandKind.COMPLIANT, mask=1)
    watch.run(500)
    arm.board.set_fault("outside_torque", axis=1, counts=150.0)
    with pytest.raises(AssertionError, match=": speed is "):
        watch.run(1000)
