"""Keys of a terminal, one by one."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def pressed() -> Iterator[Callable[[], str]]:
    """A function that gives the keys pressed since it was asked last, and raises OSError (EIO) once the terminal was
    closed; the terminal is as before afterwards."""
    import termios
    import tty

    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)
    tty.setcbreak(file)  # Ctrl-C stays a signal

    def read() -> str:
        import select

        found = b""
        while select.select([file], [], [], 0)[0]:
            part = os.read(file, 1024)
            if not part:    # without lines there is no end of input but a hang-up, and not every shell signals it
                raise OSError(errno.EIO, "the terminal was closed")
            found += part
        return found.decode(errors="replace")

    try:
        yield read
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(file, termios.TCSANOW, before)
