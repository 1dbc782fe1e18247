"""The repository as this board trusts it: TUF's client, with a floor under time and versions.

The trusted root is the one in the package; the cache only spares downloads. What is added to python-tuf: the reference
time (clock.py), versions that a lost cache cannot set back, and that everything is flushed.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import Updater
from tuf.ngclient.config import UpdaterConfig

from controller.update import clock
from controller.update.clock import Seen
from controller.update.failure import NetworkError, Untrusted, UsageError
from controller.update.fetch import Fetcher, reason
from controller.update.files import make_folder, read_json, remove_tree, sync_tree, write_json
from controller.update.offers import Target, read
from controller.update.places import Places

if TYPE_CHECKING:
    from tuf.api.metadata import Signed

ISSUED = "x-allyarm-issued"     # in signed metadata: when it was made
ROLES = (Root.type, Timestamp.type, Snapshot.type, Targets.type)
LIMITS = UpdaterConfig(max_root_rotations=64, root_max_length=64_000, timestamp_max_length=16_000,
                       snapshot_max_length=64_000, targets_max_length=2_000_000)


class _Client(Updater):
    """python-tuf's client, which is told the time when it knows the newest root: who may tell the time is said
    there."""

    def __init__(self, *arguments: Any, time_by: Callable[[Root], datetime.datetime], **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._time_by = time_by

    def _load_timestamp(self) -> None:
        self._trusted_set.reference_time = self._time_by(self._trusted_set.root)
        super()._load_timestamp()


class Repository:
    """One look at the repository at `url`. `built`: build times of the releases on this board.

    Raises NetworkError, Untrusted, UsageError; DiskError is the caller's (files.guarded).
    """

    def __init__(self, where: Places, url: str, built: tuple[str, ...],
                 came: Callable[[int], None] = lambda _: None, fetcher: Fetcher | None = None) -> None:
        self._where, self._url = where, url.rstrip("/")
        self._fetcher = fetcher or Fetcher(came)
        self._fetcher.came = came
        self.seen = read_json(where.seen, Seen) or Seen()
        self._built = built
        try:
            bootstrap = where.trusted_root.read_bytes()
        except OSError as error:
            raise UsageError(f"there is no trusted root ({error}): the manufacturer's package brings it as "
                             f"{where.trusted_root}; a development build has none, see docs/update.md") from None
        make_folder(where.metadata)
        self._updater = self._start(bootstrap)
        self.time = clock.now()
        self.targets: list[Target] = []
        self.unknown: list[str] = []
        self._files: dict[str, TargetFile] = {}

    def _start(self, bootstrap: bytes) -> Updater:
        url = self._url
        try:
            return _Client(str(self._where.metadata), f"{url}/metadata/", target_base_url=f"{url}/targets/",
                           target_dir=str(self._where.downloads), fetcher=self._fetcher, config=LIMITS,
                           bootstrap=bootstrap, time_by=self._time_by)
        except RepositoryError as error:
            raise Untrusted(f"{self._where.trusted_root} is no root of a repository: {error}") from None
        except (IsADirectoryError, NotADirectoryError, FileExistsError):
            remove_tree(self._where.metadata)   # something else stands where the cache was
            make_folder(self._where.metadata)
            return self._start(bootstrap)

    def refresh(self) -> None:
        """Get and verify the newest metadata; keeps what was learned, also when a later role fails."""
        trusted = self._updater._trusted_set
        try:
            with _told(self._url):
                self._updater.refresh()
        finally:
            if os.listdir(self._where.metadata):
                sync_tree(self._where.metadata)
        self._remember()
        targets = trusted.targets
        self._files = dict(targets.targets)
        self.targets, self.unknown = read(self._files.items())

    def _time_by(self, root: Root) -> datetime.datetime:
        """The time to judge by. What a timestamp key has said that the root does not trust any more counts no
        longer."""
        same = _online_keys(root) == self.seen.online_keys
        known = self.seen if same else msgspec.structs.replace(self.seen, online="")
        self.time = clock.reference(known, *self._built)
        return self.time

    def _remember(self) -> None:
        """Refuse what is older than what was seen, then keep what is seen now."""
        trusted, seen = self._updater._trusted_set, self.seen
        found = {Root.type: trusted.root, Timestamp.type: trusted.timestamp, Snapshot.type: trusted.snapshot,
                 Targets.type: trusted.targets}
        keys = _online_keys(trusted.root)
        renewed = keys != seen.online_keys  # new online keys: what the old ones said is forgotten, they may be stolen
        for role, signed in found.items():
            online = role in {Timestamp.type, Snapshot.type}
            known = 0 if online and renewed else seen.versions.get(role, 0)
            if signed.version < known:
                raise Untrusted(f"the repository's {role} has version {signed.version}, but this board has seen "
                                f"version {known}: an old repository is shown to it")
        offline = max(seen.offline, _issued(trusted.root), _issued(trusted.targets))
        # A stolen timestamp key can claim any time. What it says counts only up to the end of what the offline keys
        # signed, so that it can never make their metadata expired for ever.
        limit = clock.written(min(trusted.root.expires, trusted.targets.expires))
        online_time = min(max("" if renewed else seen.online, _issued(trusted.timestamp)), limit)
        now = Seen(offline, online_time, keys, {role: signed.version for role, signed in found.items()})
        if now != seen:
            write_json(self._where.seen, now)
            self.seen = now

    def file(self, name: str) -> TargetFile:
        """The signed length and hashes of a target of this repository."""
        return self._files[name]

    def fetch(self, name: str, into: Path) -> None:
        """Download a target and verify it against its signed length and hash. The file is not flushed."""
        with _told(self._url):
            self._updater.download_target(self._files[name], str(into))

    @property
    def expires(self) -> datetime.datetime:
        """When the repository has to be signed anew at the latest."""
        return self._updater._trusted_set.timestamp.expires


class _told:
    """TUF's errors in the words of a command."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        where = urlsplit(self._url).netloc
        if isinstance(error, ExpiredMetadataError):
            raise Untrusted(f"{where}: what the manufacturer signed has expired ({error}): the server shows an old "
                            "state, or the release engineers have to run `allyarm-release refresh`") from error
        if isinstance(error, DownloadLengthMismatchError):
            raise Untrusted(f"{where} sends more than was signed: {error}") from error
        if isinstance(error, RepositoryError):
            raise Untrusted(f"{where}: verification failed, nothing of it is used: {str(error)[:300]}") from error
        if isinstance(error, DownloadHTTPError):
            raise NetworkError(f"{where} answers {error.status_code}: is update.url right, and is the repository "
                               "complete there?") from error
        if isinstance(error, DownloadError):
            raise NetworkError(f"{where} cannot be reached: {reason(error)}. Try again later; the arm works without it."
                               ) from error


def _online_keys(root: Root) -> tuple[str, ...]:
    return tuple(sorted({*root.roles[Timestamp.type].keyids, *root.roles[Snapshot.type].keyids}))


def _issued(signed: Signed) -> str:
    """When it was made, by its signer's word; "" when that is not told."""
    text = signed.unrecognized_fields.get(ISSUED, "")
    try:
        return clock.written(clock.parsed(text)) if isinstance(text, str) else ""
    except ValueError:
        return ""
