# Telegrams of the motor bus: received bytes -> feedback, set-points -> command telegram. Offsets: spec/telegram.py.
#
# The received bytes are a stream. Every complete valid telegram is taken out of it; after garbage each byte offset is
# tried in turn, so the first telegram that follows is found and none is lost.

cdef inline int state_size(int axes) noexcept nogil:
    return BLOCK_SIZE * axes + TRAILER_SIZE


cdef inline int command_size(int axes) noexcept nogil:
    return COMMAND_AXES + (COMMAND_AXIS_SIZE + COMMAND_TORQUE_SIZE) * axes + CRC32_SIZE


cdef inline int check_telegram(const uint8_t* data, int axes) noexcept nogil:
    """-1 when `data` begins with a valid state telegram for `axes` axes, else the BUS_FAULT kind of its first defect.

    The cheap tests come first, so that hunting through garbage costs little."""
    cdef int i
    cdef const uint8_t* block
    cdef float frequency
    cdef uint32_t crc
    for i in range(axes):
        block = data + BLOCK_SIZE * i
        if block[BLOCK_HEADER] != 0xFF:
            return BUS_FAULT_AXIS_HEADER
        if block[BLOCK_AXIS] != i + 1:
            return BUS_FAULT_AXIS_NUMBER
        if not (block[BLOCK_FOOTER] & block[BLOCK_FOOTER + 1] & block[BLOCK_FOOTER + 2] & block[BLOCK_FOOTER + 3]
                & block[BLOCK_FOOTER + 4]) == 0xFF:
            return BUS_FAULT_AXIS_FOOTER
    block = data + BLOCK_SIZE * axes
    if block[0] != TRAILER_HEADER:
        return BUS_FAULT_TRAILER_HEADER
    if not crc8_blocks_ok(data, axes, BLOCK_SIZE):
        return BUS_FAULT_AXIS_CRC
    memcpy(&crc, block + TRAILER_CRC32, 4)
    if crc != crc32(data, BLOCK_SIZE * axes + TRAILER_CRC32):
        return BUS_FAULT_TRAILER_CRC
    for i in range(axes):
        block = data + BLOCK_SIZE * i
        if popcount8(block[BLOCK_STATUS]) & 1:
            return BUS_FAULT_AXIS_PARITY
        memcpy(&frequency, block + BLOCK_FREQUENCY, 4)
        if not isfinite(frequency):
            return BUS_FAULT_VALUE
        if block[BLOCK_STATE_MODE] >> 4 > DRIVER_STATE_ERROR or block[BLOCK_STATE_MODE] & 0x0F > DRIVER_MODE_HIGHEST:
            return BUS_FAULT_VALUE
    return -1


cdef inline void read_telegram(Machine* m, const uint8_t* data) noexcept nogil:
    """Feedback out of a telegram that `check_telegram` found valid."""
    cdef int i
    cdef const uint8_t* block
    cdef Axis* axis
    for i in range(m.settings.axes):
        block = data + BLOCK_SIZE * i
        axis = &m.axis[i]
        axis.status = block[BLOCK_STATUS]
        axis.driver_state = block[BLOCK_STATE_MODE] >> 4
        axis.driver_mode = block[BLOCK_STATE_MODE] & 0x0F
        memcpy(&axis.error_code, block + BLOCK_ERROR, 2)
        memcpy(&axis.warning_code, block + BLOCK_WARNING, 2)
        memcpy(&axis.position_counts, block + BLOCK_POSITION, 2)
        memcpy(&axis.torque_counts, block + BLOCK_TORQUE, 2)
        memcpy(&axis.frequency, block + BLOCK_FREQUENCY, 4)
        memcpy(&axis.drive_target, block + BLOCK_TARGET, 2)
    block = data + BLOCK_SIZE * m.settings.axes
    m.bus.inputs = block[TRAILER_INPUTS]
    memcpy(&m.bus.battery_mv, block + TRAILER_BATTERY, 2)
    memcpy(&m.bus.clock_ms, block + TRAILER_CLOCK, 2)


cdef inline void accept_telegram(Machine* m, const uint8_t* data) noexcept nogil:
    """Sort a valid telegram by the sequence number it answers: on time, late (used), or too old and repeated (not)."""
    cdef Bus* bus = &m.bus
    cdef uint8_t echo = data[BLOCK_SIZE * m.settings.axes + TRAILER_SEQUENCE]
    cdef int age = <uint8_t>(bus.sequence - echo)
    # Times tell what is newer: sequence numbers wrap within the longest silence that may be configured.
    cdef int64_t asked_ns = bus.sent_ns[echo]
    if bus.sample_ns >= 0 and asked_ns == bus.sample_ns:
        bus.faults[BUS_FAULT_REPEATED] += 1
        return
    if age > 1 or asked_ns < bus.sample_ns or bus.attached_ns < 0 or asked_ns < bus.attached_ns:
        bus.faults[BUS_FAULT_SEQUENCE] += 1
        return
    if age == 1:
        bus.faults[BUS_FAULT_LATE] += 1
    bus.answered = echo
    bus.sample_ns = asked_ns
    bus.valid_ns = m.now_ns
    bus.fresh = True
    bus.valid += 1
    if bus.first_valid_ns < 0:
        bus.first_valid_ns = m.now_ns
    read_telegram(m, data)


cdef void receive(Machine* m, const uint8_t* data, int size) noexcept nogil:
    """Append received bytes to the stream and take every complete valid telegram out of it.

    What one read can give always fits; of more than that (virtual clock) the newest bytes are kept."""
    cdef Bus* bus = &m.bus
    cdef int length = state_size(m.settings.axes)
    cdef int offset = 0, defect
    bus.fresh = False
    if size > RECEIVE_SIZE:
        bus.faults[BUS_FAULT_OVERFLOW] += 1
        bus.filled = 0
        bus.aligned = False
        data += size - RECEIVE_SIZE
        size = RECEIVE_SIZE
    memcpy(bus.buffer + bus.filled, data, size)
    bus.filled += size
    while bus.filled - offset >= length:
        defect = check_telegram(bus.buffer + offset, m.settings.axes)
        if defect < 0:
            accept_telegram(m, bus.buffer + offset)
            offset += length
            bus.aligned = True
            continue
        if bus.aligned:
            bus.faults[defect] += 1
            bus.aligned = False
        bus.faults[BUS_FAULT_GARBAGE_BYTES] += 1
        offset += 1
    bus.filled -= offset
    if offset and bus.filled:
        memmove(bus.buffer, bus.buffer + offset, bus.filled)


cdef int build_command(uint8_t* out, int axes, uint8_t sequence, uint8_t flags, const uint8_t* modes,
                       const uint8_t* types, const float* targets, const float* torque_offsets) noexcept nogil:
    """Write a command telegram for `axes` axes to `out`; returns its size in bytes."""
    cdef int i
    cdef uint8_t* at = out + COMMAND_AXES
    cdef uint32_t crc
    out[0] = 0xFF
    out[1] = 0xFF
    out[COMMAND_SEQUENCE] = sequence
    out[COMMAND_FLAGS] = flags
    for i in range(axes):
        at[0] = modes[i]
        at[1] = types[i]
        memcpy(at + 2, &targets[i], 4)
        at += COMMAND_AXIS_SIZE
    memcpy(at, torque_offsets, COMMAND_TORQUE_SIZE * axes)
    at += COMMAND_TORQUE_SIZE * axes
    crc = crc32(out, at - out)
    memcpy(at, &crc, CRC32_SIZE)
    return <int>(at - out) + CRC32_SIZE
