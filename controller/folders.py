"""Where files of a running controller are: settings, and the Unix socket at which an external program meets it; and how
a folder is made to last."""

from __future__ import annotations

import os

SOCKET_NAME = "external"
VARIABLE = "ALLYARM_EXTERNAL"
LONGEST_PATH = 107  # bytes of a Unix socket's path
SYSTEM_FOLDER = "/run/allyarm"  # RuntimeDirectory of the unit


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """A file that was made, renamed or removed in it is so after a power failure too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def state_folder(path: str) -> str:
    """Folder for settings: the configured one, systemd's $STATE_DIRECTORY, or ~/.local/state/allyarm."""
    systemd = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    return os.path.expanduser(path) or systemd or os.path.expanduser("~/.local/state/allyarm")


def external_socket(configured: str, store: str) -> str:
    """Path the controller serves: the configured one, in systemd's $RUNTIME_DIRECTORY, or in the settings' folder."""
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return os.path.expanduser(configured) or os.path.join(runtime or state_folder(store), SOCKET_NAME)


def external_sockets() -> list[str]:
    """Paths where a program looks when it is given none: $ALLYARM_EXTERNAL alone, or where a controller may be."""
    if given := os.environ.get(VARIABLE, ""):
        return [given]
    return list(dict.fromkeys([external_socket("", ""), os.path.join(SYSTEM_FOLDER, SOCKET_NAME)]))
