"""The core's small C++ headers against models in Python: histogram percentiles, checksums, stopping distance."""

from __future__ import annotations

import ctypes
import importlib.util
import math
import zlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests import telegrams
from tests.native.toolchain import compile_cpp

SOURCE = r"""
#include "crc.hpp"
#include "histogram.hpp"
#include "planner.hpp"
extern "C" {
void* histogram_new() { return new allyarm::Histogram(); }
void histogram_delete(void* h) { delete static_cast<allyarm::Histogram*>(h); }
void histogram_record(void* h, long long ns) { static_cast<allyarm::Histogram*>(h)->record(ns); }
void histogram_clear(void* h) { static_cast<allyarm::Histogram*>(h)->clear(); }
unsigned long long histogram_percentile(void* h, double f) {
    return static_cast<allyarm::Histogram*>(h)->percentile(f);
}
unsigned long long histogram_total(void* h) { return static_cast<allyarm::Histogram*>(h)->total(); }
unsigned long long histogram_maximum(void* h) { return static_cast<allyarm::Histogram*>(h)->maximum(); }
unsigned crc_32(const unsigned char* data, unsigned long size) { return allyarm::crc32(data, size); }
int crc_8_ok(const unsigned char* data, int n, int stride) { return allyarm::crc8_blocks_ok(data, n, stride); }
double stop(double v, double a, double a_max, double j_max) { return allyarm::stop_distance(v, a, a_max, j_max); }
}
"""


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("core")
    (folder / "core.cpp").write_text(SOURCE)
    spec = importlib.util.find_spec("ruckig")
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    include = next(path for path in (root / "include", root.parent / "include") if (path / "ruckig").is_dir())
    library = ctypes.CDLL(str(compile_cpp(folder / "core.cpp", folder / "core.so",
                                          ["-O2", "-shared", "-fPIC", "-isystem", str(include)])))
    library.histogram_new.restype = ctypes.c_void_p
    for name in ("histogram_percentile", "histogram_total", "histogram_maximum"):
        getattr(library, name).restype = ctypes.c_ulonglong
    for name in ("histogram_delete", "histogram_clear", "histogram_total", "histogram_maximum"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    library.histogram_record.argtypes = [ctypes.c_void_p, ctypes.c_longlong]
    library.histogram_percentile.argtypes = [ctypes.c_void_p, ctypes.c_double]
    library.crc_32.argtypes = [ctypes.c_char_p, ctypes.c_ulong]
    library.crc_32.restype = ctypes.c_uint
    library.crc_8_ok.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
    library.stop.argtypes = [ctypes.c_double] * 4
    library.stop.restype = ctypes.c_double
    return library


@given(st.lists(st.one_of(st.integers(0, 200), st.integers(0, 2**41), st.integers(-5, -1)), min_size=1, max_size=200),
       st.sampled_from([0.0, 0.5, 0.9, 0.99, 0.999, 1.0]))
@example([2**62], 1.0)
@example([0], 0.5)
def test_percentiles_are_right_to_a_sixteenth(core: ctypes.CDLL, values: list[int], fraction: float) -> None:
    histogram = core.histogram_new()
    for value in values:
        core.histogram_record(histogram, value)
    found = core.histogram_percentile(histogram, fraction)
    total, maximum = core.histogram_total(histogram), core.histogram_maximum(histogram)
    core.histogram_clear(histogram)
    cleared = core.histogram_percentile(histogram, fraction), core.histogram_total(histogram)
    core.histogram_delete(histogram)
    ordered = sorted(max(0, value) for value in values)
    true = ordered[int(fraction * (len(ordered) - 1))]
    assert (total, maximum, cleared) == (len(values), ordered[-1], (0, 0))
    assert found <= maximum
    if true < 2**40:
        assert true <= found <= true + true / 16 + 1
    else:
        assert found >= 2**40 - 1       # beyond 18 minutes: only that it was at least so long


@given(st.binary(max_size=300))
def test_crc32_is_zlibs(core: ctypes.CDLL, data: bytes) -> None:
    assert core.crc_32(data, len(data)) == zlib.crc32(data)


@given(st.lists(st.binary(min_size=23, max_size=23), min_size=1, max_size=8), st.integers(0, 10**6))
def test_crc8_of_all_blocks(core: ctypes.CDLL, bodies: list[bytes], where: int) -> None:
    data = b"".join(bytes([telegrams.crc8(body)]) + body for body in bodies)
    assert core.crc_8_ok(data, len(bodies), 24)
    wrong = bytearray(data)
    where %= len(data) * 8
    wrong[where // 8] ^= 1 << where % 8
    assert not core.crc_8_ok(bytes(wrong), len(bodies), 24)


def test_crc8_check_value() -> None:
    assert telegrams.crc8(b"123456789") == 0xF4     # CRC-8 (SMBUS) in the catalogue of parametrised CRC algorithms


@given(st.floats(-60, 60), st.floats(-1, 1), st.sampled_from([(270.0, 2700.0), (50.0, 20000.0), (2000.0, 500.0)]))
def test_stopping_distance_against_integration(core: ctypes.CDLL, speed: float, share: float,
                                               limits: tuple[float, float]) -> None:
    """The bang-bang stop, integrated in steps of 0.1 ms: jerk towards the deceleration that just ends at rest."""
    a_max, j_max = limits
    acceleration = share * min(a_max, math.sqrt(2.0 * j_max * 30.0))
    dt, position, v, a = 1e-4, 0.0, speed, acceleration
    for _ in range(200_000):
        if abs(v) < 2e-3 and abs(a) <= j_max * dt * 2:
            break
        # speed that is left when the acceleration is taken back to zero from here
        rest = v + a * abs(a) / (2.0 * j_max)
        wanted = -a_max if rest > 0 else a_max
        step = max(-j_max * dt, min(j_max * dt, wanted - a))
        if abs(rest) < j_max * dt * dt * 4 + abs(a) * dt:
            step = max(-j_max * dt, min(j_max * dt, -a))
        a += step
        position += v * dt + a * dt * dt / 2
        v += a * dt
    found = core.stop(speed, acceleration, a_max, j_max)
    assert found == pytest.approx(position, abs=0.02 + 0.01 * abs(position))
