"""The simulator's fault table, line protocol and scripts, without a port."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.sim import arm, commands, faults
from controller.sim._board import Board

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "simulator.md"


class Arm:
    def __init__(self) -> None:
        self.board = Board(4)

    def state(self) -> str:
        return "{}"


def do(port: Arm, line: str) -> str:
    return commands.apply(commands.parse(line, 4), port)


def test_document_shows_the_tables():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert faults.markdown_table() in text
    assert arm.options_table() in text
    assert arm.axes_table() in text
    assert arm.chain_table() in text
    for verb in commands.VERBS:
        assert f"`{verb}" in text


def test_table_rows_are_sound():
    assert len(set(faults.NAMES)) == len(faults.NAMES)
    for row in faults.FAULTS:
        assert re.fullmatch("[a-z_]+", row.name)
        assert row.meaning
        assert len(row.parameters) <= 3
        names = [p.name for p in faults.parameters(row)]
        assert len(set(names)) == len(names)
        assert "arm" not in names  # picks the arm in a command
        for p in faults.parameters(row):
            assert p.low <= p.default <= p.high
        faults.checked(row.name, {}, 4)
        assert row.name in faults.help_text()


def test_commands_act_on_the_board():
    port = Arm()
    assert do(port, "fault lost probability=0.5 seconds=2") == "fault lost"
    assert do(port, "fault drive_error axis=3 code=20") == "fault drive_error"
    assert port.board.faults() == (("lost", 0), ("drive_error", 3))
    assert do(port, "clear lost") == "clear lost"
    assert port.board.faults() == (("drive_error", 3),)
    assert do(port, "clear") == "clear"
    assert port.board.faults() == ()
    do(port, "button press")
    assert port.board.faults() == (("button", 0),)
    do(port, "button release")
    do(port, "unplug")
    assert port.board.hung_up
    do(port, "plug")
    assert not port.board.hung_up
    assert do(port, "state") == "{}"
    assert "button press|release" in do(port, "help")


@pytest.mark.parametrize(("line", "message"), [
    ("", "empty command; there are: fault NAME"),
    ("explode", "command 'explode' is unknown; there are: fault NAME"),
    ("fault", "fault needs a name: lost, late"),
    ("fault lots", "fault 'lots' is unknown; there are: lost"),
    ("fault lost often", "'often' is not key=value"),
    ("fault lost =1", "'=1' is not key=value"),
    ("fault lost probability=often", "probability must be a number, not 'often'"),
    ("fault lost probability=1 probability=0", "probability is given twice"),
    ("fault lost probability=2", "fault lost: probability 2 is outside 0..1"),
    ("fault lost probability=nan", "fault lost: probability nan is outside 0..1"),
    ("fault lost count=" + "9" * 500, "fault lost: count inf is outside 0..1e+09"),
    ("fault drift axis=5", "fault drift: axis 5 is outside 0..4"),
    ("clear lots", "fault 'lots' is unknown"),
    ("clear lost late", "clear: 'late' is too much"),
    ("button", "button takes press or release, not ''"),
    ("button push", "button takes press or release, not 'push'"),
    ("unplug now", "unplug: 'now' is too much"),
    ("unplug arm=2", "arm 2 is outside 1..1"),
    ("unplug arm=x", "arm must be a number, not 'x'"),
])
def test_wrong_commands_say_what_is_allowed(line, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        commands.parse(line, 4)


@given(st.text(max_size=80))
def test_any_text_is_a_command_or_a_value_error(text):
    for line in (text, f"fault {text}", f"fault lost {text}", f"fault lost count={text}", f"state arm={text}"):
        try:
            action = commands.parse(line, 4)
        except ValueError:
            continue
        assert action.verb in commands.VERBS


def test_scripts():
    script = commands.parse_script("# warm up\n\n2.5 button press  # now\n0.1 fault lost count=3 arm=2\n3 plug\n", 4, 2)
    assert [(t, a.verb, a.arm, a.name) for t, a in script] == [
        (0.1, "fault", 2, "lost"), (2.5, "button", 1, "press"), (3.0, "plug", 1, "")]


@pytest.mark.parametrize(("text", "message"), [
    ("0 plug\nsoon plug", "line 2: 'soon' is not a time in seconds"),
    ("-1 plug", "line 1: '-1' is not a time in seconds"),
    ("nan plug", "line 1: 'nan' is not a time in seconds"),
    ("1", "line 1: empty command"),
    ("\n\n1 fault lots", "line 3: fault 'lots' is unknown"),
])
def test_wrong_scripts_name_the_line(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        commands.parse_script(text, 4)
