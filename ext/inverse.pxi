# Inverse kinematics of the hand's position: joint speeds for a speed of the hand, by damped least squares.
#
# Plain functions of (chain, joint angles, bounds), bounded work, no state. Joint angles in degrees, so columns here are
# mm per degree. Formulae and sources: docs/kinematics.md.

cdef double FREE = 1e9                  # a bound that is none, deg per unit
cdef double AT_LIMIT_DEG = 1e-6         # as near counts as standing at the limit
cdef double LOST = 0.05                 # share of the wanted speed that may be missing before a direction counts as lost
cdef double ROOM_TO_ESCAPE_DEG = 0.5


cdef inline void columns_per_deg(const Chain* chain, const Frames* frames, double (*columns)[3]) noexcept nogil:
    cdef int i, k
    jacobian(chain, frames, columns)
    for i in range(chain.joints):
        for k in range(3):
            columns[i][k] *= RADIANS


cdef inline void moved_by(int joints, const double (*columns)[3], const double* rate, double* out) noexcept nogil:
    """Speed of the hand, J x rate."""
    cdef int i, k
    for k in range(3):
        out[k] = 0.0
    for i in range(joints):
        for k in range(3):
            out[k] += columns[i][k] * rate[i]


cdef inline void gram(int joints, const double (*columns)[3], uint32_t held, double* a) noexcept nogil:
    """J J^T of the joints that are not held: xx, xy, xz, yy, yz, zz."""
    cdef int i
    for i in range(6):
        a[i] = 0.0
    for i in range(joints):
        if not held >> i & 1:
            a[0] += columns[i][0] * columns[i][0]
            a[1] += columns[i][0] * columns[i][1]
            a[2] += columns[i][0] * columns[i][2]
            a[3] += columns[i][1] * columns[i][1]
            a[4] += columns[i][1] * columns[i][2]
            a[5] += columns[i][2] * columns[i][2]


cdef inline double least_eigenvalue(const double* a) noexcept nogil:
    """Of a symmetric 3 x 3 matrix, in closed form (Smith, "Eigenvalues of a symmetric 3 x 3 matrix", CACM 4, 1961)."""
    cdef double q = (a[0] + a[3] + a[5]) / 3.0
    cdef double x = a[0] - q, y = a[3] - q, z = a[5] - q
    cdef double p = sqrt((x * x + y * y + z * z + 2.0 * (a[1] * a[1] + a[2] * a[2] + a[4] * a[4])) / 6.0)
    cdef double half
    if p <= 1e-12 * q or p == 0.0:
        return q
    half = (x * (y * z - a[4] * a[4]) - a[1] * (a[1] * z - a[4] * a[2]) + a[2] * (a[1] * a[4] - y * a[2])) / (2.0 * p * p * p)
    return fmax(0.0, q + 2.0 * p * cos(acos(clamp(half, -1.0, 1.0)) / 3.0 + 2.0943951023931953))


cdef inline void solve(const double* a, double damping2, const double* r, double* y) noexcept nogil:
    """(A + damping2 I) y = r by Cholesky; A is symmetric and not negative."""
    cdef double l00 = sqrt(fmax(a[0] + damping2, 1e-30))
    cdef double l10 = a[1] / l00, l20 = a[2] / l00
    cdef double l11 = sqrt(fmax(a[3] + damping2 - l10 * l10, 1e-30))
    cdef double l21 = (a[4] - l20 * l10) / l11
    cdef double l22 = sqrt(fmax(a[5] + damping2 - l20 * l20 - l21 * l21, 1e-30))
    y[0] = r[0] / l00
    y[1] = (r[1] - l10 * y[0]) / l11
    y[2] = (r[2] - l20 * y[0] - l21 * y[1]) / l22
    y[2] = y[2] / l22
    y[1] = (y[1] - l21 * y[2]) / l11
    y[0] = (y[0] - l10 * y[1] - l20 * y[2]) / l00


