// The controller's use of the shared memory while its whole content is overwritten at random between any two calls.
// Built with AddressSanitizer and UBSan: an index out of bounds or a read past the memory ends it.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "external_link.hpp"

using namespace allyarm;

namespace {

// Exactly size() bytes from the heap, so that one byte further is an error; aligned as a page is.
struct Memory {
    void* bytes = std::aligned_alloc(4096, ExternalLink::size());
    Memory() { std::memset(bytes, 0, ExternalLink::size()); }
    ~Memory() { std::free(bytes); }
};

int good_exchange() {
    Memory memory;
    auto* link = ExternalLink::make(memory.bytes);
    if (ExternalLink::mismatch(memory.bytes) != 0) return 1;
    ExternalLink::States::Reader reader(link->states);
    ExternalTarget target{}, taken{};
    ExternalState state{}, read{};
    for (std::uint64_t i = 1; i <= 1000; ++i) {
        state.cycle = i;
        link->publish(state);
        if (!reader.latest(read) || read.cycle != i) return 2;
        target.sequence = i;
        if (!link->send(target)) return 3;
        if (!link->take(taken) || taken.sequence != i || taken.checksum != target_checksum(taken)) return 4;
        if (link->take(taken)) return 5;
    }
    for (std::size_t i = 0; i < external_targets; ++i)
        if (!link->send(target)) return 6;
    return link->send(target) ? 7 : 0;
}

// Every field of the header, changed, is found.
int header() {
    Memory memory;
    ExternalLink::make(memory.bytes);
    for (std::size_t i = 0; i < sizeof(ExternalHeader); ++i) {
        auto* byte = static_cast<unsigned char*>(memory.bytes) + i;
        *byte ^= 0x10u;
        if (ExternalLink::mismatch(memory.bytes) == 0) return 1;
        *byte ^= 0x10u;
    }
    return 0;
}

int scribbled(unsigned long rounds) {
    Memory memory;
    auto* link = ExternalLink::make(memory.bytes);
    std::mt19937_64 pick(1);
    unsigned long forged = 0, seen = 0;
    ExternalTarget taken{};
    ExternalState state{};
    for (unsigned long i = 0; i < rounds; ++i) {
        auto* bytes = static_cast<unsigned char*>(memory.bytes);
        const std::size_t at = (pick() % (ExternalLink::size() / 8)) * 8;
        const std::uint64_t word = pick();
        std::memcpy(bytes + at, &word, 8);
        const std::size_t targets = offsetof(ExternalLink, targets);
        if (i % 4 == 0) {  // the counters are few among many bytes: aim at them
            std::memcpy(bytes + targets + 128 * (pick() % 2), &word, 8);
            std::memcpy(bytes + offsetof(ExternalLink, states), &word, 8);
        }
        std::uint64_t head = 0;  // and have the next slot taken for published, whatever is in it
        std::memcpy(&head, bytes + targets + 128, 8);
        const std::size_t slot = (sizeof(ExternalTarget) + 8 + 127) / 128 * 128;
        const std::uint64_t next = head + 1;
        std::memcpy(bytes + targets + 256 + slot * (head % external_targets) + (sizeof(ExternalTarget) + 7) / 8 * 8, &next, 8);
        for (std::size_t looked = 0; looked < external_targets && link->take(taken); ++looked) {
            ++seen;
            if (taken.checksum == target_checksum(taken)) ++forged;
        }
        link->publish(state);
    }
    std::printf("%lu of %lu random records passed for whole\n", forged, seen);
    return forged == 0 && seen >= rounds / 2 ? 0 : 1;
}

// The main thread gives and takes links, the control thread uses them: none is used once it was taken back.
int swapped(int rounds) {
    ExternalSwap swap;
    std::vector<Memory> memory(2);
    ExternalLink* links[2] = {ExternalLink::make(memory[0].bytes), ExternalLink::make(memory[1].bytes)};
    long owner[2] = {0, 0};  // plain: a data race here is a link used by both sides
    std::atomic<bool> ended{false};
    std::thread control([&] {
        while (!ended.load()) {
            if (ExternalLink* link = swap.follow()) ++owner[link == links[1]];
        }
    });
    for (int i = 0; i < rounds; ++i) {
        const int index = i & 1;
        swap.want(links[index]);
        while (!swap.settled()) std::this_thread::yield();
        swap.want(nullptr);
        while (!swap.settled()) std::this_thread::yield();
        ++owner[index];
    }
    ended.store(true);
    control.join();
    return 0;
}

}  // namespace

int main(int count, char** words) {
    const char* what = count > 1 ? words[1] : "";
    if (std::strcmp(what, "swap") == 0) return swapped(20000);
    if (const int wrong = good_exchange()) return 10 + wrong;
    if (const int wrong = header()) return 20 + wrong;
    return scribbled(2'000'000) ? 30 : 0;
}
