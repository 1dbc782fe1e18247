# Motion: trajectories by Ruckig, braking before limits, soft and quick stop, and when a motion is over.

cdef inline void planning_limits(Machine* m, double percent, double* v, double* a, double* j) noexcept nogil:
    """The trajectory's share of the limits in force. Quick stops use their own deceleration, reached within 20 ms."""
    cdef int i
    cdef AxisParameters* p
    for i in range(m.settings.axes):
        p = &m.parameters[i]
        v[i] = fmax(SPEED_SHARE * m.axis[i].speed_limit_deg_s * percent * 1e-2, MINIMUM_SPEED_DEG_S)
        if m.quick_limits:
            a[i] = DYNAMIC_SHARE * p.quick_deceleration_deg_s2
            j[i] = DYNAMIC_SHARE * fmax(p.max_jerk_deg_s3, p.quick_deceleration_deg_s2 * 50.0)
        else:
            a[i] = DYNAMIC_SHARE * p.max_acceleration_deg_s2
            j[i] = DYNAMIC_SHARE * p.max_jerk_deg_s3


cdef flag plan_speeds(Machine* m, const double* speed_deg_s) noexcept nogil:
    """New trajectory to the given joint speeds, every axis as fast as its limits allow."""
    cdef double v[MAX_AXES]
    cdef double a[MAX_AXES]
    cdef double j[MAX_AXES]
    planning_limits(m, 100.0, v, a, j)
    if not m.planner.plan_velocity(m.settings.axes, m.position_deg, m.speed_deg_s, m.acceleration_deg_s2,
                                   speed_deg_s, a, j):
        return False
    m.motion_time_s = 0.0
    return True


cdef flag plan_targets(Machine* m) noexcept nogil:
    """New trajectory of all axes to their `target_deg`, arriving together."""
    cdef double v[MAX_AXES]
    cdef double a[MAX_AXES]
    cdef double j[MAX_AXES]
    cdef double target[MAX_AXES]
    cdef int i
    planning_limits(m, m.move_percent, v, a, j)
    for i in range(m.settings.axes):
        target[i] = m.axis[i].target_deg
    if not m.planner.plan_position(m.settings.axes, m.position_deg, m.speed_deg_s, m.acceleration_deg_s2, target,
                                   v, a, j):
        return False
    m.motion_time_s = 0.0
    return True


cdef flag plan_halt(Machine* m) noexcept nogil:
    cdef double zero[MAX_AXES]
    memset(zero, 0, sizeof(zero))
    return plan_speeds(m, zero)


cdef inline flag at_limit(Machine* m, int i) noexcept nogil:
    """Is the axis at the limit, or beyond it, towards which it is to jog?"""
    if m.axis[i].jog_percent > 0.0:
        return m.position_deg[i] >= m.axis[i].maximum_deg
    return m.axis[i].jog_percent < 0.0 and m.position_deg[i] <= m.axis[i].minimum_deg


cdef flag plan_jog(Machine* m) noexcept nogil:
    """Trajectory to the jog speeds; a direction that a limit has blocked stays at zero until it is reversed.

    An axis that stands at its limit or beyond is blocked at once: braking alone would let it creep outwards by the
    noise of the sensor with every new jog."""
    cdef double speed[MAX_AXES]
    cdef int i
    cdef Axis* axis
    for i in range(m.settings.axes):
        axis = &m.axis[i]
        if axis.blocked * axis.jog_percent <= 0.0:
            axis.blocked = 0
            set_warning(m, WARNING_LIMIT_BRAKE, i + 1, False)
            if at_limit(m, i):
                axis.blocked = 1 if axis.jog_percent > 0.0 else -1
                set_warning(m, WARNING_LIMIT_BRAKE, i + 1, True)
        speed[i] = 0.0 if axis.blocked else axis.jog_percent * 1e-2 * SPEED_SHARE * axis.speed_limit_deg_s
    return plan_speeds(m, speed)


cdef void stand_still(Machine* m) noexcept nogil:
    """The motion is over: drives hold where the arm is, under standstill supervision."""
    cdef int i
    m.load.retreat = False
    m.motion = MOTION_STANDING
    m.standing_since_ns = m.now_ns
    m.quick_limits = False
    memset(m.hand.jog_percent, 0, sizeof(m.hand.jog_percent))
    for i in range(m.settings.axes):
        m.axis[i].jog_percent = 0.0
        m.axis[i].blocked = 0
        m.axis[i].rest_deg = m.axis[i].position_deg
        m.axis[i].against_deg = 0.0
        m.axis[i].allowed_deg_s = 0.0
        m.axis[i].fast_since_ns = -1
        set_warning(m, WARNING_LIMIT_BRAKE, i + 1, False)
    # The set-points stay: an axis's target is reported until the next motion seeds anew.


cdef inline flag setpoints_at_rest(Machine* m) noexcept nogil:
    cdef int i
    for i in range(m.settings.axes):
        if fabs(m.speed_deg_s[i]) > 1e-6 or fabs(m.acceleration_deg_s2[i]) > 1e-3:
            return False
    return True


