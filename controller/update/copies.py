"""Copies of the databases of settings, exercises and history, taken before a release is tried and put back when it is
left.

A copy is taken by SQLite itself, so it is consistent also while the controller writes. The files belong to the
service's user and stay so: everything in his folder is done with his rights, so that no link there leads root
elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from controller.database import COMPANIONS
from controller.folders import sync_folder
from controller.update.failure import DiskError
from controller.update.files import make_folder, need_room, read_json, remove_tree, write_json, write_whole

DATABASES = ("settings.sqlite", "exercises.sqlite", "history.sqlite")  # store, exercises, history_table
LARGEST_BYTES = 256 << 20
LIST = "copies.json"
BUSY_S = 10.0


class Copied(msgspec.Struct, frozen=True):
    """The schema version of each database that was there."""

    schemas: dict[str, Annotated[int, Meta(ge=0)]]


@contextlib.contextmanager
def as_owner(folder: Path) -> Iterator[None]:
    """With the rights of the folder's owner; root only, others have no choice."""
    found = folder.stat()
    user, group = os.geteuid(), os.getegid()
    if user != 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(found.st_gid)
    os.seteuid(found.st_uid)
    try:
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)
        os.setgroups(groups)


def take(state: Path, into: Path) -> Copied:
    """Copy every database of `state` into the new folder `into`; what is there already is replaced. Raises
    DiskError."""
    remove_tree(into)
    draft = into.with_name(f".new-{into.name}")
    remove_tree(draft)
    make_folder(into.parent)     # what is in it is closed; a rehearsal has its own user
    schemas: dict[str, int] = {}
    total = sum((state / name).stat().st_size for name in DATABASES if (state / name).is_file())
    need_room(into.parent, total, "a copy of the settings")
    draft.mkdir(mode=0o700)
    for name in DATABASES:
        if not (state / name).is_file():
            continue
        content, schema = _read(state, name)
        write_whole(draft / name, content, 0o600)
        schemas[name] = schema
    found = Copied(schemas)
    write_json(draft / LIST, found, 0o600)
    os.replace(draft, into)
    sync_folder(into.parent)
    return found


def _read(state: Path, name: str) -> tuple[bytes, int]:
    """A consistent copy of a database as bytes, and its schema version."""
    path = state / name
    if (size := path.stat().st_size) > LARGEST_BYTES:
        raise DiskError(f"{path} has {size} bytes; allowed: {LARGEST_BYTES}, so it cannot be kept safe for an update")
    with as_owner(state), contextlib.closing(sqlite3.connect(":memory:")) as copy:
        try:
            with contextlib.closing(_opened(path)) as database:
                database.backup(copy)
        except sqlite3.Error as error:
            raise DiskError(f"{path} cannot be copied ({error}); `allyarm doctor` looks at it") from None
        schema = copy.execute("PRAGMA user_version").fetchone()[0]
        return copy.serialize(), schema


def _opened(path: Path) -> sqlite3.Connection:
    """Never makes a file."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_S)


def schema_of(state: Path, name: str) -> int | None:
    """Schema version of a database that stands there now; None when there is none that can be read."""
    if not (state / name).is_file():
        return None
    try:
        with as_owner(state), contextlib.closing(_opened(state / name)) as database:
            return int(database.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error:
        return None


def restore(copy: Path, state: Path, *, only_newer: bool) -> list[str]:
    """Put the copies back, while no controller runs; returns what was put back. May be called again after a cut.

    Settings and exercises go back whole, history only when the other release wrote it in a form that this one does not
    know: what happened stays told. With `only_newer` that holds for all of them.
    """
    listed = read_json(copy / LIST, Copied)
    if listed is None or not state.is_dir():
        return []
    done = []
    for name, schema in listed.schemas.items():
        now = schema_of(state, name)
        if (only_newer or name.startswith("history")) and now is not None and now <= schema:
            continue
        content = (copy / name).read_bytes()
        with as_owner(state):
            # The log belongs to the file it stands beside. It goes first: a cut in between leaves the other release's
            # database without its latest changes, and this is done again.
            for suffix in COMPANIONS:
                (state / f"{name}{suffix}").unlink(missing_ok=True)
            sync_folder(state)
            write_whole(state / name, content, 0o600)
        done.append(name)
    return done
