// Memory shared with a program of the user's (external development): a header, state records to it, targets from it.
//
// Process contract: the controller makes the memory, seals its size (so that nobody can cut it off under the control
// thread) and writes header and states; the program writes targets. The program is not trusted. What the control thread
// does with this memory is safe whatever is written into it at any time: indices are masked by the rings, nothing is
// looped over for more than the capacity, the header is never read back, and a target is copied out before anything in
// it is looked at. The release store that ends CommandRing::try_pop keeps that copy from being read again later.
//
// No call wakes the other side: the program sleeps to the next deadline, which each state record tells.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>

#include "command_ring.hpp"
#include "crc.hpp"
#include "generated/external.hpp"
#include "state_ring.hpp"

namespace allyarm {

struct ExternalHeader {
    std::uint64_t magic;
    std::uint32_t version;
    std::uint32_t size;  // of the whole memory, bytes
    std::uint32_t states_offset, state_size, state_capacity;
    std::uint32_t targets_offset, target_size, target_capacity;
};
static_assert(sizeof(ExternalHeader) == 40);

inline std::uint32_t target_checksum(const ExternalTarget& target) noexcept {
    unsigned char bytes[offsetof(ExternalTarget, checksum)];
    std::memcpy(bytes, &target, sizeof(bytes));
    return crc32(bytes, sizeof(bytes));
}

struct ExternalLink {
    using States = StateRing<ExternalState, external_states>;
    using Targets = CommandRing<ExternalTarget, external_targets>;

    ExternalHeader header;
    States states;
    Targets targets;

    // Controller, before anyone else sees the memory (`size()` bytes, zeroed, aligned to a page).
    static ExternalLink* make(void* memory) noexcept {
        auto* link = new (memory) ExternalLink;
        link->header = expected();
        return link;
    }

    // Control thread. Never waits, never fails.
    void publish(const ExternalState& state) noexcept { states.write(state); }

    // Control thread. False: nothing new. The copy may hold anything.
    bool take(ExternalTarget& target) noexcept { return targets.try_pop(target); }

    // Program. 0, or the number of the first field of the header that is not as this code was built for.
    static int mismatch(const void* memory) noexcept {
        ExternalHeader found;
        std::memcpy(&found, memory, sizeof(found));
        const ExternalHeader wanted = expected();
        if (found.magic != wanted.magic) return 1;
        if (found.version != wanted.version) return 2;
        return std::memcmp(&found, &wanted, sizeof(found)) != 0 ? 3 : 0;
    }

    // Program. False: full, the control thread does not read.
    bool send(ExternalTarget& target) noexcept {
        target.checksum = target_checksum(target);
        return targets.try_push(target);
    }

    static constexpr std::size_t size() noexcept {
        constexpr std::size_t page = 4096;
        return (sizeof(ExternalLink) + page - 1) / page * page;
    }

  private:
    ExternalLink() = default;
    static ExternalHeader expected() noexcept {
        return {external_magic, external_version, static_cast<std::uint32_t>(size()),
                static_cast<std::uint32_t>(offsetof(ExternalLink, states)), sizeof(ExternalState), external_states,
                static_cast<std::uint32_t>(offsetof(ExternalLink, targets)), sizeof(ExternalTarget), external_targets};
    }
};
static_assert(std::is_standard_layout_v<ExternalLink>);
static_assert(offsetof(ExternalLink, header) == 0 && offsetof(ExternalLink, states) == 128);
static_assert(offsetof(ExternalLink, targets) == 128 + sizeof(ExternalLink::States));

// How the main thread gives the control thread a link and takes it back; each is one word and never waits. The main thread
// unmaps a link only once `used` is another one.
struct ExternalSwap {
    std::atomic<ExternalLink*> wanted{nullptr};
    std::atomic<ExternalLink*> used{nullptr};

    void want(ExternalLink* link) noexcept { wanted.store(link, std::memory_order_release); }
    ExternalLink* follow() noexcept {
        ExternalLink* link = wanted.load(std::memory_order_acquire);
        if (link != used.load(std::memory_order_relaxed)) used.store(link, std::memory_order_release);
        return link;
    }
    bool settled() const noexcept {
        return used.load(std::memory_order_acquire) == wanted.load(std::memory_order_relaxed);
    }
};

}  // namespace allyarm
