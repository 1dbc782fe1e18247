"""What the manufacturer's metadata offers: releases, and deltas between them, as the `custom` part of TUF targets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from controller.update import version as versions
from controller.update.tree import TREE_BYTES, Architecture, PythonVersion, Schema, Sha256, Time, Version

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile

CHANNELS = ("stable", "beta")
Channel = Literal["stable", "beta"]
Length = Annotated[int, Meta(ge=1, le=TREE_BYTES + (64 << 20))]


class ReleaseOffer(msgspec.Struct, frozen=True, tag_field="kind", tag="release", forbid_unknown_fields=True):
    """A release as an archive. `tar_sha256`, `tar_length`: of its normalised archive, not compressed (tree.py), which
    is what a delta must give too; TUF's own hash and length are of the compressed file. `unpacked`: bytes of its
    files."""

    version: Version
    channel: Channel
    architecture: Architecture
    python: PythonVersion
    built: Time
    settings_schema: Schema
    tar_sha256: Sha256
    tar_length: Length
    files: Annotated[int, Meta(ge=1, le=20_001)]
    unpacked: Length
    notes: Annotated[str, Meta(max_length=2000)] = ""


class DeltaOffer(msgspec.Struct, frozen=True, tag_field="kind", tag="delta", forbid_unknown_fields=True):
    """A delta between two releases' normalised archives. Only a way to get the release: whether the result is right is
    said by the release's own row."""

    version: Version
    before: Version
    before_sha256: Sha256
    architecture: Architecture
    python: PythonVersion


Offer = ReleaseOffer | DeltaOffer


class Target(msgspec.Struct, frozen=True):
    """A TUF target and what it says of itself."""

    name: str
    length: int
    offer: Offer


class Choice(msgspec.Struct, frozen=True):
    """What to install: the release, where it is, and the delta that leads there from what is installed, if any."""

    release: ReleaseOffer
    archive: Target
    delta: Target | None


def read(targets: Iterable[tuple[str, TargetFile]]) -> tuple[list[Target], list[str]]:
    """(targets that are understood, names of those that are not). A newer tool may sign kinds that are not known here;
    they offer nothing, and the rest still counts."""
    known, unknown = [], []
    for name, target in targets:
        try:
            offer: Offer = msgspec.convert(target.custom, Offer)
        except (msgspec.ValidationError, RecursionError):
            unknown.append(name)
            continue
        known.append(Target(name, target.length, offer))
    return known, unknown


def choose(targets: Iterable[Target], *, architecture: str, python: str, channel: str, wanted: str = "",
           tars: dict[str, str] | None = None) -> Choice | None:
    """The newest release for this board, or the `wanted` version; with the smallest delta from one of the installed
    releases (`tars`: their version -> hash of their normalised archive)."""
    found = list(targets)
    channels = CHANNELS[:CHANNELS.index(channel) + 1]
    fitting = [(item, item.offer) for item in found if isinstance(item.offer, ReleaseOffer)
               and (item.offer.architecture, item.offer.python) == (architecture, python)
               and item.offer.channel in channels and wanted in {"", item.offer.version}]
    if not fitting:
        return None
    archive, release = max(fitting, key=lambda pair: versions.order(pair[1].version))
    deltas = [item for item in found if isinstance(item.offer, DeltaOffer)
              and (item.offer.architecture, item.offer.python) == (architecture, python)
              and item.offer.version == release.version
              and (tars or {}).get(item.offer.before) == item.offer.before_sha256]
    return Choice(release, archive, min(deltas, key=lambda item: item.length, default=None))
