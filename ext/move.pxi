# A move of the hand along a straight line: the arm comes to rest, the line is searched and timed over some cycles, a
# bounded part in each, and then gone along.

cdef double ELBOW_TOLERANCE_DEG = 1.0
cdef enum:
    ATTEMPTS_MOST = 8                   # at a line, in one cycle
    ATTEMPT_NS = 500000                 # one per so much of the period
    SEGMENTS_PER_ATTEMPT = 4
    WRIST_GIVEN = 16                    # bits of the mask of HAND_MOVE
    ELBOW_GIVEN = 8
    UNCHECKED = 32


cdef inline flag has_hand(Machine* m) noexcept nogil:
    return m.hand.chain.joints == m.settings.axes and m.hand.known


cdef flag hand_move_fits(Machine* m, const Command* command) noexcept nogil:
    """Are the numbers finite and somewhere near, and is there a wrist to turn, an elbow to look at?"""
    cdef int k
    if command.mask & 7 != 7 or command.mask >> 6 or not 0.0 < command.value <= 100.0:
        return False
    for k in range(3):
        if not (isfinite(command.values[k]) and fabs(command.values[k]) <= 1e5):
            return False
    for k in range(3, 5):
        if command.mask >> k & 1 and not (isfinite(command.values[k]) and fabs(command.values[k]) <= 3600.0):
            return False
    return not (command.mask & WRIST_GIVEN and m.hand.chain.wrist < 0
                or command.mask & ELBOW_GIVEN and m.hand.chain.elbow < 0)


cdef flag hand_has_speed(Machine* m, const Command* command) noexcept nogil:
    """Do the limits leave a speed to each axis? A line that begins may need any of them."""
    cdef int i
    for i in range(m.settings.axes):
        if m.axis[i].speed_limit_deg_s * command.value * 1e-2 <= MINIMUM_SPEED_DEG_S:
            return False
    return True


cdef int begin_hand_move(Machine* m, const Command* command) noexcept nogil:
    """Whatever moves ends softly first: a line is searched from where the arm stands."""
    cdef int i
    if not has_hand(m):
        return COMMAND_RESULT_NO_HAND
    if not hand_has_speed(m, command):
        return COMMAND_RESULT_NO_SPEED
    end_motion(m)
    for i in range(m.settings.axes):
        m.axis[i].on_target = False
    m.hand.target = command[0]
    m.hand.phase = HAND_WAITS
    return transition(m, COMMAND_KIND_HAND_MOVE)


cdef void begin_search(Machine* m) noexcept nogil:
    """From where the arm stands."""
    cdef Line* line = &m.hand.line
    cdef int i
    for i in range(MAX_AXES):
        line.low_deg[i] = m.axis[i].minimum_deg
        line.high_deg[i] = m.axis[i].maximum_deg
    begin_line(&m.hand.chain, line, m.position_deg, m.hand.target.values,
               &m.hand.target.values[4] if m.hand.target.mask & WRIST_GIVEN else NULL)
    m.hand.phase = HAND_BEGINS
    m.motion = MOTION_LINE


cdef void refuse_line(Machine* m, int result, uint32_t warned) noexcept nogil:
    """A line that has not begun is not gone along: nothing was reached, so the mode is that of an arm that stands."""
    m.hand.phase = HAND_IDLE
    warn_of_hand(m, warned)
    refuse_late(m, &m.hand.target, result)
    set_idle_mode(m)
    settle(m)


cdef void judge_line(Machine* m) noexcept nogil:
    """The search has ended: refuse it, or time what there is of it."""
    cdef Line* line = &m.hand.line
    cdef uint32_t warned = 0
    if line.state == LINE_BLOCKED:
        warned = blocked_warning(&m.hand.chain, line)
    elif m.hand.target.mask & ELBOW_GIVEN and fabs(elbow_angle(&m.hand.chain, line.point_deg[line.count - 1])
                                                   - m.hand.target.values[3]) > ELBOW_TOLERANCE_DEG:
        warned = 2
    if warned and not m.hand.target.mask & UNCHECKED:
        refuse_line(m, COMMAND_RESULT_NOT_REACHABLE, warned)
        return
    warn_of_hand(m, warned)
    begin_spacing(line)
    m.hand.phase = HAND_SPACES


cdef void begin_timing(Machine* m) noexcept nogil:
    """All of the line is planned with the speed limits of this moment; what changes from now on scales it, or one part of
    it would have other limits than the next."""
    cdef double v[MAX_AXES]
    cdef double a[MAX_AXES]
    cdef double j[MAX_AXES]
    cdef int i
    planning_limits(m, m.hand.target.value, v, a, j)
    for i in range(m.settings.axes):
        m.hand.limits_deg_s[i] = m.axis[i].speed_limit_deg_s
        m.hand.planned_deg_s[i] = v[i]
    m.hand.planned_mm_s = m.hand.chain.max_speed_mm_s * share_of_speed(m) * m.hand.target.value * 1e-2
    begin_path(&m.hand.line, m.settings.axes, a, j, &m.hand.path)
    m.hand.phase = HAND_PLANS


cdef void space_part(Machine* m, int attempts) noexcept nogil:
    cdef int turn
    for turn in range(attempts):
        if not space(&m.hand.chain, &m.hand.line):
            begin_timing(m)
            return


