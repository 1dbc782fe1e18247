# The master state machine: power-up, reset, and its stops. The master state changes in `transition` alone, by the table in spec/modes.py.

cdef inline flag refused(Machine* m, int trigger) noexcept nogil:
    """Does the table refuse the trigger (a CommandKind or a Trigger) in the present master state?"""
    return not 0 <= trigger < TRIGGERS or TRANSITION_TO[m.state][trigger] == OUTCOME_REFUSED


cdef int transition(Machine* m, int trigger) noexcept nogil:
    """The only place where the master state changes: what the table says of this trigger in the present state. Whoever
    calls it has checked everything else before. Returns OK, or WRONG_STATE where the table refuses."""
    cdef int to, mode
    if refused(m, trigger):
        return COMMAND_RESULT_WRONG_STATE
    to = TRANSITION_TO[m.state][trigger]
    mode = TRANSITION_MODE[m.state][trigger]
    if to != OUTCOME_STAYS:
        m.reason = TRANSITION_REASON[0][trigger]
        event(m, EVENT_KIND_STATE, m.state, to, m.reason)
        m.state = to
        m.state_since_ns = m.now_ns
    if mode != OUTCOME_STAYS and not (trigger in (COMMAND_KIND_JOG, COMMAND_KIND_HAND_JOG) and m.mode == MASTER_MODE_TEST):
        set_mode(m, mode)
    return COMMAND_RESULT_OK


cdef void set_mode(Machine* m, int mode) noexcept nogil:
    if m.mode != mode:
        event(m, EVENT_KIND_MODE, m.mode, mode, 0)
        m.mode = mode


cdef void set_idle_mode(Machine* m) noexcept nogil:
    """Nothing moves and nothing waits."""
    if external_failed(m):
        set_mode(m, MASTER_MODE_EXTERNAL_DEVELOPER_ERROR)
    else:
        set_mode(m, MASTER_MODE_STAND_STILL if m.motor_power else MASTER_MODE_OFF)


cdef inline void forget_prepared(Machine* m) noexcept nogil:
    if m.mode == MASTER_MODE_POSITION_TARGET_WAIT_FOR_START:
        set_idle_mode(m)


cdef void stop_softly(Machine* m, int trigger) noexcept nogil:
    """Stop category 2 into WAITING, where the table says so. In the error state a stop of its own is running already."""
    cdef int before = m.state
    m.pending.kind = 0
    transition(m, trigger)
    if m.state == MASTER_STATE_TRANSITION_TO_WAITING and m.state != before:
        begin_stop(m, STOP_CATEGORY_SOFT)


cdef void power_down(Machine* m, int trigger) noexcept nogil:
    """Soft stop where something moves, then motor power off."""
    m.off_after_stop = True
    stop_softly(m, trigger)     # where nothing moved, it has ended at once, and power is off
    if m.off_after_stop and m.motion == MOTION_STANDING:
        m.off_after_stop = False
        m.motor_power = False
        set_mode(m, MASTER_MODE_OFF)


cdef void begin_power_up(Machine* m) noexcept nogil:
    """ENABLE on. The first time on a line, only to see the contacts close, and open again without it."""
    m.motor_power = True
    m.power_step = POWER_CONTACTS
    m.power_since_ns = m.now_ns
    if m.self_test != SELF_TEST_PASSED:
        m.self_test = SELF_TEST_RUNNING
        m.power_step = POWER_TEST_CLOSING


cdef void step_self_test(Machine* m) noexcept nogil:
    """Relay path, with all drives off: contacts closed, then open; then the ordinary power-up. How long each may take is
    timed by the emergency stop monitor (ESM-4, ESM-6)."""
    if m.power_step == POWER_TEST_CLOSING:
        if contacts_closed(m):
            m.motor_power = False
            m.power_step = POWER_TEST_OPENING
    elif not contacts_closed(m):
        m.self_test = SELF_TEST_PASSED
        begin_power_up(m)


cdef void refuse_pending(Machine* m, int result) noexcept nogil:
    """The command that waited for AUTO is not carried out; the arm is held."""
    refuse_late(m, &m.pending, result)
    m.pending.kind = 0


cdef void step_power_up(Machine* m) noexcept nogil:
    """TRANSITION_TO_AUTO: self-test, contacts, drives, set-points from fresh feedback, then the motion asked for."""
    cdef int i, result
    if m.self_test == SELF_TEST_RUNNING:
        step_self_test(m)
        return
    if m.now_ns - m.power_since_ns > 1000000000:
        raise_error(m, ERROR_DRIVES_NOT_READY, NO_AXIS)
        return
    if m.power_step == POWER_CONTACTS:
        if contacts_closed(m):
            m.power_step = POWER_DRIVES
        return
    for i in range(m.settings.axes):
        if m.axis[i].driver_state != DRIVER_STATE_AUTO or m.axis[i].status & STATUS_MOVING:
            return
    if not m.bus.fresh:
        return
    seed(m)
    stand_still(m)
    transition(m, TRIGGER_DRIVES_READY)
    if m.pending.kind:
        result = dispatch_motion(m, &m.pending)
        if result != COMMAND_RESULT_OK:
            refuse_pending(m, result)
        m.pending.kind = 0


cdef void step_reset(Machine* m) noexcept nogil:
    """RESET_ERROR in progress: done when no cause is left, given up when its time is over. Leads to WAITING only."""
    cdef int i
    for i in range(m.fault_count):
        if not m.faults[i] >> 31 and cause_present(m, m.faults[i]):
            if m.now_ns > m.reset_until_ns:
                m.last_result = COMMAND_RESULT_NOT_READY
                end_reset(m)
            return
    i = m.fault_count - 1
    while i >= 0:
        if not m.faults[i] >> 31:
            remove_fault(m, i)
        i -= 1
    end_reset(m)
    m.stop_category = STOP_CATEGORY_NONE
    transition(m, TRIGGER_CAUSES_GONE)


cdef void step_state(Machine* m) noexcept nogil:
    """What the master state does by itself this cycle."""
    if m.state == MASTER_STATE_TRANSITION_TO_AUTO:
        step_power_up(m)
    elif m.state == MASTER_STATE_ERROR and m.reset_until_ns:
        step_reset(m)
    elif m.state == MASTER_STATE_STARTUP and m.bus.state == BUS_STATE_CYCLIC:
        transition(m, TRIGGER_START_CHECKS_GOOD)
