# External development: an admitted program's targets, through a limiter, to set-points; and its heartbeat.
#
# The program is another process and is not trusted: external_link.hpp says what makes its memory safe to use, and here
# every record is checked as a copy. It can ask for anything finite; what it gets is planned anew each cycle within the
# speed cascade, acceleration, jerk and range in force, and can always still stop inside them.

cdef double EXTERNAL_LAG_DEG = 0.05     # a set-point further from its target is told as limited
cdef double EXTERNAL_LAG_DEG_S = 0.5


cdef void use_link(Machine* m, ExternalLink* link) noexcept nogil:
    """The memory of another program, or of none: nothing of the one before is left. One that was to move the arm after a
    power-up which still runs was admitted itself, not whoever comes after it."""
    if link == m.external.link:
        return
    if m.pending.kind == COMMAND_KIND_EXTERNAL:
        refuse_pending(m, COMMAND_RESULT_NO_PROGRAM)
    memset(&m.external, 0, sizeof(m.external))
    m.external.link = link
    m.external.heard_ns = -1


cdef inline flag beating(Machine* m) noexcept nogil:
    return m.external.heard_ns >= 0 and m.now_ns - m.external.heard_ns <= m.settings.external_heartbeat_ns


cdef int external_phase(Machine* m) noexcept nogil:
    if m.external.link == NULL:
        return EXTERNAL_PHASE_NONE
    if m.motion == MOTION_EXTERNAL:
        return EXTERNAL_PHASE_ADMITTED
    return EXTERNAL_PHASE_BEATING if beating(m) else EXTERNAL_PHASE_SILENT


cdef inline flag external_failed(Machine* m) noexcept nogil:
    """Is an error of the external program active? The master mode then says so."""
    return (find_fault(m, ERROR_EXTERNAL_SILENT, NO_AXIS, False) >= 0
            or find_fault(m, ERROR_EXTERNAL_TARGET, NO_AXIS, False) >= 0)


cdef int may_admit(Machine* m) noexcept nogil:
    if m.settings.external_heartbeat_ns == 0:
        return COMMAND_RESULT_EXTERNAL_OFF
    return COMMAND_RESULT_OK if beating(m) else COMMAND_RESULT_NO_PROGRAM


cdef int begin_external(Machine* m) noexcept nogil:
    """The program may move the arm. Until its first target that knows of it, the set-point comes to rest where it is."""
    cdef int i
    if may_admit(m) != COMMAND_RESULT_OK:
        return may_admit(m)
    begin_motion(m)
    for i in range(m.settings.axes):
        m.axis[i].jog_percent = 0.0
        m.axis[i].on_target = False
    memset(m.hand.jog_percent, 0, sizeof(m.hand.jog_percent))
    m.hand.phase = HAND_IDLE
    m.external.follow = False
    m.external.admitted_ns = m.now_ns
    m.external.admitted_cycle = m.cycle
    m.motion = MOTION_EXTERNAL
    return transition(m, COMMAND_KIND_EXTERNAL)


cdef int check_target(Machine* m, const ExternalTargetRecord* target) noexcept nogil:
    """EXTERNAL_REFUSAL_NONE for a record that may be used; else the first thing that is wrong with it."""
    cdef int i
    if target_checksum(target[0]) != target.checksum:
        return EXTERNAL_REFUSAL_CHECKSUM
    if target.sequence <= m.external.target.sequence:
        return EXTERNAL_REFUSAL_SEQUENCE
    # the one before the newest was current when a quick program began to answer; older than the heartbeat is too old
    if target.cycle > m.cycle or <int64_t>(m.cycle - target.cycle) > m.settings.external_heartbeat_ns // m.settings.period_ns:
        return EXTERNAL_REFUSAL_CYCLE
    if not EXTERNAL_KIND_POSITION <= target.kind <= EXTERNAL_KIND_END:
        return EXTERNAL_REFUSAL_KIND
    if target.axes != <uint32_t>m.settings.axes or target.spare != 0:
        return EXTERNAL_REFUSAL_AXES
    for i in range(m.settings.axes):
        if not (isfinite(target.position_deg[i]) and isfinite(target.speed_deg_s[i])):
            return EXTERNAL_REFUSAL_VALUE
    return EXTERNAL_REFUSAL_NONE


cdef void take_target(Machine* m, const ExternalTargetRecord* target) noexcept nogil:
    """A valid record: a heartbeat, and once the program knows that it was admitted, the target to follow."""
    m.external.target = target[0]
    m.external.heard_ns = m.now_ns
    m.external.taken += 1
    if m.motion != MOTION_EXTERNAL or target.cycle <= m.external.admitted_cycle:
        return
    m.external.follow = True
    if target.kind == EXTERNAL_KIND_END:
        end_motion(m)
        transition(m, TRIGGER_PROGRAM_ENDED)


cdef void refuse_target(Machine* m, int refusal) noexcept nogil:
    """Counted, told, no heartbeat; and where the program says something that means nothing, the end of its motion."""
    m.external.rejected += 1
    m.external.last_refusal = refusal
    if m.motion == MOTION_EXTERNAL and refusal >= EXTERNAL_REFUSAL_KIND:
        raise_error(m, ERROR_EXTERNAL_TARGET, NO_AXIS)