cdef int beyond(Machine* m, int i, double position, double speed, double acceleration) noexcept nogil:
    """The limit (-1 lower, +1 upper) that the axis cannot stop before any more from this kinematic state, at its own jerk
    and acceleration; 0 none. It may be the one it is about to turn to: the speed alone does not tell."""
    cdef AxisParameters* p = &m.parameters[i]
    cdef Axis* axis = &m.axis[i]
    cdef double ending = position + stop_distance(speed, acceleration, DYNAMIC_SHARE * p.max_acceleration_deg_s2,
                                                  DYNAMIC_SHARE * p.max_jerk_deg_s3)
    return -1 if ending < axis.lowest_deg - 0.01 else 1 if ending > axis.highest_deg + 0.01 else 0


cdef inline flag viable(Machine* m, int i, double position, double speed, double acceleration) noexcept nogil:
    return beyond(m, i, position, speed, acceleration) == 0


cdef void advance(Machine* m) noexcept nogil:
    """Next set-point of the running trajectory. Before it is taken, every axis is asked whether it could still stop
    inside its limits from there; where not, that axis (jog) or the whole motion (position) brakes from the present
    set-point instead, from which stopping is still possible because it passed this very test a cycle ago."""
    cdef double p[MAX_AXES]
    cdef double v[MAX_AXES]
    cdef double a[MAX_AXES]
    cdef int i, side
    cdef flag brake = False
    cdef double dt = m.settings.period_ns * 1e-9
    m.planner.at(m.motion_time_s + dt, p, v, a)
    if m.motion in (MOTION_JOG, MOTION_POSITION, MOTION_RETREAT):
        for i in range(m.settings.axes):
            side = beyond(m, i, p[i], v[i], a[i])
            if side != 0:
                brake = True
                m.limit_interventions += 1
                m.axis[i].blocked = side
                set_warning(m, WARNING_LIMIT_BRAKE, i + 1, True)
        if brake:
            if m.motion == MOTION_POSITION:
                m.motion = MOTION_BRAKING
            elif m.motion == MOTION_RETREAT:
                m.motion = MOTION_STOPPING
            if not (plan_jog(m) if m.motion == MOTION_JOG else plan_halt(m)):
                raise_error(m, ERROR_TRAJECTORY, NO_AXIS)
                return
            m.planner.at(dt, p, v, a)
    m.motion_time_s += dt
    for i in range(m.settings.axes):
        m.position_deg[i] = p[i]
        m.speed_deg_s[i] = v[i]
        m.acceleration_deg_s2[i] = a[i]
        narrow(m, i, p[i])


cdef flag settled(Machine* m) noexcept nogil:
    """True once every axis has been within its tolerance for 20 ms, or after one second without coming nearer: then the
    position loop is opened, and its corrections run out before the drives hold by themselves."""
    cdef int i
    cdef flag inside = True
    cdef double error = 0.0
    if m.settle_ns >= SETTLE_NS:
        return corrections_gone(m)
    m.settle_ns += m.settings.period_ns
    for i in range(m.settings.axes):
        error += fabs(m.position_deg[i] - m.axis[i].position_deg)
    if error < m.settle_error_deg - fabs(m.parameters[0].deg_per_count):
        m.settle_error_deg = error
        m.settle_ns = 0
    for i in range(m.settings.axes):
        if fabs(m.position_deg[i] - m.axis[i].position_deg) > 0.75 * in_position_deg(m, i) \
                or fabs(m.axis[i].correction_deg_s) > 0.05:
            inside = False
    m.settled_ns = m.settled_ns + m.settings.period_ns if inside else 0
    return m.settled_ns >= 20000000


cdef flag arrival_failed(Machine* m, int counts, double degrees) noexcept nogil:
    """A motion that ends and leaves an axis well away from its set-point has not been followed: an error now, or the
    next motion would begin from there and forgive it, one after the other."""
    cdef int i
    cdef flag failed = False
    for i in range(m.settings.axes):
        if fabs(m.position_deg[i] - m.axis[i].position_deg) > fmax(counts * in_position_deg(m, i), degrees):
            raise_error(m, ERROR_ESS_FOLLOWING, i + 1)
            failed = True
    return failed


cdef void arrive(Machine* m) noexcept nogil:
    """Settling is over: say for each axis whether it stands on its target."""
    cdef int i
    cdef flag all_on_target = True
    if arrival_failed(m, ARRIVAL_TOLERANCES, 0.5) or line_takes_over(m):
        return
    cdef flag at_target = m.mode == MASTER_MODE_POSITION_TARGET and m.hand.phase == HAND_IDLE
    for i in range(m.settings.axes):
        m.axis[i].on_target = (at_target
                               and fabs(m.axis[i].target_deg - m.axis[i].position_deg) <= in_position_deg(m, i))
        if not m.axis[i].on_target:
            all_on_target = False
    if at_target and all_on_target:
        m.motions_done += 1
        event(m, EVENT_KIND_MOTION_DONE, 0, 0, 0)
    stand_still(m)
    if at_target:
        set_mode(m, MASTER_MODE_STAND_STILL)


