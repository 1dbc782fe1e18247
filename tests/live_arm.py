"""A core with its real control thread, and the simulated board on the other end of a socket pair or pseudo-terminal."""

from __future__ import annotations

import os
import pty
import select
import socket
import subprocess
import sys
import time
import tty
from collections.abc import Callable

import msgspec

from controller._core import Core, State
from controller.bus.serial import arm_facts, encode_write
from controller.chain import chain_of
from controller.config import Config
from controller.sim._board import Board
from controller.spec import registers as reg
from controller.spec.modes import MasterMode, MasterState
from controller.supervisor import core_axes, core_settings


def config(rate_hz: int = 1000, silence_ms: float = 200.0, overruns: int = 1000, heartbeat_ms: float = 0.0) -> Config:
    """Patient settings: a busy test machine shall not lose the bus. `heartbeat_ms` switches external development on."""
    base = Config()
    return msgspec.structs.replace(
        base, loop=msgspec.structs.replace(base.loop, rate_hz=rate_hz, max_overruns_in_a_row=overruns),
        bus=msgspec.structs.replace(base.bus, silence_ms=max(silence_ms, 3000.0 / rate_hz)),
        external=msgspec.structs.replace(base.external, enabled=heartbeat_ms > 0, heartbeat_ms=heartbeat_ms))


class LiveArm:
    """`with LiveArm() as arm:` thread running, line attached. `far` is the board's end, `near` the core's."""

    def __init__(self, axes: int = 2, *, rate_hz: int = 1000, terminal: bool = False, overruns: int = 1000,
                 silence_ms: float = 200.0, heartbeat_ms: float = 0.0) -> None:
        self.axes, self.rate_hz = axes, rate_hz
        self.core = Core()
        self.reader = self.core.reader()
        self.config = config(rate_hz, silence_ms, overruns, heartbeat_ms)
        if terminal:
            self.far, self.near = pty.openpty()
            tty.setraw(self.near)
        else:
            ends = socket.socketpair()
            self.far, self.near = (end.detach() for end in ends)
        self.server = subprocess.Popen([sys.executable, "-m", "tests.board_server", str(self.far), str(axes)],
                                       pass_fds=[self.far], stdout=subprocess.PIPE)
        os.close(self.far)
        board = Board(axes)
        addresses = [*reg.BRING_UP_ARM, *(a + i for a in reg.BRING_UP_AXIS for i in range(axes))]
        facts = arm_facts({a: board.register(a) for a in addresses}, axes, [60.0] * axes)
        self.core.configure(core_settings(self.config), core_axes(self.config, facts),
                            chain_of(self.config, facts.axes))

    def __enter__(self) -> LiveArm:
        assert self.server.stdout is not None
        assert self.server.stdout.readline() == b"ready\n"
        self.core.start()
        self.attach()
        return self

    def __exit__(self, *_: object) -> None:
        self.core.request_quit()
        ended = self.core.join(3.0)
        self.core.detach()
        self.hang_up()
        assert ended

    def attach(self) -> None:
        """Board into its cyclic phase, line lent."""
        os.set_blocking(self.near, False)
        until = time.monotonic() + 5.0
        heard = b""
        while b"#10:8*\r\n" not in heard and time.monotonic() < until:
            # a board that was in its cyclic phase listens again after a second without telegrams
            os.write(self.near, encode_write(reg.MASTER_MODE, MasterMode.EXTERNAL_DEVELOPER_AUTO))
            time.sleep(0.1)
            if select.select([self.near], [], [], 0.2)[0]:
                heard += os.read(self.near, 4096)
        assert b"#10:8*\r\n" in heard
        self.core.attach(self.near)

    def hang_up(self) -> None:
        """The board and its end of the line are gone."""
        self.server.kill()
        self.server.wait()
        if self.server.stdout:
            self.server.stdout.close()
            self.server.stdout = None
        if self.near >= 0:
            os.close(self.near)
            self.near = -1

    def end_server(self) -> None:
        """The far end closes; ours stays open."""
        self.server.kill()
        self.server.wait()

    def latest(self) -> State:
        """The newest record, waiting for the next one if need be."""
        until = time.monotonic() + 3.0
        while time.monotonic() < until:
            state = self.reader.latest()
            if state is not None:
                return state
            time.sleep(0.0005)
        raise AssertionError("the control thread writes no records")

    def until(self, condition: Callable[[State], bool], seconds: float = 8.0) -> State:
        until = time.monotonic() + seconds
        state = self.latest()
        while not condition(state):
            assert time.monotonic() < until, (state.state, state.bus_state, state.faults, state.bus_faults)
            time.sleep(0.001)
            state = self.latest()
        return state

    def waiting(self) -> State:
        return self.until(lambda s: s.state == MasterState.WAITING)
