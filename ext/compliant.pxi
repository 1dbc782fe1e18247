# Compliant mode: a hand leads the arm. The controller closes the loop (admittance): the torque beside the load makes a
# speed, which passes what a jog passes: speed cascade, acceleration, jerk, ranges, and braking before them. It goes out in
# driver mode COMPLIANT_TRANSPARENT_01, together with what the drive carries as torque offset.

cdef int64_t HANDOVER_NS = 200000000     # at rest, before the load is judged
cdef double HANDOVER_FADE_S = 1.0        # in which what the drives carried beside the load begins to count as a hand's
cdef double STEEPEST = 3.0               # highest exponent of the exponential gain
cdef double LIGHTEST = 0.5               # largest share of an acceleration that its own inertia may ask back
cdef double LONGEST_S = 1.0              # longest time constant that gains make
cdef double RESTS_DEG_S = 0.01           # slower than this an axis that slows down comes to rest


cdef int begin_compliant(Machine* m) noexcept nogil:
    """To rest first; the hand gets the arm when it stands and its load is as the masses say."""
    cdef int i
    if not load_known(m):
        return COMMAND_RESULT_NO_MASS_MODEL
    if m.motion == MOTION_COMPLIANT:
        return COMMAND_RESULT_OK
    begin_motion(m)
    for i in range(m.settings.axes):
        m.axis[i].jog_percent = 0.0
        m.axis[i].on_target = False
        set_warning(m, WARNING_COMPLIANT_LOAD, i + 1, False)
    memset(m.hand.jog_percent, 0, sizeof(m.hand.jog_percent))
    m.hand.phase = HAND_IDLE
    m.motion = MOTION_COMPLIANT
    m.load.phase = COMPLIANT_PHASE_HANDING_OVER
    m.load.rest_ns = m.now_ns
    if not plan_halt(m):
        raise_error(m, ERROR_TRAJECTORY, NO_AXIS)
        return COMMAND_RESULT_NO_TRAJECTORY
    return transition(m, COMMAND_KIND_COMPLIANT)


cdef int end_compliant(Machine* m) noexcept nogil:
    """The client lets the hand lead no longer; nothing else that moves is ended."""
    if m.pending.kind == COMMAND_KIND_COMPLIANT:
        m.pending.kind = 0
    if m.motion != MOTION_COMPLIANT:
        return COMMAND_RESULT_OK
    end_motion(m)
    return transition(m, COMMAND_KIND_STAND_STILL)


cdef inline int compliant_phase(Machine* m) noexcept nogil:
    return m.load.phase if m.motion == MOTION_COMPLIANT else COMPLIANT_PHASE_NONE


cdef inline double handed_over(Machine* m) noexcept nogil:
    """Share of what the drives carried beside the load at the hand-over that is not yet taken for a hand: 1 -> 0."""
    return fmax(0.0, 1.0 - (m.now_ns - m.load.led_since_ns) * 1e-9 / HANDOVER_FADE_S)


cdef void hand_over(Machine* m) noexcept nogil:
    """Coming to rest, then the judgement: an axis whose load is not as expected would sag, and is not handed over."""
    cdef int i
    cdef flag as_expected = True
    advance(m)
    if m.motion != MOTION_COMPLIANT:
        return
    if not (setpoints_at_rest(m) and corrections_gone(m)):
        m.load.rest_ns = m.now_ns
    if m.now_ns - m.load.rest_ns < HANDOVER_NS:
        return
    for i in range(m.settings.axes):
        if fabs(m.load.residual_counts[i]) > fmax(1.0, m.load.dead_band_counts[i]):
            set_warning(m, WARNING_COMPLIANT_LOAD, i + 1, True)
            as_expected = False
    if not as_expected:
        end_motion(m)
        transition(m, COMMAND_KIND_STAND_STILL)
        return
    for i in range(m.settings.axes):
        m.load.carried_counts[i] = m.load.residual_counts[i]
    m.load.led_since_ns = m.now_ns
    m.load.phase = COMPLIANT_PHASE_LED


cdef double asked_speed(Machine* m, int i) noexcept nogil:
    """Speed in deg/s that the hand's torque makes: beyond the dead band b, u = |h| - b counts give
    v = p u exp(e u) + d du/dt, with the direction of the torque. It never asks against the hand."""
    cdef Load* load = &m.load
    cdef double hand = load.carried_counts[i] * handed_over(m) - load.residual_counts[i]
    cdef double sign = 1.0 if hand > 0.0 else -1.0
    cdef double beyond_band = fabs(hand) - load.dead_band_counts[i]
    cdef double speed
    if beyond_band <= 0.0:
        return 0.0
    speed = load.proportional[i] * beyond_band * exp(fmin(load.exponential[i] * beyond_band, STEEPEST))
    speed += load.derivative[i] * -sign * load.slope_counts_s[i]
    return sign * fmax(speed, 0.0)


cdef inline double room_ahead(Machine* m, int i, double direction) noexcept nogil:
    """Degrees to the end of the range in force in this direction."""
    return m.axis[i].maximum_deg - m.position_deg[i] if direction > 0.0 else m.position_deg[i] - m.axis[i].minimum_deg


cdef inline double resistance(Machine* m, int i, double direction) noexcept nogil:
    """Share of the speed that is left towards the end of the range: 1 outside the zone before it, 0 at the end, and for an
    axis that is not to be led at all."""
    if m.load.proportional[i] <= 0.0 or m.axis[i].speed_limit_deg_s <= MINIMUM_SPEED_DEG_S:
        return 0.0
    return clamp(room_ahead(m, i, direction) / m.load.settings.zone_deg, 0.0, 1.0)