cdef uint32_t resolve(int joints, const double (*columns)[3], const double* want, const double* low, const double* high,
                      uint32_t held, double threshold, double* rate) noexcept nogil:
    """Joint rates of least length that move the hand as wanted, each within low..high; rates of `held` joints are given.

    Damped least squares with the damping that grows below `threshold`, mm per degree of the weakest direction (Nakamura
    and Hanafusa 1986; Chiaverini, Siciliano, Egeland 1994). A joint that would leave its bound is held there and the
    others make up for it (saturation in the null space: Flacco, De Luca, Khatib 2015). Returns the joints so held."""
    cdef double a[6]
    cdef double r[3]
    cdef double y[3]
    cdef double least, damping2, over, excess
    cdef uint32_t given = held
    cdef int i, k, worst, turn
    for k in range(3):
        r[k] = want[k]
    for i in range(joints):
        if held >> i & 1:
            for k in range(3):
                r[k] -= columns[i][k] * rate[i]
    for turn in range(joints + 1):
        gram(joints, columns, held, a)
        damping2 = 1e-9 * (a[0] + a[3] + a[5]) + 1e-15
        if threshold > 0.0:
            least = least_eigenvalue(a) / (threshold * threshold)
            if least < 1.0:
                damping2 += threshold * threshold * (1.0 - least)
        solve(a, damping2, r, y)
        worst = -1
        excess = 1e-9
        for i in range(joints):
            if not held >> i & 1:
                rate[i] = dot(columns[i], y)
                over = fmax(rate[i] - high[i], low[i] - rate[i])
                if over > excess:
                    worst = i
                    excess = over
        if worst < 0:
            break
        rate[worst] = clamp(rate[worst], low[worst], high[worst])
        held |= <uint32_t>1 << worst
        for k in range(3):
            r[k] -= columns[worst][k] * rate[worst]
    return held & ~given


cdef double bending(const Chain* chain, const Frames* frames, const double (*columns)[3], const double* n,
                    const double* along) noexcept nogil:
    """Second derivative of the hand's position in direction `along`, moving all joints by n, mm per degree squared:
    d^2 x / dq_i dq_j = z_i x J_j for i <= j."""
    cdef double sum_ = 0.0
    cdef double second[3]
    cdef int i, j
    for i in range(chain.joints):
        for j in range(i, chain.joints):
            cross(frames.axis[i], columns[j], second)
            sum_ += (1.0 if i == j else 2.0) * n[i] * n[j] * dot(second, along) * RADIANS
    return sum_


cdef flag escape(const Chain* chain, const Frames* frames, const double (*columns)[3], const double* along,
                 const double* q, const double* low, const double* high, uint32_t held, const double* lean,
                 double least_lean, double* n) noexcept nogil:
    """A way out of a singular posture, where no joint speed moves the hand in direction `along` (of length 1): a motion
    of the joints that leaves the hand where it is to the first order, and bends it that way to the second. Its largest
    element is 1; it goes where `lean` does by more than `least_lean`, else to where there is more room. False: there is none."""
    cdef double a[6]
    cdef double y[3]
    cdef double other[MAX_AXES]
    cdef double largest, bent, best = 1e-3 * chain.longest_mm * RADIANS * RADIANS, plus, minus, told
    cdef int i, j
    cdef flag found = False
    gram(chain.joints, columns, held, a)
    for i in range(chain.joints):
        if held >> i & 1:
            continue
        solve(a, 1e-5 * (a[0] + a[3] + a[5]) + 1e-15, columns[i], y)
        largest = 0.0
        for j in range(chain.joints):
            other[j] = 0.0 if held >> j & 1 else (1.0 if i == j else 0.0) - dot(columns[j], y)
            largest = fmax(largest, fabs(other[j]))
        if largest < 0.1:
            continue
        plus = minus = FREE
        told = 0.0
        for j in range(chain.joints):
            other[j] /= largest
            told += other[j] * lean[j]
            if fabs(other[j]) > 1e-3:
                plus = fmin(plus, (high[j] - q[j] if other[j] > 0.0 else q[j] - low[j]) / fabs(other[j]))
                minus = fmin(minus, (high[j] - q[j] if other[j] < 0.0 else q[j] - low[j]) / fabs(other[j]))
        bent = bending(chain, frames, columns, other, along)
        if bent <= best or fmax(plus, minus) < ROOM_TO_ESCAPE_DEG:
            continue
        best = bent
        found = True
        if fabs(told) <= least_lean or (plus if told > 0.0 else minus) < ROOM_TO_ESCAPE_DEG:
            told = plus - minus
        for j in range(chain.joints):
            n[j] = other[j] if told >= 0.0 else -other[j]
    return found
