"""External development and the board's text registers at the handlers: who may, when, and what is never shown."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest
from test_hmi_handlers import Bench, notice

from controller.bus.base import BusError
from controller.bus.board_registers import BoardWrites
from controller.hmi import messages
from controller.hmi.clients import Refused
from controller.hmi.results import refusal
from controller.spec.board import BOARD_TEXTS
from controller.spec.hmi import Notice, Role
from controller.spec.modes import BusState, CommandKind

SECRET = "swordfish-0815"


@pytest.fixture
def bench() -> Bench:
    found = Bench()
    found.state.bus_state = int(BusState.CYCLIC)
    return found


def writes(bench: Bench) -> BoardWrites:
    return bench.handlers._board_writes


def ask(bench: Bench, **fields: Any) -> Future[None]:
    (answer,) = bench.ask("board_registers", **fields)
    assert isinstance(answer, Future)
    return answer


@pytest.mark.parametrize("message", [{"10": 8}, {"10": "8"}])
def test_mode_8_admits_a_program(bench: Bench, message: object) -> None:
    bench.say(message)
    assert (bench.last[0], bench.last[1]["client"]) == (CommandKind.EXTERNAL, 1)
    assert bench.control.holder is bench.one
    assert notice(lambda: bench.say(message, bench.two))[0] is Notice.CONTROL


def test_mode_9_is_nothing_to_ask_for(bench: Bench) -> None:
    assert notice(lambda: bench.say({"10": 9}))[:2] == (Notice.VALUE, "10")
    assert bench.ring.pushed == []


@pytest.mark.parametrize("call", [lambda b: b.say({"10": 8}),
                                  lambda b: b.ask("board_registers", wifi_password=SECRET)])
@pytest.mark.parametrize("role", [Role.BASE, Role.ADVANCED])
def test_only_administrators(bench: Bench, call: Any, role: Role) -> None:
    bench.one.role = role
    assert notice(lambda: call(bench))[0] is Notice.ROLE
    bench.one.role = Role.ADMINISTRATOR
    bench.one.connected_s = 9.5     # a click that was made while the link was down
    assert notice(lambda: call(bench))[0] is Notice.REPLAY
    assert bench.ring.pushed == []


def test_the_loop_is_asked_for_the_line_and_the_main_thread_for_the_rest(bench: Bench) -> None:
    answer = ask(bench, wifi_password=SECRET, wifi_ssid="ward", board_update="1;http://x/y")
    assert bench.last == (CommandKind.RELEASE_LINE, {"client": 1})
    write = writes(bench).take()
    assert write is not None
    assert list(write.texts.items()) == [(8, "ward"), (9, SECRET), (6, "1;http://x/y")], "the update comes last"
    bench.verdicts[1](None)
    assert not answer.done()
    write.done.set_result(None)
    assert answer.result(0) is None


@pytest.mark.parametrize("change", [{"motor_power": 1}, {"bus_state": int(BusState.LOST)}])
def test_blocked_with_power_or_without_an_arm(bench: Bench, change: dict[str, int]) -> None:
    for name, value in change.items():
        setattr(bench.state, name, value)
    assert notice(lambda: ask(bench, wifi_password=SECRET))[0] is Notice.BLOCKED
    assert bench.ring.pushed == []
    assert writes(bench).take() is None


def test_another_client_s_control_and_a_second_write_are_respected(bench: Bench) -> None:
    bench.control.take(bench.two, 10.0)
    assert notice(lambda: ask(bench, wifi_ssid="x"))[0] is Notice.CONTROL
    bench.control.release(bench.two)
    ask(bench, wifi_ssid="x")
    assert notice(lambda: ask(bench, wifi_ssid="y"))[0] is Notice.BUSY
    write = writes(bench).take()
    assert write is not None
    assert write.texts == {8: "x"}


def test_a_full_ring_or_a_refusal_of_the_loop_leaves_nothing_behind(bench: Bench) -> None:
    bench.ring.full = True
    assert notice(lambda: ask(bench, wifi_ssid="x"))[0] is Notice.BUSY
    assert writes(bench).take() is None
    bench.ring.full = False
    answer = ask(bench, wifi_ssid="x")
    bench.verdicts[1](refusal(CommandKind.RELEASE_LINE, "motor power is on"))
    with pytest.raises(Refused, match="motor power is on"):
        answer.result(0)
    assert writes(bench).take() is None


def test_a_failure_of_the_line_is_the_answer(bench: Bench) -> None:
    answer = ask(bench, wifi_ssid="x")
    writes(bench).fail(BusError("register 8: no answer"))
    with pytest.raises(Refused, match="register 8: no answer") as refused:
        answer.result(0)
    assert refused.value.notice is Notice.REFUSED
    bench.verdicts[1](refusal(None, "too late"))      # the line was lost at the same time: answered once


def test_an_update_goes_to_a_drive_that_is_there(bench: Bench) -> None:
    assert notice(lambda: ask(bench, board_update="5;http://x/y"))[:2] == (Notice.VALUE, "board_update")
    ask(bench, board_update="4;http://x/y")


def test_nothing_that_holds_a_secret_shows_it() -> None:
    message = messages.parse({"type": "board_registers", "wifi_password": SECRET, "board_update": f"0;http://{SECRET}"})
    assert SECRET not in repr(message)
    offered = BoardWrites().offer({"wifi_password": SECRET})
    assert SECRET not in repr(offered)
    assert offered is not None
    assert offered.names == "wifi_password"
    for name in BOARD_TEXTS:
        for value in (SECRET + "*", [SECRET], {SECRET: SECRET}, SECRET + "é", SECRET * 99):
            with pytest.raises(Refused) as refused:
                messages.parse({"type": "board_registers", name: value})
            assert refused.value.field.startswith(name)
            assert SECRET not in f"{refused.value} {refused.value.as_error()}"
