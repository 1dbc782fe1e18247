# The hand's jog at a velocity (its moves along straight lines are in move.pxi).
#
# All set-points of both pass what those of any other motion pass: each axis must be able to stop inside its range from
# there (`viable`), and the last gate before the telegram (`command_allowed`).

cdef double WEAK = 0.004                # of the arm's length: damping begins where 1 rad moves the hand less than this
cdef double NEAR_SINGULAR = 0.3         # the same measure: from here on a singular posture ahead is looked for
cdef double LOOK_DEG = 0.05
cdef double SINGULAR_MARGIN_DEG = 0.3   # the hand comes to rest so far before it
cdef double EFFORT = 0.6                # of the axes' acceleration and jerk that the hand's ramp may take
cdef double BACK_1_S = 5.0              # back to the straight way, mm/s per mm
cdef double BACK_SHARE = 0.2            # of the hand's speed, at most
cdef double SIDEWAYS = 0.1              # share of the hand's speed that may go another way than wanted
cdef double HINDERED = 0.5              # less than this share of the wanted speed is told by a warning
cdef enum:
    WARNING_HOLD_NS = 300000000         # a warning of a jog is withdrawn when its cause was away for so long


cdef inline double share_of_speed(Machine* m) noexcept nogil:
    """What the speed cascade leaves of the hand's speed: as much as of the slowest axis's."""
    cdef double share = 1.0
    cdef int i
    for i in range(m.settings.axes):
        share = fmin(share, m.axis[i].speed_limit_deg_s / m.parameters[i].max_speed_deg_s)
    return share


cdef inline double approach(const AxisParameters* p, double room_deg) noexcept nogil:
    """Speed from which an axis comes to rest within this room, gently: half of its acceleration, and its jerk."""
    cdef double room = fmax(room_deg, 0.0)
    return fmin(cbrt(0.25 * DYNAMIC_SHARE * p.max_jerk_deg_s3 * room * room),
                sqrt(DYNAMIC_SHARE * p.max_acceleration_deg_s2 * room))


cdef inline double wanted_speed(Machine* m) noexcept nogil:
    """What the jog asks for, mm/s."""
    return (m.hand.chain.max_speed_mm_s * share_of_speed(m) * 1e-2
            * fmin(100.0, sqrt(dot(m.hand.jog_percent, m.hand.jog_percent))))


cdef flag ramp_hand(Machine* m, double* speed, double* acceleration) noexcept nogil:
    """The hand's speed one cycle on, jerk-limited, on its way to the wanted one. The parts are limited in proportion to
    what each has to change, so they change together, and from rest the hand goes straight."""
    cdef double want[MAX_AXES]
    cdef double a[MAX_AXES]
    cdef double j[MAX_AXES]
    cdef double at[MAX_AXES]
    cdef double zero[MAX_AXES]
    cdef double asked = sqrt(dot(m.hand.jog_percent, m.hand.jog_percent))
    cdef double change = 0.0
    cdef int k
    memset(zero, 0, sizeof(zero))
    for k in range(3):
        want[k] = m.hand.jog_percent[k] * wanted_speed(m) / asked if asked > 0.0 else 0.0
        change += (want[k] - m.hand.speed_mm_s[k]) * (want[k] - m.hand.speed_mm_s[k])
    change = sqrt(change)
    for k in range(3):
        a[k] = m.hand.chain.max_acceleration_mm_s2
        if m.hand.effort_s2_mm > 0.0:
            a[k] = fmin(a[k], EFFORT / m.hand.effort_s2_mm)
        if change > 1e-9:
            a[k] *= fmax(fabs(want[k] - m.hand.speed_mm_s[k]) / change, 1e-2)
        j[k] = 10.0 * a[k]
    if not m.hand_planner.plan_velocity(3, zero, m.hand.speed_mm_s, m.hand.acceleration_mm_s2, want, a, j):
        return False
    m.hand_planner.at(m.settings.period_ns * 1e-9, at, a, j)
    for k in range(3):
        speed[k] = a[k]
        acceleration[k] = j[k]
    return True


