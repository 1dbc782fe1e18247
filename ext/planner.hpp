// Jerk-limited trajectories by Ruckig, as the cycle needs them: no exception, no allocation, no clock of its own.
//
// One Planner holds the running trajectory of all axes. `plan_position`, `plan_stream` and `plan_velocity` replace it from a given
// kinematic state; `at` samples it. Ruckig is used below its `update`, which reads the system clock.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

#include <ruckig/ruckig.hpp>

namespace allyarm {

class Planner {
public:
    static constexpr std::size_t N = 8;
    static constexpr double least_speed = 1e-3;  // a limit of 0 would leave a planner nothing to plan with

    // Units: degrees and seconds. Arrays have N elements; axes >= `axes` are left out.
    // True when a trajectory was found; else the running one is unchanged.
    bool plan_position(int axes, const double* p, const double* v, const double* a, const double* target,
                       const double* v_max, const double* a_max, const double* j_max) noexcept {
        fill(axes, p, v, a, a_max, j_max);
        input_.control_interface = ruckig::ControlInterface::Position;
        input_.synchronization = ruckig::Synchronization::Time;
        for (int i = 0; i < axes; ++i) {
            input_.target_position[i] = target[i];
            input_.target_velocity[i] = 0.0;
            input_.max_velocity[i] = v_max[i];
        }
        if (calculate()) return true;
        // Ruckig finds no synchronised trajectory from some states in mid-motion (some axes braking, one far away from
        // its end): then each axis goes by its own fastest way, which it does find.
        input_.synchronization = ruckig::Synchronization::None;
        return calculate();
    }

    // Every axis by its own fastest way to meet a moving target: its position at the present time, and its speed (at most
    // v_max). For targets that come anew every cycle.
    // Planned in a frame that moves with the target's speed, or the axis would chase where the target has been.
    bool plan_stream(int axes, const double* p, const double* v, const double* a, const double* target,
                     const double* target_v, const double* v_max, const double* a_max, const double* j_max) noexcept {
        fill(axes, p, v, a, a_max, j_max);
        input_.control_interface = ruckig::ControlInterface::Position;
        input_.synchronization = ruckig::Synchronization::None;
        Vector lowest, frame_p{}, frame_v{};
        lowest.fill(-1.0);
        for (std::size_t i = 0; i < static_cast<std::size_t>(axes); ++i) {
            frame_p[i] = target[i];
            frame_v[i] = target_v[i];
            input_.current_position[i] = p[i] - target[i];
            input_.current_velocity[i] = v[i] - target_v[i];
            input_.target_position[i] = 0.0;
            input_.max_velocity[i] = std::fmax(v_max[i] - target_v[i], least_speed);
            lowest[i] = -std::fmax(v_max[i] + target_v[i], least_speed);
        }
        input_.min_velocity = lowest;
        if (!calculate()) return false;
        frame_p_ = frame_p;
        frame_v_ = frame_v;
        return true;
    }

    bool plan_velocity(int axes, const double* p, const double* v, const double* a, const double* target,
                       const double* a_max, const double* j_max) noexcept {
        fill(axes, p, v, a, a_max, j_max);
        input_.control_interface = ruckig::ControlInterface::Velocity;
        input_.synchronization = ruckig::Synchronization::None;
        for (int i = 0; i < axes; ++i) input_.target_velocity[i] = target[i];
        return calculate();
    }

    double duration_s() const noexcept { return trajectory_.get_duration(); }

    void at(double time_s, double* p, double* v, double* a) noexcept {
        trajectory_.at_time(time_s, p_, v_, a_);
        for (std::size_t i = 0; i < N; ++i) {
            p[i] = p_[i] + frame_p_[i] + frame_v_[i] * time_s;
            v[i] = v_[i] + frame_v_[i];
            a[i] = a_[i];
        }
    }

private:
    using Vector = std::array<double, N>;

