"""How long a firmware update waits, and that the line is let go at its end: without a server, on a made-up clock."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from controller.arm import ArmFacts
from controller.bus.board_registers import BoardWrites
from controller.hmi import board_update
from controller.hmi.board_update import BoardUpdate, Image
from controller.hmi.refusal import Refusal
from controller.spec import board as spec
from controller.spec.modes import BusState

IMAGE = Image(b"x" * 1000, "0" * 64, 0)


class Case:
    """An update whose clock is `now_s`, an arm that can be looked at, and the order that is on its way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        clock = SimpleNamespace(monotonic=lambda: self.now_s)
        monkeypatch.setattr(board_update, "time", clock)
        monkeypatch.setattr("controller.bus.board_registers.time", clock)
        self.writes = BoardWrites()
        self.facts = ArmFacts("A", "1.0", ())
        self.power = False
        self.notes: list[str] = []
        core: Any = SimpleNamespace(push=lambda kind, client: 1)
        self.update = BoardUpdate(
            core, self.writes, lambda sequence, done: None, lambda kind, text, **more: self.notes.append(text),
            latest=lambda: SimpleNamespace(bus_state=BusState.CYCLIC, motor_power=self.power),  # type: ignore[arg-type, return-value]
            facts=lambda: self.facts, holder=lambda: "")

    def begin(self) -> Future[None]:
        return self.update.begin(IMAGE, "http://127.0.0.1:3001", "me")

    def ordered(self) -> None:
        self.begin()
        write = self.writes.take()      # as the main thread does
        assert write is not None
        assert self.writes.held
        write.done.set_result(None)
        self.after(0.1)
        assert self.update.state.phase == "OFFERED"

    def after(self, seconds: float) -> str:
        """The phase after so long, a round every second."""
        until = self.now_s + seconds
        while self.now_s < until:
            self.now_s = min(until, self.now_s + 1)
            self.update.tick(self.now_s)
        return self.update.state.phase


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    return Case(monkeypatch)


def test_a_board_that_never_asks_is_given_up(case: Case) -> None:
    case.ordered()
    assert case.after(spec.ASK_S - 1) == "OFFERED"
    assert case.writes.held
    assert case.after(2) == "FAILED"
    assert "registers 8 and 9" in case.update.state.message
    assert not case.writes.held
    assert case.update.download(IMAGE.sha256) is None, "still offered"


def test_a_download_that_stands_still_is_given_up_and_one_that_goes_on_is_not(case: Case) -> None:
    case.ordered()
    begun = case.update.download(IMAGE.sha256)
    assert begun is not None
    for sent in (100, 200, 300):
        assert case.after(spec.STALL_S - 1) == "FETCHING"
        assert case.update.fetched(begun[1], sent)
    assert case.after(spec.STALL_S + 1) == "FAILED"
    assert "300 of 1000 bytes" in case.update.state.message
    assert not case.update.fetched(begun[1], 400), "the server goes on sending"
    assert not case.writes.held


def test_saf_4_the_line_is_let_go_only_after_the_whole_image(case: Case) -> None:
    case.ordered()
    begun = case.update.download(IMAGE.sha256)
    assert begun is not None
    assert case.update.fetched(begun[1], 1000)
    case.update.broke_off(begun[1])     # the connection ends after the last byte: nothing broke off
    assert case.after(spec.SETTLE_S / 2) == "FLASHING"
    assert case.writes.held
    assert case.after(2) == "FLASHING"
    assert not case.writes.held, "the board is not spoken to"
    again = case.update.download(IMAGE.sha256)      # it did not take it and asks again
    assert again is not None
    assert case.writes.held
    assert case.update.fetched(again[1], 1000)
    assert not case.update.fetched(begun[1], 500), "an old download counts"
    assert case.after(spec.FLASH_S - 1) == "FLASHING"
    assert case.after(2) == "FAILED"
    assert "leave it powered" in case.update.state.message


def test_a_board_that_asks_for_ever_is_given_up(case: Case) -> None:
    case.ordered()
    for number in range(spec.DOWNLOADS_HIGHEST):
        begun = case.update.download(IMAGE.sha256)
        assert begun is not None
        assert begun[1] == number + 1
        case.update.broke_off(begun[1])
    assert case.update.download(IMAGE.sha256) is None
    assert case.update.state.phase == "FAILED"


def test_only_the_image_that_is_offered(case: Case) -> None:
    assert case.update.download(IMAGE.sha256) is None
    case.ordered()
    assert case.update.download("1" * 64) is None
    assert case.update.download("") is None
    assert case.update.state.downloads == 0


def test_an_order_that_fails_or_is_not_answered_ends_the_offer(case: Case) -> None:
    case.begin()
    write = case.writes.take()
    assert write is not None
    write.done.set_exception(RuntimeError("register 6 was not confirmed"))
    assert case.after(0.1) == "FAILED"
    assert case.update.state.message == "register 6 was not confirmed"
    assert not case.writes.held
    case.begin()
    assert case.after(spec.ORDER_S + 1) == "FAILED"
    assert not case.writes.held
    assert not case.writes.waiting, "the order is written after all"


def test_an_hmi_that_hangs_holds_the_line_for_some_seconds_only(case: Case) -> None:
    case.ordered()
    case.now_s += board_update.HOLD_S + 0.1
    assert not case.writes.held


def test_an_arm_that_comes_back_too_early_ends_the_offer(case: Case) -> None:
    case.ordered()
    case.update.arm_is_back(case.facts)
    assert case.update.state.phase == "FAILED"
    assert case.update.download(IMAGE.sha256) is None


def test_saf_9_nothing_begins_with_motor_power_on(case: Case) -> None:
    case.power = True
    with pytest.raises(Refusal, match="motor power is on"):
        case.begin()
    assert case.writes.take() is None
    assert not case.writes.held
