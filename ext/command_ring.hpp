// Bounded ring of commands. Threads: exactly one calls try_push, exactly one calls try_pop, any may call size().
//
// Nothing is overwritten and nothing waits: a full ring refuses the push. How it stays correct and why it is quick is
// argued in docs/rings.md; in short:
//   * Each side owns one counter: the producer's publishes records, the consumer's gives slots back. Release stores,
//     acquire loads, and the records between them are plain memory.
//   * Each side keeps a copy of the other's counter, apart from everything the other one touches, and renews it only
//     when the ring looks full or empty.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace allyarm {

template <class T, std::size_t Capacity, class Counter = std::uint64_t>
class CommandRing {
    static_assert(std::is_trivially_copyable_v<T>, "records are copied as bytes");
    static_assert(Capacity >= 2 && (Capacity & (Capacity - 1)) == 0, "capacity: a power of two, at least 2");
    static_assert(std::is_same_v<Counter, std::uint64_t> || std::is_same_v<Counter, std::uint32_t>,
                  "narrower counters would be promoted to int and not wrap");
    static_assert(Capacity <= (Counter{1} << (sizeof(Counter) * 8 - 2)), "positions must not be ambiguous");
    static_assert(std::atomic<Counter>::is_always_lock_free);

  public:
    // first: position of the first record; tests start it just below the wrap of the counter.
    explicit CommandRing(Counter first = 0) noexcept
        : tail_{first}, known_head_{first}, head_{first}, known_tail_{first} {
        static_assert(alignof(CommandRing) == apart && sizeof(Slot) % line == 0);
        static_assert(sizeof(CommandRing) == 4 * apart + (Capacity * sizeof(Slot) + apart - 1) / apart * apart,
                      "each counter and each side's copy has a line pair of its own");
    }
    CommandRing(const CommandRing&) = delete;
    CommandRing& operator=(const CommandRing&) = delete;

    // Producer only. False: full, the ring is unchanged.
    [[nodiscard]] bool try_push(const T& record) noexcept {
        const Counter position = tail_.load(std::memory_order_relaxed);
        if (position - known_head_ == size_of_ring) {
            known_head_ = head_.load(std::memory_order_acquire);  // the consumer is done with what it gave back
            if (position - known_head_ == size_of_ring) return false;
        }
        copy(slots_[index(position)].record, &record);
        tail_.store(position + 1, std::memory_order_release);  // publishes the record
        return true;
    }

    // Consumer only. False: empty, `record` is unchanged.
    [[nodiscard]] bool try_pop(T& record) noexcept {
        const Counter position = head_.load(std::memory_order_relaxed);
        if (position == known_tail_) {
            known_tail_ = tail_.load(std::memory_order_acquire);
            if (position == known_tail_) return false;
        }
        copy(&record, slots_[index(position)].record);
        head_.store(position + 1, std::memory_order_release);  // gives the slot back
        return true;
    }

    // Records waiting, 0..Capacity. Exact while both sides rest, an estimate while they work.
    [[nodiscard]] std::size_t size() const noexcept {
        const Counter head = head_.load(std::memory_order_acquire);  // first, or it could be ahead of the tail
        const Counter waiting = tail_.load(std::memory_order_relaxed) - head;
        return waiting < size_of_ring ? static_cast<std::size_t>(waiting) : Capacity;
    }

    [[nodiscard]] static constexpr std::size_t capacity() noexcept { return Capacity; }

  private:
    static constexpr std::size_t line = 64;
    static constexpr std::size_t apart = 128;  // x86 fetches lines in pairs
    static constexpr Counter size_of_ring = static_cast<Counter>(Capacity);

    struct alignas(line) Slot {
        alignas(T) unsigned char record[sizeof(T)];
    };

    static constexpr std::size_t index(Counter position) noexcept { return position & (size_of_ring - 1); }

    // Line by line: for large records GCC would choose `rep movs`, which takes more than twice as long here.
    static void copy(void* to, const void* from) noexcept {
        auto* target = static_cast<unsigned char*>(to);
        const auto* source = static_cast<const unsigned char*>(from);
        constexpr std::size_t rest = sizeof(T) % line;
        for (std::size_t i = 0; i + line <= sizeof(T); i += line) std::memcpy(target + i, source + i, line);
        if constexpr (rest != 0) std::memcpy(target + sizeof(T) - rest, source + sizeof(T) - rest, rest);
    }

    alignas(apart) std::atomic<Counter> tail_;   // producer stores, consumer polls
    alignas(apart) Counter known_head_;          // producer only
    alignas(apart) std::atomic<Counter> head_;   // consumer stores, producer polls when full
    alignas(apart) Counter known_tail_;          // consumer only
    alignas(apart) Slot slots_[Capacity];
};

}  // namespace allyarm
