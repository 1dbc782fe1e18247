# The commands: the latched stop, then what waits in the command ring, each checked here whatever the HMI has checked.

cdef void act_on_stop(Machine* m) noexcept nogil:
    """The latched stop word: before and above all commands. Whatever waits in the ring was asked for before it and is
    dropped, but for speed limits and ranges: they move nothing, and a limit somebody set must not get lost."""
    cdef Command command
    cdef int dropped = 0
    if not m.handshake.take_stop():
        return
    m.stops += 1
    forget_prepared(m)
    warn_of_hand(m, 0)
    event(m, EVENT_KIND_STOP, STOP_CATEGORY_SOFT, 1, 0)
    end_retreat(m)
    # bounded, so that a producer that never rests cannot hold the cycle here
    while dropped < COMMANDS_IN_RING and m.commands.try_pop(command):
        dropped += 1
        if moves_nothing(&command):
            finish_command(m, &command, dispatch(m, &command))
        else:
            finish_command(m, &command, COMMAND_RESULT_DROPPED_BY_STOP)
    stop_softly(m, TRIGGER_STOP)


cdef void finish_command(Machine* m, const Command* command, int result) noexcept nogil:
    m.commands_done += 1
    if result != COMMAND_RESULT_OK:
        m.commands_refused += 1
    m.last_command = command.sequence
    m.last_result = result
    m.last_kind = command.kind
    if not is_jog(command.kind) or result != COMMAND_RESULT_OK:
        event(m, EVENT_KIND_COMMAND, command.kind, result, command.client)


cdef void refuse_late(Machine* m, const Command* command, int result) noexcept nogil:
    """Refuse a command that was taken before: it waited for the power, or a line was searched meanwhile. Other commands
    may have come after it, so the verdict is told by its number."""
    m.commands_refused += 1
    m.late_command = command.sequence
    m.late_result = result
    if m.last_command == command.sequence:
        m.last_result = result
    event(m, EVENT_KIND_COMMAND, command.kind, result, command.client)


cdef inline flag is_jog(uint32_t kind) noexcept nogil:
    return kind == COMMAND_KIND_JOG or kind == COMMAND_KIND_HAND_JOG


cdef inline flag jogs(Machine* m) noexcept nogil:
    """Is a jog held, or does one wait for the power?"""
    return jog_held(m) or is_jog(m.pending.kind)


cdef inline flag too_old(Machine* m, const Command* command) noexcept nogil:
    """A motion that was asked for so long ago is not what its client sees and wants now."""
    return m.now_ns - command.asked_ns > (m.settings.jog_timeout_ns if is_jog(command.kind) else STALE_NS)


cdef inline int trigger_of(const Command* command) noexcept nogil:
    return TRIGGER_START_TEST if command.kind == COMMAND_KIND_START and command.mask & 1 else <int>command.kind


cdef flag numbers_fit(const Command* command, int axes, double low, double high) noexcept nogil:
    """Are the masked values finite and inside low..high, and is no axis masked that does not exist?"""
    cdef int i
    if command.mask >> axes:
        return False
    for i in range(axes):
        if command.mask >> i & 1 and not (isfinite(command.values[i]) and low <= command.values[i] <= high):
            return False
    return isfinite(command.value)


cdef flag any_speed(const Command* command) noexcept nogil:
    cdef int i
    for i in range(MAX_AXES):
        if command.mask >> i & 1 and command.values[i] != 0.0:
            return True
    return False


cdef flag already_there(Machine* m, const Command* command) noexcept nogil:
    """Does the arm stand on all the targets? Then the motion is done at once, and standstill stays supervised: a client
    that repeats itself must not keep the arm for ever at the beginning of a motion."""
    cdef int i
    for i in range(m.settings.axes):
        if command.mask >> i & 1 and fabs(command.values[i] - m.axis[i].position_deg) > 0.5 * in_position_deg(m, i):
            return False
    for i in range(m.settings.axes):
        if command.mask >> i & 1:
            m.axis[i].target_deg = command.values[i]
            m.axis[i].on_target = True
    m.motions_done += 1
    event(m, EVENT_KIND_MOTION_DONE, 0, 0, 0)
    return True


