// Ring of state records. Threads: exactly one calls write(), each reader has a Reader of its own, used by one thread.
//
// The writer never waits and knows nothing of its readers. A reader that falls a lap behind loses the oldest records
// and counts them; what it does get is intact, in order and never twice. The argument is in docs/rings.md; in short:
//   * Every slot has two numbers: `opened` before its record says whose record is being written into it, `sequence`
//     behind the record that it is whole. A reader polls nothing but the sequence of the slot it wants next.
//   * A reader copies first and looks at `opened` afterwards: if the slot was taken for a later record meanwhile, the
//     copy is thrown away. Only a reader that was lapped looks at the writer's counter, to count what it lost.
//   * Records are copied as relaxed atomic words, so there is no data race to reason about; one release fence of the
//     writer and one acquire fence of the reader order all of them (two barriers on arm64, not one per word).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

// ThreadSanitizer does not model fences and GCC says so. It need not: every shared access here is atomic.
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif

namespace allyarm {

template <class T, std::size_t Capacity, class Counter = std::uint64_t>
class StateRing {
    static_assert(std::is_trivially_copyable_v<T>, "records are copied as bytes");
    static_assert(Capacity >= 2 && (Capacity & (Capacity - 1)) == 0, "capacity: a power of two, at least 2");
    static_assert(std::is_same_v<Counter, std::uint64_t> || std::is_same_v<Counter, std::uint32_t>,
                  "narrower counters would be promoted to int and not wrap");
    static_assert(Capacity <= (Counter{1} << (sizeof(Counter) * 8 - 2)), "positions must not be ambiguous");
    static_assert(std::atomic<Counter>::is_always_lock_free && std::atomic<std::uint64_t>::is_always_lock_free);

  public:
    // first: position of the first record; tests start it just below the wrap of the counter.
    explicit StateRing(Counter first = 0) noexcept : written_{first} {
        static_assert(alignof(StateRing) == apart && sizeof(Slot) % apart == 0);
        static_assert(sizeof(StateRing) == apart + Capacity * sizeof(Slot),
                      "the counter has a line pair of its own, and so has every slot");
        for (auto& slot : slots_)
            for (auto& word : slot.words) word.store(0, std::memory_order_relaxed);
        for (Counter i = 0; i < size_of_ring; ++i) {  // as if a lap had been written before
            slots_[index(first + i)].opened.store(first + i - size_of_ring, std::memory_order_relaxed);
            slots_[index(first + i)].sequence.store(first + i + 1 - size_of_ring, std::memory_order_relaxed);
        }
    }
    StateRing(const StateRing&) = delete;
    StateRing& operator=(const StateRing&) = delete;

    // Writer only. Never waits, never fails.
    void write(const T& record) noexcept {
        const Counter position = written_.load(std::memory_order_relaxed);
        const auto* bytes = reinterpret_cast<const unsigned char*>(&record);
        Slot& slot = slots_[index(position)];
        slot.opened.store(position, std::memory_order_release);  // takes the slot; who sees that sees `written_` too
        std::atomic_thread_fence(std::memory_order_release);     // the words are stored after
#pragma GCC unroll 4
        for (std::size_t i = 0; i < words_of_record; ++i) {
            std::uint64_t word = 0;
            std::memcpy(&word, bytes + 8 * i, bytes_of_word(i));
            slot.words[i].store(word, std::memory_order_relaxed);
        }
        slot.sequence.store(position + 1, std::memory_order_release);  // publishes the record
        written_.store(position + 1, std::memory_order_release);       // last: nobody waits for this line
    }

    // Position behind the newest record: records written so far, plus `first`.
    [[nodiscard]] Counter written() const noexcept { return written_.load(std::memory_order_acquire); }

    // Readers can fall behind by this many records without losing one, also while the next one is being written.
    [[nodiscard]] static constexpr std::size_t usable() noexcept { return Capacity - 1; }

    // A cursor of its own for every reading thread: records from its creation on. The ring must outlive it.
    // Once drained, delivered + lost + skipped == records written since.
    class Reader {
      public:
        explicit Reader(const StateRing& ring) noexcept : ring_{&ring}, cursor_{ring.written()} {}

