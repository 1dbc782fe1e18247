"""How a release comes onto the board: by a delta or whole, complete or not at all, and never outside its folder."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from controller.update import files, zstd
from controller.update.failure import DiskError, NothingNew, Untrusted, UpdateError, UsageError
from controller.update.tree import read_manifest, unpack, verify, write_normal_tar
from tests.update.rig import BUILT, Rig, make_tree


def installed(rig: Rig, version: str) -> None:
    rig.update().install(version)
    assert rig.update().trial.gate() == "confirmed"


def with_delta(rig: Rig, version: str = "0.3.0") -> None:
    """The board runs 0.2.0, and there is a delta from it."""
    installed(rig, "0.2.0")
    rig.manufacturer.release(version, built=BUILT.format(5))


def test_delta(rig: Rig) -> None:
    with_delta(rig)
    found, _, _ = rig.update().check()
    assert 0 < found.delta_bytes < 10_000
    assert found.bytes > 150_000
    got = rig.update().download()
    assert (got.by, got.downloaded, got.fallback) == ("delta", found.delta_bytes, "")
    assert verify(got.tree).version == "0.3.0"
    assert os.access(got.tree / "bin/allyarm", os.X_OK)
    assert not os.access(got.tree / "lib/behaviour", os.X_OK)
    assert not any(".tar.zst" in path for path in rig.web.asked[-3:])
    assert list(rig.where.downloads.iterdir()) == []


def test_the_newest_of_several_releases_has_deltas_from_those_before(rig: Rig) -> None:
    """Also from two releases before, and from the packaged one when it was published."""
    installed(rig, "0.2.0")
    rig.manufacturer.release("0.3.0", built=BUILT.format(5))
    rig.manufacturer.release("0.4.0", built=BUILT.format(6))
    assert rig.update().download().by == "delta"


@pytest.mark.parametrize("broken", ["delta", "base", "missing"])
def test_a_delta_that_does_not_serve(rig: Rig, broken: str) -> None:
    """The whole release is got instead, and it is told why."""
    with_delta(rig)
    delta = next((rig.manufacturer.folder / "targets").glob("*.delta.zst"))
    if broken == "delta":
        delta.write_bytes(delta.read_bytes()[:-3] + b"abc")
    elif broken == "missing":
        delta.unlink()
    else:   # the installed release is not what it was: its program is damaged
        with (rig.where.releases / "0.2.0/lib/package_0/part_0.bin").open("r+b") as file:
            file.write(b"damage")
    got = rig.update().download()
    assert got.by == "archive"
    assert got.fallback
    assert verify(got.tree).version == "0.3.0"
    assert any("does not serve" in line for line in rig.said)


def test_a_signed_delta_that_gives_something_else(rig: Rig, tmp_path: Path) -> None:
    """A delta is only a way: what it gives is compared with the release's own signed hash."""
    with_delta(rig)
    manufacturer = rig.manufacturer
    targets = manufacturer.publisher.load("targets")
    name = next(name for name in targets.signed.targets if name.endswith(".delta.zst"))
    custom = targets.signed.targets[name].unrecognized_fields["custom"]
    base, other = tmp_path / "base.tar", tmp_path / "other.tar"
    for path, tree in ((base, manufacturer.work / "0.2.0"), (other, make_tree(tmp_path / "other", "0.3.0", "evil"))):
        with path.open("wb") as file:
            write_normal_tar(tree, file)
    zstd.compress(other, tmp_path / "delta", base, 3)
    from controller.update.offers import DeltaOffer

    offer = DeltaOffer(custom["version"], custom["before"], custom["before_sha256"], "amd64", "3.11")
    targets.signed.targets[name] = manufacturer.publisher._file(name, tmp_path / "delta", offer)
    manufacturer.publisher._publish(manufacturer.signers, targets)
    got = rig.update().download()
    assert (got.by, (got.tree / "lib/behaviour").read_text()) == ("archive", "good")
    assert "not the one that was signed" in got.fallback or "longer than" in got.fallback


