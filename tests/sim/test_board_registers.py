"""The register phase of the simulated board: every form and type, and what malformed input does to it."""

import struct

import pytest
from board_line import LEAVE, Line, request, write
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize("axes", [1, 4, 8])
def test_everything_that_bring_up_asks_for(axes):
    line = Line(axes=axes, bring_up=False)
    assert line.ask(1)
    assert line.ask(2) == str(axes)
    assert line.ask(7)
    inverted, negative_zero, strokes = set(), set(), set()
    for i in range(axes):
        resolution, zero, low, high = (int(line.ask(base + i)) for base in (130, 140, 160, 170))
        stroke, conversion = float(line.ask(200 + i)), float(line.ask(220 + i))
        inverse = int(line.ask(400 + i))
        assert -32768 <= low < high <= 32767
        ends = sorted((-1 if inverse else 1) * stroke / resolution * (c - zero) for c in (low, high))
        assert ends == pytest.approx([line.truth("minimum_deg", i + 1), line.truth("maximum_deg", i + 1)], abs=1e-6)
        assert ends[0] < line.truth("position_deg", i + 1) < ends[1]
        assert abs(conversion) > 1e-4
        inverted.add(inverse)
        negative_zero.add(zero < 0)
        strokes.add(stroke)
    float(line.ask(230))
    float(line.ask(231))
    if axes >= 4:
        assert inverted == negative_zero == {0, 1}
        assert len(strokes) >= 3
    for address in (130 + axes, 400 + axes) if axes < 8 else ():
        assert line.step(request(address)) == b""  # nothing of an axis that is not there


@pytest.mark.parametrize(("address", "value", "answer"), [
    (8, "my network", "my network"),
    (9, "", ""),
    (6, "0;http://x/y.bin", "0;http://x/y.bin"),
    (9, "ab", "ab"),
    (11, 255, "255"),
    (12, 0, "0"),
    (50, -32768, "-32768"),
    (199, 32767, "32767"),
    (210, 0.1, "0.100000001"),
    (210, -1.5e-7, "-1.50000005e-07"),
    (210, struct.unpack("<f", b"\0\0*B")[0], "42.5"),  # a `*` where the short form would end
    (399, 1e30, "1.00000002e+30"),
    (450, 1, "1"),
    (500, -2147483648, "-2147483648"),
    (599, 2147483647, "2147483647"),
])
def test_writes_of_every_type(address, value, answer):
    line = Line(bring_up=False)
    assert line.step(write(address, value)) == f"#{address}:{answer}*\r\n".encode()
    held = line.board.register(address)
    assert held == (value if isinstance(value, str) else pytest.approx(value))
    assert line.counters()["malformed"] == 0


@pytest.mark.parametrize("message", [
    write(11, 256), write(11, -1), write(450, 2), write(210, float("nan")), write(210, float("inf")),
    b"#" + struct.pack("<Hh", 130, 5)[:2] + b":" + struct.pack("<h", 5) + b"*",  # read-only
])
def test_values_that_do_not_fit_are_refused_and_change_nothing(message):
    line = Line(bring_up=False)
    address = struct.unpack("<H", message[1:3])[0]
    before = line.board.register(address)
    assert line.step(message) == b""
    assert line.board.register(address) == before
    assert line.counters()["refused_registers"] == 1


@pytest.mark.parametrize("garbage", [
    b"hello\r\n", b"\x00", b"#", b"##", b"#\x01", b"#\x01\x00;\x00\x00*", b"#\x00\x00:\x00\x00*",
    b"#\xff\xff:\x00\x00*",
    b"#\x82\x00:\x00\x00x", b"#\x08\x00:text*x*", b"#\x08\x00:" + b"x" * 600, b"\xff\xff\x01\x00" + bytes(44),
])
def test_malformed_input_is_counted_and_skipped(garbage):
    line = Line(bring_up=False)
    assert line.step(garbage) == b""
    line.step(ms=150)
    assert line.counters()["malformed"] >= 1
    assert line.ask(2) == "4"


def test_request_right_behind_garbage_is_answered_at_once():
    line = Line(bring_up=False)
    assert line.step(b"noise" + request(2)) == b"#2:4*\r\n"
    assert line.counters()["malformed"] == 1


def test_messages_in_pieces_and_several_at_once():
    line = Line(bring_up=False)
    stream = request(2) + request(200) + write(8, "x") + request(130)
    whole = line.step(stream)
    assert whole == b"#2:4*\r\n#200:360*\r\n#8:x*\r\n#130:4096*\r\n"
    assert b"".join(line.step(stream[k:k + 1]) for k in range(len(stream))) == whole


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"#", b":", b"*", b"#\x01\x00:", b"#\xc8\x00:"])),
                max_size=20))
@settings(max_examples=200, deadline=None)
def test_nothing_stops_the_reader(parts):
    line = Line(bring_up=False)
    for part in parts:
        line.step(part, ms=3)
    assert line.step(request(1), ms=150) == b"#1:ALLY-SIM-0001*\r\n"


def test_phase_changes():
    line = Line(bring_up=False)
    assert line.board.truth()["phase"] == "register"
    assert line.step(line.telegram()) == b""  # a cyclic telegram is garbage here
    line.step(ms=150)
    assert line.step(write(10, 7)) == b"#10:7*\r\n"
    assert line.board.truth()["phase"] == "register"
    line.bring_up()
    assert line.board.truth()["phase"] == "cyclic"
    assert line.step(request(1)) == b""
    line.flags = LEAVE
    assert len(line.raw()) == 108  # answered, then left
    assert line.board.truth()["phase"] == "register"
    assert line.ask(2) == "4"
    assert line.counters()["bring_ups"] == 1


def test_first_telegram_may_follow_in_the_same_bytes():
    line = Line(bring_up=False)
    answer = line.step(write(10, 8) + line.telegram())
    assert answer.startswith(b"#10:8*\r\n")
    assert len(answer) == 8 + 108


def test_register_of_a_wrong_address():
    with pytest.raises(ValueError, match=r"register 600: addresses are 1\.\.599"):
        Line().board.register(600)
