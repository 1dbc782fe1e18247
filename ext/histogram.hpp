// Log-linear histogram of durations in ns: 16 linear steps in each power of two, so a reading is right to 1/16.
//
// Thread contract: one thread records; any thread may read a percentile at any time (counts are relaxed atomics, a
// reading taken during a record is off by at most that record).
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

namespace allyarm {

class Histogram {
public:
    static constexpr int linear_bits = 4, buckets = (40 - linear_bits + 1) << linear_bits;  // up to 2^40 ns, 18 min

    void record(std::int64_t ns) noexcept {
        const std::uint64_t value = ns > 0 ? static_cast<std::uint64_t>(ns) : 0;
        bump(counts_[index(value)]);
        bump(total_);
        if (value > maximum_.load(std::memory_order_relaxed)) maximum_.store(value, std::memory_order_relaxed);
    }

    std::uint64_t total() const noexcept { return total_.load(std::memory_order_relaxed); }
    std::uint64_t maximum() const noexcept { return maximum_.load(std::memory_order_relaxed); }

    // Upper edge of the bucket that holds the given fraction (0..1) of all recorded values; 0 when empty.
    std::uint64_t percentile(double fraction) const noexcept {
        std::uint64_t total = 0, seen = 0;
        for (const auto& c : counts_) total += c.load(std::memory_order_relaxed);
        if (total == 0) return 0;
        const auto wanted = static_cast<std::uint64_t>(fraction * static_cast<double>(total - 1)) + 1;
        for (int i = 0; i < buckets; ++i) {
            seen += counts_[i].load(std::memory_order_relaxed);
            if (seen >= wanted) return upper(i) < maximum() ? upper(i) : maximum();
        }
        return maximum();
    }

    void clear() noexcept {
        for (auto& c : counts_) c.store(0, std::memory_order_relaxed);
        total_.store(0, std::memory_order_relaxed);
        maximum_.store(0, std::memory_order_relaxed);
    }

private:
    static void bump(std::atomic<std::uint64_t>& c) noexcept {  // single writer: no locked instruction needed
        c.store(c.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    static int index(std::uint64_t value) noexcept {
        if (value < (1u << linear_bits)) return static_cast<int>(value);
        const int shift = static_cast<int>(std::bit_width(value)) - 1 - linear_bits;
        const int i = ((shift + 1) << linear_bits) + static_cast<int>((value >> shift) & ((1u << linear_bits) - 1));
        return i < buckets ? i : buckets - 1;
    }
    static std::uint64_t upper(int i) noexcept {
        if (i < (1 << linear_bits)) return static_cast<std::uint64_t>(i);
        const int shift = (i >> linear_bits) - 1;
        const std::uint64_t base = (1u << linear_bits) + (static_cast<unsigned>(i) & ((1u << linear_bits) - 1));
        return ((base + 1) << shift) - 1;
    }

    std::atomic<std::uint64_t> counts_[buckets]{};
    std::atomic<std::uint64_t> total_{0}, maximum_{0};
};

}  // namespace allyarm
