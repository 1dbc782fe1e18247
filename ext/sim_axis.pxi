# One axis of the simulated arm: the drive's set-point generator, the joint that follows it, its load and its sensor.
# Angles in deg, speeds in deg/s, torques in torque sensor counts. Positive speed is positive joint angle.

cdef enum:
    MAX_AXES = 8
    # driver working modes
    DRIVER_OFF = 0
    POSITION_PROFILER = 1
    POSITION_WAIT = 2
    SPEED_PERCENT = 3
    SPEED_ABS = 4
    SOFT_STOP = 5
    HARD_STOP = 6
    STAND_STILL_WAITING = 7
    STAND_STILL_AUTO = 8
    COMPLIANT = 9
    # target types
    TARGET_NONE = 0
    TARGET_DEG = 1
    TARGET_COUNTS = 2
    TARGET_MICROSTEPS_S = 3
    TARGET_PERCENT = 4
    TARGET_TORQUE = 5
    # driver states
    NOT_CONNECTED = 0
    SETUP_NEEDED = 1
    DRIVE_WAITING = 2
    DRIVE_AUTO = 3
    DRIVE_ERROR = 4
    # drive errors and warnings
    ERROR_ABOVE_MAXIMUM = 1
    ERROR_BELOW_MINIMUM = 2
    ERROR_MODE_UNKNOWN = 51
    WARNING_NEAR_MAXIMUM = 1
    WARNING_NEAR_MINIMUM = 2
    WARNING_TARGET_ABOVE = 4
    WARNING_TARGET_BELOW = 5
    WARNING_SPEED_ABOVE = 6
    WARNING_SPEED_BELOW = 7
    WARNING_WITHDRAWN = 16000
    WITHDRAWN_TELEGRAMS = 10

cdef double MECHANICAL_STOP_DEG = 4.0   # past the hard limits, where the joint meets its frame
cdef double END_PAD_DEG = 0.5           # before the hard limits: pads that carry a joint that sinks without torque
cdef double POWERED_DAMPING = 2.0       # counts per deg/s
cdef double MOVING_DEG_S = 0.05
cdef double BEARING_SHARE = 0.1         # of the friction that the torque sensor sees: it sits behind the gear
cdef double BEARING_DEG_S = 2.0         # below, that friction goes over into the other direction


cdef struct Drive:                      # the same for every axis, from the options
    double speed_limit
    double acceleration_limit
    double soft_stop
    double hard_stop
    double fall_damping
    double compliant_yield
    double lag_s
    double noise_counts


cdef struct Axis:
    # registers
    int resolution
    int zero
    int count_minimum
    int count_maximum
    bint inverted
    float stroke
    float conversion
    double deg_per_count                # signed
    double low                          # the hard limits, deg
    double high
    # load
    double inertia
    double friction
    double spring_offset                # counts that a spring carries at 0 deg, and more per deg
    double spring_stiffness
    # place in the chain, in the frame of the joint before at 0 deg: m, kg
    double turns[3]                     # axis of rotation
    double offset[3]
    double mass
    double centre[3]
    double counts_per_nm
    # of the present pose (sim_chain.pxi), counts
    double holding                      # torque that holds it against gravity
    double pulled                       # torque of the hand's force, and from outside
    double lever[3]                     # the hand's way per turn of the joint, m/rad, base frame
    # truth
    double position
    double speed
    double torque
    double drive_position               # where the drive believes it is; the joint follows it with the lag
    double drive_speed
    bint held                           # the drive had torque in the last substep
    # the last command
    int mode
    int target_type
    double target
    double torque_offset
    double stored_target                # deg, of POSITION_INTERNAL_PROFILER_WAIT_FOR_START
    bint has_stored
    # faults
    bint no_setup
    bint no_connection
    bint waiting
    bint stuck
    bint blocked
    double drift
    double sensor_offset                # counts
    double outside                      # torque from outside, counts
    double torque_error                 # of the torque sensor, counts
    int fault_error
    int fault_warning
    # what it reports
    int error
    int warning
    int withdrawn
    int withdrawn_left
    int reading                         # last reading sent, counts
    double shown_target                 # in the unit of the working mode
    # running maxima for tests
    double command_speed
    double max_command_speed
    double max_command_change
    double max_speed
    double lowest
    double highest


cdef double braking_speed(double distance, double deceleration, double dt) noexcept nogil:
    """Highest speed from which steps of dt at that deceleration end within the distance."""
    if distance <= 0.0:
        return 0.0
    cdef double step = deceleration * dt
    return step * (sqrt(0.25 + 2.0 * distance / (step * dt)) - 0.5)


