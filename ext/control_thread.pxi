# The control thread for Python: made and ended, and what real-time scheduling the system grants it.

FIRST_RATE_HZ = 1000     # of the loop until it is configured


cdef class ControlThread:
    """The memory of a core, and the thread that runs its cycle once `start` has made it."""
    cdef Loop* loop
    cdef bint virtual, joined
    cdef int dma_latency_fd
    cdef dict asked
    cdef list regions       # memory of external programs that may be in use: mapped until the thread has ended, so kept here

    def __cinit__(self):
        cdef Machine* m
        cdef int i
        self.loop = <Loop*>calloc(1, sizeof(Loop))
        if self.loop == NULL:
            raise MemoryError()
        m = &self.loop.machine
        m.planner = new Planner()
        m.hand_planner = new Planner()
        m.commands = new CommandRing64[Command]()
        m.events = new CommandRing1024[Event]()
        m.handshake = new Handshake()
        self.loop.states = new StateRing1024[StateRecord]()
        self.loop.external = new ExternalSwap()
        self.loop.lateness = new Histogram()
        self.loop.run_time = new Histogram()
        self.loop.answer_age = new Histogram()
        self.loop.fd = -1
        self.dma_latency_fd = -1
        m.settings.period_ns = 1000000000 // FIRST_RATE_HZ
        m.settings.overruns_in_a_row = 10
        m.stop_category = STOP_CATEGORY_NONE
        for i in range(LIMBS):
            m.load.weight[i] = 1.0
        for i in range(MAX_AXES):
            m.load.dead_band_counts[i] = COMPLIANT_DEAD_BAND_DEFAULT
            m.load.proportional[i] = <int>COMPLIANT_PROPORTIONAL_DEFAULT * 1e-2
            m.load.exponential[i] = <int>COMPLIANT_EXPONENTIAL_DEFAULT * 1e-3
            m.load.derivative[i] = <int>COMPLIANT_DERIVATIVE_DEFAULT * 1e-3
        forget_contacts(m)
        m.bus.valid_ns = m.bus.first_valid_ns = m.bus.sample_ns = -1
        for i in range(MAX_AXES):
            m.axis[i].advanced_percent = m.axis[i].user_percent = m.axis[i].movement_percent = 100.0
        self.joined = True
        self.asked = {}
        self.regions = []

    def __dealloc__(self):
        if self.loop == NULL:
            return
        if not self.joined:
            self.loop.machine.handshake.request_quit()
            with nogil:
                pthread_join(self.loop.thread, NULL)
        if self.dma_latency_fd >= 0:
            close(self.dma_latency_fd)  # the interpreter may be ending: its modules are gone by then
        del self.loop.machine.planner
        del self.loop.machine.hand_planner
        del self.loop.machine.commands
        del self.loop.machine.events
        del self.loop.machine.handshake
        del self.loop.states
        del self.loop.external
        del self.loop.lateness
        del self.loop.run_time
        del self.loop.answer_age
        free(self.loop)

    def start(self):
        """Start the control thread with the scheduling this process has; `set_realtime` gives it more. RuntimeError
        when it runs already, OSError when the system refuses a thread."""
        cdef pthread_attr_t attributes
        cdef int error
        if self.loop.machine.handshake.is_running() or self.virtual:
            raise RuntimeError("the control thread runs already, or this core is on a virtual clock")
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, 262144)
        self.loop.machine.handshake.set_running(True)
        error = pthread_create(&self.loop.thread, &attributes, control_thread, self.loop)
        pthread_attr_destroy(&attributes)
        if error:
            self.loop.machine.handshake.set_running(False)
            raise OSError(error, "cannot start the control thread: " + os.strerror(error))
        pthread_setname_np(self.loop.thread, b"allyarm-loop")     # as top, gdb and trace tools show it
        self.joined = False

    def request_quit(self):
        """Ask the cycle for a soft stop, motor power off, and its end. Any thread."""
        self.loop.machine.handshake.request_quit()

    def join(self, double timeout_s):
        """Wait for the control thread to end; False when it still runs after `timeout_s`."""
        until = time.monotonic() + timeout_s
        while self.loop.machine.handshake.is_running():
            if time.monotonic() > until:
                return False
            time.sleep(0.002)
        if not self.joined:
            pthread_join(self.loop.thread, NULL)
            self.joined = True
        return True

    def set_realtime(self, *, int priority, int cpu, bint lock_memory, int spin_us):
        """Ask for real-time scheduling of the control thread and say what was granted (see `realtime`).

        priority 1..98 is SCHED_FIFO, 0 leaves the normal class; cpu -1 leaves the affinity; spin_us sleeps that much
        short of each deadline and spins the rest. Nothing here raises: a refusal is in the report."""
        cdef sched_param parameter
        cdef cpu_set_t cpus
        cdef int error
        if self.joined:
            raise RuntimeError("set_realtime: start the control thread first")
        asked = {"priority": priority, "cpu": cpu, "lock_memory": bool(lock_memory), "errors": {}}
        if priority > 0:
            parameter.sched_priority = priority
            error = pthread_setschedparam(self.loop.thread, SCHED_FIFO, &parameter)
            if error:
                asked["errors"]["scheduler"] = os.strerror(error)
        if cpu >= 0:
            CPU_ZERO(&cpus)
            CPU_SET(cpu, &cpus)
            error = pthread_setaffinity_np(self.loop.thread, sizeof(cpus), &cpus)
            if error:
                asked["errors"]["cpu"] = os.strerror(error)
        if lock_memory:
            # A finite limit that the process outgrows later would make allocations fail: better not to lock at all.
            limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
            if limit != resource.RLIM_INFINITY and os.geteuid() != 0:
                asked["errors"]["lock_memory"] = f"RLIMIT_MEMLOCK is {limit // 1024} kB: set LimitMEMLOCK=infinity"
            # ONFAULT: stacks of other threads are locked as they are touched, not at their full reserved size
            elif mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT):
                asked["errors"]["lock_memory"] = os.strerror(errno)
        if self.dma_latency_fd < 0 and priority > 0:
            try:
                self.dma_latency_fd = os.open("/dev/cpu_dma_latency", os.O_WRONLY | os.O_CLOEXEC)
                os.write(self.dma_latency_fd, b"\0\0\0\0")
            except OSError as problem:
                asked["errors"]["dma_latency"] = problem.strerror
        self.loop.machine.handshake.spin_ns.store(<uint32_t>(spin_us * 1000 if spin_us > 0 else 0))
        self.asked = asked
        return self.realtime()

    def realtime(self):
        """What the control thread really got, read back from the system: scheduler, priority, cpus, locked memory (kB),
        timer slack, and `refused`: name -> why, for everything that was asked for and not granted."""
        cdef sched_param parameter
        cdef cpu_set_t cpus
        cdef int policy = 0
        cdef int cpu
        refused = dict(self.asked.get("errors", {}))
        report = {"scheduler": "none", "priority": 0, "cpus": [], "locked_kb": 0,
                  "timer_slack_ns": self.loop.machine.handshake.timer_slack_ns.load(),
                  "dma_latency_held": self.dma_latency_fd >= 0,
                  "spin_us": self.loop.machine.handshake.spin_ns.load() // 1000,
                  "thread_id": self.loop.machine.handshake.thread_id.load(),
                  "first_cycle_ns": self.loop.machine.handshake.first_cycle_ns.load(), "refused": refused}
        if self.joined or not self.loop.machine.handshake.is_running():
            return report
        pthread_getschedparam(self.loop.thread, &policy, &parameter)
        report["scheduler"] = {SCHED_FIFO: "SCHED_FIFO", SCHED_OTHER: "SCHED_OTHER"}.get(policy, str(policy))
        report["priority"] = parameter.sched_priority
        pthread_getaffinity_np(self.loop.thread, sizeof(cpus), &cpus)
        report["cpus"] = [cpu for cpu in range(1024) if CPU_ISSET(cpu, &cpus)]
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmLck:"):
                    report["locked_kb"] = int(line.split()[1])
        if self.asked.get("priority", 0) and report["scheduler"] != "SCHED_FIFO":
            refused.setdefault("scheduler", "not granted")
        if self.asked.get("lock_memory") and report["locked_kb"] == 0:
            refused.setdefault("lock_memory", "not granted")
        if self.asked.get("cpu", -1) >= 0 and report["cpus"] != [self.asked["cpu"]]:
            refused.setdefault("cpu", "not granted")
        return report
