"""The threads that find and read input devices: plugged, pulled, flooding, hanging, refused."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.input.device import Source
from controller.input.finder import Finder
from controller.input.reader import READ_BYTES, Reader
from controller.spec.input import EV_ABS, EV_SYN, READ_S, READER_SILENT_S, SYN_DROPPED, SYN_REPORT
from tests.input.recording import FakeDevice, Recording, load, record

PAD, SPACE = load("pad_left_stick"), load("space_x")


def wait_for(condition: Callable[[], object], seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


class Rig:
    """A reader with its wake-ups counted."""

    def __init__(self) -> None:
        self.wakes: list[bool] = []
        self.lost: list[str] = []
        self.reader = Reader(self.wakes.append)
        self.reader.lost = self.lost.append
        self.reader.start()

    def add(self, recording: Recording = PAD, path: str = "/dev/input/event0") -> FakeDevice:
        device = FakeDevice(recording, path)
        count = len(self.reader.views)
        self.reader.add(device)
        wait_for(lambda: len(self.reader.views) > count)
        return device

    def x(self, place: int = 0) -> float:
        return self.reader.views[place].deflection[0]


@pytest.fixture
def rig() -> Iterator[Rig]:
    found = Rig()
    yield found
    found.reader.close()
    assert not found.reader._thread.is_alive()


def test_what_a_device_says_is_seen_and_told(rig: Rig) -> None:
    device = rig.add()
    before = len(rig.wakes)
    device.frame((EV_ABS, 0, 32767))
    wait_for(lambda: rig.x() == 1.0)
    wait_for(lambda: len(rig.wakes) > before)
    assert not any(rig.wakes)
    device.press(device.description.stop_button)
    wait_for(lambda: any(rig.wakes))    # a stop is urgent
    assert rig.reader.views[0].stop_presses == 1


def test_a_deflected_device_shows_at_once_how_it_stands(rig: Rig) -> None:
    device = FakeDevice(PAD)
    device.now[0] = 32767
    rig.reader.add(device)
    wait_for(lambda: rig.reader.views)
    assert rig.x() == 1.0


def test_an_unplugged_device_is_gone_and_closed(rig: Rig) -> None:
    device, other = rig.add(), rig.add(SPACE, "/dev/input/event1")
    device.frame((EV_ABS, 0, 32767))
    wait_for(lambda: rig.x() == 1.0)
    device.pull()
    wait_for(lambda: len(rig.reader.views) == 1)
    assert rig.reader.views[0].description.path == other.description.path
    wait_for(lambda: rig.lost == ["/dev/input/event0"])
    assert device.closed
    again = rig.add(path="/dev/input/event0")
    assert len({view.number for view in rig.reader.views}) == 2
    again.frame((EV_ABS, 0, -32768))
    wait_for(lambda: rig.x(1) == -1.0)


def test_enodev_is_an_unplugged_device(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel really answers."""
    device = rig.add()
    real = os.read

    def read(fd: int, size: int) -> bytes:
        if fd == device.fd:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return real(fd, size)

    monkeypatch.setattr(os, "read", read)
    device.frame((EV_ABS, 0, 32767))
    wait_for(lambda: not rig.reader.views)
    assert device.closed


def test_a_device_that_goes_while_it_is_asked_is_gone(rig: Rig) -> None:
    device = FakeDevice(PAD)
    device.pull()
    rig.reader.add(device)
    wait_for(lambda: rig.lost)
    assert rig.reader.views == ()


