# The controller's side of the memory shared with one program: made, sealed and mapped by the main thread.

@cython.final
cdef class ExternalRegion:
    """Fresh shared memory for one program. `fd` is to be sent to it; `close_fd` when that is done. OSError when the system
    gives no memory. Its size is sealed: nobody can cut it off under the control thread."""
    cdef ExternalLink* link
    cdef readonly int fd

    def __cinit__(self):
        cdef void* memory
        self.fd = -1
        self.fd = os.memfd_create("allyarm-external", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.posix_fallocate(self.fd, 0, ExternalLink.size())     # now, and not by a page fault of the control thread
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        memory = map_shared(self.fd, ExternalLink.size())
        if memory == MAP_FAILED:
            raise OSError(errno, "cannot map the memory of an external program: " + os.strerror(errno))
        memset(memory, 0, ExternalLink.size())
        self.link = ExternalLink.make(memory)

    def __dealloc__(self):
        self.close_fd()
        if self.link != NULL:
            munmap(self.link, ExternalLink.size())

    def close_fd(self):
        """The memory stays as long as somebody has it mapped."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
