# One cycle: (machine, received bytes, commands, time) -> (bytes to send, state record). No clock and no file here:
# the control thread and the tests' virtual clock run this very function.

cdef double LEFT_OUT_S = 1.0             # over which the share of cycles that were left out is averaged
cdef double LEFT_OUT_MOST = 0.05         # more is warning 103,
cdef int64_t STALL_NS = 30000000         # a single stall counts as no more
cdef double LEFT_OUT_LEAST = 0.01        # which is withdrawn when it is less than this again

cdef void enter_bus_state(Machine* m, int state) noexcept nogil:
    if m.bus.state != state:
        event(m, EVENT_KIND_BUS, m.bus.state, state, 0)
        m.bus.state = state


cdef void rest(Machine* m) noexcept nogil:
    """No line, no motion: whatever ran on the old line (a quick stop perhaps) must not go on, least of all on the next."""
    m.pending.kind = 0
    m.hand.phase = HAND_IDLE
    warn_of_hand(m, 0)
    stand_still(m)
    m.motor_power = False
    m.off_after_stop = False
    m.bus.fresh = False
    if m.reset_until_ns == 0:
        set_mode(m, MASTER_MODE_OFF)


cdef inline int leave_telegrams(Machine* m) noexcept nogil:
    return <int>clamp(LEAVE_NS / m.settings.period_ns, 2, LEAVE_TELEGRAMS)


cdef void take_line(Machine* m) noexcept nogil:
    """A line was lent: an empty stream, no answer expected, start checks from the beginning."""
    cdef int i
    m.bus.filled = 0
    m.bus.aligned = True
    m.bus.attached_ns = -1
    m.bus.valid_ns = -1
    m.bus.first_valid_ns = -1
    m.bus.sample_ns = -1
    m.bus.fresh = False
    m.bus.leaving = 0
    m.start_enable_ns = m.start_contacts_ns = -1
    m.contacts_closed_ns = m.button_contacts_ns = m.contacts_open_ns = -1
    m.battery_v = 0.0
    m.self_test = SELF_TEST_NOT_DONE
    rest(m)
    apply_speed_cascade(m)
    for i in range(m.settings.axes):
        apply_range(m, i)
    for i in range(MAX_AXES):
        m.load.holding_counts[i] = m.load.residual_counts[i] = m.load.slope_counts_s[i] = 0.0
        set_warning(m, WARNING_COMPLIANT_LOAD, i + 1, False)
    seed(m)
    m.handshake.set_released(False)
    enter_bus_state(m, BUS_STATE_STARTING)


cdef void lose_bus(Machine* m, flag line_works) noexcept nogil:
    """Communication lost. While the line still takes bytes the stop is sent over it, the board may hear us; then the
    leave flag, then the line is released for a new bring-up."""
    if m.bus.state == BUS_STATE_LOST or m.bus.state == BUS_STATE_DETACHED:
        return
    m.bus.faults[BUS_FAULT_LOST] += 1
    enter_bus_state(m, BUS_STATE_LOST)
    raise_error(m, ERROR_BUS_LOST, NO_AXIS)
    m.bus.leaving = leave_telegrams(m) if line_works else 0
    if not line_works:
        m.handshake.set_released(True)


cdef void leave_line(Machine* m) noexcept nogil:
    """Power off, then telegrams with the leave flag, then the line is released for a new bring-up."""
    m.motor_power = False
    m.bus.leaving = leave_telegrams(m)
    enter_bus_state(m, BUS_STATE_LOST)


cdef void watch_bus(Machine* m) noexcept nogil:
    """Silence, and drives that only a new bring-up can cure."""
    cdef int i
    if m.bus.state != BUS_STATE_STARTING and m.bus.state != BUS_STATE_CYCLIC:
        return
    if m.bus.attached_ns < 0:
        m.bus.attached_ns = m.now_ns
    if m.bus.first_valid_ns < 0:
        if m.now_ns - m.bus.attached_ns > FIRST_ANSWER_NS:
            lose_bus(m, True)
        return
    if not m.bus.fresh:
        m.bus.faults[BUS_FAULT_MISSED] += 1
        if m.now_ns - m.bus.valid_ns > m.settings.silence_ns:
            lose_bus(m, True)
        return
    if m.state == MASTER_STATE_ERROR and m.motion == MOTION_STANDING and not m.setup_tried:
        for i in range(m.settings.axes):
            if needs_bring_up(m, i):
                m.setup_tried = True
                if m.reset_until_ns:
                    m.reset_until_ns = m.now_ns + 3 * <int64_t>1000000000
                leave_line(m)
                return