cdef uint32_t hindrance(Machine* m, const Frames* frames, const double* speed, const double* rate, uint32_t held) noexcept nogil:
    """Why the hand cannot go on that way: joints at their limits, or the stretched or folded arm."""
    cdef double outwards[3]
    cdef double distance
    cdef uint32_t found = 0
    cdef int i, k
    for i in range(m.settings.axes):
        if held >> i & 1:
            found |= joint_warning(&m.hand.chain, i, rate[i] > 0.0
                                   or m.axis[i].maximum_deg - m.position_deg[i] < m.position_deg[i] - m.axis[i].minimum_deg)
    if found:
        return found
    for k in range(3):
        outwards[k] = frames.hand_mm[k] - frames.origin_mm[0][k]
    distance = sqrt(dot(outwards, outwards))
    if distance > 0.95 * m.hand.chain.longest_mm and dot(outwards, speed) > 0.0:
        return FAR
    if distance < 1.05 * m.hand.chain.shortest_mm + 5.0 and dot(outwards, speed) < 0.0:
        return NEAR
    return 1


cdef double singular_share(Machine* m, const double* rate, double largest, int axis, double weakest) noexcept nogil:
    """A singular posture ahead is a limit like another: the share of the rates from which the arm still comes to rest
    before it. How far away it is, is told by how quickly the weakest direction of the hand gets weaker on the way."""
    cdef Frames frames
    cdef double columns[MAX_AXES][3]
    cdef double product[6]
    cdef double q[MAX_AXES]
    cdef double weaker
    cdef int i
    if largest <= 0.0 or weakest > NEAR_SINGULAR * m.hand.chain.longest_mm * RADIANS:
        return 1.0
    for i in range(MAX_AXES):
        q[i] = m.position_deg[i] + rate[i] * LOOK_DEG / largest
    forward(&m.hand.chain, q, &frames)
    columns_per_deg(&m.hand.chain, &frames, columns)
    gram(m.settings.axes, columns, 0, product)
    weaker = sqrt(least_eigenvalue(product))
    if weaker >= weakest:
        return 1.0
    return fmin(1.0, approach(&m.parameters[axis], LOOK_DEG * weakest / (weakest - weaker) - SINGULAR_MARGIN_DEG) / largest)


cdef void back_to_the_way(Machine* m, const Frames* frames, const double* speed, double length, double* out) noexcept nogil:
    """The wanted speed, and a little towards where the hand would be had it always had it."""
    cdef double off[3]
    cdef double most = BACK_SHARE * length
    cdef double size
    cdef int k
    for k in range(3):
        off[k] = BACK_1_S * (m.hand.reference_mm[k] - frames.hand_mm[k])
    size = sqrt(dot(off, off))
    for k in range(3):
        out[k] = speed[k] + off[k] * (most / size if size > most else 1.0)


cdef double joint_rates(Machine* m, double* speed, double* rate, uint32_t* hindered) noexcept nogil:
    """Joint speeds for a speed of the hand, within what the joints' limits allow. Returns the share of the speed that
    is had of it; `hindered`: warnings to be shown."""
    cdef Frames frames
    cdef double columns[MAX_AXES][3]
    cdef double low[MAX_AXES]
    cdef double high[MAX_AXES]
    cdef double* least = m.hand.least_deg_s
    cdef double* most = m.hand.most_deg_s
    cdef double n[MAX_AXES]
    cdef double got[3]
    cdef double along[3]
    cdef double length = sqrt(dot(speed, speed))
    cdef double product[6]
    cdef double had, aside = 0.0, share = 1.0, turn, largest = 0.0
    cdef double wanted[3]
    cdef int fastest = 0
    cdef int axes = m.settings.axes
    cdef int i, k
    cdef uint32_t held
    cdef flag way_out = False
    hindered[0] = 0
    memset(rate, 0, MAX_AXES * sizeof(double))
    for i in range(axes):
        low[i] = m.axis[i].minimum_deg
        high[i] = m.axis[i].maximum_deg
        least[i] = -approach(&m.parameters[i], m.position_deg[i] - low[i])
        most[i] = approach(&m.parameters[i], high[i] - m.position_deg[i])
    if length < 1e-9:
        return 1.0
    forward(&m.hand.chain, m.position_deg, &frames)
    columns_per_deg(&m.hand.chain, &frames, columns)
    back_to_the_way(m, &frames, speed, length, wanted)
    held = resolve(axes, columns, wanted, least, most, 0, WEAK * m.hand.chain.longest_mm * RADIANS, rate)
    moved_by(axes, columns, rate, got)
    length = sqrt(dot(wanted, wanted))
    had = clamp(dot(got, wanted) / (length * length), 0.0, 1.0)
    for k in range(3):
        along[k] = wanted[k] - got[k]
        aside += (got[k] - had * wanted[k]) * (got[k] - had * wanted[k])
    aside = sqrt(aside) / length
    turn = sqrt(dot(along, along))
    if turn > LOST * length:
        for k in range(3):
            along[k] /= turn
        turn /= m.hand.chain.longest_mm * RADIANS
        way_out = escape(&m.hand.chain, &frames, columns, along, m.position_deg, low, high, held, rate, 0.3 * turn, n)
        if way_out:
            for i in range(axes):
                rate[i] = clamp(rate[i] + turn * n[i], least[i], most[i])
    m.hand.effort_s2_mm = 0.0
    for i in range(axes):
        if fabs(rate[i]) > largest:
            largest = fabs(rate[i])
            fastest = i
        turn = fmax(fabs(rate[i]) / m.parameters[i].max_acceleration_deg_s2,
                    10.0 * fabs(rate[i]) / m.parameters[i].max_jerk_deg_s3)
        m.hand.effort_s2_mm = fmax(m.hand.effort_s2_mm, turn / length)
    gram(axes, columns, 0, product)
    share = singular_share(m, rate, largest, fastest, sqrt(least_eigenvalue(product)))
    if way_out:
        had = 1.0       # within a degree of the singular posture: not worth slowing down for what goes aside
    else:
        share = fmin(share, clamp(1.0 - (aside - SIDEWAYS) / SIDEWAYS, 0.0, 1.0))
        if (held or share < 0.999 or had < 0.9) and share * had * length < HINDERED * wanted_speed(m):
            hindered[0] = hindrance(m, &frames, speed, rate, held)
        had = fmax(had, 0.05)
    for i in range(axes):
        turn = SPEED_SHARE * m.axis[i].speed_limit_deg_s
        if fabs(rate[i]) * share > turn:
            share = turn / fabs(rate[i])
    for i in range(axes):
        rate[i] *= share
    return share * had


