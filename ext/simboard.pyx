# distutils: language = c++
"""The simulated base board with its drives, joints, relay and battery: a pure function of time and bytes.

No clock, no file, no thread, no global state: `Board.step(now_ns, received)` is given the time and returns the bytes to
send. The pty server and the tests on a virtual clock drive the very same object. One thread at a time.
"""

from math import ceil, floor

from libc.math cimport copysign, cos, exp, fabs, isfinite, isnan, lround, round, sin, sqrt, tanh
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy, memset
from libcpp.vector cimport vector

from controller.sim import arm as model
from controller.sim import faults as table

cdef extern from "<sys/prctl.h>" nogil:
    int prctl(int option, unsigned long argument)
    int PR_SET_PDEATHSIG

include "sim_codec.pxi"
include "sim_axis.pxi"
include "sim_arm.pxi"
include "sim_load.pxi"
include "sim_registers.pxi"
include "sim_model.pxi"

cdef enum:
    MAX_FAULTS = 64
    PARTIAL_MESSAGE_NS = 100_000_000    # an unfinished register message is given up after this


def _number(name):
    """Row number of a fault; fails at import when the table and this file disagree."""
    return table.NAMES.index(name)


cdef int LOST = _number("lost"), LATE = _number("late"), DUPLICATED = _number("duplicated")
cdef int TRUNCATED = _number("truncated"), BIT_FLIPPED = _number("bit_flipped"), REORDERED = _number("reordered")
cdef int GARBAGE = _number("garbage"), WRONG_SEQUENCE = _number("wrong_sequence"), DEAF = _number("deaf")
cdef int SILENCE = _number("silence"), HANG_UP = _number("hang_up"), SLOW_ANSWERS = _number("slow_answers")
cdef int MISSING_REGISTER = _number("missing_register"), WRONG_REGISTER = _number("wrong_register")
cdef int NO_SETUP = _number("setup_needed"), NO_CONNECTION = _number("not_connected")
cdef int WAITING_FAULT = _number("drive_waiting")
cdef int ERROR_FAULT = _number("drive_error"), WARNING_FAULT = _number("drive_warning")
cdef int SENSOR_STUCK = _number("sensor_stuck"), SENSOR_JUMP = _number("sensor_jump")
cdef int SENSOR_WRAP = _number("sensor_wrap"), DRIFT = _number("drift"), BLOCKED = _number("blocked")
cdef int HAND_FORCE = _number("hand_force"), OUTSIDE_TORQUE = _number("outside_torque")
cdef int TORQUE_OFFSET = _number("torque_offset")
cdef int WELDED = _number("welded_relay"), STUCK_OPEN = _number("relay_stuck_open")
cdef int CHATTER = _number("relay_chatter"), WITHOUT_EDGE = _number("relay_without_edge")
cdef int ENABLE_STUCK = _number("enable_stuck"), BUTTON = _number("button")
cdef int LOW_BATTERY = _number("low_battery"), HIGH_BATTERY = _number("high_battery")
assert len(table.FAULTS) <= MAX_FAULTS


def die_with_parent(int signal_number):
    """Asks the kernel to send this process that signal when the thread that started it ends. OSError when refused."""
    if prctl(PR_SET_PDEATHSIG, signal_number) != 0:
        raise OSError("prctl(PR_SET_PDEATHSIG) was refused")


