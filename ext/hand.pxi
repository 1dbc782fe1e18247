# The hand in the cycle: where it is, and the warnings that say what keeps it from going on.

# Bits of `warned`: 0..2 are 100..102, 3..5 are 104, 106, 107, 6..11 are 108..113.
cdef enum:
    FAR_TARGET = 8
    FAR = 16
    NEAR = 32
    HAND_WARNINGS = 12


cdef void use_chain(Machine* m, const Chain* configured) noexcept nogil:
    """The chain that comes with a line. The length adjustments are those of the person, and stay."""
    m.hand.configured = configured[0]
    adjust(&m.hand.configured, m.hand.upper_arm_mm, m.hand.forearm_mm, &m.hand.chain)
    m.hand.known = False


cdef inline void find_hand(Machine* m) noexcept nogil:
    """Hand and elbow of fresh feedback. Feedback is finite, and so is what comes of it."""
    cdef double position_deg[MAX_AXES]
    cdef int i
    if m.hand.chain.joints == 0:
        return
    for i in range(MAX_AXES):
        position_deg[i] = m.axis[i].position_deg
    forward(&m.hand.chain, position_deg, &m.hand.frames)
    m.hand.elbow_deg = elbow_angle(&m.hand.chain, position_deg)
    m.hand.known = True


# -- warnings

cdef inline int hand_warning(int bit) noexcept nogil:
    """Code of a bit of `warned`."""
    if bit < 3:
        return WARNING_IK_LIMIT_1 + bit
    if bit < 6:
        return WARNING_ARM_LENGTH_MAXIMUM_TARGET if bit == 3 else WARNING_ARM_LENGTH_MAXIMUM + bit - 4
    return WARNING_IK_JOINT_1_MAXIMUM + bit - 6


cdef void warn_of_hand(Machine* m, uint32_t warned) noexcept nogil:
    """Raise and withdraw so that these are active."""
    cdef int bit
    if warned == m.hand.warned:
        return
    for bit in range(HAND_WARNINGS):
        if (warned ^ m.hand.warned) >> bit & 1:
            set_warning(m, hand_warning(bit), NO_AXIS, warned >> bit & 1)
    m.hand.warned = warned


cdef inline uint32_t joint_warning(const Chain* chain, int joint, flag at_maximum) noexcept nogil:
    """The joint's own warning (joints 1 to 3), and that of its group: before the elbow, the elbow, beyond it."""
    cdef uint32_t own = <uint32_t>1 << (6 + 2 * joint + (0 if at_maximum else 1)) if joint < 3 else 0
    return own | (1 if chain.elbow < 0 or joint < chain.elbow else 2 if joint == chain.elbow else 4)


cdef uint32_t reach_warning(const Chain* chain, const double* hand_mm, uint32_t far) noexcept nogil:
    """Is a place farther from the first joint than the links are long, or nearer than they can fold? `far`: how to say
    the former."""
    cdef double from_joint[3]
    cdef double distance
    cdef int k
    for k in range(3):
        from_joint[k] = hand_mm[k] - chain.offset_mm[0][k]
    distance = sqrt(dot(from_joint, from_joint))
    return far if distance > chain.longest_mm else NEAR if distance < chain.shortest_mm else 0


cdef uint32_t blocked_warning(const Chain* chain, const Line* line) noexcept nogil:
    """Why a line ends before its end."""
    cdef double end[3]
    cdef uint32_t found
    cdef int i, k
    for k in range(3):
        end[k] = line.start_mm[k] + line.way_mm[k]
    found = reach_warning(chain, end, FAR_TARGET)
    for i in range(chain.joints):
        if found == 0 or found > NEAR:      # what no joint could reach is not put down to a joint
            if line.held_low >> i & 1:
                found |= joint_warning(chain, i, False)
            if line.held_high >> i & 1:
                found |= joint_warning(chain, i, True)
    return found if found else 1            # no joint's limit, no length: the posture itself


