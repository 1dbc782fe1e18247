// Rings against boost::lockfree::spsc_queue and moodycamel::ReaderWriterQueue in one program; run by bench_ring.py.
//
//     ring ROUNDS CHUNKS
//
// Two threads pinned to two cores. Every round runs every queue once, so that a change of the machine hits all alike;
// a round takes CHUNKS short samples, so that being preempted spoils one sample and not the result. Prints lines
// "measure<TAB>queue<TAB>record bytes<TAB>median ns<TAB>samples". Records are made to pass through memory.
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include <algorithm>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <readerwriterqueue/readerwriterqueue.h>

#include "command_ring.hpp"
#include "state_ring.hpp"

namespace {

constexpr std::size_t capacity = 1024;
constexpr int operations = 2000;  // per chunk
constexpr int trips = 100;        // per chunk of the ping-pong: far shorter than a time slice of the scheduler

template <std::size_t Bytes>
struct Record {
    std::uint64_t word[Bytes / 8];
};

double now_ns() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

int cores[2] = {-1, -1};  // the first two this process may use

void pin(int side) {
    if (cores[side] < 0) return;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cores[side], &one);
    pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}

template <class T>
void through_memory(T& record) {
    asm volatile("" : : "r"(&record) : "memory");
}

template <class R>
struct Command {
    static constexpr const char* name = "CommandRing";
    allyarm::CommandRing<R, capacity> ring;
    bool push(const R& r) { return ring.try_push(r); }
    bool pop(R& r) { return ring.try_pop(r); }
};

template <class R>
struct State {
    static constexpr const char* name = "StateRing";
    allyarm::StateRing<R, capacity> ring;
    typename allyarm::StateRing<R, capacity>::Reader reader{ring};
    bool push(const R& r) {
        ring.write(r);
        return true;
    }
    bool pop(R& r) { return reader.next(r); }
};

template <class R>
struct Boost {
    static constexpr const char* name = "boost::lockfree::spsc_queue";
    boost::lockfree::spsc_queue<R, boost::lockfree::capacity<capacity>> ring;
    bool push(const R& r) { return ring.push(r); }
    bool pop(R& r) { return ring.pop(r); }
};

template <class R>
struct Moody {
    static constexpr const char* name = "moodycamel::ReaderWriterQueue";
    moodycamel::ReaderWriterQueue<R> ring{capacity};
    bool push(const R& r) { return ring.try_enqueue(r); }
    bool pop(R& r) { return ring.try_dequeue(r); }
};

using Key = std::tuple<std::string, std::size_t, std::string>;  // measure, bytes, queue
std::map<Key, std::vector<double>> samples;

void note(const char* measure, std::size_t bytes, const char* queue, double ns) {
    samples[{measure, bytes, queue}].push_back(ns);
}

template <template <class> class Queue, class R>
void one_thread(int chunks) {
    auto queue = std::make_unique<Queue<R>>();
    R in{}, out{};
    for (int chunk = -1; chunk < chunks; ++chunk) {  // the first one warms up
        const double start = now_ns();
        for (int i = 0; i < operations; ++i) {
            in.word[0] = static_cast<std::uint64_t>(i);
            through_memory(in);
            while (!queue->push(in)) {}
            while (!queue->pop(out)) {}
            through_memory(out);
        }
        if (chunk >= 0) note("push + pop", sizeof(R), Queue<R>::name, (now_ns() - start) / operations);
    }
}

