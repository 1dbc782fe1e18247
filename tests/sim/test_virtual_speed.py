"""The simulated arm and the compiled cycle together run far faster than real time, so long tests stay cheap."""

from __future__ import annotations

import time

from controller.spec.modes import MasterState
from tests.virtual_arm import VirtualArm, codes, summary

CYCLES = 20_000
TIMES_REAL_TIME = 20    # required; 200 to 700 was seen


def test_four_moving_axes_run_20_times_faster_than_real_time() -> None:
    arm = VirtualArm(4)
    arm.auto()
    low, high = (20.0, 35.0, -5.0, 30.0), (50.0, 65.0, 25.0, 70.0)
    moving = sent = 0
    virtual_ns, wall_ns = arm.now_ns, time.perf_counter_ns()
    for _ in range(CYCLES):
        state = arm.cycle()
        moving += any(state.moving)
        if state.motions_done == sent:
            arm.move(*(low if sent % 2 else high))
            sent += 1
    wall_ns = time.perf_counter_ns() - wall_ns
    virtual_ns = arm.now_ns - virtual_ns
    assert virtual_ns == CYCLES * arm.period_ns
    assert state.state == MasterState.AUTO, summary(state)
    assert not codes(state)
    assert sent > 5
    assert moving > 0.8 * CYCLES
    ratio = virtual_ns / wall_ns
    print(f"\n{virtual_ns / 1e9:.1f} s of the arm in {wall_ns / 1e9:.3f} s: {ratio:.0f} times real time")
    assert ratio >= TIMES_REAL_TIME
