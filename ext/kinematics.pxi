# Kinematics of the arm as a serial chain: where joints and hand are, and how fast the joints move the hand.
#
# Plain functions of (chain, joint angles): nothing of the machine. Frames and formulae: docs/kinematics.md. Lengths in
# mm, angles in degrees at the edge and radians in Jacobians; rotation matrices by rows.

cdef double RADIANS = 0.017453292519943295

cdef struct Chain:       # what the configuration says, or an adjusted copy of it
    int joints                          # 0: there is no arm
    int elbow, wrist                    # 0-based; -1 none
    double axis[MAX_AXES][3]            # of length 1, in the frame of the joint before at 0 degrees
    double offset_mm[MAX_AXES][3]       # from the joint before, in that joint's frame; of joint 0 from the base
    double hand_mm[3]                   # from the last joint, in its frame
    double max_speed_mm_s               # of the hand in Cartesian motions, at 100 %
    double max_acceleration_mm_s2       # of the hand in jogs
    double longest_mm, shortest_mm      # distances of the hand from joint 0 that its links' lengths allow
    double stretch[MAX_AXES]            # how much longer each link is than configured: limb and mass are spread over it

cdef struct Frames:      # of one set of joint angles, in the base frame
    double origin_mm[MAX_AXES][3]
    double axis[MAX_AXES][3]            # of length 1
    double rotation[MAX_AXES][9]        # of each link, behind its joint: base vector = rotation x link vector
    double hand_mm[3]


cdef inline double dot(const double* a, const double* b) noexcept nogil:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


cdef inline void cross(const double* a, const double* b, double* out) noexcept nogil:
    out[0] = a[1] * b[2] - a[2] * b[1]
    out[1] = a[2] * b[0] - a[0] * b[2]
    out[2] = a[0] * b[1] - a[1] * b[0]


cdef inline void rotated(const double* r, const double* v, double* out) noexcept nogil:
    """r x v; `out` is not `v`."""
    out[0] = r[0] * v[0] + r[1] * v[1] + r[2] * v[2]
    out[1] = r[3] * v[0] + r[4] * v[1] + r[5] * v[2]
    out[2] = r[6] * v[0] + r[7] * v[1] + r[8] * v[2]


cdef inline void rotation_about(const double* axis, double angle, double* r) noexcept nogil:
    """Rotation by `angle` radians about an axis of length 1: R = cos I + sin [a]x + (1 - cos) a a^T (Rodrigues; Murray,
    Li, Sastry, "A Mathematical Introduction to Robotic Manipulation", equation 2.14)."""
    cdef double c = cos(angle)
    cdef double s = sin(angle)
    cdef double x = axis[0], y = axis[1], z = axis[2]
    cdef double tx = (1.0 - c) * x, ty = (1.0 - c) * y, tz = (1.0 - c) * z
    r[0] = tx * x + c
    r[1] = tx * y - s * z
    r[2] = tx * z + s * y
    r[3] = tx * y + s * z
    r[4] = ty * y + c
    r[5] = ty * z - s * x
    r[6] = tx * z - s * y
    r[7] = ty * z + s * x
    r[8] = tz * z + c


cdef inline void multiplied(const double* a, const double* b, double* out) noexcept nogil:
    """a x b; `out` is neither."""
    cdef int i
    for i in range(3):
        out[3 * i] = a[3 * i] * b[0] + a[3 * i + 1] * b[3] + a[3 * i + 2] * b[6]
        out[3 * i + 1] = a[3 * i] * b[1] + a[3 * i + 1] * b[4] + a[3 * i + 2] * b[7]
        out[3 * i + 2] = a[3 * i] * b[2] + a[3 * i + 1] * b[5] + a[3 * i + 2] * b[8]


