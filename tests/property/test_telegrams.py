"""The stream of the motor bus: nothing valid behind garbage is lost, nothing invalid is taken, each fault counted.

The telegrams come from the tests' own encoder; the core is stepped without a board.
"""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller._core import Core, State
from controller.config import Config
from controller.spec.modes import BusFault, BusState, MasterState
from controller.supervisor import core_settings
from tests import telegrams
from tests.telegrams import Block

AXIS = {"resolution_counts": 4096, "stroke_deg": 360.0, "zero_counts": 0, "inverted": False,
        "hard_minimum_counts": -1500, "hard_maximum_counts": 1500, "deg_per_microstep": 0.01,
        "max_speed_deg_s": 60.0, "max_acceleration_deg_s2": 300.0, "max_jerk_deg_s3": 3000.0,
        "quick_stop_deceleration_deg_s2": 900.0}


class Line:
    """A core on a virtual clock and the other end of its line."""

    def __init__(self, axes: int = 2, silence_ms: float = 1000.0) -> None:
        self.axes = axes
        self.core = Core()
        self.reader = self.core.reader()
        table = core_settings(Config())
        table["silence_ms"] = silence_ms
        self.core.configure(table, [AXIS] * axes)
        self.core.attach(-1)
        self.now_ns = 5_000_000_000
        self.sequence = 0
        self.command = b""

    def step(self, received: bytes = b"") -> State:
        self.command = self.core.step(self.now_ns, received)
        self.now_ns += 1_000_000
        if self.command:
            self.sequence = telegrams.command(self.command, self.axes).sequence
        state = self.reader.next()
        assert state is not None
        return state

    def answer(self, position: int = 0, sequence: int | None = None, **parts: int) -> bytes:
        blocks = [Block(position + i) for i in range(self.axes)]
        return telegrams.state(blocks, self.sequence if sequence is None else sequence, **parts)


def faults(state: State) -> dict[str, int]:
    return {kind.name: state.bus_faults[kind] for kind in BusFault if state.bus_faults[kind]}


@given(st.lists(st.tuples(st.binary(max_size=400), st.integers(-999, 999)), min_size=1, max_size=12), st.integers(1, 8))
def test_every_telegram_behind_garbage_is_found(rounds: list[tuple[bytes, int]], axes: int) -> None:
    line = Line(axes)
    line.step()
    for count, (garbage, position) in enumerate(rounds, 1):
        state = line.step(garbage + line.answer(position))
        assert state.valid_telegrams == count
        assert state.position_counts == tuple(position + i for i in range(axes))


@given(st.lists(st.tuples(st.binary(max_size=60), st.integers(0, 300)), min_size=1, max_size=12), st.integers(1, 4))
def test_a_stream_cut_anywhere_loses_nothing(rounds: list[tuple[bytes, int]], axes: int) -> None:
    """Garbage and an answer, cut at any place: the rest comes a cycle later, then the answer is late and used."""
    line = Line(axes)
    line.step()
    for count, (garbage, wanted) in enumerate(rounds, 1):
        stream = garbage + line.answer(count)
        cut = min(wanted, len(stream) - 1)
        assert line.step(stream[:cut]).valid_telegrams == count - 1
        state = line.step(stream[cut:])
        assert (state.valid_telegrams, state.position_counts[0]) == (count, count)
        assert state.bus_faults[BusFault.LATE] == count


@pytest.mark.parametrize("axes", [1, 4, 8])
def test_byte_by_byte(axes: int) -> None:
    """One byte per cycle: the telegram is complete long after its time, then it is too old; never misread."""
    line = Line(axes)
    line.step()
    data = line.answer(77)
    for byte in data:
        state = line.step(bytes([byte]))
    assert state.valid_telegrams == 0
    assert faults(state) == {"SEQUENCE": 1}
    state = line.step(line.answer(78))
    assert state.valid_telegrams == 1


