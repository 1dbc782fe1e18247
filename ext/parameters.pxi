# The numbers of `Core.configure`, read and checked: settings of the loop, and of each axis.

SETTINGS = ("rate_hz", "silence_ms", "relay_switch_ms", "jog_timeout_ms", "max_overruns_in_a_row", "position_gain_1_s",
            "limit_margin_deg", "following_error_deg", "standstill_speed_deg_s", "standstill_drift_deg",
            "in_position_counts", "battery_minimum_v", "battery_maximum_v", "battery_averaging_s",
            "external_heartbeat_ms")
AXIS_SETTINGS = ("resolution_counts", "stroke_deg", "zero_counts", "inverted", "hard_minimum_counts", "hard_maximum_counts",
                 "deg_per_microstep", "max_speed_deg_s", "max_acceleration_deg_s2", "max_jerk_deg_s3",
                 "quick_stop_deceleration_deg_s2")


def _number(table, key):
    """A finite float out of `table`; ValueError naming the key."""
    value = float(table[key])
    if not isfinite(value):
        raise ValueError(f"{key}: {value} is not a finite number")
    return value


@cython.final
cdef class Parameters:
    """Only a place for its two functions: KeyError for a missing key, ValueError for a number that makes no sense."""

    @staticmethod
    cdef int read(object settings, int axes, Settings* s) except -1:
        """Settings of the loop (keys: SETTINGS), for so many axes."""
        if not 1.0 <= _number(settings, "rate_hz") <= 4000.0:
            raise ValueError(f"rate_hz: {settings['rate_hz']} given, 1..4000 allowed")
        s.axes = axes
        s.period_ns = <int64_t>(1e9 / _number(settings, "rate_hz") + 0.5)
        s.silence_ns = <int64_t>(_number(settings, "silence_ms") * 1e6)
        s.relay_ns = <int64_t>(_number(settings, "relay_switch_ms") * 1e6)
        s.jog_timeout_ns = <int64_t>(_number(settings, "jog_timeout_ms") * 1e6)
        s.overruns_in_a_row = <int64_t>_number(settings, "max_overruns_in_a_row")
        s.position_gain_1_s = _number(settings, "position_gain_1_s")
        s.limit_margin_deg = _number(settings, "limit_margin_deg")
        s.following_error_deg = _number(settings, "following_error_deg")
        s.standstill_speed_deg_s = _number(settings, "standstill_speed_deg_s")
        s.standstill_drift_deg = _number(settings, "standstill_drift_deg")
        s.in_position_counts = _number(settings, "in_position_counts")
        s.battery_minimum_v = _number(settings, "battery_minimum_v")
        s.battery_maximum_v = _number(settings, "battery_maximum_v")
        s.battery_averaging_s = _number(settings, "battery_averaging_s")
        s.external_heartbeat_ns = <int64_t>(_number(settings, "external_heartbeat_ms") * 1e6)
        for key in ("silence_ms", "relay_switch_ms", "jog_timeout_ms", "battery_averaging_s", "external_heartbeat_ms"):
            if not 0.0 <= _number(settings, key) <= 1e6:
                raise ValueError(f"{key}: {settings[key]} given, 0..1e6 allowed")
        if not s.battery_minimum_v < s.battery_maximum_v:
            raise ValueError(f"battery_minimum_v: {s.battery_minimum_v} given, it must be below battery_maximum_v "
                             f"({s.battery_maximum_v})")
        return 0

    @staticmethod
    cdef int read_axis(object axis, int number, double margin_deg, AxisParameters* p) except -1:
        """Settings of one axis (keys: AXIS_SETTINGS); `number` is for the messages."""
        cdef double one, other
        resolution = _number(axis, "resolution_counts")
        p.deg_per_microstep = _number(axis, "deg_per_microstep")
        if resolution == 0.0 or p.deg_per_microstep == 0.0 or _number(axis, "stroke_deg") == 0.0:
            raise ValueError(f"axis {number}: resolution, stroke and speed conversion must not be 0")
        p.deg_per_count = (-1.0 if axis["inverted"] else 1.0) * _number(axis, "stroke_deg") / resolution
        p.zero_counts = _number(axis, "zero_counts")
        p.hard_minimum_counts = <int>_number(axis, "hard_minimum_counts")
        p.hard_maximum_counts = <int>_number(axis, "hard_maximum_counts")
        one = degrees(p, p.hard_minimum_counts)
        other = degrees(p, p.hard_maximum_counts)
        p.minimum_deg = fmin(one, other) + margin_deg
        p.maximum_deg = fmax(one, other) - margin_deg
        if p.hard_minimum_counts >= p.hard_maximum_counts or p.minimum_deg >= p.maximum_deg:
            raise ValueError(f"axis {number}: hard limits {p.hard_minimum_counts}..{p.hard_maximum_counts} counts leave no "
                             f"room for a margin of {margin_deg} deg on either side")
        for key in AXIS_SETTINGS[7:]:
            if _number(axis, key) <= 0.0:
                raise ValueError(f"axis {number}: {key} must be above 0")
        p.max_speed_deg_s = axis["max_speed_deg_s"]
        p.max_acceleration_deg_s2 = axis["max_acceleration_deg_s2"]
        p.max_jerk_deg_s3 = axis["max_jerk_deg_s3"]
        p.quick_deceleration_deg_s2 = axis["quick_stop_deceleration_deg_s2"]
        return 0
