"""Does a release start here, and can it read what is stored? Asked of the new release, about a copy, before the switch.

The one half runs in the present release (`rehearse`), the other in the new one (`bring_forward`), as the service's
user.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from controller.update import copies
from controller.update.failure import UpdateError
from controller.update.files import make_folder, remove_tree
from controller.update.places import Places
from controller.update.tree import PROGRAM

LIMIT_S = 60.0


class WillNotStart(UpdateError):
    """The new release cannot run here; nothing was changed."""


def rehearse(tree: Path, state: Path, where: Places) -> None:
    """WillNotStart unless the release in `tree` starts and brings a copy of the databases in `state` forward."""
    _run(tree, state, "--version")
    if not state.is_dir():
        return
    folder = where.settings_copies / ".new-rehearsal"
    remove_tree(folder)
    make_folder(where.settings_copies)
    try:
        copies.take(state, folder)
        if os.geteuid() == 0:
            owner = state.stat()
            # The folder last: once it is theirs its owner may put a link in the place of what is in it.
            for item in (*folder.iterdir(), folder):
                os.chown(item, owner.st_uid, owner.st_gid, follow_symlinks=False)
        _run(tree, state, "update", "rehearse", str(folder))
    finally:
        remove_tree(folder)


def _run(tree: Path, state: Path, *words: str) -> None:
    """The program of the release, as the owner of `state` where we are root."""
    user, group = None, None
    if os.geteuid() == 0 and state.is_dir():
        owner = state.stat()
        user, group = owner.st_uid, owner.st_gid
    command = [str(tree / PROGRAM), *words]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                              timeout=LIMIT_S, check=False, cwd="/", user=user, group=group,
                              extra_groups=None if user is None else [],
                              env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"})
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WillNotStart(f"{tree.name} does not run here, so it was not switched to: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise WillNotStart(f"{tree.name} does not run here, so it was not switched to: `{' '.join(words)}` ended with "
                           f"{done.returncode}: {said[-1][:300] if said else 'it said nothing'}")


def bring_forward(folder: Path) -> dict[str, int]:
    """Open the copies in `folder` as this release does; returns their schema versions. UpdateError says which one it
    would set aside or cannot use."""
    from controller import exercises, history_table, store
    from controller.database import Unusable, open_database

    found = {}
    for name, schema in ((store.FILE, store.SCHEMA), (exercises.FILE, exercises.SCHEMA),
                         (history_table.FILE, history_table.SCHEMA)):
        if not (folder / name).is_file():
            continue
        try:
            opened = open_database(folder / name, schema)
        except Unusable as error:
            raise UpdateError(f"{name} cannot be used by this release: {error}") from None
        opened.connection.close()
        if opened.why:
            raise UpdateError(f"{name} would be set aside by this release: {opened.why}")
        found[name] = schema.version
    return found