cdef void check_start(Machine* m) noexcept nogil:
    """End of the start checks: the relay has had its time, and neither ENABLE nor CONTACTS is set (ESM-1, 2)."""
    if (m.bus.state == BUS_STATE_STARTING and m.start_enable_ns < 0 and m.start_contacts_ns < 0
            and m.now_ns - m.bus.first_valid_ns > m.settings.relay_ns):
        enter_bus_state(m, BUS_STATE_CYCLIC)


cdef void watch_deadlines(Machine* m) noexcept nogil:
    """SAF-7. Only with an arm on the line: a board that boots may miss deadlines without any harm."""
    if m.bus.state != BUS_STATE_CYCLIC:
        return
    if m.overruns_now > m.settings.overruns_in_a_row:
        raise_error(m, ERROR_DEADLINES_MISSED, NO_AXIS)
    if m.motor_power and m.now_ns - m.bus.sent_ns[m.bus.sequence] >= BOARD_WATCHDOG_MS * <int64_t>1000000 \
            and m.settings.period_ns < BOARD_WATCHDOG_MS * <int64_t>1000000:
        # the board's watchdog has taken the power meanwhile; commanding ENABLE on would give it back to a loose limb
        raise_error(m, ERROR_DEADLINES_MISSED, NO_AXIS)
        begin_stop(m, STOP_CATEGORY_EMERGENCY)


cdef void watch_cycle_time(Machine* m, int64_t before_ns) noexcept nogil:
    """Warning 103: the machine does not get its work done at this rate. Of the time of about the last second this share
    went by without the cycles that belong there; a single stall is none (SAF-7 has an error for a long one)."""
    cdef int64_t elapsed = m.now_ns - before_ns
    cdef double left_out = 0.0
    if m.bus.state != BUS_STATE_CYCLIC or elapsed <= 0:
        m.left_out = 0.0
        set_warning(m, WARNING_CYCLE_TIME, NO_AXIS, False)
        return
    if 2 * elapsed > 3 * m.settings.period_ns:
        elapsed = min(elapsed, STALL_NS)
        left_out = 1.0 - fmin(1.0, <double>m.settings.period_ns / elapsed)
    m.left_out += fmin(1.0, elapsed * 1e-9 / LEFT_OUT_S) * (left_out - m.left_out)
    if m.left_out > LEFT_OUT_MOST:
        set_warning(m, WARNING_CYCLE_TIME, NO_AXIS, True)
    elif m.left_out < LEFT_OUT_LEAST:
        set_warning(m, WARNING_CYCLE_TIME, NO_AXIS, False)


cdef void watch_people(Machine* m) noexcept nogil:
    """A motion that nobody can stop any more, because the HMI hangs or the program is to end, does not go on for long."""
    cdef int64_t beat = m.handshake.hmi_beat_ns.load()
    if beat and m.now_ns - beat > HMI_SILENCE_NS and m.state == MASTER_STATE_AUTO and m.motion != MOTION_STANDING:
        stop_softly(m, TRIGGER_HMI_SILENT)
    if m.shutdown and m.motion == MOTION_STOPPING and m.now_ns - m.shutdown_ns > SHUTDOWN_PATIENCE_NS:
        begin_stop(m, STOP_CATEGORY_QUICK)


cdef int standing_mode(Machine* m) noexcept nogil:
    """Driver working mode while no trajectory runs."""
    if not m.motor_power:
        return DRIVER_MODE_HARD_STOP if m.stop_category == STOP_CATEGORY_EMERGENCY else DRIVER_MODE_DRIVER_OFF
    if m.self_test == SELF_TEST_RUNNING:
        return DRIVER_MODE_DRIVER_OFF       # not one drive has torque before the relay path has shown that it opens
    if m.state == MASTER_STATE_AUTO:
        return DRIVER_MODE_STAND_STILL_IN_AUTO_STATE
    if m.state == MASTER_STATE_TRANSITION_TO_AUTO and m.power_step == POWER_DRIVES:
        return DRIVER_MODE_STAND_STILL_IN_AUTO_STATE
    return DRIVER_MODE_STAND_STILL_IN_WAITING_STATE


