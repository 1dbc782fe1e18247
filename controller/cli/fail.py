"""How a command tells its user that something is wrong."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """One message on standard error."""
    print(f"allyarm: {text}", file=sys.stderr, flush=True)