def test_a_flood_is_read_no_more_often(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """8000 reports a second and more, for a second: bounded reads of bounded size, and another device is heard."""
    reads: dict[int, list[int]] = {}
    real = os.read

    def read(fd: int, size: int) -> bytes:
        data = real(fd, size)
        reads.setdefault(fd, []).append(len(data))
        return data

    device, other = rig.add(), rig.add(SPACE, "/dev/input/event1")
    monkeypatch.setattr(os, "read", read)
    wakes, start_s, sent = len(rig.wakes), time.monotonic(), 0
    while time.monotonic() - start_s < 1.0:
        now_s = time.monotonic()
        device.send(b"".join(record(now_s, EV_ABS, 0, 1000 + 100 * (i % 2)) + record(now_s, EV_SYN, SYN_REPORT, 0)
                             for i in range(40)))
        sent += 40
        if sent == 400:
            other.press(other.description.mode_button)
        time.sleep(0.0005)
    elapsed_s = time.monotonic() - start_s
    assert sent > 4000
    assert len(reads[device.fd]) <= elapsed_s / READ_S + 2
    assert max(reads[device.fd]) <= READ_BYTES
    assert len(rig.wakes) - wakes <= elapsed_s / READ_S + 4
    wait_for(lambda: rig.reader.views[1].mode_presses == 1)
    assert rig.reader.views[0].faults == 0


def test_lost_events_are_asked_for_again(rig: Rig) -> None:
    device = rig.add()
    device.frame((EV_ABS, 0, 32767))
    wait_for(lambda: rig.x() == 1.0)
    device.now[0] = -32768
    device.drop()
    wait_for(lambda: rig.x() == -1.0)
    assert rig.reader.views[0].faults == 1


def test_a_device_that_hangs_shows_by_the_age_of_what_was_read(rig: Rig) -> None:
    device = rig.add()
    device.frame((EV_ABS, 0, 32767))
    wait_for(lambda: rig.x() == 1.0)
    device.hang_s = 1.0
    now_s = time.monotonic()
    device.send(record(now_s, EV_SYN, SYN_DROPPED, 0) + record(now_s, EV_SYN, SYN_REPORT, 0))
    wait_for(lambda: time.monotonic() - rig.reader.alive_s > READER_SILENT_S)
    device.hang_s = 0.0
    wait_for(lambda: time.monotonic() - rig.reader.alive_s < READER_SILENT_S)


def test_a_fault_of_ours_costs_one_device_only(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    device, other = rig.add(), rig.add(SPACE, "/dev/input/event1")
    rig.reader._open[device.fd][1]._places = None  # type: ignore[assignment]
    device.frame((EV_ABS, 0, 32767))
    wait_for(lambda: len(rig.reader.views) == 1)
    assert device.closed
    other.press(other.description.mode_button)
    wait_for(lambda: rig.reader.views[0].mode_presses == 1)
    monkeypatch.setattr(rig.reader, "_take_new", lambda *_: 1 // 0)
    other.press(other.description.mode_button)
    wait_for(lambda: rig.reader.problem)
    assert rig.reader.views == ()       # nothing that nobody reads is held
    assert other.closed


def test_a_device_in_use_is_looked_at_often_enough(rig: Rig) -> None:
    """Held still: nothing comes, and yet what was read last stays young."""
    device = rig.add()
    device.frame((EV_ABS, 0, 32767))
    wait_for(lambda: rig.x() == 1.0)
    rig.reader._open[device.fd][1].heard_s -= 60.0
    seen = set()
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        seen.add(rig.reader.alive_s)
        time.sleep(0.005)
    assert len(seen) > 12       # about 40, four where it waits for events only


# -- the finder


class Folder:
    """A folder of event devices, and what opening each does."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.errors: dict[str, OSError] = {}
        self.recordings: dict[str, Recording] = {}
        self.opened: list[str] = []
        self.found: list[Source] = []
        self.hang = threading.Event()

    def plug(self, number: int, recording: Recording = PAD, error: int = 0) -> Path:
        path = self.path / f"event{number}"
        path.write_text(f"{time.monotonic_ns()}")
        self.recordings[str(path)] = recording
        self.errors.pop(str(path), None)
        if error:
            self.errors[str(path)] = OSError(error, os.strerror(error))
        return path

    def open(self, path: str) -> Source:
        self.opened.append(path)
        if path in self.errors:
            raise self.errors[path]
        return FakeDevice(self.recordings[path], path)

    def finder(self, *patterns: str) -> Finder:
        return Finder(patterns, self.found.append, folder=self.path, open_source=self.open)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def names(sources: list[Source]) -> list[str]:
    return [os.path.basename(source.description.path) for source in sources]


def test_devices_are_found_once_and_again_after_they_were_gone(folder: Folder) -> None:
    finder = folder.finder()
    finder.look()
    (folder.path / "mouse0").write_text("")
    first = folder.plug(3)
    finder.look()
    finder.look()
    assert names(folder.found) == ["event3"]
    assert folder.opened == [str(first)]
    folder.plug(10, SPACE)
    finder.look()
    assert names(folder.found) == ["event3", "event10"]
    first.unlink()
    finder.look()
    folder.plug(3)
    finder.look()
    assert names(folder.found) == ["event3", "event10", "event3"]
    finder.forget(str(first))       # a broken read: it is still there
    finder.look()
    assert names(folder.found)[-1] == "event3"
    assert len(folder.found) == 4


def test_what_is_not_wanted_is_closed_and_not_opened_again(folder: Folder) -> None:
    finder = folder.finder("046d:c626")
    path = folder.plug(1)
    folder.plug(2, SPACE)
    for _ in range(3):
        finder.look()
    assert names(folder.found) == ["event2"]
    assert folder.opened.count(str(path)) == 1


@pytest.mark.parametrize(("error", "words"), [(errno.EACCES, ["event1", "group input"]), (errno.EBUSY, [
    "another program"]), (errno.EIO, ["event1"])])
def test_why_a_device_cannot_be_opened_is_told_until_it_can(folder: Folder, error: int, words: list[str]) -> None:
    finder = folder.finder()
    folder.plug(1, error=error)
    folder.plug(2, SPACE)
    finder.look()
    assert all(word in finder.problem for word in words)
    assert names(folder.found) == ["event2"]
    folder.errors.clear()       # udev sets the rights a moment later
    finder.look()
    assert finder.problem == ""
    assert names(folder.found) == ["event2", "event1"]
    folder.plug(4, error=error)
    finder.look()
    (folder.path / "event4").unlink()
    finder.look()
    assert finder.problem == ""


def test_only_what_is_wanted_is_held_and_a_busy_one_is_waited_for(folder: Folder) -> None:
    busy = True
    opened: list[FakeDevice] = []

    def open_source(path: str) -> Source:
        device = folder.open(path)
        assert isinstance(device, FakeDevice)
        device.busy = busy
        opened.append(device)
        return device

    folder.plug(1)
    folder.plug(2, SPACE)
    finder = Finder(("045e:*",), folder.found.append, folder=folder.path, open_source=open_source)
    finder.look()
    assert folder.found == []       # a pattern of numbers has no *
    finder = Finder(("045e:028e",), folder.found.append, folder=folder.path, open_source=open_source)
    finder.look()
    assert "event1: another program has it" in finder.problem
    assert "event2" not in finder.problem       # not wanted: it may be anybody's
    assert all(device.closed for device in opened)
    busy = False
    finder.look()
    assert names(folder.found) == ["event1"]
    assert [device.held for device in opened[-1:]] == [True]


def test_without_a_folder_nothing_is_found(tmp_path: Path) -> None:
    finder = Folder(tmp_path / "none").finder()
    finder.look()
    assert finder.problem == ""


def test_a_device_that_hangs_when_it_is_opened_does_not_hold_up_the_others(folder: Folder,
                                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """It hangs in the finding thread, which says so; what is open already goes on being read."""
    from controller.input import finder as module

    monkeypatch.setattr(module, "LOOK_S", 0.02)
    monkeypatch.setattr(module, "HANGS_S", 0.1)
    rig = Rig()
    hang = threading.Event()

    def open_source(path: str) -> Source:
        if path.endswith("event2"):
            hang.wait(10)
        return folder.open(path)

    folder.plug(1)
    finder = Finder((), rig.reader.add, folder=folder.path, open_source=open_source)
    finder.start()
    try:
        wait_for(lambda: rig.reader.views)
        device = next(source for source, _ in rig.reader._open.values())
        assert isinstance(device, FakeDevice)
        folder.plug(2, SPACE)
        wait_for(lambda: "event2 does not answer" in finder.problem)
        device.frame((EV_ABS, 0, 32767))
        wait_for(lambda: rig.x() == 1.0)
        hang.set()
        wait_for(lambda: len(rig.reader.views) == 2)
        assert finder.problem == ""
    finally:
        hang.set()
        finder.close()
        rig.reader.close()


def test_a_fault_of_a_driver_does_not_end_the_search(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    from controller.input import finder as module

    monkeypatch.setattr(module, "LOOK_S", 0.02)
    tries: list[str] = []

    def open_source(path: str) -> Source:
        tries.append(path)
        if len(tries) < 3:
            raise RuntimeError("driver")
        return folder.open(path)

    folder.plug(1)
    finder = Finder((), folder.found.append, folder=folder.path, open_source=open_source)
    finder.start()
    wait_for(lambda: folder.found)
    finder.close()
