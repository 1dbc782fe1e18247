// Ring of state records. Threads: exactly one calls write(), each reader has a Reader of its own, used by one thread.
//
// The writer never waits and knows nothing of its readers. A reader that falls a lap behind loses the oldest records
// and counts them; what it does get is intact, in order and never twice. Why no torn record can be delivered, and why
// each memory order is what it is, is argued in docs/rings.md; in short:
//   * Each slot has a sequence number: odd while its record may change, even once the record is whole.
//   * The records are copied as relaxed atomic words, so there is no data race to reason about; one release fence of
//     the writer and one acquire fence of the reader order all of them (on arm64 two barriers instead of one per word).
//   * The slot of the next record is marked odd at the end of the write before, off the path that readers wait on.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

// ThreadSanitizer does not model fences and GCC says so. It need not: every shared access here is atomic.
#if defined(__GNUC__) && !defined(__clang__) && defined(__SANITIZE_THREAD__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif

namespace allyarm {

template <class T, std::size_t Capacity, class Counter = std::uint64_t>
class StateRing {
    static_assert(std::is_trivially_copyable_v<T>, "records are copied as bytes");
    static_assert(Capacity >= 4 && (Capacity & (Capacity - 1)) == 0, "capacity: a power of two, at least 4");
    static_assert(std::is_same_v<Counter, std::uint64_t> || std::is_same_v<Counter, std::uint32_t>,
                  "narrower counters would be promoted to int and not wrap");
    static_assert(Capacity <= (Counter{1} << (sizeof(Counter) * 8 - 4)), "positions must not be ambiguous");
    static_assert(std::atomic<Counter>::is_always_lock_free && std::atomic<std::uint64_t>::is_always_lock_free);

  public:
    // first: position of the first record; tests start it just below the wrap of the counter.
    explicit StateRing(Counter first = 0) noexcept : written_{first}, position_{first} {
        static_assert(alignof(StateRing) == apart && sizeof(Slot) % line == 0);
        static_assert(sizeof(StateRing) == 2 * apart + (Capacity * sizeof(Slot) + apart - 1) / apart * apart,
                      "the writer's own position shares no line with what readers poll");
        for (std::size_t i = 0; i < Capacity; ++i) {
            const Counter position = first + static_cast<Counter>(i);
            slot(position).sequence.store(whole(position - size_of_ring), std::memory_order_relaxed);
            for (auto& word : slot(position).words) word.store(0, std::memory_order_relaxed);
        }
        open(first);
    }
    StateRing(const StateRing&) = delete;
    StateRing& operator=(const StateRing&) = delete;

    // Writer only. Never waits, never fails.
    void write(const T& record) noexcept {
        const Counter position = position_;
        Slot& target = slot(position);
        const auto* bytes = reinterpret_cast<const unsigned char*>(&record);
        for (std::size_t i = 0; i < words_of_record; ++i) {
            std::uint64_t word = 0;
            std::memcpy(&word, bytes + i * sizeof word, bytes_of_word(i));
            target.words[i].store(word, std::memory_order_relaxed);
        }
        target.sequence.store(whole(position), std::memory_order_release);  // publishes the record
        position_ = position + 1;
        written_.store(position + 1, std::memory_order_release);  // for latest() and new readers
        open(position + 1);
    }

    // Position behind the newest record: records written so far plus `first`.
    [[nodiscard]] Counter written() const noexcept { return written_.load(std::memory_order_acquire); }

    [[nodiscard]] static constexpr std::size_t capacity() noexcept { return Capacity; }

    // A cursor of its own for every reading thread: records from its creation on. The ring must outlive it.
    // Always delivered + lost + skipped == records written since, once drained.
    class Reader {
      public:
        explicit Reader(const StateRing& ring) noexcept : ring_{&ring}, cursor_{ring.written()} {}

