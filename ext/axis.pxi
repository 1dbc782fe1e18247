# Axes: counts -> degrees, the speed cascade, the position loop, and the last gate before a set-point leaves.

# Trajectories use this share of the limits and the position loop's correction the rest, so their sum cannot exceed them.
cdef double SPEED_SHARE = 0.95
cdef double DYNAMIC_SHARE = 0.90
cdef double DRIVE_LAG_S = 8e-3           # following error that a drive's own lag accounts for, per deg/s
cdef double MINIMUM_SPEED_DEG_S = 1e-3   # a planner needs some speed for axes that do not move


cdef inline double degrees(const AxisParameters* p, double counts) noexcept nogil:
    """deg = dir x stroke / resolution x (counts - zero), motor bus specification."""
    return p.deg_per_count * (counts - p.zero_counts)


cdef inline void slip(Machine* m, int i, double moved_deg) noexcept nogil:
    """Add one telegram to the difference between the way by the drive's speed and the way by the sensor.

    A sensor that is stuck, or a joint that slips, shows here even where each motion is too short for a following error.
    It fades by 0.2 deg/s, so that a calibration a little off does not add up."""
    cdef Axis* axis = &m.axis[i]
    cdef double dt = m.settings.period_ns * 1e-9 * m.bus.gap
    cdef double fade = 0.2 * dt
    if not m.energised:
        axis.slip_deg = 0.0
        return
    axis.slip_deg += axis.speed_deg_s * dt - moved_deg
    axis.slip_deg -= clamp(axis.slip_deg, -fade, fade)


cdef double REVERSED_DEG = 0.5           # so far against its command's direction may an axis be moved
cdef double SMOOTHING_S = 10e-3
cdef double REVERSED_DEG_S = 0.5         # slower set-points have no direction to speak of


cdef inline void measure_against(Machine* m, int i) noexcept nogil:
    """Net way of the axis against the direction of its set-point, one telegram more; smoothed, for sensors with noise."""
    cdef Axis* axis = &m.axis[i]
    cdef double moved_deg = (axis.position_deg - axis.smooth_deg) * fmin(1.0, m.settings.period_ns * 1e-9 / SMOOTHING_S)
    axis.smooth_deg += moved_deg
    if m.motion == MOTION_STANDING or fabs(m.speed_deg_s[i]) < REVERSED_DEG_S:
        axis.against_deg = 0.0
    else:
        axis.against_deg = fmax(0.0, axis.against_deg - (moved_deg if m.speed_deg_s[i] > 0.0 else -moved_deg))


cdef inline void read_axes(Machine* m) noexcept nogil:
    """Feedback of all axes in joint units."""
    cdef int i
    cdef int sent = (m.bus.answered - 1) & (SENT_SETPOINTS - 1)  # a telegram's speed leads to its set-point a cycle later
    cdef double before
    for i in range(m.settings.axes):
        before = m.axis[i].position_deg
        m.axis[i].position_deg = degrees(&m.parameters[i], m.axis[i].position_counts)
        m.axis[i].speed_deg_s = m.axis[i].frequency * m.parameters[i].deg_per_microstep
        slip(m, i, m.axis[i].position_deg - before)
        measure_against(m, i)
        m.axis[i].following_error_deg = m.sent_position_deg[sent][i] - m.axis[i].position_deg


cdef inline void apply_speed_cascade(Machine* m) noexcept nogil:
    """Speed limit in force: drive's maximum x advanced x user x movement percent."""
    cdef int i
    cdef Axis* axis
    for i in range(MAX_AXES):
        axis = &m.axis[i]
        axis.speed_limit_deg_s = (m.parameters[i].max_speed_deg_s * axis.advanced_percent * axis.user_percent
                                  * axis.movement_percent * 1e-6)


cdef inline double clamp(double value, double low, double high) noexcept nogil:
    return low if value < low else high if value > high else value


cdef inline double in_position_deg(Machine* m, int i) noexcept nogil:
    return fabs(m.parameters[i].deg_per_count) * m.settings.in_position_counts


