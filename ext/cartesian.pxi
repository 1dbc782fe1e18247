# The hand in the cycle: where it is.

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
