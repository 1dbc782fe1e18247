# The same kinematics for Python: checks, tools, tests and benchmarks.

@cython.final
cdef class Kinematics:
    """A chain of joints, as controller.chain.chain_of describes it, with its length adjustments. Joint angles in degrees, one per
    joint; lengths in mm; base frame x forward, y left, z up. ValueError names what is wrong with an argument."""
    cdef Chain chain

    @staticmethod
    cdef int vector(object given, str name, double* out) except -1:
        """Three finite numbers; ValueError naming them."""
        cdef int k
        if len(given) != 3:
            raise ValueError(f"{name}: {len(given)} numbers given, 3 needed (x, y, z)")
        for k in range(3):
            out[k] = given[k]
            if not isfinite(out[k]):
                raise ValueError(f"{name}: {given[k]} is not a finite number")
        return 0

    @staticmethod
    cdef int read(object given, Chain* chain) except -1:
        """A chain as controller.chain.chain_of gives it; ValueError naming what makes no sense."""
        cdef int i, k
        cdef double length
        joints = given["joints"]
        if not 1 <= len(joints) <= MAX_AXES:
            raise ValueError(f"joints: {len(joints)} given, 1..{MAX_AXES} allowed")
        memset(chain, 0, sizeof(chain[0]))
        chain.joints = len(joints)
        for i, joint in enumerate(joints):
            Kinematics.vector(joint["axis"], f"joint {i + 1}: axis", chain.axis[i])
            Kinematics.vector(joint["offset_mm"], f"joint {i + 1}: offset_mm", chain.offset_mm[i])
            length = sqrt(dot(chain.axis[i], chain.axis[i]))
            if not fabs(length - 1.0) < 1e-9:
                raise ValueError(f"joint {i + 1}: axis: its length is {length:.6g}, it has to be 1")
        Kinematics.vector(given["hand_offset_mm"], "hand_offset_mm", chain.hand_mm)
        for name in ("elbow_axis", "wrist_axis"):
            if not 0 <= given[name] <= chain.joints:
                raise ValueError(f"{name}: {given[name]} given, 0 (none)..{chain.joints} allowed")
        chain.elbow = given["elbow_axis"] - 1
        chain.wrist = given["wrist_axis"] - 1
        return 0

    def __init__(self, chain, *, double upper_arm_mm=0.0, double forearm_mm=0.0):
        cdef Chain configured
        Kinematics.read(chain, &configured)
        if not (isfinite(upper_arm_mm) and isfinite(forearm_mm)):
            raise ValueError("upper_arm_mm, forearm_mm: not finite numbers")
        adjust(&configured, upper_arm_mm, forearm_mm, &self.chain)

    cdef int _angles(self, object position_deg, double* out) except -1:
        cdef int i
        if len(position_deg) != self.chain.joints:
            raise ValueError(f"position_deg: {len(position_deg)} given, {self.chain.joints} needed, one per joint")
        for i in range(self.chain.joints):
            out[i] = position_deg[i]
            if not isfinite(out[i]):
                raise ValueError(f"position_deg[{i}]: {position_deg[i]} is not a finite number")
        return 0

    def forward(self, position_deg):
        """(x, y, z) of the hand in mm, and the elbow's angle in degrees (0 without an elbow)."""
        cdef double q[MAX_AXES]
        cdef Frames frames
        self._angles(position_deg, q)
        forward(&self.chain, q, &frames)
        return (frames.hand_mm[0], frames.hand_mm[1], frames.hand_mm[2]), elbow_angle(&self.chain, q)

    def jacobian(self, position_deg):
        """Geometric Jacobian of the hand: six rows (x, y, z in mm/rad, then the angular part, rad/rad), one column per
        joint."""
        cdef double q[MAX_AXES]
        cdef double columns[MAX_AXES][3]
        cdef Frames frames
        cdef int i, k
        self._angles(position_deg, q)
        forward(&self.chain, q, &frames)
        jacobian(&self.chain, &frames, columns)
        return ([tuple([columns[i][k] for i in range(self.chain.joints)]) for k in range(3)]
                + [tuple([frames.axis[i][k] for i in range(self.chain.joints)]) for k in range(3)])

    def frames(self, position_deg):
        """Per joint (origin in mm, axis of length 1, rotation of its link as nine numbers by rows), in the base frame."""
        cdef double q[MAX_AXES]
        cdef Frames f
        cdef int i, k
        self._angles(position_deg, q)
        forward(&self.chain, q, &f)
        return [(tuple([f.origin_mm[i][k] for k in range(3)]), tuple([f.axis[i][k] for k in range(3)]),
                 tuple([f.rotation[i][k] for k in range(9)])) for i in range(self.chain.joints)]
