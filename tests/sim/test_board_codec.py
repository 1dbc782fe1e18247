"""The cyclic phase of the simulated board, byte for byte, and how it finds telegrams in a stream."""

import math
import struct
import zlib

import pytest
from board_line import (
    ABS,
    CLEAR,
    HOLD_AUTO,
    MICROSTEPS,
    MS,
    NONE,
    OFF,
    Line,
    command,
    crc8,
    crc32,
    decode,
)
from hypothesis import given, settings
from hypothesis import strategies as st

QUIET = {"noise_counts": 0.0, "gravity_scale": 0.0, "idle_drain_mv_s": 0.0, "load_drain_mv_s": 0.0}


def test_checksums_of_this_test_are_the_published_ones():
    assert crc8(b"123456789") == 0xF4
    assert crc32(b"123456789") == 0xCBF43926
    assert crc32(bytes(range(256))) == zlib.crc32(bytes(range(256)))


def test_state_telegram_byte_for_byte():
    line = Line(axes=1, start_deg=[45.0], **QUIET)
    answer = line.step(bytes.fromhex("ffff2a00 0000 00000000 00000000") + struct.pack("<I", 0), ms=1)
    assert answer == b""  # that checksum is wrong
    answer = line.step(command(0x2A, 0, [(OFF, NONE, 0.0)]), ms=1)
    position = 1024 + 45 * 4096 // 360  # zero + 512
    block = bytes([0xFF, 1, 0, 0x20]) + struct.pack("<HHhhfh", 0, 0, position, 0, 0.0, answer_target(answer))
    block += b"\xff" * 5
    expected = bytes([crc8(block)]) + block
    expected += struct.pack("<BBBBHH", 0xF5, 0x2A, 0b001, 0, 25200, 3)
    expected += struct.pack("<I", crc32(expected))
    assert answer == expected
    assert line.counters()["crc_errors"] == 1


def answer_target(answer: bytes) -> int:
    """The target of a drive that was never told one is not specified: taken over."""
    return struct.unpack("<h", answer[17:19])[0]


def test_a_vector_computed_by_hand():
    """One axis, sequence 1, enable, SPEED_ABS 1000 microsteps/s: the telegram as literal bytes."""
    assert command(1, 1, [(4, 3, 1000.0)]).hex() == (
        "ffff0101" "0403" "00007a44" "00000000" + struct.pack("<I", crc32(bytes.fromhex(
            "ffff0101040300007a4400000000"))).hex())
    line = Line(axes=1)
    assert len(line.step(command(1, 1, [(4, 3, 1000.0)]))) == 36
    assert line.board.truth()["command"] == ((4, 3, 1000.0),)
    assert line.board.truth()["enable"]


@pytest.mark.parametrize("axes", range(1, 9))
def test_lengths_and_fields_for_every_number_of_axes(axes):
    line = Line(axes=axes)
    sent = [(ABS, MICROSTEPS, 10.0 * i) for i in range(axes)]
    offsets = [0.5 * i for i in range(axes)]
    answer = line.step(command(9, 0, sent, offsets))
    assert len(answer) == 24 * axes + 12
    assert decode(answer, axes).sequence == 9
    assert line.board.truth()["command"] == tuple(sent)
    assert line.board.truth()["torque_offset_counts"] == tuple(offsets)


def test_echoes_every_sequence_number():
    line = Line()
    for sequence in [*range(256), 255, 255, 0]:
        assert decode(line.step(command(sequence, 0, line.command)), 4).sequence == sequence


def test_board_clock_counts_ms_and_wraps():
    line = Line()
    before = line.cycle().clock_ms
    assert (line.cycle(65_536 + 5).clock_ms - before) & 0xFFFF == 5


def test_speaks_only_when_spoken_to():
    line = Line()
    assert all(line.step() == b"" for _ in range(40))
    assert len(line.raw()) == 108


def test_telegram_in_pieces_is_answered_when_whole():
    line = Line()
    telegram = line.telegram()
    for k in range(len(telegram) - 1):
        assert line.step(telegram[k:k + 1], ms=0.1) == b""
    assert decode(line.step(telegram[-1:]), 4).sequence == line.sequence
    assert line.counters()["garbage_bytes"] == 0


