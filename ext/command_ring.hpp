// Bounded ring of commands. Threads: exactly one calls try_push, exactly one calls try_pop, any may call size().
//
// Nothing is overwritten and nothing waits: a full ring refuses the push. How it stays correct and why it is quick is
// argued in docs/rings.md; in short:
//   * Every slot carries a sequence number behind its record: position + 1 publishes the record of that position. The
//     consumer polls nothing but the slot it wants next, so a record and the news of it come in one go.
//   * The consumer gives slots back by its own counter, of which the producer keeps a copy that it renews only when the
//     ring looks full. Release stores, acquire loads, and the records between them are plain memory.
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
    explicit CommandRing(Counter first = 0) noexcept : tail_{first}, known_head_{first}, head_{first} {
        static_assert(alignof(CommandRing) == apart && sizeof(Slot) % apart == 0);
        static_assert(sizeof(CommandRing) == 2 * apart + Capacity * sizeof(Slot),
                      "each side's counters have a line pair of their own, and so has every slot");
        for (Counter i = 0; i < size_of_ring; ++i)
            slots_[index(first + i)].sequence.store(first + i, std::memory_order_relaxed);  // none is filled
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
        Slot& slot = slots_[index(position)];
        copy(slot.record, &record);
        tail_.store(position + 1, std::memory_order_relaxed);
        slot.sequence.store(position + 1, std::memory_order_release);  // publishes the record, and the tail to size()
        return true;
    }

    // Consumer only. False: empty, `record` is unchanged.
    [[nodiscard]] bool try_pop(T& record) noexcept {
        const Counter position = head_.load(std::memory_order_relaxed);
        const Slot& slot = slots_[index(position)];
        if (slot.sequence.load(std::memory_order_acquire) != position + 1) {
            expect(slot);
            return false;
        }
        copy(&record, slot.record);
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

    struct alignas(apart) Slot {
        alignas(T) unsigned char record[sizeof(T)];
        std::atomic<Counter> sequence;  // position + 1 once filled; until then of the lap before
    };

    static constexpr std::size_t index(Counter position) noexcept { return position & (size_of_ring - 1); }

    // Have the lines of the next record come together with its sequence number, not after it.
    static void expect(const Slot& slot) noexcept {
        for (std::size_t i = 0; i < sizeof(T); i += line) __builtin_prefetch(slot.record + i);
    }

    // Line by line: for large records GCC would choose `rep movs`, which takes more than twice as long here. From the end:
    // upwards, the processor fetches ahead into the slots that the other side still has in hand, and a stream of 512-byte
    // records takes a fifth longer (benchmarks/ring.cpp).
    static void copy(void* to, const void* from) noexcept {
        auto* target = static_cast<unsigned char*>(to);
        const auto* source = static_cast<const unsigned char*>(from);
        constexpr std::size_t rest = sizeof(T) % line;
        if constexpr (rest != 0) std::memcpy(target + sizeof(T) - rest, source + sizeof(T) - rest, rest);
        for (std::size_t i = sizeof(T) - rest; i != 0; i -= line)
            std::memcpy(target + i - line, source + i - line, line);
    }

    alignas(apart) std::atomic<Counter> tail_;  // producer stores, size() reads
    Counter known_head_;                        // producer only
    alignas(apart) std::atomic<Counter> head_;  // consumer stores, producer polls when full
    alignas(apart) Slot slots_[Capacity];
};

}  // namespace allyarm