cdef void forward(const Chain* chain, const double* position_deg, Frames* frames) noexcept nogil:
    """Origin, axis and rotation of every joint, and the hand: o_i = o_(i-1) + R_(i-1) offset_i, z_i = R_(i-1) axis_i,
    R_i = R_(i-1) Rot(axis_i, q_i); hand = o_n + R_n hand. A chain of 0 joints has its hand in the origin."""
    cdef double one[9]
    cdef double step[9]
    cdef double moved[3]
    cdef const double* before = one
    cdef int i, k
    for k in range(9):
        one[k] = 1.0 if k % 4 == 0 else 0.0
    for k in range(3):
        frames.hand_mm[k] = 0.0
    for i in range(chain.joints):
        rotated(before, chain.offset_mm[i], moved)
        rotated(before, chain.axis[i], frames.axis[i])
        for k in range(3):
            frames.origin_mm[i][k] = moved[k] + (frames.origin_mm[i - 1][k] if i > 0 else 0.0)
        rotation_about(chain.axis[i], position_deg[i] * RADIANS, step)
        multiplied(before, step, frames.rotation[i])
        before = frames.rotation[i]
    if chain.joints > 0:
        rotated(before, chain.hand_mm, moved)
        for k in range(3):
            frames.hand_mm[k] = frames.origin_mm[chain.joints - 1][k] + moved[k]


cdef void jacobian(const Chain* chain, const Frames* frames, double (*columns)[3]) noexcept nogil:
    """Of the hand's position: `columns[i]` is its velocity in mm/s for 1 rad/s of joint i, z_i x (hand - o_i); the angular
    part of the geometric Jacobian is `frames.axis` (Siciliano et al., "Robotics", equation 3.30)."""
    cdef double arm[3]
    cdef int i, k
    for i in range(chain.joints):
        for k in range(3):
            arm[k] = frames.hand_mm[k] - frames.origin_mm[i][k]
        cross(frames.axis[i], arm, columns[i])


cdef inline double elbow_angle(const Chain* chain, const double* position_deg) noexcept nogil:
    """Angle of the elbow's joint in degrees; 0 where there is none."""
    return position_deg[chain.elbow] if 0 <= chain.elbow < chain.joints else 0.0


cdef inline void lengthen(double* offset_mm, double by_mm) noexcept nogil:
    """Make an offset longer along its own direction."""
    cdef double length = sqrt(dot(offset_mm, offset_mm))
    cdef int k
    if length > 0.0:
        for k in range(3):
            offset_mm[k] *= (length + by_mm) / length


cdef void measure(Chain* chain) noexcept nogil:
    """How far from joint 0 the hand can be, and how near: all links in a line, and the longest against all others."""
    cdef double length = sqrt(dot(chain.hand_mm, chain.hand_mm))
    cdef double longest = length
    cdef int i
    chain.longest_mm = length
    for i in range(1, chain.joints):
        length = sqrt(dot(chain.offset_mm[i], chain.offset_mm[i]))
        chain.longest_mm += length
        longest = fmax(longest, length)
    chain.shortest_mm = fmax(0.0, 2.0 * longest - chain.longest_mm)


cdef inline double link_mm(const Chain* chain, int i) noexcept nogil:
    """Length of the link behind joint i: to the next joint, or to the hand."""
    if i + 1 < chain.joints:
        return sqrt(dot(chain.offset_mm[i + 1], chain.offset_mm[i + 1]))
    return sqrt(dot(chain.hand_mm, chain.hand_mm))


cdef void adjust(const Chain* configured, double upper_arm_mm, double forearm_mm, Chain* out) noexcept nogil:
    """The chain with its upper arm (the offset to the elbow) and its forearm (the first offset beyond the elbow that has
    a length, else the hand's) made longer: registers 90 and 92. Without an elbow nothing is."""
    cdef int i
    cdef double length
    cdef double* forearm = out.hand_mm
    out[0] = configured[0]
    if 0 <= out.elbow < out.joints:
        lengthen(out.offset_mm[out.elbow], upper_arm_mm)
        for i in range(out.joints - 1, out.elbow, -1):
            if dot(out.offset_mm[i], out.offset_mm[i]) > 0.0:
                forearm = out.offset_mm[i]
        lengthen(forearm, forearm_mm)
    for i in range(out.joints):
        length = link_mm(configured, i)
        out.stretch[i] = link_mm(out, i) / length if length > 0.0 else 1.0
    measure(out)
