# The base board: power relay, emergency button, battery, watchdog, phase; and what a valid telegram does to it.

cdef enum:
    REGISTER_PHASE = 0
    CYCLIC_PHASE = 1
    FLAG_ENABLE = 1
    FLAG_QUICK_STOP = 2
    FLAG_CLEAR_ERRORS = 4
    FLAG_LEAVE = 8
    MAX_STATE_BYTES = 24 * MAX_AXES + 12
    LOG_SIZE = 256


cdef struct FaultSlot:
    bint on
    double probability
    int64_t count                       # hits left, 0 = without end
    int64_t until_ns                    # 0 = until cleared
    double first
    double second
    double third


cdef struct Counters:
    uint64_t valid_commands
    uint64_t crc_errors
    uint64_t garbage_bytes
    uint64_t bad_values
    uint64_t malformed
    uint64_t refused_registers
    uint64_t register_answers
    uint64_t state_telegrams
    uint64_t watchdog_trips
    uint64_t fallbacks
    uint64_t bring_ups


cdef struct Arm:
    int axes
    Axis axis[MAX_AXES]
    Drive drive
    double hand_offset[3]               # from the last joint, m
    double hand[3]                      # where the hand is, m, base frame
    double gravity_m_s2
    double hand_force_n[3]              # base frame
    int64_t relay_ns
    int64_t watchdog_ns
    int64_t fallback_ns
    double idle_drain
    double load_drain
    uint64_t noise_random
    # state
    int64_t start_ns
    int64_t now_ns
    int64_t heard_ns                    # last valid command
    int phase
    bint enable_commanded
    bint quick_stop
    bint tripped                        # the watchdog has opened the relay
    bint enable_must_fall               # after a trip, power comes back only by a new enable edge
    bint relay_wanted
    bint drawn                          # the relay has drawn its contacts together
    bint contacts                       # they conduct
    int64_t relay_due_ns
    double battery
    double last_dt
    double gain
    int last_flags
    # faults that act on the board
    bint pressed
    bint welded
    bint stuck_open
    bint enable_stuck
    bint without_edge
    int64_t chatter_period_ns
    int64_t chatter_open_ns             # 0 = no chatter
    double battery_override             # mV, negative = none
    Counters counters
    # the last changes of the command flags: time, flags
    uint64_t log_count
    int64_t log_ns[LOG_SIZE]
    int log_flags[LOG_SIZE]


cdef inline bint enable_seen(const Arm* arm) noexcept nogil:
    return arm.enable_commanded or arm.enable_stuck


cdef double battery_mv(const Arm* arm) noexcept nogil:
    """Terminal voltage: sags by 0.1 mV per torque count of load."""
    cdef double mv = arm.battery_override if arm.battery_override >= 0.0 else arm.battery
    cdef int i
    for i in range(arm.axes):
        mv -= 0.1 * fabs(arm.axis[i].torque)
    return min(max(mv, 0.0), 65535.0)


cdef inline bint chattering(const Arm* arm) noexcept nogil:
    """Whether the contacts have parted for the moment: at the end of every period since the start."""
    return (arm.chatter_open_ns > 0 and (arm.now_ns - arm.start_ns) % arm.chatter_period_ns
            >= arm.chatter_period_ns - arm.chatter_open_ns)


cdef void relay_step(Arm* arm) noexcept nogil:
    cdef bint wanted = (enable_seen(arm) and not arm.pressed and not arm.tripped and not arm.enable_must_fall
                        and arm.phase == CYCLIC_PHASE)
    if wanted != arm.relay_wanted:
        arm.relay_wanted = wanted
        arm.relay_due_ns = arm.now_ns + arm.relay_ns
    if arm.welded or arm.stuck_open:
        arm.drawn = arm.welded
        arm.relay_due_ns = arm.now_ns + arm.relay_ns
    elif arm.drawn != wanted and arm.now_ns >= arm.relay_due_ns:
        arm.drawn = wanted
    arm.contacts = arm.drawn and (arm.welded or not chattering(arm))


cdef void to_register_phase(Arm* arm) noexcept nogil:
    """Nothing of the last command survives."""
    cdef int i
    arm.phase = REGISTER_PHASE
    arm.enable_commanded = arm.quick_stop = arm.tripped = arm.enable_must_fall = False
    for i in range(arm.axes):
        take_command(&arm.axis[i], &arm.drive, DRIVER_OFF, TARGET_NONE, 0.0, 0.0)


cdef void to_cyclic_phase(Arm* arm) noexcept nogil:
    """Drives are set up anew: errors whose cause is gone are forgotten."""
    cdef int i
    arm.phase = CYCLIC_PHASE
    arm.heard_ns = arm.now_ns
    arm.last_flags = 0
    arm.counters.bring_ups += 1
    for i in range(arm.axes):
        clear_error(&arm.axis[i])


