"""The HMI server on a core whose cycles the test runs itself: shows what waits for the next cycle."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from controller._core import State
from controller.arm import ArmFacts
from controller.hmi.options import HmiOptions
from controller.hmi.server import HmiServer
from controller.store import Store
from tests.virtual_arm import VirtualArm


class StoppedRig:
    """Not one cycle runs unless `cycle` is called."""

    def __init__(self) -> None:
        self.arm = VirtualArm()
        self.core = self.arm.core
        self.server = HmiServer(self.core, HmiOptions(port=0), Store(), ArmFacts("", "", ()))
        self.server.start()
        self.url = self.server.address

    def cycle(self) -> None:
        self._state = self.arm.cycle()

    def state(self) -> State:
        return self._state


@contextlib.contextmanager
def stopped() -> Iterator[StoppedRig]:
    rig = StoppedRig()
    try:
        yield rig
    finally:
        assert rig.server.stop(5.0)
