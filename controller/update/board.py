"""What is installed on this board, and which of it is tried at present."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from controller.update import version as versions
from controller.update.clock import Count
from controller.update.failure import Untrusted, UpdateError
from controller.update.files import make_folder, read_json, remove_tree, write_json
from controller.update.places import Places
from controller.update.tree import PROGRAM, Manifest, read_manifest

KEPT = 2    # releases beside the packaged one: the one that runs and the one before
FAILED_KEPT = 50
Text = Annotated[str, Meta(max_length=4096)]


class Pending(msgspec.Struct, frozen=True):
    """A release that was switched to and is not confirmed: pending.json, and the whole truth about it.

    `tree` is tried, `before` is gone back to (folders, links followed). `bus_state` is what the controller said before
    the switch, "" when none ran. `boot` is the boot in which it was switched or tried last, `invocation` the start that
    is being watched, `tries` how often one was begun. `copies` is the folder of copies of the databases, `restore` that
    of those to be put in place before the first try, "" for none. `leaving` says why it is being left; from then on
    there is no way back to it.
    """

    version: Text
    tree: Text
    before_version: Text
    before: Text
    bus_state: Text = ""
    boot: Text = ""
    invocation: Text = ""
    tries: Count = 0
    copies: Text = ""
    restore: Text = ""
    leaving: Text = ""


class Last(msgspec.Struct, frozen=True):
    """How the last update ended."""

    version: Text
    result: Literal["confirmed", "rolled_back", "interrupted"]
    text: Text
    time: Text


class Failed(msgspec.Struct, frozen=True):
    """Releases that were left by themselves and why: they are not installed again unless asked to by name."""

    versions: dict[str, Text] = {}


class Board:
    """Reads and writes what stands in Places.root."""

    def __init__(self, where: Places) -> None:
        self.where = where

    def current(self) -> Path:
        """The release that is started next, links followed: what `current` names if that has a program, else the
        packaged one - the same rule that the launcher has."""
        found = Path(os.path.realpath(self.where.current))
        return found if (found / PROGRAM).is_file() else Path(os.path.realpath(self.where.packaged))

    def previous(self) -> Path | None:
        """The release before, None when there is none to go back to."""
        found = Path(os.path.realpath(self.where.previous))
        return found if self.where.previous.is_symlink() and (found / PROGRAM).is_file() else None

    def manifest(self, tree: Path) -> Manifest | None:
        try:
            return read_manifest(tree)
        except (Untrusted, OSError):
            return None

    def installed(self) -> dict[str, Path]:
        """Version -> folder, of all complete releases; the packaged one gives way to one under its version."""
        found: dict[str, Path] = {}
        if packaged := self.manifest(self.where.packaged):
            found[packaged.version] = self.where.packaged
        if self.where.releases.is_dir():
            for folder in sorted(self.where.releases.iterdir()):
                manifest = None if folder.name.startswith(".") else self.manifest(folder)
                if manifest is not None and manifest.version == folder.name:
                    found[folder.name] = folder
        return found

    def running(self) -> Manifest:
        """release.json of the current release; UpdateError in a development tree."""
        tree = self.current()
        found = self.manifest(tree)
        if found is None:
            raise UpdateError(f"{tree} has no release.json that can be read: this board has no packaged release, "
                              "install the package first (docs/deploy.md)")
        return found

    def built(self) -> tuple[str, ...]:
        """Build times of what is installed."""
        return tuple(found.built for tree in self.installed().values() if (found := self.manifest(tree)))

    def pending(self) -> Pending | None:
        return read_json(self.where.pending, Pending)

    def set_pending(self, pending: Pending) -> Pending:
        write_json(self.where.pending, pending)
        return pending

    @property
    def last_path(self) -> Path:
        return self.where.root / "last.json"

    def last(self) -> Last | None:
        return read_json(self.last_path, Last)

    def failed(self) -> dict[str, str]:
        found = read_json(self.where.failed, Failed)
        return dict(found.versions) if found else {}

    def mark_failed(self, version: str, why: str) -> None:
        found = self.failed()
        found.pop(version, None)
        found[version] = why[:500]
        write_json(self.where.failed, Failed(dict(list(found.items())[-FAILED_KEPT:])))

    def forget_failed(self, version: str) -> None:
        found = self.failed()
        if found.pop(version, None) is not None:
            write_json(self.where.failed, Failed(found))

    def tidy(self) -> None:
        """Remove what an update that was cut off left behind. Only while the lock is held."""
        for folder in (self.where.releases, self.where.settings_copies):
            if folder.is_dir():
                for item in folder.iterdir():
                    if item.name.startswith((".new-", ".gone-")):
                        remove_tree(item)
        make_folder(self.where.releases)
        make_folder(self.where.downloads)

    def prune(self) -> list[str]:
        """Remove old releases, downloads and copies of settings; the current, the one before and the packaged one
        stay. Returns the versions that went."""
        keep = {self.current(), self.previous()}
        if (pending := self.pending()) is not None:
            keep |= {Path(pending.tree), Path(pending.before)}
        gone = []
        releases = sorted(((version, tree) for version, tree in self.installed().items()
                           if tree != self.where.packaged), key=lambda item: versions.order(item[0]), reverse=True)
        room = KEPT - sum(1 for _, tree in releases if Path(os.path.realpath(tree)) in keep)
        for version, tree in releases:
            if Path(os.path.realpath(tree)) in keep:
                continue
            if room > 0:
                room -= 1
                continue
            remove_tree(tree)
            gone.append(version)
        if self.where.downloads.is_dir():
            for item in self.where.downloads.iterdir():
                item.unlink()
        if self.where.settings_copies.is_dir():
            left = self.installed()
            for item in self.where.settings_copies.iterdir():
                if item.name.partition("-before-")[0] not in left:
                    remove_tree(item)
        return gone