cdef double true_counts(const Axis* a) noexcept nogil:
    """Sensor counts of the true joint angle, as the motor's microsteps leave it while it has torque."""
    cdef double angle = a.position
    if a.held:
        angle = round(angle / a.conversion) * a.conversion
    return a.zero + angle / a.deg_per_count


cdef int sensor_counts(const Axis* a, double noise) noexcept nogil:
    """What the sensor shows, wrapped into int16 as its register is."""
    if a.stuck:
        return a.reading
    cdef int64_t counts = <int64_t>lround(true_counts(a) + noise + a.sensor_offset)
    return <int16_t>(counts & 0xFFFF)


cdef inline int taken_mode(const Axis* a) noexcept nogil:
    """The commanded mode, unless the drive takes no commands."""
    return STAND_STILL_WAITING if a.waiting else a.mode


cdef int working_mode(const Axis* a, bint hard_stop) noexcept nogil:
    """The mode the drive follows, whatever was commanded."""
    cdef int mode = taken_mode(a)
    if a.no_setup or a.no_connection:
        return DRIVER_OFF
    if mode == DRIVER_OFF:
        return DRIVER_OFF
    if a.error or hard_stop:
        return HARD_STOP
    return mode


cdef int driver_state(const Axis* a, bint power) noexcept nogil:
    if a.no_connection:
        return NOT_CONNECTED
    if a.no_setup:
        return SETUP_NEEDED
    if a.error:
        return DRIVE_ERROR
    if not power or taken_mode(a) in (DRIVER_OFF, SOFT_STOP, HARD_STOP, STAND_STILL_WAITING):
        return DRIVE_WAITING
    return DRIVE_AUTO


cdef void set_drive_warning(Axis* a, int code) noexcept nogil:
    """The code now; a code that went is first reported as withdrawn (code + 16000), then as 0."""
    if code != a.warning:
        if a.warning and not code:
            a.withdrawn = a.warning + WARNING_WITHDRAWN
            a.withdrawn_left = WITHDRAWN_TELEGRAMS
        a.warning = code


cdef inline bint by_speed(int mode, int target_type) noexcept nogil:
    return mode in (SPEED_ABS, SPEED_PERCENT) or mode == COMPLIANT and target_type in (TARGET_MICROSTEPS_S, TARGET_PERCENT)


cdef double commanded_speed(const Axis* a, const Drive* drive) noexcept nogil:
    """deg/s that the command asks for, before any limit of the drive; 0 outside the speed modes."""
    if a.mode in (SPEED_ABS, COMPLIANT) and a.target_type == TARGET_MICROSTEPS_S:
        return a.target * a.conversion
    if a.mode in (SPEED_PERCENT, COMPLIANT) and a.target_type == TARGET_PERCENT:
        return a.target / 100.0 * drive.speed_limit
    return 0.0


cdef bint commanded_position(Axis* a, double* angle) noexcept nogil:
    """Target angle inside the hard limits, deg; False without one. WAIT_FOR_START's target serves a bare start."""
    if a.target_type == TARGET_DEG:
        angle[0] = a.target
    elif a.target_type == TARGET_COUNTS:
        angle[0] = a.deg_per_count * (a.target - a.zero)
    elif a.target_type == TARGET_NONE and a.has_stored:
        angle[0] = a.stored_target
    else:
        return False
    return True


cdef int side(const Axis* a, bint upwards, int above, int below) noexcept nogil:
    """Codes speak of sensor counts: on an inverted sensor the upper end of the joint is the lower end in counts."""
    return above if upwards != a.inverted else below


