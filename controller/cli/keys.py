"""Keys of a terminal, one by one."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def pressed() -> Iterator[Callable[[], str]]:
    """A function that gives the keys pressed since it was asked last; the terminal is as before afterwards."""
    import termios
    import tty

    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)
    tty.setcbreak(file)  # Ctrl-C stays a signal

    def read() -> str:
        import select

        found = b""
        while select.select([file], [], [], 0)[0] and (part := os.read(file, 1024)):
            found += part
        return found.decode(errors="replace")

    try:
        yield read
    finally:
        termios.tcsetattr(file, termios.TCSANOW, before)