def test_several_telegrams_at_once_are_all_answered():
    line = Line()
    answers = line.step(line.telegram() + line.telegram() + line.telegram())
    assert [decode(answers[108 * k:108 * k + 108], 4).sequence for k in range(3)] == [1, 2, 3]


@given(st.lists(st.one_of(
    st.binary(max_size=120),
    st.sampled_from([b"\xff", b"\xff\xff", b"\xff" * 60]),
    st.tuples(st.just("cut"), st.integers(1, 47)),
    st.tuples(st.just("flip"), st.integers(0, 48 * 8 - 1)),
    st.just("good"),
), max_size=30), st.integers(1, 200))
@settings(max_examples=150, deadline=None)
def test_after_garbage_no_valid_telegram_is_lost(parts, piece):
    line = Line(noise_counts=0.0)
    stream, wanted = b"", []
    for part in [*parts, "good", "good", "good", "good"]:
        if isinstance(part, bytes):
            stream += part
            continue
        telegram = line.telegram()
        if part == "good":
            wanted.append(line.sequence)
        elif part[0] == "cut":
            telegram = telegram[:part[1]]
        else:
            flipped = bytearray(telegram)
            flipped[part[1] // 8] ^= 1 << part[1] % 8
            telegram = bytes(flipped)
        stream += telegram
    answers = b"".join(line.step(stream[k:k + piece], ms=0.01) for k in range(0, len(stream), piece))
    got = [decode(answers[k:k + 108], 4).sequence for k in range(0, len(answers), 108)]
    # A false header at the end may keep the last telegram waiting for the bytes that would complete it.
    assert got == wanted[:len(got)]
    assert len(got) >= len(wanted) - 1
    assert line.counters()["valid_commands"] == len(got)


@pytest.mark.parametrize("target", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_become_no_target(target):
    line = Line()
    line.power_on()
    line.set(ABS, MICROSTEPS, target)
    line.cycle(20)
    assert line.counters()["bad_values"] == 20 * 4
    assert line.board.truth()["command"][0] == (ABS, NONE, 0.0)
    assert line.board.truth()["speed_deg_s"] == pytest.approx((0.0,) * 4, abs=0.05)


def test_unknown_target_type_and_mode():
    line = Line()
    line.power_on()
    line.set(ABS, 6, 100.0)
    line.cycle()
    assert line.counters()["bad_values"] == 4
    line.set(10, NONE)
    state = line.cycle(2)
    assert [axis.error for axis in state.axes] == [51] * 4
    assert [axis.driver_state for axis in state.axes] == [4] * 4
    line.set(HOLD_AUTO)
    assert line.cycle(2).axes[0].error == 51  # latched
    line.flags |= CLEAR
    assert line.cycle(2).axes[0].error == 0


def test_time_must_not_run_backwards():
    line = Line()
    with pytest.raises(ValueError, match="time runs backwards"):
        line.board.step(line.now_ns - 1)
    assert line.board.step(line.now_ns) == b""
    assert line.board.truth()["time_ns"] == line.now_ns
    assert line.now_ns % MS == 0


@pytest.mark.parametrize(("arguments", "message"), [
    ({"axes": 0}, "axes 0 is outside 1..8"),
    ({"axes": 9}, "axes 9 is outside 1..8"),
    ({"lag": 3}, "option 'lag' is unknown; there are: speed_limit_deg_s"),
    ({"lag_ms": -1}, "option lag_ms -1 is outside 0..1000 ms"),
    ({"lag_ms": math.nan}, "option lag_ms nan is outside 0..1000 ms"),
    ({"lag_ms": "5"}, "option lag_ms must be a number, not '5'"),
    ({"start_deg": [0.0]}, "start_deg has 1 values for 4 axes"),
    ({"start_deg": [0.0, 0.0, 500.0, 0.0]}, "start_deg of axis 3: 500 is outside"),
])
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        Line(bring_up=False, **arguments)
