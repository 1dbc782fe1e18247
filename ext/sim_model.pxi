# Between Python and the structs: the arm's data in, the truth for tests out. Not used while time runs.

cdef enum:
    SPRING_AXIS = 1                     # axis 2, registers 230 and 231
cdef double STANDARD_GRAVITY_M_S2 = 9.80665


cdef dict checked_options(dict given):
    """Every option's value; ValueError naming the option and what is allowed."""
    values = {row.name: row.default for row in model.OPTIONS}
    for name, value in given.items():
        row = next((r for r in model.OPTIONS if r.name == name), None)
        if row is None:
            raise ValueError(f"option {name!r} is unknown; there are: {', '.join(values)}")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"option {name} must be a number, not {value!r}")
        if not row.low <= value <= row.high:  # also refuses NaN
            raise ValueError(f"option {name} {value!r} is outside {row.low:g}..{row.high:g} {row.unit}".rstrip())
        values[name] = value
    return values


cdef int load_options(Arm* arm, dict values) except -1:
    arm.drive.speed_limit = values["speed_limit_deg_s"]
    arm.drive.acceleration_limit = values["acceleration_limit_deg_s2"]
    arm.drive.soft_stop = values["soft_stop_deg_s2"]
    arm.drive.hard_stop = values["hard_stop_deg_s2"]
    arm.drive.fall_damping = values["fall_damping"]
    arm.drive.compliant_yield = values["compliant_yield"]
    arm.gravity_m_s2 = STANDARD_GRAVITY_M_S2 * values["gravity_scale"]
    arm.drive.lag_s = values["lag_ms"] * 1e-3
    arm.drive.noise_counts = values["noise_counts"]
    arm.relay_ns = int(values["relay_ms"] * 1e6)
    arm.watchdog_ns = int(values["watchdog_ms"] * 1e6)
    arm.fallback_ns = int(values["fallback_ms"] * 1e6)
    arm.battery = values["battery_mv"]
    arm.idle_drain = values["idle_drain_mv_s"]
    arm.load_drain = values["load_drain_mv_s"]
    return 0


cdef int load_axes(Arm* arm, object start_deg, double gravity_scale) except -1:
    cdef Axis* a
    if start_deg is not None and len(start_deg) != arm.axes:
        raise ValueError(f"start_deg has {len(start_deg)} values for {arm.axes} axes")
    for i in range(arm.axes):
        row = model.AXES[i]
        a = &arm.axis[<int>i]
        a.resolution, a.zero, a.inverted = row.resolution_counts, row.zero_counts, row.inverted
        a.stroke, a.conversion = row.stroke_deg, row.conversion
        a.deg_per_count = (-1.0 if row.inverted else 1.0) * a.stroke / a.resolution
        ends = sorted(row.zero_counts + angle / a.deg_per_count for angle in (row.minimum_deg, row.maximum_deg))
        a.count_minimum, a.count_maximum = ceil(ends[0]), floor(ends[1])
        a.low, a.high = sorted(a.deg_per_count * (end - a.zero) for end in (a.count_minimum, a.count_maximum))
        a.inertia, a.friction = row.inertia, row.friction
        a.spring_offset = model.SPRING_OFFSET_COUNTS * gravity_scale if i == SPRING_AXIS else 0.0
        a.spring_stiffness = model.SPRING_STIFFNESS_COUNTS_PER_DEG * gravity_scale if i == SPRING_AXIS else 0.0
        a.position = row.start_deg if start_deg is None else start_deg[i]
        if not a.low <= a.position <= a.high:
            raise ValueError(f"start_deg of axis {i + 1}: {a.position:g} is outside {a.low:.2f}..{a.high:.2f} deg")
        a.drive_position = a.position
        a.reading = sensor_counts(a, 0.0)
    load_chain(arm)
    forget_maxima(arm)
    return 0


cdef int load_chain(Arm* arm) except -1:
    """Joints and links. What an arm with fewer axes leaves out stays on its last link, as it hangs at 0 deg."""
    cdef Axis* a
    cdef int i, k
    cdef double share
    at = [[0.0, 0.0, 0.0]]      # of each joint at 0 deg, m
    for number, row in enumerate(model.AXES):
        at.append([before + part * 1e-3 for before, part in zip(at[number], row.offset_mm, strict=True)])
    for number, row in enumerate(model.AXES):
        i = min(number, arm.axes - 1)
        a = &arm.axis[i]
        if number == i:
            a.counts_per_nm = row.counts_per_nm
            for k in range(3):
                a.turns[k] = row.axis[k]
                a.offset[k] = row.offset_mm[k] * 1e-3
        a.mass += row.mass_kg
        share = row.mass_kg / a.mass
        for k in range(3):
            a.centre[k] += (row.centre_mm[k] * 1e-3 + at[number + 1][k] - at[i + 1][k] - a.centre[k]) * share
    for k in range(3):
        arm.hand_offset[k] = model.HAND_AT_MM[k] * 1e-3 - at[arm.axes][k]
    load_step(arm)
    return 0


cdef void forget_maxima(Arm* arm) noexcept nogil:
    cdef int i
    cdef Axis* a
    for i in range(arm.axes):
        a = &arm.axis[i]
        a.max_command_speed = a.max_command_change = a.max_speed = 0.0
        a.lowest = a.highest = a.position


cdef dict truth_of(Arm* arm):
    cdef Axis* a
    cdef int i
    per_axis = {name: [] for name in (
        "position_deg", "speed_deg_s", "torque_counts", "position_counts", "minimum_deg", "maximum_deg", "driver_state",
        "error_code", "warning_code", "command", "torque_offset_counts", "load_counts", "lever_mm")}
    for i in range(arm.axes):
        a = &arm.axis[i]
        row = (a.position, a.speed, a.torque, true_counts(a), a.low, a.high, driver_state(a, arm.contacts),
               a.error, a.warning, (a.mode, a.target_type, a.target), a.torque_offset, static_load(a),
               (a.lever[0] * 1e3, a.lever[1] * 1e3, a.lever[2] * 1e3))
        for column, value in zip(per_axis.values(), row, strict=True):
            column.append(value)
    return {
        "time_ns": arm.now_ns,
        "phase": "cyclic" if arm.phase == CYCLIC_PHASE else "register",
        **{name: tuple(column) for name, column in per_axis.items()},
        "hand_mm": (arm.hand[0] * 1e3, arm.hand[1] * 1e3, arm.hand[2] * 1e3),
        "enable": bool(enable_seen(arm)),
        "contacts": bool(arm.contacts),
        "button_pressed": bool(arm.pressed),
        "battery_mv": battery_mv(arm),
        "counters": arm.counters,
    }


cdef dict maxima_of(Arm* arm):
    indices = range(arm.axes)
    return {
        "command_speed_deg_s": tuple([arm.axis[<int>i].max_command_speed for i in indices]),
        "command_change_deg_s": tuple([arm.axis[<int>i].max_command_change for i in indices]),
        "speed_deg_s": tuple([arm.axis[<int>i].max_speed for i in indices]),
        "lowest_deg": tuple([arm.axis[<int>i].lowest for i in indices]),
        "highest_deg": tuple([arm.axis[<int>i].highest for i in indices]),
    }


cdef list flag_log_of(Arm* arm):
    count = arm.log_count
    return [(arm.log_ns[<int>(k % LOG_SIZE)], arm.log_flags[<int>(k % LOG_SIZE)])
            for k in range(max(0, count - LOG_SIZE), count)]