cdef void follow_command(Axis* a, const Drive* drive, int mode, double dt) noexcept nogil:
    """Moves the drive's own position and speed one substep."""
    cdef double acceleration = drive.acceleration_limit, wanted = 0.0, angle = 0.0, net, room
    cdef int warning = 0
    cdef bint at_target = False
    a.shown_target = a.zero + a.drive_position / a.deg_per_count
    if mode == SOFT_STOP:
        acceleration = drive.soft_stop
    elif mode == HARD_STOP:
        acceleration = drive.hard_stop
    elif mode == POSITION_PROFILER or mode == POSITION_WAIT:
        if commanded_position(a, &angle):
            if angle > a.high or angle < a.low:
                warning = side(a, angle > a.high, WARNING_TARGET_ABOVE, WARNING_TARGET_BELOW)
                angle = a.high if angle > a.high else a.low
            a.shown_target = a.zero + angle / a.deg_per_count
            if mode == POSITION_WAIT:
                a.stored_target = angle
                a.has_stored = True
            else:
                wanted = copysign(braking_speed(fabs(angle - a.drive_position), acceleration, dt),
                                  angle - a.drive_position)
                at_target = fabs(angle - a.drive_position) < 1e-9 + acceleration * dt * dt
    elif mode == SPEED_ABS or mode == SPEED_PERCENT:
        wanted = commanded_speed(a, drive)
        a.shown_target = wanted / a.conversion
    elif mode == COMPLIANT and a.target_type in (TARGET_MICROSTEPS_S, TARGET_PERCENT):
        # a speed loop that is soft: load that the offset does not carry moves it
        wanted = commanded_speed(a, drive)
        a.shown_target = wanted / a.conversion
        wanted += (a.torque_offset - static_load(a)) / drive.compliant_yield
    elif mode == COMPLIANT:
        net = a.torque_offset + (a.target if a.target_type == TARGET_TORQUE else 0.0)
        a.shown_target = net
        wanted = net / POWERED_DAMPING
    if fabs(wanted) > drive.speed_limit:
        if by_speed(mode, a.target_type):
            warning = WARNING_SPEED_ABOVE if wanted > 0.0 else WARNING_SPEED_BELOW
        wanted = copysign(drive.speed_limit, wanted)
    room = a.high - a.drive_position if wanted > 0.0 else a.drive_position - a.low
    room = braking_speed(room, acceleration, dt)
    if fabs(wanted) > room:
        if not warning and mode != POSITION_PROFILER:
            warning = side(a, wanted > 0.0, WARNING_NEAR_MAXIMUM, WARNING_NEAR_MINIMUM)
        wanted = copysign(room, wanted)
    if at_target and fabs(a.drive_speed) <= 2.0 * acceleration * dt:
        a.drive_position = angle
        a.drive_speed = 0.0
    else:
        wanted -= a.drive_speed
        if fabs(wanted) > acceleration * dt:
            wanted = copysign(acceleration * dt, wanted)
        a.drive_speed += wanted
        a.drive_position += a.drive_speed * dt
    set_drive_warning(a, a.fault_warning if a.fault_warning else warning)


cdef inline double static_load(const Axis* a) noexcept nogil:
    """Counts that the drive has to carry at rest: gravity, less what the spring and whoever pulls carry."""
    return a.holding - a.spring_offset - a.spring_stiffness * a.position - a.pulled


cdef void fall(Axis* a, const Drive* drive, double dt) noexcept nogil:
    """A joint without torque: gravity, spring and whoever pulls, against friction and damping, as far as the end pads:
    they carry a limb that sinks, so that motor power can be given to it again."""
    cdef double pull = -static_load(a)
    cdef double before = a.speed, was = a.position
    if before == 0.0 and fabs(pull) <= a.friction:
        return
    cdef double rub = copysign(a.friction, before if before != 0.0 else pull)
    # implicit in the damping: stable for every substep up to 1 ms and every inertia
    a.speed = (before + (pull - rub) / a.inertia * dt) / (1.0 + drive.fall_damping / a.inertia * dt)
    if before * a.speed < 0.0:
        a.speed = 0.0
    a.position += a.speed * dt
    if a.speed > 0.0 and a.position > a.high - END_PAD_DEG:
        a.position = max(was, a.high - END_PAD_DEG)
        a.speed = 0.0
    elif a.speed < 0.0 and a.position < a.low + END_PAD_DEG:
        a.position = min(was, a.low + END_PAD_DEG)
        a.speed = 0.0