cdef void watchdog_step(Arm* arm) noexcept nogil:
    cdef int64_t silent
    if arm.phase != CYCLIC_PHASE:
        return
    silent = arm.now_ns - arm.heard_ns
    if silent > arm.watchdog_ns and not arm.tripped:
        arm.tripped = arm.enable_must_fall = True
        arm.counters.watchdog_trips += 1
    if silent > arm.fallback_ns:
        arm.counters.fallbacks += 1
        to_register_phase(arm)


cdef void arm_step(Arm* arm, int64_t substep_ns) noexcept nogil:
    """Advances everything by one substep."""
    cdef double dt = substep_ns * 1e-9, load = 0.0
    cdef int i
    if dt != arm.last_dt:
        arm.last_dt = dt
        arm.gain = 1.0 - exp(-dt / arm.drive.lag_s) if arm.drive.lag_s > 0.0 else 1.0
    arm.now_ns += substep_ns
    watchdog_step(arm)
    relay_step(arm)
    load_step(arm)
    for i in range(arm.axes):
        axis_step(&arm.axis[i], &arm.drive, arm.contacts, arm.quick_stop or arm.tripped, dt, arm.gain)
        load += fabs(arm.axis[i].torque)
    arm.battery = max(0.0, arm.battery - (arm.idle_drain + arm.load_drain * load) * dt)


cdef void advance(Arm* arm, int64_t now_ns) noexcept nogil:
    """To now_ns in equal substeps of at most 1 ms."""
    cdef int64_t left = now_ns - arm.now_ns, steps
    steps = (left + 999999) // 1000000
    while steps > 0:
        left = now_ns - arm.now_ns
        arm_step(arm, left // steps)
        steps -= 1


cdef size_t find_command(Arm* arm, const uint8_t* data, size_t size, bint* found) noexcept nogil:
    """Bytes to drop from the front of data; with `found` a valid telegram stands right behind them.

    A telegram that is only partly there stays. Behind a false header the search goes on one byte further, so no valid
    telegram that follows garbage is lost.
    """
    cdef size_t length = 8 + 10 * arm.axes, at = 0
    found[0] = False
    while at < size:
        if data[at] != 0xFF or (at + 1 < size and data[at + 1] != 0xFF):
            at += 1
            continue
        if size - at < length:
            break
        if get_u32(data + at + length - 4) == crc32_of(data + at, length - 4):
            found[0] = True
            break
        arm.counters.crc_errors += 1
        at += 1
    arm.counters.garbage_bytes += at
    return at


cdef void obey(Arm* arm, const uint8_t* p) noexcept nogil:
    """A valid command telegram. Values that are not numbers or unknown types become 'no target' and are counted."""
    cdef int flags = p[3], i, kind
    cdef const uint8_t* block
    cdef double target, offset
    arm.counters.valid_commands += 1
    arm.heard_ns = arm.now_ns
    arm.tripped = False
    arm.enable_commanded = (flags & FLAG_ENABLE) != 0
    if not arm.enable_commanded or arm.without_edge:
        arm.enable_must_fall = False
    arm.quick_stop = (flags & FLAG_QUICK_STOP) != 0
    if flags != arm.last_flags or arm.log_count == 0:
        arm.log_ns[arm.log_count % LOG_SIZE] = arm.now_ns
        arm.log_flags[arm.log_count % LOG_SIZE] = flags
        arm.log_count += 1
        arm.last_flags = flags
    for i in range(arm.axes):
        block = p + 4 + 6 * i
        kind = block[1]
        target = get_f32(block + 2)
        offset = get_f32(p + 4 + 6 * arm.axes + 4 * i)
        if kind > TARGET_TORQUE or not isfinite(target) or not isfinite(offset):
            arm.counters.bad_values += 1
            kind = TARGET_NONE
            target = offset = 0.0
        take_command(&arm.axis[i], &arm.drive, block[0], kind, target, offset)
        if flags & FLAG_CLEAR_ERRORS:
            clear_error(&arm.axis[i])


cdef size_t put_state(Arm* arm, uint8_t sequence, uint8_t* p) noexcept nogil:
    """The state telegram; returns its length."""
    cdef int i
    cdef uint8_t* t = p + 24 * arm.axes
    for i in range(arm.axes):
        put_axis(&arm.axis[i], i + 1, arm.contacts, arm.drive.noise_counts * next_normal(&arm.noise_random),
                 p + 24 * i)
    t[0] = 0xF5
    t[1] = sequence
    t[2] = <uint8_t>((0 if arm.pressed else 1) | (2 if arm.contacts else 0) | (4 if enable_seen(arm) else 0))
    t[3] = 0
    put_u16(t + 4, <uint16_t>battery_mv(arm))
    put_u16(t + 6, <uint16_t>(((arm.now_ns - arm.start_ns) // 1000000) & 0xFFFF))
    put_u32(t + 8, crc32_of(p, 24 * arm.axes + 8))
    return 24 * arm.axes + 12
