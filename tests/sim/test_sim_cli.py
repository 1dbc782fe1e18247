"""`allyarm sim --send`: the command may be one word of the shell or several."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from controller.sim.cli import run


@pytest.mark.parametrize("words", [["button press"], ["button", "press"]])
def test_send_takes_unquoted_words(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, heard = str(tmp_path / "ctl"), []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)

        def answer() -> None:
            with listener.accept()[0] as client:
                heard.append(client.recv(4096))
                client.sendall(b"ok button press\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert run(["--send", path, *words]) == 0
        thread.join(5)
    assert heard == [b"button press\n"]
    assert capsys.readouterr().out == "ok button press\n"


def test_send_without_a_command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--send", "/nowhere"]) == 2
    assert "the command is missing" in capsys.readouterr().err
