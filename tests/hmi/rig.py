"""A real HMI server on a real core with its control thread, driving the simulated base board over a socket pair.

No pseudo-terminal and no process: the line is a socket pair and a Python thread is the base board. Timeouts of the bus
are long, because on a busy two-core machine that thread is late where real hardware would not be.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from controller._core import Core, State
from controller.arm import ArmFacts
from controller.bus.serial import arm_facts, encode_write
from controller.chain import chain_of
from controller.config import Config
from controller.history import History
from controller.hmi.options import HmiOptions
from controller.hmi.server import HmiServer
from controller.settings import fault
from controller.sim._board import Board
from controller.spec import registers as reg
from controller.spec.modes import MasterMode, MasterState
from controller.store import Store
from controller.supervisor import core_axes, core_settings

RATE_HZ = 250


class Rig:
    """Core, board and server. `rest` seconds after its start the first connection may already move the arm."""

    def __init__(self, axes: int = 4, folder: Path | None = None, *, attach: bool = True,
                 history: History | None = None, **options: Any) -> None:
        self.board = Board(axes, 1, watchdog_ms=5000.0, fallback_ms=10000.0)
        self.core = Core()
        self.reader = self.core.reader()
        self._newest: State | None = None
        self.store = Store(folder, fault)
        self.history = history or History(folder)
        self.facts = replace(self._facts(axes).with_margin(Config().motion.limit_margin_deg),
                             chain=chain_of(Config(), axes))
        settings = core_settings(Config())
        settings.update(rate_hz=RATE_HZ, silence_ms=400, max_overruns_in_a_row=1000, external_heartbeat_ms=200)
        self.core.configure(settings, core_axes(Config(), self.facts), self.facts.chain)
        self.core.start()
        if os.geteuid() == 0:  # on a busy machine others would else hold up loop and board for longer than is allowed
            os.setpriority(os.PRIO_PROCESS, 0, -10)  # inherited by the threads that are made from here on
            self.core.set_realtime(priority=10, cpu=-1, lock_memory=False, spin_us=0)
        self._ours, self._theirs = socket.socketpair()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve_board, name="board", daemon=True)
        self.server = HmiServer(self.core, HmiOptions(port=0, **options), self.store, ArmFacts("", "", ()),
                                self.history)
        self.server.start()
        self.url = self.server.address
        if attach:
            self.attach()

    def attach(self) -> None:
        """What the main thread does after a bring-up."""
        start = encode_write(reg.MASTER_MODE, MasterMode.EXTERNAL_DEVELOPER_AUTO)
        assert self.board.step(time.monotonic_ns(), start)
        self._thread.start()
        self.server.set_arm(self.facts)
        self.core.attach(self._theirs.fileno())
        self.until(lambda s: s.state == MasterState.WAITING)

    def _facts(self, axes: int) -> ArmFacts:
        addresses = [*reg.BRING_UP_ARM, *(a + i for a in reg.BRING_UP_AXIS for i in range(axes))]
        found = {address: self.board.register(address) for address in addresses}
        return arm_facts(found, axes, [Config().limits(i).max_speed_deg_s for i in range(axes)])

    def _serve_board(self) -> None:
        while not self._ending.is_set():
            if select.select([self._ours], [], [], 0.05)[0]:
                answer = self.board.step(time.monotonic_ns(), self._ours.recv(4096))
                if answer:
                    self._ours.send(answer)

    @property
    def state(self) -> State:
        """The newest record."""
        self._newest = self.reader.latest() or self._newest
        assert self._newest is not None
        return self._newest

    def until(self, condition: Callable[[State], bool], seconds: float = 10.0) -> State:
        """Wait for a condition; AssertionError with the essentials when it does not come."""
        until = time.monotonic() + seconds
        while True:
            state = self._newest = self.reader.latest() or self._newest
            if state is not None and condition(state):
                return state
            if time.monotonic() > until:
                raise AssertionError(f"not within {seconds} s: {describe(state)}")
            time.sleep(0.005)

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, Any]:
        """HTTP request: (status, decoded JSON or text)."""
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read()
        with contextlib.suppress(msgspec.DecodeError):
            return status, msgspec.json.decode(body)
        return status, body.decode()

    def status(self) -> dict[str, Any]:
        """/status.json."""
        code, body = self.get("/status.json")
        assert code == 200, body
        return body  # type: ignore[no-any-return]

    def refused(self) -> dict[str, int]:
        """Refusals by kind so far."""
        return self.status()["hmi"]["refused"]  # type: ignore[no-any-return]

    def close(self) -> None:
        assert self.server.stop(5.0)
        self.core.request_quit()
        assert self.core.join(5.0)
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(2.0)
        self._ours.close()
        self._theirs.close()
        self.store.close()
        self.history.close()


@contextlib.contextmanager
def running(*args: Any, **options: Any) -> Iterator[Rig]:
    rig = Rig(*args, **options)
    try:
        yield rig
    finally:
        rig.close()


def describe(state: State | None) -> str:
    if state is None:
        return "no record"
    return (f"state {MasterState(state.state).name} mode {MasterMode(state.mode).name} blockers {state.blockers:b} "
            f"faults {[hex(f) for f in state.faults[:state.fault_count]]} at {state.position_deg} "
            f"result {state.last_command_result}")