cdef void command_axes(Machine* m) noexcept nogil:
    """Speed of every axis: trajectory plus correction, through the last gate."""
    cdef int i
    cdef Axis* axis
    cdef flag closed = (m.bus.state == BUS_STATE_CYCLIC and m.motion != MOTION_STOPPING
                        and not (m.motion == MOTION_SETTLING and m.settle_ns >= SETTLE_NS)
                        and m.now_ns - m.bus.sample_ns <= 3 * m.settings.period_ns + 500000)
    for i in range(m.settings.axes):
        axis = &m.axis[i]
        correct(m, i, closed)
        axis.command_deg_s = m.speed_deg_s[i] + axis.correction_deg_s
    for i in range(m.settings.axes):
        if not command_allowed(m, i):
            # never seen but by a defect of ours: nothing that broke a limit leaves
            raise_error(m, ERROR_TRAJECTORY, i + 1)
            m.stop_category = STOP_CATEGORY_EMERGENCY
            finish_stop(m)
            return
    for i in range(m.settings.axes):
        m.axis[i].command_before_deg_s = m.axis[i].command_deg_s
        if fabs(m.speed_deg_s[i]) > 1e-6:
            m.axis[i].rest_since_ns = m.now_ns


cdef int compose(Machine* m, uint8_t* out) noexcept nogil:
    """The next command telegram; 0 bytes when there is no line to send it on."""
    cdef int i
    cdef uint8_t flags = 0
    cdef uint8_t modes[MAX_AXES]
    cdef uint8_t types[MAX_AXES]
    cdef float targets[MAX_AXES]
    cdef float offsets[MAX_AXES]
    if m.motion != MOTION_STANDING:
        command_axes(m)     # may end the motion
    for i in range(m.settings.axes):
        offsets[i] = 0.0
        if m.motion == MOTION_STANDING:
            m.axis[i].command_deg_s = m.axis[i].command_before_deg_s = 0.0
            modes[i] = standing_mode(m)
            types[i] = TARGET_TYPE_NONE
            targets[i] = 0.0
        else:
            modes[i] = DRIVER_MODE_SPEED_ABS
            types[i] = TARGET_TYPE_SPEED_MICROSTEPS_S
            targets[i] = <float>(m.axis[i].command_deg_s / m.parameters[i].deg_per_microstep)
            if compliant_phase(m) == COMPLIANT_PHASE_LED:
                modes[i] = DRIVER_MODE_COMPLIANT_TRANSPARENT_01
                offsets[i] = <float>torque_offset(m, i)
    if m.bus.state == BUS_STATE_DETACHED or (m.bus.state == BUS_STATE_LOST and m.bus.leaving == 0):
        return 0
    if m.motor_power:
        flags |= FLAG_MOTOR_POWER
    if m.stop_category == STOP_CATEGORY_EMERGENCY:
        flags |= FLAG_QUICK_STOP
    if m.reset_until_ns:
        flags |= FLAG_CLEAR_ERRORS
    if (m.bus.state == BUS_STATE_LOST or m.shutdown) and m.motion == MOTION_STANDING and m.bus.leaving:
        m.bus.leaving -= 1
        if m.bus.leaving < LEAVE_TELEGRAMS // 2:    # first power off, then leave: the board stops listening with it
            flags |= FLAG_LEAVE_CYCLIC
        if m.bus.leaving == 0:
            m.handshake.set_released(True)
    m.bus.sequence += 1
    m.bus.sent_ns[m.bus.sequence] = m.now_ns
    memcpy(m.sent_position_deg[m.bus.sequence & (SENT_SETPOINTS - 1)], m.position_deg, sizeof(m.position_deg))
    return build_command(out, m.settings.axes, m.bus.sequence, flags, modes, types, targets, offsets)


cdef void begin_shutdown(Machine* m) noexcept nogil:
    """The program ends: soft stop, power off, leave the cyclic phase."""
    m.shutdown = True
    m.shutdown_ns = m.now_ns
    m.bus.leaving = leave_telegrams(m)
    power_down(m, TRIGGER_SHUTDOWN)


cdef inline flag shutdown_done(Machine* m) noexcept nogil:
    return m.shutdown and m.motion == MOTION_STANDING and (m.bus.leaving == 0 or m.bus.state == BUS_STATE_DETACHED)


cdef int run_cycle(Machine* m, int64_t now_ns, const uint8_t* received, int size, uint8_t* out) noexcept nogil:
    """Run one cycle at monotonic time `now_ns` with the bytes received since the last one.

    Writes the command telegram to `out` (256 bytes or more) and returns its size; 0 when there is nothing to send."""
    cdef int64_t before_ns = m.now_ns
    m.now_ns = now_ns
    if m.bus.state != BUS_STATE_DETACHED:
        receive(m, received, size)
        m.bus.unheard += 1
        if m.bus.fresh:
            m.bus.gap = m.bus.unheard
            m.bus.unheard = 0
            read_axes(m)
            find_hand(m)
            find_load(m)
    if m.handshake.quitting() and not m.shutdown:
        begin_shutdown(m)
    watch_bus(m)
    act_on_stop(m)
    listen_to_program(m)
    if m.bus.first_valid_ns >= 0 and (m.bus.state == BUS_STATE_STARTING or m.bus.state == BUS_STATE_CYCLIC):
        monitor_emergency_stop(m)
        check_start(m)
        if m.bus.state == BUS_STATE_CYCLIC and m.bus.fresh:
            watch_battery(m)
            supervise(m)
            watch_contact(m)
            watch_drives(m)
    watch_deadlines(m)
    watch_cycle_time(m, before_ns)
    watch_people(m)
    take_commands(m)
    watch_retreat(m)
    step_state(m)
    start_waiting_line(m)
    step_motion(m)
    m.blockers = find_blockers(m)
    size = compose(m, out)
    m.cycle += 1
    return size


