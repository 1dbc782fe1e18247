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