cdef void axis_step(Axis* a, const Drive* drive, bint power, bint hard_stop, double dt, double gain) noexcept nogil:
    """One substep. `gain` is 1 - exp(-dt / lag)."""
    cdef int mode = working_mode(a, hard_stop), counts
    cdef double before = a.position, speed_before = a.speed, low, high, was, trail
    cdef bint torque_on = power and mode != DRIVER_OFF
    if torque_on:
        if not a.held:  # the rotor catches where the joint is, at the speed it has
            a.drive_position = a.position
            a.drive_speed = a.speed - a.drift   # a hand that moves the joint goes on doing so
        was = a.drive_position
        follow_command(a, drive, mode, dt)
        # exactly the lag's answer to a drive that moves evenly in this substep, so that substeps of any length give the
        # same speed: lag x' = u(t) - x, with trail = u - x - u' lag fading by exp(-dt / lag)
        trail = (a.drive_position - was) / dt * drive.lag_s
        a.position = a.drive_position - trail - (was - a.position - trail) * (1.0 - gain)
        a.speed = (a.position - before) / dt
    else:
        if a.drift == 0.0:
            fall(a, drive, dt)
        set_drive_warning(a, a.fault_warning)
    a.held = torque_on
    if a.blocked:
        a.position = a.drive_position = before
        a.speed = 0.0
    elif a.drift != 0.0:
        a.position += a.drift * dt
        a.drive_position += a.drift * dt
        a.speed = (a.position - before) / dt
    low = a.low - MECHANICAL_STOP_DEG
    high = a.high + MECHANICAL_STOP_DEG
    if a.position > high or a.position < low:
        a.position = a.drive_position = high if a.position > high else low
        a.speed = a.drive_speed = 0.0
    a.torque = 0.0
    if torque_on:
        a.torque = (static_load(a) + a.inertia * (a.speed - speed_before) / dt + POWERED_DAMPING * a.speed
                    + BEARING_SHARE * a.friction * tanh(a.speed / BEARING_DEG_S))
    a.max_speed = max(a.max_speed, fabs(a.speed))
    a.lowest = min(a.lowest, a.position)
    a.highest = max(a.highest, a.position)
    # errors, latched
    counts = sensor_counts(a, 0.0)
    if a.fault_error:
        a.error = a.fault_error
    elif a.mode > COMPLIANT:
        a.error = ERROR_MODE_UNKNOWN
    elif not a.error:
        if counts > a.count_maximum:
            a.error = ERROR_ABOVE_MAXIMUM
        elif counts < a.count_minimum:
            a.error = ERROR_BELOW_MINIMUM


cdef void take_command(Axis* a, const Drive* drive, int mode, int target_type, double target,
                       double torque_offset) noexcept nogil:
    """The axis's part of a valid command telegram, with the running maxima of what was commanded."""
    cdef bint was_speed = by_speed(a.mode, a.target_type)
    cdef double previous = a.command_speed if was_speed else a.speed
    if mode != POSITION_PROFILER and mode != POSITION_WAIT:
        a.has_stored = False
    a.mode = mode
    a.target_type = target_type
    a.target = target
    a.torque_offset = torque_offset
    a.command_speed = commanded_speed(a, drive)
    if by_speed(mode, target_type):
        a.max_command_speed = max(a.max_command_speed, fabs(a.command_speed))
        a.max_command_change = max(a.max_command_change, fabs(a.command_speed - previous))


cdef void clear_error(Axis* a) noexcept nogil:
    """'Clear drive errors': an error whose cause is still there is raised again in the next substep."""
    a.error = a.fault_error


cdef void put_axis(Axis* a, int number, bint power, double noise, uint8_t* p) noexcept nogil:
    """The 24 bytes of an axis block."""
    cdef int status = 0, ones, warning = a.warning, mode = taken_mode(a)
    cdef bint moving = fabs(a.speed) > MOVING_DEG_S, on_target = False
    cdef double angle = 0.0
    memset(p, 0, 24)
    p[1] = 0xFF
    p[2] = <uint8_t>number
    memset(p + 19, 0xFF, 5)
    a.reading = sensor_counts(a, noise)
    if not a.no_connection:
        if power and not moving and not a.error:
            if mode == POSITION_PROFILER:
                on_target = commanded_position(a, &angle) and fabs(angle - a.position) <= fabs(a.deg_per_count)
            else:
                on_target = SOFT_STOP <= mode <= STAND_STILL_AUTO
        if not warning and a.withdrawn_left:
            a.withdrawn_left -= 1
            warning = a.withdrawn
        status = (8 if a.error else 0) | (4 if a.warning else 0) | (2 if moving else 0) | (1 if on_target else 0)
        put_u16(p + 5, <uint16_t>a.error)
        put_u16(p + 7, <uint16_t>warning)
        put_u16(p + 9, <uint16_t>a.reading)
        put_u16(p + 11, <uint16_t>to_i16(a.torque + a.torque_error))
        put_f32(p + 13, <float>round(a.speed / a.conversion))
        put_u16(p + 17, <uint16_t>to_i16(a.shown_target))
    ones = (status & 1) + ((status >> 1) & 1) + ((status >> 2) & 1) + ((status >> 3) & 1)
    p[3] = <uint8_t>(status | ((ones & 1) << 7))
    p[4] = <uint8_t>((driver_state(a, power) << 4) | (mode & 0x0F))
    p[0] = crc8_of(p + 1, 23)
