# The mass model for Python: the door of `Core.configure`, and the same torques for checks, tools, tests and benchmarks.

@cython.final
cdef class MassModel:
    """The load of a chain (controller.chain.chain_of) with the masses of controller.load.load_of, its length adjustments and
    weight shares (1 is all of a limb's weight). ValueError names what is wrong with an argument."""
    cdef LoadSettings settings
    cdef Hand hand
    cdef double weight[LIMBS]

    @staticmethod
    cdef double number(object table, str key, double low, double high) except? -1.0:
        cdef double value = table[key]
        if not low <= value <= high:
            raise ValueError(f"{key}: {value} given, {low:g}..{high:g} allowed")
        return value

    @staticmethod
    cdef int read(object given, int axes, LoadSettings* s) except -1:
        """A load as controller.load.load_of gives it, for so many axes; KeyError for a missing key."""
        cdef int i
        links = given["links"]
        if len(links) != axes:
            raise ValueError(f"links: {len(links)} given, {axes} needed, one per axis")
        memset(s, 0, sizeof(s[0]))
        for i, link in enumerate(links):
            s.limb[i] = <int>MassModel.number(link, "limb", 0, LIMBS - 1)
            s.mass_kg[i] = MassModel.number(link, "mass_kg", 0.0, 1e3)
            Kinematics.vector(link["centre_mm"], f"link {i + 1}: centre_mm", s.centre_mm[i])
            s.counts_per_nm[i] = MassModel.number(link, "torque_counts_per_nm", -1e6, 1e6)
            s.zero_counts[i] = MassModel.number(link, "torque_zero_counts", -TORQUE_ZERO_HIGHEST_COUNTS, TORQUE_ZERO_HIGHEST_COUNTS)
            s.inertia_counts[i] = MassModel.number(link, "inertia_counts", 0.0, 1e6)
            s.spring_offset_counts[i] = MassModel.number(link, "spring_offset_counts", -1e6, 1e6)
            s.spring_counts_per_deg[i] = MassModel.number(link, "spring_counts_per_deg", -1e6, 1e6)
            s.contact_counts[i] = MassModel.number(link, "contact_counts", 0.0, 1e9)
        s.contact_action = <int>MassModel.number(given, "contact_action", CONTACT_ACTION_OFF, CONTACT_ACTION_RETREAT)
        s.contact_standing = bool(given["contact_standing"])
        s.contact_ns = <int64_t>(MassModel.number(given, "contact_ms", 0.0, 1e6) * 1e6)
        s.retreat_deg = MassModel.number(given, "retreat_deg", 0.0, 90.0)
        s.response_s = MassModel.number(given, "response_ms", 1.0, 1e6) * 1e-3
        s.zone_deg = MassModel.number(given, "limit_zone_deg", 1e-3, 360.0)
        s.speed_share = MassModel.number(given, "max_speed_percent", 0.0, 100.0) * 1e-2
        s.known = True
        return 0

    def __init__(self, chain, load, *, double upper_arm_mm=0.0, double forearm_mm=0.0, double upper_arm_weight=1.0,
                 double forearm_weight=1.0):
        memset(&self.hand, 0, sizeof(self.hand))
        Kinematics.read(chain, &self.hand.configured)
        MassModel.read(load, self.hand.configured.joints, &self.settings)
        for value in (upper_arm_mm, forearm_mm, upper_arm_weight, forearm_weight):
            if not isfinite(value):
                raise ValueError(f"{value} is not a finite number")
        adjust(&self.hand.configured, upper_arm_mm, forearm_mm, &self.hand.chain)
        self.weight[0] = 1.0
        self.weight[1] = upper_arm_weight
        self.weight[2] = forearm_weight

    def holding_nm(self, position_deg):
        """Torque about each joint, in Nm, that holds the arm against gravity at these joint angles (degrees)."""
        cdef double q[MAX_AXES]
        cdef double nm[MAX_AXES]
        cdef int i
        self._place(position_deg, q)
        hold_against_gravity(&self.settings, self.weight, &self.hand, self.hand.chain.joints, nm)
        return tuple([nm[i] for i in range(self.hand.chain.joints)])

    def holding_counts(self, position_deg):
        """The same in torque sensor counts, less what the spring carries: what the drive has to."""
        cdef double q[MAX_AXES]
        cdef double nm[MAX_AXES]
        cdef int i
        self._place(position_deg, q)
        hold_against_gravity(&self.settings, self.weight, &self.hand, self.hand.chain.joints, nm)
        return tuple([nm[i] * self.settings.counts_per_nm[i] - self.settings.spring_offset_counts[i]
                      - self.settings.spring_counts_per_deg[i] * q[i] for i in range(self.hand.chain.joints)])

    def seconds_per_call(self, position_deg, int calls):
        """Time of one evaluation in the cycle, frames of the links given; for benchmarks. ValueError for no calls."""
        cdef double q[MAX_AXES]
        cdef double nm[MAX_AXES]
        cdef int i
        cdef int64_t before
        if calls < 1:
            raise ValueError(f"calls: {calls} given, 1 or more needed")
        self._place(position_deg, q)
        before = monotonic_ns()
        for i in range(calls):
            self.weight[0] = 1.0 + 1e-12 * i        # or the compiler calls it once
            hold_against_gravity(&self.settings, self.weight, &self.hand, self.hand.chain.joints, nm)
        before = monotonic_ns() - before
        self.weight[0] = 1.0
        return before * 1e-9 / calls

    cdef int _place(self, object position_deg, double* q) except -1:
        cdef int i
        if len(position_deg) != self.hand.chain.joints:
            raise ValueError(f"position_deg: {len(position_deg)} given, {self.hand.chain.joints} needed, one per joint")
        for i in range(self.hand.chain.joints):
            q[i] = position_deg[i]
            if not isfinite(q[i]):
                raise ValueError(f"position_deg[{i}]: {position_deg[i]} is not a finite number")
        forward(&self.hand.chain, q, &self.hand.frames)
        return 0