template <template <class> class Queue, class R>
void ping_pong(int chunks) {
    chunks *= operations / trips;
    auto there = std::make_unique<Queue<R>>();
    auto back = std::make_unique<Queue<R>>();
    const long total = static_cast<long>(chunks + 1) * trips;
    std::thread other([&] {
        pin(1);
        R record{};
        for (long i = 0; i < total; ++i) {
            while (!there->pop(record)) {}
            through_memory(record);
            while (!back->push(record)) {}
        }
    });
    R in{}, out{};
    for (int chunk = -1; chunk < chunks; ++chunk) {
        const double start = now_ns();
        for (int i = 0; i < trips; ++i) {
            in.word[0] = static_cast<std::uint64_t>(i);
            through_memory(in);
            while (!there->push(in)) {}
            while (!back->pop(out)) {}
            through_memory(out);
            if (out.word[0] != in.word[0]) std::abort();
        }
        if (chunk >= 0) note("ping-pong round trip", sizeof(R), Queue<R>::name, (now_ns() - start) / trips);
    }
    other.join();
}

// The producer pushes as fast as it can, timed by the consumer per chunk of records taken.
template <template <class> class Queue, class R>
void throughput(int chunks) {
    auto queue = std::make_unique<Queue<R>>();
    const long total = static_cast<long>(chunks + 1) * operations;
    std::thread other([&] {
        pin(1);
        R record{};
        for (long i = 0; i < total; ++i) {
            record.word[0] = static_cast<std::uint64_t>(i);
            through_memory(record);
            while (!queue->push(record)) {}
        }
    });
    R out{};
    for (int chunk = -1; chunk < chunks; ++chunk) {
        const double start = now_ns();
        for (int i = 0; i < operations; ++i) {
            while (!queue->pop(out)) {}
            through_memory(out);
        }
        if (chunk >= 0) note("between threads, per record", sizeof(R), Queue<R>::name, (now_ns() - start) / operations);
    }
    other.join();
}

// The state ring does not hold its writer back, so what counts is a write while a reader follows.
template <class R>
void state_throughput(int chunks) {
    auto queue = std::make_unique<State<R>>();
    std::atomic<bool> done{false};
    std::thread other([&] {
        pin(1);
        R out{};
        while (!done.load(std::memory_order_relaxed))
            if (queue->pop(out)) through_memory(out);
    });
    R in{};
    for (int chunk = -1; chunk < chunks; ++chunk) {
        const double start = now_ns();
        for (int i = 0; i < operations; ++i) {
            in.word[0] = static_cast<std::uint64_t>(i);
            through_memory(in);
            queue->push(in);
        }
        if (chunk >= 0) note("between threads, per record", sizeof(R), State<R>::name, (now_ns() - start) / operations);
    }
    done.store(true);
    other.join();
}

template <class R>
void round_of(int chunks) {
    one_thread<Command, R>(chunks);
    one_thread<State, R>(chunks);
    one_thread<Boost, R>(chunks);
    one_thread<Moody, R>(chunks);
    ping_pong<Command, R>(chunks);
    ping_pong<State, R>(chunks);
    ping_pong<Boost, R>(chunks);
    ping_pong<Moody, R>(chunks);
    throughput<Command, R>(chunks);
    state_throughput<R>(chunks);
    throughput<Boost, R>(chunks);
    throughput<Moody, R>(chunks);
}

}  // namespace

int main(int argc, char** argv) {
    const int rounds = argc > 1 ? std::atoi(argv[1]) : 10;
    const int chunks = argc > 2 ? std::atoi(argv[2]) : 10;
    cpu_set_t allowed;
    sched_getaffinity(0, sizeof allowed, &allowed);
    for (int cpu = 0, found = 0; cpu < CPU_SETSIZE && found < 2; ++cpu)
        if (CPU_ISSET(cpu, &allowed)) cores[found++] = cpu;
    if (cores[1] < 0) {
        std::fprintf(stderr, "two cores are needed: this process may use only one\n");
        return 2;
    }
    pin(0);
    for (int round = 0; round < rounds; ++round) {
        round_of<Record<256>>(chunks);
        round_of<Record<512>>(chunks);
    }
    for (auto& [key, values] : samples) {
        std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2), values.end());
        const auto& [measure, bytes, queue] = key;
        std::printf("%s\t%s\t%zu\t%.1f\t%zu\n", measure.c_str(), queue.c_str(), bytes, values[values.size() / 2],
                    values.size());
    }
}
