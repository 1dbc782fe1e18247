"""SAF-5 and SAF-9 over a million cycles: whatever is asked for, no telegram that leaves the cycle breaks a limit.

Every command telegram is decoded by the tests' own decoder; speeds are differenced twice between telegrams.
"""

from __future__ import annotations

import math
import random
import struct
import zlib

import pytest

from controller.config import Config, Motion
from controller.spec.modes import CommandKind, MasterState, StopCategory
from tests.telegrams import SPEED_ABS
from tests.virtual_arm import VirtualArm, codes, summary

MOTION = Motion()
CRAWL_DEG_S = 1e-3      # the least speed a trajectory is planned with, also where a limit falls to 0 in mid-motion
JUNK = (math.nan, math.inf, -math.inf, 1e300, -1e300, 1e6, 101.0, -101.0)


class LimitWatch:
    """Checks each telegram and record of a VirtualArm with equal limits for all axes."""

    def __init__(self, arm: VirtualArm, limits: Motion = MOTION) -> None:
        self.arm, self.limits, self.axes = arm, limits, arm.board.axes
        self.dt = arm.period_ns * 1e-9
        self.layout = struct.Struct(f"<HBB{'BBf' * self.axes}{self.axes}fI")
        self.scale = [facts.speed_conversion_deg for facts in arm.facts.axis]
        self.before = [0.0] * self.axes
        self.slope = [0.0] * self.axes
        self.limit = (limits.max_speed_deg_s,) * self.axes
        self.old_limit = [limits.max_speed_deg_s] * self.axes
        self.lowered = [0] * self.axes
        self.moving_cycles = 0
        truth = arm.board.truth()
        self.low = [low - 0.02 for low in truth["minimum_deg"]]
        self.high = [high + 0.02 for high in truth["maximum_deg"]]
        # microsteps/s are sent as float32: half a step of its mantissa at full speed, four times in a second difference
        self.float_error = [abs(s) * 2.0 ** (math.frexp(limits.max_speed_deg_s / abs(s))[1] - 24) for s in self.scale]
        # longest time from a lowered limit until the speed has come down to it: as from full speed
        a, j = 0.9 * limits.max_acceleration_deg_s2, 0.9 * limits.max_jerk_deg_s3
        self.decay = round((limits.max_speed_deg_s / a + 2.0 * a / j + 0.1) / self.dt)

    def check(self, state) -> None:
        values = self.layout.unpack(self.arm.telegram)
        assert values[-1] == zlib.crc32(self.arm.telegram[:-4])
        limits, dt = self.limits, self.dt
        if state.speed_limit_deg_s != self.limit:
            for i, limit in enumerate(state.speed_limit_deg_s):
                if limit < self.limit[i]:
                    self.old_limit[i] = max(self.limit[i], self.old_limit[i] if self.lowered[i] > 0 else 0.0)
                    self.lowered[i] = self.decay
            self.limit = state.speed_limit_deg_s
        quick = state.stop_category == StopCategory.QUICK
        a_max = limits.quick_stop_deceleration_deg_s2 if quick else limits.max_acceleration_deg_s2
        j_max = max(limits.max_jerk_deg_s3, 50.0 * a_max) if quick else limits.max_jerk_deg_s3
        for i in range(self.axes):
            mode, kind, target = values[3 + 3 * i:6 + 3 * i]
            self.lowered[i] -= 1
            if mode != SPEED_ABS:
                assert (kind, target) == (0, 0.0)
                # a motion that ends under power ends at rest
                assert abs(self.before[i]) <= 0.06 or not state.motor_power, (i, self.before[i], summary(state))
                self.before[i] = self.slope[i] = 0.0
                continue
            self.moving_cycles += 1
            assert kind == 3
            speed = target * self.scale[i]
            slope = (speed - self.before[i]) / dt
            allowed = max(self.old_limit[i], self.limit[i]) if self.lowered[i] > 0 else self.limit[i]
            assert abs(speed) <= allowed + CRAWL_DEG_S + self.float_error[i], (i, speed, allowed, summary(state))
            assert abs(slope) <= a_max + 2.0 * self.float_error[i] / dt, (i, slope, a_max, summary(state))
            bend = (slope - self.slope[i]) / dt
            assert abs(bend) <= j_max * 1.001 + 4.0 * self.float_error[i] / dt ** 2, (i, bend, j_max, summary(state))
            self.before[i], self.slope[i] = speed, slope
            assert self.low[i] <= state.setpoint_position_deg[i] <= self.high[i], (i, summary(state))