cdef void plan_part(Machine* m, int attempts) noexcept nogil:
    """Some segments' limits; then, smoothed, some more."""
    cdef Path* path = &m.hand.path
    cdef double v[MAX_AXES]
    cdef double a[MAX_AXES]
    cdef double j[MAX_AXES]
    cdef int turn, i
    planning_limits(m, m.hand.target.value, v, a, j)
    for turn in range(attempts * SEGMENTS_PER_ATTEMPT):
        if m.hand.phase == HAND_PLANS:
            if path.planned < path.last:
                plan_segment(&m.hand.line, m.settings.axes, m.hand.planned_deg_s, a, j, m.hand.planned_mm_s, path)
            else:
                m.hand.phase = HAND_SMOOTHS
                m.hand.smoothed = 0
        elif m.hand.smoothed < path.last:
            smooth_limit(path, m.hand.smoothed)
            m.hand.smoothed += 1
        else:
            for i in range(m.settings.axes):
                m.axis[i].target_deg = m.hand.line.even_deg[m.hand.line.last][i]
            m.hand.phase = HAND_IDLE
            return


cdef void step_line_phase(Machine* m) noexcept nogil:
    """What a line that does not go yet does in this cycle; the set-points stay."""
    cdef int attempts = <int>clamp(m.settings.period_ns // ATTEMPT_NS, 1, ATTEMPTS_MOST)
    cdef int turn
    if not hand_has_speed(m, &m.hand.target):
        refuse_line(m, COMMAND_RESULT_NO_SPEED, 0)     # it was taken away since the command came
    elif m.hand.phase == HAND_BEGINS:
        m.hand.phase = HAND_SEARCHES
    elif m.hand.phase == HAND_SEARCHES:
        for turn in range(attempts):
            search(&m.hand.chain, &m.hand.line)
        if m.hand.line.state != LINE_SEARCHING:
            judge_line(m)
    elif m.hand.phase == HAND_SPACES:
        space_part(m, attempts)
    else:
        plan_part(m, attempts)


cdef void start_waiting_line(Machine* m) noexcept nogil:
    """Once the motion before it has ended: set-points from feedback, and from there the search."""
    if m.hand.phase != HAND_WAITS:
        return
    if m.state != MASTER_STATE_AUTO or m.mode != MASTER_MODE_POSITION_TARGET:
        m.hand.phase = HAND_IDLE        # a stop, an error, another command
    elif m.motion == MOTION_STANDING:
        begin_motion(m)
        begin_search(m)


cdef flag line_takes_over(Machine* m) noexcept nogil:
    """Straight from the end of the motion before, which goes on holding its last set-points."""
    if m.hand.phase != HAND_WAITS or m.state != MASTER_STATE_AUTO or m.mode != MASTER_MODE_POSITION_TARGET:
        return False
    begin_search(m)
    return True


cdef void rescale_line(Machine* m) noexcept nogil:
    """Speed limits have changed: the line slows down with the axis that was slowed down most; it gets no faster than it
    was planned. Before it is planned there is nothing to scale; while it is, it will begin with this scale."""
    cdef int i
    if not hand_has_speed(m, &m.hand.target):
        if m.hand.phase == HAND_IDLE:
            end_motion(m)       # no speed is left to arrive with; one that has not begun is refused (step_line_phase)
        return
    m.hand.path.scale = 1.0
    for i in range(m.settings.axes):
        if m.hand.limits_deg_s[i] > 0.0:
            m.hand.path.scale = fmin(m.hand.path.scale, m.axis[i].speed_limit_deg_s / m.hand.limits_deg_s[i])


cdef void step_line(Machine* m) noexcept nogil:
    """One cycle along the line."""
    cdef double p[MAX_AXES]
    cdef double v[MAX_AXES]
    cdef double a[MAX_AXES]
    if m.hand.phase != HAND_IDLE:
        step_line_phase(m)
        return
    if not step_progress(m.hand_planner, &m.hand.path, m.settings.period_ns * 1e-9):
        raise_error(m, ERROR_TRAJECTORY, NO_AXIS)
        return
    on_path(&m.hand.line, &m.hand.path, m.settings.axes, p, v, a)
    if not take_setpoints(m, p, v, a):
        end_motion(m)       # a range that was narrowed on the way
    elif path_done(&m.hand.path):
        settle(m)


cdef int set_lengths(Machine* m, const Command* command) noexcept nogil:
    """ARM_LENGTHS: registers 90 and 92. Only while the arm stands: the search for a line, a jog of the hand and the load
    go on with the chain they began with."""
    cdef int k
    if m.motion == MOTION_COMPLIANT:
        return COMMAND_RESULT_WRONG_STATE       # another load at once would throw the arm that a hand leads; given again
    if m.motion != MOTION_STANDING:
        return COMMAND_RESULT_MOVING
    for k in range(2):
        if not (isfinite(command.values[k]) and 0.0 <= command.values[k] <= <double>LONGEST_ADJUSTMENT_MM):
            return COMMAND_RESULT_OUT_OF_RANGE
    m.hand.upper_arm_mm = command.values[0]
    m.hand.forearm_mm = command.values[1]
    m.load.changed_ns = m.now_ns
    adjust(&m.hand.configured, m.hand.upper_arm_mm, m.hand.forearm_mm, &m.hand.chain)
    return COMMAND_RESULT_OK