    void fill(int axes, const double* p, const double* v, const double* a, const double* a_max,
              const double* j_max) noexcept {
        input_.min_velocity.reset();
        for (std::size_t i = 0; i < N; ++i) {
            const bool on = static_cast<int>(i) < axes;
            input_.enabled[i] = on;
            input_.current_position[i] = on ? p[i] : 0.0;
            input_.current_velocity[i] = on ? v[i] : 0.0;
            input_.current_acceleration[i] = on ? a[i] : 0.0;
            input_.target_position[i] = input_.current_position[i];
            input_.target_velocity[i] = 0.0;
            input_.target_acceleration[i] = 0.0;
            input_.max_velocity[i] = 1.0;
            input_.max_acceleration[i] = on ? a_max[i] : 1.0;
            input_.max_jerk[i] = on ? j_max[i] : 1.0;
        }
    }

    // Ruckig misses states that lie on a switching curve by rounding, as every state of a trajectory's last jerk does
    // (one in sixty of those): a jerk limit that is higher by a billionth makes it one that it finds.
    bool calculate() noexcept {
        if (!input_.validate<false>(false, true)) return false;
        const Vector j_max = input_.max_jerk;
        for (const double slack : {0.0, 1e-9, 1e-6, 1e-3}) {
            for (std::size_t i = 0; i < N; ++i) input_.max_jerk[i] = j_max[i] * (1.0 + slack);
            if (found()) return true;
        }
        input_.max_jerk = j_max;
        return false;
    }

    bool found() noexcept {
        bool interrupted = false;
        const ruckig::Result result = calculator_.calculate<false>(input_, scratch_, 0.0, interrupted);
        if (result != ruckig::Result::Working) return false;
        trajectory_ = scratch_;
        frame_p_.fill(0.0);
        frame_v_.fill(0.0);
        return true;
    }

    ruckig::InputParameter<N> input_;
    ruckig::TargetCalculator<N> calculator_;
    ruckig::Trajectory<N> scratch_, trajectory_;
    Vector p_{}, v_{}, a_{};
    Vector frame_p_{}, frame_v_{};  // of the running trajectory: where its frame is at its beginning, and its speed
};

// Distance covered by the time-optimal jerk-limited stop from speed v and acceleration a: jerk to a peak deceleration,
// hold it at a_max where needed, jerk back to zero. Third-order velocity profile as in Biagiotti and Melchiorri,
// "Trajectory Planning for Automatic Machines and Robots", section 3.4; the same stop that plan_velocity plans.
inline double stop_distance(double v, double a, double a_max, double j_max) noexcept {
    const double sign = (v + a * std::fabs(a) / (2.0 * j_max)) >= 0.0 ? 1.0 : -1.0;
    double speed = sign * v, acc = sign * a, distance = 0.0;
    double peak2 = j_max * speed + 0.5 * acc * acc;  // squared peak deceleration without a hold
    double peak = peak2 > 0.0 ? std::sqrt(peak2) : 0.0, hold = 0.0;
    if (peak < -acc) peak = -acc;  // braking harder than needed already (only by rounding)
    if (peak > a_max) {
        peak = a_max > -acc ? a_max : -acc;
        hold = (speed + (acc * acc - 2.0 * peak * peak) / (2.0 * j_max)) / peak;
        if (hold < 0.0) hold = 0.0;
    }
    const double t1 = (acc + peak) / j_max;
    distance += speed * t1 + acc * t1 * t1 / 2.0 - j_max * t1 * t1 * t1 / 6.0;
    speed += acc * t1 - j_max * t1 * t1 / 2.0;
    distance += speed * hold - peak * hold * hold / 2.0;
    speed -= peak * hold;
    const double t3 = peak / j_max;
    distance += speed * t3 - peak * t3 * t3 / 2.0 + j_max * t3 * t3 * t3 / 6.0;
    return sign * distance;
}

}  // namespace allyarm
