// Both rings under two and three real threads, checksummed records, laps and counters that wrap.
//
//     rings OPERATIONS [command | state]
//
// At least that many pushes, pops, writes and deliveries are shared out to the cases below. Exit code 1 and one line on
// standard error at the first violated promise.
// Built with ThreadSanitizer, without, and with AddressSanitizer and UBSan by test_rings_native.py, which also builds
// mutants of the headers that this program has to catch.
#include <atomic>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "command_ring.hpp"
#include "state_ring.hpp"

namespace {

[[noreturn]] void fail(const char* what, std::uint64_t at) {
    std::fprintf(stderr, "FAILED: %s at record %" PRIu64 "\n", what, at);
    std::_Exit(1);
}

std::uint64_t mix(std::uint64_t x) {  // splitmix64
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

// Every word depends on the number of the record, so a piece of another record shows.
template <int Words>
struct Record {
    std::uint64_t number;
    std::uint32_t word[2 * Words - 1];

    static constexpr std::size_t words = 2 * Words - 1;

    // Quick to make, so that writers come close on the heels of readers.
    static std::uint32_t expected(std::uint64_t mixed, std::size_t i) {
        return static_cast<std::uint32_t>(mixed >> 16) ^ static_cast<std::uint32_t>(i * 0x9e3779b1u);
    }
    static Record of(std::uint64_t number) {
        Record r;
        r.number = number;
        const std::uint64_t mixed = mix(number);
        for (std::size_t i = 0; i < words; ++i) r.word[i] = expected(mixed, i);
        return r;
    }
    bool intact() const {
        const std::uint64_t mixed = mix(number);
        std::uint32_t differences = 0;
        for (std::size_t i = 0; i < words; ++i) differences |= word[i] ^ expected(mixed, i);
        return differences == 0;
    }
};
static_assert(sizeof(Record<3>) == 32 && sizeof(Record<123>) == 992);

std::uint64_t operations_done = 0;

void report(const char* name, std::uint64_t operations, std::uint64_t delivered, std::uint64_t lost,
            std::uint64_t skipped) {
    operations_done += operations;
    std::printf("%-44s %12" PRIu64 " operations, delivered %" PRIu64 ", lost %" PRIu64 ", skipped %" PRIu64 "\n", name,
                operations, delivered, lost, skipped);
    std::fflush(stdout);
}

void spin(unsigned turns) {
    for (unsigned i = 0; i < turns; ++i) asm volatile("");
}

// One thread: a ring takes exactly Capacity records and gives them back in order, from every kind of start.
template <class Counter>
void command_capacity() {
    using R = Record<3>;
    const Counter top = ~Counter{0};
    for (const Counter first : {Counter{0}, Counter{5}, Counter(top - 2), Counter(top / 2 - 2)}) {
        auto ring = std::make_unique<allyarm::CommandRing<R, 8, Counter>>(first);
        std::uint64_t in = 0, out = 0;
        R r = R::of(~0u);
        for (int lap = 0; lap < 40; ++lap) {
            while (ring->try_push(R::of(in))) ++in;
            if (in - out != 8 || ring->size() != 8) fail("command ring: not exactly its capacity", in);
            for (int i = lap % 8; i < 8; ++i) {
                if (!ring->try_pop(r) || r.number != out++ || !r.intact()) fail("command ring: wrong record", out);
                if (ring->size() != in - out) fail("command ring: wrong size", out);
            }
        }
        while (out <= in && ring->try_pop(r)) ++out;
        // A ring that was never full: what stands in its slots must not look like records, whatever the start.
        auto young = std::make_unique<allyarm::CommandRing<R, 8, Counter>>(first);
        for (std::uint64_t i = 0; i < 40; ++i) {
            R other = R::of(~0u);
            if (young->try_pop(other) || other.number != R::of(~0u).number) fail("command ring: empty pop", i);
            if (!young->try_push(R::of(i)) || !young->try_pop(other) || other.number != i)
                fail("command ring: wrong record", i);
        }
        const R before = r;
        if (in != out || ring->try_pop(r) || r.number != before.number) fail("command ring: empty pop", out);
    }
}

// One thread: how far a reader may fall behind, and what it is told.
template <class Counter>
void state_losses() {
    using R = Record<3>;
    const Counter top = ~Counter{0};
    for (const Counter first : {Counter{0}, Counter{5}, Counter(top - 2), Counter(top / 2 - 2)}) {
        auto ring = std::make_unique<allyarm::StateRing<R, 8, Counter>>(first);
        typename allyarm::StateRing<R, 8, Counter>::Reader reader(*ring);
        std::uint64_t written = 0, expected_lost = 0;
        R r{};
        for (std::uint64_t burst = 0; burst < 40; ++burst) {
            for (std::uint64_t i = 0; i < burst; ++i) ring->write(R::of(written++));
            std::uint64_t got = 0;
            while (reader.next(r)) ++got;
            const std::uint64_t kept = burst <= 8 ? burst : 7;  // all 8 slots are whole while nothing is written
            expected_lost += burst - kept;
            if (got != kept || reader.lost() != expected_lost) fail("state ring: lost more or fewer", written);
            if (burst && (r.number != written - 1 || !r.intact())) fail("state ring: wrong record", written);
        }
        for (int i = 0; i < 20; ++i) ring->write(R::of(written++));
        const std::uint64_t lost = reader.lost();
        if (!reader.latest(r) || r.number != written - 1 || reader.lost() != lost || reader.skipped() != 19)
            fail("state ring: latest", written);
        if (reader.latest(r) || reader.next(r) || r.number != written - 1) fail("state ring: empty", written);
    }
}

template <class R, std::size_t Capacity, class Counter>
void command_threads(const char* name, Counter first, std::uint64_t operations, unsigned slow_producer,
                     unsigned slow_consumer) {
    auto ring = std::make_unique<allyarm::CommandRing<R, Capacity, Counter>>(first);
    const std::uint64_t records = operations / 2 + 1;
    std::uint64_t full = 0;
    std::thread producer([&] {
        for (std::uint64_t i = 0; i < records; ++i) {
            const R r = R::of(i);
            while (!ring->try_push(r)) {
                if (++full % 64 == 0) std::this_thread::yield();
            }
            if (slow_producer && i % 64 == 0) spin(slow_producer);
        }
    });
    R r;
    std::uint64_t empty = 0;
    for (std::uint64_t i = 0; i < records; ++i) {
        while (!ring->try_pop(r)) {
            if (++empty % 64 == 0) std::this_thread::yield();
        }
        if (r.number != i) fail("command ring: order", i);
        if (!r.intact()) fail("command ring: torn record", i);
        if (slow_consumer && i % 64 == 0) spin(slow_consumer);
    }
    producer.join();
    if (ring->size() != 0 || ring->try_pop(r)) fail("command ring: more came out than went in", records);
    report(name, 2 * records, records, 0, 0);
}

// Reads until the writer is done and the ring drained; returns what was delivered.
template <class Ring, class R>
void read_all(typename Ring::Reader reader, const std::atomic<std::uint64_t>& begun,
              const std::atomic<bool>& done, const std::vector<unsigned char>& shadow, std::uint64_t start_at,
              unsigned slow, unsigned latest_every, std::atomic<std::uint64_t>& turns, typename Ring::Reader& result) {
    while (begun.load(std::memory_order_relaxed) < start_at) {
        turns.fetch_add(1, std::memory_order_relaxed);
        std::this_thread::yield();
    }
    R r;
    for (std::uint64_t turn = 0, misses = 0;; ++turn) {
        turns.fetch_add(1, std::memory_order_relaxed);
        const bool last_round = done.load(std::memory_order_acquire);
        const bool newest = latest_every && turn % latest_every == 0;
        const std::uint64_t passed = reader.delivered() + reader.lost() + reader.skipped();
        const bool got = newest ? reader.latest(r) : reader.next(r);
        if (got) {
            if (!r.intact()) fail("state ring: torn record", passed);
            // Position of the delivered record is all that was passed over, so this is order, no repeat, no gap.
            const std::uint64_t number = reader.delivered() + reader.lost() + reader.skipped() - 1;
            if (r.number != number || number < passed) fail("state ring: order or count of lost records", number);
            // Plain memory the writer wrote before: ThreadSanitizer sees whether delivery synchronises.
            if (shadow[number] != static_cast<unsigned char>(mix(number))) fail("state ring: not published", number);
        } else {
            if (last_round && !newest) break;
            if (++misses % 64 == 0) std::this_thread::yield();
        }
        if (slow && turn % 16 == 0) spin(slow);
    }
    result = reader;
}

struct ReaderPlan {
    std::uint64_t start_at;  // begins after the writer has begun so many records
    unsigned slow;
    unsigned latest_every;
};

template <class R, std::size_t Capacity, class Counter>
void state_threads(const char* name, Counter first, std::uint64_t operations, unsigned slow_writer,
                   std::vector<ReaderPlan> plans) {
    using Ring = allyarm::StateRing<R, Capacity, Counter>;
    auto ring = std::make_unique<Ring>(first);
    const std::uint64_t records = operations + 4 * Capacity;  // writes alone reach it
    std::vector<unsigned char> shadow(records);
    std::atomic<std::uint64_t> begun{0};
    std::atomic<bool> done{false};
    std::vector<typename Ring::Reader> results(plans.size(), typename Ring::Reader(*ring));
    std::vector<std::atomic<std::uint64_t>> turns(plans.size());
    std::vector<std::thread> readers;
    for (std::size_t i = 0; i < plans.size(); ++i)
        readers.emplace_back([&, i] {
            read_all<Ring, R>(results[i], begun, done, shadow, plans[i].start_at, plans[i].slow, plans[i].latest_every,
                              turns[i], results[i]);
        });
    for (std::uint64_t i = 0; i < records; ++i) {
        shadow[i] = static_cast<unsigned char>(mix(i));
        begun.store(i, std::memory_order_relaxed);
        ring->write(R::of(i));
        if (slow_writer) spin(slow_writer);
        // The ring's writer never waits; this test does now and then, or on a busy machine it would be done before
        // a reader had begun. Relaxed, so that it orders nothing that the ring should order.
        if (i % (4 * Capacity) == 0)
            for (auto& turn : turns)
                for (const auto seen = turn.load(std::memory_order_relaxed);
                     turn.load(std::memory_order_relaxed) == seen;)
                    std::this_thread::yield();
    }
    done.store(true, std::memory_order_release);
    for (auto& reader : readers) reader.join();
    std::uint64_t delivered = 0, lost = 0, skipped = 0;
    for (std::size_t i = 0; i < plans.size(); ++i) {
        const auto& reader = results[i];
        if (reader.delivered() + reader.lost() + reader.skipped() != records)
            fail("state ring: delivered + lost + skipped is not written", records);
        if (reader.delivered() == 0) fail("state ring: nothing delivered", records);
        if (plans[i].start_at > Capacity && reader.lost() + reader.skipped() == 0)
            fail("state ring: a lapped reader lost nothing", records);
        delivered += reader.delivered();
        lost += reader.lost();
        skipped += reader.skipped();
    }
    report(name, records + delivered, delivered, lost, skipped);
}

using Small = Record<3>;
using Large = Record<123>;
using U32 = std::uint32_t;
using U64 = std::uint64_t;

void command_cases(U64 n) {
    command_capacity<U64>();
    command_capacity<U32>();
    const U64 c = n / 10;  // operations of a case
    // Both sides change places in being the slower one. Starts half a case below a wrap of the counter.
    command_threads<Small, 8, U64>("command, capacity 8, wraps at 2^64", U64(0) - c / 4, c, 0, 0);
    command_threads<Small, 1024, U64>("command, capacity 1024, wraps at 2^64", U64(0) - c / 4, c, 0, 0);
    command_threads<Small, 2, U32>("command, capacity 2, wraps at 2^32", U32(0) - U32(c / 4), c, 0, 0);
    command_threads<Small, 1024, U32>("command, capacity 1024, wraps at 2^32", U32(0) - U32(c / 4), c, 0, 0);
    command_threads<Small, 64, U64>("command, mostly empty", 0, c / 2, 300, 0);
    command_threads<Small, 64, U32>("command, mostly full, over 2^31", U32(1u << 31) - U32(c / 4), c / 2, 0, 300);
    command_threads<Large, 16, U64>("command, 992 byte records", 0, n / 200, 0, 0);
}

void state_cases(U64 n) {
    state_losses<U64>();
    state_losses<U32>();
    const U64 s = n / 13, l = n / 200;  // records of a case
    state_threads<Small, 1024, U64>("state, wraps at 2^64", U64(0) - s / 2, s, 0, {{0, 0, 0}});
    state_threads<Small, 1024, U32>("state, wraps at 2^32", U32(0) - U32(s / 2), s, 0, {{0, 0, 0}});
    state_threads<Small, 8, U64>("state, capacity 8, lapped all the time", U64(0) - s / 2, s, 0, {{100, 0, 0}});
    state_threads<Small, 2, U32>("state, capacity 2, over 2^31", U32(1u << 31) - U32(s / 2), s, 0, {{100, 0, 0}});
    state_threads<Small, 64, U64>("state, reader slower than writer", 0, s, 0, {{1000, 2000, 0}});
    state_threads<Small, 64, U64>("state, writer slower than reader", 0, s / 2, 30, {{0, 0, 0}});
    state_threads<Small, 64, U32>("state, two readers, one slow, wraps at 2^32", U32(0) - U32(s / 2), s, 0,
                                  {{0, 0, 0}, {1000, 500, 0}});
    state_threads<Small, 64, U64>("state, two readers, one takes the latest", U64(0) - s / 2, s, 20,
                                  {{0, 0, 0}, {1000, 0, 3}});
    state_threads<Large, 2, U64>("state, capacity 2, 992 bytes, latest", 0, l, 0, {{100, 0, 2}});
    state_threads<Large, 64, U64>("state, 992 byte records, two readers", 0, l, 0, {{0, 0, 0}, {1000, 0, 5}});
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: rings OPERATIONS [command | state]\n");
        return 2;
    }
    const std::string_view only = argc > 2 ? argv[2] : "";
    const U64 n = std::strtoull(argv[1], nullptr, 10);
    if (only != "state") command_cases(n);
    if (only != "command") state_cases(n);
    std::printf("total %" PRIu64 " operations\n", operations_done);
}