cdef inline void correct(Machine* m, int i, flag loop_closed) noexcept nogil:
    """One step of the position loop: a speed correction, limited in size, slope and curvature to its share.

    Proportional on the position error with a dead band: half a count and a bit, so that sensor noise at rest does not
    move the drive, and what the drive's own lag makes of the speed, or a fast move would end in an overshoot of what
    the correction had made up. The approach to the wanted correction brakes in time, so it does not overshoot."""
    cdef AxisParameters* p = &m.parameters[i]
    cdef Axis* axis = &m.axis[i]
    cdef double dt = m.settings.period_ns * 1e-9
    cdef double acceleration = (1.0 - DYNAMIC_SHARE) * p.max_acceleration_deg_s2
    cdef double jerk = (1.0 - DYNAMIC_SHARE) * p.max_jerk_deg_s3
    cdef double largest = 0.9 * (1.0 - SPEED_SHARE) * axis.speed_limit_deg_s
    cdef double wanted = 0.0, error, reach, distance, slope
    if loop_closed:
        error = axis.following_error_deg
        if fabs(error) > 0.6 * fabs(p.deg_per_count) + DRIVE_LAG_S * fabs(m.speed_deg_s[i]):
            # no faster than it can be taken back to zero within that distance, or gentle limits would make it swing
            reach = fmin(cbrt(0.5 * jerk * error * error), sqrt(acceleration * fabs(error)))
            largest = fmin(largest, reach)
            wanted = clamp(m.settings.position_gain_1_s * error, -largest, largest)
    distance = wanted - axis.correction_deg_s
    # in steps of dt, taking j dt back in each: s^2 / (2 j) + s dt / 2 <= distance, with 1.6 for 2 as a reserve
    slope = jerk * dt * (sqrt(0.25 + 1.6 * fabs(distance) / (jerk * dt * dt)) - 0.5)
    if slope > acceleration:
        slope = acceleration
    if slope * dt > fabs(distance):
        slope = fabs(distance) / dt
    if distance < 0.0:
        slope = -slope
    axis.correction_deg_s2 += clamp(slope - axis.correction_deg_s2, -jerk * dt, jerk * dt)
    axis.correction_deg_s += axis.correction_deg_s2 * dt


cdef inline flag command_allowed(Machine* m, int i) noexcept nogil:
    """The last gate: is the speed about to be sent finite, within the axis's limits, and is its set-point inside?"""
    cdef AxisParameters* p = &m.parameters[i]
    cdef Axis* axis = &m.axis[i]
    cdef double dt = m.settings.period_ns * 1e-9
    cdef double slope = p.quick_deceleration_deg_s2 if m.quick_limits else p.max_acceleration_deg_s2
    if not (isfinite(axis.command_deg_s) and isfinite(m.position_deg[i])):
        return False
    if fabs(axis.command_deg_s) > p.max_speed_deg_s:
        return False
    if fabs(axis.command_deg_s - axis.command_before_deg_s) > 1.01 * slope * dt + 1e-9:
        return False
    return axis.lowest_deg - 0.02 <= m.position_deg[i] <= axis.highest_deg + 0.02


cdef inline void seed(Machine* m) noexcept nogil:
    """Set-points from feedback, at rest: nothing of a motion before a stop survives."""
    cdef int i, sent
    cdef Axis* axis
    for i in range(m.settings.axes):
        axis = &m.axis[i]
        m.position_deg[i] = axis.position_deg
        axis.following_error_deg = 0.0
        for sent in range(SENT_SETPOINTS):
            m.sent_position_deg[sent][i] = axis.position_deg
        m.speed_deg_s[i] = 0.0
        m.acceleration_deg_s2[i] = 0.0
        axis.correction_deg_s = 0.0
        axis.correction_deg_s2 = 0.0
        axis.command_deg_s = 0.0
        axis.command_before_deg_s = 0.0
        axis.target_deg = axis.position_deg
        axis.hold_deg = axis.position_deg
        axis.jog_percent = 0.0
        axis.blocked = 0
        axis.on_target = False
        widen(m, i, axis.position_deg)
