"""Where releases, keys and the words of an update are on a board; docs/update.md has the same as a table."""

from __future__ import annotations

from pathlib import Path

import msgspec

SERVICE = "allyarm.service"
STATUS = "/run/allyarm-update/status.json"
RELEASES = "/var/lib/allyarm-releases"


class Places(msgspec.Struct, frozen=True):
    """Absolute paths. `root` is root's own: the service's user cannot write there, so a controller that was taken over
    cannot replace the program. `state` is the service's StateDirectory, `packaged` the release of the package."""

    root: Path
    packaged: Path
    state: Path
    status: Path
    trusted_root: Path
    configuration: Path

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    @property
    def downloads(self) -> Path:
        return self.root / "downloads"

    @property
    def metadata(self) -> Path:
        return self.root / "tuf"

    @property
    def seen(self) -> Path:
        return self.root / "seen.json"

    @property
    def current(self) -> Path:
        return self.root / "current"

    @property
    def previous(self) -> Path:
        return self.root / "previous"

    @property
    def pending(self) -> Path:
        return self.root / "pending.json"

    @property
    def failed(self) -> Path:
        return self.root / "failed.json"

    @property
    def settings_copies(self) -> Path:
        return self.root / "settings"

    @property
    def lock(self) -> Path:
        return self.root / "lock"


def places(prefix: str | Path = "/") -> Places:
    """The places of this board, or of a system whose root folder is `prefix` (an image that is mounted, a test)."""
    at = Path(prefix)
    return Places(at / RELEASES[1:], at / "usr/lib/allyarm", at / "var/lib/allyarm", at / STATUS[1:],
                  at / "usr/share/allyarm/root.json", at / "etc/allyarm/allyarm.toml")