cdef void listen_to_program(Machine* m) noexcept nogil:
    """Every record that has come, as many as the ring can hold at most; then the heartbeat."""
    cdef ExternalTargetRecord target
    cdef int looked = 0, refusal
    while m.external.link != NULL and looked < EXTERNAL_TARGETS and m.external.link.take(target):
        looked += 1
        refusal = check_target(m, &target)
        if refusal == EXTERNAL_REFUSAL_NONE:
            take_target(m, &target)
        else:
            refuse_target(m, refusal)
    if m.motion == MOTION_EXTERNAL and not beating(m):
        raise_error(m, ERROR_EXTERNAL_SILENT, NO_AXIS)


cdef void wanted_position(Machine* m, int i, double* position, double* speed) noexcept nogil:
    """Target of one axis now: between two records it goes on at its own speed. Cut off at the range in force; an axis that
    is outside may stay where its set-point is, and go no further out."""
    cdef double age_s = (m.now_ns - m.external.heard_ns) * 1e-9
    cdef double low = fmin(m.axis[i].minimum_deg, m.position_deg[i])
    cdef double high = fmax(m.axis[i].maximum_deg, m.position_deg[i])
    cdef double wanted = m.external.target.position_deg[i] + m.external.target.speed_deg_s[i] * age_s
    position[0] = clamp(wanted, low, high)
    speed[0] = m.external.target.speed_deg_s[i]
    if position[0] != wanted:
        m.external.limited[i] |= EXTERNAL_LIMIT_RANGE
        speed[0] = 0.0


cdef void no_further_out(Machine* m, int i, double* speed) noexcept nogil:
    """No target speed outwards where the set-point is at the end of its range or beyond, as for a jog: braking alone
    would let it creep out by what braking tolerates."""
    if (speed[0] > 0.0 and m.position_deg[i] >= m.axis[i].maximum_deg
            or speed[0] < 0.0 and m.position_deg[i] <= m.axis[i].minimum_deg):
        m.external.limited[i] |= EXTERNAL_LIMIT_RANGE
        speed[0] = 0.0


cdef void limit_speed(Machine* m, int i, double limit, double* speed) noexcept nogil:
    """Of the target; a planner needs some speed beyond it to catch up."""
    if fabs(speed[0]) > limit:
        m.external.limited[i] |= EXTERNAL_LIMIT_SPEED
        speed[0] = clamp(speed[0], -limit, limit)


cdef flag plan_external(Machine* m, double* position, double* speed) noexcept nogil:
    """New trajectory to the program's target; without one that counts, to rest. `position`, `speed`: what it leads to."""
    cdef double v[MAX_AXES]
    cdef double a[MAX_AXES]
    cdef double j[MAX_AXES]
    cdef int i
    cdef flag by_position = m.external.follow and m.external.target.kind == EXTERNAL_KIND_POSITION
    planning_limits(m, 100.0, v, a, j)
    for i in range(m.settings.axes):
        m.external.limited[i] = 0
        position[i] = m.position_deg[i]
        speed[i] = 0.0
        if by_position:
            wanted_position(m, i, &position[i], &speed[i])
        elif m.external.follow:
            speed[i] = m.external.target.speed_deg_s[i]
        no_further_out(m, i, &speed[i])
        limit_speed(m, i, v[i] - MINIMUM_SPEED_DEG_S, &speed[i])
        if m.axis[i].speed_limit_deg_s <= MINIMUM_SPEED_DEG_S:
            position[i] = m.position_deg[i]     # no speed is left: to rest, not to a crawl
            m.external.limited[i] |= EXTERNAL_LIMIT_SPEED
    if by_position:
        return m.planner.plan_stream(m.settings.axes, m.position_deg, m.speed_deg_s, m.acceleration_deg_s2, position, speed,
                                     v, a, j)
    return m.planner.plan_velocity(m.settings.axes, m.position_deg, m.speed_deg_s, m.acceleration_deg_s2, speed, a, j)


cdef flag plan_to_ends(Machine* m, const double* p, const double* v_next, const double* a_next) noexcept nogil:
    """New trajectory of every axis to rest at the end of its range before which it could not stop after this set-point."""
    cdef double v[MAX_AXES]
    cdef double a[MAX_AXES]
    cdef double j[MAX_AXES]
    cdef double position[MAX_AXES]
    cdef double zero[MAX_AXES]
    cdef int i
    memset(zero, 0, sizeof(zero))
    planning_limits(m, 100.0, v, a, j)
    for i in range(m.settings.axes):
        position[i] = (fmax(m.axis[i].maximum_deg, m.position_deg[i]) if beyond(m, i, p[i], v_next[i], a_next[i]) > 0
                       else fmin(m.axis[i].minimum_deg, m.position_deg[i]))
    return m.planner.plan_stream(m.settings.axes, m.position_deg, m.speed_deg_s, m.acceleration_deg_s2, position, zero,
                                 v, a, j)


