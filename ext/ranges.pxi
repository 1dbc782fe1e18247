# Where set-points may go: the hard limits less their margin, and the range of motion set for the person on top of it.
#
# The range of motion is kept here over a new bring-up: a line that was lost must not widen it.

cdef inline double range_margin_deg(Machine* m, int i) noexcept nogil:
    """How far beyond its range of motion an axis may be seen before it is an error: the margin that separates set-points
    from the hard limits, and not less than twice what counts as in position, so that sensor noise is none."""
    return fmax(m.settings.limit_margin_deg, 2.0 * in_position_deg(m, i))


cdef void apply_range(Machine* m, int i) noexcept nogil:
    """Range of the axis's set-points in force."""
    cdef AxisParameters* p = &m.parameters[i]
    cdef Axis* axis = &m.axis[i]
    axis.minimum_deg = fmax(p.minimum_deg, axis.rom_minimum_deg) if axis.rom_enforced else p.minimum_deg
    axis.maximum_deg = fmin(p.maximum_deg, axis.rom_maximum_deg) if axis.rom_enforced else p.maximum_deg


cdef inline void widen(Machine* m, int i, double position_deg) noexcept nogil:
    """An axis that stands outside its range may move inwards from there, and no further out."""
    cdef Axis* axis = &m.axis[i]
    axis.lowest_deg = fmin(axis.minimum_deg, position_deg)
    axis.highest_deg = fmax(axis.maximum_deg, position_deg)


cdef inline void narrow(Machine* m, int i, double position_deg) noexcept nogil:
    """What such an axis has come inwards it may not go back out, within the same motion either."""
    cdef Axis* axis = &m.axis[i]
    axis.lowest_deg = fmin(axis.minimum_deg, fmax(axis.lowest_deg, position_deg))
    axis.highest_deg = fmax(axis.maximum_deg, fmin(axis.highest_deg, position_deg))


cdef void guard_range(Machine* m, int i) noexcept nogil:
    """ESS-3, 4: bounds of the actual position. Without power they follow a limb that is moved by hand; with power they
    only ever close in, so an axis that was found outside may come in, and may not leave again."""
    cdef Axis* axis = &m.axis[i]
    cdef double low = fmin(axis.rom_minimum_deg, axis.position_deg)
    cdef double high = fmax(axis.rom_maximum_deg, axis.position_deg)
    if not m.energised:
        axis.guard_low_deg = low
        axis.guard_high_deg = high
        return
    axis.guard_low_deg = fmax(axis.guard_low_deg, low)
    axis.guard_high_deg = fmin(axis.guard_high_deg, high)


cdef inline flag outside_range(Machine* m, int i) noexcept nogil:
    """Does the axis stand outside the range of motion that is enforced?"""
    cdef Axis* axis = &m.axis[i]
    cdef double margin = range_margin_deg(m, i)
    return axis.rom_enforced and not (axis.rom_minimum_deg - margin <= axis.position_deg
                                      <= axis.rom_maximum_deg + margin)


cdef inline flag range_fits(Machine* m, int i) noexcept nogil:
    """Does the range of motion in force leave the axis somewhere to go? Not so for one made for another arm."""
    return m.axis[i].minimum_deg < m.axis[i].maximum_deg


cdef int take_range(Machine* m, const Command* command) noexcept nogil:
    """ROM_MINIMUM, ROM_MAXIMUM: noted, and in force with the next ROM_ENABLE, so that a new pair comes in as one."""
    cdef int i
    if command.mask == 0 or not numbers_fit(command, MAX_AXES, -1e6, 1e6):
        return COMMAND_RESULT_OUT_OF_RANGE
    for i in range(MAX_AXES):
        if command.mask >> i & 1:
            if command.kind == COMMAND_KIND_ROM_MINIMUM:
                m.axis[i].given_minimum_deg = command.values[i]
            else:
                m.axis[i].given_maximum_deg = command.values[i]
    return COMMAND_RESULT_OK


cdef int check_range(Machine* m, int i) noexcept nogil:
    """May the range given for this axis come into force now? It has to leave room inside the hard limits, and to hold
    the axis and, in a motion, the place where that can still stop: enabling must never stop or drop a worn arm."""
    cdef AxisParameters* p = &m.parameters[i]
    cdef double low = m.axis[i].given_minimum_deg
    cdef double high = m.axis[i].given_maximum_deg
    cdef double count = fabs(p.deg_per_count)
    cdef double ending = m.position_deg[i]
    if not (p.minimum_deg - m.settings.limit_margin_deg - count <= low < high
            <= p.maximum_deg + m.settings.limit_margin_deg + count):
        return COMMAND_RESULT_OUT_OF_RANGE
    if not fmax(low, p.minimum_deg) < fmin(high, p.maximum_deg):
        return COMMAND_RESULT_OUT_OF_RANGE
    if not low - in_position_deg(m, i) <= m.axis[i].position_deg <= high + in_position_deg(m, i):
        return COMMAND_RESULT_OUTSIDE_RANGE
    if m.motion != MOTION_STANDING:
        ending += stop_distance(m.speed_deg_s[i], m.acceleration_deg_s2[i], DYNAMIC_SHARE * p.max_acceleration_deg_s2,
                                DYNAMIC_SHARE * p.max_jerk_deg_s3)
        if not low - 0.005 <= ending <= high + 0.005:
            return COMMAND_RESULT_OUTSIDE_RANGE
    return COMMAND_RESULT_OK


cdef int enable_ranges(Machine* m, const Command* command) noexcept nogil:
    """ROM_ENABLE: the axes in the mask are held to the ranges given last, all others are free. All of it or nothing."""
    cdef int i, result
    cdef flag stranded = False
    cdef Axis* axis
    if command.mask and (m.bus.first_valid_ns < 0 or m.bus.state not in (BUS_STATE_STARTING, BUS_STATE_CYCLIC)):
        return COMMAND_RESULT_NOT_READY     # where the arm stands is not known
    if command.mask >> m.settings.axes:
        return COMMAND_RESULT_OUT_OF_RANGE
    for i in range(m.settings.axes):
        if command.mask >> i & 1:
            result = check_range(m, i)
            if result != COMMAND_RESULT_OK:
                return result
    for i in range(MAX_AXES):
        axis = &m.axis[i]
        axis.rom_enforced = command.mask >> i & 1
        axis.rom_minimum_deg = axis.given_minimum_deg
        axis.rom_maximum_deg = axis.given_maximum_deg
        if i >= m.settings.axes:
            continue
        axis.guard_low_deg = fmin(axis.rom_minimum_deg, axis.position_deg)
        axis.guard_high_deg = fmax(axis.rom_maximum_deg, axis.position_deg)
        apply_range(m, i)
        widen(m, i, m.position_deg[i])
        if not axis.minimum_deg <= axis.target_deg <= axis.maximum_deg:
            stranded = True
    if stranded and (m.motion == MOTION_POSITION or m.motion == MOTION_BRAKING or m.motion == MOTION_LINE):
        end_motion(m)       # it was on its way to a place that is out of bounds now
    return COMMAND_RESULT_OK
