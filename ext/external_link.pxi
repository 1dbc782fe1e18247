# The shared memory of external_link.hpp for Cython: used by the core and by the module that programs load.

cdef extern from "external_link.hpp" namespace "allyarm" nogil:
    uint32_t target_checksum(const ExternalTargetRecord&) noexcept

    cdef cppclass ExternalLink:
        @staticmethod
        ExternalLink* make(void*) noexcept
        @staticmethod
        int mismatch(const void*) noexcept
        @staticmethod
        size_t size() noexcept
        void publish(const ExternalStateRecord&) noexcept
        bint take(ExternalTargetRecord&) noexcept
        bint send(ExternalTargetRecord&) noexcept

    cdef cppclass ExternalSwap:
        ExternalSwap() except +
        void want(ExternalLink*) noexcept
        ExternalLink* follow() noexcept
        bint settled() noexcept

    cdef cppclass ExternalStates "allyarm::ExternalLink::States::Reader":
        bint latest(ExternalStateRecord&) noexcept
        uint64_t skipped() noexcept

cdef extern from *:
    """
    #include <sys/mman.h>
    static inline void* allyarm_map(int fd, unsigned long size) {
        return ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    static inline allyarm::ExternalLink::States::Reader* allyarm_states(void* memory) {
        return new allyarm::ExternalLink::States::Reader(static_cast<allyarm::ExternalLink*>(memory)->states);
    }
    """
    void* map_shared "allyarm_map"(int, unsigned long) nogil
    int munmap(void*, size_t) nogil
    void* MAP_FAILED
    ExternalStates* read_states "allyarm_states"(void*) nogil
