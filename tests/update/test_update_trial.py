"""The trial of a release: what is kept, what is left, and that every cut in between ends in one of the two."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from controller.update import copies, trial
from controller.update.failure import NothingNew, RefusedNow, UpdateError
from controller.update.rehearsal import WillNotStart
from controller.update.tree import verify
from tests.update.rig import BUILT, Rig, make_tree


def settings(rig: Rig, value: str | None = None, schema: int | None = None) -> tuple[str, int]:
    """What the played settings hold; they can be changed, as a release does that brings them forward."""
    with sqlite3.connect(rig.where.state / "settings.sqlite") as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE IF NOT EXISTS setting (value)")
        if value is not None:
            database.execute("DELETE FROM setting")
            database.execute("INSERT INTO setting VALUES (?)", (value,))
        if schema is not None:
            database.execute(f"PRAGMA user_version = {schema}")
        found = database.execute("SELECT value FROM setting").fetchone()
        version = database.execute("PRAGMA user_version").fetchone()[0]
    database.close()
    return found[0] if found else "", version


def test_a_good_release_is_confirmed(rig: Rig) -> None:
    settings(rig, "mine", 1)
    update = rig.update()
    version, got = update.install()
    assert (version, got.by if got else "") == ("0.2.0", "archive")
    assert rig.machine.tried == 1
    assert rig.current == "0.2.0"
    assert update.trial.gate() == "confirmed"
    assert update.follow("0.2.0", 1.0)[0] == "confirmed"
    assert rig.machine.starts == ["0.1.0", "0.2.0"]
    assert rig.board.pending() is None
    assert rig.board.previous() == rig.where.packaged
    assert settings(rig) == ("mine", 1)
    assert rig.announced()["phase"] == "confirmed"
    verify(rig.board.current())
    with pytest.raises(NothingNew):
        update.install()


@pytest.mark.parametrize(("behaviour", "why"), [
    ("crash", "the service failed"), ("hang", "not well after"), ("restarts", "restarted"), ("no_bus", "does not "
                                                                                                       "reach"),
    ("stuck", "does not advance"), ("sick", "503"), ("mute", "status page"), ("other", "another release runs"),
])
def test_a_release_that_fails_is_left(rig: Rig, behaviour: str, why: str) -> None:
    settings(rig, "before", 1)
    rig.manufacturer.release("0.3.0", behaviour, built=BUILT.format(5))
    update = rig.update(start_s=0.5)
    update.install()
    settings(rig, "changed by the new release", 2)
    assert update.trial.gate() == "rolled_back"
    assert rig.current == "0.1.0"
    assert rig.machine.starts == ["0.1.0", "0.3.0", "0.1.0"]
    assert rig.machine.active == "active"
    assert settings(rig) == ("before", 1)
    last = rig.board.last()
    assert last is not None
    assert why in last.text
    assert rig.board.pending() is None
    with pytest.raises(NothingNew, match="left by this board before"):  # not again by itself
        update.install()
    update.install(again=True)
    assert rig.current == "0.3.0"


def test_a_moment_s_trouble_is_no_reason_to_leave_a_release(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "UNWELL_S", 1.0)
    rig.manufacturer.release("0.3.0", "hiccup", built=BUILT.format(5))
    update = rig.update()
    update.install()
    assert update.trial.gate() == "confirmed"


def test_a_bus_that_was_lost_before_need_not_be_reached(rig: Rig) -> None:
    rig.manufacturer.release("0.3.0", "no_bus", built=BUILT.format(5))
    rig.machine.bus = "LOST"
    update = rig.update()
    update.install()
    assert update.trial.gate() == "confirmed"


def test_a_release_is_left_although_its_settings_cannot_be_put_back(rig: Rig) -> None:
    settings(rig, "before", 1)
    rig.manufacturer.release("0.3.0", "crash", built=BUILT.format(5))
    update = rig.update()
    update.install()
    for name in ("settings.sqlite", ".settings.sqlite.new"):     # by a service user that was taken over
        (rig.where.state / name).unlink(missing_ok=True)
        (rig.where.state / name).mkdir()
    assert update.trial.gate() == "rolled_back"
    assert rig.current == "0.1.0"
    assert rig.machine.active == "active"
    last = rig.board.last()
    assert last is not None
    assert "could not be put back" in last.text


@pytest.mark.parametrize("what", ["powered", "holder"])
def test_saf_13_not_tried_when_the_arm_was_powered_meanwhile(rig: Rig, what: str) -> None:
    update = rig.update()
    update.install()
    setattr(rig.machine, what, 3)
    assert update.trial.gate() == ""
    assert rig.machine.starts == ["0.1.0"]
    assert rig.current == "0.1.0"
    last = rig.board.last()
    assert last is not None
    assert (last.result, "was not tried" in last.text) == ("interrupted", True)


def test_saf_13_a_release_on_trial_is_not_left_by_hand_while_the_arm_is_powered(rig: Rig) -> None:
    update = rig.update()
    update.install()
    rig.machine.powered = True
    with pytest.raises(RefusedNow, match="powered"):
        update.rollback()
    assert rig.board.pending() is not None


def test_the_unit_of_a_failed_service_leaves_only_what_is_tried(rig: Rig) -> None:
    update = rig.update()
    assert update.trial.leave("the service failed") == ""       # a confirmed one stays down
    assert rig.machine.starts == ["0.1.0"]
    update.install()
    assert update.trial.leave("the service failed") == "rolled_back"
    assert rig.current == "0.1.0"
    assert update.trial.gate() == ""                            # the gate that comes later has nothing to do


def test_a_gate_that_was_overtaken_does_not_judge_the_next_release(rig: Rig) -> None:
    update = rig.update()
    update.install()
    pending = rig.board.pending()
    assert pending is not None
    update.trial.leave("the service failed")
    assert update.trial.leave("late", tree=pending.tree) == ""
    with pytest.raises(UpdateError, match="not what is being tried"):
        update.trial.confirm(pending)
    assert rig.current == "0.1.0"


def test_power_loss_between_switch_and_trial(rig: Rig) -> None:
    rig.update().install()
    rig.boot()                                      # systemd starts what is current
    assert rig.machine.starts[-1] == "0.2.0"
    assert rig.update().trial.gate() == "confirmed"
    assert rig.machine.starts == ["0.1.0", "0.2.0"]     # its start by the boot was its try


def test_power_loss_while_it_is_tried(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    update = rig.update()
    update.install()

    def cut(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trial.Trial, "_watch", cut)
        for tries in (1, 2):
            with pytest.raises(KeyboardInterrupt):
                rig.update().trial.gate()
            pending = rig.board.pending()
            assert pending is not None
            assert pending.tries == tries
            rig.boot()
    assert rig.update().trial.gate() == "rolled_back"     # it has had its tries: it may be what brings the machine down
    assert rig.current == "0.1.0"


def test_a_restart_while_nobody_watched_is_noticed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watcher is killed, the release fails and is started again by systemd: it does not pass for the first
    start."""
    update = rig.update()
    update.install()
    original = trial.Trial._look

    def cut(self: trial.Trial, *arguments: Any) -> int:
        original(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trial.Trial, "_look", cut)
        with pytest.raises(KeyboardInterrupt):
            update.trial.gate()
    rig.machine.stop()
    rig.machine.start()
    assert rig.update().trial.gate() == "rolled_back"


