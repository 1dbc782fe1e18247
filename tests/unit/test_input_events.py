"""Bytes of an input device -> what its axes say: whole reports, lost events, garbage, what a device is."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.input.device import Description, describe
from controller.input.events import Tracker
from controller.spec.input import (
    EV_ABS,
    EV_KEY,
    EV_REL,
    EV_SYN,
    GAME_PAD,
    OTHER,
    PROP_ACCELEROMETER,
    SPACE_MOUSE,
    SYN_DROPPED,
    SYN_REPORT,
)
from tests.input.recording import load, record

PAD, SPACE = load("pad_left_stick"), load("space_x")
REPORT = (EV_SYN, SYN_REPORT, 0)


class Stream:
    """A Tracker and its clock."""

    def __init__(self, description: Description) -> None:
        self.now: dict[int, int] = {}
        self.now_s = 100.0
        self.tracker = Tracker(1, description, lambda: self.now, self.now_s)

    def __call__(self, *events: tuple[int, int, int]) -> None:
        self.bytes(b"".join(record(self.now_s, *event) for event in events))

    def bytes(self, data: bytes) -> None:
        self.tracker.take(data, self.now_s)

    def __getitem__(self, name: str) -> float:
        view = self.tracker.view()
        return view.deflection[[axis.name for axis in view.description.axes].index(name)]


@pytest.fixture
def pad() -> Stream:
    return Stream(PAD.description)


@pytest.fixture
def space() -> Stream:
    return Stream(SPACE.description)


def test_a_report_acts_when_it_is_complete(pad: Stream) -> None:
    pad((EV_ABS, 0, 32767), (EV_ABS, 1, -32768))
    assert (pad["x"], pad["y"]) == pytest.approx((0.0, 0.0), abs=1e-4)
    pad(REPORT)
    assert (pad["x"], pad["y"]) == (1.0, -1.0)


def test_half_events_wait_for_their_other_half(pad: Stream) -> None:
    data = b"".join(record(pad.now_s, *event) for event in ((EV_ABS, 0, 16384), REPORT))
    for i in range(len(data)):
        assert pad["x"] == pytest.approx(0.0, abs=1e-4)
        pad.bytes(data[i:i + 1])
    assert pad["x"] == pytest.approx(0.5, abs=1e-3)
    assert pad.tracker.view().faults == 0


def test_the_kernel_leaves_zeros_out(space: Stream) -> None:
    """The cap goes from the right to the front: x is told no more, and is at rest."""
    space((EV_REL, 0, 175), REPORT)
    space((EV_REL, 4, 70), REPORT)
    assert (space["x"], space["ry"]) == (0.5, 0.2)      # the rotation has reports of its own
    space((EV_REL, 1, 350), REPORT)
    assert (space["x"], space["y"], space["ry"]) == (0.0, 1.0, 0.2)


def test_lost_events_are_a_fault_and_the_axes_are_asked_for_again(pad: Stream) -> None:
    pad((EV_ABS, 0, 32767), REPORT)
    pad.now = {0: -32768}
    pad((EV_SYN, SYN_DROPPED, 0), (EV_ABS, 0, 20000))
    assert pad.tracker.view().faults == 1
    pad((EV_ABS, 1, 20000), REPORT)     # belongs to what was lost
    assert (pad["x"], pad["y"]) == pytest.approx((-1.0, 0.0), abs=1e-4)
    pad((EV_ABS, 1, 32767), REPORT)
    assert pad["y"] == 1.0


def test_lost_events_make_a_relative_axis_zero(space: Stream) -> None:
    space((EV_REL, 0, 350), REPORT)
    space((EV_SYN, SYN_DROPPED, 0), REPORT)
    assert space["x"] == 0.0
    assert space.tracker.view().fault == "events were lost"


def test_buttons_count_presses_only() -> None:
    stream = Stream(SPACE.description)
    for value in (1, 2, 2, 0, 1, 0):    # 2 is the keyboard's repeat
        stream((EV_KEY, 0x101, value), REPORT)
    stream((EV_KEY, 0x100, 1), REPORT)
    stream((EV_KEY, 0x105, 1), REPORT)
    view = stream.tracker.view()
    assert (view.mode_presses, view.stop_presses) == (2, 1)


@pytest.mark.parametrize(("event", "why"), [
    ((0x4141, 0x4141, 0x41414141), "speak"), ((EV_ABS, 0, 2**31 - 1), "no sense"), ((EV_ABS, 0, -2**31), "no sense")])
def test_what_makes_no_sense_is_a_fault(pad: Stream, event: tuple[int, int, int], why: str) -> None:
    pad(event, REPORT)
    assert pad["x"] == pytest.approx(0.0, abs=1e-4)
    view = pad.tracker.view()
    assert (view.faults, why in view.fault) == (1, True)


def test_an_event_without_a_date_is_none(pad: Stream) -> None:
    """A stream that lost a byte: the dates show it, and nothing of it acts."""
    data = b"".join(record(pad.now_s, *event) for event in ((EV_ABS, 0, 32767), REPORT) * 3)
    pad.bytes(data[1:])
    assert pad["x"] == pytest.approx(0.0, abs=1e-4)
    assert pad.tracker.view().faults > 0


def test_values_outside_the_range_are_its_ends(pad: Stream) -> None:
    pad((EV_ABS, 0, 40000), (EV_ABS, 1, -40000), (EV_ABS, 2, 300), REPORT)
    assert (pad["x"], pad["y"], pad["z"]) == (1.0, -1.0, 1.0)


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_no_bytes_break_it_or_leave_the_range(chunks: list[bytes]) -> None:
    for description in (PAD.description, SPACE.description):
        stream = Stream(description)
        for chunk in chunks:
            stream.bytes(chunk)
        assert all(-1.0 <= found <= 1.0 for found in stream.tracker.view().deflection)
        assert len(stream.tracker._rest) < 24


def test_an_old_event_keeps_its_date(pad: Stream) -> None:
    pad.tracker.take(b"".join(record(pad.now_s - 5.0, *event) for event in ((EV_ABS, 0, 9000), REPORT)), pad.now_s)
    view = pad.tracker.view()
    assert view.told_s[0] == view.heard_s == pytest.approx(pad.now_s - 5.0, abs=1e-5)


def test_what_devices_are() -> None:
    six_rel, six_abs = list(range(6)), dict.fromkeys(range(6), (-350, 350, 0))
    sticks = dict.fromkeys((0, 1, 2, 3, 4, 5), (0, 255, 15))
    usb = 0x03

    def kind(name: str, vendor: int, product: int, **codes: object) -> str:
        return describe("", name, (usb, vendor, product), **codes).kind  # type: ignore[arg-type]

    assert SPACE.description.kind == SPACE_MOUSE
    assert PAD.description.kind == GAME_PAD
    assert kind("3Dconnexion SpaceMouse Wireless", 0x256F, 0xC62F, absolute=six_abs, keys=[0x100, 0x101]) == SPACE_MOUSE
    assert kind("Sony DualSense", 0x054C, 0x0CE6, absolute=sticks, keys=[0x130]) == GAME_PAD
    assert kind("Logitech Extreme 3D", 0x046D, 0xC215, absolute={0: (0, 1023, 63), 1: (0, 1023, 63)},
                keys=[0x120]) == GAME_PAD
    # what must never move an arm without being named
    assert kind("Mouse", 0x046D, 0xC077, relative=[0, 1, 8], keys=[0x110, 0x111]) == OTHER
    assert kind("Keyboard", 0x046D, 0xC31C, keys=list(range(1, 120))) == OTHER
    assert kind("Touchpad", 0x054C, 0x0CE6, absolute={0: (0, 1919, 0), 1: (0, 1079, 0)}, keys=[0x110, 0x14A]) == OTHER
    motion = describe("", "DualSense Motion Sensors", (usb, 0x054C, 0x0CE6),
                      absolute=dict.fromkeys(range(6), (-32768, 32767, 0)), properties=[PROP_ACCELEROMETER])
    assert (motion.kind, motion.axes, motion.matches(["*Motion*"])) == (OTHER, (), False)
    assert describe("", "six", (usb, 1, 2), relative=six_rel).kind == SPACE_MOUSE


def test_triggers_go_one_way_and_rest_at_their_end() -> None:
    axes = {axis.name: axis for axis in PAD.description.axes}
    assert [name for name, axis in axes.items() if axis.one_sided] == ["z", "rz"]
    assert axes["z"].deflection(0) == 0.0
    mouse = describe("", "SpaceMouse", (3, 0x256F, 0xC62F), absolute=dict.fromkeys(range(6), (-350, 350, 0)))
    assert not any(axis.one_sided for axis in mouse.axes)
    old = describe("", "old pad", (3, 1, 2), absolute=dict.fromkeys((0, 1, 2, 5), (0, 255, 0)), keys=[0x130])
    assert not any(axis.one_sided for axis in old.axes)     # its right stick is z and rz: at rest in the middle
    assert {axis.deflection(127.5) for axis in old.axes} == {0.0}


def test_which_device_a_pattern_names() -> None:
    assert SPACE.description.matches([])
    assert SPACE.description.matches(["046d:c626"])
    assert SPACE.description.matches(["046D:C626"])
    assert SPACE.description.matches(["3Dconnexion*"])
    assert not SPACE.description.matches(["045e:028e", "Microsoft*"])
    mouse = describe("", "Mouse", (3, 1, 2), relative=[0, 1], keys=[0x110])
    assert not mouse.matches([])
    assert mouse.matches(["Mouse"])


def test_buttons_of_devices() -> None:
    assert (SPACE.description.mode_button, SPACE.description.stop_button) == (0x101, 0x100)
    assert (PAD.description.mode_button, PAD.description.stop_button) == (0x137, 0x136)


def test_recordings_are_what_their_writer_writes(tmp_path, monkeypatch) -> None:
    from tests.input import recording, write_recordings

    monkeypatch.setattr(write_recordings, "FOLDER", tmp_path)
    random.seed(5)
    write_recordings.main()
    for path in tmp_path.iterdir():
        assert path.read_text() == (recording.FOLDER / path.name).read_text()
