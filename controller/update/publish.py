"""The repository as its makers see it: a folder of plain files that any web server serves.

    metadata/N.root.json N.targets.json N.snapshot.json timestamp.json      targets/HASH.NAME

Files get their names when they are complete, and timestamp.json last of all: whoever looks meanwhile sees the state
before.
"""

from __future__ import annotations

import datetime
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from controller.folders import sync_folder
from controller.update import clock, zstd
from controller.update import version as versions
from controller.update.failure import UpdateError, UsageError
from controller.update.files import make_folder, write_whole
from controller.update.offers import DeltaOffer, Offer, ReleaseOffer, Target, read
from controller.update.release_keys import ROLES
from controller.update.tree import Manifest, digest, unpack, verify, write_normal_tar
from controller.update.trust import ISSUED

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

Signers = Mapping[str, "list[Signer]"]
DAYS = {"root": 365, "targets": 180, "snapshot": 60, "timestamp": 14}
DELTAS = 3


class Publisher:
    """The repository in `folder`. `now` is the time that is signed, `days` how long each role is valid."""

    def __init__(self, folder: Path, days: Mapping[str, int] | None = None,
                 now: Callable[[], datetime.datetime] = clock.now) -> None:
        self.folder, self._days, self._now = folder, {**DAYS, **(days or {})}, now
        self.metadata, self.files = folder / "metadata", folder / "targets"

    # -- read

    def load(self, role: str, version: int | None = None) -> Metadata[Any]:
        """The newest metadata of a role; UsageError when there is none."""
        path = self.metadata / "timestamp.json"
        if role != "timestamp":
            version = version or max(self._versions(role), default=0)
            path = self.metadata / f"{version}.{role}.json"
        try:
            return Metadata.from_bytes(path.read_bytes())
        except (RepositoryError, OSError, ValueError) as error:
            raise UsageError(f"{self.folder} is no repository ({error}): `allyarm-release init` makes one") from None

    def _versions(self, role: str) -> list[int]:
        found = (re.fullmatch(rf"(\d{{1,9}})\.{role}\.json", item.name) for item in
                 (self.metadata.iterdir() if self.metadata.is_dir() else ()))
        return [int(item[1]) for item in found if item]

    def offers(self) -> list[Target]:
        """What is offered at present."""
        known, _ = read(self.load("targets").signed.targets.items())
        return known

    # -- write

    def _sign(self, metadata: Metadata[Any], role: str, signers: list[Signer], root: Root) -> bytes:
        """Date it and sign it by the role's keys; UsageError when there are too few of them."""
        signed = metadata.signed
        now = self._now()
        signed.expires = (now + datetime.timedelta(days=self._days[role])).replace(microsecond=0)
        signed.unrecognized_fields[ISSUED] = clock.written(now)
        metadata.signatures.clear()
        for signer in self._need_keys(role, signers, root):
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    @staticmethod
    def _need_keys(role: str, signers: list[Signer], root: Root) -> list[Signer]:
        """Those of the signers that the root trusts for the role; UsageError when they are too few."""
        allowed = root.roles[role]
        mine = {signer.public_key.keyid: signer for signer in signers if signer.public_key.keyid in allowed.keyids}
        if len(mine) < allowed.threshold:
            raise UsageError(f"{role} needs {allowed.threshold} of its keys, {len(mine)} are there: bring the folder "
                             "of the others by --keys")
        return list(mine.values())

    def _write(self, role: str, version: int, content: bytes) -> None:
        name = "timestamp.json" if role == "timestamp" else f"{version}.{role}.json"
        write_whole(self.metadata / name, content)

    def init(self, signers: Signers, thresholds: Mapping[str, int]) -> None:
        """A new repository without a release."""
        if self._versions("root"):
            raise UsageError(f"{self.folder} is a repository already")
        root = Root(version=1, consistent_snapshot=True)
        for role in ROLES:
            for signer in signers[role]:
                root.add_key(signer.public_key, role)
            root.roles[role].threshold = thresholds.get(role, 1)
        for folder in (self.folder, self.metadata, self.files):
            make_folder(folder)
        content = self._sign(Metadata(root), "root", signers["root"], root)
        targets = self._sign(Metadata(Targets()), "targets", signers["targets"], root)
        snapshot = self._sign(Metadata(Snapshot()), "snapshot", signers["snapshot"], root)
        timestamp = self._sign(Metadata(Timestamp()), "timestamp", signers["timestamp"], root)
        for role, text in (("root", content), ("targets", targets), ("snapshot", snapshot), ("timestamp", timestamp)):
            self._write(role, 1, text)

    def _publish(self, signers: Signers, targets: Metadata[Targets] | None, *, snapshot_too: bool = False) -> None:
        """New targets (None: as they are), and what has to be signed after them."""
        root = self.load("root").signed
        snapshot, timestamp = self.load("snapshot"), self.load("timestamp")
        contents: list[tuple[str, int, bytes]] = []
        if targets is not None:
            targets.signed.version += 1
            contents.append(("targets", targets.signed.version,
                             self._sign(targets, "targets", signers["targets"], root)))
            snapshot.signed.meta["targets.json"] = MetaFile(version=targets.signed.version)
        if targets is not None or snapshot_too:
            snapshot.signed.version += 1
            contents.append(("snapshot", snapshot.signed.version,
                             self._sign(snapshot, "snapshot", signers["snapshot"], root)))
            timestamp.signed.snapshot_meta = MetaFile(version=snapshot.signed.version)
        timestamp.signed.version += 1
        contents.append(("timestamp", timestamp.signed.version,
                         self._sign(timestamp, "timestamp", signers["timestamp"], root)))
        for item in contents:
            self._write(*item)

    def refresh(self, signers: Signers) -> list[str]:
        """Sign the timestamp anew, and snapshot and targets where their time is half over and their key is here.
        Returns what somebody else has to sign soon."""
        now = self._now()

        def due(role: str) -> bool:
            return bool(self.load(role).signed.expires - now < datetime.timedelta(days=self._days[role] / 2))

        targets = self.load("targets") if due("targets") and signers.get("targets") else None
        self._publish(signers, targets, snapshot_too=due("snapshot") or targets is not None)
        return [f"{role} is valid until {clock.written(self.load(role).signed.expires)}: sign it anew with its keys, "
                f"`allyarm-release {command}`" for role, command in (("root", "rotate root --new 0"),
                                                                     ("targets", "refresh"), ("snapshot", "refresh"))
                if due(role)]

    def rotate(self, role: str, signers: Signers, new: list[Signer], drop: list[str]) -> int:
        """Give `role` the keys `new` and take `drop` (key ids) from it, by a new root; returns its version. Root itself
        is signed by the old keys and the new ones. Without `new` and `drop` it is only signed for another year."""
        before: Root = self.load("root").signed
        root: Root = self.load("root").signed   # read twice: a copy would share its lists of keys
        for signer in new:
            root.add_key(signer.public_key, role)
        for keyid in drop:
            if keyid not in root.roles[role].keyids:
                raise UsageError(f"{role} has no key {keyid[:64]}; allowed: {', '.join(root.roles[role].keyids)}")
            root.revoke_key(keyid, role)
        if len(root.roles[role].keyids) < root.roles[role].threshold:
            raise UsageError(f"{role} needs {root.roles[role].threshold} keys: add new ones before old ones go")
        root.version += 1
        after = Metadata(root)
        all_root = [*signers["root"], *(new if role == "root" else [])]
        self._sign(after, "root", all_root, root)
        counted = set(after.signatures)
        for signer in all_root:     # the old root has to agree too
            if signer.public_key.keyid in before.roles["root"].keyids and signer.public_key.keyid not in counted:
                after.sign(signer, append=True)
        agreed = [keyid for keyid in before.roles["root"].keyids if keyid in after.signatures]
        if len(agreed) < before.roles["root"].threshold:
            raise UsageError(f"root needs {before.roles['root'].threshold} of its present keys, {len(agreed)} are "
                             "there")
        self._write("root", root.version, after.to_bytes())
        return root.version

    def resign(self, role: str, signers: Signers) -> None:
        """After a rotation: what that role had signed is signed by its new keys."""
        if role == "targets":
            self._publish(signers, self.load("targets"))
        elif role in {"snapshot", "timestamp"}:
            self._publish(signers, None, snapshot_too=role == "snapshot")

    def add(self, archive: Path, signers: Signers, *, channel: str = "stable", notes: str = "", deltas: int = DELTAS,
            level: int = zstd.LEVEL, say: Callable[[str], None] = lambda _: None) -> Target:
        """Offer the release in `archive` (.tar.zst of a release tree), with deltas from the newest `deltas`
        releases."""
        root = self.load("root").signed
        for role in ("targets", "snapshot", "timestamp"):
            self._need_keys(role, signers[role], root)     # before minutes of work
        with tempfile.TemporaryDirectory(dir=self.files, prefix=".new-") as name:
            work = Path(name)
            manifest, tar, sha256, length = _normalised(archive, work)
            offers = self.offers()
            for item in offers:
                if isinstance(item.offer, ReleaseOffer) and _same_kind(item.offer, manifest) and (
                        item.offer.version == manifest.version):
                    raise UsageError(f"release {manifest.version} for {manifest.architecture}, Python "
                                     f"{manifest.python} is in "
                                     "the repository already: a release never changes, make a new version")
            try:
                offer = msgspec.convert({
                    "kind": "release", "version": manifest.version, "channel": channel,
                    "architecture": manifest.architecture, "python": manifest.python, "built": manifest.built,
                    "settings_schema": manifest.settings_schema, "tar_sha256": sha256, "tar_length": length,
                    "files": len(manifest.files) + 1, "notes": notes,
                    "unpacked": sum(item.stat().st_size for item in (work / "tree").rglob("*") if item.is_file())},
                    ReleaseOffer)
            except msgspec.ValidationError as error:
                raise UsageError(f"{archive}: {error}") from None
            say(f"compressing {manifest.version}")
            packed = work / "packed"
            zstd.compress(tar, packed, level=level)
            stem = f"{manifest.architecture}-py{manifest.python}"
            new: list[tuple[str, Path, Offer]] = [(f"allyarm-{manifest.version}-{stem}.tar.zst", packed, offer)]
            for older in self._bases(offers, manifest, deltas):
                say(f"delta from {older.offer.version}")
                new.append((f"allyarm-{older.offer.version}-{manifest.version}-{stem}.delta.zst",
                            *self._delta(older, tar, manifest, work, level)))
            targets = self.load("targets")
            placed: list[Path] = []
            try:
                for target, path, custom in new:
                    targets.signed.targets[target] = self._file(target, path, custom)
                    placed.append(self.path(target, targets.signed.targets[target]))
                self._publish(signers, targets)
            except BaseException:
                for path in placed:     # nothing names them
                    path.unlink(missing_ok=True)
                raise
        return Target(new[0][0], targets.signed.targets[new[0][0]].length, offer)

    def _bases(self, offers: list[Target], manifest: Manifest, count: int) -> list[Target]:
        older = [item for item in offers if isinstance(item.offer, ReleaseOffer) and _same_kind(item.offer, manifest)
                 and versions.order(item.offer.version) < versions.order(manifest.version)]
        return sorted(older, key=lambda item: versions.order(item.offer.version), reverse=True)[:count]

    def _delta(self, older: Target, tar: Path, manifest: Manifest, work: Path, level: int) -> tuple[Path, DeltaOffer]:
        assert isinstance(older.offer, ReleaseOffer)
        base, delta = work / f"{older.offer.version}.tar", work / f"{older.offer.version}.delta"
        signed: TargetFile = self.load("targets").signed.targets[older.name]
        with zstd.reading(self.path(older.name, signed)) as stream, base.open("wb") as out:
            shutil.copyfileobj(stream, out)
        with base.open("rb") as file:
            if digest(file) != older.offer.tar_sha256:
                raise UpdateError(f"{older.name} in the repository is not what was signed: restore it from a copy")
        zstd.compress(tar, delta, base, level)
        base.unlink()
        return delta, DeltaOffer(manifest.version, older.offer.version, older.offer.tar_sha256, manifest.architecture,
                                 manifest.python)

    def _file(self, name: str, path: Path, custom: Offer) -> TargetFile:
        """Put a file where it is served, under the name that its hash gives it, and describe it."""
        target: TargetFile = TargetFile.from_file(name, str(path), ["sha256"])
        target.unrecognized_fields["custom"] = msgspec.to_builtins(custom)
        final = self.path(name, target)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.chmod(0o644)
        os.replace(path, final)
        sync_folder(final.parent)
        return target

    def path(self, name: str, target: TargetFile) -> Path:
        return self.files / f"{target.hashes['sha256']}.{name}"

    def remove(self, version: str, signers: Signers) -> list[str]:
        """Withdraw a release and its deltas: boards that have it keep it, nobody gets it any more. Files stay until the
        metadata that names them is gone."""
        targets = self.load("targets")
        names = [item.name for item in self.offers()
                 if version in {item.offer.version, getattr(item.offer, "before", "")}]
        if not names:
            raise UsageError(f"there is no release {version[:40]} in the repository")
        gone = [self.path(name, targets.signed.targets.pop(name)) for name in names]
        self._publish(signers, targets)
        for path in gone:
            path.unlink(missing_ok=True)
        return names


def _same_kind(offer: ReleaseOffer, manifest: Manifest) -> bool:
    return (offer.architecture, offer.python) == (manifest.architecture, manifest.python)


def _normalised(archive: Path, work: Path) -> tuple[Manifest, Path, str, int]:
    """(manifest, normalised tar, its hash, its length) of an archive of a release tree."""
    if not archive.is_file():
        raise UsageError(f"{archive}: no such file")
    with zstd.reading(archive) as stream:
        unpack(stream, work / "tree")
        while stream.read(1 << 20):     # what pads the archive
            pass
    manifest = verify(work / "tree")
    tar = work / "release.tar"
    with tar.open("wb") as file:
        sha256, length = write_normal_tar(work / "tree", file)
    return manifest, tar, sha256, length


def roles_of(root: Root) -> Iterator[tuple[str, int, list[str]]]:
    """(role, threshold, key ids) for a listing."""
    for role in ROLES:
        yield role, root.roles[role].threshold, list(root.roles[role].keyids)
