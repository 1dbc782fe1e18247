"""What the main thread knows about the line to the arm, for the status.

Thread contract: a report is frozen; the main thread makes a new one whenever something changed and hands it over whole.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkReport:
    """`last_error` of the latest bring-up ("" when it was good), `malformed_lines` of the register phase since the
    start, `notes` about what bring-up found, and the serial `port` ("" when none is there)."""

    last_error: str = ""
    malformed_lines: int = 0
    notes: tuple[str, ...] = ()
    port: str = ""
