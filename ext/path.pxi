# How fast a line is gone along: a smooth path through its points, and a speed along it that keeps every joint within
# its limits.
#
# The evenly spaced points of a line are the control points of a uniform cubic B-spline in the path parameter u, one per
# unit; mirrored at both ends, so that it begins and ends in them. It stays inside the ranges that hold for its points
# (its value is a mean of them, with weights above 0), and its derivatives are bounded by differences of them (de Boor, "A Practical Guide to Splines", chapter X). With q(u), the joints' speed is q' du,
# acceleration q'' du^2 + q' ddu, jerk q''' du^3 + 3 q'' du ddu + q' dddu: each limit is shared out among its terms.

cdef double BENT_SHARE = 0.5            # of the acceleration limit: q'' du^2; the rest is for q' ddu
cdef double TWIST_SHARE = 0.2           # of the jerk limit: q''' du^3
cdef double MIXED_SHARE = 0.3           # of the jerk limit: 3 q'' du ddu; the rest is for q' dddu
cdef enum:
    SMOOTH_SEGMENTS = 3                 # to either side, over which the speed limit is smoothed

cdef inline double control_point(const Line* line, int index, int joint) noexcept nogil:
    """Of the spline; beyond the ends the mirrored ones."""
    if index < 0:
        return 2.0 * line.even_deg[0][joint] - line.even_deg[1][joint]
    if index > line.last:
        return 2.0 * line.even_deg[line.last][joint] - line.even_deg[line.last - 1][joint]
    return line.even_deg[index][joint]


cdef void begin_path(const Line* line, int joints, const double* a, const double* j, Path* path) noexcept nogil:
    """A path along the evenly spaced points; `a`, `j`: limits of the joints' acceleration and jerk."""
    cdef int i
    path.last = line.last
    path.planned = 0
    path.acceleration = path.jerk = FREE
    for i in range(joints):
        if line.longest_deg[i] > 0.0:
            path.acceleration = fmin(path.acceleration, (1.0 - BENT_SHARE) * a[i] / line.longest_deg[i])
            path.jerk = fmin(path.jerk, (1.0 - TWIST_SHARE - MIXED_SHARE) * j[i] / line.longest_deg[i])
    path.u = path.du = path.ddu = 0.0
    path.scale = 1.0
    path.brake_to = -1
    path.ending = False


cdef void plan_segment(const Line* line, int joints, const double* v, const double* a, const double* j, double hand_mm_s,
                       Path* path) noexcept nogil:
    """Limit of du in the next segment from its four control points, within the joints' limits and the hand's speed."""
    cdef int s = path.planned
    cdef double limit = FREE
    cdef double one, two, three, first, second, third
    cdef double length = sqrt(dot(line.way_mm, line.way_mm))
    cdef int i, k
    for i in range(joints):
        one = control_point(line, s, i) - control_point(line, s - 1, i)
        two = control_point(line, s + 1, i) - control_point(line, s, i)
        three = control_point(line, s + 2, i) - control_point(line, s + 1, i)
        first = fmax(fabs(one), fmax(fabs(two), fabs(three)))
        second = fmax(fabs(two - one), fabs(three - two))
        third = fabs(three - 2.0 * two + one)
        limit = fmin(limit, v[i] / fmax(first, 1e-12))
        limit = fmin(limit, sqrt(BENT_SHARE * a[i] / fmax(second, 1e-12)))
        limit = fmin(limit, MIXED_SHARE * j[i] / fmax(3.0 * second * path.acceleration, 1e-12))
        limit = fmin(limit, cbrt(TWIST_SHARE * j[i] / fmax(third, 1e-12)))
    one = 0.0
    for k in range(s - 1, s + 2):
        if 0 <= k < path.last:
            one = fmax(one, length * (line.even_at[k + 1] - line.even_at[k]))
    path.limit[s] = fmin(limit, hand_mm_s / fmax(one, 1e-12))
    path.planned += 1


cdef void smooth_limit(Path* path, int index) noexcept nogil:
    """A mean of least limits around: never above a limit it covers, and without steps that the speed would follow."""
    cdef double sum_ = 0.0, least
    cdef int i, k, count = path.last
    for i in range(index - SMOOTH_SEGMENTS, index + SMOOTH_SEGMENTS + 1):
        least = FREE
        for k in range(i - SMOOTH_SEGMENTS, i + SMOOTH_SEGMENTS + 1):
            if 0 <= k < count:
                least = fmin(least, path.limit[k])
        sum_ += least
    path.smooth[index] = sum_ / (2 * SMOOTH_SEGMENTS + 1)


cdef inline double limit_of(const Path* path, int segment) noexcept nogil:
    """Of du in a segment; beyond the last one, that one's."""
    return path.smooth[segment if segment < path.last else path.last - 1] * path.scale


