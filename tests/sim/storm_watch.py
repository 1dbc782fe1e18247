"""Python's end of storm_watch.cpp: compiled once per session, fed with what VirtualArm.run_logged returns."""

from __future__ import annotations

import ctypes
import math
from pathlib import Path

from controller.config import Motion
from controller.spec import record
from controller.spec.telegram import MAX_AXES
from tests.native.toolchain import compile_cpp
from tests.virtual_arm import VirtualArm

SOURCE = Path(__file__).with_name("storm_watch.cpp")
Doubles = ctypes.c_double * MAX_AXES


class Watch(ctypes.Structure):
    """struct Watch, field by field."""

    _fields_ = [
        ("axes", ctypes.c_int), ("decay", ctypes.c_int),
        *[(name, ctypes.c_double) for name in ("dt", "v_max", "a_max", "j_max", "quick_a", "quick_j", "margin")],
        *[(name, Doubles) for name in ("scale", "float_error", "low", "high")],
        *[(name, ctypes.c_uint64) for name in ("cycles", "moving", "starts", "power_ons", "stops_seen", "in_range")],
        *[(name, ctypes.c_double) for name in ("worst_jump", "worst_speed", "worst_slope", "worst_bend")],
        ("complaint", ctypes.c_char * 256),
        *[(name, ctypes.c_bool) for name in ("was_moving", "armed", "was_powered", "was_auto", "retreats")],
        ("last_command", ctypes.c_uint32), ("stops", ctypes.c_uint32),
        *[(name, Doubles) for name in ("before", "slope", "limit", "old_limit", "setpoint", "excess")],
        ("lowered", ctypes.c_int * MAX_AXES)]


def record_struct() -> str:
    """The C++ struct of a state record, from the table of its fields."""
    sizes = {0: "", record.PER_AXIS: f"[{MAX_AXES}]"}
    rows = "".join(f"    {row.ctype} {row.name}{sizes.get(row.count, f'[{row.count}]')};\n" for row in record.FIELDS)
    return f"#include <cstdint>\nstruct Record {{\n{rows}}};\n"


def library(folder: Path) -> ctypes.CDLL:
    """Compile and load it."""
    source = folder / "storm_watch.cpp"
    source.write_text(record_struct() + SOURCE.read_text())
    loaded = ctypes.CDLL(str(compile_cpp(source, folder / "storm_watch.so", ["-O2", "-shared", "-fPIC"])))
    assert loaded.watch_size() == ctypes.sizeof(Watch)
    loaded.watch.argtypes = [ctypes.POINTER(Watch), ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int]
    loaded.watch_forget.argtypes = [ctypes.POINTER(Watch)]
    return loaded


class StormWatch:
    """Watches one VirtualArm with equal limits for all axes."""

    def __init__(self, loaded: ctypes.CDLL, arm: VirtualArm, limits: Motion | None = None) -> None:
        self.library, self.arm = loaded, arm
        limits = limits or arm.config.motion
        axes, state = arm.board.axes, arm.cycle()
        truth = arm.board.truth()
        self.state = Watch(axes=axes, dt=arm.period_ns * 1e-9, v_max=limits.max_speed_deg_s,
                           a_max=limits.max_acceleration_deg_s2, j_max=limits.max_jerk_deg_s3,
                           quick_a=limits.quick_stop_deceleration_deg_s2, margin=limits.limit_margin_deg)
        watch = self.state
        watch.quick_j = max(watch.j_max, 50.0 * watch.quick_a)
        # longest time from a lowered limit until the speed has come down to it: as from full speed
        a, j = 0.9 * watch.a_max, 0.9 * watch.j_max
        watch.decay = round((watch.v_max / a + 2.0 * a / j + 0.1) / watch.dt)
        for i in range(axes):
            scale = arm.facts.axis[i].speed_conversion_deg
            watch.scale[i] = scale
            # microsteps/s are sent as float32: half a step of its mantissa at full speed
            watch.float_error[i] = abs(scale) * 2.0 ** (math.frexp(watch.v_max / abs(scale))[1] - 24)
            watch.low[i], watch.high[i] = truth["minimum_deg"][i], truth["maximum_deg"][i]
            watch.limit[i] = state.speed_limit_deg_s[i]
            watch.excess[i] = 1e9
        watch.retreats = arm.config.contact.action == "retreat"
        watch.last_command, watch.stops, watch.was_powered = state.last_command, state.stops, bool(state.motor_power)

    def run(self, cycles: int) -> memoryview:
        """Run so many cycles and check them all; the last record."""
        telegrams, records = self.arm.run_logged(cycles)
        assert self.library.watch(self.state, bytes(telegrams), bytes(records), cycles), self.state.complaint.decode()
        return memoryview(records)[-self.library.record_size():]

    def forget(self) -> None:
        """The line was brought up anew."""
        self.library.watch_forget(self.state)