cdef void replace_unviable(Machine* m, double* p, double* v, double* a) noexcept nogil:
    """Axes that could not stop inside their limits any more after this set-point get the running plan's instead."""
    cdef double p_other[MAX_AXES]
    cdef double v_other[MAX_AXES]
    cdef double a_other[MAX_AXES]
    cdef int i
    m.planner.at(m.settings.period_ns * 1e-9, p_other, v_other, a_other)
    for i in range(m.settings.axes):
        if not viable(m, i, p[i], v[i], a[i]):
            p[i] = p_other[i]
            v[i] = v_other[i]
            a[i] = a_other[i]


cdef flag all_viable(Machine* m, const double* p, const double* v, const double* a, flag tell) noexcept nogil:
    cdef int i
    cdef flag all_ = True
    for i in range(m.settings.axes):
        if not viable(m, i, p[i], v[i], a[i]):
            all_ = False
            if tell:
                m.external.limited[i] |= EXTERNAL_LIMIT_RANGE
    return all_


cdef void tell_lag(Machine* m, const double* position, const double* speed) noexcept nogil:
    cdef int i
    if not m.external.follow:
        return
    for i in range(m.settings.axes):
        if m.external.target.kind == EXTERNAL_KIND_POSITION:
            if fabs(m.position_deg[i] - position[i]) > EXTERNAL_LAG_DEG:
                m.external.limited[i] |= EXTERNAL_LIMIT_LAG
        elif fabs(m.speed_deg_s[i] - speed[i]) > EXTERNAL_LAG_DEG_S:
            m.external.limited[i] |= EXTERNAL_LIMIT_LAG


cdef void step_external(Machine* m) noexcept nogil:
    """Next set-point of an admitted program. Before it is taken every axis must still be able to stop inside its limits
    from there; where not, it goes the fastest way to the end of its range, and where that is too fast as well it brakes,
    which is possible because the set-point before has passed this test."""
    cdef double position[MAX_AXES]
    cdef double speed[MAX_AXES]
    cdef double p[MAX_AXES]
    cdef double v[MAX_AXES]
    cdef double a[MAX_AXES]
    cdef double dt = m.settings.period_ns * 1e-9
    cdef int i
    if not plan_external(m, position, speed) and not plan_halt(m):
        raise_error(m, ERROR_TRAJECTORY, NO_AXIS)
        return
    m.planner.at(dt, p, v, a)
    if not all_viable(m, p, v, a, True):
        m.limit_interventions += 1
        if plan_to_ends(m, p, v, a):
            replace_unviable(m, p, v, a)
        if not all_viable(m, p, v, a, False):
            if not plan_halt(m):
                raise_error(m, ERROR_TRAJECTORY, NO_AXIS)
                return
            replace_unviable(m, p, v, a)
    for i in range(m.settings.axes):
        m.position_deg[i] = p[i]
        m.speed_deg_s[i] = v[i]
        m.acceleration_deg_s2[i] = a[i]
        m.axis[i].target_deg = position[i]
        narrow(m, i, p[i])
    tell_lag(m, position, speed)


cdef void tell_program(Machine* m) noexcept nogil:
    """The state record of this cycle, to the program that is connected."""
    cdef ExternalStateRecord r
    cdef int i
    cdef Axis* axis
    if m.external.link == NULL:
        return
    memset(&r, 0, sizeof(r))
    r.cycle = m.cycle
    r.target_sequence = m.external.target.sequence
    r.time_ns = m.now_ns
    r.deadline_ns = m.now_ns - m.lateness_ns
    r.period_ns = m.settings.period_ns
    r.heartbeat_ns = m.settings.external_heartbeat_ns
    r.admitted = m.motion == MOTION_EXTERNAL
    r.admitted_ns = m.external.admitted_ns if r.admitted else 0
    r.feedback_age_ns = m.now_ns - m.bus.sample_ns if m.bus.sample_ns >= 0 else -1
    r.target_time_ns = m.external.target.time_ns
    for i in range(m.settings.axes):
        axis = &m.axis[i]
        r.position_deg[i] = axis.position_deg
        r.speed_deg_s[i] = axis.speed_deg_s
        r.setpoint_position_deg[i] = m.position_deg[i]
        r.setpoint_speed_deg_s[i] = m.speed_deg_s[i]
        r.minimum_deg[i] = axis.minimum_deg
        r.maximum_deg[i] = axis.maximum_deg
        r.speed_limit_deg_s[i] = SPEED_SHARE * axis.speed_limit_deg_s
        r.position_counts[i] = axis.position_counts
        r.torque_counts[i] = axis.torque_counts
        r.limited[i] = m.external.limited[i] if r.admitted else 0
    r.taken = m.external.taken
    r.rejected = m.external.rejected
    r.axes = m.settings.axes
    r.state = m.state
    r.mode = m.mode
    r.last_refusal = m.external.last_refusal
    r.motor_power = m.motor_power
    m.external.link.publish(r)
