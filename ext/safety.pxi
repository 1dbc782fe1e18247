# Faults, the emergency stop monitor (ESM), the emergency stop supervisor (ESS), and what the arm does about them.

cdef double ALLOWED_S = 0.5              # in which a speed that was allowed fades


cdef void event(Machine* m, uint32_t kind, uint32_t a, uint32_t b, uint32_t c) noexcept nogil:
    """Tell the history; when nobody reads it the event is counted as dropped, never waited for."""
    cdef Event item
    item.time_ns = m.now_ns
    item.kind = kind
    item.a = a
    item.b = b
    item.c = c
    if not m.events.try_push(item):
        m.events_dropped += 1


cdef inline uint32_t fault_key(int code, int axis, flag warning) noexcept nogil:
    return <uint32_t>code | <uint32_t>axis << 16 | <uint32_t>warning << 31


cdef inline int fault_category(uint32_t fault) noexcept nogil:
    return (fault >> 24) & 0x7F


cdef inline int find_fault(Machine* m, int code, int axis, flag warning) noexcept nogil:
    cdef int i
    for i in range(m.fault_count):
        if m.faults[i] & <uint32_t>0x80FFFFFF == fault_key(code, axis, warning):
            return i
    return -1


cdef void remove_fault(Machine* m, int index) noexcept nogil:
    cdef uint32_t fault = m.faults[index]
    event(m, EVENT_KIND_FAULT_CLEARED, fault & 0xFFFF, (fault >> 16) & 0xFF, fault >> 31)
    m.fault_count -= 1
    memmove(&m.faults[index], &m.faults[index + 1], (m.fault_count - index) * sizeof(uint32_t))
    memmove(&m.fault_cycle[index], &m.fault_cycle[index + 1], (m.fault_count - index) * sizeof(uint32_t))


cdef flag add_fault(Machine* m, int code, int axis, int category, flag warning) noexcept nogil:
    """True when the fault is new. In a full list it takes the place of a lesser one (warnings are the least); where there
    is none it still stops the arm, and only cannot be named."""
    cdef int i
    cdef int least = 0
    if find_fault(m, code, axis, warning) >= 0:
        return False
    if m.fault_count == MAX_FAULTS:
        for i in range(MAX_FAULTS):
            if fault_category(m.faults[i]) >= fault_category(m.faults[least]):
                least = i
        if fault_category(m.faults[least]) > category:
            remove_fault(m, least)
    if m.fault_count < MAX_FAULTS:
        m.faults[m.fault_count] = fault_key(code, axis, warning) | <uint32_t>category << 24
        m.fault_cycle[m.fault_count] = <uint32_t>m.cycle
        m.fault_count += 1
        m.fault_total += 1
        event(m, EVENT_KIND_FAULT_RAISED, code, axis, warning)
    return True


cdef void end_reset(Machine* m) noexcept nogil:
    """RESET_ERROR is over, whether it helped or not."""
    m.reset_until_ns = 0
    set_idle_mode(m)


cdef void raise_error(Machine* m, int code, int axis) noexcept nogil:
    """Error state, and a stop of the error's category; a stop that runs may only get harder."""
    cdef int category = error_category(code, axis)
    cdef flag new = add_fault(m, code, axis, category, False)
    if m.state == MASTER_STATE_ERROR and not new and category >= m.stop_category:
        return
    transition(m, TRIGGER_ERROR)
    if m.reset_until_ns:
        end_reset(m)
    m.pending.kind = 0
    begin_stop(m, category)


cdef void set_warning(Machine* m, int code, int axis, flag active) noexcept nogil:
    cdef int index = find_fault(m, code, axis, True)
    if active and index < 0:
        add_fault(m, code, axis, STOP_CATEGORY_NONE, True)
    elif not active and index >= 0:
        remove_fault(m, index)


cdef inline flag lasts(Machine* m, int64_t* since_ns, flag mismatch) noexcept nogil:
    """True once `mismatch` has lasted longer than the relay's switching time, and inputs that late still show it: in a
    silence of the line, which may be configured to last longer, nobody sees the relay switch."""
    if not mismatch:
        since_ns[0] = -1
        return False
    if since_ns[0] < 0:
        since_ns[0] = m.now_ns
    return m.bus.sample_ns - since_ns[0] > m.settings.relay_ns


cdef inline flag button_pressed(Machine* m) noexcept nogil:
    return not m.bus.inputs & INPUT_BUTTON


