"""The error and warning catalogue. Codes are fixed; the code of a per-axis row is `code + axis number` (1-based)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["drive", "master", "back-end"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One row. `category` is the stop category of an error (0 emergency, 1 quick, 2 soft, 3 none)."""

    code: int
    name: str
    source: Source
    category: int
    message: str
    description: str = ""
    cause: str = ""
    solution: str = ""
    per_axis: bool = False
    resettable: bool = True
    warning: bool = False


ERRORS: tuple[Fault, ...] = (
    Fault(1, "BUS_LOST", "back-end", 1, "Lost bus communication"),
    Fault(30, "BATTERY_LOW", "master", 2, "Batteries low"),
    Fault(100, "DRIVE_ERROR", "master", 1, "Drive in error", per_axis=True),
    Fault(110, "DRIVE_LOST", "master", 1, "Drive lost communication", per_axis=True),
    Fault(120, "DRIVE_SETUP", "master", 1, "Drive needs set-up", per_axis=True),
    Fault(290, "ESM_ENABLE_AT_START", "master", 0, "Motor power enabled at start", resettable=False),
    Fault(291, "ESM_CONTACTS_AT_START", "master", 0, "Motor power contacts closed at start", resettable=False),
    Fault(292, "ESM_START_REPEATED", "master", 0, "Start-up error still present", resettable=False),
    Fault(293, "ESM_CONTACTS_CLOSED", "master", 0, "Contacts closed without enable"),
    Fault(294, "ESM_BUTTON_CONTACTS", "master", 0, "Contacts closed with the button pressed"),
    Fault(295, "ESM_CONTACTS_OPEN", "master", 0, "Contacts open with enable"),
    Fault(296, "ESM_BUTTON", "master", 0, "Emergency button pressed"),
    Fault(601, "ESS_HARD_MINIMUM", "master", 0, "Position below the hard minimum"),
    Fault(602, "ESS_HARD_MAXIMUM", "master", 0, "Position above the hard maximum"),
    Fault(605, "ESS_OVERSPEED", "master", 0, "Speed above the maximum"),
    Fault(606, "ESS_CANNOT_STOP", "master", 0, "Too fast to stop before the limit"),
    Fault(607, "ESS_STANDSTILL", "master", 0, "Movement while standing still"),
    Fault(608, "ESS_FOLLOWING", "master", 0, "Following error too large"),
    Fault(610, "DEADLINES_MISSED", "master", 1, "Control deadlines missed"),
    Fault(611, "DRIVES_NOT_READY", "master", 1, "Drives did not become ready"),
    Fault(612, "TRAJECTORY", "master", 1, "Set-point outside its limits"),
)

WARNINGS: tuple[Fault, ...] = (
    Fault(120, "BATTERY_HIGH", "master", 3, "Batteries high", warning=True),
    Fault(401, "LIMIT_BRAKE", "master", 3, "Braked before a position limit", warning=True),
)