cdef int begin_move(Machine* m, const Command* command) noexcept nogil:
    """Joint targets in degrees, arriving together. Refused where a target or a speed is not possible."""
    cdef int i
    cdef Axis* axis
    cdef double before[MAX_AXES]
    cdef double percent = m.move_percent
    for i in range(m.settings.axes):
        if command.mask >> i & 1 and m.axis[i].speed_limit_deg_s * command.value * 1e-2 <= MINIMUM_SPEED_DEG_S:
            return COMMAND_RESULT_NO_SPEED
    if m.motion == MOTION_STANDING and already_there(m, command):
        return COMMAND_RESULT_OK
    begin_motion(m)
    for i in range(m.settings.axes):
        axis = &m.axis[i]
        before[i] = axis.target_deg
        if command.mask >> i & 1:
            axis.target_deg = command.values[i]
        elif m.motion != MOTION_POSITION:
            # an axis that is not asked to move ends where its jerk-limited stop from the present set-point takes it
            axis.target_deg = m.position_deg[i] + stop_distance(
                m.speed_deg_s[i], m.acceleration_deg_s2[i], DYNAMIC_SHARE * m.parameters[i].max_acceleration_deg_s2,
                DYNAMIC_SHARE * m.parameters[i].max_jerk_deg_s3)
    m.move_percent = command.value
    if not plan_targets(m):
        m.move_percent = percent
        for i in range(m.settings.axes):
            m.axis[i].target_deg = before[i]
        return COMMAND_RESULT_NO_TRAJECTORY
    for i in range(m.settings.axes):
        m.axis[i].jog_percent = 0.0
        m.axis[i].on_target = False
    memset(m.hand.jog_percent, 0, sizeof(m.hand.jog_percent))
    m.hand.phase = HAND_IDLE
    m.motion = MOTION_POSITION
    return transition(m, COMMAND_KIND_MOVE)


cdef int begin_jog(Machine* m, const Command* command) noexcept nogil:
    """Joint speeds in percent, for the jog timeout from when they were asked for. Axes not in the mask stop."""
    cdef int i
    if too_old(m, command):
        return COMMAND_RESULT_OK        # it waited for the power-up; its client refreshes it if it is still held
    if (m.motion == MOTION_STANDING or m.motion == MOTION_COMPLIANT) and not any_speed(command):
        return COMMAND_RESULT_OK    # a joystick at rest: standstill stays supervised, a hand goes on leading
    begin_motion(m)
    for i in range(m.settings.axes):
        m.axis[i].jog_percent = command.values[i] if command.mask >> i & 1 else 0.0
        m.axis[i].on_target = False
    memset(m.hand.jog_percent, 0, sizeof(m.hand.jog_percent))
    m.hand.phase = HAND_IDLE
    m.jog_ns = command.asked_ns
    m.motion = MOTION_JOG
    transition(m, COMMAND_KIND_JOG)
    if not plan_jog(m):
        raise_error(m, ERROR_TRAJECTORY, NO_AXIS)
        return COMMAND_RESULT_NO_TRAJECTORY
    return COMMAND_RESULT_OK


cdef int begin_start(Machine* m, const Command* command) noexcept nogil:
    """Stand ready for jog; a motion that runs ends softly first."""
    end_motion(m)
    return transition(m, trigger_of(command))


cdef void end_motion(Machine* m) noexcept nogil:
    """End the present motion softly and stay in AUTO."""
    cdef int i
    m.hand.phase = HAND_IDLE
    if m.motion == MOTION_STANDING or m.motion == MOTION_SETTLING:
        return
    memset(m.hand.jog_percent, 0, sizeof(m.hand.jog_percent))
    for i in range(m.settings.axes):
        m.axis[i].jog_percent = 0.0
    m.motion = MOTION_JOG
    m.jog_ns = m.now_ns
    if not plan_jog(m):
        raise_error(m, ERROR_TRAJECTORY, NO_AXIS)