cdef void settle(Machine* m) noexcept nogil:
    m.motion = MOTION_SETTLING
    m.settle_ns = 0
    m.settle_error_deg = 1e9
    m.settled_ns = 0


cdef void begin_motion(Machine* m) noexcept nogil:
    """Leaving standstill: seed from feedback, so nothing before it can make the arm jump."""
    if m.motion == MOTION_STANDING:
        seed(m)


cdef void step_motion(Machine* m) noexcept nogil:
    """One cycle of the present motion."""
    cdef flag at_end
    if m.motion == MOTION_STANDING:
        return
    if m.motion == MOTION_EXTERNAL:
        step_external(m)
        return
    if m.motion == MOTION_HAND_JOG:
        step_hand_jog(m)
        return
    if m.motion == MOTION_LINE:
        step_line(m)
        return
    if m.motion == MOTION_COMPLIANT:
        step_compliant(m)
        return
    if m.motion == MOTION_SETTLING:
        if settled(m):
            arrive(m)
        return
    if m.motion == MOTION_JOG and m.now_ns - m.jog_ns > m.settings.jog_timeout_ns:
        release_jog(m)
    advance(m)
    at_end = m.motion_time_s >= m.planner.duration_s() and setpoints_at_rest(m)
    if not at_end:
        return
    if m.motion == MOTION_BRAKING:
        if plan_targets(m):
            m.motion = MOTION_POSITION
        else:
            settle(m)
    elif m.motion == MOTION_POSITION:
        settle(m)
    elif m.motion == MOTION_JOG:
        if not jog_held(m):
            settle(m)
    elif m.motion == MOTION_RETREAT:
        end_retreat(m)
    elif m.motion == MOTION_STOPPING and (m.quick_limits or corrections_gone(m)):
        if m.load.retreat and begin_retreat(m):
            return
        if m.quick_limits or not arrival_failed(m, ARRIVAL_TOLERANCES, m.settings.standstill_drift_deg):
            finish_stop(m)


cdef flag corrections_gone(Machine* m) noexcept nogil:
    """A soft stop also lets the position loop's corrections run out before the drives hold by themselves."""
    cdef int i
    for i in range(m.settings.axes):
        if fabs(m.axis[i].correction_deg_s) > 0.02:
            return False
    return True


cdef flag jog_held(Machine* m) noexcept nogil:
    cdef int i
    for i in range(m.settings.axes):
        if m.axis[i].jog_percent != 0.0:
            return True
    return m.hand.jog_percent[0] != 0.0 or m.hand.jog_percent[1] != 0.0 or m.hand.jog_percent[2] != 0.0


cdef void release_jog(Machine* m) noexcept nogil:
    """The client let go, or was not heard of in time: all axes to zero, softly."""
    cdef int i
    if not jog_held(m):
        return
    memset(m.hand.jog_percent, 0, sizeof(m.hand.jog_percent))
    for i in range(m.settings.axes):
        m.axis[i].jog_percent = 0.0
    if m.motion == MOTION_JOG and not plan_jog(m):
        raise_error(m, ERROR_TRAJECTORY, NO_AXIS)


cdef void begin_stop(Machine* m, int category) noexcept nogil:
    """Begin a stop, or make the one that runs harder. Category 0: power off now. 1: shortest ramp, then power off.
    2: jerk-limited, then hold."""
    if category >= m.stop_category:
        return
    m.stop_category = category
    m.hand.phase = HAND_IDLE
    m.load.retreat = False
    event(m, EVENT_KIND_STOP, category, 0, 0)
    if category == STOP_CATEGORY_EMERGENCY:
        finish_stop(m)
        return
    if m.motion == MOTION_STANDING or not m.motor_power:
        finish_stop(m)
        return
    m.quick_limits = category == STOP_CATEGORY_QUICK
    m.motion = MOTION_STOPPING
    set_mode(m, MASTER_MODE_EXTERNAL_DEVELOPER_ERROR if external_failed(m) else MASTER_MODE_STOP)
    if not plan_halt(m):
        m.stop_category = STOP_CATEGORY_EMERGENCY
        finish_stop(m)


cdef void finish_stop(Machine* m) noexcept nogil:
    """The stop has ended: take power away where its category says so, and settle the master state."""
    stand_still(m)
    if m.stop_category < STOP_CATEGORY_SOFT or m.off_after_stop or m.shutdown or m.self_test == SELF_TEST_RUNNING:
        m.motor_power = False
    if m.self_test == SELF_TEST_RUNNING:
        m.self_test = SELF_TEST_NOT_DONE
    m.off_after_stop = False
    set_idle_mode(m)
    transition(m, TRIGGER_STOPPED)
    if m.state == MASTER_STATE_WAITING:
        m.stop_category = STOP_CATEGORY_NONE
