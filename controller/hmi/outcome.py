"""What a handler leaves behind: nothing, a command in the ring, or futures."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import msgspec

from controller.spec.modes import CommandKind


class Sent(msgspec.Struct, frozen=True):
    """A command is in the ring under this number. `refused` is called when the control loop refuses it."""

    sequence: int
    kind: CommandKind
    refused: Callable[[], None] | None = None


Outcome = dict[str, object] | Sent | tuple[Future[Any], ...] | None  # futures may give fields for the answer
