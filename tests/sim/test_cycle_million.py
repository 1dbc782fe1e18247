"""A million random actions of operators and of fate: no limit is exceeded in any telegram, nothing jumps, and nothing
moves that nobody asked to move. Every cycle is checked by storm_watch.cpp, which knows nothing of the core's code.
"""

from __future__ import annotations

import ctypes
import math
import random
from collections import Counter

import msgspec
import pytest

from controller._core import ExternalRegion
from controller.config import Motion
from controller.external._link import ExternalState, ProgramLink
from controller.spec import record
from controller.spec.external import ExternalKind
from controller.spec.modes import CommandKind, MasterState
from controller.spec.telegram import MAX_AXES
from tests.external.virtual_program import external_config
from tests.sim.storm_watch import StormWatch, library
from tests.virtual_arm import VirtualArm

JUNK = (math.nan, math.inf, -math.inf, 1e300, -1e6, 101.0)
CYCLES = (1, 1, 2, 3, 4, 6, 10, 25, 60)         # after an action
LINE_FAULTS = ("lost", "late", "duplicated", "truncated", "bit_flipped", "reordered", "garbage", "wrong_sequence",
               "deaf")
ARMS, ACTIONS_PER_ARM = 40, 25_000
# what the faults that are switched on may raise; anything else is a finding
HARMLESS = {1, 30, 295, 296, *range(101, 109)}
PROGRAM_FAULTS = {630, 631}     # it falls silent, or says what means nothing
PROGRAM_EVERY = 2               # of the arms; the others are as most are in use
SPANS = [record.SIZES[row.ctype] * (MAX_AXES if row.count == record.PER_AXIS else row.count or 1)
         for row in record.FIELDS]
OFFSETS = {row.name: sum(SPANS[:number]) for number, row in enumerate(record.FIELDS)}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return library(tmp_path_factory.mktemp("storm"))


class Operator:
    """Random actions on one arm."""

    def __init__(self, arm: VirtualArm, seed: int) -> None:
        self.arm, self.pick = arm, random.Random(seed)
        self.axes = arm.board.axes
        self.low = [f.minimum_deg for f in arm.facts.axis]
        self.high = [f.maximum_deg for f in arm.facts.axis]
        self.jog_percent = [0.0] * self.axes
        self.hand_percent = [0.0] * 3
        self.hand_mm = (0.0, 0.0, -500.0)
        self.done: Counter[str] = Counter()
        self.actions = (
            (25, self.move), (30, self.jog), (25, self.hand_jog), (8, self.hand_move),
            (1, self.lengths), (9, self.start), (5, self.stop), (1, self.off), (6, self.reset),
            (3, self.stand_still), (4, self.range_minimum), (4, self.range_maximum), (4, self.range_enable),
            (8, self.speed_limits), (3, self.prepare), (2, self.junk), (0.4, self.button), (1, self.line_fault),
            (0.15, self.silence), (0.3, self.drive_error))
        self.weights = [weight for weight, _ in self.actions]
        self.functions = [function for _, function in self.actions]

    def some_targets(self) -> list[float]:
        return [self.pick.uniform(low - 1.0, high + 1.0) for low, high in zip(self.low, self.high, strict=True)]

    def mask(self) -> int:
        return self.pick.getrandbits(self.axes)

    def move(self) -> None:
        self.arm.push(CommandKind.MOVE, self.some_targets(), self.mask(), self.pick.choice((100.0, 100.0, 30.0, 0.0)))

    def prepare(self) -> None:
        self.arm.push(CommandKind.PREPARE, self.some_targets(), self.mask(), 100.0)

    def jog(self) -> None:
        if self.pick.random() < 0.3:    # else a refresh of the same
            self.jog_percent = [self.pick.choice((-100.0, 100.0, self.pick.uniform(-100.0, 100.0), 0.0))
                                for _ in range(self.axes)]
        self.arm.push(CommandKind.JOG, self.jog_percent)

    def hand_jog(self) -> None:
        if self.pick.random() < 0.3:
            self.hand_percent = [self.pick.choice((-100.0, 100.0, self.pick.uniform(-100.0, 100.0), 0.0))
                                 for _ in range(3)]
        self.arm.push(CommandKind.HAND_JOG, self.hand_percent)

    def hand_move(self) -> None:
        """Near the hand mostly; now and then anywhere, and as far as there is a way."""
        state, span = self.arm.reader.latest(), self.pick.choice((20.0, 100.0, 400.0))
        if state is not None:
            self.hand_mm = (state.hand_x_mm, state.hand_y_mm, state.hand_z_mm)
        values = [part + self.pick.uniform(-span, span) for part in self.hand_mm]
        self.arm.push(CommandKind.HAND_MOVE, [*values, 0.0, self.pick.uniform(-60.0, 60.0)],
                      7 | self.pick.choice((0, 0, 32, 48 if self.axes > 4 else 0)),
                      self.pick.choice((100.0, 100.0, 30.0)))

    def lengths(self) -> None:
        self.arm.push(CommandKind.ARM_LENGTHS, [self.pick.uniform(0.0, 60.0), self.pick.uniform(0.0, 200.0)])

    def start(self) -> None:
        self.arm.push(CommandKind.START, mask=self.pick.getrandbits(1))

    def stop(self) -> None:
        self.arm.core.request_stop()

    def off(self) -> None:
        self.arm.push(CommandKind.OFF)

    def reset(self) -> None:
        self.arm.push(CommandKind.RESET)

    def stand_still(self) -> None:
        self.arm.push(CommandKind.STAND_STILL)

    def range_minimum(self) -> None:
        self.arm.push(CommandKind.ROM_MINIMUM, [self.pick.uniform(low, low + 50.0) for low in self.low])

    def range_maximum(self) -> None:
        self.arm.push(CommandKind.ROM_MAXIMUM, [self.pick.uniform(high - 50.0, high) for high in self.high])

    def range_enable(self) -> None:
        self.arm.push(CommandKind.ROM_ENABLE, mask=self.pick.choice((0, self.mask(), (1 << self.axes) - 1)))

    def speed_limits(self) -> None:
        percent = self.pick.choice((100.0, 100.0, 100.0, self.pick.uniform(0.0, 100.0), 0.0))
        self.arm.push(CommandKind.SPEED_LIMITS, [percent] * self.axes, self.mask(),
                      self.pick.choice((60.0, 70.0, 80.0)))

    def junk(self) -> None:
        values = [self.pick.choice(JUNK) for _ in range(8)]
        self.arm.push(self.pick.randrange(0, 25), values, self.pick.getrandbits(32), self.pick.choice(JUNK))

    def button(self) -> None:
        self.arm.board.set_fault("button", seconds=self.pick.choice((0.001, 0.02, 0.1)))

    def line_fault(self) -> None:
        self.arm.board.set_fault(self.pick.choice(LINE_FAULTS), probability=self.pick.choice((0.1, 0.5, 1.0)),
                                 seconds=self.pick.choice((0.002, 0.01, 0.018)))

    def silence(self) -> None:
        self.arm.board.set_fault("silence", seconds=self.pick.choice((0.005, 0.015, 0.03, 0.1)))

    def drive_error(self) -> None:
        self.arm.board.set_fault("drive_error", axis=self.pick.randrange(self.axes + 1),
                                 seconds=self.pick.choice((0.002, 0.05)))

    def act(self) -> None:
        function = self.pick.choices(self.functions, self.weights)[0]
        self.done[function.__name__] += 1
        function()


