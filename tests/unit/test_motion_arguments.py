"""What `allyarm move`, `jog` and `home` take and refuse before they connect to anything."""

from __future__ import annotations

import pytest

from controller.__main__ import main
from controller.cli.jog import HELD_S, Held, duration_s
from controller.cli.move import DEGREES, PLACE
from controller.cli.reach import Usage
from controller.cli.targets import numbers

NOBODY = ["--url", "http://127.0.0.1:9"]


@pytest.mark.parametrize(("arguments", "words"), [
    (["move", "1=x"], ["'1=x'", "1..8"]), (["move", "0=1"], ["1..8"]), (["move", "9=1"], ["1..8"]),
    (["move", "1=nan"], ["'1=nan'"]), (["move", "1=1e3"], ["'1=1e3'"]), (["move", "1=inf"], ["'1=inf'"]),
    (["move", "1=3601"], ["axis 1", "3601", "-3600..3600"]), (["move", "1=1", "1=2"], ["axis 1", "twice"]),
    (["move", "1=1", "--speed", "0"], ["--speed", "above 0"]), (["move", "1=1", "--speed", "nan"], ["--speed"]),
    (["home", "--speed", "101"], ["--speed", "100"]), (["jog", "1=101", "--for", "1"], ["-100..100"]),
    (["jog", "1=10", "--for", "-1"], ["--for", "above 0"]), (["jog", "1=10", "--for", "601s"], ["600"]),
    (["jog", "1=10", "--for", "soon"], ["'soon'"]), (["jog", "1=10", "--for", ""], ["--for"]),
    (["jog", "1=10"], ["--for 2s"]), (["jog", "1=0", "3=0", "--for", "1"], ["every speed is 0"]),
    (["move", "x=1", "1=2"], ["axes (1)", "hand (x)", "one or the other"]), (["move", "w=1"], ["'w=1'", "x=NUMBER"]),
    (["move", "x=10001"], ["x: found 10001", "-10000..10000 mm"]), (["move", "x=1", "x=2"], ["x is given twice"]),
    (["move", "elbow=20"], ["elbow", "x=, y= or z="]), (["move", "x=1", "elbow=4000"], ["elbow", "degrees"]),
    (["move", "1=2", "--check"], ["--check", "place of the hand"]), (["move", "1=2", "--unchecked"], ["--unchecked"]),
    (["jog", "x=101", "--for", "1"], ["x: found 101", "percent"]), (["jog", "elbow=1", "--for", "1"], ["'elbow=1'"]),
    (["compliant"], ["--for 60s"]), (["compliant", "--for", "0"], ["--for", "above 0"]),
    (["move", "1=1", "--url", "ftp://x"], ["--url"]),
])
def test_wrong_arguments_are_usage_errors(arguments: list[str], words: list[str],
                                          capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, *([] if "--url" in arguments else NOBODY)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("allyarm: ")
    assert all(word in error for word in words), error


@pytest.mark.parametrize("command", [
    ["move", "1=10"], ["home"], ["jog", "1=10", "--for", "1s"], ["move", "x=1", "--check"],
    ["compliant", "--for", "1s"], ["compliant", "--watch"], ["stop"], ["reset"],
])
def test_nobody_there(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, *NOBODY]) == 1
    error = capsys.readouterr().err
    assert "http://127.0.0.1:9" in error
    assert "--url" in error


@pytest.mark.parametrize("command", ["move", "jog", "home", "compliant", "stop", "reset"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert f"  allyarm {command}" in capsys.readouterr().out


def test_values() -> None:
    found = numbers(["1=30", "2=-10.5", "8=+0.25"], DEGREES, PLACE)
    assert (found.axes, found.hand) == ({1: 30.0, 2: -10.5, 8: 0.25}, {})
    found = numbers(["z=-350.5", "elbow=60", "x=+9000"], DEGREES, PLACE)
    assert (found.axes, found.hand) == ({}, {"z": -350.5, "elbow": 60.0, "x": 9000.0})
    assert [duration_s(text) for text in ("2s", "2", "500ms", "0.5s", "1m")] == [2.0, 2.0, 0.5, 0.5, 60.0]
    with pytest.raises(Usage):
        numbers(["1=٣"], DEGREES, PLACE)


def test_a_key_acts_once_it_repeats_and_until_it_no_longer_does() -> None:
    """A terminal tells no release: the repeats have to go on."""
    held = Held()
    assert held.direction("", 0.0) == 0.0
    assert held.direction(" ", 0.0) == 0.0          # a tap moves nothing
    assert held.direction("", 0.4) == 0.0
    assert held.direction(" ", 0.5) == 0.0          # the first repeat, after the keyboard's delay
    assert held.direction(" ", 0.53) == 1.0
    assert held.direction("", 0.53 + 0.9 * HELD_S) == 1.0
    assert held.direction("", 0.54 + HELD_S) == 0.0
    assert held.direction(" ", 0.8) == 0.0          # a new press has to repeat anew
    assert held.direction(" ", 0.83) == 1.0
    assert held.direction("-", 0.86) == 0.0         # the other key is no repeat
    assert held.direction("x-", 0.89) == -1.0


def test_keys_that_came_at_once_are_one_press() -> None:
    """A paste, or what a stalled link hands over, is no held key."""
    held = Held()
    assert held.direction(" " * 50, 10.0) == 0.0
    assert held.direction("", 10.05) == 0.0
    assert held.direction(" " * 50, 10.1) == 1.0
