# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# distutils: language = c++
"""The core's own telegram functions in a loop of C, built by bench_telegram.py; no part of the product."""

from libc.math cimport isfinite
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from ring cimport CommandRing64, CommandRing1024

cdef extern from *:
    """
    static inline int allyarm_popcount8(unsigned value) { return __builtin_popcount(value & 0xFFu); }
    // The compiler must take it that the bytes were read and may have changed: nothing is hoisted or left out.
    static inline void through_memory(void* data) { asm volatile("" : : "r"(data) : "memory"); }
    """
    int popcount8 "allyarm_popcount8"(unsigned) noexcept nogil
    void through_memory(void*) noexcept nogil

cdef extern from "crc.hpp" namespace "allyarm" nogil:
    bint crc8_blocks_ok(const uint8_t*, int, int) noexcept
    uint32_t crc32(const uint8_t*, size_t) noexcept

cdef extern from "planner.hpp" namespace "allyarm" nogil:
    cdef cppclass Planner:
        pass

cdef extern from "handshake.hpp" namespace "allyarm" nogil:
    cdef cppclass Handshake:
        pass

include "generated/spec.pxi"
include "generated/external.pxi"
include "external_link.pxi"
include "types.pxi"
include "telegram.pxi"


def loop(list telegrams, int axes, int count):
    """Nanoseconds per telegram of: check and parse of a received one, build of the next command.

    `telegrams` are 256 state telegrams, number k answering sequence number k. AssertionError when one was not taken."""
    cdef Machine* m = <Machine*>calloc(1, sizeof(Machine))
    cdef uint8_t out[256]
    cdef uint8_t modes[MAX_AXES]
    cdef uint8_t types[MAX_AXES]
    cdef float targets[MAX_AXES]
    cdef bytes text = b"".join(telegrams)
    cdef uint8_t* data = <uint8_t*>calloc(len(text), 1)
    cdef int size = len(telegrams[0]), i, built = 0
    cdef timespec begin, end
    if m == NULL or data == NULL:
        raise MemoryError()
    try:
        memcpy(data, <const char*>text, len(text))
        for i in range(axes):
            modes[i] = DRIVER_MODE_SPEED_ABS
            types[i] = TARGET_TYPE_SPEED_MICROSTEPS_S
            targets[i] = 1000.0 + i
        with nogil:     # setting up as well: with the interpreter, a field that is gone would compile
            m.settings.axes = axes
            m.bus.sample_ns = m.bus.first_valid_ns = -1
            m.bus.aligned = True
            clock_gettime(CLOCK_MONOTONIC, &begin)
            for i in range(count):
                through_memory(data)
                m.now_ns += 1000000
                m.bus.sequence = i & 255
                m.bus.sent_ns[i & 255] = m.now_ns
                receive(m, data + (i & 255) * size, size)
                through_memory(m)
                built += build_command(out, axes, (i + 1) & 255, FLAG_MOTOR_POWER, modes, types, targets)
                through_memory(out)
            clock_gettime(CLOCK_MONOTONIC, &end)
        assert m.bus.valid == count and built > 0, f"{count - m.bus.valid} of {count} telegrams were not taken"
        return ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) / count
    finally:
        free(m)
        free(data)
