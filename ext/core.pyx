# cython: language_level=3
# distutils: language = c++
"""The door between Python and the real-time core: start and stop the control thread, lend it a line, give it commands,
read its state. Everything behind it (the included files, in the order of the data flow) is free of Python."""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EINTR, errno
from libc.math cimport acos, cbrt, cos, exp, fabs, floor, fmax, fmin, isfinite, llrint, log1p, sin, sqrt
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memmove, memset
from posix.time cimport CLOCK_MONOTONIC, TIMER_ABSTIME, clock_gettime, clock_nanosleep, timespec
from posix.unistd cimport close, read, write

from ring cimport CommandRing64, CommandRing1024, StateReader1024, StateRing1024

import collections
import fcntl
import os
import resource
import time

include "system.pxi"
include "generated/spec.pxi"
include "generated/external.pxi"
include "external_link.pxi"
include "kinematics.pxi"
include "line_types.pxi"
include "types.pxi"
include "telegram.pxi"
include "axis.pxi"
include "inverse.pxi"
include "line.pxi"
include "path.pxi"
include "ranges.pxi"
include "safety.pxi"
include "motion.pxi"
include "estimate.pxi"
include "hand.pxi"
include "hand_jog.pxi"
include "move.pxi"
include "external.pxi"
include "gravity.pxi"
include "contact.pxi"
include "compliant.pxi"
include "modes.pxi"
include "commands.pxi"
include "cycle.pxi"
include "thread.pxi"
include "generated/state.pxi"
include "external_region.pxi"
include "live.pxi"
include "reader.pxi"
include "chain.pxi"
include "mass_model.pxi"
include "parameters.pxi"
include "control_thread.pxi"


