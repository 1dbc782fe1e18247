# The load of the joints: gravity by the chain and the masses of its links, the spring of axis 2, and what is left of the
# measured torque: a hand, an obstacle, a spasm (contact.pxi). Torques in torque sensor counts, positive where the drive
# pushes upwards.

cdef double TORQUE_SMOOTHING_S = 20e-3


cdef void hold_against_gravity(const LoadSettings* s, const double* weight, const Hand* hand, int axes, double* nm) noexcept nogil:
    """Torque in Nm about each joint that holds all links behind it: tau_i = -z_i . sum_j (c_j - o_i) x m_j g (statics of a
    serial chain; Siciliano et al., "Robotics", section 7.1). From the hand inwards, with the sums of m and m c carried on:
    sum_j (c_j - o_i) m_j = S_i - M_i o_i. `weight`: share of each limb; 1 is all of it."""
    cdef double mass = 0.0, link
    cdef double moment[3]
    cdef double centre[3]
    cdef double r[3]
    cdef const Frames* f = &hand.frames
    cdef int i = axes - 1
    cdef int k
    memset(moment, 0, sizeof(moment))
    while i >= 0:
        link = s.mass_kg[i] * weight[s.limb[i]]
        for k in range(3):
            centre[k] = s.centre_mm[i][k] * hand.chain.stretch[i]
        rotated(f.rotation[i], centre, r)
        mass += link
        for k in range(3):
            moment[k] += link * (f.origin_mm[i][k] + r[k])
            r[k] = moment[k] - mass * f.origin_mm[i][k]
        # z . (r x g) with g = (0, 0, -g): z_x r_y (-g) - z_y r_x (-g); mm -> m
        nm[i] = STANDARD_GRAVITY_M_S2 * 1e-3 * (f.axis[i][0] * r[1] - f.axis[i][1] * r[0])
        i -= 1


cdef inline flag load_known(Machine* m) noexcept nogil:
    """Are there masses, and a chain to hang them on?"""
    return m.load.settings.known and m.hand.chain.joints == m.settings.axes and m.hand.known


cdef void find_load(Machine* m) noexcept nogil:
    """With fresh feedback: the load of every axis, and what is measured beside it, smoothed."""
    cdef double nm[MAX_AXES]
    cdef double dt = m.settings.period_ns * 1e-9 * m.bus.gap
    cdef double share = fmin(1.0, dt / TORQUE_SMOOTHING_S)
    cdef double found
    cdef int i
    cdef Load* load = &m.load
    if not load_known(m):
        return
    hold_against_gravity(&load.settings, load.weight, &m.hand, m.settings.axes, nm)
    for i in range(m.settings.axes):
        load.holding_counts[i] = (nm[i] * load.settings.counts_per_nm[i] - load.settings.spring_offset_counts[i]
                                  - load.settings.spring_counts_per_deg[i] * m.axis[i].position_deg)
        if not m.energised:
            load.residual_counts[i] = load.slope_counts_s[i] = 0.0     # drives without current carry nothing
            continue
        found = (m.axis[i].torque_counts - load.settings.zero_counts[i] - load.holding_counts[i]
                 - load.residual_counts[i])
        load.slope_counts_s[i] = found / TORQUE_SMOOTHING_S
        load.residual_counts[i] += found * share


cdef int take_load_settings(Machine* m, const Command* command) noexcept nogil:
    """Dead band and gains of compliant mode (one register of each axis), or a weight share."""
    cdef int i
    cdef int first = <int>clamp(command.value, 0.0, 1e6) if isfinite(command.value) else 0
    cdef double unit = 1.0, high = REGISTER_COMPLIANT_DEAD_BAND_HIGHEST
    cdef double* to = m.load.dead_band_counts
    if first != command.value or command.mask == 0:
        return COMMAND_RESULT_OUT_OF_RANGE
    if first in (REGISTER_UPPER_ARM_WEIGHT, REGISTER_FOREARM_WEIGHT):
        high = REGISTER_UPPER_ARM_WEIGHT_HIGHEST if first == REGISTER_UPPER_ARM_WEIGHT else REGISTER_FOREARM_WEIGHT_HIGHEST
        if command.mask != 1 or not numbers_fit(command, MAX_AXES, 0.0, high):
            return COMMAND_RESULT_OUT_OF_RANGE
        if m.motion == MOTION_COMPLIANT:
            return COMMAND_RESULT_WRONG_STATE   # the arm that a hand leads would rise or sink by it, and go on; given again
        m.load.weight[1 if first == REGISTER_UPPER_ARM_WEIGHT else 2] = command.values[0] * 1e-2
        m.load.changed_ns = m.now_ns
        return COMMAND_RESULT_OK
    if first == REGISTER_COMPLIANT_PROPORTIONAL:
        to = m.load.proportional
        unit = 1e-2
        high = REGISTER_COMPLIANT_PROPORTIONAL_HIGHEST
    elif first == REGISTER_COMPLIANT_EXPONENTIAL:
        to = m.load.exponential
        unit = 1e-3
        high = REGISTER_COMPLIANT_EXPONENTIAL_HIGHEST
    elif first == REGISTER_COMPLIANT_DERIVATIVE:
        to = m.load.derivative
        unit = 1e-3
        high = REGISTER_COMPLIANT_DERIVATIVE_HIGHEST
    elif first != REGISTER_COMPLIANT_DEAD_BAND:
        return COMMAND_RESULT_OUT_OF_RANGE
    if not numbers_fit(command, MAX_AXES, 0.0, high):
        return COMMAND_RESULT_OUT_OF_RANGE
    for i in range(MAX_AXES):
        if command.mask >> i & 1:
            to[i] = command.values[i] * unit
    return COMMAND_RESULT_OK