cdef inline flag contacts_closed(Machine* m) noexcept nogil:
    return m.bus.inputs & INPUT_CONTACTS != 0


cdef flag chatters(Machine* m, flag closed) noexcept nogil:
    """Contacts that open again and again under power, each time for less than the relay's switching time: three
    openings within about a second are as bad as one that lasts. Bouncing while they close is none."""
    if not m.motor_power or m.self_test == SELF_TEST_RUNNING:
        m.energised = False
        m.openings = 0.0
    elif closed:
        m.energised = True
    elif m.energised and m.contacts_before:
        m.openings += 1.0
    m.contacts_before = closed
    m.openings = fmax(0.0, m.openings - m.settings.period_ns * 1e-9)
    return m.openings > 2.0


cdef inline void fail_self_test(Machine* m, int code) noexcept nogil:
    """The monitor has timed the relay: in the self-test that is its verdict too, with a code that says which way."""
    if m.self_test == SELF_TEST_RUNNING:
        m.self_test = SELF_TEST_FAILED
        m.motor_power = False
        raise_error(m, code, NO_AXIS)


cdef void monitor_emergency_stop(Machine* m) noexcept nogil:
    """ESM-1..7, every cycle with a line in the cyclic phase. ENABLE is what we command; where the board sees an
    enable that we do not command (ESM-5), the board's view counts too: the dangerous reading wins."""
    cdef flag seen = m.bus.inputs & INPUT_ENABLE != 0
    cdef flag closed = contacts_closed(m)
    cdef flag pressed = button_pressed(m)
    cdef flag powered = pressed and closed and (m.motor_power or seen)
    if m.bus.state == BUS_STATE_STARTING:
        if lasts(m, &m.start_enable_ns, seen):
            m.start_failed = True
            raise_error(m, ERROR_ESM_ENABLE_AT_START, NO_AXIS)
        if lasts(m, &m.start_contacts_ns, closed and not seen):
            m.start_failed = True
            raise_error(m, ERROR_ESM_CONTACTS_AT_START, NO_AXIS)
    else:
        if lasts(m, &m.contacts_closed_ns, closed and not m.motor_power and not powered):
            fail_self_test(m, ERROR_RELAY_NOT_OPENING)
            raise_error(m, ERROR_ESM_CONTACTS_CLOSED, NO_AXIS)
        if lasts(m, &m.button_contacts_ns, powered):
            raise_error(m, ERROR_ESM_BUTTON_CONTACTS, NO_AXIS)
        if lasts(m, &m.contacts_open_ns, m.motor_power and not pressed and not closed) or chatters(m, closed):
            fail_self_test(m, ERROR_RELAY_NOT_CLOSING)
            raise_error(m, ERROR_ESM_CONTACTS_OPEN, NO_AXIS)
    if pressed:
        raise_error(m, ERROR_ESM_BUTTON, NO_AXIS)
    if m.start_failed:
        raise_error(m, ERROR_ESM_START_REPEATED, NO_AXIS)


cdef inline flag too_fast_to_stop(Machine* m, int i) noexcept nogil:
    """ESS-6: v^2 / (2 a) is longer than the way to the limit ahead: the hard limit, or the range of motion's with its margin."""
    cdef AxisParameters* p = &m.parameters[i]
    cdef double speed = m.axis[i].speed_deg_s
    cdef double room = (p.maximum_deg - m.axis[i].position_deg if speed > 0.0
                        else m.axis[i].position_deg - p.minimum_deg) + m.settings.limit_margin_deg
    if m.axis[i].rom_enforced:
        room = fmin(room, (m.axis[i].guard_high_deg - m.axis[i].position_deg if speed > 0.0
                           else m.axis[i].position_deg - m.axis[i].guard_low_deg) + range_margin_deg(m, i))
    return (fabs(speed) > m.settings.standstill_speed_deg_s
            and speed * speed > 2.0 * p.quick_deceleration_deg_s2 * fmax(room, 0.0))


cdef inline flag stands(Machine* m, int i) noexcept nogil:
    """Does an axis whose set-point rests, while others move, stand still but for its own position loop? A hand that leads
    the arm may jerk at it, and the drives are soft then: there only the way counts."""
    cdef Axis* axis = &m.axis[i]
    if compliant_phase(m) == COMPLIANT_PHASE_LED:
        return fabs(axis.following_error_deg) <= m.settings.standstill_drift_deg
    return (fabs(axis.speed_deg_s) <= m.settings.standstill_speed_deg_s + fabs(axis.command_deg_s)
            and fabs(axis.following_error_deg) <= m.settings.standstill_drift_deg)