cdef double proportion(Machine* m, int i, double way, double longest, double most, double jerk) noexcept nogil:
    """Share of an axis's acceleration and jerk for its part of a common change of speed: as much as the change is of the
    longest, but always enough to take back the acceleration it has without passing its new speed."""
    cdef double a = m.acceleration_deg_s2[i]
    if fabs(a) < 1e-6:
        return fmax(fabs(way) / fmax(longest, 1e-9), 0.02)
    if a * way <= 0.0:
        return 1.0
    return fmin(1.0, fmax(fmax(fabs(way) / longest, fabs(a) / most), 1.1 * a * a / (2.0 * jerk * fabs(way))))


cdef void follow_rates(Machine* m, const double* rate, double* p, double* v, double* a) noexcept nogil:
    """The next set-point at these joint speeds; where that would take more acceleration or jerk than an axis has, they go
    there together as fast as that one may."""
    cdef double limit[MAX_AXES]
    cdef double most[MAX_AXES]
    cdef double jerk[MAX_AXES]
    cdef double dt = m.settings.period_ns * 1e-9
    cdef double change = 0.0, part
    cdef int i
    cdef flag direct = m.hand.followed
    planning_limits(m, 100.0, limit, most, jerk)
    for i in range(m.settings.axes):
        v[i] = rate[i]
        a[i] = (rate[i] - m.speed_deg_s[i]) / dt
        p[i] = m.position_deg[i] + 0.5 * (m.speed_deg_s[i] + rate[i]) * dt
        # against the mean of the cycle before: a planned one ends with more than that
        if (fabs(a[i]) > most[i] or fabs(a[i] - (m.speed_deg_s[i] - m.hand.before_deg_s[i]) / dt) > jerk[i] * dt
                or fabs(v[i] + a[i] * fabs(a[i]) / (2.0 * jerk[i])) > limit[i]    # speed when a has come down to 0
                or a[i] < 0.0 and v[i] - a[i] * a[i] / (2.0 * jerk[i]) < m.hand.least_deg_s[i] - 1e-9
                or a[i] > 0.0 and v[i] + a[i] * a[i] / (2.0 * jerk[i]) > m.hand.most_deg_s[i] + 1e-9):
            direct = False
        change = fmax(change, fabs(rate[i] - m.speed_deg_s[i]))
    if direct:
        return
    for i in range(m.settings.axes):    # in proportion, or the hand would go another way meanwhile
        part = proportion(m, i, rate[i] - m.speed_deg_s[i], change, most[i], jerk[i])
        most[i] *= part
        jerk[i] *= part
    if not m.planner.plan_velocity(m.settings.axes, m.position_deg, m.speed_deg_s, m.acceleration_deg_s2, rate, most, jerk):
        raise_error(m, ERROR_TRAJECTORY, NO_AXIS)
    m.planner.at(dt, p, v, a)


