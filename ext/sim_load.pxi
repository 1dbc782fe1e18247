# What pulls at the joints: the weight of the links and a hand's force, by the chain of joints. The simulated arm's own
# model, independent of the controller's: the two check each other.

cdef void turn(double* r, const double* axis, double angle_rad) noexcept nogil:
    """r := r x rotation about `axis` (length 1), by Rodrigues' formula. r is 3 x 3, by rows."""
    cdef double c = cos(angle_rad), s = sin(angle_rad), u = 1.0 - c
    cdef double x = axis[0], y = axis[1], z = axis[2]
    cdef double q[9]
    cdef double row[3]
    cdef int i, k
    q[0] = c + u * x * x; q[1] = u * x * y - s * z; q[2] = u * x * z + s * y
    q[3] = u * x * y + s * z; q[4] = c + u * y * y; q[5] = u * y * z - s * x
    q[6] = u * x * z - s * y; q[7] = u * y * z + s * x; q[8] = c + u * z * z
    for i in range(3):
        for k in range(3):
            row[k] = r[3 * i] * q[k] + r[3 * i + 1] * q[3 + k] + r[3 * i + 2] * q[6 + k]
        for k in range(3):
            r[3 * i + k] = row[k]


cdef inline void carry(const double* r, const double* v, const double* origin, double* out) noexcept nogil:
    """out = origin + r v"""
    cdef int i
    for i in range(3):
        out[i] = origin[i] + r[3 * i] * v[0] + r[3 * i + 1] * v[1] + r[3 * i + 2] * v[2]


cdef inline double about(const double* axis, const double* arm, const double* force) noexcept nogil:
    """Torque about `axis` of a force that acts at `arm` from it: axis . (arm x force)."""
    return (axis[0] * (arm[1] * force[2] - arm[2] * force[1]) + axis[1] * (arm[2] * force[0] - arm[0] * force[2])
            + axis[2] * (arm[0] * force[1] - arm[1] * force[0]))


cdef void load_step(Arm* arm) noexcept nogil:
    """Torques of weights and forces in the present pose, and where the hand is."""
    cdef double r[9]
    cdef double origin[MAX_AXES][3]
    cdef double axis[MAX_AXES][3]
    cdef double centre[MAX_AXES][3]
    cdef double at[3]
    cdef double zero[3]
    cdef double lever[3]
    cdef double weight[3]
    cdef double torque
    cdef Axis* a
    cdef int i, j, k
    for k in range(9):
        r[k] = 1.0 if k % 4 == 0 else 0.0
    for k in range(3):
        at[k] = zero[k] = 0.0
    for i in range(arm.axes):
        a = &arm.axis[i]
        carry(r, a.offset, at, origin[i])
        carry(r, a.turns, zero, axis[i])
        turn(r, a.turns, a.position * 0.017453292519943295)
        carry(r, a.centre, origin[i], centre[i])
        for k in range(3):
            at[k] = origin[i][k]
    carry(r, arm.hand_offset, at, arm.hand)
    weight[0] = weight[1] = 0.0
    for i in range(arm.axes):
        a = &arm.axis[i]
        torque = 0.0
        for j in range(i, arm.axes):
            weight[2] = -arm.gravity_m_s2 * arm.axis[j].mass
            for k in range(3):
                lever[k] = centre[j][k] - origin[i][k]
            torque += about(axis[i], lever, weight)
        a.holding = -torque * a.counts_per_nm
        for k in range(3):
            lever[k] = arm.hand[k] - origin[i][k]
        a.lever[0] = axis[i][1] * lever[2] - axis[i][2] * lever[1]
        a.lever[1] = axis[i][2] * lever[0] - axis[i][0] * lever[2]
        a.lever[2] = axis[i][0] * lever[1] - axis[i][1] * lever[0]
        a.pulled = about(axis[i], lever, arm.hand_force_n) * a.counts_per_nm + a.outside
