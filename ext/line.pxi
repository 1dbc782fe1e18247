# A straight line of the hand, searched for point by point: the joint angles along it, or what stands in its way.
#
# The path is followed by its length in joint space, not by the hand's, so that it stays smooth through singular postures
# (pseudo-arclength continuation; Allgower and Georg, "Introduction to Numerical Continuation Methods", chapter 6).
# `search` does one bounded attempt; the cycle calls it a few times each, Kinematics.line until it is done.

cdef double POINT_DEG = 0.6             # largest joint's way from point to point
cdef double POINT_MM = 1e-3             # so near to the line is each point
cdef double STRETCHED = 6e-5             # of the arm's length: the weakest direction, mm per degree
cdef double SHORTEST_STEP = 1.0 / 2048.0


cdef void begin_line(const Chain* chain, Line* line, const double* position_deg, const double* hand_mm,
                     const double* wrist_deg) noexcept nogil:
    """From the given joint angles to the given place of the hand; `wrist_deg` NULL leaves the wrist free. The bounds of
    the joints are set by the caller."""
    cdef Frames frames
    cdef int i, k
    forward(chain, position_deg, &frames)
    for k in range(3):
        line.start_mm[k] = frames.hand_mm[k]
        line.way_mm[k] = hand_mm[k] - frames.hand_mm[k]
    line.wrist = -1
    line.wrist_way_deg = 0.0
    if wrist_deg != NULL and 0 <= chain.wrist < chain.joints:
        line.wrist = chain.wrist
        line.wrist_way_deg = wrist_deg[0] - position_deg[chain.wrist]
    for i in range(chain.joints):
        line.point_deg[0][i] = position_deg[i]
    line.at[0] = line.along_deg[0] = 0.0
    line.count = 1
    line.step = 1.0
    line.escapes = 0
    line.held_low = line.held_high = 0
    line.state = LINE_SEARCHING


cdef inline void bound_from(int joints, Line* line, const double* q) noexcept nogil:
    """Bounds of the next point: a joint that is outside its range may come in, and not go back out."""
    cdef int i
    for i in range(joints):
        line.least_deg[i] = fmin(line.low_deg[i], q[i])
        line.most_deg[i] = fmax(line.high_deg[i], q[i])


cdef inline void bounds_at(const double* q, const double* low, const double* high, double* least,
                           double* most) noexcept nogil:
    """Rates of joints at their limits: not outwards."""
    cdef int i
    for i in range(MAX_AXES):
        least[i] = 0.0 if q[i] - low[i] <= AT_LIMIT_DEG else -FREE
        most[i] = 0.0 if high[i] - q[i] <= AT_LIMIT_DEG else FREE


cdef void block_line(int joints, Line* line, const double* q) noexcept nogil:
    """No way on from here; the joints at their limits are told."""
    cdef int i
    line.state = LINE_BLOCKED
    for i in range(joints):
        if q[i] - line.least_deg[i] <= AT_LIMIT_DEG:
            line.held_low |= <uint32_t>1 << i
        if line.most_deg[i] - q[i] <= AT_LIMIT_DEG:
            line.held_high |= <uint32_t>1 << i


cdef flag onto_line(const Chain* chain, Line* line, double at, double* q) noexcept nogil:
    """Correct joint angles until the hand is on the line at share `at` (Newton steps within the bounds)."""
    cdef Frames frames
    cdef double columns[MAX_AXES][3]
    cdef double least[MAX_AXES]
    cdef double most[MAX_AXES]
    cdef double rate[MAX_AXES]
    cdef double off[3]
    cdef double largest
    cdef uint32_t held = 0
    cdef int i, k, turn
    if line.wrist >= 0:
        held = <uint32_t>1 << line.wrist
        q[line.wrist] = line.point_deg[0][line.wrist] + at * line.wrist_way_deg
    for turn in range(CORRECTIONS):
        forward(chain, q, &frames)
        for k in range(3):
            off[k] = line.start_mm[k] + at * line.way_mm[k] - frames.hand_mm[k]
        if dot(off, off) < POINT_MM * POINT_MM:
            return True
        columns_per_deg(chain, &frames, columns)
        bounds_at(q, line.least_deg, line.most_deg, least, most)
        memset(rate, 0, sizeof(rate))
        resolve(chain.joints, columns, off, least, most, held, 0.0, rate)
        largest = 1.0
        for i in range(chain.joints):
            largest = fmax(largest, fabs(rate[i]) / (2.0 * POINT_DEG))
        for i in range(chain.joints):
            q[i] = clamp(q[i] + rate[i] / largest, line.least_deg[i], line.most_deg[i])
    return False


