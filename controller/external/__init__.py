"""Move the arm from a program of your own: see docs/external.md and examples/external_sine.py.

`ExternalProgram` is all a program needs; what a state holds is in docs/external.md (ExternalState). Nothing of the
controller itself is imported here.
"""

from __future__ import annotations

from controller.external._link import ExternalState
from controller.external.program import ConnectError, ControllerGone, ExternalError, ExternalProgram, Position, Speed
from controller.spec.external import ExternalLimit, ExternalRefusal
from controller.spec.modes import MasterMode, MasterState

__all__ = ["ConnectError", "ControllerGone", "ExternalError", "ExternalLimit", "ExternalProgram", "ExternalRefusal",
           "ExternalState", "MasterMode", "MasterState", "Position", "Speed"]
