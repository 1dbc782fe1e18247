# Readers of the state ring, as Python has them.

cdef bint tells_more(const StateRecord* one, const StateRecord* before) noexcept nogil:
    """Does a record differ from the one before in something that may show in that record only?"""
    return (one.state != before.state or one.mode != before.mode or one.bus_state != before.bus_state
            or one.fault_count != before.fault_count or one.commands_done != before.commands_done or one.commands_refused != before.commands_refused
            or one.last_command != before.last_command or one.last_command_result != before.last_command_result
            or one.stops != before.stops or one.axes != before.axes or one.motor_power != before.motor_power
            or memcmp(one.faults, before.faults, sizeof(one.faults)) != 0
            or memcmp(one.error_code, before.error_code, sizeof(one.error_code)) != 0
            or memcmp(one.warning_code, before.warning_code, sizeof(one.warning_code)) != 0)


@cython.final
cdef class StateReader:
    """One reader of the state ring, for one thread. `lost` counts the records it was too slow for."""
    cdef StateReader1024[StateRecord]* reader
    cdef StateRecord told   # last record that `changes` has read
    cdef object core    # keeps the ring alive

    def __init__(self):
        raise TypeError("StateReader: Core.reader() makes them")

    def __dealloc__(self):
        del self.reader

    @property
    def lost(self):
        return self.reader.lost()

    def latest(self):
        """The newest record not read yet, or None."""
        cdef State state = State.__new__(State)
        return state if self.reader.latest(state.record) else None

    def next(self):
        """The oldest record not read yet, or None."""
        cdef State state = State.__new__(State)
        return state if self.reader.next(state.record) else None

    def changes(self):
        """(news, newest) of all records not read yet: `news` are those whose state, mode, faults, drive codes, counts or
        last command differ from the record before them, `newest` is the last one, None where there was none."""
        cdef StateRecord record
        cdef State state
        cdef list news = []
        cdef bint any = False
        while self.reader.next(record):
            any = True
            if tells_more(&record, &self.told):
                state = State.__new__(State)
                state.record = record
                news.append(state)
            self.told = record
        if not any:
            return news, None
        state = State.__new__(State)
        state.record = self.told
        return news, state


@cython.final
cdef class Meter:
    """Means over every telegram of a time, not over what a slow reader happens to see: joint positions, torque counts and
    the largest torques. For one thread, which calls `take` more often than the ring goes round (a second at 1 kHz)."""
    cdef StateReader1024[StateRecord]* reader
    cdef object core    # keeps the ring alive
    cdef uint64_t telegram
    cdef int64_t samples
    cdef int axes
    cdef double position[MAX_AXES]
    cdef double torque[MAX_AXES]
    cdef double largest[MAX_AXES]

    def __init__(self):
        raise TypeError("Meter: Core.meter() makes them")

    def __dealloc__(self):
        del self.reader

    def clear(self):
        """Begin anew with the next record."""
        self.skip()
        self.samples = 0
        memset(self.position, 0, sizeof(self.position))
        memset(self.torque, 0, sizeof(self.torque))
        memset(self.largest, 0, sizeof(self.largest))

    def skip(self):
        """Leave out what has come."""
        cdef StateRecord record
        while self.reader.next(record):
            self.telegram = record.valid_telegrams

    def take(self):
        """Take what has come; returns how many telegrams there were since `clear`."""
        cdef StateRecord record
        cdef int i
        while self.reader.next(record):
            if record.valid_telegrams == self.telegram:
                continue    # the same feedback once more
            self.telegram = record.valid_telegrams
            self.axes = record.axes
            self.samples += 1
            for i in range(record.axes):
                self.position[i] += record.position_deg[i]
                self.torque[i] += record.torque_counts[i]
                self.largest[i] = fmax(self.largest[i], fabs(record.torque_counts[i]))
        return self.samples

    def means(self):
        """(telegrams, mean joint positions in deg, mean torque counts, largest torque counts without their sign), each
        per axis, of what was taken since `clear`; empty where nothing came."""
        cdef int i, axes = self.axes if self.samples else 0
        cdef double count = <double>self.samples
        return (self.samples, tuple([self.position[i] / count for i in range(axes)]),
                tuple([self.torque[i] / count for i in range(axes)]), tuple([self.largest[i] for i in range(axes)]))
