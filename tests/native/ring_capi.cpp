// The rings behind a C interface, for tests/property/test_rings.py. Capacity 8, records of 20 bytes, both counters.
#include <new>

#include "command_ring.hpp"
#include "state_ring.hpp"

namespace {
struct Record {
    std::uint32_t word[5];
};
template <class Counter>
using Commands = allyarm::CommandRing<Record, 8, Counter>;
template <class Counter>
using States = allyarm::StateRing<Record, 8, Counter>;
}  // namespace

#define RINGS(bits)                                                                                                    \
    using Commands##bits = Commands<std::uint##bits##_t>;                                                              \
    using States##bits = States<std::uint##bits##_t>;                                                                  \
    using Reader##bits = States##bits::Reader;                                                                         \
    extern "C" {                                                                                                       \
    void* command_new_##bits(std::uint##bits##_t first) { return new Commands##bits(first); }                          \
    void command_delete_##bits(void* ring) { delete static_cast<Commands##bits*>(ring); }                              \
    bool command_push_##bits(void* ring, const void* record) {                                                         \
        return static_cast<Commands##bits*>(ring)->try_push(*static_cast<const Record*>(record));                      \
    }                                                                                                                  \
    bool command_pop_##bits(void* ring, void* record) {                                                                \
        return static_cast<Commands##bits*>(ring)->try_pop(*static_cast<Record*>(record));                             \
    }                                                                                                                  \
    std::uint64_t command_size_##bits(void* ring) { return static_cast<Commands##bits*>(ring)->size(); }               \
    void* state_new_##bits(std::uint##bits##_t first) { return new States##bits(first); }                              \
    void state_delete_##bits(void* ring) { delete static_cast<States##bits*>(ring); }                                  \
    void state_write_##bits(void* ring, const void* record) {                                                          \
        static_cast<States##bits*>(ring)->write(*static_cast<const Record*>(record));                                  \
    }                                                                                                                  \
    std::uint64_t state_written_##bits(void* ring) { return static_cast<States##bits*>(ring)->written(); }             \
    void* reader_new_##bits(void* ring) { return new Reader##bits(*static_cast<States##bits*>(ring)); }                \
    void reader_delete_##bits(void* reader) { delete static_cast<Reader##bits*>(reader); }                             \
    bool reader_next_##bits(void* reader, void* record) {                                                              \
        return static_cast<Reader##bits*>(reader)->next(*static_cast<Record*>(record));                                \
    }                                                                                                                  \
    bool reader_latest_##bits(void* reader, void* record) {                                                            \
        return static_cast<Reader##bits*>(reader)->latest(*static_cast<Record*>(record));                              \
    }                                                                                                                  \
    std::uint64_t reader_delivered_##bits(void* reader) { return static_cast<Reader##bits*>(reader)->delivered(); }    \
    std::uint64_t reader_lost_##bits(void* reader) { return static_cast<Reader##bits*>(reader)->lost(); }              \
    std::uint64_t reader_skipped_##bits(void* reader) { return static_cast<Reader##bits*>(reader)->skipped(); }        \
    }

RINGS(32)
RINGS(64)