@given(st.integers(1, 100), st.integers(1, 4))
def test_a_telegram_in_two_pieces_waits_for_the_second(cut: int, axes: int) -> None:
    line = Line(axes)
    line.step()
    data = line.answer(5)
    cut = min(cut, len(data) - 1)
    assert line.step(data[:cut]).valid_telegrams == 0
    state = line.step(data[cut:])       # one period late: used and counted
    assert state.valid_telegrams == 1
    assert state.bus_faults[BusFault.LATE] == 1
    assert state.bus_faults[BusFault.GARBAGE_BYTES] == 0


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_random_bytes_are_never_taken_and_never_harm(seed: int) -> None:
    pick = random.Random(seed)
    line = Line(4)
    line.step()
    for _ in range(20):
        size = pick.choice((0, 1, 100, 400, 5000))
        state = line.step(pick.randbytes(size))
        assert state.valid_telegrams == 0
        assert state.position_counts == (0, 0, 0, 0)
    assert state.bus_state == BusState.STARTING
    assert line.step(line.answer(9)).valid_telegrams == 1


@pytest.mark.parametrize("size", [4096, 4097, 100_000])
def test_a_flood_of_bytes_keeps_the_newest(size: int) -> None:
    line = Line(4)
    line.step()
    answer = line.answer(3)
    state = line.step(random.Random(size).randbytes(size - len(answer)) + answer)
    assert state.valid_telegrams == 1
    assert bool(state.bus_faults[BusFault.OVERFLOW]) == (size > 4096)


def test_a_whole_read_behind_a_partial_telegram_is_no_overflow() -> None:
    line = Line(8)
    line.step()
    partial = line.answer(1)[:-1]
    line.step(partial)
    answer = line.answer(2)
    state = line.step(b"\0" * (4096 - len(answer)) + answer)
    assert state.valid_telegrams == 1
    assert state.bus_faults[BusFault.OVERFLOW] == 0