def random_command(arm: VirtualArm, pick: random.Random) -> bool:
    """One random thing a client, or a client gone mad, may do. True when it was a jog to be refreshed."""
    axes = arm.board.axes
    mask = pick.getrandbits(axes)
    what = pick.random()
    if what < 0.35:
        values = [pick.uniform(f.minimum_deg - 2.0, f.maximum_deg + 2.0) for f in arm.facts.axis]
        arm.push(CommandKind.MOVE, values, mask, pick.choice((100.0, pick.uniform(0.0, 100.0))))
    elif what < 0.60:
        values = [pick.choice((-100.0, 100.0, pick.uniform(-100.0, 100.0), 0.0)) for _ in range(axes)]
        arm.push(CommandKind.JOG, values, mask)
        return True
    elif what < 0.68:
        arm.core.request_stop()
    elif what < 0.72:
        arm.push(pick.choice((CommandKind.STAND_STILL, CommandKind.START, CommandKind.RESET)))
    elif what < 0.74:
        arm.push(CommandKind.OFF)
    elif what < 0.86:
        percent = pick.choice((100.0, pick.uniform(0.0, 100.0), 0.0))
        arm.push(CommandKind.SPEED_LIMITS, [percent] * axes, mask, pick.choice((60.0, 70.0, 80.0)))
    else:
        values = [pick.choice((*JUNK, pick.uniform(-90.0, 90.0))) for _ in range(8)]
        arm.push(pick.randrange(0, 12), values, pick.getrandbits(32), pick.choice((*JUNK, 0.0, 50.0, 60.0, -1.0)))
    return False


def random_stream(arm: VirtualArm, watch: LimitWatch, seed: int, cycles: int) -> None:
    """Random commands at random times; every cycle checked."""
    pick = random.Random(seed)
    due = refresh = refreshes = 0
    values: list[float] = []
    for cycle in range(cycles):
        if cycle >= due:
            due = cycle + pick.choice((1, 7, 40, 150, 400, 1200))
            refreshes = 0
            if random_command(arm, pick):
                values = [pick.uniform(-100.0, 100.0) for _ in range(arm.board.axes)]
                refreshes, refresh = pick.randrange(40), cycle + 100
        if refreshes and cycle >= refresh:
            arm.push(CommandKind.JOG, values)
            refreshes, refresh = refreshes - 1, cycle + pick.randrange(1, 260)
        if cycle % 9973 == 0:   # or the limits would end up near nothing for good
            arm.push(CommandKind.SPEED_LIMITS, [100.0] * 8, 0xFF, pick.choice((60.0, 70.0, 80.0)))
        state = arm.cycle()
        watch.check(state)
        assert state.state != MasterState.ERROR, summary(state)


@pytest.mark.parametrize(("axes", "seed", "cycles"), [
    (1, 11, 100_000), (4, 12, 150_000), (4, 13, 150_000), (4, 14, 150_000), (4, 15, 150_000), (5, 16, 150_000),
    (8, 17, 100_000), (2, 18, 50_000)])
def test_saf_5_saf_9_no_limit_is_exceeded_over_a_million_cycles(axes: int, seed: int, cycles: int) -> None:
    arm = VirtualArm(axes, seed)
    arm.waiting()
    watch = LimitWatch(arm)
    random_stream(arm, watch, seed, cycles)
    state = arm.cycle()
    assert watch.moving_cycles > cycles // 10       # the stream really moved the arm
    assert state.commands_refused > 20              # and really asked for what is refused
    assert not codes(state)
    truth, maxima = arm.board.truth(), arm.board.maxima()
    for i in range(axes):
        assert truth["minimum_deg"][i] <= maxima["lowest_deg"][i], i
        assert maxima["highest_deg"][i] <= truth["maximum_deg"][i], i
        assert maxima["command_speed_deg_s"][i] <= MOTION.max_speed_deg_s


@pytest.mark.parametrize(("rate_hz", "seed"), [(100, 21), (250, 22), (2000, 23)])
def test_saf_5_no_limit_is_exceeded_at_other_rates(rate_hz: int, seed: int) -> None:
    import msgspec

    config = Config()
    config = msgspec.structs.replace(
        config, loop=msgspec.structs.replace(config.loop, rate_hz=rate_hz),
        bus=msgspec.structs.replace(config.bus, silence_ms=max(20.0, 3000.0 / rate_hz)))
    arm = VirtualArm(4, seed, config)
    arm.waiting()
    random_stream(arm, LimitWatch(arm), seed, 20_000)


def test_the_watch_can_fail() -> None:
    """The checks above find a broken limit: half of the true ones are exceeded at once."""
    arm = VirtualArm(2)
    arm.auto()
    half = Motion(max_speed_deg_s=30.0, max_acceleration_deg_s2=150.0, max_jerk_deg_s3=1500.0)
    watch = LimitWatch(arm, half)
    arm.jog(100.0, -100.0)
    with pytest.raises(AssertionError):
        arm.run(0.2, watch.check)