cdef flag targets_inside(Machine* m, const Command* command) noexcept nogil:
    """Are the masked targets inside the range in force?"""
    cdef int i
    for i in range(m.settings.axes):
        if command.mask >> i & 1 and not m.axis[i].minimum_deg <= command.values[i] <= m.axis[i].maximum_deg:
            return False
    return True


cdef int prepare(Machine* m, const Command* command) noexcept nogil:
    """Keep the targets for the next START. The mode says that they are there: whatever changes it forgets them."""
    end_motion(m)
    m.prepared = command[0]
    m.prepared.kind = COMMAND_KIND_MOVE
    return transition(m, COMMAND_KIND_PREPARE)


cdef int dispatch_motion(Machine* m, const Command* command) noexcept nogil:
    """A motion command in AUTO."""
    if command.kind in (COMMAND_KIND_MOVE, COMMAND_KIND_PREPARE) and not targets_inside(m, command):
        return COMMAND_RESULT_OUT_OF_RANGE      # the range may have changed since the command was taken
    if command.kind == COMMAND_KIND_PREPARE:
        return prepare(m, command)
    if command.kind == COMMAND_KIND_MOVE:
        return begin_move(m, command)
    if command.kind == COMMAND_KIND_JOG:
        return begin_jog(m, command)
    if command.kind == COMMAND_KIND_HAND_JOG:
        return begin_hand_jog(m, command)
    if command.kind == COMMAND_KIND_HAND_MOVE:
        return begin_hand_move(m, command)
    if command.kind == COMMAND_KIND_EXTERNAL:
        return begin_external(m)
    if command.kind == COMMAND_KIND_COMPLIANT:
        return begin_compliant(m)
    return begin_start(m, command)


cdef int take_motion(Machine* m, const Command* command) noexcept nogil:
    """Motion commands are also the operator's start: from WAITING they switch motor power on first."""
    cdef int axes = m.settings.axes
    cdef flag released = False
    if is_jog(command.kind):
        released = m.now_ns - m.jog_asked_ns > m.settings.jog_timeout_ns
        m.jog_asked_ns = m.now_ns
        if not numbers_fit(command, axes if command.kind == COMMAND_KIND_JOG else 3, -100.0, 100.0):
            return COMMAND_RESULT_OUT_OF_RANGE
    if command.kind in (COMMAND_KIND_MOVE, COMMAND_KIND_PREPARE):
        if not numbers_fit(command, axes, -1e6, 1e6) or not 0.0 < command.value <= 100.0 or command.mask == 0:
            return COMMAND_RESULT_OUT_OF_RANGE
        if not targets_inside(m, command):
            return COMMAND_RESULT_OUT_OF_RANGE
    if command.kind == COMMAND_KIND_HAND_MOVE and not hand_move_fits(m, command):
        return COMMAND_RESULT_OUT_OF_RANGE
    if command.kind in (COMMAND_KIND_HAND_JOG, COMMAND_KIND_HAND_MOVE) and not has_hand(m):
        return COMMAND_RESULT_NO_HAND
    if command.kind == COMMAND_KIND_EXTERNAL and may_admit(m) != COMMAND_RESULT_OK:
        return may_admit(m)
    if command.kind == COMMAND_KIND_COMPLIANT and not load_known(m):
        return COMMAND_RESULT_NO_MASS_MODEL
    if too_old(m, command):
        return COMMAND_RESULT_EXPIRED
    if m.blockers:
        return COMMAND_RESULT_NOT_READY
    if refused(m, trigger_of(command)):
        return COMMAND_RESULT_WRONG_STATE
    if m.state == MASTER_STATE_AUTO:
        return dispatch_motion(m, command)
    if m.state == MASTER_STATE_WAITING:
        if command.kind == COMMAND_KIND_PREPARE:
            return prepare(m, command)
        # A jog that is still held from before a stop must be let go first, or its next refresh would undo the stop.
        if is_jog(command.kind) and not released:
            return COMMAND_RESULT_WRONG_STATE
        if is_jog(command.kind) and not any_speed(command):
            return COMMAND_RESULT_OK    # the release of a jog that a stop ended: nothing to switch power on for
        m.stop_category = STOP_CATEGORY_NONE
        m.off_after_stop = False
        begin_power_up(m)
    transition(m, trigger_of(command))
    m.pending = command[0]
    return COMMAND_RESULT_OK