cdef flag take_setpoints(Machine* m, double* p, double* v, double* a) noexcept nogil:
    """Take the next set-points; where an axis could not stop inside its range from them, all brake instead, which they
    can, because the set-points before have passed this test. False when they brake."""
    cdef int i
    cdef flag good = True
    for i in range(m.settings.axes):
        if not viable(m, i, p[i], v[i], a[i]):
            good = False
    if not good:
        m.limit_interventions += 1
        if not plan_halt(m):
            raise_error(m, ERROR_TRAJECTORY, NO_AXIS)
            return False
        m.planner.at(m.settings.period_ns * 1e-9, p, v, a)
    for i in range(m.settings.axes):
        m.position_deg[i] = p[i]
        m.speed_deg_s[i] = v[i]
        m.acceleration_deg_s2[i] = a[i]
        narrow(m, i, p[i])
    return good


cdef void tell_hindrance(Machine* m, uint32_t hindered) noexcept nogil:
    """Warnings of a jog, each withdrawn when its cause was away for a while."""
    cdef int bit
    for bit in range(HAND_WARNINGS):
        if hindered >> bit & 1:
            m.hand.warned_ns[bit] = m.now_ns
        elif m.hand.warned >> bit & 1 and m.now_ns - m.hand.warned_ns[bit] < WARNING_HOLD_NS:
            hindered |= <uint32_t>1 << bit
    warn_of_hand(m, hindered)


cdef void step_hand_jog(Machine* m) noexcept nogil:
    """One cycle of the hand's jog."""
    cdef double speed[3]
    cdef double acceleration[3]
    cdef double rate[MAX_AXES]
    cdef double p[MAX_AXES]
    cdef double v[MAX_AXES]
    cdef double a[MAX_AXES]
    cdef double had
    cdef uint32_t hindered
    cdef int k
    if m.now_ns - m.jog_ns > m.settings.jog_timeout_ns:
        release_jog(m)
    if not ramp_hand(m, speed, acceleration):
        raise_error(m, ERROR_TRAJECTORY, NO_AXIS)
        return
    had = joint_rates(m, speed, rate, &hindered)
    for k in range(3):      # what is not had of it must not build up
        m.hand.speed_mm_s[k] = had * speed[k]
        m.hand.acceleration_mm_s2[k] = had * acceleration[k]
        m.hand.reference_mm[k] += had * speed[k] * m.settings.period_ns * 1e-9
    follow_rates(m, rate, p, v, a)
    memcpy(m.hand.before_deg_s, m.speed_deg_s, sizeof(m.speed_deg_s))
    m.hand.followed = True
    if m.motion != MOTION_HAND_JOG:
        return              # an error has stopped it
    take_setpoints(m, p, v, a)
    tell_hindrance(m, hindered)
    if not jog_held(m) and dot(speed, speed) < 1e-18 and setpoints_at_rest(m):
        warn_of_hand(m, 0)
        settle(m)


cdef int begin_hand_jog(Machine* m, const Command* command) noexcept nogil:
    """Speeds of the hand in percent, for the jog timeout from when they were asked for."""
    cdef Frames frames
    cdef double columns[MAX_AXES][3]
    cdef int i, k
    if too_old(m, command):
        return COMMAND_RESULT_OK        # as for a joint jog
    if (m.motion == MOTION_STANDING or m.motion == MOTION_COMPLIANT) and not any_speed(command):
        return COMMAND_RESULT_OK
    begin_motion(m)
    if m.motion != MOTION_HAND_JOG:     # from whatever moves: at the hand's present speed
        forward(&m.hand.chain, m.position_deg, &frames)
        columns_per_deg(&m.hand.chain, &frames, columns)
        moved_by(m.settings.axes, columns, m.speed_deg_s, m.hand.speed_mm_s)
        memset(m.hand.acceleration_mm_s2, 0, sizeof(m.hand.acceleration_mm_s2))
        memcpy(m.hand.reference_mm, frames.hand_mm, sizeof(frames.hand_mm))
        m.hand.effort_s2_mm = 0.0
        m.hand.followed = False
        warn_of_hand(m, 0)
    for k in range(3):
        m.hand.jog_percent[k] = command.values[k] if command.mask >> k & 1 else 0.0
    for i in range(m.settings.axes):
        m.axis[i].jog_percent = 0.0
        m.axis[i].on_target = False
    m.hand.phase = HAND_IDLE
    m.jog_ns = command.asked_ns
    m.motion = MOTION_HAND_JOG
    return transition(m, COMMAND_KIND_HAND_JOG)