cdef inline double steepest(Machine* m, int i, double limit) noexcept nogil:
    """Highest slope dv/dh in deg/s per count that `asked_speed` has up to the limit (deg/s), for slow and for fast changes
    of the torque. v = p u exp(e u) is at the limit where x = e u solves x exp(x) = e limit / p: Newton's method, from
    ln(1 + c) >= x, from where it stays above x. The slope there is p (1 + x) exp(x). The derivative gain makes d / T of a
    torque that is smoothed with T; |(p + d s) / (1 + T s)| is nowhere more than the larger of p and d / T."""
    cdef Load* load = &m.load
    cdef double p = load.proportional[i]
    cdef double fast = load.derivative[i] / TORQUE_SMOOTHING_S
    cdef double c, x
    cdef int turn
    if p <= 0.0:
        return fast
    c = load.exponential[i] * limit / p
    x = log1p(c)
    for turn in range(2):
        x -= (x - c * exp(-x)) / (1.0 + x)
    x = fmin(x, STEEPEST)
    return fmax(p * (1.0 + x) * exp(x), fast)


cdef double asked_acceleration(Machine* m, int i, double limit, flag heard) noexcept nogil:
    """deg/s^2 with which the set-point is to go towards what the hand asks for: a = (v_hand - v) / T.

    What a hand is taken for holds the arm's own inertia I (counts per deg/s^2) too: h = hand - I a. With dv/dh at most k
    an acceleration comes back as k I / T of itself, against itself. Below 1 that dies away, however late and however
    limited in jerk the arm follows (small gain theorem; a slower set-point only makes it smaller); so T is at least
    k I / LIGHTEST. Where that would be longer than LONGEST_S, the hand gets less speed instead. v is the set-point's own
    speed: what limits held back is not made up for later."""
    cdef double speed = m.speed_deg_s[i]
    cdef double needed = steepest(m, i, limit) * m.load.settings.inertia_counts[i] / LIGHTEST
    cdef double time_s = clamp(needed, m.load.settings.response_s, fmax(m.load.settings.response_s, LONGEST_S))
    cdef double wanted = clamp(asked_speed(m, i), -limit, limit) if heard else 0.0
    cdef double room
    if needed > time_s:
        wanted *= time_s / needed
    wanted *= resistance(m, i, wanted)
    wanted = (wanted - speed) / time_s
    room = room_ahead(m, i, speed)
    if 0.0 < room < m.load.settings.zone_deg:       # in the zone v shrinks with the room, so a has -v^2 / room in it
        wanted -= speed * fabs(speed) / fmax(room, 0.1)
    return wanted


cdef void follow_hand(Machine* m, double* speed) noexcept nogil:
    """Speed of every axis to plan to from where it is: there the acceleration that is asked for is reached, and can be
    given up again within the jerk limit (a |a| / 2 j); within limits, less near the end of the range. Without fresh
    feedback nothing is asked."""
    cdef int i
    cdef double limit, a, most
    cdef double dt = m.settings.period_ns * 1e-9
    cdef flag heard = m.now_ns - m.bus.sample_ns <= 3 * m.settings.period_ns + 500000
    for i in range(m.settings.axes):
        limit = SPEED_SHARE * m.axis[i].speed_limit_deg_s * m.load.settings.speed_share
        most = DYNAMIC_SHARE * m.parameters[i].max_acceleration_deg_s2
        a = clamp(asked_acceleration(m, i, limit, heard), -most, most)
        speed[i] = m.speed_deg_s[i] + a * dt + 0.5 * a * fabs(a) / (DYNAMIC_SHARE * m.parameters[i].max_jerk_deg_s3)
        if fabs(speed[i]) < RESTS_DEG_S and a * speed[i] <= 0.0:
            speed[i] = 0.0
        speed[i] = clamp(speed[i], -limit * resistance(m, i, -1.0), limit * resistance(m, i, 1.0))


cdef void step_compliant(Machine* m) noexcept nogil:
    """Next set-point of an arm that a hand leads, or is about to."""
    cdef double speed[MAX_AXES]
    cdef double p[MAX_AXES]
    cdef double v[MAX_AXES]
    cdef double a[MAX_AXES]
    cdef int i
    if m.load.phase == COMPLIANT_PHASE_HANDING_OVER:
        hand_over(m)
        return
    follow_hand(m, speed)
    if not plan_speeds(m, speed) and not plan_halt(m):
        raise_error(m, ERROR_TRAJECTORY, NO_AXIS)
        return
    m.planner.at(m.settings.period_ns * 1e-9, p, v, a)
    if not stay_inside(m, p, v, a, False):
        raise_error(m, ERROR_TRAJECTORY, NO_AXIS)
        return
    for i in range(m.settings.axes):
        m.position_deg[i] = p[i]
        m.speed_deg_s[i] = v[i]
        m.acceleration_deg_s2[i] = a[i]
        m.axis[i].target_deg = p[i]
        narrow(m, i, p[i])


cdef inline double torque_offset(Machine* m, int i) noexcept nogil:
    """What the drive shall carry: the load, and what a hand makes beside it (smoothed, at most a contact's torque). A drive in
    this mode is soft: a hand it did not carry would push it on beside the speed that was planned, over a limit of speed or
    range too. So the hand moves the arm by the planned speed alone, and by the drive's softness only at a jerk."""
    cdef double most = m.load.settings.contact_counts[i]
    return m.load.holding_counts[i] + clamp(m.load.residual_counts[i], -most, most)