cdef flag every_axis_has_speed(Machine* m) noexcept nogil:
    """Do the limits leave a speed to each axis that still has a way to go?"""
    cdef int i
    for i in range(m.settings.axes):
        if (m.axis[i].speed_limit_deg_s * m.move_percent * 1e-2 <= MINIMUM_SPEED_DEG_S
                and (fabs(m.position_deg[i] - m.axis[i].target_deg) > 1e-6 or m.speed_deg_s[i] != 0.0)):
            return False
    return True


cdef int take_speed_limits(Machine* m, const Command* command) noexcept nogil:
    """One level of the speed cascade; a motion that runs is planned anew within it."""
    cdef int i
    cdef Axis* axis
    cdef int level = <int>clamp(command.value, 0.0, 1e6) if isfinite(command.value) else 0
    if level != command.value or level not in (REGISTER_ADVANCED_SPEED, REGISTER_USER_SPEED, REGISTER_MOVEMENT_SPEED) \
            or not numbers_fit(command, MAX_AXES, 0.0, 100.0):
        return COMMAND_RESULT_OUT_OF_RANGE
    for i in range(MAX_AXES):
        if command.mask >> i & 1:
            axis = &m.axis[i]
            if level == REGISTER_ADVANCED_SPEED:
                axis.advanced_percent = command.values[i]
            elif level == REGISTER_USER_SPEED:
                axis.user_percent = command.values[i]
            else:
                axis.movement_percent = command.values[i]
    apply_speed_cascade(m)
    if m.motion == MOTION_POSITION and not every_axis_has_speed(m):
        end_motion(m)       # no speed is left to arrive with
    elif m.motion == MOTION_JOG:
        if not plan_jog(m):
            raise_error(m, ERROR_TRAJECTORY, NO_AXIS)
    elif m.motion == MOTION_POSITION and not plan_targets(m):
        end_motion(m)
    elif m.motion == MOTION_LINE:
        rescale_line(m)
    elif m.motion == MOTION_RETREAT and not (every_axis_has_speed(m) and plan_targets(m)):
        end_retreat(m)
    return COMMAND_RESULT_OK


cdef int take_reset(Machine* m) noexcept nogil:
    """RESET_ERROR: drives get a clear command, then every cause must be gone within 300 ms."""
    if m.state != MASTER_STATE_ERROR:
        return COMMAND_RESULT_OK
    if m.motion != MOTION_STANDING:
        return COMMAND_RESULT_NOT_READY
    transition(m, COMMAND_KIND_RESET)
    m.reset_until_ns = m.now_ns + 300000000
    m.setup_tried = False
    return COMMAND_RESULT_OK


cdef int release_line(Machine* m) noexcept nogil:
    """Leave the cyclic phase on purpose: no error, no motor power, and a new bring-up when the main thread has done."""
    if m.motor_power or m.motion != MOTION_STANDING:
        return COMMAND_RESULT_MOTOR_POWER
    if m.bus.state != BUS_STATE_CYCLIC or m.shutdown:
        return COMMAND_RESULT_NOT_READY
    if refused(m, COMMAND_KIND_RELEASE_LINE):
        return COMMAND_RESULT_WRONG_STATE
    leave_line(m)
    return transition(m, COMMAND_KIND_RELEASE_LINE)


