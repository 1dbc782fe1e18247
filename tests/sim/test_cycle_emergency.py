"""The emergency stop monitor enumerated: every master state x ENABLE commanded x ENABLE as the board sees it x BUTTON x
CONTACTS, before and after the relay's switching time.

The tables are written from the requirement (ESM-1..7), with two decisions of docs/decisions.md: the board's view of
ENABLE counts for ESM-1 and ESM-5, and 296 takes the commanded ENABLE away in the cycle that raises it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import msgspec
import pytest

from controller._core import State
from controller.config import Config
from controller.spec.modes import CommandKind, MasterState
from tests.telegrams import command
from tests.virtual_arm import VirtualArm, codes, summary

# (commanded, seen, button closed, contacts closed): errors once it has lasted longer than the relay takes
RUNNING: dict[tuple[int, int, int, int], set[int]] = {
    (0, 0, 0, 0): {296},            # ESM-7
    (0, 0, 0, 1): {296, 293},       # ESM-7, ESM-4
    (0, 0, 1, 0): set(),
    (0, 0, 1, 1): {293},            # ESM-4
    (0, 1, 0, 0): {296},            # ESM-7
    (0, 1, 0, 1): {296, 294},       # ESM-7, ESM-5 by the board's view of ENABLE
    (0, 1, 1, 0): set(),
    (0, 1, 1, 1): {293},            # ESM-4: it is not commanded
    (1, 0, 0, 0): {296},            # ESM-7, and ENABLE is gone: no ESM-6
    (1, 0, 0, 1): {296, 293},       # ESM-7, then ESM-4
    (1, 0, 1, 0): {295},            # ESM-6
    (1, 0, 1, 1): set(),
    (1, 1, 0, 0): {296},            # ESM-7
    (1, 1, 0, 1): {296, 294},       # ESM-7, ESM-5
    (1, 1, 1, 0): {295},            # ESM-6
    (1, 1, 1, 1): set(),
}
# (seen, button closed, contacts closed) during the start checks; ENABLE is never commanded in them
START: dict[tuple[int, int, int], set[int]] = {
    (0, 0, 0): {296}, (0, 0, 1): {296, 291, 292}, (0, 1, 0): set(), (0, 1, 1): {291, 292},      # ESM-2, 3, 7
    (1, 0, 0): {296, 290, 292}, (1, 0, 1): {296, 290, 292}, (1, 1, 0): {290, 292}, (1, 1, 1): {290, 292},   # ESM-1
}
# the same in the self-test of the relay path, which takes ENABLE away once the contacts are closed
SELF_TEST: dict[tuple[int, int, int], set[int]] = {
    (0, 0, 0): {296}, (0, 0, 1): {296, 293}, (0, 1, 0): {295, 613}, (0, 1, 1): {293, 614},
    (1, 0, 0): {296}, (1, 0, 1): {296, 294}, (1, 1, 0): {295, 613}, (1, 1, 1): {293, 614},
}
MONITORED = {290, 291, 292, 293, 294, 295, 296, 613, 614}
BEFORE_S, AFTER_S = 0.047, 0.009        # the relay takes 50 ms


class FalseInputs(VirtualArm):
    """A board whose inputs byte says what the test wants."""

    inputs: int | None = None

    def cycle(self) -> State:
        if self.inputs is not None:
            self.received = self._rewritten(self.received)
        return super().cycle()

    def _rewritten(self, data: bytes) -> bytes:
        size = 24 * self.board.axes + 12
        assert len(data) == size
        text = data[:-12] + data[-12:-10] + bytes((self.inputs or 0,)) + data[-9:-4]
        return text + struct.pack("<I", zlib.crc32(text))


def startup() -> FalseInputs:
    arm = FalseInputs(2)
    arm.run(0.003)
    return arm


def off() -> FalseInputs:
    arm = FalseInputs(2)
    arm.waiting()
    return arm


def self_test() -> FalseInputs:
    arm = off()
    arm.push(CommandKind.START)
    arm.cycle()
    return arm


def auto() -> FalseInputs:
    arm = off()
    arm.auto()
    arm.run(0.3)
    return arm


def starting() -> FalseInputs:
    """Power-up after the self-test has passed."""
    arm = auto()
    arm.push(CommandKind.OFF)
    arm.run(0.3)
    arm.push(CommandKind.START)
    arm.cycle()
    return arm


def held() -> FalseInputs:
    arm = auto()
    arm.core.request_stop()
    arm.run(0.3)
    return arm


def moving() -> FalseInputs:
    arm = auto()
    arm.move(80.0, 80.0)
    arm.run(0.5)
    return arm


def stopping() -> FalseInputs:
    arm = moving()
    arm.core.request_stop()
    arm.cycle()
    return arm


def error_held() -> FalseInputs:
    arm = auto()
    arm.board.set_fault("low_battery", mv=1)
    arm.until(lambda s: s.state == MasterState.ERROR)
    arm.run(0.3)
    return arm


def error_off() -> FalseInputs:
    arm = error_held()
    arm.push(CommandKind.OFF)
    arm.run(0.3)
    return arm


# place -> (how to get there, master state, ENABLE commanded)
PLACES: dict[str, tuple[Callable[[], FalseInputs], MasterState, int]] = {
    "startup": (startup, MasterState.STARTUP, 0),
    "waiting, off": (off, MasterState.WAITING, 0),
    "waiting, held": (held, MasterState.WAITING, 1),
    "to auto, self-test": (self_test, MasterState.TRANSITION_TO_AUTO, 1),
    "to auto": (starting, MasterState.TRANSITION_TO_AUTO, 1),
    "auto, standing": (auto, MasterState.AUTO, 1),
    "auto, moving": (moving, MasterState.AUTO, 1),
    "to waiting": (stopping, MasterState.TRANSITION_TO_WAITING, 1),
    "error, off": (error_off, MasterState.ERROR, 0),
    "error, held": (error_held, MasterState.ERROR, 1),
}
INPUTS = [(seen, button, contacts) for seen in (0, 1) for button in (0, 1) for contacts in (0, 1)]


def expected(place: str, commanded: int, seen: int, button: int, contacts: int) -> set[int]:
    if place == "startup":
        return START[seen, button, contacts]
    if place == "to auto, self-test":
        return SELF_TEST[seen, button, contacts]
    return RUNNING[commanded, seen, button, contacts]


def found(state: State) -> set[int]:
    return {code for code, _ in codes(state)} & MONITORED


def test_every_state_and_every_combination_is_there() -> None:
    assert {state for _, state, _ in PLACES.values()} == set(MasterState)
    assert len(RUNNING) == 16
    assert len(START) == len(SELF_TEST) == len(INPUTS) == 8


@pytest.mark.parametrize(("seen", "button", "contacts"), INPUTS)
@pytest.mark.parametrize("place", PLACES)
def test_esm_1_esm_2_esm_3_esm_4_esm_5_esm_6_esm_7_every_combination_in_every_state(
        place: str, seen: int, button: int, contacts: int) -> None:
    make, where, commanded = PLACES[place]
    arm = make()
    state = arm.cycle()
    assert (state.state, state.motor_power) == (where, commanded), summary(state)
    assert not found(state)
    arm.inputs = button | contacts << 1 | seen << 2
    state = arm.run(BEFORE_S)
    assert found(state) == (set() if button else {296}), summary(state)
    errors = expected(place, commanded, seen, button, contacts)
    state = arm.run(AFTER_S)
    assert found(state) == errors, summary(state)
    sent = command(arm.telegram, 2)
    if errors:
        assert state.state == MasterState.ERROR
        assert sent.flags & 3 == 2      # all of category 0: power off, quick stop
        assert state.motor_power == 0
    elif where is not MasterState.ERROR:
        assert state.state != MasterState.ERROR
    arm.inputs = None
    arm.board.clear_faults()
    arm.run(0.3)
    if errors:
        arm.run(5.0)        # the battery's average, in the error states
        arm.push(CommandKind.RESET)
        state = arm.run(0.5)
        # 290..292 need a restart of the program
        assert state.state == (MasterState.ERROR if errors & {290, 291} else MasterState.WAITING), summary(state)
        assert state.motor_power == 0


@pytest.mark.parametrize("welded", [False, True])
def test_esm_4_a_silence_longer_than_the_relay_is_no_open_or_closed_contact(welded: bool) -> None:
    """bus.silence_ms may be longer than safety.relay_switch_ms: timed is what inputs show, not their absence."""
    config = Config(bus=msgspec.structs.replace(Config().bus, silence_ms=400.0))
    arm = VirtualArm(2, config=config, watchdog_ms=5000.0, fallback_ms=10000.0)
    arm.auto()
    arm.run(0.3)
    if welded:
        arm.board.set_fault("welded_relay")
    arm.push(CommandKind.OFF)
    arm.until(lambda s: not s.motor_power)
    arm.board.set_fault("silence", seconds=0.2)     # from before the relay opens until long after
    in_silence = arm.run(0.15)
    assert in_silence.inputs & 0b010        # all that is known is old: closed
    assert codes(in_silence) == set()
    after = arm.run(0.3)
    assert codes(after) == ({(293, 0)} if welded else set())