cdef double slowing_distance(double v, double a, double w, double a_max, double j_max) noexcept nogil:
    """Way of the jerk-limited change from speed v and acceleration a to the lower speed w, a stop in a frame that moves
    with w (stop_distance in planner.hpp), and that frame's own way meanwhile."""
    cdef double speed = v - w
    cdef double peak = sqrt(fmax(j_max * speed + 0.5 * a * a, 0.0))
    cdef double hold = 0.0
    if peak < -a:
        peak = -a
    if peak > a_max:
        peak = fmax(a_max, -a)
        hold = fmax(0.0, (speed + (a * a - 2.0 * peak * peak) / (2.0 * j_max)) / peak)
    return stop_distance(speed, a, a_max, j_max) + w * ((a + 2.0 * peak) / j_max + hold)


cdef void look_ahead(Path* path, double u, double v, double a) noexcept nogil:
    """Note the lowest speed to which, seen from a state that would come next, the speed has to begin to come down before
    a slower segment, and whether it has to come to rest for the end."""
    cdef double d, w
    cdef double highest = v + (a * a / (2.0 * path.jerk) if a > 0.0 else 0.0)
    cdef double horizon = stop_distance(v, a, path.acceleration, path.jerk)
    cdef int s = <int>floor(u)
    if horizon >= path.last - u:
        path.ending = True
    while s < path.last - 1:
        s += 1
        d = s - u
        if d > horizon:
            return
        w = limit_of(path, s)
        if highest > w and slowing_distance(v, a, w, path.acceleration, path.jerk) > d:
            if path.brake_to < 0 or w < path.brake_speed:
                path.brake_to = s
                path.brake_speed = w


cdef flag plan_progress(Planner* planner, Path* path, double wanted) noexcept nogil:
    """To that speed, or, where it has to come down for the end, to rest in it with no more than that speed."""
    cdef double end = path.last
    if path.ending and planner.plan_position(1, &path.u, &path.du, &path.ddu, &end, &wanted, &path.acceleration,
                                             &path.jerk):
        return True
    return planner.plan_velocity(1, &path.u, &path.du, &path.ddu, &wanted, &path.acceleration, &path.jerk)


cdef flag step_progress(Planner* planner, Path* path, double dt) noexcept nogil:
    """One cycle on along the path, as fast as what lies ahead allows. False where no plan was found."""
    cdef double u[MAX_AXES]
    cdef double v[MAX_AXES]
    cdef double a[MAX_AXES]
    cdef int s = <int>floor(path.u)
    cdef int before
    cdef flag ended = path.ending
    cdef double wanted = fmax(limit_of(path, s), MINIMUM_SPEED_DEG_S)
    if 0 <= path.brake_to <= s:
        path.brake_to = -1
    if path.brake_to >= 0:
        wanted = fmin(wanted, path.brake_speed)
    if not plan_progress(planner, path, wanted):
        return False
    planner.at(dt, u, v, a)
    before = path.brake_to
    look_ahead(path, u[0], v[0], a[0])
    if path.brake_to != before or path.ending != ended:
        if path.brake_to >= 0:
            wanted = fmin(wanted, path.brake_speed)
        if not plan_progress(planner, path, fmax(wanted, MINIMUM_SPEED_DEG_S)):
            return False
        planner.at(dt, u, v, a)
    path.u = fmin(u[0], path.last)
    path.du = v[0]
    path.ddu = a[0]
    return True


cdef inline flag path_done(const Path* path) noexcept nogil:
    return path.u >= path.last - 1e-9


cdef void on_path(const Line* line, const Path* path, int joints, double* p, double* v, double* a) noexcept nogil:
    """Joint position, speed and acceleration at the path's present progress; at rest at its end."""
    cdef int s = <int>floor(path.u)
    cdef double t = path.u - s
    cdef double r = 1.0 - t
    cdef double first
    cdef double c[4]
    cdef int i, k
    if path_done(path):
        for i in range(joints):
            p[i] = line.even_deg[line.last][i]
            v[i] = a[i] = 0.0
        return
    for i in range(joints):
        for k in range(4):
            c[k] = control_point(line, s - 1 + k, i)
        p[i] = (r * r * r * c[0] + (3.0 * t * t * t - 6.0 * t * t + 4.0) * c[1]
                + (3.0 * r * r * r - 6.0 * r * r + 4.0) * c[2] + t * t * t * c[3]) / 6.0
        first = (r * r * (c[1] - c[0]) + (1.0 + 2.0 * t * r) * (c[2] - c[1]) + t * t * (c[3] - c[2])) / 2.0
        v[i] = first * path.du
        a[i] = (r * (c[2] - 2.0 * c[1] + c[0]) + t * (c[3] - 2.0 * c[2] + c[1])) * path.du * path.du + first * path.ddu
