"""The program `zstd` (Debian package of the same name): unpacks archives, makes and applies deltas.

The program and not a Python package: it has to be there for the archives anyway, gets Debian's security updates, needs
no compiled wheel per architecture and Python version, and what it unpacks cannot reach this process.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from controller.update.failure import Untrusted, UpdateError

MEMORY_MB = 640  # of a window over the largest release there may be
LEVEL = 19


class NoZstd(UpdateError):
    """The program is missing."""


def _program() -> str:
    found = shutil.which("zstd", path="/usr/local/bin:/usr/bin:/bin")
    if found is None:
        raise NoZstd("the program zstd is missing: apt-get install zstd")
    return found


@contextlib.contextmanager
def reading(archive: Path, base: Path | None = None) -> Iterator[IO[bytes]]:
    """The unpacked content of `archive`, as a stream; a delta's together with its `base`. A broken one is Untrusted,
    when the reader comes to its end or leaves."""
    command = [_program(), "--decompress", "--quiet", "--stdout", f"--memory={MEMORY_MB}MB"]
    command += [f"--patch-from={base}"] if base is not None else []
    with subprocess.Popen([*command, "--", str(archive)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            yield process.stdout
            rest = bool(process.stdout.read(1))
            said = process.stderr.read(2000).decode(errors="replace").strip()
            if process.wait() or rest:
                raise Untrusted(f"{archive.name} cannot be unpacked: "
                                f"{said or 'there is more in it than there should be'}")
        finally:
            process.kill()


def compress(source: Path, target: Path, base: Path | None = None, level: int = LEVEL) -> None:
    """`source` -> `target`, a .zst; with a `base`, the delta from that one. One thread: the same bytes every time."""
    command = [_program(), "--quiet", "--force", f"-{level}", "--single-thread"]
    command += [f"--patch-from={base}"] if base is not None else []
    done = subprocess.run([*command, "-o", str(target), "--", str(source)], stdin=subprocess.DEVNULL,
                          capture_output=True, check=False)
    if done.returncode:
        raise UpdateError(f"{source.name} cannot be compressed: {done.stderr.decode(errors='replace').strip()[:500]}")
