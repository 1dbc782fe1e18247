# The control thread: supplies time and bytes to the cycle, at absolute deadlines on CLOCK_MONOTONIC.
#
# Thread contract: this thread never touches the interpreter, never allocates, locks, logs or blocks on the line. Other
# threads reach it through the rings and the Handshake alone; `settings` and `parameters` are theirs while no line is attached.

cdef enum:
    TRANSMIT_SIZE = 256
    STACK_TOUCH = 131072

cdef struct Loop:
    Machine machine
    Settings offered_settings           # written by the main thread before it offers a line
    AxisParameters offered_parameters[MAX_AXES]
    Chain offered_chain
    StateRing1024[StateRecord]* states
    ExternalSwap* external
    Histogram* lateness
    Histogram* run_time
    Histogram* answer_age
    int fd
    flag terminal                       # the line is a tty: its reads may wait, see read_line
    pthread_t thread


cdef inline int64_t monotonic_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef inline void sleep_until(int64_t deadline_ns, int64_t spin_ns) noexcept nogil:
    """Sleep to the absolute deadline; with `spin_ns`, sleep that much short and spin the rest."""
    cdef timespec until
    until.tv_sec = (deadline_ns - spin_ns) // 1000000000
    until.tv_nsec = (deadline_ns - spin_ns) % 1000000000
    while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR:
        pass
    if spin_ns:
        while monotonic_ns() < deadline_ns:
            pass


cdef void attach_line(Loop* loop, int fd) noexcept nogil:
    """Take a lent line with the settings that came with it."""
    loop.machine.settings = loop.offered_settings
    memcpy(loop.machine.parameters, loop.offered_parameters, sizeof(loop.machine.parameters))
    use_chain(&loop.machine, &loop.offered_chain)
    loop.fd = fd
    loop.terminal = fd >= 0 and is_terminal(fd)
    take_line(&loop.machine)


cdef void detach_line(Loop* loop) noexcept nogil:
    """Give the line back; set-points of an arm that is gone mean nothing."""
    cdef Machine* m = &loop.machine
    if m.bus.state == BUS_STATE_CYCLIC and not m.shutdown:
        lose_bus(m, False)
    loop.fd = -1
    m.hand.known = False
    enter_bus_state(m, BUS_STATE_DETACHED)
    rest(m)
    transition(m, TRIGGER_BUS_DETACHED)
    m.handshake.set_released(True)
    m.handshake.set_attached(False)


cdef void lend_and_reclaim(Loop* loop) noexcept nogil:
    cdef int fd
    use_link(&loop.machine, loop.external.follow())
    if loop.machine.handshake.take_reclaim():
        detach_line(loop)
    fd = loop.machine.handshake.take_offer()
    if fd >= 0:
        attach_line(loop, fd)


cdef int read_line(Loop* loop, uint8_t* into, int size) noexcept nogil:
    """Whatever has arrived, without waiting. A line that is gone is told to the cycle as lost."""
    cdef ssize_t got
    cdef int waiting = 1
    if loop.fd < 0 or loop.machine.bus.state == BUS_STATE_DETACHED:
        return 0
    # A read of a tty without input waits for the kernel's tty worker, which is no real-time thread, even where the file
    # is non-blocking (n_tty_read: tty_buffer_flush_work). So it is only read when something is there.
    if loop.terminal and ioctl(loop.fd, FIONREAD, &waiting) == 0 and waiting == 0:
        return 0
    got = read(loop.fd, into, size)
    if got > 0:
        return <int>got
    if got == 0 or (errno != EAGAIN and errno != EINTR):
        loop.machine.handshake.bus_errno.store(errno if got < 0 else 0)
        lose_bus(&loop.machine, False)
        loop.fd = -1
    return 0


cdef void write_line(Loop* loop, const uint8_t* data, int size) noexcept nogil:
    """One write, whole or counted: a telegram that does not fit is dropped, the next one is newer."""
    cdef ssize_t put
    if size == 0 or loop.fd < 0:
        return
    put = write(loop.fd, data, size)
    if put == size:
        return
    loop.machine.bus.faults[BUS_FAULT_WRITE] += 1
    if put < 0 and errno != EAGAIN and errno != EINTR:
        loop.machine.handshake.bus_errno.store(errno)
        lose_bus(&loop.machine, False)
        loop.fd = -1


cdef void publish(Loop* loop) noexcept nogil:
    cdef StateRecord record
    memset(&record, 0, sizeof(record))
    fill_record(&loop.machine, &record)
    loop.states.write(record)
    tell_program(&loop.machine)


cdef void* control_thread(void* argument) noexcept nogil:
    cdef Loop* loop = <Loop*>argument
    cdef Machine* m = &loop.machine
    cdef uint8_t received[RECEIVE_SIZE]
    cdef uint8_t transmit[TRANSMIT_SIZE]
    cdef int64_t period, deadline, now, done, late
    cdef int size, missed
    touch_stack(STACK_TOUCH)
    m.handshake.thread_id.store(gettid())
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    m.handshake.timer_slack_ns.store(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0))
    deadline = monotonic_ns()
    while not shutdown_done(m):
        lend_and_reclaim(loop)
        period = m.settings.period_ns
        sleep_until(deadline, m.handshake.spin_ns.load())
        now = monotonic_ns()
        m.lateness_ns = now - deadline
        size = read_line(loop, received, RECEIVE_SIZE)
        size = run_cycle(m, now, received, size, transmit)
        write_line(loop, transmit, size)
        publish(loop)
        if m.cycle == 1:
            m.handshake.first_cycle_ns.store(now)
        if m.bus.fresh:
            loop.answer_age.record(now - m.bus.sample_ns)
        loop.lateness.record(m.lateness_ns)
        done = monotonic_ns()
        m.run_ns = done - now
        loop.run_time.record(m.run_ns)
        deadline += period
        late = done - deadline
        if late >= 0:
            # never back to back: the cycles that did not happen are left out and counted
            missed = <int>(late // period) + 1
            m.overruns += 1
            m.overruns_now += missed
            m.skipped += missed
            deadline += missed * period
        else:
            m.overruns_now = 0
    publish(loop)
    m.handshake.set_attached(False)
    m.handshake.set_running(False)
    return NULL
