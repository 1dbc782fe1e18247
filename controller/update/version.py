"""Versions of releases: three numbers, and a, b or rc with a number for what comes before them."""

from __future__ import annotations

import re

PATTERN = r"\d{1,5}\.\d{1,5}\.\d{1,5}((a|b|rc)\d{1,5})?"
_WHOLE = re.compile(r"(\d{1,5})\.(\d{1,5})\.(\d{1,5})(?:(a|b|rc)(\d{1,5}))?")
FINAL = "z"  # behind a, b and rc
Order = tuple[int, int, int, tuple[str, int]]


def order(version: str) -> Order:
    """What versions are compared by: 0.2.0a1 < 0.2.0b1 < 0.2.0rc2 < 0.2.0 < 0.10.0. ValueError says what is allowed."""
    found = _WHOLE.fullmatch(version) if version.isascii() else None
    if found is None:
        raise ValueError(f"found the version {version[:40]!r}; allowed: 1.2.3, or 1.2.3rc1 (a, b, rc) before it")
    stage = (found[4], int(found[5])) if found[4] else (FINAL, 0)
    return int(found[1]), int(found[2]), int(found[3]), stage
