"""`allyarm password`: hashes in a private file, never a password on the command line or in the file."""

from __future__ import annotations

import io
import os
import select
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from controller.__main__ import main
from controller.hmi.login_passwords import FILE, PasswordError, Passwords, make_hash, matches, write_private
from controller.spec import rest

GOOD = "correct horse"


def call(monkeypatch: pytest.MonkeyPatch, text: str, *arguments: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    return main(["password", *arguments])


def test_set_list_and_remove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                             capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "folder"
    assert call(monkeypatch, f"{GOOD}\n", "set", "--level", "Base", "--folder", str(folder)) == 0
    assert call(monkeypatch, "another one\r\nrest\n", "set", "--level", "Admin", "--folder", str(folder)) == 0
    stored = Passwords(folder).read()
    assert list(stored) == ["Base", "Admin"]
    assert matches(stored["Base"], GOOD)
    assert matches(stored["Admin"], "another one")
    assert not matches(stored["Base"], "another one")
    file = folder / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert GOOD not in file.read_text()
    assert stored["Base"].startswith("$argon2id$v=19$m=7168,t=5,p=1$")
    capsys.readouterr()
    assert call(monkeypatch, "", "list", "--folder", str(folder)) == 0
    assert capsys.readouterr().out == "Base: set\nAdvance: none: cannot log in\nAdmin: set\n"
    assert call(monkeypatch, "", "remove", "--level", "Base", "--folder", str(folder)) == 0
    assert call(monkeypatch, "", "remove", "--level", "Base", "--folder", str(folder)) == 0
    assert "had none" in capsys.readouterr().out
    assert list(Passwords(folder).read()) == ["Admin"]
    assert [path.name for path in folder.iterdir()] == [FILE]  # no draft stays


def test_the_folder_is_that_of_the_controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    assert call(monkeypatch, f"{GOOD}\n", "set", "--level", "Base") == 0
    assert (tmp_path / "state" / FILE).exists()
    config = tmp_path / "allyarm.toml"
    config.write_text(f'[store]\npath = "{tmp_path / "configured"}"\n')
    assert call(monkeypatch, f"{GOOD}\n", "set", "--level", "Base", "--config", str(config)) == 0
    assert (tmp_path / "configured" / FILE).exists()


MISTAKES = (
    ("", ("set", "--level", "Base"), "no password was given"),
    ("short\n", ("set", "--level", "Base"), "allowed are 8..128"),
    ("x" * 129 + "\n", ("set", "--level", "Base"), "allowed are 8..128"),
    (f"{GOOD}\n", ("set",), "--level is missing; allowed: Base, Advance, Admin"),
    (f"{GOOD}\n", ("remove",), "--level is missing"),
    (f"{GOOD}\n", ("list", "--config", "/does/not/exist"), "/does/not/exist"),
)


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for text, arguments, said in MISTAKES:
        assert call(monkeypatch, text, *arguments, "--folder", str(tmp_path / "state")) == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / "state").exists()


def test_a_password_on_the_command_line_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (("set", "--level", "Base", GOOD), ("set", "--level", "Base", "--password", GOOD),
                      ("set", "--level", "Root")):
        with pytest.raises(SystemExit) as ended:
            call(monkeypatch, "", *arguments, "--folder", str(tmp_path))
        assert ended.value.code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_named_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    for content in (b"{", b"[]", b'{"Root": "x"}', b'{"Base": 5}', b"\xff", b"[" * 100_000):
        (tmp_path / FILE).write_bytes(content)
        with pytest.raises(PasswordError, match="allyarm password set"):
            Passwords(tmp_path).read()
        assert call(monkeypatch, "", "list", "--folder", str(tmp_path)) == 1
        assert FILE in capsys.readouterr().err
    assert call(monkeypatch, f"{GOOD}\n", "set", "--level", "Advance", "--folder", str(tmp_path)) == 0
    assert list(Passwords(tmp_path).read()) == ["Advance"]


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert call(monkeypatch, f"{GOOD}\n", "set", "--level", "Base", "--folder", str(tmp_path / "file" / "x")) == 1
    said = capsys.readouterr().err
    assert "allyarm:" in said
    assert str(tmp_path / "file" / "x" / FILE) in said
    assert "check the folder's rights and free space" in said


def test_at_a_terminal_it_asks_twice_and_shows_nothing(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    program = ("import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
               "from controller.__main__ import main; "
               "sys.exit(main(['password', 'set', '--level', 'Base', '--folder', sys.argv[1]]))")
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdin=theirs, stdout=theirs,
                               stderr=theirs, start_new_session=True, env={**os.environ, "PYTHONPATH": os.getcwd()})
    os.close(theirs)
    seen = b""

    def until(text: bytes) -> None:
        nonlocal seen
        end = time.monotonic() + 20
        while text not in seen:
            assert time.monotonic() < end, seen
            if select.select([ours], [], [], 1)[0]:
                seen += os.read(ours, 1000)

    asked = ((b"new password of Base: ", GOOD), (b"once more: ", "something else"), (b"they differ", ""),
             (b"new password of Base: ", GOOD), (b"once more: ", GOOD), (b"Base: set", ""))
    shown = b""
    for prompt, answer in asked:
        until(prompt)
        before, _, seen = seen.partition(prompt)
        shown += before + prompt
        if answer:
            time.sleep(0.1)  # the echo is off before it asks; a terminal that is not read yet keeps what was typed
            os.write(ours, answer.encode() + b"\n")
    assert process.wait(20) == 0
    os.close(ours)
    assert GOOD.encode() not in shown + seen
    assert matches(Passwords(tmp_path).read()["Base"], GOOD)


def test_a_kill_while_writing_leaves_the_old_or_the_new_file(tmp_path: Path) -> None:
    program = ("import sys; from pathlib import Path; from controller.hmi.login_passwords import write_private\n"
               "n = 0\n"
               "while True:\n"
               "    write_private(Path(sys.argv[1]), str(n).encode() * 2000); n += 1\n"
               "    print(n, flush=True)\n")
    target = tmp_path / "file"
    for turn in range(10):
        process = subprocess.Popen([sys.executable, "-c", program, str(target)], stdout=subprocess.PIPE, text=True,
                                   env={**os.environ, "PYTHONPATH": os.getcwd()})
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.003 * turn)
        process.kill()
        process.stdout.read()
        process.wait(10)
        content = target.read_text()
        number = content[:len(content) // 2000]
        assert content == number * 2000


def test_hashes_are_salted_and_lengths_checked() -> None:
    assert make_hash(GOOD) != make_hash(GOOD)
    for wrong in ("", "x" * (rest.PASSWORD_SHORTEST - 1), "x" * (rest.PASSWORD_LONGEST + 1)):
        with pytest.raises(PasswordError, match=r"allowed are 8\.\.128"):
            make_hash(wrong)
    with pytest.raises(PasswordError):
        matches("nonsense", GOOD)


def test_what_root_writes_belongs_to_whoever_runs_the_controller(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        write_private(tmp_path / "file", b"x")
        assert (tmp_path / "file").stat().st_uid == os.geteuid()
        return
    os.chown(tmp_path, 12345, 12346)
    write_private(tmp_path / "file", b"x")
    found = (tmp_path / "file").stat()
    assert (found.st_uid, found.st_gid) == (12345, 12346)
