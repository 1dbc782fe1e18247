"""Active errors and warnings of a state record as the HMI lists them, with the wall time each was first seen.

Thread contract: HMI thread only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.spec.faults import WITHDRAWN, Fault, lookup
from controller.spec.telegram import MAX_AXES

if TYPE_CHECKING:
    from controller._core import State

Key = tuple[bool, str, int, int]  # warning, source, code, axis
NONE_CATEGORY = 3


@dataclass(frozen=True, slots=True)
class Active:
    """One active fault. `axis` is 1-based, 0 the master; `since` is wall time "hh:mm:ss:SSS"."""

    warning: bool
    code: int
    axis: int
    category: int
    since: str
    drive: bool

    def row(self) -> Fault | None:
        """Its row of the catalogue."""
        return lookup(self.code, self.axis, self.warning, "drive" if self.drive else None)

    def as_entry(self, *, brief: bool = False) -> dict[str, object]:
        """The entry of errorTest or warningTest; `brief` leaves the long texts empty."""
        row = self.row()
        message = row.message if row else f"Unknown {'warning' if self.warning else 'error'} {self.code}"
        return {
            "timestamp": self.since, "warningCode" if self.warning else "errorCode": self.code,
            "axis": self.axis or "Master", "message": message,
            "description": row.description if row and not brief else "",
            "cause": row.cause if row and not brief else "",
            "solution": row.solution if row and not brief else "",
        }


def wall_time() -> str:
    """Now, for people: "hh:mm:ss:SSS"."""
    now = time.time()
    return f"{time.strftime('%H:%M:%S', time.localtime(now))}:{int(now * 1000) % 1000:03d}"


class FaultList:
    """Follows the records; `errors` and `warnings` are the active faults, the gravest first, then the oldest."""

    def __init__(self) -> None:
        self.errors: list[Active] = []
        self.warnings: list[Active] = []
        self.version = 0
        self._drive_warnings: list[dict[int, None]] = [{} for _ in range(MAX_AXES)]
        self._since: dict[Key, str] = {}
        self._seen: tuple[object, ...] = ()

    def follow(self, state: State) -> None:
        """Take one record; cheap when nothing changed. Every record must come by: a drive shows a code only once."""
        seen = (state.fault_count, state.faults, state.error_code, state.warning_code)
        if seen == self._seen:
            return
        self._seen = seen
        for axis, code in enumerate(state.warning_code):
            active = self._drive_warnings[axis]
            if code == 0:
                active.clear()
            elif code >= WITHDRAWN:
                active.pop(code - WITHDRAWN, None)
            else:
                active[code] = None
        self._rebuild(state)

    def drive_warning(self, axis: int) -> int:
        """Latest active warning of a 0-based axis, 0 none."""
        return next(reversed(self._drive_warnings[axis]), 0)

    def _rebuild(self, state: State) -> None:
        found: dict[Key, int] = {}
        for word in state.faults[:state.fault_count]:
            code, axis, category, warning = word & 0xFFFF, word >> 16 & 0xFF, word >> 24 & 0x7F, bool(word >> 31)
            found[warning, "master", code, axis] = category
        for axis, code in enumerate(state.error_code):
            if code:
                row = lookup(code, axis + 1, False, "drive")
                found[False, "drive", code, axis + 1] = row.category if row else 1
        for axis in range(len(state.warning_code)):
            for code in self._drive_warnings[axis]:
                found[True, "drive", code, axis + 1] = NONE_CATEGORY
        now = wall_time()
        self._since = {key: self._since.get(key, now) for key in found}
        active = [Active(key[0], key[2], key[3], category, self._since[key], key[1] == "drive")
                  for key, category in found.items()]
        active.sort(key=lambda item: item.category)  # stable: the oldest first within a category
        self.errors = [item for item in active if not item.warning]
        self.warnings = [item for item in active if item.warning]
        self.version += 1
