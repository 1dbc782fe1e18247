"""A folder of input devices for a rig: `plug` puts one in, and the rig's server finds and opens it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from controller.input.options import InputOptions
from controller.spec import hmi
from controller.spec.input import EV_ABS
from tests.hmi.rig import Rig, running
from tests.input.recording import FakeDevice, Recording

LOOKS_S = 10.0


class Desk:
    """`devices` are those that were opened, by the number of their node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recordings: dict[str, Recording] = {}
        self.devices: dict[str, FakeDevice] = {}

    def options(self, **options: Any) -> InputOptions:
        return InputOptions(folder=self.folder, open_source=self._open, **options)

    def _open(self, path: str) -> FakeDevice:
        found = self.devices[path] = FakeDevice(self.recordings[path], path)
        return found

    def plug(self, rig: Rig, recording: Recording, number: int = 0, *, settle: bool = True) -> FakeDevice:
        """Plug it in and wait until it is a client that may move the arm."""
        path = str(self.folder / f"event{number}")
        self.devices.pop(path, None)
        self.recordings[path] = recording
        count = len(rig.status()["input"]["devices"])
        Path(path).write_text(f"{time.monotonic_ns()}")
        until = time.monotonic() + LOOKS_S
        while len(rig.status()["input"]["devices"]) == count:
            assert time.monotonic() < until
            time.sleep(0.05)
        if settle:
            time.sleep(hmi.REPLAY_WINDOW_S + 0.2)
        return self.devices[path]


class Hand:
    """Holds the stick of a pad with a tremor, in a thread; `with Hand(pad, 0.6):`."""

    def __init__(self, device: FakeDevice, x: float) -> None:
        self.device, self.x = device, x
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._hold, daemon=True)

    def _hold(self) -> None:
        step = 0
        while not self._ending.wait(0.02):
            step += 1
            self.device.frame((EV_ABS, 0, round(32767 * (self.x + 0.002 * (step % 2)))))

    def __enter__(self) -> Hand:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self.device.frame((EV_ABS, 0, 0))


@contextlib.contextmanager
def desk_and_rig(folder: Path, state: Path | None = None, **options: Any) -> Iterator[tuple[Desk, Rig]]:
    """A rig that looks for input devices, none of them there yet."""
    folder.mkdir(exist_ok=True)
    desk = Desk(folder)
    with running(folder=state, input=desk.options(**options)) as rig:
        yield desk, rig
