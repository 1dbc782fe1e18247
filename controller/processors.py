"""Which processor the control thread gets."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

ISOLATED = Path("/sys/devices/system/cpu/isolated")


def numbers(ranges: str) -> list[int]:
    """Processors in the kernel's notation, "0,2-3" -> [0, 2, 3]; nothing of what is not a list."""
    if not re.fullmatch(r"\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*", ranges):
        return []
    parts = (part.partition("-") for part in ranges.split(","))
    return [number for low, _, high in parts for number in range(int(low), int(high or low) + 1)]


def control_processor(configured: int, available: Sequence[int]) -> int:
    """The configured one (loop.cpu); else the last isolated one, which no process gets without asking for it (so it is
    not among the `available` of this one); else the last of several available; -1: any."""
    if configured >= 0:
        return configured
    try:
        isolated = numbers(ISOLATED.read_text().strip())
    except OSError:
        isolated = []
    for number in reversed(isolated):
        if _may_use(number):
            return number
    return max(available) if len(available) > 1 else -1


def _may_use(processor: int) -> bool:
    """Whether this thread may go there: a container or a cpuset can take processors away."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {processor})
    except OSError:
        return False
    os.sched_setaffinity(0, before)
    return True
