"""Bring-up: register messages byte by byte, malformed and implausible answers, retries; with the simulated board."""

from __future__ import annotations

import contextlib
import os
import struct
import termios

import pytest
import serial
from hypothesis import given
from hypothesis import strategies as st

from controller.bus import serial as bus_serial
from controller.bus.base import BUSES, BusError, Cancelled, make_bus
from controller.bus.serial import SerialBus, encode_request, encode_write, parse_line, plausible
from controller.sim._board import Board
from controller.spec import registers as reg

SPEEDS = [60.0] * 8


class FakeLine:
    """A pyserial line with the simulated board behind it, on a clock that each read moves on by a millisecond."""

    def __init__(self, board: Board) -> None:
        self.board, self.now_s, self.waiting, self.sent = board, 10.0, b"", []
        self.closed = False
        board.step(round(self.now_s * 1e9))

    def monotonic(self) -> float:
        return self.now_s

    def reset_input_buffer(self) -> None:
        self.waiting = b""

    def write(self, data: bytes) -> int:
        self.sent.append(data)
        self.waiting += self.board.step(round(self.now_s * 1e9), data)
        return len(data)

    def read(self, size: int) -> bytes:
        if not self.waiting:
            self.now_s += 0.001
            self.waiting += self.board.step(round(self.now_s * 1e9))
        data, self.waiting = self.waiting[:size], self.waiting[size:]
        return data

    def fileno(self) -> int:
        return 7

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch):
    def build(axes: int = 4) -> tuple[SerialBus, FakeLine]:
        line = FakeLine(Board(axes))
        monkeypatch.setattr(bus_serial.time, "monotonic", line.monotonic)
        bus = make_bus("serial", "/dev/arm", 3_000_000)
        assert isinstance(bus, SerialBus)
        bus._line = line
        return bus, line
    return build


# -- messages, by hand from the specification --------------------------------------------------------------------------

@pytest.mark.parametrize(("address", "value", "wanted"), [
    (10, 8, b"#\x0a\x00:\x08\x00*"), (50, -2, b"#\x32\x00:\xfe\xff*"), (199, 32767, b"#\xc7\x00:\xff\x7f*"),
    (200, 1.0, b"#\xc8\x00:\x00\x00\x80\x3f*"), (399, -2.5, b"#\x8f\x01:\x00\x00\x20\xc0*"),
    (400, 1, b"#\x90\x01:\x01\x00*"), (500, -1, b"#\xf4\x01:\xff\xff\xff\xff*"), (1, "AB", b"#\x01\x00:AB**")])
def test_register_writes(address: int, value: float | str, wanted: bytes) -> None:
    assert encode_write(address, value) == wanted


def test_requests_have_the_seven_byte_form_whatever_the_type() -> None:
    for address in (1, 2, 7, 130, 200, 230, 400, 500):
        assert encode_request(address) == b"#" + struct.pack("<H", address) + b":\0\0*"


@pytest.mark.parametrize(("address", "value"), [(50, 40000), (50, 1.5), (50, "x"), (200, "x"), (500, 2**31), (1, "a*b"),
                                                (1, "ä"), (0, 1), (600, 1)])
def test_writes_that_do_not_fit_name_the_register(address: int, value: float | str) -> None:
    with pytest.raises(ValueError, match=str(address)):
        encode_write(address, value)


@pytest.mark.parametrize(("line", "wanted"), [
    (b"#10:8*", (10, 8)), (b"#130:4096*\r", (130, 4096)), (b"#140:-700*", (140, -700)), (b"#200:360.0*", (200, 360.0)),
    (b"#220:-0.0125*", (220, -0.0125)), (b"#400:1*", (400, 1)), (b"#1:ALLY:7*", (1, "ALLY:7")), (b"#1:*", (1, ""))])
def test_answers(line: bytes, wanted: tuple[int, object]) -> None:
    assert parse_line(line) == wanted


@pytest.mark.parametrize("line", [b"", b"#", b"#*", b"10:8*", b"#10:8", b"#108*", b"#:8*", b"#-1:8*", b"#1e1:8*",
                                  b"#10:x*", b"#10:*", b"#10:256*", b"#10:-1*", b"#130:1.5*", b"#130:40000*",
                                  b"#400:2*", b"#0:1*", b"#600:1*", b"#99999:1*", b"#500:9999999999*", b"\xff\xfe:*",
                                  b"#\xb2:1*", b"x" * 300])
