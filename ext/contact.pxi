# Contact and spasm: a torque that the load does not explain (gravity.pxi), in a motion or against an arm that is held. A soft
# stop, and after it, where that is configured, a little way with the torque.

cdef int64_t TORQUE_SETTLED_NS = 100000000   # after the drives took the load, before what is measured counts
cdef double EXTREME_CONTACT = 3.0        # so many times the torque of a contact are one at once
cdef double RETREAT_PERCENT = 25.0       # of the speed limit in force
cdef int TORQUE_END = 32767              # the sensor's last reading is none
cdef double BORNE_S = 1.0                # in which what presses at an arm that stands becomes what it bears


cdef inline flag presses(Machine* m, int i) noexcept nogil:
    return fabs(m.load.residual_counts[i]) > m.load.settings.contact_counts[i]


cdef inline flag held_in_auto(Machine* m) noexcept nogil:
    """Does the arm stand where a client has sent it, ready for the next motion? A limb that cramps against it would get all
    of the holding torque, and the next position of an exercise besides. After a stop (WAITING) nothing begins by itself,
    a retreat neither."""
    return m.motion == MOTION_STANDING and m.state == MASTER_STATE_AUTO and m.load.settings.contact_standing


cdef void bear(Machine* m, double share) noexcept nogil:
    """What an arm has been bearing beside its load for about BORNE_S: a limb that is laid into it, a weight in its hand,
    masses that are not quite right. What is there when the watch begins (a share of 1) is borne whatever it is; later no
    more than a contact's torque is got used to."""
    cdef int i
    cdef double most, found
    for i in range(m.settings.axes):
        found = m.load.residual_counts[i]
        if share < 1.0:
            most = fmax(m.load.settings.contact_counts[i], fabs(m.load.borne_counts[i]))
            found = clamp(found, -most, most)
        m.load.borne_counts[i] += share * (found - m.load.borne_counts[i])


cdef inline double sudden(Machine* m, int i) noexcept nogil:
    """Counts beside the load that are a contact's: in a motion all of them, of an arm that stands what it does not bear yet."""
    if m.motion == MOTION_STANDING:
        return fabs(m.load.residual_counts[i] - m.load.borne_counts[i])
    return fabs(m.load.residual_counts[i])


cdef flag contact_lasts(Machine* m, int i) noexcept nogil:
    """Has the torque beside the load been too large for too long, or far too large?"""
    if not presses(m, i) or sudden(m, i) <= m.load.settings.contact_counts[i]:
        m.load.contact_since_ns[i] = -1
        return False
    if m.load.contact_since_ns[i] < 0:
        m.load.contact_since_ns[i] = m.now_ns
    return (m.now_ns - m.load.contact_since_ns[i] >= m.load.settings.contact_ns
            or sudden(m, i) > EXTREME_CONTACT * m.load.settings.contact_counts[i])


cdef inline flag leads_somewhere(int motion) noexcept nogil:
    """Motions that a contact ends; the others are ending already."""
    return motion not in (MOTION_STANDING, MOTION_STOPPING, MOTION_RETREAT)


cdef void forget_contacts(Machine* m) noexcept nogil:
    cdef int i
    for i in range(MAX_AXES):
        m.load.contact_since_ns[i] = -1


cdef void watch_contact(Machine* m) noexcept nogil:
    """In a motion or held in AUTO, with fresh feedback and power: contact and spasm (error 650), and torque sensors at
    their end (651)."""
    cdef int i
    cdef flag stood
    if (not load_known(m) or not m.energised or not (held_in_auto(m) or leads_somewhere(m.motion))
            or m.now_ns - m.state_since_ns < TORQUE_SETTLED_NS
            or m.motion == MOTION_STANDING and m.now_ns - m.load.changed_ns < TORQUE_SETTLED_NS):
        forget_contacts(m)
        bear(m, 1.0)
        return
    bear(m, fmin(1.0, m.bus.gap * m.settings.period_ns * 1e-9 / BORNE_S))
    for i in range(m.settings.axes):
        if m.axis[i].torque_counts >= TORQUE_END or m.axis[i].torque_counts <= -TORQUE_END:
            raise_error(m, ERROR_TORQUE_SENSOR, i + 1)
            return
    if m.load.settings.contact_action == CONTACT_ACTION_OFF and m.motion != MOTION_COMPLIANT:
        forget_contacts(m)
        return
    for i in range(m.settings.axes):
        if contact_lasts(m, i):
            stood = m.motion == MOTION_STANDING
            raise_error(m, ERROR_CONTACT, i + 1)
            if m.load.settings.contact_action != CONTACT_ACTION_RETREAT or m.stop_category != STOP_CATEGORY_SOFT:
                return
            memset(m.load.accepted_counts, 0, sizeof(m.load.accepted_counts))
            if stood:
                memcpy(m.load.accepted_counts, m.load.borne_counts, sizeof(m.load.borne_counts))
                retreat_at_once(m)
            else:
                m.load.retreat = m.motion == MOTION_STOPPING
            return


cdef inline double pushing(Machine* m, int i) noexcept nogil:
    """Counts that a retreat gives way to: beside the load, and beside what an arm that stood was bearing already; of both
    the lesser, 0 where they point in different directions."""
    cdef double now = m.load.residual_counts[i]
    cdef double new = now - m.load.accepted_counts[i]
    if now * new <= 0.0:
        return 0.0
    return now if fabs(now) < fabs(new) else new


cdef void retreat_at_once(Machine* m) noexcept nogil:
    """Of an arm that stands: its soft stop is over as it begins. From where it is."""
    begin_motion(m)
    if begin_retreat(m):
        set_mode(m, MASTER_MODE_STOP)


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
        if fabs(pushing(m, i)) > m.load.dead_band_counts[i] and m.load.settings.contact_counts[i] > 0.0:
            m.load.retreat_from[i] = 1 if pushing(m, i) > 0.0 else -1
            way = -m.load.settings.retreat_deg * clamp(pushing(m, i) / m.load.settings.contact_counts[i], -1.0, 1.0)
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
        pushed = pushing(m, i) * m.load.retreat_from[i]
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
