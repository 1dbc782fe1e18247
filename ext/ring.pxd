# The two rings for Cython. Their thread contracts are in state_ring.hpp and command_ring.hpp.
#
# Cython cannot pass a number as template argument, so each capacity that is used has a name here. The rings are
# aligned to 128 bytes: make them with `new` (which honours it) or as module globals, never as a member of a cdef
# class, whose memory Python aligns to 16 bytes only. Readers are plain cursors and may lie anywhere:
#
#     cdef StateRing1024[StateRecord]* ring = new StateRing1024[StateRecord]()
#     cdef StateReader1024[StateRecord]* reader = new StateReader1024[StateRecord](ring[0])

from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #include "command_ring.hpp"
    #include "state_ring.hpp"
    namespace allyarm {
    template <class T> using StateRing1024 = StateRing<T, 1024>;
    template <class T> using StateReader1024 = typename StateRing<T, 1024>::Reader;
    template <class T> using CommandRing64 = CommandRing<T, 64>;
    template <class T> using CommandRing1024 = CommandRing<T, 1024>;
    }
    """
    cdef cppclass StateRing1024 "allyarm::StateRing1024" [T]:
        StateRing1024() noexcept nogil
        StateRing1024(uint64_t first) noexcept nogil
        void write(const T& record) noexcept nogil
        uint64_t written() noexcept nogil

    cdef cppclass StateReader1024 "allyarm::StateReader1024" [T]:
        StateReader1024(const StateRing1024[T]& ring) noexcept nogil
        bint next(T& record) noexcept nogil
        bint latest(T& record) noexcept nogil
        uint64_t delivered() noexcept nogil
        uint64_t lost() noexcept nogil
        uint64_t skipped() noexcept nogil

    cdef cppclass CommandRing64 "allyarm::CommandRing64" [T]:
        CommandRing64() noexcept nogil
        CommandRing64(uint64_t first) noexcept nogil
        bint try_push(const T& record) noexcept nogil
        bint try_pop(T& record) noexcept nogil
        size_t size() noexcept nogil

    cdef cppclass CommandRing1024 "allyarm::CommandRing1024" [T]:
        CommandRing1024() noexcept nogil
        CommandRing1024(uint64_t first) noexcept nogil
        bint try_push(const T& record) noexcept nogil
        bint try_pop(T& record) noexcept nogil
        size_t size() noexcept nogil
