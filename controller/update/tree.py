"""A release as a folder: its release.json, whether all of it is there, and its normalised archive.

The normalised archive ("normal tar") depends on nothing but names, contents and the right to execute: sorted names, no
times, no owners. Whoever has the tree can make it again, byte for byte; deltas and the signed hash are about it.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

from controller.update import version as versions
from controller.update.failure import Untrusted
from controller.update.files import sync_tree

MANIFEST = "release.json"
PROGRAM = "bin/allyarm"
FILES_LIMIT, FILE_BYTES, TREE_BYTES, MANIFEST_BYTES = 20_000, 256 << 20, 1 << 30, 8 << 20
CHUNK = 1 << 18
LONGEST_NAME = 400
Version = Annotated[str, Meta(pattern=rf"^{versions.PATTERN}\Z")]
Architecture = Literal["amd64", "arm64"]
PythonVersion = Annotated[str, Meta(pattern=r"^3\.\d{1,2}\Z")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Time = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")]
Schema = Annotated[int, Meta(ge=0, le=100_000)]
Part = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
Progress = Callable[[int], None]


class Manifest(msgspec.Struct, frozen=True):
    """release.json. `built` is the time of the commit, UTC; `files` the SHA-256 of every file but release.json."""

    version: Version
    architecture: Architecture
    python: PythonVersion
    built: Time
    files: dict[Part, Sha256]
    commit: Annotated[str, Meta(max_length=100)] = ""
    settings_schema: Schema = 0


def read_manifest(tree: Path) -> Manifest:
    """The release.json of a tree; Untrusted says what is wrong with it."""
    path = tree / MANIFEST
    try:
        if path.stat().st_size > MANIFEST_BYTES:
            raise Untrusted(f"{path}: larger than {MANIFEST_BYTES} bytes")
        found = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise Untrusted(f"{tree} is no complete release: {error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Untrusted(f"{path} is no release.json: {error}") from None
    if len(found.files) > FILES_LIMIT:
        raise Untrusted(f"{path}: {len(found.files)} files; allowed: up to {FILES_LIMIT}")
    for name in (*found.files, MANIFEST):
        check_name(name)
    if PROGRAM not in found.files:
        raise Untrusted(f"{path}: there is no {PROGRAM} in it")
    return found


def check_name(name: str) -> None:
    """Untrusted unless `name` stays inside the tree, for every reader of it."""
    pure = PurePosixPath(name)
    if (not name or name != str(pure) or pure.is_absolute() or ".." in pure.parts or name == "." or "\\" in name
            or len(name) > LONGEST_NAME or re.search(r"[\x00-\x1f\x7f]", name)):
        raise Untrusted(f"the release holds a file of the name {name[:80]!r}: names are relative, with / and without "
                        "..")


def digest(file: IO[bytes], progress: Progress = lambda _: None) -> str:
    found = hashlib.sha256()
    while chunk := file.read(CHUNK):
        found.update(chunk)
        progress(len(chunk))
    return found.hexdigest()


def verify(tree: Path) -> Manifest:
    """Every file of the manifest is there with its content, and nothing else. Untrusted names the first that is not."""
    manifest = read_manifest(tree)
    if (extra := sorted(set(_walk(tree)) - set(manifest.files) - {MANIFEST})):
        raise Untrusted(f"{tree}: {extra[0]} does not belong to the release")
    for name, wanted in manifest.files.items():
        try:
            with _open(tree, name) as file:
                if digest(file) != wanted:
                    raise Untrusted(f"{tree}: {name} is not what the release says")
        except OSError as error:
            raise Untrusted(f"{tree}: {name} cannot be read: {error}") from None
    return manifest


def _walk(tree: Path) -> Iterator[str]:
    for where, folders, names in os.walk(tree):
        for name in (*names, *(item for item in folders if os.path.islink(os.path.join(where, item)))):
            yield os.path.relpath(os.path.join(where, name), tree)


def _open(tree: Path, name: str) -> IO[bytes]:
    """A regular file of the tree, never what a link names."""
    descriptor = os.open(tree / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is no file")
    return open(descriptor, "rb")


def write_normal_tar(tree: Path, out: IO[bytes]) -> tuple[str, int]:
    """The normalised archive of a tree; returns its SHA-256 and length. Only files that release.json names are in
    it."""
    manifest = read_manifest(tree)
    counted = _Counted(out)
    with tarfile.open(fileobj=cast("IO[bytes]", counted), mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted((*manifest.files, MANIFEST)):
            with _open(tree, name) as file:
                found = os.fstat(file.fileno())
                info = tarfile.TarInfo(name)
                info.size, info.mode = found.st_size, 0o755 if found.st_mode & 0o100 else 0o644
                archive.addfile(info, file)
    return counted.sha256.hexdigest(), counted.length


class _Counted(io.RawIOBase):
    def __init__(self, out: IO[bytes]) -> None:
        self._out, self.sha256, self.length = out, hashlib.sha256(), 0

    def write(self, data: Any) -> int:
        self._out.write(data)
        self.sha256.update(data)
        self.length += len(data)
        return len(data)


class Checked(io.RawIOBase):
    """Reads from `source` at most `limit` bytes while their hash is made; `finish` compares both."""

    def __init__(self, source: IO[bytes], limit: int, progress: Progress = lambda _: None) -> None:
        self._source, self._limit, self._sha256, self.length = source, limit, hashlib.sha256(), 0
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(CHUNK if size < 0 else size)
        self.length += len(data)
        if self.length > self._limit:
            raise Untrusted(f"the archive is longer than the {self._limit} bytes that were signed")
        self._sha256.update(data)
        self._progress(len(data))
        return data

    def finish(self, sha256: str, length: int) -> None:
        while self.read(CHUNK):
            pass
        if self.length != length or self._sha256.hexdigest() != sha256:
            raise Untrusted("the unpacked archive is not the one that was signed")


def unpack(archive: IO[bytes], into: Path) -> None:
    """Unpack a tar into the new folder `into`: plain files and folders only, each inside, sizes and number bounded.

    Nothing of the archive but names, contents and the right to execute is taken. Raises Untrusted.
    """
    into.mkdir(mode=0o755)
    total, seen = 0, set[str]()
    try:
        with tarfile.open(fileobj=archive, mode="r|") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if member.isdir():
                    if name not in {"", "."}:
                        check_name(name)
                    continue
                check_name(name)
                if not member.isreg() or member.issparse():
                    raise Untrusted(f"the release holds {name[:80]!r}, which is a link or a device: only files are "
                                    "allowed")
                total += member.size
                if member.size > FILE_BYTES or total > TREE_BYTES or len(seen) >= FILES_LIMIT:
                    raise Untrusted(f"the release is too large at {name[:80]!r}; allowed: {FILES_LIMIT} files of up to "
                                    f"{FILE_BYTES} bytes, {TREE_BYTES} bytes together")
                if name in seen:
                    raise Untrusted(f"the release holds {name[:80]!r} twice")
                seen.add(name)
                _write(tar, member, into / name, 0o755 if member.mode & 0o100 else 0o644)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise Untrusted(f"the archive of the release is broken: {error}") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise Untrusted(f"the release holds a file that is a folder too: {error}") from None


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, mode: int) -> None:
    source = tar.extractfile(member)
    if source is None:
        raise Untrusted(f"{member.name[:80]!r} has no content")
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        left = member.size
        while left:
            chunk = source.read(min(left, CHUNK))
            if not chunk:
                raise Untrusted(f"the archive ends inside {member.name[:80]!r}")
            file.write(chunk)
            left -= len(chunk)


def settle(tree: Path, final: Path) -> None:
    """Give a verified tree its name: flushed before, and the name after."""
    from controller.folders import sync_folder

    sync_tree(tree)
    os.replace(tree, final)
    sync_folder(final.parent)
