"""`allyarm check`: exit codes, every mistake with its place, the summary of a good file."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from controller import config
from controller.cli import check


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser(prog="allyarm")
    check.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["check", *arguments])
    return args.run(args)


def test_a_good_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.toml"
    path.write_text('[bus]\nport = "/dev/ttyAMA0"\n[arm]\naxes = 2\n[hmi]\nhost = "10.0.0.1"\n'
                    'token = "0123456789abcdef"\n[[axis]]\nmax_speed_deg_s = 12.5\n[[axis]]\n')
    assert run(str(path)) == 0
    out = capsys.readouterr().out
    assert "0123456789abcdef" not in out
    assert "token = (hidden)" in out
    assert "line: 2 axes at 3000000 baud allow up to 4000 Hz" in out
    assert out.endswith(f"{path}: good\n")
    # what it prints is a configuration file of the same meaning
    text = out.split("line:")[0].replace("(hidden)", '"0123456789abcdef"')
    again = tmp_path / "b.toml"
    again.write_text(text)
    assert config.load(again) == config.load(path)
    assert [table["max_speed_deg_s"] for table in tomllib.loads(text)["axis"]] == [12.5, 60]


def test_a_file_with_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[loop]\nrate_hz = 1\nspin = 3\n")
    assert run(str(path)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, second, last = err.splitlines()
    assert first.startswith(f"{path}:2: loop.rate_hz: found 1; allowed: whole number 10..2000")
    assert second.startswith(f"{path}:3: loop.spin: unknown key, did you mean spin_us?")
    assert last == f"{path}: 2 mistakes"


def test_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(tmp_path / "none.toml")) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_notes_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.toml"
    path.write_text("")
    assert run(str(path)) == 0
    assert "note: bus.port is empty: the simulated arm is started" in capsys.readouterr().out


def test_usage_error_is_exit_code_2() -> None:
    with pytest.raises(SystemExit) as stop:
        run()
    assert stop.value.code == 2


def test_parsers_import_next_to_nothing() -> None:
    """Adding the parsers must not cost `--help` rich or asyncio."""
    code = ("import argparse, sys\nfrom controller.cli import check, doctor, status\n"
            "parsers = argparse.ArgumentParser().add_subparsers()\n"
            "for module in (check, doctor, status): module.add_parser(parsers)\n"
            "print(sorted({'rich', 'asyncio', 'serial', 'urllib.request'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
