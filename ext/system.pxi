# What the core uses from the operating system and from the headers beside this file.

cdef extern from *:
    """
    #include <alloca.h>
    #include <atomic>
    #include <pthread.h>
    #include <sched.h>
    #include <sys/ioctl.h>
    #include <sys/mman.h>
    #include <sys/prctl.h>
    #include <sys/syscall.h>
    #include <termios.h>
    #include <unistd.h>
    static inline int allyarm_gettid() { return static_cast<int>(::syscall(SYS_gettid)); }
    static inline int allyarm_popcount8(unsigned value) { return __builtin_popcount(value & 0xFFu); }
    static inline void allyarm_touch_stack(unsigned size) {  // fault the stack in before the first deadline
        volatile unsigned char* stack = static_cast<volatile unsigned char*>(alloca(size));
        for (unsigned i = 0; i < size; i += 1024) stack[i] = 0;
    }
    // Reads of a terminal shall say EAGAIN when nothing has come and 0 when the line has hung up: VMIN must be 1.
    static inline int allyarm_wait_for_bytes(int fd) {
        termios settings;
        if (!isatty(fd)) return 0;
        if (tcgetattr(fd, &settings) != 0) return -1;
        settings.c_cc[VMIN] = 1;
        settings.c_cc[VTIME] = 0;
        return tcsetattr(fd, TCSANOW, &settings);
    }
    """
    ctypedef unsigned long pthread_t
    ctypedef struct pthread_attr_t:
        pass
    ctypedef struct cpu_set_t:
        pass
    struct sched_param:
        int sched_priority
    int pthread_attr_init(pthread_attr_t*) nogil
    int pthread_attr_setstacksize(pthread_attr_t*, size_t) nogil
    int pthread_attr_destroy(pthread_attr_t*) nogil
    int pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*) noexcept nogil, void*) nogil
    int pthread_join(pthread_t, void**) nogil
    int pthread_setname_np(pthread_t, const char*) nogil
    int pthread_setschedparam(pthread_t, int, const sched_param*) nogil
    int pthread_getschedparam(pthread_t, int*, sched_param*) nogil
    int pthread_setaffinity_np(pthread_t, size_t, const cpu_set_t*) nogil
    int pthread_getaffinity_np(pthread_t, size_t, cpu_set_t*) nogil
    void CPU_ZERO(cpu_set_t*) nogil
    void CPU_SET(int, cpu_set_t*) nogil
    bint CPU_ISSET(int, cpu_set_t*) nogil
    int CPU_COUNT(cpu_set_t*) nogil
    int mlockall(int) nogil
    int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long) nogil
    const int MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT, SCHED_FIFO, SCHED_OTHER
    const int PR_SET_TIMERSLACK, PR_GET_TIMERSLACK
    int gettid "allyarm_gettid"() noexcept nogil
    int popcount8 "allyarm_popcount8"(unsigned) noexcept nogil
    void touch_stack "allyarm_touch_stack"(unsigned) noexcept nogil
    const unsigned long FIONREAD
    int ioctl(int, unsigned long, int*) nogil
    bint is_terminal "isatty"(int) noexcept nogil
    int wait_for_bytes "allyarm_wait_for_bytes"(int) noexcept nogil

cdef extern from "crc.hpp" namespace "allyarm" nogil:
    bint crc8_blocks_ok(const uint8_t*, int, int) noexcept
    uint32_t crc32(const uint8_t*, size_t) noexcept

cdef extern from "planner.hpp" namespace "allyarm" nogil:
    cdef cppclass Planner:
        Planner() except +
        bint plan_position(int, const double*, const double*, const double*, const double*, const double*,
                           const double*, const double*) noexcept
        bint plan_stream(int, const double*, const double*, const double*, const double*, const double*,
                         const double*, const double*, const double*) noexcept
        bint plan_velocity(int, const double*, const double*, const double*, const double*, const double*,
                           const double*) noexcept
        double duration_s() noexcept
        void at(double, double*, double*, double*) noexcept
    double stop_distance(double, double, double, double) noexcept

cdef extern from "histogram.hpp" namespace "allyarm" nogil:
    cdef cppclass Histogram:
        Histogram() except +
        void record(int64_t) noexcept
        uint64_t total() noexcept
        uint64_t maximum() noexcept
        uint64_t percentile(double) noexcept
        void clear() noexcept

cdef extern from *:
    cdef cppclass AtomicInt "std::atomic<int>":
        int load() noexcept nogil
        void store(int) noexcept nogil
    cdef cppclass AtomicTime "std::atomic<std::int64_t>":
        int64_t load() noexcept nogil
        void store(int64_t) noexcept nogil
    cdef cppclass AtomicWord "std::atomic<std::uint32_t>":
        uint32_t load() noexcept nogil
        void store(uint32_t) noexcept nogil

cdef extern from "handshake.hpp" namespace "allyarm" nogil:
    cdef cppclass Handshake:
        Handshake() except +
        AtomicWord spin_ns
        AtomicInt thread_id, timer_slack_ns, bus_errno
        AtomicTime first_cycle_ns, hmi_beat_ns
        void request_stop() noexcept
        bint take_stop() noexcept
        void request_quit() noexcept
        bint quitting() noexcept
        void offer(int) noexcept
        int take_offer() noexcept
        void take_back() noexcept
        bint take_reclaim() noexcept
        void set_attached(bint) noexcept
        bint is_attached() noexcept
        void set_released(bint) noexcept
        bint is_released() noexcept
        void set_running(bint) noexcept
        bint is_running() noexcept
