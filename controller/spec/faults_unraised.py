"""Rows of the catalogue that this version never raises, or that nothing can provoke from outside, and why.

Every other row is provoked by tests/sim/test_catalogue.py, which fails when a row is in neither place or in both.
"""

from __future__ import annotations

_SWITCHED_BY_SYSTEM = "the page cannot switch the computer off or restart it: systemd does"

UNRAISED: dict[str, str] = {
    "SHUTDOWN_FAILED": _SWITCHED_BY_SYSTEM,
    "RESTART_FAILED": _SWITCHED_BY_SYSTEM,
    "EXERCISE_DATA": "exercises are refused with a reason when they are stored; none is played yet",
    "MASTER_STATE": "the state comes from a table in which every pair of state and event is decided; there is no other",
    "DRIVE_VERSION": "the base board does not tell the versions of its drives",
    "TRAJECTORY": "the last gate before a telegram stops a fault of the program itself, and none is known",
    "ACCELERATION_ZERO": "the configuration allows no acceleration of 0",
}
