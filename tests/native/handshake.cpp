// Three real threads on the handshake, as the program uses it: "control" polls, "main" lends a line and takes it back,
// "stopper" asks for stops. What the words hand over is plain memory, so that ThreadSanitizer sees every missing order.
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>

#include "handshake.hpp"

namespace {

[[noreturn]] void fail(const char* what, std::uint64_t round) {
    std::fprintf(stderr, "FAILED: %s (%" PRIu64 ")\n", what, round);
    std::fflush(stderr);
    std::_Exit(1);
}

template <class Condition>
void wait_until(Condition condition, const char* what, std::uint64_t round) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > until) fail(what, round);
        std::this_thread::yield();
    }
}

struct Line {  // plain: belongs to main, and to control while it is lent
    bool open = false;
    std::uint64_t settings = 0;
    std::uint64_t used = 0;
};

constexpr int lines = 4;

struct Scene {
    allyarm::Handshake handshake;
    Line line[lines];
    bool bursts = false;                        // the stopper asks again without waiting to be heard
    std::uint64_t reason = 0;                   // plain: stopper -> control, without bursts
    std::atomic<std::uint64_t> asked{0};        // relaxed only: orders nothing that the handshake should order
    std::atomic<std::uint64_t> heard{0};
    std::uint64_t loss = 0;                     // plain: control -> main, by `released`
    std::uint64_t cycles = 0, stops = 0, taken = 0;  // plain: control -> main, by `running`
};

void control(Scene& s) {
    auto& h = s.handshake;
    int fd = -1;
    while (!h.quitting()) {
        ++s.cycles;
        if (h.take_stop()) {
            ++s.stops;
            const std::uint64_t asked = s.asked.load(std::memory_order_relaxed);
            if (!s.bursts && s.reason != asked) fail("a stop came without its reason", asked);
            s.heard.store(asked, std::memory_order_release);
        }
        if (h.take_reclaim()) {
            fd = -1;
            h.set_released(true);
            h.set_attached(false);
        }
        const int offered = h.take_offer();
        if (offered >= 0) {
            if (fd >= 0) fail("a second line offered", s.cycles);
            fd = offered;
            ++s.taken;
            if (s.line[fd].settings != s.line[fd].used + 7) fail("settings of another line", s.cycles);
        }
        if (fd >= 0) {
            if (!s.line[fd].open) fail("a line used that was taken back", s.cycles);
            ++s.line[fd].used;
            if (s.cycles % 37 == 0) {  // the line is lost
                s.loss = s.cycles;
                fd = -1;
                h.set_released(true);
            }
        }
        if (s.cycles % 16 == 0) std::this_thread::yield();
    }
    h.set_running(false);
}

void lend(Scene& s, std::uint64_t rounds, std::uint64_t& lost, std::uint64_t& unseen) {
    auto& h = s.handshake;
    std::uint64_t last_loss = 0;
    for (std::uint64_t round = 0; round < rounds; ++round) {
        const int fd = static_cast<int>(round % lines);
        Line& line = s.line[fd];
        line = {true, round + 7, round};
        h.set_released(false);
        h.set_attached(true);
        h.offer(fd);
        bool released = false;
        for (std::uint64_t i = 0; i < round % 61 && !released; ++i) {
            released = h.is_released();
            if (i % 8 == 7) std::this_thread::yield();
        }
        if (released) {
            ++lost;
            if (s.loss <= last_loss) fail("released without a loss", round);
            last_loss = s.loss;
            if (line.used == round) fail("lost without being used", round);
        }
        if (h.take_offer() >= 0) {
            ++unseen;
            if (line.used != round) fail("used before it was taken", round);
            h.set_released(true);
            h.set_attached(false);
        } else {
            h.take_back();
            wait_until([&] { return !h.is_attached(); }, "the line was not given back", round);
            if (line.used == round) fail("given back without having been taken", round);
        }
        line.open = false;  // from here on any use is a failure, and a data race
        line.settings = 0;
        // Only now, so that this load orders nothing for the lines above.
        if (!h.is_released()) fail("given back, but not released", round);
    }
}

void stopper(Scene& s, std::uint64_t requests, const std::atomic<bool>& enough) {
    for (std::uint64_t n = 1; n <= requests || !enough.load(std::memory_order_relaxed); ++n) {
        if (!s.bursts) s.reason = n;
        s.asked.store(n, std::memory_order_relaxed);
        s.handshake.request_stop();
        if (s.bursts && n % 7 != 0) continue;
        wait_until([&] { return s.heard.load(std::memory_order_acquire) >= n; }, "a stop was lost", n);
    }
    const std::uint64_t last = s.asked.load(std::memory_order_relaxed);
    wait_until([&] { return s.heard.load(std::memory_order_acquire) >= last; }, "a stop was lost", last);
}

void play(bool bursts, std::uint64_t rounds) {
    auto s = std::make_unique<Scene>();
    s->bursts = bursts;
    s->handshake.set_running(true);
    std::uint64_t lost = 0, unseen = 0;
    std::atomic<bool> enough{false};
    std::thread controls([&] { control(*s); });
    std::thread stops([&] { stopper(*s, rounds, enough); });
    lend(*s, rounds, lost, unseen);
    enough.store(true, std::memory_order_relaxed);
    stops.join();
    s->handshake.request_quit();
    wait_until([&] { return !s->handshake.is_running(); }, "the control thread does not end", rounds);
    const std::uint64_t asked = s->asked.load(std::memory_order_relaxed);
    if (s->taken + unseen != rounds) fail("lines taken and not taken are not the lines lent", s->taken);
    if (s->taken == 0 || lost == 0) fail("the threads never met", rounds);
    if (bursts ? s->stops > asked : s->stops != asked) fail("stops heard are not the stops asked for", s->stops);
    std::printf("%s: %" PRIu64 " lines lent, %" PRIu64 " taken, %" PRIu64 " seen lost; %" PRIu64
                " stops asked for, %" PRIu64 " heard; %" PRIu64 " cycles\n",
                bursts ? "bursts" : "single", rounds, s->taken, lost, asked, s->stops, s->cycles);
    controls.join();
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: handshake ROUNDS\n");
        return 2;
    }
    const std::uint64_t rounds = std::strtoull(argv[1], nullptr, 10);
    play(false, rounds);
    play(true, rounds);
}