cdef int dispatch(Machine* m, const Command* command) noexcept nogil:
    if (command.kind == COMMAND_KIND_START and command.mask == 0
            and m.mode == MASTER_MODE_POSITION_TARGET_WAIT_FOR_START):
        m.prepared.asked_ns = command.asked_ns
        m.prepared.sequence = command.sequence      # a refusal after the power-up is one of this start
        return take_motion(m, &m.prepared)
    if command.kind == COMMAND_KIND_COMPLIANT and command.mask & 1 == 0:
        return end_compliant(m)
    if command.kind in (COMMAND_KIND_START, COMMAND_KIND_JOG, COMMAND_KIND_MOVE, COMMAND_KIND_PREPARE,
                        COMMAND_KIND_EXTERNAL, COMMAND_KIND_HAND_JOG, COMMAND_KIND_HAND_MOVE, COMMAND_KIND_COMPLIANT):
        return take_motion(m, command)
    if command.kind == COMMAND_KIND_LOAD_SETTINGS:
        return take_load_settings(m, command)
    if command.kind in (COMMAND_KIND_ROM_MINIMUM, COMMAND_KIND_ROM_MAXIMUM):
        return take_range(m, command)
    if command.kind == COMMAND_KIND_ROM_ENABLE:
        return enable_ranges(m, command)
    if command.kind == COMMAND_KIND_SPEED_LIMITS:
        return take_speed_limits(m, command)
    if command.kind == COMMAND_KIND_ARM_LENGTHS:
        return set_lengths(m, command)
    if command.kind == COMMAND_KIND_RESET:
        return take_reset(m)
    if command.kind == COMMAND_KIND_STAND_STILL:
        if refused(m, command.kind):
            return COMMAND_RESULT_WRONG_STATE
        m.pending.kind = 0
        end_motion(m)
        return transition(m, command.kind)
    if command.kind == COMMAND_KIND_OFF:
        power_down(m, COMMAND_KIND_OFF)
        return COMMAND_RESULT_OK
    if command.kind == COMMAND_KIND_RELEASE_LINE:
        return release_line(m)
    return COMMAND_RESULT_UNKNOWN


cdef inline flag moves_nothing(const Command* command) noexcept nogil:
    """Speed limits, ranges and the load leave prepared targets alone; those are checked again when they are started."""
    return command.kind in (COMMAND_KIND_SPEED_LIMITS, COMMAND_KIND_ROM_MINIMUM, COMMAND_KIND_ROM_MAXIMUM,
                            COMMAND_KIND_ROM_ENABLE, COMMAND_KIND_ARM_LENGTHS, COMMAND_KIND_LOAD_SETTINGS)


cdef int obey(Machine* m, const Command* command) noexcept nogil:
    """Carry a command out. Any that is accepted takes the place of targets that were prepared."""
    cdef int result = dispatch(m, command)
    if result != COMMAND_RESULT_OK or moves_nothing(command):
        return result
    if command.kind != COMMAND_KIND_PREPARE:
        forget_prepared(m)
    if command.kind != COMMAND_KIND_HAND_JOG:
        warn_of_hand(m, 0)      # what was said of the motion before
    return result


cdef void take_commands(Machine* m) noexcept nogil:
    """At most eight per cycle, so that a flood of commands cannot lengthen it."""
    cdef Command command
    cdef int taken = 0
    cdef flag jogged
    while taken < 8 and m.commands.try_pop(command):
        taken += 1
        command.asked_ns = min(command.asked_ns, m.now_ns)     # a time to come would keep a jog alive for longer
        m.blockers = find_blockers(m)
        jogged = jogs(m)
        finish_command(m, &command, obey(m, &command))
        if is_jog(command.kind) and not jogged and jogs(m):    # its beginning is told, its refreshes are not
            event(m, EVENT_KIND_COMMAND, command.kind, COMMAND_RESULT_OK, command.client)
