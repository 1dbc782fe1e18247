"""Stops one thread and leaves the others of its process running: a hung control loop with a main thread that lives.

    python frozen.py THREAD-ID      until the thread is gone (then it ends) or this process is ended (then it goes on)

A debugger does the same: PTRACE_SEIZE attaches to the one thread, PTRACE_INTERRUPT stops it.
"""

import ctypes
import os
import sys

PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000


def main() -> None:
    thread = int(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        if libc.ptrace(request, thread, None, None):
            sys.exit(os.strerror(ctypes.get_errno()))
    os.waitpid(thread, WALL)
    print("stopped", flush=True)
    while os.WIFSTOPPED(os.waitpid(thread, WALL)[1]):
        pass


if __name__ == "__main__":
    main()
