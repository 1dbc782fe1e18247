# The same kinematics for Python: checks, tools, tests and benchmarks.

FoundLine = collections.namedtuple("FoundLine", "share points warnings")


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
        for name in ("max_speed_mm_s", "max_acceleration_mm_s2"):
            if not (isfinite(given[name]) and given[name] > 0.0):
                raise ValueError(f"{name}: {given[name]} given, a number above 0 allowed")
        chain.max_speed_mm_s = given["max_speed_mm_s"]
        chain.max_acceleration_mm_s2 = given["max_acceleration_mm_s2"]
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

    def line(self, position_deg, hand_mm, low_deg, high_deg, *, wrist_deg=None):
        """Search the straight line of the hand from these joint angles to `hand_mm` (x, y, z), each joint inside its
        low..high, the wrist turning evenly to `wrist_deg`.

        Returns a FoundLine: the share of the way that there is, 1.0 all of it; its points, each the joint angles in
        degrees, first and last included; codes of the warnings that say why there is no more."""
        cdef double q[MAX_AXES]
        cdef double to[3]
        cdef double wrist = 0.0
        cdef double* wrist_given = NULL
        cdef Line* line
        cdef uint32_t warned = 0
        cdef int i, k
        self._angles(position_deg, q)
        Kinematics.vector(hand_mm, "hand_mm", to)
        line = <Line*>calloc(1, sizeof(Line))
        if line == NULL:
            raise MemoryError()
        try:
            self._angles(low_deg, line.low_deg)
            self._angles(high_deg, line.high_deg)
            if wrist_deg is not None:
                wrist = wrist_deg
                wrist_given = &wrist
                if not isfinite(wrist):
                    raise ValueError(f"wrist_deg: {wrist_deg} is not a finite number")
            with nogil:
                begin_line(&self.chain, line, q, to, wrist_given)
                while line.state == LINE_SEARCHING:
                    search(&self.chain, line)
                if line.state == LINE_BLOCKED:
                    warned = blocked_warning(&self.chain, line)
            return FoundLine(line.at[line.count - 1],
                             [tuple([line.point_deg[k][i] for i in range(self.chain.joints)]) for k in range(line.count)],
                             [hand_warning(i) for i in range(HAND_WARNINGS) if warned >> i & 1])
        finally:
            free(line)

    @property
    def reach_mm(self):
        """(nearest, farthest) that the links' lengths let the hand be from the first joint."""
        return self.chain.shortest_mm, self.chain.longest_mm

    @property
    def stretch(self):
        """Per joint how much longer the link behind it is than configured, 1 not at all."""
        return tuple([self.chain.stretch[i] for i in range(self.chain.joints)])

    def timed(self, position_deg, speed_mm_s, int times):
        """For benchmarks: nanoseconds of one forward kinematics, and of one inverse step (forward kinematics, Jacobian and
        damped least squares for a speed of the hand), each the mean of so many from poses that drift a little."""
        cdef double q[MAX_AXES]
        cdef double want[3]
        cdef double columns[MAX_AXES][3]
        cdef double low[MAX_AXES]
        cdef double high[MAX_AXES]
        cdef double rate[MAX_AXES]
        cdef Frames frames
        cdef double sum_ = 0.0
        cdef int64_t start, middle, end
        cdef int i
        if times < 1:
            raise ValueError(f"times: {times} given, at least 1 needed")
        memset(q, 0, sizeof(q))
        self._angles(position_deg, q)
        Kinematics.vector(speed_mm_s, "speed_mm_s", want)
        for i in range(MAX_AXES):
            low[i] = -FREE
            high[i] = FREE
        with nogil:
            start = monotonic_ns()
            for i in range(times):
                q[0] += 1e-6
                forward(&self.chain, q, &frames)
                sum_ += frames.hand_mm[0]
            middle = monotonic_ns()
            for i in range(times):
                q[0] += 1e-6
                forward(&self.chain, q, &frames)
                columns_per_deg(&self.chain, &frames, columns)
                resolve(self.chain.joints, columns, want, low, high, 0, WEAK * self.chain.longest_mm * RADIANS, rate)
                sum_ += rate[0]
            end = monotonic_ns()
        if not isfinite(sum_):      # else the compiler could leave it all out
            raise ArithmeticError("the kinematics gave no finite result")
        return (middle - start) / times, (end - middle) / times