class Program:
    """An external program that answers in most cycles with whatever comes to its mind, goes away, and comes back."""

    def __init__(self, arm: VirtualArm, operator: Operator) -> None:
        self.arm, self.operator, self.pick = arm, operator, operator.pick
        self.kind, self.values = ExternalKind.SPEED, [0.0] * operator.axes
        self.silent = 0
        self.admitted = self.sent = 0
        self.region: ExternalRegion | None = None
        self._board = arm.board.step
        self.connect()
        arm.board_step = self.board
        operator.functions += [self.admit, self.change_mind, self.connect]
        operator.weights += [20, 20, 0.5]

    def connect(self) -> None:
        """Another process takes the place of this one."""
        self.region = ExternalRegion()
        self.arm.core.lend_region(self.region)
        self.link = ProgramLink(self.region.fd)

    def admit(self) -> None:
        self.arm.push(CommandKind.EXTERNAL)

    def change_mind(self) -> None:
        axes = self.operator.axes
        self.kind = self.pick.choice((ExternalKind.POSITION, ExternalKind.POSITION, ExternalKind.SPEED,
                                      ExternalKind.SPEED, ExternalKind.END, 77))
        self.values = (self.operator.some_targets() if self.kind == ExternalKind.POSITION else
                       [self.pick.choice((0.0, self.pick.uniform(-300.0, 300.0), 1e9, -1e300)) for _ in range(axes)])
        if self.kind == 77 and self.pick.random() < 0.8:    # an error every time would leave little to see
            self.kind = ExternalKind.SPEED
        self.silent = self.pick.choice((0, 0, 0, 0, 0, 3, 30))

    def answer(self, state: ExternalState) -> None:
        self.admitted += state.admitted
        if self.silent:
            self.silent -= 1
            return
        position, speed = (self.values, ()) if self.kind == ExternalKind.POSITION else ((), self.values)
        self.sent += self.link.send(self.kind, position, speed)

    def board(self, now_ns: int, sent: bytes) -> bytes:
        """In place of the board's step: twice a cycle, and the program has its turn."""
        if (state := self.link.wait(0.0)) is not None:
            self.answer(state)
        return self._board(now_ns, sent)