@given(st.integers(0, 10**9), st.integers(1, 8))
def test_one_flipped_bit_is_always_found(where: int, axes: int) -> None:
    line = Line(axes)
    line.step()
    data = bytearray(line.answer(7))
    where %= len(data) * 8
    data[where // 8] ^= 1 << where % 8
    state = line.step(bytes(data))
    assert state.valid_telegrams == 0
    assert sum(state.bus_faults) > 0
    assert line.step(line.answer(8)).valid_telegrams == 1


def broken(**change: object) -> bytes:
    """A two-axis answer to sequence 1 with correct checksums around a wrong field of axis 2."""
    block = bytearray(Block(4).encode(2))
    for offset, value in change.items():
        at = int(offset[1:])
        block[at:at + len(value)] = value       # type: ignore[arg-type]
    block[0] = telegrams.crc8(bytes(block[1:])) if "b0" not in change else block[0]
    text = Block(4).encode(1) + bytes(block) + bytes((0xF5, 1, 1, 0, 0, 90, 0, 0))
    return text + zlib.crc32(text).to_bytes(4, "little")


@pytest.mark.parametrize(("kind", "change"), [
    ("AXIS_CRC", {"b0": b"\x55"}), ("AXIS_HEADER", {"b1": b"\xfe"}), ("AXIS_NUMBER", {"b2": b"\x03"}),
    ("AXIS_FOOTER", {"b19": b"\xff\xff\xfe"}), ("AXIS_PARITY", {"b3": b"\x80"}), ("VALUE", {"b4": b"\x50"}),
    ("VALUE", {"b4": b"\x2a"}), ("VALUE", {"b13": b"\x00\x00\xc0\x7f"}), ("VALUE", {"b13": b"\x00\x00\x80\xff"})])
def test_saf_9_each_defect_of_a_block_is_counted_by_its_kind(kind: str, change: dict[str, bytes]) -> None:
    line = Line(2)
    line.step()
    state = line.step(broken(**change))
    assert state.valid_telegrams == 0
    found = faults(state)
    assert found.pop(kind) == 1
    assert set(found) == {"GARBAGE_BYTES"}
    assert line.step(line.answer()).valid_telegrams == 1


def test_defects_of_the_trailer() -> None:
    line = Line(2)
    line.step()
    data = line.answer()
    state = line.step(data[:48] + b"\xf4" + data[49:])
    assert state.bus_faults[BusFault.TRAILER_HEADER] == 1
    state = line.step(line.answer())
    assert state.valid_telegrams == 1
    data = line.answer()
    state = line.step(data[:-1] + bytes([data[-1] ^ 1]))
    assert state.bus_faults[BusFault.TRAILER_CRC] == 1


def test_sequences_on_time_late_repeated_old_and_never_asked_for() -> None:
    line = Line(1)
    line.step()
    first = line.answer(1)
    state = line.step(first)                                            # on time
    assert (state.valid_telegrams, faults(state)) == (1, {})
    state = line.step(first)
    assert faults(state) == {"REPEATED": 1, "MISSED": 1}
    late = line.answer(2)
    state = line.step()
    assert faults(state)["MISSED"] == 2
    state = line.step(late)                                             # one period late: used
    assert (state.valid_telegrams, state.position_counts[0]) == (2, 2)
    assert state.feedback_age_ns == 2_000_000
    assert faults(state) == {"REPEATED": 1, "MISSED": 2, "LATE": 1}
    old = line.answer(3)
    line.step(line.answer(4))
    line.step(line.answer(5))
    state = line.step(old)
    assert faults(state)["SEQUENCE"] == 1
    state = line.step(line.answer(6, sequence=line.sequence + 1))       # never asked for
    assert faults(state)["SEQUENCE"] == 2
    assert state.position_counts[0] == 5


def test_reordered_answers_the_newest_counts() -> None:
    line = Line(1)
    line.step()
    older = line.answer(1)
    line.step()
    state = line.step(line.answer(2) + older)
    assert (state.valid_telegrams, state.position_counts[0]) == (1, 2)
    assert faults(state)["SEQUENCE"] == 1


def test_several_telegrams_in_one_cycle_are_all_taken_out() -> None:
    line = Line(1)
    line.step()
    older = line.answer(1)
    line.step()
    state = line.step(older + b"xyz" + line.answer(2))
    assert (state.valid_telegrams, state.position_counts[0]) == (2, 2)
    assert faults(state)["LATE"] == 1


def test_the_sequence_number_wraps() -> None:
    line = Line(1)
    line.step()
    for count in range(1, 700):
        state = line.step(line.answer(count))
        assert state.valid_telegrams == count
    assert faults(state) == {}


@pytest.mark.parametrize("missed", [100, 127, 128, 129, 200, 255, 256, 257, 300])
def test_an_answer_after_a_long_silence_is_taken_at_once(missed: int) -> None:
    line = Line(1)
    line.step()
    line.step(line.answer(1))
    for _ in range(missed):
        line.step()
    state = line.step(line.answer(2))
    assert (state.valid_telegrams, state.position_counts[0]) == (2, 2)
    assert state.bus_faults[BusFault.SEQUENCE] == 0


def test_a_telegram_of_the_old_line_is_not_an_answer_on_the_new_one() -> None:
    line = Line(1)
    line.step()
    stale = line.answer(1)
    line.core.detach()
    line.core.attach(-1)
    state = line.step(stale)
    assert (state.valid_telegrams, state.bus_faults[BusFault.SEQUENCE]) == (0, 1)


def test_silence_is_measured_from_the_last_valid_telegram() -> None:
    line = Line(1, silence_ms=20.0)
    line.step()
    for _ in range(100):
        line.step(line.answer())
    for missed in range(1, 25):
        state = line.step(b"\x55" * 10)     # noise is no sign of life
        assert (state.bus_state == BusState.LOST) == (missed > 20)
    assert state.state == MasterState.ERROR


@given(st.integers(1, 8))
def test_command_telegrams_match_an_independent_encoder(axes: int) -> None:
    line = Line(axes)
    before = None
    for _ in range(20):
        line.step(line.answer() if line.command else b"")
        parts = telegrams.command(line.command, axes)
        assert telegrams.encode_command(parts) == line.command
        assert parts.torques == (0.0,) * axes
        if before is not None:
            assert parts.sequence == (before + 1) & 0xFF
        before = parts.sequence