def test_no_zstd(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(UpdateError, match="apt-get install zstd"):
        rig.update().download()


def test_what_was_downloaded_is_not_downloaded_again_and_needs_no_network(rig: Rig) -> None:
    assert rig.update().download().by == "archive"
    count = len([path for path in rig.web.asked if "targets/" in path])
    assert rig.update().download().by == "installed"
    assert len([path for path in rig.web.asked if "targets/" in path]) == count
    rig.web.close()
    version, got = rig.update().install()
    assert (version, got) == ("0.2.0", None)
    assert rig.update().trial.gate() == "confirmed"


def test_a_release_that_was_damaged_on_the_disk_is_got_again(rig: Rig) -> None:
    tree = rig.update().download().tree
    (tree / "lib/behaviour").write_text("damaged")
    assert rig.update().download().by == "archive"
    assert (tree / "lib/behaviour").read_text() == "good"


def test_an_older_version_is_never_installed(rig: Rig) -> None:
    """Even when the manufacturer offers nothing else: going back is another command."""
    rig.manufacturer.release("0.3.0", built=BUILT.format(5))
    installed(rig, "0.3.0")
    with pytest.raises(NothingNew, match="rollback"):
        rig.update().install("0.2.0")
    rig.manufacturer.publisher.remove("0.3.0", rig.manufacturer.signers)
    with pytest.raises(NothingNew):
        rig.update().install()
    assert rig.current == "0.3.0"


def test_a_version_is_published_once(rig: Rig, tmp_path: Path) -> None:
    from tests.update.rig import make_archive

    archive = make_archive(make_tree(tmp_path / "again", "0.2.0", "other"), tmp_path / "again.tar.zst")
    with pytest.raises(UsageError, match="in the repository already"):
        rig.manufacturer.publisher.add(archive, rig.manufacturer.signers)


def archive_of(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    out.seek(0)
    return out


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o644
    return info


@pytest.mark.parametrize(("members", "why"), [
    ([(member("../escape"), b"x")], "relative"), ([(member("/escape"), b"x")], "relative"),
    ([(member("a/../../escape"), b"x")], "relative"), ([(member("a\nb"), b"x")], "relative"),
    ([(member("x" * 500), b"x")], "relative"), ([(member("a//b"), b"x")], "relative"),
    ([(member("link", tarfile.SYMTYPE, "/etc/passwd"), b"")], "link or a device"),
    ([(member("link", tarfile.LNKTYPE, "../../etc/passwd"), b"")], "link or a device"),
    ([(member("pipe", tarfile.FIFOTYPE), b"")], "link or a device"),
    ([(member("disk", tarfile.BLKTYPE), b"")], "link or a device"),
    ([(member("same"), b"1"), (member("same"), b"2")], "twice"),
    ([(member("a"), b"1"), (member("a/b"), b"2")], "folder too"),
    ([(member("link", tarfile.SYMTYPE, ".."), b""), (member("link/escape"), b"2")], "link or a device"),
])
def test_unpacking_stays_inside(tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]], why: str) -> None:
    with pytest.raises(Untrusted, match=why):
        unpack(archive_of(*members), tmp_path / "into")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["into"]


@pytest.mark.parametrize(("bound", "value"), [("FILE_BYTES", 10), ("TREE_BYTES", 15), ("FILES_LIMIT", 1)])
def test_unpacking_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, value: int) -> None:
    monkeypatch.setattr(f"controller.update.tree.{bound}", value)
    with pytest.raises(Untrusted, match="too large"):
        unpack(archive_of((member("a"), b"0123456789"), (member("b"), b"0123456789a")), tmp_path / "into")


@pytest.mark.parametrize("cut", [0, 100, 600, 1500, 5000])
def test_a_broken_archive(tmp_path: Path, cut: int) -> None:
    content = archive_of((member("a"), os.urandom(3000)), (member("b"), os.urandom(3000))).getvalue()
    rubbish = io.BytesIO(content[:cut]) if cut else io.BytesIO(os.urandom(2000))
    with pytest.raises(Untrusted):
        unpack(rubbish, tmp_path / "into")


def test_rights_and_owners_of_the_archive_are_not_taken(tmp_path: Path) -> None:
    info = member("bin/tool")
    info.mode, info.uid, info.gid = 0o6777, 1234, 1234
    unpack(archive_of((info, b"x")), tmp_path / "into")
    found = (tmp_path / "into/bin/tool").stat()
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o755, os.geteuid(), os.getegid())


