# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# distutils: language = c++
"""The core's own telegram functions in a loop of C, built by bench_telegram.py; no part of the product."""

include "core_head.pxi"       # imports and includes of ext/core.pyx up to telegram.pxi, cut out by bench_telegram.py

cdef extern from *:
    """
    // The compiler must take it that the bytes were read and may have changed: nothing is hoisted or left out.
    static inline void through_memory(void* data) { asm volatile("" : : "r"(data) : "memory"); }
    """
    void through_memory(void*) noexcept nogil


def loop(list telegrams, int axes, int count):
    """Nanoseconds per telegram of: check and parse of a received one, build of the next command.

    `telegrams` are 256 state telegrams, number k answering sequence number k. AssertionError when one was not taken."""
    cdef Machine* m = <Machine*>calloc(1, sizeof(Machine))
    cdef uint8_t out[256]
    cdef uint8_t modes[MAX_AXES]
    cdef uint8_t types[MAX_AXES]
    cdef float targets[MAX_AXES]
    cdef float offsets[MAX_AXES]
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
            offsets[i] = 0.0
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
                built += build_command(out, axes, (i + 1) & 255, FLAG_MOTOR_POWER, modes, types, targets, offsets)
                through_memory(out)
            clock_gettime(CLOCK_MONOTONIC, &end)
        assert m.bus.valid == count and built > 0, f"{count - m.bus.valid} of {count} telegrams were not taken"
        return ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) / count
    finally:
        free(m)
        free(data)
