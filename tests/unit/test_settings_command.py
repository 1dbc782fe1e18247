"""`allyarm settings` on the file of a stopped controller, and on a running one through its typed interface."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from controller.__main__ import main
from controller.history_table import FILE as HISTORY_FILE
from controller.settings import KNOWN
from controller.store import FILE, Store
from tests.hmi.rig import Rig, running


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.delenv("ALLYARM_TOKEN", raising=False)
    return tmp_path / "state"


def stored(folder: Path) -> dict[str, object]:
    store = Store(folder)
    values = store.items()
    store.close()
    return dict(values)


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["settings", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_looking_at_a_stopped_controller_makes_no_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, "list")
    assert code == 0
    assert all(name in out for name in KNOWN)
    assert ran(capsys, "get", "user_speed_percent.2", "rest_position_counts.1", "voice_verbosity") == (
        0, "user_speed_percent.2=100\nrest_position_counts.1=-\nvoice_verbosity=-\n", "")
    assert json.loads(ran(capsys, "list", "--json")[1])["settings"]["lock_speed"] is False
    assert not folder.exists()


def test_set_and_reset(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, "set", "user_speed_percent=60", "lock_advanced_speed=true", "voice_verbosity=brief",
                       "default_position_2_label=12", "range_minimum_deg.1=-5.5", "range_maximum_deg.1=20")
    assert code == 0
    assert "user_speed_percent.5: 100 -> 60" in out
    assert "10 of 10 settings changed" in out
    assert stored(folder) == {**{f"user_speed_percent.{i}": 60.0 for i in range(1, 6)}, "lock_advanced_speed": True,
                              "voice_verbosity": "brief", "default_position_2_label": "12",
                              "range_minimum_deg.1": -5.5, "range_maximum_deg.1": 20.0}
    assert ran(capsys, "reset", "user_speed_percent", "range_minimum_deg", "range_maximum_deg", "--dry-run")[0] == 0
    assert stored(folder)["user_speed_percent.1"] == 60.0
    assert ran(capsys, "reset", "user_speed_percent", "range_minimum_deg", "range_maximum_deg")[0] == 0
    assert set(stored(folder)) == {"lock_advanced_speed", "voice_verbosity", "default_position_2_label"}
    assert ran(capsys, "reset", "--all")[0] == 0
    assert stored(folder) == {}
    entries = [json.loads(line) for line in _history(capsys, "--json")]
    assert [entry["kind"] for entry in entries] == ["settings"] * 3     # SAF-8: also what a technician changes
    assert entries[0]["detail"]["lock_advanced_speed"] == [None, True]
    assert entries[0]["who"].startswith("allyarm settings (")


def _history(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["history", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(("arguments", "words"), [
    (["set", "user_speed_percent.1=101"], ["user_speed_percent.1", "0..100"]),
    (["set", "user_speed_percent.1=fast"], ["user_speed_percent.1", "not a number"]),
    (["set", "user_speed_percent.1=NaN"], ["user_speed_percent.1"]),
    (["set", "user_speed=5"], ["'user_speed'", "did you mean user_speed_percent"]),
    (["set", "voice_1a=50", "user_speed_percent.9=5"], ["user_speed_percent.9"]),
    (["set", "voice_1a"], ["NAME=VALUE"]),
    (["set", "voice_1a=50", "voice_1a=60"], ["twice"]),
    (["set", "range_minimum_deg=5"], ["name the axis"]),
    (["set", "range_minimum_deg.1=5"], ["belong together"]),
    (["set", "range_minimum_deg.1=5", "range_maximum_deg.1=5"], ["not below"]),
    (["set", "rest_position_counts.1=5", "rest_position_counts.3=5"], ["all axes at once"]),
    (["set", "rest_position_counts.1=5.5"], ["whole number"]),
    (["set", "range_of_motion_on=true"], ["only a running controller"]),
    (["set", "lock_speed=maybe"], ["true and false"]),
    (["set", "voice_verbosity=loud"], ["brief"]),
    (["set", f"default_position_1_label={'x' * 25}"], ["1..24"]),
    (["get", "nothing_like_it"], ["no such setting"]),
    (["reset"], ["--all"]),
    (["reset", "voice_1a", "--all"], ["--all"]),
    (["list", "--url", "ftp://x"], ["http://host:port"]),
    (["list", "--config", "/does/not/exist.toml"], ["cannot be read"]),
])
def test_mistakes_are_named_and_change_nothing(folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str],
                                               words: list[str]) -> None:
    ran(capsys, "set", "voice_1b=40")
    code, _, err = ran(capsys, *arguments)
    assert code == 2
    for word in words:
        assert word in err
    assert stored(folder) == {"voice_1b": 40.0}


def test_a_lock_is_respected(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "set", "user_speed_percent.1=50", "lock_speed=true")[0] == 0
    code, _, err = ran(capsys, "set", "user_speed_percent.1=60")
    assert (code, "is locked: set lock_speed to false" in err) == (2, True)
    assert ran(capsys, "set", "user_speed_percent.1=60", "lock_speed=false")[0] == 0
    assert stored(folder) == {"user_speed_percent.1": 60.0, "lock_speed": False}


def test_export_and_import_are_a_round_trip(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["user_speed_percent=35", "lock_speed=true", "default_position_1_label=Tür", "range_minimum_deg.2=-3",
             "range_maximum_deg.2=33", *(f"rest_position_counts.{i}={i * 100}" for i in range(1, 5))]
    assert ran(capsys, "set", *given)[0] == 0
    before, file = stored(folder), str(tmp_path / "arm.json")
    assert ran(capsys, "export", file)[0] == 0
    assert ran(capsys, "export", file)[0] == 2      # never over a file that is there
    assert ran(capsys, "export", "--force", file)[0] == 0
    assert ran(capsys, "reset", "--all")[0] == 0
    code, out, _ = ran(capsys, "import", file, "--dry-run")
    assert (code, stored(folder)) == (0, {})
    assert "lock_speed: false -> true" in out
    assert ran(capsys, "import", file)[0] == 0
    after = stored(folder)
    assert {name: after[name] for name in before} == before
    assert ran(capsys, "export")[1] == Path(file).read_text()
    part = json.dumps({"allyarm_settings": 1, "settings": {"voice_1a": 20}})
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(part.encode())))
    assert ran(capsys, "import", "-")[0] == 0
    assert stored(folder) == {**after, "voice_1a": 20.0}


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"{}", b'{"allyarm_settings": 2, "settings": {"voice_1a": 20}}',
    b'{"allyarm_settings": 1, "settings": {}}', b'{"allyarm_settings": 1}',
    b'{"allyarm_settings": 1, "settings": {"voice_1a": 20}, "more": 1}',
    b'{"allyarm_settings": 1, "settings": {"voice_1a": 20, "nothing": 1}}',
    b'{"allyarm_settings": 1, "settings": {"voice_1a": 20, "voice_1b": 2000}}',
    b'{"allyarm_settings": 1, "settings": {"voice_1a": 20, "voice_1b": NaN}}',
    b'{"allyarm_settings": 1, "settings": {"voice_1a": 20, "voice_1a": 30}}',
    b'{"allyarm_settings": 1, "settings": {"voice_1a": 20, "voice_1b": [1]}}',
    b'{"allyarm_settings": 1, "settings": {"voice_1a": 20, "range_minimum_deg.1": 5}}',
    b'{"allyarm_settings": 1, "settings": {"voice_1a": 20, "range_of_motion_on": true}}',
    b'\xff\xfe', b'{"allyarm_settings": 1, "settings": ' + b"[" * 100_000, b" " * 1_000_001])
def test_an_import_is_all_or_nothing(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                     content: bytes) -> None:
    file = tmp_path / "import.json"
    file.write_bytes(content)
    code, _, err = ran(capsys, "import", str(file))
    assert code == 2
    assert err.startswith("allyarm: ")
    assert not folder.exists() or stored(folder) == {}


def test_a_damaged_file_is_said_and_accepted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    (folder / FILE).write_bytes(b"not a database" * 300)
    assert "NOT ACCEPTED" in ran(capsys, "list")[1]
    code, out, _ = ran(capsys, "accept")
    assert (code, "set-aside" in out) == (0, True)
    assert ran(capsys, "accept")[1] == "nothing waits to be accepted\n"


def test_a_folder_without_rights_or_with_a_reader_that_has_seen_enough(folder: Path) -> None:
    program = [sys.executable, "-m", "controller", "settings", "list"]
    piped = subprocess.run(f"{sys.executable} -m controller settings list | head -1", shell=True, check=False,
                           capture_output=True, text=True, timeout=30)
    assert (piped.stdout.count("\n"), piped.stderr) == (1, "")
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file, no folder")
    done = subprocess.run([*program[:-1], "set", "voice_1a=20"], check=False, capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 1
    assert "cannot be used" in done.stderr


# -- running

def ask(rig: Rig, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    return ran(capsys, arguments[0], "--url", rig.url, *arguments[1:])


def test_a_running_controller_takes_them_at_once(folder: Path, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    with running(folder=folder) as rig:
        full = rig.state.speed_limit_deg_s[0]
        assert ask(rig, capsys, "set", "user_speed_percent=50", "range_minimum_deg.1=-10", "range_maximum_deg.1=40",
                   "default_position_1_label=Table")[0] == 0
        rig.until(lambda s: s.speed_limit_deg_s[0] == pytest.approx(full * 0.5))
        assert rig.store.get("range_maximum_deg.1") == 40.0
        assert "user_speed_percent.1=50" in ask(rig, capsys, "get", "user_speed_percent")[1]
        code, _, err = ask(rig, capsys, "set", "voice_1a=33", "range_minimum_deg.1=-1000", "range_maximum_deg.1=40")
        assert code == 2
        assert "hard limits" in err
        assert rig.store.get("voice_1a") is None    # all or nothing, although the arm's own limits say so
        file = tmp_path / "arm.json"
        assert ask(rig, capsys, "export", str(file))[0] == 0
        before = rig.store.items()
        assert ask(rig, capsys, "reset", "--all")[0] == 0
        assert rig.store.items() == {}
        rig.until(lambda s: s.speed_limit_deg_s[0] == pytest.approx(full))
        assert ask(rig, capsys, "import", "--dry-run", str(file))[0] == 0
        assert rig.store.items() == {}
        assert ask(rig, capsys, "import", str(file))[0] == 0
        assert {name: rig.store.get(name) for name in before} == before
        rig.until(lambda s: s.speed_limit_deg_s[0] == pytest.approx(full * 0.5))
        kinds = [entry["kind"] for entry in rig.get("/history?limit=1000")[1]["entries"]]
        assert kinds.count("settings") == 3


def test_a_folder_in_use_leads_to_the_running_controller(folder: Path, capsys: pytest.CaptureFixture[str],
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    with running(folder=folder) as rig:
        monkeypatch.setattr("controller.cli.reach.DEFAULT_URL", rig.url)
        assert ran(capsys, "set", "voice_1a=44")[0] == 0
        assert rig.store.get("voice_1a") == 44.0
        monkeypatch.setattr("controller.cli.reach.DEFAULT_URL", "http://127.0.0.1:9")
        code, _, err = ran(capsys, "set", "voice_1a=55")
        assert code == 1    # and not behind the controller's back
        assert "--url" in err
        assert rig.store.get("voice_1a") == 44.0


def test_a_token(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    token = "0123456789abcdefSECRET"
    with running(folder=folder, token=token) as rig:
        code, _, err = ask(rig, capsys, "set", "voice_1a=44")
        assert (code, "ALLYARM_TOKEN" in err) == (1, True)
        monkeypatch.setenv("ALLYARM_TOKEN", token)
        assert ask(rig, capsys, "set", "voice_1a=44")[0] == 0
        assert "settings changed" in "".join(_history(capsys, "--url", rig.url))
        rig.history.close()
        assert token.encode() not in (folder / HISTORY_FILE).read_bytes()
        for item in folder.iterdir():
            assert token.encode() not in item.read_bytes(), item.name


def test_a_joystick_sensitivity_is_a_share_of_its_scale(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = ran(capsys, "set", "joystick_sensitivity.1=50")
    assert code == 2
    assert "joystick_sensitivity.1: 50 is above joystick_sensitivity_scale, which is 10: set both" in err
    assert ran(capsys, "set", "joystick_sensitivity.1=50", "joystick_sensitivity_scale=100")[0] == 0
    assert stored(folder) == {"joystick_sensitivity.1": 50.0, "joystick_sensitivity_scale": 100.0}
