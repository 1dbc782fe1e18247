"""`allyarm devices`: what is listed, what cannot be opened, and why."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from controller.__main__ import main
from controller.input import device, finder
from tests.input.recording import FakeDevice, load


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    recordings = {"event0": load("space_x"), "event1": load("pad_left_stick")}

    def opened(path: str) -> FakeDevice:
        name = os.path.basename(path)
        if name not in recordings:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        found = FakeDevice(recordings[name], path)
        found.busy = True   # whoever uses it goes on using it
        if name == "event1":
            found.now[0] = 32767
        return found

    monkeypatch.setattr(finder, "FOLDER", tmp_path)
    monkeypatch.setattr(device, "EvdevSource", opened)
    return tmp_path


def test_what_is_there_is_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "event0").write_text("")
    (folder / "event1").write_text("")
    assert main(["devices", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(item["name"], item["id"], item["kind"], item["used"]) for item in found] == [
        ("3Dconnexion SpaceNavigator", "046d:c626", "3D mouse", True),
        ("Microsoft X-Box 360 pad", "045e:028e", "game pad", True)]
    assert found[1]["axes"]["x"] == 1.0
    assert main(["devices"]) == 0
    out = capsys.readouterr().out
    assert "3D mouse" in out
    assert "enabled = true" in out


def test_the_configuration_says_which_are_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "event0").write_text("")
    (folder / "event1").write_text("")
    file = folder / "allyarm.toml"
    file.write_text('[input]\nenabled = true\ndevices = ["046d:*", "Microsoft*"]\n')
    assert main(["devices", "--json", "--config", str(file)]) == 0
    assert [item["used"] for item in json.loads(capsys.readouterr().out)] == [False, True]
    file.write_text("[input]\nenabeld = true\n")
    assert main(["devices", "--config", str(file)]) == 2
    assert "did you mean enabled" in capsys.readouterr().err


def test_why_one_may_not_be_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices"]) == 1
    assert "no input device" in capsys.readouterr().err
    (folder / "event7").write_text("")
    assert main(["devices"]) == 1
    err = capsys.readouterr().err
    assert "event7: may not be read" in err
    assert "usermod -aG input" in err