cdef flag too_fast(Machine* m, int i) noexcept nogil:
    """Is an axis in motion, for longer than for a moment, faster than anything in this working mode may make it: the speed
    limit in force, and of that the share that a hand may reach? What was allowed before fades slowly, because feedback is
    late and a limit may have been lowered on the way. A drive that a hand leads is soft: a spasm pushes it, and that is a
    contact, which ends in an arm that is held (watch_contact)."""
    cdef Axis* axis = &m.axis[i]
    cdef double allowed = axis.speed_limit_deg_s
    if compliant_phase(m) == COMPLIANT_PHASE_LED:
        allowed *= m.load.settings.speed_share
    allowed = fmax(allowed, fabs(axis.command_deg_s))
    axis.allowed_deg_s = fmax(allowed, axis.allowed_deg_s * (1.0 - fmin(1.0, m.bus.gap * m.settings.period_ns * 1e-9 / ALLOWED_S)))
    if (fabs(axis.speed_deg_s) <= axis.allowed_deg_s + m.settings.standstill_speed_deg_s
            or compliant_phase(m) == COMPLIANT_PHASE_LED and presses(m, i)):
        axis.fast_since_ns = -1
        return False
    if axis.fast_since_ns < 0:
        axis.fast_since_ns = m.now_ns
    return m.now_ns - axis.fast_since_ns >= TOO_FAST_NS


cdef inline flag moves_against(Machine* m, int i) noexcept nogil:
    """Has the axis gone well against the direction it is commanded to? A reversed drive, or one that the load overpowers,
    shows here long before its following error is large. The way counts both ways, so sensor noise adds up to nothing."""
    return m.axis[i].against_deg > fmax(REVERSED_DEG, <int>ARRIVAL_TOLERANCES * in_position_deg(m, i))


cdef void supervise(Machine* m) noexcept nogil:
    """ESS-1..8, every axis, every cycle with fresh feedback. What needs motor power to mean anything (a limb moved by
    hand is no fault of a drive without current) is watched only while it is on. Contacts that open for a moment suspend
    it, but change nothing of where the arm has to stand."""
    cdef int i
    cdef Axis* axis
    cdef AxisParameters* p
    cdef flag powered = m.motor_power and contacts_closed(m) and m.self_test != SELF_TEST_RUNNING
    cdef flag standing = m.motion == MOTION_STANDING    # before an error of one axis stops them all
    cdef flag held
    if not m.energised:
        m.standing_since_ns = m.now_ns
    held = m.now_ns - m.standing_since_ns > STANDSTILL_SETTLE_NS
    for i in range(m.settings.axes):
        axis = &m.axis[i]
        p = &m.parameters[i]
        if not powered or standing or axis.driver_state == DRIVER_STATE_NOT_CONNECTED:
            axis.fast_since_ns = -1
        if axis.driver_state == DRIVER_STATE_NOT_CONNECTED:
            continue    # its zeros are no measurement; DRIVE_LOST stops the arm under control
        if axis.position_counts < p.hard_minimum_counts:
            raise_error(m, ERROR_ESS_HARD_MINIMUM, i + 1)
        elif axis.position_counts > p.hard_maximum_counts:
            raise_error(m, ERROR_ESS_HARD_MAXIMUM, i + 1)
        if not m.energised:
            axis.rest_deg = axis.position_deg
        if axis.rom_enforced:
            guard_range(m, i)
        if not powered:
            continue
        if axis.rom_enforced and axis.position_deg < axis.guard_low_deg - range_margin_deg(m, i):
            raise_error(m, ERROR_ESS_ROM_MINIMUM, i + 1)
        elif axis.rom_enforced and axis.position_deg > axis.guard_high_deg + range_margin_deg(m, i):
            raise_error(m, ERROR_ESS_ROM_MAXIMUM, i + 1)
        # 5 %: the drive's own speed ripple is not a person in danger
        if fabs(axis.speed_deg_s) > 1.05 * p.max_speed_deg_s:
            raise_error(m, ERROR_ESS_OVERSPEED, i + 1)
        if too_fast_to_stop(m, i):
            raise_error(m, ERROR_ESS_CANNOT_STOP, i + 1)
        if not standing and too_fast(m, i):
            raise_error(m, ERROR_ESS_STANDSTILL, i + 1)
        if standing and not held:
            # a drive may take a moment to stand, but an arm that lost its torque is not to sag any further meanwhile
            axis.hold_deg = axis.position_deg
            if fabs(axis.position_deg - axis.rest_deg) > m.settings.standstill_drift_deg:
                raise_error(m, ERROR_ESS_STANDSTILL, i + 1)
        elif standing:
            if (fabs(axis.speed_deg_s) > m.settings.standstill_speed_deg_s
                    or fabs(axis.position_deg - axis.hold_deg) > m.settings.standstill_drift_deg):
                raise_error(m, ERROR_ESS_STANDSTILL, i + 1)
        elif fmax(fabs(axis.following_error_deg), fabs(axis.slip_deg)) > m.settings.following_error_deg:
            raise_error(m, ERROR_ESS_FOLLOWING, i + 1)
        elif moves_against(m, i):
            raise_error(m, ERROR_ESS_FOLLOWING, i + 1)
        elif m.now_ns - axis.rest_since_ns > STANDSTILL_SETTLE_NS and not stands(m, i):
            raise_error(m, ERROR_ESS_STANDSTILL, i + 1)


