"""When nothing is installed: a powered arm, a client in control, and whatever cannot be told. And what the command line
says and returns."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from controller.__main__ import main
from controller.update.announced import FILE_BYTES, Phase, Watch
from controller.update.clock import Seen, floor, written
from controller.update.failure import RefusedNow
from controller.update.progress import Progress
from controller.update.service import Unit
from controller.update.version import order
from tests.update.rig import BUILT, Rig, make_tree


def refused(rig: Rig, match: str) -> None:
    with pytest.raises(RefusedNow, match=match):
        rig.update().install()
    assert rig.current == "0.1.0"
    assert rig.board.pending() is None
    assert not any("targets/" in path for path in rig.web.asked)


def test_saf_13_refused_while_the_arm_is_powered(rig: Rig) -> None:
    rig.machine.powered = True
    refused(rig, "is powered: switch motor power off")
    with pytest.raises(RefusedNow, match="powered"):
        rig.update().rollback(packaged=True)


def test_saf_13_refused_while_a_client_is_in_control(rig: Rig) -> None:
    rig.machine.holder = 3
    refused(rig, "page is in control")


@pytest.mark.parametrize("what", ["powered", "holder"])
def test_saf_13_refused_when_that_began_during_the_download(rig: Rig, what: str) -> None:
    def change(path: str, _: Any) -> bool:
        if ".tar.zst" in path:
            setattr(rig.machine, what, 3)
        return False

    rig.web.change = change
    with pytest.raises(RefusedNow):
        rig.update().install()
    assert rig.current == "0.1.0"
    assert rig.board.pending() is None
    assert rig.machine.tried == 0


def test_saf_13_what_cannot_be_told_counts_as_powered(rig: Rig) -> None:
    rig.machine._behaviour = "mute"
    refused(rig, "cannot be told whether")
    rig.machine.stop()
    rig.machine._unit = Unit("activating", "i9", 0, True)
    refused(rig, "wait until it has started")


def test_allowed_while_no_controller_runs(rig: Rig) -> None:
    rig.machine.stop()
    rig.update().install()
    pending = rig.board.pending()
    assert pending is not None
    assert pending.bus_state == ""
    assert rig.update().trial.gate() == "confirmed"


def test_one_at_a_time(rig: Rig) -> None:
    from controller.update.files import Lock

    with Lock(rig.where.lock):
        refused(rig, "another update is under way")
    rig.update().install()


# -- the command line

SYSTEMCTL = """#!/bin/sh
case "$*" in *show*) cat {state} ;; *) echo "$*" >> {log} ;; esac
"""


@pytest.fixture
def board(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """The board of the rig for commands: with a configuration, and a systemctl that only notes what it is told."""
    rig.where.configuration.parent.mkdir(parents=True)
    rig.where.configuration.write_text(f'[hmi]\nport = {rig.machine.port}\n[update]\nurl = "{rig.web.url}"\n')
    (tmp_path / "bin").mkdir()
    (tmp_path / "state").write_text("LoadState=loaded\nActiveState=active\nInvocationID=a\nNRestarts=0\n")
    tool = tmp_path / "bin/systemctl"
    tool.write_text(SYSTEMCTL.format(state=tmp_path / "state", log=tmp_path / "told"))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return rig


def command(rig: Rig, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["update", *words, "--root", str(rig.folder / "board")])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_commands_and_their_exit_codes(board: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(board, capsys, "check")
    assert (code, out.splitlines()[0][:34]) == (0, "0.1.0 is installed; the newest is ")
    code, out, _ = command(board, capsys, "check", "--json")
    assert (code, json.loads(out)["newest"], json.loads(out)["new"]) == (0, "0.2.0", True)
    code, out, _ = command(board, capsys, "download")
    assert (code, out[:14]) == (0, "0.2.0 is ready")
    assert board.announced()["phase"] == "ready"
    board.machine.powered = True
    code, _, err = command(board, capsys, "install")
    assert (code, "powered" in err) == (4, True)
    code, out, _ = command(board, capsys, "install", "--json")
    assert (code, json.loads(out)["error"]) == (4, "RefusedNow")
    board.machine.powered = False
    code, out, _ = command(board, capsys, "install", "--no-wait", "--json")
    assert (code, json.loads(out)["version"]) == (0, "0.2.0")
    assert "start --no-block allyarm-confirm.service" in (tmp_path / "told").read_text()
    code, out, _ = command(board, capsys, "status", "--json")
    status = json.loads(out)
    assert (status["current"], status["pending"]["version"], status["metadata"]["targets"]) == ("0.2.0", "0.2.0", 2)
    code, out, _ = command(board, capsys, "status")
    assert "being tried: 0.2.0" in out
    code, _, err = command(board, capsys, "confirm")
    assert (code, "not what runs now" in err) == (1, True)
    code, out, _ = command(board, capsys, "rollback", "--service-failed")
    assert (code, "left" in out) == (0, True)
    code, out, _ = command(board, capsys, "rollback", "--service-failed")
    assert (code, "stays down" in out) == (0, True)
    code, _, err = command(board, capsys, "rollback", "--version", "7.7.7")
    assert (code, "allowed: 0.1.0, 0.2.0" in err) == (2, True)
    code, _, err = command(board, capsys, "install")
    assert (code, "left by this board before" in err) == (3, True)
    code, out, _ = command(board, capsys, "confirm", "--prune")
    assert code == 0
    code, _, err = command(board, capsys, "check", "--repository", "ftp://somewhere")
    assert (code, "allowed: http://" in err) == (2, True)
    timestamp = board.manufacturer.folder / "metadata/timestamp.json"
    timestamp.write_text(timestamp.read_text().replace("snapshot", "snapshut"))
    code, _, err = command(board, capsys, "check")
    assert (code, "verification failed" in err) == (5, True)
    assert board.announced()["phase"] == "failed"
    board.web.close()
    code, _, err = command(board, capsys, "check")
    assert (code, "cannot be reached" in err) == (6, True)


@pytest.mark.parametrize(("text", "key"), [
    ('url = "ftp://x"', "update.url"), ('url = "http://a b"', "update.url"), ("url = 3", "update.url"),
    ('channel = "nightly"', "update.channel"), ("confirm_s = 0", "update.confirm_s"),
    ("start_s = 1e9", "update.start_s"),
])
def test_a_wrong_configuration(board: Rig, capsys: pytest.CaptureFixture[str], text: str, key: str) -> None:
    board.where.configuration.write_text(f"[update]\n{text}\n")
    code, _, err = command(board, capsys, "check")
    assert code == 2
    assert key in err
    assert "allowed" in err
    code, _, _ = command(board, capsys, "rollback", "--service-failed")     # going back needs none
    assert code == 0


def test_no_repository_no_root_no_release(board: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    board.where.configuration.write_text(f"[hmi]\nport = {board.machine.port}\n")
    code, _, err = command(board, capsys, "check")
    assert (code, "update.url: empty" in err) == (2, True)
    board.where.trusted_root.unlink()
    code, _, err = command(board, capsys, "check", "--repository", board.web.url)
    assert (code, "no trusted root" in err) == (2, True)
    shutil.rmtree(board.where.packaged)
    code, _, err = command(board, capsys, "check", "--repository", board.web.url)
    assert (code, "install the package first" in err) == (1, True)


def test_only_root(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["update", "check"]) == 2
    assert "sudo" in capsys.readouterr().err


# -- small parts

def test_the_controller_reads_what_an_update_says(tmp_path: Path) -> None:
    path = tmp_path / "run/status.json"
    watch = Watch("0.1.0", path)
    assert not watch.tick()
    progress = Progress(path)
    progress.phase(Phase.DOWNLOAD, "downloading", "0.2.0", total=200)
    assert watch.tick()
    progress.came(100)
    progress.came(100)
    assert not watch.tick()         # the same phase, farther on
    assert (watch.state.running, watch.state.phase, watch.state.version, watch.state.percent) == (
        "0.1.0", "download", "0.2.0", 100)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.unlink()
    assert watch.tick()
    assert watch.state.phase == ""


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"null", b'{"phase": "no such"}', b'{"percent": 101}', b'{"percent": "x"}', b'{"version": 3}',
    b'{"text": "' + b"x" * 600 + b'"}', b"\xff\xfe", b"[" * 4000, b" " * (FILE_BYTES + 1),
])
def test_the_controller_takes_no_rubbish(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "status.json"
    Progress(path).phase(Phase.TRY, "trying", "0.2.0")
    watch = Watch("0.1.0", path)
    watch.tick()
    path.write_bytes(content)
    assert watch.tick()
    assert (watch.state.phase, watch.state.text) == ("", "")
    assert str(path) in watch.state.problem
    assert not watch.tick()


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_the_controller_never_waits_for_that_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "status.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(path)
    watch = Watch("0.1.0", path)
    assert watch.tick()
    assert watch.state.problem


def test_progress_never_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    progress = Progress(tmp_path / "file/status.json")
    progress.phase(Phase.DOWNLOAD, "x" * 10_000, "v" * 100, total=1)
    progress.came(5)


def test_versions_in_order() -> None:
    ordered = ["0.1.0a1", "0.1.0a2", "0.1.0b1", "0.1.0rc1", "0.1.0rc10", "0.1.0", "0.1.1", "0.2.0", "0.10.0", "1.0.0"]
    for lower, higher in itertools.pairwise(ordered):
        assert order(lower) < order(higher)
    for wrong in ("", "1", "1.2", "1.2.3.4", "1.2.3-1", "v1.2.3", "1.2.3 ", "1.2.3\n", "1.2.x", "١.٢.٣", "1.2.3rc",
                  "../1.2.3", "1.2.345678"):
        with pytest.raises(ValueError, match="allowed"):
            order(wrong)


def test_the_time_floor_only_goes_up() -> None:
    seen = Seen("2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z")
    assert written(floor(seen)) == "2027-02-01T00:00:00Z"
    assert written(floor(seen, "2027-03-01T00:00:00Z", "rubbish")) == "2027-03-01T00:00:00Z"
    assert written(floor(Seen("rubbish", ""))) == "2026-01-01T00:00:00Z"


def test_the_launcher_s_rule_for_what_is_started(rig: Rig) -> None:
    """`current` counts when it has a program; whatever else stands there, the packaged release is started."""
    assert rig.board.current() == rig.where.packaged
    rig.where.root.mkdir(parents=True, exist_ok=True)
    for target in ("/nowhere", str(rig.where.root), "current"):
        rig.where.current.unlink(missing_ok=True)
        rig.where.current.symlink_to(target)
        assert rig.board.current() == rig.where.packaged
    make_tree(rig.where.releases / "0.2.0", "0.2.0", built=BUILT.format(2))
    rig.where.current.unlink()
    rig.where.current.symlink_to("releases/0.2.0")
    assert rig.current == "0.2.0"


def test_a_state_of_ours_that_is_rubbish_stands_for_nothing(rig: Rig) -> None:
    rig.where.root.mkdir(parents=True, exist_ok=True)
    for content in (b"", b"{", b"[]", b'{"version": 1}', b"\xff" * 100):
        for path in (rig.where.pending, rig.where.failed, rig.where.seen, rig.board.last_path):
            path.write_bytes(content)
        assert rig.board.pending() is None
        assert rig.board.failed() == {}
        assert rig.board.last() is None
        assert rig.update().trial.gate() == ""
        assert not rig.where.pending.exists()
    rig.update().install()
    assert rig.update().trial.gate() == "confirmed"
