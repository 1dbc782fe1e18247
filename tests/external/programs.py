"""External programs as processes of their own: `python -m tests.external.programs NAME SOCKET`."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import sys
import time

from controller.external import ExternalProgram, ExternalState, Speed
from controller.external._link import ProgramLink
from controller.spec.external import ExternalKind
from tests.external.raw_memory import RawTargets


def steady(program: ExternalProgram) -> None:
    """Turns every axis to and fro at 10 deg/s for ever."""
    def function(state: ExternalState) -> Speed:
        forwards = state.time_ns // 1_000_000_000 % 2
        return Speed([10.0 if forwards else -10.0] * state.axes)

    program.run(function)


def hanging(program: ExternalProgram) -> None:
    """Half a second after it was admitted its function does not come back."""
    def function(state: ExternalState) -> Speed:
        if state.admitted and state.time_ns - state.admitted_ns > 500_000_000:
            print("hangs", flush=True)
            time.sleep(60.0)
        return Speed([10.0] * state.axes)

    program.run(function)


def failing(program: ExternalProgram) -> None:
    """Half a second after it was admitted its function raises."""
    def function(state: ExternalState) -> Speed:
        if state.admitted and state.time_ns - state.admitted_ns > 500_000_000:
            raise ZeroDivisionError("a mistake of the user's")
        return Speed([10.0] * state.axes)

    program.run(function)


def ending(program: ExternalProgram) -> None:
    """Half a second after it was admitted it ends, and gives the arm back."""
    def function(state: ExternalState) -> Speed | None:
        if state.admitted and state.time_ns - state.admitted_ns > 500_000_000:
            return None
        return Speed([10.0] * state.axes)

    program.run(function)
    print(f"missed {program.missed}", flush=True)


def scribbling(path: str, seconds: float) -> None:
    """Once admitted, writes random bytes over all the memory it was given, as fast as it can. Not by the API: it takes
    the memory's descriptor as it comes."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line.connect(path)
    fd = socket.recv_fds(line, 4096, 1)[1][0]
    print("connected", flush=True)
    for size in (0, 1 << 20):
        with contextlib.suppress(PermissionError):
            os.ftruncate(fd, size)
            raise AssertionError("the size of the memory could be changed")
    link, raw, pick = ProgramLink(fd), RawTargets(fd), random.Random(1)
    while (state := link.wait(1.0)) is not None and not state.admitted:
        link.send(ExternalKind.SPEED, (), [0.0] * state.axes)
    print("scribbles", flush=True)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        raw.scribble(pick, whole=True)


if __name__ == "__main__":
    name, path = sys.argv[1:]
    if name == "scribbling":
        scribbling(path, 3.0)
    else:
        with ExternalProgram.connect(path) as found:
            print("connected", flush=True)
            globals()[name](found)