cdef inline int setup_error(int i) noexcept nogil:
    """Code of a drive that needs set-up: the catalogue's for axes 1..5, our own where its range has ended."""
    return (ERROR_DRIVE_SETUP if i < 5 else ERROR_DRIVE_SETUP_BEYOND_5) + i + 1


cdef inline flag needs_bring_up(Machine* m, int i) noexcept nogil:
    """Was the drive found lost or without its set-up, and is it still?"""
    if m.axis[i].driver_state == DRIVER_STATE_NOT_CONNECTED:
        return find_fault(m, ERROR_DRIVE_LOST + i + 1, i + 1, False) >= 0
    return m.axis[i].driver_state == DRIVER_STATE_SETUP_NEEDED and find_fault(m, setup_error(i), i + 1, False) >= 0


cdef inline flag absent(Machine* m, int i) noexcept nogil:
    """Has a drive that has to follow or hold in AUTO left that state by itself, with power on?"""
    cdef flag needed = m.motor_power and contacts_closed(m) and (m.state == MASTER_STATE_AUTO or m.motion != MOTION_STANDING)
    if not needed or m.axis[i].driver_state == DRIVER_STATE_AUTO:
        m.axis[i].absent = 0
    else:
        m.axis[i].absent += 1
    return m.axis[i].absent > ABSENT_TELEGRAMS


cdef void watch_drives(Machine* m) noexcept nogil:
    cdef int i
    for i in range(m.settings.axes):
        if m.axis[i].driver_state == DRIVER_STATE_NOT_CONNECTED:
            raise_error(m, ERROR_DRIVE_LOST + i + 1, i + 1)
        elif m.axis[i].driver_state == DRIVER_STATE_SETUP_NEEDED:
            raise_error(m, setup_error(i), i + 1)
        elif m.axis[i].driver_state == DRIVER_STATE_ERROR or m.axis[i].status & STATUS_ERROR or absent(m, i):
            raise_error(m, ERROR_DRIVE_ERROR + i + 1, i + 1)


cdef void watch_battery(Machine* m) noexcept nogil:
    cdef double voltage = m.bus.battery_mv * 1e-3
    cdef double share = m.settings.period_ns * 1e-9 / fmax(m.settings.battery_averaging_s, 1e-3)
    m.battery_v = voltage if m.battery_v <= 0.0 else m.battery_v + (voltage - m.battery_v) * fmin(share, 1.0)
    if m.battery_v < m.settings.battery_minimum_v:
        raise_error(m, ERROR_BATTERY_LOW, NO_AXIS)
    set_warning(m, WARNING_BATTERY_HIGH, NO_AXIS, m.battery_v > 1.1 * m.settings.battery_maximum_v)


cdef inline double battery_percent(Machine* m) noexcept nogil:
    return clamp(100.0 * (m.battery_v - m.settings.battery_minimum_v)
                 / (m.settings.battery_maximum_v - m.settings.battery_minimum_v), 0.0, 100.0)


