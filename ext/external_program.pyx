# cython: language_level=3
# distutils: language = c++
"""The program's side of external development: reads state records, sends target records. No thread, no lock.

It sleeps to the next deadline of the control loop, which every state record tells, and then looks: the control thread
never makes a system call for a program. `wait` costs one or two wake-ups a record.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport errno
from libc.math cimport isfinite
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, TIMER_ABSTIME, clock_gettime, clock_nanosleep, timespec

import os

include "generated/spec.pxi"
include "generated/external.pxi"
include "external_link.pxi"
include "generated/external_state.pxi"

cdef extern from "<sys/prctl.h>" nogil:
    int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)
    const int PR_SET_TIMERSLACK

cdef enum:
    LOOK_AGAIN_NS = 20000           # after a look that came too early
    LONGEST_SLEEP_NS = 50000000     # so that Ctrl-C is noticed, also without a controller
    EARLIEST_NS = 5000              # after a deadline: no record is there sooner


cdef inline int64_t monotonic_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef inline void sleep_until(int64_t time_ns) noexcept nogil:
    cdef timespec until
    until.tv_sec = time_ns // 1000000000
    until.tv_nsec = time_ns % 1000000000
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL)


@cython.final
cdef class ProgramLink:
    """The memory behind the descriptor `fd` (not kept). For one thread. OSError when it cannot be mapped, ValueError when
    it is not laid out as this code expects."""
    cdef void* memory
    cdef ExternalLink* link
    cdef ExternalStates* states
    cdef ExternalStateRecord newest
    cdef uint64_t sequence
    cdef int64_t delay_ns           # from a deadline to when its record is there; learned
    cdef bint slack_set

    def __cinit__(self, int fd):
        cdef int wrong
        self.memory = NULL
        if os.fstat(fd).st_size != ExternalLink.size():
            raise ValueError(f"the shared memory has {os.fstat(fd).st_size} bytes, {ExternalLink.size()} are expected")
        self.memory = map_shared(fd, ExternalLink.size())
        if self.memory == MAP_FAILED:
            self.memory = NULL
            raise OSError(errno, "cannot map the shared memory: " + os.strerror(errno))
        wrong = ExternalLink.mismatch(self.memory)
        if wrong:
            raise ValueError(f"the shared memory has another {('magic number', 'version', 'layout')[wrong - 1]}")
        self.link = <ExternalLink*>self.memory
        self.states = read_states(self.memory)
        self.delay_ns = 2 * LOOK_AGAIN_NS

    def __dealloc__(self):
        del self.states
        if self.memory != NULL:
            munmap(self.memory, ExternalLink.size())

    @property
    def missed(self):
        """State records that were passed over, because a newer one was there."""
        return self.states.skipped()

    def wait(self, double timeout_s):
        """The newest state record not returned yet, waiting up to `timeout_s` for one; None when there is none."""
        cdef ExternalState state = ExternalState.__new__(ExternalState)
        cdef int64_t now, until, wake
        cdef int64_t start = monotonic_ns()
        cdef int looks = 0
        if not self.slack_set:      # else every sleep of this thread would be up to 50 us late
            prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
            self.slack_set = True
        until = start + <int64_t>(timeout_s * 1e9)
        while not self.states.latest(state.record):
            now = monotonic_ns()
            if now >= until:
                return None
            wake = self.newest.deadline_ns + self.newest.period_ns + self.delay_ns
            if wake <= now:
                wake = now + LOOK_AGAIN_NS if now - wake < self.newest.period_ns else now + 10 * LOOK_AGAIN_NS
            looks += 1
            wake = min(wake, until, now + LONGEST_SLEEP_NS)
            with nogil:
                sleep_until(wake)
            PyErr_CheckSignals()
        self._learn(looks)
        self.newest = state.record
        return state

    cdef void _learn(self, int looks) noexcept:
        """One sleep and the record was there: try a little sooner. More than one: later."""
        if looks == 1:
            self.delay_ns -= LOOK_AGAIN_NS // 40
        elif looks > 1:
            self.delay_ns += LOOK_AGAIN_NS // 4
        self.delay_ns = max(EARLIEST_NS, min(self.delay_ns, max(<int64_t>EARLIEST_NS, self.newest.period_ns // 4)))

    def send(self, int kind, position_deg, speed_deg_s):
        """Send a target record (ExternalKind) that answers the newest state; () leaves values at 0. False when the ring is
        full. ValueError for a wrong number of values or one that is not finite."""
        cdef ExternalTargetRecord target
        memset(&target, 0, sizeof(target))
        fill_values(target.position_deg, position_deg, self.newest.axes, "position_deg")
        fill_values(target.speed_deg_s, speed_deg_s, self.newest.axes, "speed_deg_s")
        target.sequence = self.sequence + 1
        target.cycle = self.newest.cycle
        target.time_ns = monotonic_ns()
        target.kind = kind
        target.axes = self.newest.axes
        if not self.link.send(target):
            return False
        self.sequence += 1
        return True


cdef fill_values(double* into, values, int axes, name):
    cdef int i = 0
    if len(values) not in (0, axes):
        raise ValueError(f"{name}: {len(values)} values given, the arm has {axes} axes")
    for i, value in enumerate(values):
        into[i] = value
        if not isfinite(into[i]):
            raise ValueError(f"{name}: {value} given for axis {i + 1}, a finite number is needed")