        // The oldest record that is left, in order. False: none yet, `record` is unchanged.
        // Repeats only when the writer laps it during the copy, which takes a reader Capacity - 1 records behind.
        [[nodiscard]] bool next(T& record) noexcept {
            for (;;) {
                const Slot& slot = ring_->slots_[index(cursor_)];
                const Counter found = slot.sequence.load(std::memory_order_acquire);
                if (found == cursor_ + 1) {
                    if (copy(slot, cursor_, record)) return delivered_one();
                } else if (found == cursor_ + 1 - size_of_ring) {  // of the lap before
                    expect(slot);
                    return false;
                }
                const Counter oldest = ring_->written() - size_of_ring + 1;
                lost_ += static_cast<Counter>(oldest - cursor_);
                cursor_ = oldest;
            }
        }

        // The newest record, if it has not been delivered yet; those passed over count as skipped, not as lost,
        // because the reader asked for it. False: nothing newer, `record` is unchanged.
        [[nodiscard]] bool latest(T& record) noexcept {
            for (;;) {
                const Counter written = ring_->written();
                if (written == cursor_ || written + 1 == cursor_) return false;  // next() may have been ahead of it
                const Counter newest = written - 1;
                if (!copy(ring_->slots_[index(newest)], newest, record)) continue;
                skipped_ += static_cast<Counter>(newest - cursor_);
                cursor_ = newest;
                return delivered_one();
            }
        }

        [[nodiscard]] std::uint64_t delivered() const noexcept { return delivered_; }
        [[nodiscard]] std::uint64_t lost() const noexcept { return lost_; }
        [[nodiscard]] std::uint64_t skipped() const noexcept { return skipped_; }

      private:
        bool delivered_one() noexcept {
            ++cursor_;
            ++delivered_;
            return true;
        }

        const StateRing* ring_;
        Counter cursor_;  // position of the next record to deliver
        std::uint64_t lost_ = 0;
        std::uint64_t skipped_ = 0;
        std::uint64_t delivered_ = 0;
    };

  private:
    static constexpr std::size_t line = 64;
    static constexpr std::size_t apart = 128;  // x86 fetches lines in pairs
    static constexpr Counter size_of_ring = static_cast<Counter>(Capacity);
    static constexpr std::size_t words_of_record = (sizeof(T) + 7) / 8;

    struct alignas(apart) Slot {
        std::atomic<Counter> opened;    // position of the record that is here or is being written
        std::atomic<std::uint64_t> words[words_of_record];
        std::atomic<Counter> sequence;  // position + 1 of the last record that became whole here
    };

    static constexpr std::size_t index(Counter position) noexcept { return position & (size_of_ring - 1); }
    static constexpr std::size_t bytes_of_word(std::size_t i) noexcept {
        return i + 1 < words_of_record ? 8 : sizeof(T) - 8 * i;
    }

    // Have the lines of the next record come together with its sequence number, not after it.
    static void expect(const Slot& slot) noexcept {
        for (std::size_t i = 0; i < words_of_record; i += line / 8) __builtin_prefetch(slot.words + i);
    }

    // True: `record` is whole and the one of `position`, which the caller has seen published. False: it is neither, the
    // slot was taken for a later record, and the writer's counter says so too from now on.
    static bool copy(const Slot& slot, Counter position, T& record) noexcept {
        auto* bytes = reinterpret_cast<unsigned char*>(&record);
#pragma GCC unroll 8
        for (std::size_t i = 0; i < words_of_record; ++i) {
            const std::uint64_t word = slot.words[i].load(std::memory_order_relaxed);
            std::memcpy(bytes + 8 * i, &word, bytes_of_word(i));
        }
        std::atomic_thread_fence(std::memory_order_acquire);  // the words are loaded before `opened`
        if (slot.opened.load(std::memory_order_relaxed) == position) return true;
        std::atomic_thread_fence(std::memory_order_acquire);  // the counter is loaded after `opened`
        return false;
    }

    alignas(apart) std::atomic<Counter> written_;
    alignas(apart) Slot slots_[Capacity];
};

}  // namespace allyarm

#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
