"""Active errors and warnings as the HMI lists them: those of a state record, and the back-end's own.

A drive shows a code in few records only. Its warnings stay until it withdraws them: by the code + WITHDRAWN, or all of
the axis by 0. Errors of the master are latched by the core until RESET_ERROR, and a drive's errors as long as the
master's error of that axis (100 + axis), which refers to them.
Thread contract: HMI thread only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from controller.spec import faults
from controller.spec.faults import WITHDRAWN, Language, Source, Texts, lookup
from controller.spec.telegram import MAX_AXES

if TYPE_CHECKING:
    from controller._core import State

Key = tuple[bool, Source, int, int]  # warning, source, code, axis
NONE_CATEGORY = 3


class Active(msgspec.Struct, frozen=True):
    """One active fault. `axis` is 1-based, 0 the master; `since` is wall time "hh:mm:ss:SSS". Codes of the master stand
    for those of the back-end too: they do not meet."""

    warning: bool
    code: int
    axis: int
    category: int
    since: str
    source: Source
    texts: Texts

    def as_entry(self, *, brief: bool = False) -> dict[str, object]:
        """The entry of errorTest or warningTest; `brief` leaves the long texts empty."""
        message, description, cause, solution = self.texts
        return {
            "timestamp": self.since, "warningCode" if self.warning else "errorCode": self.code,
            "axis": self.axis or "Master", "message": message,
            "description": "" if brief else description, "cause": "" if brief else cause,
            "solution": "" if brief else solution,
        }


def wall_time() -> str:
    """Now, for people: "hh:mm:ss:SSS"."""
    now = time.time()
    return f"{time.strftime('%H:%M:%S', time.localtime(now))}:{int(now * 1000) % 1000:03d}"


class FaultList:
    """Follows the records; `errors` and `warnings` are the active faults, the gravest first, then the oldest.

    `changed(fault, raised)` is told of those that the core has no events for: the drives' and our own.
    """

    def __init__(self, language: Language = "en", changed: Callable[[Active, bool], None] | None = None) -> None:
        self._language, self._changed = language, changed
        self._own: dict[Key, int] = {}      # -> category
        self._faults: tuple[int, ...] = ()
        self._drive_errors: list[dict[int, None]] = [{} for _ in range(MAX_AXES)]
        self._active: dict[Key, Active] = {}
        self._of_core: set[Key] = set()
        self.errors: list[Active] = []
        self.warnings: list[Active] = []
        self.version = 0
        self._drive_warnings: list[dict[int, None]] = [{} for _ in range(MAX_AXES)]
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
        self._faults = state.faults[:state.fault_count]
        latched = {word & 0xFFFF for word in self._faults if not word >> 31}
        for axis, code in enumerate(state.error_code):
            if faults.BY_NAME["DRIVE_ERROR"].code + axis + 1 not in latched:
                self._drive_errors[axis].clear()
            if code:
                self._drive_errors[axis][code] = None
        self._rebuild()

    def own(self, name: str, present: bool, axis: int = 0) -> None:
        """A fault that the HMI's thread finds itself, by the name of its row, is there or not; `axis` is 1-based."""
        row = faults.BY_NAME[name]
        key = (row.warning, row.source, row.code + axis * row.per_axis, axis)
        if present != (key in self._own):
            if present:
                self._own[key] = row.category
            else:
                del self._own[key]
            self._rebuild()

    def drive_warning(self, axis: int) -> int:
        """Latest active warning of a 0-based axis, 0 none."""
        return next(reversed(self._drive_warnings[axis]), 0)

    def _rebuild(self) -> None:
        found: dict[Key, int] = {}
        for word in self._faults:
            code, axis, category, warning = word & 0xFFFF, word >> 16 & 0xFF, word >> 24 & 0x7F, bool(word >> 31)
            found[warning, "master", code, axis] = category
        for axis, errors in enumerate(self._drive_errors):
            for code in errors:
                row = lookup(code, axis + 1, False, "drive")
                found[False, "drive", code, axis + 1] = row.category if row else 1
        for axis, warnings in enumerate(self._drive_warnings):
            for code in warnings:
                found[True, "drive", code, axis + 1] = NONE_CATEGORY
        of_core = {key for key in found if key[1] == "master"}
        found.update(self._own)
        before, self._active = self._active, {}
        for key, category in found.items():
            self._active[key] = before.get(key) or self._new(key, category)
        active = sorted(self._active.values(), key=lambda item: item.category)  # stable: the oldest first within it
        self.errors = [item for item in active if not item.warning]
        self.warnings = [item for item in active if item.warning]
        self.version += 1
        self._tell(before, of_core)

    def _new(self, key: Key, category: int) -> Active:
        warning, source, code, axis = key
        row = lookup(code, axis, warning, None if source == "master" else source)
        texts = faults.texts(row, self._language) if row else faults.unknown_texts(code, warning, self._language)
        return Active(warning, code, axis, category, wall_time(), source, texts)

    def _tell(self, before: dict[Key, Active], of_core: set[Key]) -> None:
        of_core, self._of_core = of_core | self._of_core, of_core
        if self._changed is None:
            return
        for key, item in before.items():
            if key not in self._active and key not in of_core:
                self._changed(item, False)
        for key, item in self._active.items():
            if key not in before and key not in of_core:
                self._changed(item, True)