cdef void fill_record(Machine* m, StateRecord* r) noexcept nogil:
    """What everyone else may know of this cycle."""
    cdef int i
    cdef Axis* axis
    cdef flag planned
    r.cycle = m.cycle
    r.time_ns = m.now_ns
    r.state_since_ns = m.state_since_ns
    r.lateness_ns = m.lateness_ns
    r.run_ns = m.run_ns
    r.feedback_age_ns = m.now_ns - m.bus.sample_ns if m.bus.sample_ns >= 0 else -1
    r.overruns = m.overruns
    r.skipped = m.skipped
    r.valid_telegrams = m.bus.valid
    for i in range(m.settings.axes):
        axis = &m.axis[i]
        planned = m.motion != MOTION_STANDING
        r.position_deg[i] = axis.position_deg
        r.speed_deg_s[i] = axis.speed_deg_s
        r.setpoint_position_deg[i] = m.position_deg[i]
        r.setpoint_speed_deg_s[i] = m.speed_deg_s[i]
        r.setpoint_acceleration_deg_s2[i] = m.acceleration_deg_s2[i]
        r.command_speed_deg_s[i] = axis.command_deg_s
        r.target_position_deg[i] = axis.target_deg
        r.speed_limit_deg_s[i] = axis.speed_limit_deg_s
        r.range_minimum_deg[i] = axis.minimum_deg
        r.range_maximum_deg[i] = axis.maximum_deg
        r.holding_counts[i] = m.load.holding_counts[i]
        r.residual_counts[i] = m.load.residual_counts[i]
        r.frequency_microsteps_s[i] = axis.frequency
        r.position_counts[i] = axis.position_counts
        r.torque_counts[i] = axis.torque_counts
        r.drive_target[i] = axis.drive_target
        r.error_code[i] = axis.error_code
        r.warning_code[i] = axis.warning_code
        r.driver_state[i] = axis.driver_state
        r.driver_mode[i] = axis.driver_mode
        r.status[i] = axis.status
        r.on_target[i] = axis.on_target
        r.rom_enforced[i] = axis.rom_enforced
        r.moving[i] = planned and fabs(m.speed_deg_s[i]) > 1e-9
    if m.hand.known:
        r.hand_x_mm = m.hand.frames.hand_mm[0]
        r.hand_y_mm = m.hand.frames.hand_mm[1]
        r.hand_z_mm = m.hand.frames.hand_mm[2]
        r.elbow_deg = m.hand.elbow_deg
    r.battery_percent = battery_percent(m) if m.bus.first_valid_ns >= 0 else 0.0
    r.battery_v = m.battery_v
    memcpy(r.bus_faults, m.bus.faults, sizeof(r.bus_faults))
    memcpy(r.faults, m.faults, sizeof(r.faults))
    memcpy(r.fault_cycle, m.fault_cycle, sizeof(r.fault_cycle))
    r.fault_total = m.fault_total
    r.commands_done = m.commands_done
    r.commands_refused = m.commands_refused
    r.last_command = m.last_command
    r.late_command = m.late_command
    r.stops = m.stops
    r.limit_interventions = m.limit_interventions
    r.events_dropped = m.events_dropped
    r.motions_done = m.motions_done
    r.blockers = m.blockers
    r.board_clock_ms = m.bus.clock_ms
    r.axes = m.settings.axes
    r.state = m.state
    r.mode = m.mode
    r.bus_state = m.bus.state
    r.stop_category = m.stop_category
    r.motor_power = m.motor_power
    r.self_test = m.self_test
    r.inputs = m.bus.inputs
    r.fault_count = m.fault_count
    r.last_reason = m.reason
    r.last_command_result = m.last_result
    r.late_command_result = m.late_result
    r.last_command_kind = m.last_kind
    r.external_taken = m.external.taken
    r.external_rejected = m.external.rejected
    r.external_phase = external_phase(m)
    r.compliant_phase = compliant_phase(m)
    r.sequence = m.bus.sequence
