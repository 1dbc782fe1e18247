"""`allyarm-release`: what release engineers do, and what it refuses them."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from controller.update.release_command import main
from tests.update.rig import BUILT, make_archive, make_tree


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("ALLYARM_KEY_PASSPHRASE", raising=False)
    return tmp_path


def archive(folder: Path, version: str, day: int, **tree: str) -> str:
    return str(make_archive(make_tree(folder / f"tree-{version}", version, built=BUILT.format(day), **tree),
                            folder / f"{version}.tar.zst"))


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_repository_s_life(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repository, keys = str(folder / "repository"), str(folder / "keys")
    assert command(capsys, "init", repository, "--keys", keys, "--unencrypted")[0] == 0
    assert stat.S_IMODE((folder / "keys").stat().st_mode) == 0o700
    assert {stat.S_IMODE(item.stat().st_mode) for item in (folder / "keys").iterdir()} == {0o600}
    assert sorted(item.name for item in (folder / "keys").iterdir()) == [
        "root-1.pem", "root-2.pem", "root-3.pem", "snapshot-1.pem", "targets-1.pem", "timestamp-1.pem"]
    code, _, err = command(capsys, "init", repository, "--keys", keys, "--unencrypted")
    assert (code, "repository already" in err) == (2, True)
    sign = ("--keys", keys)
    assert command(capsys, "add", repository, archive(folder, "0.2.0", 2), *sign, "--level", "3")[0] == 0
    beta = ("--level", "3", "--channel", "beta")
    assert command(capsys, "add", repository, archive(folder, "0.3.0", 3), *sign, *beta)[0] == 0
    code, out, _ = command(capsys, "list", repository, "--json")
    found = json.loads(out)
    assert [item["offer"]["version"] for item in found["offers"]] == ["0.2.0", "0.3.0", "0.3.0"]
    assert [item["offer"]["kind"] for item in found["offers"]] == ["release", "release", "delta"]
    before = json.loads((folder / "repository/metadata/timestamp.json").read_text())["signed"]["version"]
    online = folder / "online"
    online.mkdir()
    (folder / "keys/timestamp-1.pem").rename(online / "timestamp-1.pem")
    assert command(capsys, "refresh", repository, "--keys", str(online))[0] == 0
    after = json.loads((folder / "repository/metadata/timestamp.json").read_text())["signed"]
    assert after["version"] == before + 1
    code, _, err = command(capsys, "add", repository, archive(folder, "0.4.0", 4), *sign)
    assert (code, "timestamp needs 1 of its keys, 0 are there" in err) == (2, True)
    code, out, _ = command(capsys, "list", repository)
    stolen = next(line for line in out.splitlines() if line.startswith("timestamp:")).rpartition(" ")[2]
    both = (*sign, "--keys", str(online))
    assert command(capsys, "rotate", repository, "timestamp", *both, "--drop", stolen, "--unencrypted")[0] == 0
    code, out, _ = command(capsys, "list", repository)
    assert stolen not in out
    assert command(capsys, "rotate", repository, "root", *both, "--new", "0")[0] == 0
    assert sorted(item.name for item in (folder / "repository/metadata").glob("*root.json")) == [
        "1.root.json", "2.root.json", "3.root.json"]
    assert command(capsys, "remove", repository, "0.2.0", *both)[0] == 0
    code, out, _ = command(capsys, "list", repository)
    assert "0.2.0" not in out
    assert not list((folder / "repository/targets").glob("*0.2.0*"))
    assert not list((folder / "repository/targets").glob(".*"))


def test_encrypted_keys(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    repository, keys = str(folder / "repository"), str(folder / "keys")
    code, _, err = command(capsys, "init", repository, "--keys", keys)
    assert (code, "ALLYARM_KEY_PASSPHRASE" in err) == (2, True)
    monkeypatch.setenv("ALLYARM_KEY_PASSPHRASE", "short")
    code, _, err = command(capsys, "init", repository, "--keys", keys)
    assert (code, "allowed: 12 or more" in err) == (2, True)
    monkeypatch.setenv("ALLYARM_KEY_PASSPHRASE", "a long passphrase")
    assert command(capsys, "init", repository, "--keys", keys)[0] == 0
    assert b"ENCRYPTED" in (folder / "keys/root-1.pem").read_bytes()
    assert command(capsys, "refresh", repository, "--keys", keys)[0] == 0
    monkeypatch.setenv("ALLYARM_KEY_PASSPHRASE", "another passphrase")
    code, _, err = command(capsys, "refresh", repository, "--keys", keys)
    assert (code, "is the passphrase right?" in err) == (2, True)


def test_what_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repository, keys = str(folder / "repository"), str(folder / "keys")
    code, _, err = command(capsys, "list", repository)
    assert (code, "allyarm-release init" in err) == (2, True)
    code, _, err = command(capsys, "init", repository, "--keys", keys, "--root-threshold", "4", "--unencrypted")
    assert (code, "allowed: up to --root-keys, 3" in err) == (2, True)
    assert command(capsys, "init", repository, "--keys", keys, "--unencrypted")[0] == 0
    (folder / "keys/root-1.pem").chmod(0o644)
    code, _, err = command(capsys, "refresh", repository, "--keys", keys)
    assert (code, "may be read by others" in err) == (2, True)
    (folder / "keys/root-1.pem").chmod(0o600)
    code, _, err = command(capsys, "add", repository, str(folder / "nothing.tar.zst"), "--keys", keys)
    assert (code, "no such file" in err) == (2, True)
    broken = make_tree(folder / "broken", "0.2.0")
    (broken / "lib/behaviour").write_text("not what release.json says")
    packed = str(make_archive(broken, folder / "broken.tar.zst"))
    code, _, err = command(capsys, "add", repository, packed, "--keys", keys)
    assert (code, "is not what the release says" in err) == (5, True)
    code, out, _ = command(capsys, "list", repository)
    assert "release" not in out.replace("allyarm-release", "")
    code, _, err = command(capsys, "remove", repository, "0.9.0", "--keys", keys)
    assert (code, "there is no release 0.9.0" in err) == (2, True)
    code, _, err = command(capsys, "rotate", repository, "targets", "--keys", keys, "--new", "0", "--drop", "0" * 64)
    assert (code, "has no key" in err) == (2, True)
    only = folder / "only"
    only.mkdir()
    for name in ("root-1.pem", "timestamp-1.pem"):
        (folder / "keys" / name).rename(only / name)
    code, _, err = command(capsys, "rotate", repository, "timestamp", "--keys", str(only), "--unencrypted")
    assert (code, "root needs 2 of its keys, 1 are there" in err) == (2, True)
    with pytest.raises(SystemExit):
        main(["refresh", repository, "--keys", keys, "--days", "timestamp=0"])