cdef double first_guess(const Chain* chain, Line* line, double* q) noexcept nogil:
    """Step from the last point along the line, or out of a singular posture: joint angles into `q`; returns the share of
    the way it leads to, or -1 where there is no way on."""
    cdef const double* here = line.point_deg[line.count - 1]
    cdef double at = line.at[line.count - 1]
    cdef double length = sqrt(dot(line.way_mm, line.way_mm))
    cdef Frames frames
    cdef double columns[MAX_AXES][3]
    cdef double least[MAX_AXES]
    cdef double most[MAX_AXES]
    cdef double rate[MAX_AXES]
    cdef double n[MAX_AXES]
    cdef double got[3]
    cdef double along[3]
    cdef double product[6]
    cdef double missing = 0.0, largest = 0.0
    cdef flag stretched = False
    cdef uint32_t held = 0
    cdef int i, k
    forward(chain, here, &frames)
    columns_per_deg(chain, &frames, columns)
    bounds_at(here, line.least_deg, line.most_deg, least, most)
    memset(rate, 0, sizeof(rate))
    if line.wrist >= 0:
        held = <uint32_t>1 << line.wrist
        rate[line.wrist] = line.wrist_way_deg
    held |= resolve(chain.joints, columns, line.way_mm, least, most, held, 0.0, rate)
    moved_by(chain.joints, columns, rate, got)
    for k in range(3):
        missing = fmax(missing, fabs(line.way_mm[k] - got[k]))
    if length > 1e-6 and line.count == 1 and line.step == 1.0:
        # where it stands in a singular posture but for the noise of its sensors, both ways out of it are open
        gram(chain.joints, columns, held, product)
        stretched = least_eigenvalue(product) < STRETCHED * STRETCHED * chain.longest_mm * chain.longest_mm
    if length > 1e-6 and (missing > LOST * length or stretched):
        for k in range(3):
            along[k] = line.way_mm[k] / length if stretched else line.way_mm[k] - got[k]
        largest = sqrt(dot(along, along))
        for k in range(3):
            along[k] /= largest
        line.escapes += 1
        if line.escapes > ESCAPES or not escape(chain, &frames, columns, along, here, line.least_deg, line.most_deg, held,
                                                    rate, FREE if stretched else 0.0, n):
            if missing > LOST * length:
                return -1.0
            stretched = False
        else:
            stretched = True
    if stretched:
        for i in range(chain.joints):
            q[i] = clamp(here[i] + line.step * POINT_DEG * n[i], line.least_deg[i], line.most_deg[i])
        forward(chain, q, &frames)
        for k in range(3):
            got[k] = frames.hand_mm[k] - line.start_mm[k]
        return fmin(1.0, fmax(dot(got, line.way_mm) / (length * length), at + 1e-9))
    line.escapes = 0
    largest = 0.0
    for i in range(chain.joints):
        largest = fmax(largest, fabs(rate[i]))
    missing = fmin(1.0 - at, line.step * POINT_DEG / largest) if largest > 0.0 else 1.0 - at
    for i in range(chain.joints):
        q[i] = clamp(here[i] + missing * rate[i], line.least_deg[i], line.most_deg[i])
    return fmin(1.0, at + missing)


cdef inline double distance(int joints, const double* one, const double* other) noexcept nogil:
    cdef double sum_ = 0.0
    cdef int i
    for i in range(joints):
        sum_ += (one[i] - other[i]) * (one[i] - other[i])
    return sqrt(sum_)