cdef class Board:
    """The simulated arm. Axes 1..8; `options` are the rows of controller.sim.arm.OPTIONS, and start_deg (a sequence).

    Equal arguments and an equal series of calls give equal bytes.
    """

    cdef Arm arm
    cdef FaultSlot fault[MAX_FAULTS][MAX_AXES + 1]
    cdef uint64_t fault_random
    cdef bint started
    cdef bint timed_faults
    cdef vector[uint8_t] heard          # received, not yet used
    cdef vector[uint8_t] answer         # what this step sends
    cdef int64_t heard_byte_ns
    cdef bint read_only[ADDRESSES]
    cdef double value[ADDRESSES]
    cdef list texts
    cdef readonly int update_orders     # how often register 6 was written
    cdef list waiting                   # [(due_ns, bytes)] of late answers
    cdef bytes swapped                  # an answer held back until the next one is sent

    def __init__(self, int axes=4, object seed=0, *, start_deg=None, serial_number=model.SERIAL_NUMBER, **options):
        if not 1 <= axes <= MAX_AXES:
            raise ValueError(f"axes {axes} is outside 1..{MAX_AXES}")
        memset(&self.arm, 0, sizeof(Arm))
        memset(&self.fault, 0, sizeof(self.fault))
        self.arm.axes = axes
        self.arm.noise_random = <uint64_t>(int(seed) & 0xFFFFFFFFFFFFFFFF)
        self.fault_random = self.arm.noise_random ^ <uint64_t>0xA5A5A5A5A5A5A5A5
        self.texts = [""] * 10
        self.waiting = []
        self.swapped = None
        self.started = False
        values = checked_options(options)
        load_options(&self.arm, values)
        load_axes(&self.arm, start_deg, values["gravity_scale"])
        self._load_registers(serial_number)
        apply_faults(self)

    def _load_registers(self, serial_number):
        cdef Axis* a
        memset(self.read_only, 0, sizeof(self.read_only))
        memset(self.value, 0, sizeof(self.value))
        self.texts[1], self.texts[2], self.texts[7] = str(serial_number), str(self.arm.axes), model.BOARD_VERSION
        for i in range(self.arm.axes):
            a = &self.arm.axis[i]
            rows = ((130, a.resolution), (140, a.zero), (160, a.count_minimum), (170, a.count_maximum),
                    (200, a.stroke), (220, a.conversion), (400, a.inverted))
            for base, value in rows:
                self.value[<int>base + <int>i] = value
                self.read_only[<int>base + <int>i] = True
        for base in (130, 140, 160, 170, 200, 220, 400):
            for i in range(self.arm.axes, MAX_AXES):
                self.value[<int>base + <int>i] = float("nan")  # an axis that is not there has no answer
                self.read_only[<int>base + <int>i] = True
        self.value[230], self.value[231] = model.SPRING_OFFSET_COUNTS, model.SPRING_STIFFNESS_COUNTS_PER_DEG
        for address in (1, 2, 7, 230, 231):
            self.read_only[<int>address] = True

    # -- time and bytes

    def step(self, int64_t now_ns, bytes received=b"") -> bytes:
        """Advances to now_ns, takes the received bytes as arrived then, returns the bytes to send.

        The first call only sets the time. ValueError when time runs backwards.
        """
        cdef const uint8_t* data = received
        cdef size_t size = len(received)
        if not self.started:
            self.started = True
            self._start(now_ns)
        if now_ns < self.arm.now_ns:
            raise ValueError(f"time runs backwards: {now_ns} ns after {self.arm.now_ns} ns")
        if self.timed_faults:
            self._advance_with_expiry(now_ns)
        else:
            advance(&self.arm, now_ns)
        self.answer.clear()
        if self.fault[HANG_UP][0].on:
            self.heard.clear()
            self.waiting.clear()
            self.swapped = None
            return b""
        if self.waiting:
            self._send_waiting()
        if (self.heard.size() and self.arm.phase == REGISTER_PHASE
                and now_ns - self.heard_byte_ns > PARTIAL_MESSAGE_NS):
            self.arm.counters.malformed += 1
            self.heard.clear()
        if size:
            self.heard.insert(self.heard.end(), data, data + size)
            self.heard_byte_ns = now_ns
        if self.heard.size():
            self._read()
        return self.answer.data()[:self.answer.size()] if self.answer.size() else b""

    cdef void _start(self, int64_t now_ns) noexcept:
        """The first time given is time zero, also of faults switched on before it."""
        cdef int f, i
        self.arm.start_ns = self.arm.now_ns = self.heard_byte_ns = now_ns
        for f in range(MAX_FAULTS):
            for i in range(MAX_AXES + 1):
                if self.fault[f][i].until_ns:
                    self.fault[f][i].until_ns += now_ns

    cdef int _advance_with_expiry(self, int64_t now_ns) except -1:
        """Stops at the end of every fault that is limited in time."""
        cdef int64_t next_ns, until
        cdef bint ended
        cdef int f, i
        while True:
            next_ns = now_ns
            for f in range(MAX_FAULTS):
                for i in range(MAX_AXES + 1):
                    until = self.fault[f][i].until_ns
                    if self.fault[f][i].on and until and until < next_ns:
                        next_ns = until
            advance(&self.arm, next_ns)
            ended = False
            for f in range(MAX_FAULTS):
                for i in range(MAX_AXES + 1):
                    until = self.fault[f][i].until_ns
                    if self.fault[f][i].on and until and until <= next_ns:
                        self.fault[f][i].on = False
                        ended = True
            if ended:
                apply_faults(self)
            if next_ns >= now_ns:
                return 0

    cdef int _read(self) except -1:
        """Uses up what was heard, message by message; the phase may change in between."""
        cdef size_t used = 0, size = self.heard.size(), taken
        cdef uint8_t* data = self.heard.data()
        cdef bint found
        cdef Message message
        while used < size:
            if self.arm.phase == CYCLIC_PHASE:
                used += find_command(&self.arm, data + used, size - used, &found)
                if not found:
                    break
                if not self._hit(DEAF):
                    self._cycle(data + used)
                used += 8 + 10 * self.arm.axes
            else:
                taken = find_message(data + used, size - used, self.read_only, &message)
                if message.kind == NEED_MORE:
                    break
                if message.kind == MALFORMED:
                    self.arm.counters.malformed += 1
                elif not self._hit(DEAF):
                    self._register(&message)
                used += taken
        self.heard.erase(self.heard.begin(), self.heard.begin() + used)
        return 0

    cdef int _cycle(self, const uint8_t* telegram) except -1:
        cdef uint8_t state[MAX_STATE_BYTES]
        cdef uint8_t sequence = telegram[2]
        cdef size_t size
        cdef bint leave = (telegram[3] & FLAG_LEAVE) != 0
        obey(&self.arm, telegram)
        if self._hit(WRONG_SEQUENCE):
            sequence = <uint8_t>(sequence + <int>self.fault[WRONG_SEQUENCE][0].first)
        size = put_state(&self.arm, sequence, state)
        self.arm.counters.state_telegrams += 1
        self._send(state, size)
        if leave:
            to_register_phase(&self.arm)
        return 0

    cdef int _register(self, Message* message) except -1:
        cdef int address = message.address
        if message.kind == REQUEST:
            if message.value != 0.0 or isnan(self.value[address]):
                self.arm.counters.refused_registers += 1
                return 0
        elif message.kind == TEXT:
            self.texts[address] = message.text[:message.text_size].decode("utf-8", "replace")
            self.update_orders += address == 6
        elif not value_fits(address, message.value):
            self.arm.counters.refused_registers += 1
            return 0
        else:
            self.value[address] = message.value
        self._answer_register(address)
        if address == 10 and message.kind == NUMBER and message.value == 8.0:
            for i in range(MAX_AXES + 1):
                self.fault[NO_SETUP][i].on = False  # the board sets its drives up again
            apply_faults(self)
            to_cyclic_phase(&self.arm)
        return 0

    cdef int _answer_register(self, int address) except -1:
        cdef double value = self.value[address]
        cdef bytes line
        cdef char number[32]
        if self.fault[MISSING_REGISTER][0].on and self.fault[MISSING_REGISTER][0].first == address:
            return 0
        if self.fault[WRONG_REGISTER][0].on and self.fault[WRONG_REGISTER][0].first == address:
            value = self.fault[WRONG_REGISTER][0].second
        elif address < 10:
            line = f"#{address}:{self.texts[address]}*\r\n".encode()
            self._send_line(line)
            return 0
        if 200 <= address < 400:
            snprintf(number, sizeof(number), "%.9g", value)  # 9 digits bring every float32 back
        else:
            snprintf(number, sizeof(number), "%lld", <long long>value)
        line = b"#%d:%s*\r\n" % (address, <bytes>number)
        self._send_line(line)
        return 0

    cdef int _send_line(self, bytes line) except -1:
        cdef bytearray scratch = bytearray(line)
        self.arm.counters.register_answers += 1
        self._send(<uint8_t*><char*>scratch, len(line))
        return 0

    # -- what the line does to an answer

    cdef bint _hit(self, int number) noexcept nogil:
        """Whether a fault of telegrams strikes now; counts down one that was given for the next n."""
        cdef FaultSlot* slot = &self.fault[number][0]
        if not slot.on:
            return False
        if slot.probability < 1.0 and next_uniform(&self.fault_random) >= slot.probability:
            return False
        if slot.count:
            slot.count -= 1
            slot.on = slot.count != 0
        return True

    cdef void _append(self, const uint8_t* data, size_t size) noexcept nogil:
        self.answer.insert(self.answer.end(), data, data + size)

    cdef int _send(self, uint8_t* data, size_t size) except -1:
        """Sends an answer through the faults of the line. May change the bytes at data."""
        cdef double delay_ms = 0.0
        cdef bint hold
        cdef int i
        cdef size_t at
        cdef bytes copy
        cdef uint8_t byte
        if self.fault[SILENCE][0].on or self._hit(LOST):
            return 0
        if self._hit(TRUNCATED):
            at = <size_t>self.fault[TRUNCATED][0].first
            if at == 0:
                at = 1 + <size_t>(next_uniform(&self.fault_random) * (size - 1))
            size = min(size - 1, at)
        if self._hit(BIT_FLIPPED):
            for i in range(<int>self.fault[BIT_FLIPPED][0].first):
                at = <size_t>(next_uniform(&self.fault_random) * size * 8)
                data[at >> 3] ^= <uint8_t>(1 << (at & 7))
        if self.fault[SLOW_ANSWERS][0].on and self.arm.phase == REGISTER_PHASE:
            delay_ms = self.fault[SLOW_ANSWERS][0].first
        if self._hit(LATE):
            delay_ms += self.fault[LATE][0].first
        if delay_ms > 0.0:
            self.waiting.append((self.arm.now_ns + <int64_t>(delay_ms * 1e6), data[:size]))
            return 0
        hold = self.swapped is None and self._hit(REORDERED)
        if hold:
            self.swapped = data[:size]
            return 0
        if self._hit(GARBAGE):
            for i in range(<int>self.fault[GARBAGE][0].first):
                byte = <uint8_t>(next_random(&self.fault_random) & 0xFF)
                self.answer.push_back(byte)
        self._append(data, size)
        if self._hit(DUPLICATED):
            self._append(data, size)
        if self.swapped is not None:
            copy = self.swapped
            self.swapped = None
            self._append(<const uint8_t*><const char*>copy, len(copy))
        return 0

    cdef int _send_waiting(self) except -1:
        cdef bytes data
        due = sorted((entry for entry in self.waiting if entry[0] <= self.arm.now_ns), key=lambda entry: entry[0])
        self.waiting = [entry for entry in self.waiting if entry[0] > self.arm.now_ns]
        if self.fault[SILENCE][0].on:
            return 0
        for _, data in due:
            self._append(<const uint8_t*><const char*>data, len(data))
        return 0

    # -- faults

    def set_fault(self, str name, on=True, axis=0, **params):
        """Switches a named fault of controller.sim.faults.FAULTS on or off, from now on.

        `axis` is 1-based, 0 = every axis. ValueError naming the parameter and what is allowed; nothing changes then.
        """
        switch_fault(self, name, on, axis, params)

    def clear_faults(self, name=None):
        """Switches every fault off, or the one named. A latched drive error stays until the controller clears it."""
        end_faults(self, name)

    def faults(self) -> tuple:
        """((name, axis), ...) of the faults that are on; axis 0 for those that have none."""
        return tuple([(row.name, i) for f, row in enumerate(table.FAULTS) for i in range(MAX_AXES + 1)
                      if self.fault[<int>f][<int>i].on])

    @property
    def hung_up(self) -> bool:
        """Whether the line is unplugged."""
        return bool(self.fault[HANG_UP][0].on)

    @property
    def due_ns(self) -> int:
        """When the next held-back answer is due; -1 without one."""
        return min((entry[0] for entry in self.waiting), default=-1)

    # -- the truth, for tests

    @property
    def axes(self) -> int:
        return self.arm.axes

    def register(self, int address):
        """What a register holds: str for 1..9, float otherwise. ValueError outside 1..599."""
        if not 1 <= address < ADDRESSES:
            raise ValueError(f"register {address}: addresses are 1..{ADDRESSES - 1}")
        return self.texts[address] if address < 10 else self.value[address]

    def set_version(self, str version):
        """What register 7 shows from now on: other firmware runs."""
        self.texts[7] = version

    def truth(self) -> dict:
        """How the arm really is, whatever it reports: the stub names the fields."""
        return truth_of(&self.arm)

    def maxima(self) -> dict:
        """Running extremes since the start or reset_maxima(), one value per axis.

        command_speed_deg_s: highest speed commanded in the speed modes. command_change_deg_s: largest step of it from
        one valid telegram to the next; on entering a speed mode, from the joint's true speed. speed_deg_s, lowest_deg
        and highest_deg: of the true joint.
        """
        return maxima_of(&self.arm)

    def reset_maxima(self):
        forget_maxima(&self.arm)

    def flag_log(self) -> list:
        """[(time_ns, flags), ...] of the last 256 changes of the command flags, oldest first."""
        return flag_log_of(&self.arm)


include "sim_faults.pxi"
