# Contact and spasm: a torque in a motion that the load does not explain (gravity.pxi). A soft stop, and after it, where that
# is configured, a little way with the torque.

cdef int64_t TORQUE_SETTLED_NS = 100000000   # after the drives took the load, before what is measured counts
cdef double EXTREME_CONTACT = 3.0        # so many times the torque of a contact are one at once
cdef double RETREAT_PERCENT = 25.0       # of the speed limit in force
cdef int TORQUE_END = 32767              # the sensor's last reading is none


cdef inline flag presses(Machine* m, int i) noexcept nogil:
    return fabs(m.load.residual_counts[i]) > m.load.settings.contact_counts[i]


cdef flag contact_lasts(Machine* m, int i) noexcept nogil:
    """Has the torque beside the load been too large for too long, or far too large?"""
    if not presses(m, i):
        m.load.contact_since_ns[i] = -1
        return False
    if m.load.contact_since_ns[i] < 0:
        m.load.contact_since_ns[i] = m.now_ns
    return (m.now_ns - m.load.contact_since_ns[i] >= m.load.settings.contact_ns
            or fabs(m.load.residual_counts[i]) > EXTREME_CONTACT * m.load.settings.contact_counts[i])


cdef inline flag leads_somewhere(int motion) noexcept nogil:
    """Motions that a contact ends; the others are ending already."""
    return motion not in (MOTION_STANDING, MOTION_STOPPING, MOTION_RETREAT)


cdef void forget_contacts(Machine* m) noexcept nogil:
    cdef int i
    for i in range(MAX_AXES):
        m.load.contact_since_ns[i] = -1


cdef void watch_contact(Machine* m) noexcept nogil:
    """In a motion, with fresh feedback and power: contact and spasm (error 650), and torque sensors at their end (651)."""
    cdef int i
    if (not load_known(m) or not m.energised or not leads_somewhere(m.motion)
            or m.now_ns - m.state_since_ns < TORQUE_SETTLED_NS):
        forget_contacts(m)
        return
    for i in range(m.settings.axes):
        if m.axis[i].torque_counts >= TORQUE_END or m.axis[i].torque_counts <= -TORQUE_END:
            raise_error(m, ERROR_TORQUE_SENSOR, i + 1)
            return
    if m.load.settings.contact_action == CONTACT_ACTION_OFF and m.motion != MOTION_COMPLIANT:
        forget_contacts(m)
        return
    for i in range(m.settings.axes):
        if contact_lasts(m, i):
            raise_error(m, ERROR_CONTACT, i + 1)
            m.load.retreat = (m.load.settings.contact_action == CONTACT_ACTION_RETREAT
                              and m.motion == MOTION_STOPPING and m.stop_category == STOP_CATEGORY_SOFT)
            return


cdef flag begin_retreat(Machine* m) noexcept nogil:
    """After the soft stop of a contact: every axis goes a little way where the outside torque pushes it, more where it
    pushes more, as long as it still does; slowly, inside its range. False where there is nowhere to go."""
    cdef int i
    cdef double way
    cdef flag any_way = False
    m.load.retreat = False
    if not m.motor_power or m.off_after_stop or m.shutdown:
        return False
    for i in range(m.settings.axes):
        way = 0.0
        m.load.retreat_from[i] = 0
        if fabs(m.load.residual_counts[i]) > m.load.dead_band_counts[i] and m.load.settings.contact_counts[i] > 0.0:
            m.load.retreat_from[i] = 1 if m.load.residual_counts[i] > 0.0 else -1
            way = -m.load.settings.retreat_deg * clamp(m.load.residual_counts[i] / m.load.settings.contact_counts[i],
                                                       -1.0, 1.0)
        m.axis[i].target_deg = clamp(m.position_deg[i] + way, fmin(m.axis[i].minimum_deg, m.position_deg[i]),
                                     fmax(m.axis[i].maximum_deg, m.position_deg[i]))
        if fabs(m.axis[i].target_deg - m.position_deg[i]) > in_position_deg(m, i) and m.axis[i].speed_limit_deg_s > MINIMUM_SPEED_DEG_S:
            any_way = True
        else:
            m.axis[i].target_deg = m.position_deg[i]
    m.move_percent = RETREAT_PERCENT
    if not any_way or not plan_targets(m):
        return False
    m.motion = MOTION_RETREAT
    return True


cdef flag still_pushed(Machine* m) noexcept nogil:
    """Is there an axis that still goes where it is pushed, and none that is pressed elsewhere: back, sideways, or
    beyond what its sensor measures?"""
    cdef int i
    cdef double pushed
    cdef flag goes_on = False
    for i in range(m.settings.axes):
        if m.axis[i].torque_counts >= TORQUE_END or m.axis[i].torque_counts <= -TORQUE_END:
            return False
        pushed = m.load.residual_counts[i] * m.load.retreat_from[i]
        if pushed > m.load.dead_band_counts[i]:
            goes_on = goes_on or fabs(m.axis[i].target_deg - m.position_deg[i]) > 1e-6
        elif presses(m, i):
            return False
    return goes_on


cdef void watch_retreat(Machine* m) noexcept nogil:
    """It goes on only as long as the outside torque asks for it, and nobody wants the power off."""
    if m.motion == MOTION_RETREAT and (m.off_after_stop or m.shutdown or m.bus.fresh and not still_pushed(m)):
        end_retreat(m)


cdef void end_retreat(Machine* m) noexcept nogil:
    """Softly, to the end of the stop it belongs to."""
    m.load.retreat = False
    if m.motion != MOTION_RETREAT:
        return
    m.motion = MOTION_STOPPING
    if not plan_halt(m):
        m.stop_category = STOP_CATEGORY_EMERGENCY
        finish_stop(m)
