"""What the main thread knows about the line to the arm and the external program, for the status.

Thread contract: a report is frozen; the main thread makes a new one whenever something changed and hands it over whole.
"""

from __future__ import annotations

import msgspec


class LinkReport(msgspec.Struct, frozen=True):
    """`last_error` of the latest bring-up ("" when it was good), `malformed_lines` of the register phase since the
    start, `notes` about what bring-up found, and the serial `port` ("" when none is there); `external_path`, where
    external programs connect ("" when that is off), and `external_program`, the process id of the one that is
    connected (0 none)."""

    last_error: str = ""
    malformed_lines: int = 0
    notes: tuple[str, ...] = ()
    port: str = ""
    external_path: str = ""
    external_program: int = 0
