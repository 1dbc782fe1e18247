"""Files that are whole or not there, whenever the power fails; and whether there is room for them.

Order is everything: content is flushed before its name is, a name before the next name that relies on it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from controller.folders import sync_folder
from controller.update.failure import DiskError, RefusedNow

S = TypeVar("S")
SPARE_BYTES = 16 << 20  # stays free, for settings and history
JSON_BYTES = 1 << 20


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace `path`: afterwards, and after a cut at any moment, it has the old or the new content, whole."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)   # whatever somebody else has put there: opening a FIFO would wait for ever
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    os.replace(draft, path)
    sync_folder(path.parent)


def point(link: Path, target: str | Path) -> None:
    """Make the symbolic link `link` name `target`, in one step; what it names is flushed already."""
    draft = link.with_name(f".{link.name}.new")
    draft.unlink(missing_ok=True)
    os.symlink(target, draft)
    os.replace(draft, link)
    sync_folder(link.parent)


def remove(path: Path) -> None:
    """Remove a file for good, also when it is not there."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_tree(folder: Path) -> None:
    """Everything below `folder` is on the disk. First all at once, which is many times faster than one by one; then
    each, because only that tells of an error."""
    _sync_disk_of(folder)
    for where, _, names in os.walk(folder):
        for name in names:
            if os.path.islink(os.path.join(where, name)):
                continue    # a link is in its folder
            descriptor = os.open(os.path.join(where, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(where)


def _sync_disk_of(folder: Path) -> None:
    """syncfs(2), which Python does not offer; where it fails each file is flushed all the same."""
    import ctypes

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        ctypes.CDLL(None).syncfs(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path, mode: int = 0o755) -> None:
    """Make a folder of root's; its name is flushed."""
    if not path.is_dir():
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        sync_folder(path.parent)


def remove_tree(folder: Path) -> None:
    """Remove a folder so that a cut in the middle leaves none that looks complete: it is renamed first."""
    if not folder.exists():
        return
    doomed = folder.with_name(f".gone-{folder.name}")
    if doomed.exists():
        shutil.rmtree(doomed)
    if folder.name.startswith("."):
        doomed = folder
    else:
        os.replace(folder, doomed)
        sync_folder(folder.parent)
    shutil.rmtree(doomed)


def need_room(folder: Path, count: int, what: str) -> None:
    """DiskError unless `count` bytes, and some to spare, fit on the disk of `folder`."""
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if free < count + SPARE_BYTES:
        raise DiskError(f"{what} needs {megabytes(count + SPARE_BYTES)} on the disk of {folder}, {megabytes(free)} are "
                        "free: delete what is not needed there, old releases by `allyarm update confirm --prune`")
    if found.f_files and found.f_favail < 20_000:
        raise DiskError(f"{what} needs up to 20,000 files on the disk of {folder}, it can hold {found.f_favail} more")


def megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def guarded(work: Callable[[], S], what: str) -> S:
    """`work`, with errors of the disk in the words of a command."""
    try:
        return work()
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        hint = "; nothing was changed, make room and try again" if full else ""
        raise DiskError(f"{what}: {error}{hint}") from error


def read_json(path: Path, kind: type[S]) -> S | None:
    """A file of our own as `kind`; None when it is missing or is none (it was written by something else: what it said
    is not relied on)."""
    try:
        with path.open("rb") as file:
            content = file.read(JSON_BYTES + 1)
        return msgspec.json.decode(content, type=kind) if len(content) <= JSON_BYTES else None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def write_json(path: Path, value: Any, mode: int = 0o644) -> None:
    write_whole(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n", mode)


class Lock:
    """One update at a time; a killed one frees it. RefusedNow when another holds it after `wait_s`."""

    def __init__(self, path: Path, wait_s: float = 0.0) -> None:
        self._path, self._wait_s, self._descriptor = path, wait_s, -1

    def __enter__(self) -> Lock:
        import time

        make_folder(self._path.parent)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until = time.monotonic() + self._wait_s
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return self
            except BlockingIOError:
                if time.monotonic() >= until:
                    os.close(self._descriptor)
                    raise RefusedNow("another update is under way on this board: wait for it, `allyarm update status` "
                                     "shows it") from None
                time.sleep(0.05)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        os.close(self._descriptor)