cdef void search(const Chain* chain, Line* line) noexcept nogil:
    """One attempt at the next point; a failed one is tried again with half the step, until that is too short."""
    cdef double q[MAX_AXES]
    cdef const double* here = line.point_deg[line.count - 1]
    cdef double at, way = 0.0
    cdef int i
    cdef flag good
    if line.state != LINE_SEARCHING:
        return
    if line.count == LINE_POINTS:
        block_line(chain.joints, line, here)
        return
    bound_from(chain.joints, line, here)
    memset(q, 0, sizeof(q))
    at = first_guess(chain, line, q)
    if at < 0.0:
        block_line(chain.joints, line, here)
        return
    good = onto_line(chain, line, at, q)
    for i in range(chain.joints):
        way = fmax(way, fabs(q[i] - here[i]))
        if not line.least_deg[i] - 1e-9 <= q[i] <= line.most_deg[i] + 1e-9:
            good = False            # a wrist that has to turn beyond its limit
    if not good or way > 2.5 * POINT_DEG:
        line.step *= 0.5
        if line.step < SHORTEST_STEP:
            block_line(chain.joints, line, q)
        return
    for i in range(chain.joints):
        line.point_deg[line.count][i] = q[i]
    line.at[line.count] = at
    line.along_deg[line.count] = line.along_deg[line.count - 1] + distance(chain.joints, q, here)
    line.count += 1
    line.step = fmin(1.0, 2.0 * line.step)
    if at >= 1.0:
        line.state = LINE_FOUND


cdef void begin_spacing(Line* line) noexcept nogil:
    """Of what was found: as many points as the way is long, and one that is shorter has two."""
    cdef double way = line.along_deg[line.count - 1]
    line.last = 0 if way == 0.0 else <int>clamp(floor(way / POINT_DEG) + 1.0, 1.0, LINE_POINTS - 1)
    line.spaced = line.cursor = 0
    memset(line.longest_deg, 0, sizeof(line.longest_deg))


cdef flag space(const Chain* chain, Line* line) noexcept nogil:
    """The next evenly spaced point: between two that were found, then onto the line where it is nearest. False: that was
    the last one."""
    cdef Frames frames
    cdef double* q = line.even_deg[line.spaced]
    cdef double wanted, share, at
    cdef double off[3]
    cdef double length2 = dot(line.way_mm, line.way_mm)
    cdef int i, k
    wanted = line.along_deg[line.count - 1] * line.spaced / (line.last if line.last > 0 else 1)
    # the points searched are seldom farther apart than these, so few are passed
    while line.cursor < line.count - 2 and line.along_deg[line.cursor + 1] < wanted:
        line.cursor += 1
    k = line.cursor
    share = 0.0
    if line.count > 1 and line.along_deg[k + 1] > line.along_deg[k]:
        share = clamp((wanted - line.along_deg[k]) / (line.along_deg[k + 1] - line.along_deg[k]), 0.0, 1.0)
    at = line.at[k] + (share * (line.at[k + 1] - line.at[k]) if share > 0.0 else 0.0)
    for i in range(chain.joints):
        q[i] = line.point_deg[k][i]
        if share > 0.0:
            q[i] += share * (line.point_deg[k + 1][i] - line.point_deg[k][i])
    if 0 < line.spaced < line.last:
        bound_from(chain.joints, line, line.point_deg[k])
        if length2 > 1e-12:
            forward(chain, q, &frames)
            for i in range(3):
                off[i] = frames.hand_mm[i] - line.start_mm[i]
            at = clamp(dot(off, line.way_mm) / length2, line.at[k], line.at[k + 1])
        onto_line(chain, line, at, q)
    line.even_at[line.spaced] = at
    if line.spaced > 0:
        for i in range(chain.joints):
            line.longest_deg[i] = fmax(line.longest_deg[i], fabs(q[i] - line.even_deg[line.spaced - 1][i]))
    line.spaced += 1
    return line.spaced <= line.last