        // The oldest record that is left, in order. False: none yet, `record` is unchanged.
        // Loops only if the writer laps it during the copy, so not at all unless it is Capacity records behind.
        [[nodiscard]] bool next(T& record) noexcept {
            for (;;) {
                const Counter sequence = ring_->slot(cursor_).sequence.load(std::memory_order_acquire);
                if (sequence == whole(cursor_)) {
                    if (ring_->copy(cursor_, record)) return delivered_one();
                    continue;
                }
                if (is_behind(sequence, whole(cursor_))) return false;
                // Lapped: this slot holds, or is open for, a later record. The oldest one that can be whole is
                // in the slot behind it.
                const Counter oldest = position_of(sequence, cursor_) - size_of_ring + 1;
                lost_ += static_cast<Counter>(oldest - cursor_);
                cursor_ = oldest;
            }
        }

        // The newest record, if it has not been delivered yet; those passed over count as skipped, not as lost,
        // because the reader asked for it. False: nothing newer, `record` is unchanged.
        [[nodiscard]] bool latest(T& record) noexcept {
            for (;;) {
                const Counter newest = ring_->written() - 1;
                const Counter ahead = newest - cursor_;
                if (ahead > ~ahead) return false;  // newest is behind the cursor
                if (ring_->slot(newest).sequence.load(std::memory_order_acquire) != whole(newest)) continue;
                if (!ring_->copy(newest, record)) continue;
                skipped_ += ahead;
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
        std::uint64_t delivered_ = 0;
        std::uint64_t lost_ = 0;
        std::uint64_t skipped_ = 0;
    };

  private:
    static constexpr std::size_t line = 64;
    static constexpr std::size_t apart = 128;  // x86 fetches lines in pairs
    static constexpr Counter size_of_ring = static_cast<Counter>(Capacity);
    static constexpr std::size_t words_of_record = (sizeof(T) + 7) / 8;

    struct alignas(line) Slot {
        std::atomic<std::uint64_t> words[words_of_record];
        std::atomic<Counter> sequence;  // behind the record, so that it is stored last
    };

    static constexpr Counter whole(Counter position) noexcept { return 2 * position + 2; }
    static constexpr Counter opened(Counter position) noexcept { return 2 * position + 1; }
    // a before b, on the circle.
    static constexpr bool is_behind(Counter a, Counter b) noexcept { return b - a != 0 && b - a <= ~(b - a); }
    // The position a sequence number stands for. It has lost its top bit, which `near` gives back.
    static constexpr Counter position_of(Counter sequence, Counter near) noexcept {
        return near + static_cast<Counter>(sequence - opened(near)) / 2;
    }
    static constexpr std::size_t bytes_of_word(std::size_t i) noexcept {
        return i + 1 < words_of_record ? 8 : sizeof(T) - 8 * i;
    }

    [[nodiscard]] Slot& slot(Counter position) noexcept { return slots_[position & (size_of_ring - 1)]; }
    [[nodiscard]] const Slot& slot(Counter position) const noexcept { return slots_[position & (size_of_ring - 1)]; }

    // Takes the slot of the next record from its readers before a word of it changes.
    void open(Counter position) noexcept {
        slot(position).sequence.store(opened(position), std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_release);  // before every word stored later
    }

    // Copies the record at a position whose sequence number was just read as whole. False: it changed meanwhile.
    [[nodiscard]] bool copy(Counter position, T& record) const noexcept {
        const Slot& source = slot(position);
        std::uint64_t words[words_of_record];
        for (std::size_t i = 0; i < words_of_record; ++i) words[i] = source.words[i].load(std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_acquire);  // after every word loaded before
        if (source.sequence.load(std::memory_order_relaxed) != whole(position)) return false;
        std::memcpy(&record, words, sizeof(T));
        return true;
    }

    alignas(apart) std::atomic<Counter> written_;
    alignas(apart) Counter position_;  // the writer's own
    alignas(apart) Slot slots_[Capacity];
};

}  // namespace allyarm

#if defined(__GNUC__) && !defined(__clang__) && defined(__SANITIZE_THREAD__)
#pragma GCC diagnostic pop
#endif