def test_malformed_answers(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_line(line)


@given(st.binary(max_size=64))
def test_no_line_raises_anything_but_value_error(line: bytes) -> None:
    try:
        address, _ = parse_line(line)
    except ValueError:
        return
    assert 1 <= address <= 599


@given(st.integers(50, 199), st.integers(-32768, 32767))
def test_numbers_survive_the_way_there_and_back(address: int, value: int) -> None:
    message = encode_write(address, value)
    assert struct.unpack("<xHxhx", message) == (address, value)
    assert parse_line(b"#%d:%d*\r\n" % (address, value)) == (address, value)


# -- bring-up ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("axes", [1, 4, 8])
def test_bring_up_reads_the_arm_and_enters_the_cyclic_phase(make, axes: int) -> None:
    bus, line = make(axes)
    facts = bus.read_facts(SPEEDS)
    assert line.board.truth()["phase"] == "register"
    bus.enter_cyclic()
    assert (facts.axes, facts.serial, facts.version) == (axes, "ALLY-SIM-0001", "sim-1.0")
    for i, axis in enumerate(facts.axis):
        assert axis.resolution_counts == line.board.register(130 + i)
        assert axis.speed_conversion_deg == pytest.approx(line.board.register(220 + i), rel=1e-6)
        assert axis.inverted == bool(line.board.register(400 + i))
    asked = [struct.unpack("<H", message[1:3])[0] for message in line.sent]
    each = [a + i for i in range(axes) for a in (130, 140, 160, 170, 200, 220, 400) for _ in range(2)]
    # the order of the specification; what matters most, twice
    assert asked == [1, 2, 2, 7, *each, 230, 230, 231, 231, 10]
    assert line.board.truth()["phase"] == "cyclic"
    assert bus.malformed_lines == 0
    assert bus.fileno() == 7
    bus.close()
    assert line.closed


def test_a_lost_answer_is_asked_for_again(make) -> None:
    bus, line = make()
    line.board.set_fault("lost", count=2)
    assert bus.read_facts(SPEEDS).axes == 4
    asked = [struct.unpack("<H", message[1:3])[0] for message in line.sent]
    assert asked[:5] == [1, 1, 1, 2, 2]


def test_no_answer_names_register_port_and_what_to_check(make) -> None:
    bus, line = make()
    line.board.set_fault("missing_register", address=161)
    began = line.now_s
    with pytest.raises(BusError, match=r"register 161: no answer from /dev/arm in 3 tries of 200 ms.*baud"):
        bus.read_facts(SPEEDS)
    asked = [struct.unpack("<H", message[1:3])[0] for message in line.sent]
    assert asked.count(161) == 3
    assert 0.6 <= line.now_s - began < 1.0
    assert line.board.truth()["phase"] == "register"


def test_slow_answers_are_waited_for_and_late_ones_do_not_confuse(make) -> None:
    bus, line = make(1)
    line.board.set_fault("slow_answers", delay_ms=150)
    assert bus.read_facts(SPEEDS).axes == 1
    bus, line = make(1)
    line.board.set_fault("slow_answers", delay_ms=250)     # after its retry went out: still the answer to that register
    assert bus.read_facts(SPEEDS).axes == 1


@pytest.mark.parametrize("fault", ["duplicated", "garbage", "bit_flipped", "truncated", "deaf"])
def test_disturbed_answers_are_counted_skipped_and_asked_for_again(make, fault: str) -> None:
    bus, line = make(2)
    line.board.set_fault(fault, probability=0.15 if fault != "duplicated" else 1.0)
    facts, tries = None, 0
    while facts is None:
        tries += 1
        assert tries <= 20
        with contextlib.suppress(BusError):     # as the supervisor does: again
            facts = bus.read_facts(SPEEDS)
    assert facts.axes == 2
    fewest = 4 + 7 * 2 * 2 + 2
    assert fault == "duplicated" or bus.malformed_lines or len(line.sent) > fewest


def test_malformed_lines_are_counted_and_skipped(make) -> None:
    bus, line = make(1)
    line.reset_input_buffer = lambda: None
    line.waiting = b"boot\r\n#1:*x\r\n#99999:1*\r\n" + b"z" * 1000 + b"\r\n"
    assert bus.read_facts(SPEEDS).axes == 1
    assert bus.malformed_lines >= 4


IMPLAUSIBLE = [(130, 0.0), (130, 1.0), (131, -5.0), (200, 0.0), (201, -90.0), (203, 1e9), (220, 0.0), (221, 1e9)]


@pytest.mark.parametrize(("address", "value"), IMPLAUSIBLE)
def test_an_implausible_register_is_named_with_what_is_allowed(make, address: int, value: float) -> None:
    bus, line = make(4)
    line.board.set_fault("wrong_register", address=address, value=value)
    row, axis = reg.at(address, 8)
    with pytest.raises(BusError, match=rf"register {address} \({row.name} of axis {axis + 1}\)"):
        bus.read_facts(SPEEDS)
    assert line.board.truth()["phase"] == "register"


@pytest.mark.parametrize("address", [160, 173])
def test_hard_limits_that_contradict_each_other(make, address: int) -> None:
    bus, line = make(4)
    line.board.set_fault("wrong_register", address=address, value=30000.0 if address < 170 else -30000.0)
    with pytest.raises(BusError, match=r"hard minimum .* of axis \d is not below its maximum"):
        bus.read_facts(SPEEDS)


@pytest.mark.parametrize("text", ["", "0", "9", "-1", "four", "4.0", "99"])
def test_the_number_of_axes_must_be_1_to_8(text: str) -> None:
    with pytest.raises(BusError, match=r"register 2 .*1\.\.8"):
        plausible(2, text)
    assert plausible(2, "8") == 8


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("address", [200, 220, 230])
def test_saf_9_values_that_are_no_numbers(address: int, value: float) -> None:
    with pytest.raises(BusError, match=f"register {address}"):
        plausible(address, value)


class Flipping:
    """Changes the value of chosen answers: {address: [value of its first answer, second ...]}, None leaves it alone."""

    def __init__(self, line: FakeLine, values: dict[int, list[int | None]]) -> None:
        self.line, self.values, self.board_write = line, values, line.write
        line.write = self.write

    def write(self, data: bytes) -> int:
        count = self.board_write(data)
        waiting = self.values.get(struct.unpack("<H", data[1:3])[0])
        if waiting and (value := waiting.pop(0)) is not None:
            head, _, _ = self.line.waiting.rpartition(b":")
            self.line.waiting = head + b":%d*\r\n" % value
        return count


@pytest.mark.parametrize(("flipped", "differences"), [([-9024], 1), ([None, -9024], 2)], ids=["first", "second"])
def test_a_flipped_digit_that_stays_plausible_is_not_believed(
        make, flipped: list[int | None], differences: int) -> None:
    bus, line = make(2)
    right = bus.read_facts(SPEEDS)
    Flipping(line, {161: flipped})
    assert bus.read_facts(SPEEDS) == right
    assert bus.malformed_lines == differences


def test_answers_that_never_agree_are_refused_with_both(make) -> None:
    bus, line = make(2)
    Flipping(line, {161: [-1, -2, -3, -4]})
    with pytest.raises(BusError, match=r"register 161 \(.* of axis 2\): the arm says -3 and then -4"):
        bus.read_facts(SPEEDS)
    assert bus.malformed_lines == 3
    bus, line = make(2)
    Flipping(line, {2: [3, 4, 5, 6]})
    with pytest.raises(BusError, match=r"register 2 .* 5 and then 6"):
        bus.read_facts(SPEEDS)


def test_hard_limits_further_apart_than_two_turns(make) -> None:
    bus, line = make(2)
    low, resolution = line.board.register(161), line.board.register(131)
    line.board.set_fault("wrong_register", address=171, value=float(low + 2 * resolution + 1))
    with pytest.raises(BusError, match=r"registers 131, 161 and 171: hard limits .* of axis 2 .*two turns"):
        bus.read_facts(SPEEDS)
    bus, line = make(2)
    line.board.set_fault("wrong_register", address=171, value=float(low + 2 * resolution))
    assert bus.read_facts(SPEEDS).axes == 2


@pytest.mark.parametrize("waiting", [b"", b"z" * 100_000, b"x\r\n" * 30_000], ids=["silence", "no line end", "lines"])
def test_a_bring_up_is_cancelled_at_once(make, waiting: bytes) -> None:
    bus, line = make(8)
    line.board.set_fault("slow_answers", delay_ms=190)
    line.reset_input_buffer = lambda: None
    began, asked = line.now_s, []

    def cancelled() -> bool:
        asked.append(line.now_s)
        return len(asked) > 3

    line.waiting = waiting
    with pytest.raises(Cancelled):
        bus.read_facts(SPEEDS, cancelled)
    assert len(asked) == 4
    assert line.now_s - began < 0.05
    with pytest.raises(Cancelled):
        bus.enter_cyclic(lambda: True)


@pytest.mark.parametrize("step", ["reset_input_buffer", "write", "read"])
def test_a_terminal_that_vanishes_in_the_middle(make, step: str) -> None:
    """termios.error is no OSError."""
    bus, line = make()

    def vanished(*given: object) -> None:
        raise termios.error(5, "Input/output error")

    setattr(line, step, vanished)
    with pytest.raises(BusError, match=r"/dev/arm: the line failed during bring-up: .*Input/output error"):
        bus.read_facts(SPEEDS)
    if step != "reset_input_buffer":
        with pytest.raises(BusError, match="failed during bring-up"):
            bus.enter_cyclic()


def test_a_terminal_that_vanishes_while_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def vanished(*given: object) -> None:
        raise termios.error(5, "Input/output error")

    master, slave = os.openpty()
    try:
        bus = SerialBus(os.ttyname(slave), 3_000_000)
        monkeypatch.setattr(termios, "tcgetattr", vanished)
        with pytest.raises(BusError, match="Input/output error"):
            bus.open()
        bus.close()
    finally:
        os.close(master)
        os.close(slave)


def test_a_line_that_fails_in_the_middle(make) -> None:
    bus, line = make()

    def broken(size: int) -> bytes:
        raise serial.SerialException("device disconnected")

    line.read = broken
    with pytest.raises(BusError, match=r"/dev/arm: the line failed during bring-up: device disconnected"):
        bus.read_facts(SPEEDS)


def test_a_port_that_is_not_there() -> None:
    bus = SerialBus("/dev/does-not-exist", 3_000_000)
    with pytest.raises(BusError, match="cannot open /dev/does-not-exist"):
        bus.open()
    bus.close()     # never raises
    assert set(BUSES) == {"serial"}
    with pytest.raises(KeyError):
        make_bus("can", "x", 1)
