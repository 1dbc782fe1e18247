"""The control thread allocates nothing and frees nothing, whatever it is asked to do; counted by a preloaded malloc."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.native.toolchain import tool

HERE = Path(__file__).resolve().parent

PROGRAM = """
import ctypes, threading, time
from tests.live_arm import LiveArm
from controller._core import ExternalRegion
from controller.external._link import ProgramLink
from controller.spec.external import ExternalKind
from controller.spec.modes import CommandKind, DriverMode, MasterState, BusState

shim = ctypes.CDLL(None)
of, count = ctypes.c_long.in_dll(shim, "allocations_of"), ctypes.c_long.in_dll(shim, "allocations")
with LiveArm(axes=4, heartbeat_ms=200.0) as arm:
    arm.waiting()
    of.value = arm.core.realtime()["thread_id"]
    first = arm.latest().cycle
    arm.core.push(CommandKind.MOVE, mask=15, values=[30.0] * 4, value=100.0)
    arm.until(lambda s: s.motions_done == 1)
    for _ in range(10):
        arm.core.push(CommandKind.JOG, mask=15, values=[-50.0] * 4)
        time.sleep(0.05)
    arm.core.push(CommandKind.SPEED_LIMITS, mask=15, values=[50.0] * 4, value=60.0)
    arm.core.push(99, mask=15)
    time.sleep(0.1)
    arm.core.request_stop()
    arm.until(lambda s: s.state == MasterState.WAITING)
    region = ExternalRegion()               # an external program: admitted, followed, limited, refused, silent
    program = ProgramLink(region.fd)
    arm.core.lend_region(region)
    answer = lambda kind, *values: (program.wait(1.0), program.send(kind, *values))
    for _ in range(50):
        answer(ExternalKind.SPEED, (), [0.0] * 4)
    arm.core.push(CommandKind.EXTERNAL)
    while not program.wait(1.0).admitted:
        program.send(ExternalKind.SPEED, (), [0.0] * 4)
    for i in range(1000):
        answer(ExternalKind.SPEED if i < 500 else ExternalKind.POSITION, () if i < 500 else [1e6, -1e6, 1.0, i * 0.1],
               [100.0, -100.0, 5.0, i * 0.1])
    program.send(9, (), [0.0] * 4)
    arm.until(lambda s: s.state == MasterState.ERROR)
    arm.until(lambda s: set(s.driver_mode) == {DriverMode.STAND_STILL_IN_WAITING_STATE})
    arm.core.lend_region(None)
    arm.core.push(CommandKind.RESET)
    arm.waiting()
    arm.core.detach()                       # an error with its stop, and a line given back
    arm.attach()
    arm.until(lambda s: s.bus_state == BusState.CYCLIC)
    arm.core.push(CommandKind.RESET)
    arm.waiting()
    cycles = arm.latest().cycle - first
    counted = count.value
    of.value = threading.get_native_id()    # the shim does count: this thread allocates all the time
    keep = [bytearray(100_000) for _ in range(10)]
    print(cycles, counted, count.value - counted)
"""


def test_the_control_thread_never_allocates(tmp_path: Path) -> None:
    shim = tmp_path / "count_allocations.so"
    subprocess.run([tool(["gcc", "cc"], "gcc"), "-O1", "-fPIC", "-shared", "-fno-builtin",
                    str(HERE / "count_allocations.c"), "-o", str(shim)], check=True, timeout=60)
    environment = os.environ | {"LD_PRELOAD": str(shim), "PYTHONMALLOC": "malloc",
                                "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True,
                          check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    cycles, counted, by_python = map(int, done.stdout.split())
    assert cycles > 1000
    assert by_python >= 10
    assert counted == 0, f"{counted} allocations in {cycles} cycles"