def test_a_watcher_that_was_killed_goes_on_with_the_same_start(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    update = rig.update()
    update.install()
    original = trial.Trial._same

    def cut(self: trial.Trial, invocation: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trial.Trial, "_same", cut)
        with pytest.raises(KeyboardInterrupt):
            update.trial.gate()
    assert original is trial.Trial._same
    assert rig.update().trial.gate() == "confirmed"
    assert rig.machine.starts == ["0.1.0", "0.2.0"]


STEPS = ("take", "set_pending", "point", "point", "stop", "restore", "mark_failed", "start", "write_json", "remove")


@pytest.mark.parametrize("step", range(12))
@pytest.mark.parametrize("boots", [False, True])
def test_a_cut_before_every_step_of_leaving(rig: Rig, monkeypatch: pytest.MonkeyPatch, step: int, boots: bool) -> None:
    """Leaving a release is cut off before its n-th step; what comes next brings the old one back, with its settings."""
    settings(rig, "before", 1)
    update = rig.update()
    update.install()
    settings(rig, "changed", 2)
    done = 0

    def cutting(original: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal done
            done += 1
            if done == step + 1:
                raise KeyboardInterrupt
            return original(*arguments, **named)
        return call

    with monkeypatch.context() as patch:
        patch.setattr(trial, "point", cutting(trial.point))
        patch.setattr(trial, "remove", cutting(trial.remove))
        patch.setattr(trial, "write_json", cutting(trial.write_json))
        patch.setattr(copies, "restore", cutting(copies.restore))
        patch.setattr(copies, "write_whole", cutting(copies.write_whole))
        for name in ("set_pending", "mark_failed"):
            patch.setattr(update.board, name, cutting(getattr(update.board, name)))
        for name in ("stop", "start"):
            patch.setattr(rig.machine, name, cutting(getattr(rig.machine, name)))
        try:
            update.trial.leave("the service failed")
        except KeyboardInterrupt:
            pass
        else:
            assert step >= done
    if boots:
        rig.boot()
    untouched = step == 0      # nothing was written yet: to systemd it is a release that is tried
    result = rig.update().trial.gate()
    if untouched:
        assert result == "confirmed"
        return
    assert rig.current == "0.1.0"
    assert rig.board.pending() is None
    assert settings(rig) == ("before", 1)
    assert rig.machine.active == "active"
    assert "0.2.0" in rig.board.failed()
    last = rig.board.last()
    assert last is not None
    assert last.result == "rolled_back"


def test_a_switch_that_was_cut_off_before_it_took_effect(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trial, "point", cut)
        with pytest.raises(KeyboardInterrupt):
            rig.update().install()
    assert rig.board.pending() is not None
    assert rig.update().trial.gate() == ""
    last = rig.board.last()
    assert last is not None
    assert last.result == "interrupted"
    assert rig.current == "0.1.0"
    assert rig.machine.starts == ["0.1.0"]
    rig.update().install()
    assert rig.update().trial.gate() == "confirmed"


def test_confirm_by_hand_only_what_runs_and_was_started_for_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    update = rig.update(confirm_s=60.0)
    assert update.trial.confirm_now() == ""
    update.install()
    with pytest.raises(UpdateError, match="not what runs now"):     # the old one still runs
        update.trial.confirm_now()

    def cut(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trial.Trial, "_same", cut)
        with pytest.raises(KeyboardInterrupt):
            rig.update().trial.gate()
    assert update.trial.confirm_now() == "confirmed"
    assert rig.current == "0.2.0"


def test_rollback_goes_through_the_gate_too_and_restores_what_has_another_form(rig: Rig) -> None:
    settings(rig, "first", 1)
    update = rig.update()
    update.install()
    settings(rig, "second", 2)      # brought forward by the new release
    assert update.trial.gate() == "confirmed"
    assert update.rollback() == "0.1.0"
    assert settings(rig) == ("second", 2)       # not before the service is down
    assert update.trial.gate() == "confirmed"
    assert rig.current == "0.1.0"
    assert settings(rig) == ("first", 1)
    assert update.rollback("0.2.0") == "0.2.0"
    assert update.trial.gate() == "confirmed"
    assert settings(rig) == ("first", 1)        # an older form it can read stays as it is
    assert update.rollback(packaged=True) == "0.1.0"
    assert rig.update().trial.gate() == "confirmed"
    with pytest.raises(NothingNew, match="runs already"):
        update.rollback(packaged=True)


def test_rollback_while_a_release_is_tried_leaves_it(rig: Rig) -> None:
    update = rig.update()
    update.install()
    assert update.rollback() == "0.1.0"
    assert rig.current == "0.1.0"
    assert rig.machine.active == "active"


def test_old_releases_are_removed_after_a_confirmation(rig: Rig) -> None:
    for number, version in enumerate(("0.2.0", "0.3.0", "0.4.0"), 3):
        if version != "0.2.0":
            rig.manufacturer.release(version, built=BUILT.format(number))
        update = rig.update()
        update.install()
        assert update.trial.gate() == "confirmed"
    assert sorted(rig.board.installed()) == ["0.1.0", "0.3.0", "0.4.0"]
    assert sorted(item.name for item in rig.where.releases.iterdir()) == ["0.3.0", "0.4.0"]
    assert list(rig.where.downloads.iterdir()) == []


def test_a_release_that_cannot_start_here_is_not_switched_to(rig: Rig) -> None:
    settings(rig, "mine", 1)
    rig.manufacturer.release("0.3.0", built=BUILT.format(5), rehearse="echo 'settings.sqlite would be set aside' >&2; "
                                                                      "exit 1")
    with pytest.raises(WillNotStart, match="would be set aside"):
        rig.update().install()
    assert rig.current == "0.1.0"
    assert rig.board.pending() is None
    assert not list(rig.where.settings_copies.glob(".new-*"))


@pytest.mark.parametrize(("version", "started"), [("0.1.5", "0.2.0"), ("0.2.0", "0.2.0"), ("0.3.0", "0.3.0")])
def test_a_package_that_is_installed_later(rig: Rig, version: str, started: str) -> None:
    """The newer of the two is started from then on; the package's own where they are the same."""
    update = rig.update()
    update.install()
    assert update.trial.gate() == "confirmed"
    shutil.rmtree(rig.where.packaged)
    make_tree(rig.where.packaged, version)
    assert rig.update().settle_package() == started
    assert rig.current == started
    assert (rig.board.current() == rig.where.packaged) == (version != "0.1.5")


def test_a_package_for_another_python_takes_over(rig: Rig) -> None:
    update = rig.update()
    update.install()
    assert update.trial.gate() == "confirmed"
    path = rig.where.packaged / "release.json"
    path.write_text(path.read_text().replace('"3.11"', '"3.13"'))
    assert rig.update().settle_package() == "0.1.0"
    assert rig.board.current() == rig.where.packaged


def test_nothing_new_is_begun_while_a_release_is_tried(rig: Rig) -> None:
    rig.update().install()
    for command in (rig.update().install, rig.update().download, lambda: rig.update().rollback("0.1.0")):
        with pytest.raises(RefusedNow, match="is being tried"):
            command()


def test_copies_have_the_rights_of_the_folder_and_never_follow_a_link(tmp_path: Path) -> None:
    state, outside = tmp_path / "state", tmp_path / "outside"
    state.mkdir()
    outside.write_bytes(b"precious")
    with sqlite3.connect(state / "settings.sqlite") as database:
        database.execute("CREATE TABLE a (b)")
    database.close()
    copies.take(state, tmp_path / "copies" / "one")
    (state / "settings.sqlite").unlink()
    (state / "settings.sqlite").symlink_to(outside)
    (state / ".settings.sqlite.new").symlink_to(outside)
    assert copies.restore(tmp_path / "copies" / "one", state, only_newer=False) == ["settings.sqlite"]
    assert outside.read_bytes() == b"precious"
    assert not (state / "settings.sqlite").is_symlink()
