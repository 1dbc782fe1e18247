"""The simulated board behind a file descriptor, in a process of its own: `python -m tests.board_server FD AXES`.

Answers each message as it comes; ends when the other side closes. Prints one line when it is ready.
"""

from __future__ import annotations

import os
import select
import sys
import time

from controller.sim._board import Board


def serve(fd: int, axes: int) -> None:
    board = Board(axes)
    board.step(time.monotonic_ns())
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([fd], [], [], 0.005)
        data = b""
        if readable:
            try:
                data = os.read(fd, 4096)
            except OSError:
                return
            if not data:
                return
        answer = board.step(time.monotonic_ns(), data)
        if answer:
            try:
                os.write(fd, answer)
            except OSError:
                return


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