@pytest.mark.parametrize("how", ["changed", "missing", "extra", "link", "no_program", "name", "json"])
def test_verify_finds_what_is_wrong(tmp_path: Path, how: str) -> None:
    tree = make_tree(tmp_path / "tree", "0.2.0")
    verify(tree)
    victim = tree / "lib/behaviour"
    if how == "changed":
        victim.write_text("evil")
    elif how == "missing":
        victim.unlink()
    elif how == "extra":
        (tree / "lib/more.py").write_text("import evil")
    elif how == "link":
        (tmp_path / "copy").write_bytes(victim.read_bytes())
        victim.unlink()
        victim.symlink_to(tmp_path / "copy")
    else:
        text = (tree / "release.json").read_text()
        changed = {"no_program": text.replace("bin/allyarm", "bin/other"),
                   "name": text.replace("lib/beh", "../lib/beh"),
                   "json": text[:-5]}[how]
        (tree / "release.json").write_text(changed)
    with pytest.raises(Untrusted):
        verify(tree)


def test_the_normal_archive_depends_on_names_and_contents_only(tmp_path: Path) -> None:
    one, two = make_tree(tmp_path / "one", "0.2.0"), make_tree(tmp_path / "two", "0.2.0")
    for number, path in enumerate(two.rglob("*")):
        os.utime(path, (number, number))
    (two / "lib/behaviour").chmod(0o600)
    (two / "lib/__pycache__").mkdir()
    out = [io.BytesIO(), io.BytesIO()]
    assert write_normal_tar(one, out[0]) == write_normal_tar(two, out[1])
    unpack(io.BytesIO(out[0].getvalue()), tmp_path / "three")
    assert verify(tmp_path / "three") == read_manifest(one)


def test_a_release_whose_manifest_says_another_version(rig: Rig) -> None:
    """Signed is what release engineers did; a mistake of theirs is found before anything is switched to."""
    targets = rig.manufacturer.publisher.load("targets")
    for target in targets.signed.targets.values():
        target.unrecognized_fields["custom"]["version"] = "0.9.0"
    rig.manufacturer.publisher._publish(rig.manufacturer.signers, targets)
    with pytest.raises(Untrusted, match=r"release.json says version 0\.2\.0"):
        rig.update().install()
    assert rig.current == "0.1.0"
    assert list(rig.where.releases.iterdir()) == []


def test_a_board_without_room_is_told_before(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SPARE_BYTES", 1 << 60)
    with pytest.raises(DiskError, match="are free: delete"):
        rig.update().install()
    assert rig.current == "0.1.0"
    assert not any("targets/" in path for path in rig.web.asked)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("size_kb", [180, 330, 420])
def test_a_disk_that_fills_up(rig: Rig, monkeypatch: pytest.MonkeyPatch, size_kb: int) -> None:
    """The check before is passed (somebody else fills the disk meanwhile): download, unpacking or the last step fails,
    and what runs is as it was."""
    disk = rig.where.root
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(disk)], check=True)
    try:
        monkeypatch.setattr(files, "need_room", lambda *_: None)
        for user in ("get", "copies"):
            monkeypatch.setattr(f"controller.update.{user}.need_room", lambda *_: None)
        with pytest.raises(DiskError) as caught:
            rig.update().install()
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.ENOSPC
        assert rig.current == "0.1.0"
        assert rig.board.pending() is None
        assert not rig.where.releases.exists() or list(rig.where.releases.iterdir()) == []
        assert rig.machine.starts == ["0.1.0"]
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        rig.update().install()
        assert rig.update().trial.gate() == "confirmed"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_getter_cut_off_leaves_nothing_that_looks_complete(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("controller.update.get.settle", cut)
        patch.setattr("controller.update.get.remove_tree", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            rig.update().download()
    assert [item.name for item in rig.where.releases.iterdir()] == [".new-0.2.0"]
    assert list(rig.board.installed()) == ["0.1.0"]
    assert rig.update().download().by == "archive"
    assert [item.name for item in rig.where.releases.iterdir()] == ["0.2.0"]
