"""Text registers on their way to the board: what the line carries, what is confirmed, what the supervisor tells."""

from __future__ import annotations

import logging
from concurrent.futures import Future

import pytest
from test_bring_up import FakeLine, make  # noqa: F401
from test_supervisor import World, world  # noqa: F401

from controller.bus.base import BusError
from controller.bus.board_registers import BoardWrites
from controller.bus.serial import SerialBus
from controller.spec import registers as reg
from controller.spec.board import BOARD_TEXTS

SECRET = "swordfish-0815"


def built(make) -> tuple[SerialBus, FakeLine]:  # noqa: F811
    return make()


@pytest.mark.parametrize(("address", "text"), [
    (reg.WIFI_SSID, "a"), (reg.WIFI_SSID, "x" * 32), (reg.WIFI_PASSWORD, ""), (reg.WIFI_PASSWORD, "p" * 63),
    (reg.WIFI_PASSWORD, "#8:0::##"), (reg.BOARD_UPDATE, "0;http://" + "u" * 190),
])
def test_the_longest_and_the_strangest_texts_arrive(make, address: int, text: str) -> None:  # noqa: F811
    bus, line = built(make)
    bus.write_text(address, text)
    assert line.board.register(address) == text
    assert bus.malformed_lines == 0
    assert len(line.sent) == 1


def test_a_confirmation_with_another_text_is_asked_for_again(make) -> None:  # noqa: F811
    bus, line = built(make)
    line.board.set_fault("bit_flipped", count=1)
    bus.write_text(reg.WIFI_PASSWORD, SECRET)
    assert line.board.register(reg.WIFI_PASSWORD) == SECRET
    assert len(line.sent) >= 2


@pytest.mark.parametrize("fault", ["silence", "bit_flipped"])
def test_no_confirmation_is_an_error_without_the_text(make, fault: str) -> None:  # noqa: F811
    bus, line = built(make)
    line.board.set_fault(fault)
    with pytest.raises(BusError, match="register 9") as error:
        bus.write_text(reg.WIFI_PASSWORD, SECRET)
    assert SECRET not in str(error.value)


# -- the supervisor

def with_writes(world: World, texts: dict[str, str]) -> tuple[Future[None], list[tuple[int, str]]]:  # noqa: F811
    """A supervisor that is connected, and texts that wait; what the fake bus is given."""
    written: list[tuple[int, str]] = []
    world.write_text = lambda address, text, cancelled: written.append((address, text))
    world.supervisor._writes = writes = BoardWrites()
    world.tick()
    write = writes.offer(texts)
    assert write is not None
    return write.done, written


def test_they_are_written_at_the_next_bring_up_before_anything_is_read(
        world: World, caplog: pytest.LogCaptureFixture) -> None:  # noqa: F811
    done, written = with_writes(world, {"wifi_password": SECRET, "wifi_ssid": "ward"})
    world.tick(1.0)
    assert not done.done(), "not while the line is in use"
    world.core.released = True      # the control thread has given the line back
    world.fail = None
    with caplog.at_level(logging.INFO):
        world.tick()
        world.tick(3.0)
    assert written == [(8, "ward"), (9, SECRET)]
    assert done.result(0) is None
    assert world.supervisor.connected
    assert "registers of the board written: wifi_ssid, wifi_password" in caplog.text
    assert SECRET not in caplog.text


def test_what_the_board_does_not_take_is_told_and_the_arm_comes_back(
        world: World, caplog: pytest.LogCaptureFixture) -> None:  # noqa: F811
    done, _ = with_writes(world, {"wifi_password": SECRET})
    world.core.released = True

    def refuse(address: int, text: str, cancelled: object) -> None:
        raise BusError("register 9 (wifi_password): no answer")

    world.write_text = refuse
    world.tick()
    world.tick(3.0)
    with pytest.raises(BusError, match="no answer"):
        done.result(0)
    assert not world.supervisor.connected
    world.tick(3.0)
    assert world.supervisor.connected, "it is not written again"
    assert SECRET not in caplog.text


def test_without_a_line_they_are_not_kept_for_later(world: World) -> None:  # noqa: F811
    done, written = with_writes(world, {"wifi_ssid": "ward"})
    world.core.released = True

    def unplugged() -> None:
        raise BusError("cannot open /dev/arm")

    world.open = unplugged
    world.open_lines += 1       # the fake counts every close
    world.tick()
    world.tick(3.0)
    with pytest.raises(BusError, match="nothing was written: cannot open"):
        done.result(0)
    assert written == []


def test_every_row_is_an_administrators_register() -> None:
    assert list(BOARD_TEXTS) == ["wifi_ssid", "wifi_password", "board_update"]
    for row in BOARD_TEXTS.values():
        register, _ = reg.at(row.address)
        assert (register.source, register.role, register.type) == ("HMI", "administrator", "string")