def unexpected(row: memoryview) -> set[int]:
    """Codes of errors in a raw record that nothing of what was done explains."""
    count = row[OFFSETS["fault_count"]]
    words = row[OFFSETS["faults"]:OFFSETS["faults"] + 4 * count].cast("I")
    return {word & 0xFFFF for word in words if not word >> 31} - HARMLESS


def storm(loaded: ctypes.CDLL, seed: int, actions: int) -> tuple[StormWatch, Operator, Program | None]:
    with_program = seed // 4 % PROGRAM_EVERY == 1
    arm = VirtualArm(1 + seed % 5, seed, config=external_config() if with_program else None)
    arm.waiting()
    operator = Operator(arm, seed)
    program = Program(arm, operator) if with_program else None
    harmless = PROGRAM_FAULTS if with_program else set()
    watch = StormWatch(loaded, arm)
    for number in range(actions):
        operator.act()
        row = watch.run(operator.pick.choice(CYCLES))
        if row[OFFSETS["state"]] == MasterState.ERROR:
            assert not unexpected(row) - harmless, (number, unexpected(row))
        if arm.core.released:
            arm.reattach()
            watch.forget()
        if number % 1000 == 0:      # or the limits would end up near nothing for good
            arm.push(CommandKind.SPEED_LIMITS, [100.0] * 8, 0xFF, (60.0, 70.0, 80.0)[number // 1000 % 3])
            watch.run(1)
    return watch, operator, program


@pytest.mark.parametrize("part", range(4))
@pytest.mark.timeout(600)
def test_saf_1_saf_2_saf_5_a_million_actions_in_four_parts(loaded: ctypes.CDLL, part: int) -> None:
    done: Counter[str] = Counter()
    cycles = moving = starts = power_ons = stops = in_range = 0
    admitted = programs = 0
    jump = speed = slope = bend = 0.0
    for seed in range(part, ARMS, 4):
        watch, operator, program = storm(loaded, seed, ACTIONS_PER_ARM)
        done += operator.done
        if program is not None:
            programs, admitted = programs + 1, admitted + program.admitted
        found = watch.state
        cycles, moving, starts = cycles + found.cycles, moving + found.moving, starts + found.starts
        power_ons, stops = power_ons + found.power_ons, stops + found.stops_seen
        in_range += found.in_range
        jump, speed = max(jump, found.worst_jump), max(speed, found.worst_speed)
        slope, bend = max(slope, found.worst_slope), max(bend, found.worst_bend)
    print(f"{sum(done.values())} actions, {cycles} cycles, {moving} in motion ({in_range} of them with a range of "
          f"motion, {admitted} of an external program), {starts} starts of motion, {power_ons} power-ons, "
          f"{stops} stops; worst: jump {jump:.4f} deg, "
          f"speed {speed:.4f}, acceleration {slope:.4f}, jerk {bend:.4f} of the limit")
    assert sum(done.values()) == ARMS * ACTIONS_PER_ARM // 4
    assert len(done) == 23
    assert programs == 5
    assert admitted > cycles // 100     # a program moved it too
    # the storm really moved the arm, stopped it, and powered it again and again
    assert moving > cycles // 5
    assert starts > 5_000
    assert power_ons > 2_000
    assert in_range > moving // 20
    assert stops > 5_000
    assert speed > 0.9


@pytest.mark.parametrize(("field", "word"), [
    ("max_speed_deg_s", "speed"), ("max_acceleration_deg_s2", "acceleration"), ("max_jerk_deg_s3", "jerk")])
def test_the_watch_can_fail(loaded: ctypes.CDLL, field: str, word: str) -> None:
    arm = VirtualArm(2)
    arm.auto()
    tighter = msgspec.structs.replace(Motion(), **{field: 0.5 * getattr(Motion(), field)})
    watch = StormWatch(loaded, arm, tighter)
    arm.jog(100.0, -100.0)
    with pytest.raises(AssertionError, match=f": {word} is "):
        watch.run(200)


def test_the_watch_sees_a_motion_that_nobody_asked_for(loaded: ctypes.CDLL) -> None:
    arm = VirtualArm(2)
    arm.auto()
    watch = StormWatch(loaded, arm)
    watch.run(10)
    arm.jog(100.0, 100.0)
    watch.state.last_command += 1       # as if the command had been seen before
    with pytest.raises(AssertionError, match="nobody asked for"):
        watch.run(10)
