// The few words through which other threads reach the control thread outside the rings.
//
// Thread contract: `request_*`, `offer`, `take_back` are called by other threads and never wait; the control thread
// reads each word once per cycle. STOP is a latched word of its own, so that no full ring and no queue can delay it.
#pragma once

#include <atomic>
#include <cstdint>

namespace allyarm {

struct Handshake {
    alignas(64) std::atomic<std::uint32_t> stop{0};
    std::atomic<std::uint32_t> quit{0};
    std::atomic<int> offered_fd{-1};      // line for the control thread to take, -1 none
    std::atomic<std::uint32_t> reclaim{0};  // the main thread wants the line back
    std::atomic<std::uint32_t> spin_ns{0};
    alignas(64) std::atomic<std::uint32_t> attached{0};  // set by who lends a line, cleared by who is done with it
    std::atomic<std::uint32_t> released{1};   // 1: the control thread has done with a lost line
    std::atomic<std::uint32_t> running{0};
    std::atomic<int> thread_id{0};
    std::atomic<int> timer_slack_ns{-1};
    std::atomic<int> bus_errno{0};
    std::atomic<std::int64_t> first_cycle_ns{0};
    alignas(64) std::atomic<std::int64_t> hmi_beat_ns{0};  // monotonic time of the HMI thread's last round, 0 no HMI

    void request_stop() noexcept { stop.store(1, std::memory_order_release); }
    bool take_stop() noexcept {
        return stop.load(std::memory_order_relaxed) != 0 && stop.exchange(0, std::memory_order_acquire) != 0;
    }
    void request_quit() noexcept { quit.store(1, std::memory_order_release); }
    bool quitting() const noexcept { return quit.load(std::memory_order_acquire) != 0; }
    void offer(int fd) noexcept { offered_fd.store(fd, std::memory_order_release); }
    int take_offer() noexcept {
        return offered_fd.load(std::memory_order_relaxed) < 0 ? -1
                                                              : offered_fd.exchange(-1, std::memory_order_acquire);
    }
    void take_back() noexcept { reclaim.store(1, std::memory_order_release); }
    bool take_reclaim() noexcept {
        return reclaim.load(std::memory_order_relaxed) != 0 && reclaim.exchange(0, std::memory_order_acquire) != 0;
    }
    void set_attached(bool on) noexcept { attached.store(on, std::memory_order_release); }
    bool is_attached() const noexcept { return attached.load(std::memory_order_acquire) != 0; }
    void set_released(bool on) noexcept { released.store(on, std::memory_order_release); }
    bool is_released() const noexcept { return released.load(std::memory_order_acquire) != 0; }
    void set_running(bool on) noexcept { running.store(on, std::memory_order_release); }
    bool is_running() const noexcept { return running.load(std::memory_order_acquire) != 0; }
};

}  // namespace allyarm
