"""Getting a release: by a delta from what is installed, else whole; verified before it has its name.

Nothing that is unpacked here is looked at by the launcher before its name is there, and its name is there only when all
of it is flushed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from controller.folders import sync_folder
from controller.update import zstd
from controller.update.announced import Phase
from controller.update.board import Board
from controller.update.failure import DiskError, NetworkError, Untrusted
from controller.update.files import megabytes, need_room, remove_tree
from controller.update.offers import Choice, ReleaseOffer, Target
from controller.update.progress import Progress
from controller.update.tree import Checked, Manifest, digest, settle, unpack, verify, write_normal_tar
from controller.update.trust import Repository

TAR_SLACK = 20_000 * 2048   # headers and blocks of the files


class Got(msgspec.Struct, frozen=True):
    """The release as it stands now. `by` says how it came: installed, delta, archive; `downloaded` bytes; `fallback`
    why a delta did not serve."""

    tree: Path
    by: str
    downloaded: int = 0
    fallback: str = ""


class Getter:
    """Gets what `choice` names from `repository` onto `board`. Raises UpdateError; a partial result is removed, or is
    when the next one starts."""

    def __init__(self, board: Board, repository: Repository, progress: Progress,
                 say: Callable[[str], None] = lambda _: None) -> None:
        self._board, self._repository, self._progress, self._say = board, repository, progress, say

    def installed(self, choice: Choice) -> Path | None:
        """The release's folder when it is complete already; a damaged one is removed."""
        tree = self._board.where.releases / choice.release.version
        if not tree.exists():
            return None
        try:
            self._check(verify(tree), choice.release)
        except Untrusted:
            if tree == self._board.current() or tree == self._board.previous():
                raise
            remove_tree(tree)
            return None
        return tree

    def get(self, choice: Choice) -> Got:
        """The release, complete, under its name in `releases`. The lock is held."""
        self._board.tidy()
        if (tree := self.installed(choice)) is not None:
            return Got(tree, "installed")
        release, where = choice.release, self._board.where
        need_room(where.root, choice.archive.length + release.unpacked + TAR_SLACK // 10, f"release {release.version}")
        downloaded, fallback = 0, ""
        if choice.delta is not None:
            try:
                return Got(self._by_delta(choice, choice.delta), "delta", choice.delta.length)
            except (Untrusted, NetworkError, DiskError, zstd.NoZstd) as error:
                fallback = str(error)
                downloaded = choice.delta.length
                self._say(f"the delta does not serve ({error}): getting the whole release")
        archive = self._download(choice.archive)
        try:
            return Got(self._unpack(release, archive, None), "archive", downloaded + choice.archive.length, fallback)
        finally:
            archive.unlink(missing_ok=True)

    def _by_delta(self, choice: Choice, target: Target) -> Path:
        before = self._board.installed().get(target.offer.before)  # type: ignore[union-attr]
        if before is None:
            raise Untrusted("the release it starts from is not installed")
        base = self._board.where.downloads / "base.tar"
        delta: Path | None = None
        try:
            delta = self._download(target)
            with base.open("wb") as file:
                found, _ = write_normal_tar(before, file)
            if found != target.offer.before_sha256:  # type: ignore[union-attr]
                raise Untrusted(f"{before} is not the release it starts from")
            return self._unpack(choice.release, delta, base)
        finally:
            base.unlink(missing_ok=True)
            if delta is not None:
                delta.unlink(missing_ok=True)

    def _download(self, target: Target) -> Path:
        """A target under its own name, verified and flushed; one that is there already is used when it is right."""
        folder, signed = self._board.where.downloads, self._repository.file(target.name)
        final = folder / os.path.basename(target.name)
        part = folder / f".{final.name}.part"
        for old in folder.iterdir():
            if old not in {final}:
                old.unlink()
        if final.is_file() and _is(final, signed.hashes.get("sha256", ""), target.length):
            return final
        need_room(folder, target.length, f"the download of {target.name}")
        self._progress.phase(Phase.DOWNLOAD, f"downloading {target.name}, {megabytes(target.length)}",
                             target.offer.version, total=target.length)
        self._repository.fetch(target.name, part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, final)
        sync_folder(folder)
        return final

    def _unpack(self, release: ReleaseOffer, archive: Path, base: Path | None) -> Path:
        where = self._board.where
        draft, final = where.releases / f".new-{release.version}", where.releases / release.version
        remove_tree(draft)
        need_room(where.releases, release.unpacked, f"release {release.version}")
        self._progress.phase(Phase.UNPACK, f"unpacking {release.version}", release.version, total=release.tar_length)
        try:
            with zstd.reading(archive, base) as stream:
                checked = Checked(stream, release.tar_length, self._progress.came)
                unpack(checked, draft)  # type: ignore[arg-type]
                checked.finish(release.tar_sha256, release.tar_length)
            self._check(verify(draft), release)
            settle(draft, final)
        except BaseException:
            remove_tree(draft)
            raise
        return final

    @staticmethod
    def _check(manifest: Manifest, release: ReleaseOffer) -> None:
        """The manifest is of the release that was offered: a right archive under another's name is refused."""
        for name in ("version", "architecture", "python", "built", "settings_schema"):
            if (found := getattr(manifest, name)) != (wanted := getattr(release, name)):
                raise Untrusted(f"release.json says {name} {found}, the signed offer {wanted}")


def _is(path: Path, sha256: str, length: int) -> bool:
    if path.stat().st_size != length:
        return False
    with path.open("rb") as file:
        return digest(file) == sha256