@cython.final
cdef class Core(ControlThread):
    """The real-time core. Make one, `start` it (or `step` it on a virtual clock), `configure` and `attach` a line."""
    cdef uint32_t pushed

    # -- bus --------------------------------------------------------------------------------------------------------

    def configure(self, settings, axes, chain=None, load=None):
        """Settings of the loop (keys: SETTINGS) and of each axis (keys: AXIS_SETTINGS), for the next `attach`; `chain` as
        chain.chain_of gives it, None: where the hand is stays unknown; `load` as load.load_of gives it, None: no masses are
        known, so no hand leads the arm and no contact is found.

        RuntimeError while a line is attached; KeyError for a missing key; ValueError for a number that makes no sense."""
        cdef Settings s
        cdef AxisParameters p[MAX_AXES]
        cdef Chain joints
        cdef LoadSettings masses
        cdef int i
        if self.loop.machine.handshake.is_attached():
            raise RuntimeError("configure: detach the line first")
        if not 1 <= len(axes) <= MAX_AXES:
            raise ValueError(f"axes: {len(axes)} given, 1..{MAX_AXES} allowed")
        memset(&s, 0, sizeof(s))
        memset(p, 0, sizeof(p))
        Parameters.read(settings, len(axes), &s)
        for i, axis in enumerate(axes):
            Parameters.read_axis(axis, i + 1, s.limit_margin_deg, &p[i])
        memset(&joints, 0, sizeof(joints))
        if chain is not None:
            Kinematics.read(chain, &joints)
            if joints.joints != s.axes:
                raise ValueError(f"chain: {joints.joints} joints given, {s.axes} needed, one per axis")
        memset(&masses, 0, sizeof(masses))
        if load is not None:
            MassModel.read(load, s.axes, &masses)
        self.loop.offered_settings = s
        memcpy(self.loop.offered_parameters, p, sizeof(p))
        self.loop.offered_chain = joints
        self.loop.offered_load = masses

    def attach(self, int fd):
        """Lend the open, non-blocking line `fd` to the control thread until `detach`; it must stay open until then.

        Without a running thread the core goes on its virtual clock and `fd` is not used."""
        if self.loop.offered_settings.axes == 0:
            raise RuntimeError("attach: configure the core first")
        if self.loop.machine.handshake.is_attached():
            raise RuntimeError("attach: detach the other line first")
        if not self.loop.machine.handshake.is_running():
            self.virtual = True
            self.loop.machine.handshake.set_attached(True)
            attach_line(self.loop, -1)
            return
        if fd < 0:
            raise ValueError(f"attach: {fd} is not a file descriptor")
        os.set_blocking(fd, False)
        if wait_for_bytes(fd):
            raise OSError(errno, "attach: the line refuses its terminal settings: " + os.strerror(errno))
        self.loop.machine.handshake.set_released(False)
        self.loop.machine.handshake.set_attached(True)  # from here on the line is lent, taken yet or not
        self.loop.machine.handshake.offer(fd)

    def detach(self, double timeout_s=1.0):
        """Take the line back; returns once the control thread no longer uses it. TimeoutError when it does not let go."""
        if not self.loop.machine.handshake.is_running():
            detach_line(self.loop)
            return
        if not self.loop.machine.handshake.is_attached():
            return
        if self.loop.machine.handshake.take_offer() >= 0:   # the control thread had not seen it yet
            self.loop.machine.handshake.set_released(True)
            self.loop.machine.handshake.set_attached(False)
            return
        until = time.monotonic() + timeout_s
        self.loop.machine.handshake.take_back()
        while self.loop.machine.handshake.is_attached():
            if time.monotonic() > until:
                raise TimeoutError("detach: the control thread does not answer")
            time.sleep(0.001)

    @property
    def released(self):
        """True when the control thread has done with the line (never had one, or lost it) and wants a new bring-up."""
        return self.loop.machine.handshake.is_released()

    @property
    def bus_errno(self):
        """errno of the read or write that lost the line, 0 when it hung up or fell silent."""
        return self.loop.machine.handshake.bus_errno.load()

    def lend_region(self, region, double timeout_s=1.0):
        """Give the control thread the ExternalRegion of a program, or None; returns once it uses no other any more.
        TimeoutError when it does not answer: the region before then stays mapped. One thread only."""
        cdef ExternalLink* link = NULL
        if region is not None:
            link = (<ExternalRegion?>region).link
        self.regions.append(region)
        until = time.monotonic() + timeout_s
        self.loop.external.want(link)
        while self.loop.machine.handshake.is_running() and not self.loop.external.settled():
            if time.monotonic() > until:
                raise TimeoutError("lend_region: the control thread does not answer")
            time.sleep(0.0005)
        if not self.loop.machine.handshake.is_running():
            use_link(&self.loop.machine, self.loop.external.follow())
        self.regions = [region]

    # -- commands ---------------------------------------------------------------------------------------------------

    def push(self, int kind, *, int client=0, unsigned int mask=0, values=(), double value=0.0, int64_t asked_ns=0):
        """Put a command (modes.CommandKind) into the command ring. Returns its sequence number, 0 when the ring is full.

        `values` holds at most 8 numbers. `asked_ns` is the monotonic time when its message arrived (0: now): the cycle
        refuses a motion that was asked for too long ago. One thread only. The cycle checks everything again."""
        cdef Command command
        cdef int i
        if len(values) > MAX_AXES:
            raise ValueError(f"values: {len(values)} given, at most {MAX_AXES} allowed")
        memset(&command, 0, sizeof(command))
        for i, number in enumerate(values):
            command.values[i] = number
        command.kind = kind
        command.client = client
        command.mask = mask
        command.value = value
        command.asked_ns = asked_ns or (self.loop.machine.now_ns if self.virtual else monotonic_ns())
        command.sequence = self.pushed + 1 if self.pushed != 0xFFFFFFFF else 1
        if not self.loop.machine.commands.try_push(command):
            return 0
        self.pushed = command.sequence
        return self.pushed

    def request_stop(self):
        """Stop in the next cycle. Any thread, always; needs no room in the command ring."""
        self.loop.machine.handshake.request_stop()

    def beat(self, int64_t now_ns=0):
        """The HMI thread is alive. Once called it must be called on, at least every half second: a motion without a beat
        for a second ends softly, since nobody could stop it. `now_ns` only on a virtual clock."""
        self.loop.machine.handshake.hmi_beat_ns.store(now_ns if now_ns else monotonic_ns())

    # -- state ------------------------------------------------------------------------------------------------------

    def reader(self):
        """A new reader of the state ring, starting at the next record."""
        cdef StateReader reader = StateReader.__new__(StateReader)
        reader.reader = new StateReader1024[StateRecord](self.loop.states[0])
        reader.core = self
        return reader

    def meter(self):
        """A new Meter of positions and torques, beginning with the next record."""
        cdef Meter meter = Meter.__new__(Meter)
        meter.reader = new StateReader1024[StateRecord](self.loop.states[0])
        meter.core = self
        return meter

    def estimate(self, start_deg, moves, speed_limit_deg_s):
        """Seconds that each of `moves` takes, one after the other from `start_deg` (deg per axis) on, by the planner of the
        cycle and the limits of the latest `configure`; without power-up and settling. A move is (targets, percent):
        targets in degrees per axis, None leaves the axis where the move before left it; percent above 0, up to 100.
        `speed_limit_deg_s` holds the limits in force per axis. A move of no way takes 0 s, one of an axis that the limits
        leave no speed -1, one that no trajectory leads to -2.

        RuntimeError before the first `configure`; ValueError for numbers that do not fit the arm. Any thread, with or
        without a line."""
        cdef double start[MAX_AXES]
        cdef double target[MAX_AXES]
        cdef double limit[MAX_AXES]
        cdef AxisParameters p[MAX_AXES]
        cdef double percent, tolerance = self.loop.offered_settings.in_position_counts
        cdef unsigned int mask
        cdef int axes = self.loop.offered_settings.axes
        cdef int i
        cdef Planner* planner
        if axes == 0:
            raise RuntimeError("estimate: configure the core first")
        if len(start_deg) != axes or len(speed_limit_deg_s) != axes:
            raise ValueError(f"estimate: {len(start_deg)} positions and {len(speed_limit_deg_s)} limits given, the arm has "
                             f"{axes} axes")
        memcpy(p, self.loop.offered_parameters, sizeof(p))
        for i in range(axes):
            start[i] = start_deg[i]
            limit[i] = speed_limit_deg_s[i]
            if not (isfinite(start[i]) and isfinite(limit[i])):
                raise ValueError(f"estimate: axis {i + 1}: {start_deg[i]} deg, {speed_limit_deg_s[i]} deg/s")
        found = []
        planner = new Planner()
        try:
            for number, (targets, speed) in enumerate(moves):
                percent = speed
                if len(targets) != axes or not 0.0 < percent <= 100.0:
                    raise ValueError(f"move {number}: {len(targets)} targets at {speed} %, the arm has {axes} axes; "
                                     "percent allowed above 0, up to 100")
                mask = 0
                for i in range(axes):
                    if targets[i] is None:
                        target[i] = start[i]
                        continue
                    target[i] = targets[i]
                    mask |= 1 << i
                    if not isfinite(target[i]):
                        raise ValueError(f"move {number}: axis {i + 1}: {targets[i]} is no target")
                found.append(planned_s(planner, p, axes, tolerance, start, target, mask, limit, percent))
                memcpy(start, target, sizeof(start))
        finally:
            del planner
        return found

    def events(self):
        """All events since the last call as (time_ns, kind, a, b, c); see modes.EventKind. One thread only."""
        cdef Event item
        found = []
        while self.loop.machine.events.try_pop(item):
            found.append((item.time_ns, item.kind, item.a, item.b, item.c))
        return found

    def statistics(self):
        """Percentiles since the start, in us: lateness, run_time and answer_age, each a dict of p50, p99, p999, max,
        count."""
        return {"lateness_us": self._percentiles(self.loop.lateness),
                "run_time_us": self._percentiles(self.loop.run_time),
                "answer_age_us": self._percentiles(self.loop.answer_age)}

    cdef _percentiles(self, Histogram* histogram):
        return {"p50": histogram.percentile(0.5) / 1e3, "p99": histogram.percentile(0.99) / 1e3,
                "p999": histogram.percentile(0.999) / 1e3, "max": histogram.maximum() / 1e3,
                "count": histogram.total()}

    def clear_statistics(self):
        """Begin the histograms anew (benchmarks)."""
        self.loop.lateness.clear()
        self.loop.run_time.clear()
        self.loop.answer_age.clear()

    # -- virtual clock ----------------------------------------------------------------------------------------------

    def step(self, int64_t now_ns, bytes received):
        """Run one cycle of a core without a thread at time `now_ns` with the bytes `received`; returns the telegram."""
        cdef uint8_t transmit[TRANSMIT_SIZE]
        cdef int size
        if not self.virtual:
            raise RuntimeError("step: attach a core that has no control thread")
        use_link(&self.loop.machine, self.loop.external.follow())
        size = run_cycle(&self.loop.machine, now_ns, <const uint8_t*><const char*>received, len(received), transmit)
        publish(self.loop)
        return PyBytes_FromStringAndSize(<const char*>transmit, size)

    def run(self, step_board, int64_t now_ns, int cycles, *, int64_t period_ns, int64_t answer_ns, bytes received):
        """Run `cycles` cycles from `now_ns` on, against a board `step_board(now_ns, bytes) -> bytes` that answers
        `answer_ns` after each command. Returns (received, telegrams, records): what the next cycle receives; the command
        telegrams one behind the other, each in a slot of its full size (zeros where none was sent); the state records as
        they lie in memory, rows of spec/record.py. For tests of millions of cycles; otherwise as `step`."""
        cdef uint8_t transmit[TRANSMIT_SIZE]
        cdef StateRecord record
        cdef int slot = command_size(self.loop.machine.settings.axes)
        cdef int i, size
        cdef bytes sent
        if not self.virtual:
            raise RuntimeError("run: attach a core that has no control thread")
        telegrams = bytearray(cycles * slot)
        records = bytearray(cycles * sizeof(StateRecord))
        cdef char* telegram = telegrams
        cdef char* row = records
        for i in range(cycles):
            received = received + step_board(now_ns, b"")
            use_link(&self.loop.machine, self.loop.external.follow())
            size = run_cycle(&self.loop.machine, now_ns, <const uint8_t*><const char*>received, len(received), transmit)
            memset(&record, 0, sizeof(record))
            fill_record(&self.loop.machine, &record)
            self.loop.states.write(record)
            tell_program(&self.loop.machine)
            memcpy(telegram + i * slot, transmit, size)
            memcpy(row + i * sizeof(StateRecord), &record, sizeof(record))
            sent = PyBytes_FromStringAndSize(<const char*>transmit, size)
            received = step_board(now_ns + answer_ns, sent)
            now_ns += period_ns
        return received, telegrams, records

    def happen(self, int trigger):
        """Let a trigger of the state machine happen (modes.CommandKind or modes.Trigger) on a virtual clock: the bare
        transition. Returns modes.CommandResult OK or WRONG_STATE; RuntimeError on a core that has a control thread."""
        if not self.virtual:
            raise RuntimeError("happen: attach a core that has no control thread")
        return transition(&self.loop.machine, trigger)