cdef inline flag outside_limits(Machine* m, int i) noexcept nogil:
    return not m.parameters[i].hard_minimum_counts <= m.axis[i].position_counts <= m.parameters[i].hard_maximum_counts


cdef inline flag left_range(Machine* m, int i) noexcept nogil:
    return (find_fault(m, ERROR_ESS_ROM_MINIMUM, i + 1, False) >= 0
            or find_fault(m, ERROR_ESS_ROM_MAXIMUM, i + 1, False) >= 0)


cdef flag cause_present(Machine* m, uint32_t fault) noexcept nogil:
    """Is what raised this error still so? RESET_ERROR leaves the error state only when no cause is left (SAF-6)."""
    cdef int code = fault & 0xFFFF
    cdef int axis = ((fault >> 16) & 0xFF) - 1
    if not error_resettable(code):
        return True
    if m.bus.state != BUS_STATE_CYCLIC:
        return True
    if axis >= 0:
        if code in (ERROR_ESS_HARD_MINIMUM, ERROR_ESS_HARD_MAXIMUM):
            return outside_limits(m, axis)
        if code in (ERROR_ESS_ROM_MINIMUM, ERROR_ESS_ROM_MAXIMUM):
            return outside_range(m, axis)
        if code in (ERROR_ESS_OVERSPEED, ERROR_ESS_CANNOT_STOP, ERROR_ESS_STANDSTILL, ERROR_ESS_FOLLOWING):
            return fabs(m.axis[axis].speed_deg_s) > m.settings.standstill_speed_deg_s
        if code == ERROR_CONTACT:
            return m.energised and presses(m, axis)     # without power nothing presses that could be measured
        if code == ERROR_TORQUE_SENSOR:
            return m.energised and (m.axis[axis].torque_counts >= TORQUE_END or m.axis[axis].torque_counts <= -TORQUE_END)
        return (m.axis[axis].driver_state not in (DRIVER_STATE_WAITING, DRIVER_STATE_AUTO)
                or m.axis[axis].status & STATUS_ERROR)
    if code in (ERROR_ESM_CONTACTS_CLOSED, ERROR_ESM_BUTTON_CONTACTS, ERROR_RELAY_NOT_OPENING):
        return contacts_closed(m) and not m.motor_power
    if code == ERROR_ESM_BUTTON:
        return button_pressed(m)
    if code == ERROR_BATTERY_LOW:
        return m.battery_v < m.settings.battery_minimum_v
    return False


cdef uint32_t find_blockers(Machine* m) noexcept nogil:
    """What keeps a motion command from being accepted, as bits of BLOCKER."""
    cdef uint32_t bits = 0
    cdef int i
    if m.bus.state == BUS_STATE_STARTING:
        bits |= 1 << BLOCKER_STARTING
    elif m.bus.state != BUS_STATE_CYCLIC:
        bits |= 1 << BLOCKER_BUS
    if m.state == MASTER_STATE_ERROR:
        bits |= 1 << BLOCKER_ERROR
    if m.state == MASTER_STATE_TRANSITION_TO_WAITING:
        bits |= 1 << BLOCKER_STOPPING
    if m.shutdown:
        bits |= 1 << BLOCKER_SHUTDOWN
    if m.bus.first_valid_ns < 0:
        return bits
    if button_pressed(m):
        bits |= 1 << BLOCKER_BUTTON
    if m.bus.state == BUS_STATE_CYCLIC and m.battery_v < m.settings.battery_minimum_v:
        bits |= 1 << BLOCKER_BATTERY
    for i in range(m.settings.axes):
        if m.axis[i].driver_state == DRIVER_STATE_ERROR or m.axis[i].status & STATUS_ERROR:
            bits |= 1 << BLOCKER_DRIVE_ERROR
        if m.axis[i].driver_state in (DRIVER_STATE_NOT_CONNECTED, DRIVER_STATE_SETUP_NEEDED):
            bits |= 1 << BLOCKER_DRIVE_SETUP
        if not range_fits(m, i):
            bits |= 1 << BLOCKER_RANGE_OF_MOTION
        if m.axis[i].driver_state == DRIVER_STATE_NOT_CONNECTED:
            continue        # blocks already; the zeros it sends say nothing of where the axis stands
        if outside_limits(m, i):
            bits |= 1 << BLOCKER_OUTSIDE_LIMITS
        if outside_range(m, i) and left_range(m, i):
            bits |= 1 << BLOCKER_RANGE_OF_MOTION
    return bits
