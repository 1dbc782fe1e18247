# How long motions take, before they are made: the planner of the cycle with the limits of the cycle, from rest to rest.

cdef double planned_s(Planner* planner, const AxisParameters* p, int axes, double tolerance_counts, const double* start,
                      const double* target, unsigned int mask, const double* speed_limit, double percent) noexcept nogil:
    """Seconds of a motion of all axes from `start` to `target`, arriving together; 0 where the arm stands there already,
    -1 where the limits leave an axis of the mask no speed, -2 where there is no trajectory."""
    cdef double v[MAX_AXES]
    cdef double a[MAX_AXES]
    cdef double j[MAX_AXES]
    cdef double rest[MAX_AXES]
    cdef int i
    cdef flag there = True
    for i in range(axes):
        rest[i] = 0.0
        v[i] = fmax(SPEED_SHARE * speed_limit[i] * percent * 1e-2, MINIMUM_SPEED_DEG_S)
        a[i] = DYNAMIC_SHARE * p[i].max_acceleration_deg_s2
        j[i] = DYNAMIC_SHARE * p[i].max_jerk_deg_s3
        if mask >> i & 1 and speed_limit[i] * percent * 1e-2 <= MINIMUM_SPEED_DEG_S:
            return -1.0
        if fabs(target[i] - start[i]) > 0.5 * fabs(p[i].deg_per_count) * tolerance_counts:
            there = False
    if there:
        return 0.0
    if not planner.plan_position(axes, start, rest, rest, target, v, a, j):
        return -2.0
    return planner.duration_s()
