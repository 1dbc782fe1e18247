// Checks every cycle of a run: command telegrams decoded from the bus specification, and state records. It knows nothing
// of the core's code; the struct Record is written out from the table of the record's fields, in front of this file.
#include <cmath>
#include <cstdio>
#include <cstdint>
#include <cstring>

namespace {

enum { STARTUP, WAITING, AUTO, ERROR_STATE, TO_AUTO };
enum { START = 1, JOG = 2, MOVE = 3, EXTERNAL = 16, HAND_JOG = 20, HAND_MOVE = 21, HAND_LEADS = 24 };
constexpr int N = 8, SPEED_ABS = 4, COMPLIANT = 9, LED = 2, CONTACT = 650;

struct Watch {
    // given
    int axes, decay;
    double dt, v_max, a_max, j_max, quick_a, quick_j, margin;
    double scale[N], float_error[N], low[N], high[N];
    // found
    uint64_t cycles, moving, starts, power_ons, stops_seen, in_range;
    double worst_jump, worst_speed, worst_slope, worst_bend;
    char complaint[256];
    // between cycles
    bool was_moving, armed, was_powered, was_auto, retreats;
    uint32_t last_command, stops;
    double before[N], slope[N], limit[N], old_limit[N], setpoint[N], excess[N];
    int lowered[N];
};

bool fail(Watch& w, const Record& r, const char* what, int axis, double value, double allowed) {
    std::snprintf(w.complaint, sizeof w.complaint, "cycle %llu axis %d: %s is %g, allowed %g (state %d, mode %d, category %d)",
                  (unsigned long long)r.cycle, axis + 1, what, value, allowed, r.state, r.mode, r.stop_category);
    return false;
}

// Speed limits in force: a lowered one counts once the motion has had the time to come down to it.
void follow_limits(Watch& w, const Record& r) {
    for (int i = 0; i < w.axes; ++i) {
        if (r.speed_limit_deg_s[i] < w.limit[i]) {
            const double still = w.lowered[i] > 0 ? w.old_limit[i] : 0.0;
            w.old_limit[i] = std::fmax(w.limit[i], still);
            w.lowered[i] = w.decay;
        }
        w.limit[i] = r.speed_limit_deg_s[i];
    }
}

bool check_speed(Watch& w, const Record& r, int i, double speed) {
    const bool quick = r.stop_category == 1;
    const double a = quick ? w.quick_a : w.a_max, j = quick ? w.quick_j : w.j_max, error = w.float_error[i];
    const double slope = (speed - w.before[i]) / w.dt, bend = (slope - w.slope[i]) / w.dt;
    const double cascade = w.lowered[i] > 0 ? std::fmax(w.old_limit[i], w.limit[i]) : w.limit[i];
    const double allowed = std::fmin(cascade, w.v_max);
    w.before[i] = speed;
    w.slope[i] = slope;
    w.worst_speed = std::fmax(w.worst_speed, std::fabs(speed) / w.v_max);
    if (!quick) w.worst_slope = std::fmax(w.worst_slope, std::fabs(slope) / w.a_max);
    if (!quick) w.worst_bend = std::fmax(w.worst_bend, (std::fabs(bend) - 4.0 * error / (w.dt * w.dt)) / w.j_max);
    if (!(std::fabs(speed) <= allowed + 1e-3 + error)) return fail(w, r, "speed", i, speed, allowed);
    if (!(std::fabs(slope) <= a + 2.0 * error / w.dt)) return fail(w, r, "acceleration", i, slope, a);
    if (!(std::fabs(bend) <= 1.001 * j + 4.0 * error / (w.dt * w.dt))) return fail(w, r, "jerk", i, bend, j);
    return true;
}

// Set-points stay inside the range; one that begins outside goes inwards only, but for what the end of an acceleration
// inwards may take back, far less than a sensor count.
constexpr double TAKEN_BACK_DEG = 1e-5;     // in a cycle

bool check_place(Watch& w, const Record& r, int i, bool first) {
    const double at = r.setpoint_position_deg[i];
    const double jump = std::fabs(at - r.position_deg[i]);
    if (first) {
        w.worst_jump = std::fmax(w.worst_jump, jump);
        if (!(jump <= 0.1)) return fail(w, r, "jump at the start of a motion", i, jump, 0.1);
    }
    if (!(at >= w.low[i] - 0.02 && at <= w.high[i] + 0.02)) return fail(w, r, "set-point, hard limits", i, at, w.low[i]);
    if (first) return true;
    if (at < r.range_minimum_deg[i] - 0.02 && at < w.setpoint[i] - TAKEN_BACK_DEG)
        return fail(w, r, "set-point going out below the range", i, at, r.range_minimum_deg[i]);
    if (at > r.range_maximum_deg[i] + 0.02 && at > w.setpoint[i] + TAKEN_BACK_DEG)
        return fail(w, r, "set-point going out above the range", i, at, r.range_maximum_deg[i]);
    return true;
}

// The arm itself, with power on: never further out of its range than it was found, but for the margin.
bool check_arm(Watch& w, const Record& r, bool powered) {
    for (int i = 0; i < w.axes; ++i) {
        const double out = std::fmax(0.0, std::fmax(r.range_minimum_deg[i] - r.position_deg[i],
                                                    r.position_deg[i] - r.range_maximum_deg[i]));
        if (!powered || !r.rom_enforced[i]) {
            w.excess[i] = 1e9;
            continue;
        }
        w.excess[i] = std::fmin(w.excess[i], out);
        if (!(out <= w.excess[i] + w.margin)) return fail(w, r, "way out of the range of motion", i, out, w.excess[i]);
    }
    return true;
}

bool in_contact(const Record& r) {
    for (int i = 0; i < r.fault_count; ++i)
        if ((r.faults[i] & 0xFFFF) == CONTACT) return true;
    return false;
}

// A motion, and motor power, begin only by a motion command that was accepted since the last stop, error or standstill. Where
// that is configured, a retreat of an arm that was held in AUTO begins with the error of the contact, and only with it.
bool check_order(Watch& w, const Record& r, bool moving) {
    const bool taken = r.last_command != w.last_command && r.last_command_result == 0 &&
                       (r.last_command_kind == START || r.last_command_kind == JOG || r.last_command_kind == MOVE ||
                        r.last_command_kind == EXTERNAL || r.last_command_kind == HAND_JOG ||
                        r.last_command_kind == HAND_MOVE || r.last_command_kind == HAND_LEADS);
    if (r.stops != w.stops || r.state == ERROR_STATE || r.state == STARTUP) w.armed = false;
    w.stops_seen += r.stops != w.stops;
    w.stops = r.stops;
    w.last_command = r.last_command;
    if (taken) w.armed = true;
    const bool gives_way = w.retreats && w.was_auto && r.state == ERROR_STATE && in_contact(r);
    w.was_auto = r.state == AUTO;
    if (moving && !w.was_moving) {
        ++w.starts;
        if (!w.armed && !gives_way) return fail(w, r, "a motion that nobody asked for", -1, r.last_command, 0);
    }
    if (r.motor_power && !w.was_powered) {
        ++w.power_ons;
        if (!w.armed) return fail(w, r, "motor power that nobody asked for", -1, r.last_command, 0);
    }
    if (!moving && r.state != TO_AUTO) w.armed = false;
    w.was_powered = r.motor_power;
    return true;
}

bool check_cycle(Watch& w, const uint8_t* telegram, const Record& r) {
    bool moving = false;
    const bool sent = telegram[0] == 0xFF;
    ++w.cycles;
    follow_limits(w, r);
    const int in_motion = r.compliant_phase == LED ? COMPLIANT : SPEED_ABS;
    for (int i = 0; i < w.axes; ++i) moving = moving || (sent && telegram[4 + 6 * i] == in_motion);
    w.moving += moving;
    w.in_range += moving && r.rom_enforced[0];
    if (!check_order(w, r, moving)) return false;
    for (int i = 0; i < w.axes; ++i) {
        const uint8_t* axis = telegram + 4 + 6 * i;
        float target;
        std::memcpy(&target, axis + 2, 4);
        --w.lowered[i];
        float offset;
        std::memcpy(&offset, telegram + 4 + 6 * w.axes + 4 * i, 4);
        if (sent && (!std::isfinite(offset) || (offset != 0.0f && axis[0] != COMPLIANT)))
            return fail(w, r, "torque offset", i, offset, 0.0);
        if (!moving) {
            if (sent && (axis[1] != 0 || target != 0.0f)) return fail(w, r, "target at rest", i, target, 0.0);
            // a motion that ends under power ends at rest
            const double last = std::fmax(0.06, 0.5 * w.j_max * w.dt * w.dt);  // of the ramp, within a cycle
            if (sent && r.motor_power && !(std::fabs(w.before[i]) <= last))
                return fail(w, r, "speed before the drives hold", i, w.before[i], last);
            w.before[i] = w.slope[i] = 0.0;
            continue;
        }
        if (axis[0] != in_motion || axis[1] != 3) return fail(w, r, "mode in motion", i, axis[0], in_motion);
        if (!check_speed(w, r, i, target * w.scale[i])) return false;
        if (!check_place(w, r, i, !w.was_moving)) return false;
    }
    if (!check_arm(w, r, r.motor_power && (r.inputs & 2) && r.self_test != 1)) return false;
    for (int i = 0; i < w.axes; ++i) w.setpoint[i] = r.setpoint_position_deg[i];
    w.was_moving = moving;
    return true;
}

}  // namespace

extern "C" {

int watch_size() { return sizeof(Watch); }
int record_size() { return sizeof(Record); }

// 1 while all is well; 0 from the first complaint on.
int watch(Watch* w, const uint8_t* telegrams, const uint8_t* records, int cycles) {
    for (int c = 0; c < cycles; ++c) {
        Record record;
        std::memcpy(&record, records + sizeof(Record) * c, sizeof(Record));
        if (!check_cycle(*w, telegrams + (8 + 10 * w->axes) * c, record)) return 0;
    }
    return 1;
}

// The line was taken away and brought up anew.
void watch_forget(Watch* w) {
    w->was_moving = w->armed = w->was_powered = w->was_auto = false;
    std::memset(w->before, 0, sizeof w->before);
    std::memset(w->slope, 0, sizeof w->slope);
}
}
