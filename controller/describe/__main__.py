"""`python -m controller.describe FOLDER`: write every description there, as the server would serve it."""

from __future__ import annotations

import sys
from pathlib import Path

from controller.describe import DOCUMENTS, document


def write_all(folder: Path) -> list[Path]:
    """Write the documents into `folder`; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / path.strip("/") for path in DOCUMENTS]
    for path, file in zip(DOCUMENTS, files, strict=True):
        file.write_bytes(document(path).body)
    return files


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python -m controller.describe FOLDER")
    print(*write_all(Path(sys.argv[1])), sep="\n")
