"""Handlers on a stand-in for the core's door: what they push is kept, and the test gives the loop's verdicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controller.arm import ArmFacts, AxisFacts
from controller.hmi.clients import Client, ControlToken, Refused
from controller.hmi.counters import Counters
from controller.hmi.handlers import Handlers
from controller.hmi.state import empty_state
from controller.spec.hmi import Notice, Role
from controller.spec.modes import CommandKind, MasterState
from controller.store import Store

AXIS = AxisFacts(4096, 360.0, 1024, False, 341, 2389, 0.01, 60.0)


class Ring:
    """Stands for the core's door: keeps what was pushed, and can be full."""

    def __init__(self) -> None:
        self.pushed: list[tuple[CommandKind, dict[str, Any]]] = []
        self.stops = 0
        self.full = False

    def push(self, kind: int, **fields: Any) -> int:
        if self.full:
            return 0
        self.pushed.append((CommandKind(kind), fields))
        return len(self.pushed)

    def request_stop(self) -> None:
        self.stops += 1


class Bench:
    """Handlers on a Ring; `say` is a `response` of a client at a time, `ask` a `command`."""

    def __init__(self, axes: int = 4) -> None:
        self.ring, self.store, self.counters = Ring(), Store(), Counters()
        self.verdicts: dict[int, Callable[[Refused | None], None]] = {}  # of the server's own commands, by their number
        self.state: Any = empty_state(axes)
        self.state.state = int(MasterState.WAITING)
        self.control = ControlToken(self._lost)
        self.handlers = Handlers(self.ring, self.store, self.control, self.counters,  # type: ignore[arg-type]
                                 latest=lambda: self.state, changed=lambda: None,
                                 follow=self.verdicts.__setitem__, clock=lambda: 0.0,
                                 ended=lambda client, why: self.ended.append(why))
        self.ended: list[str] = []
        self.handlers.in_force.facts = ArmFacts("S", "1", (AXIS,) * axes)
        self.one, self.two = (Client(n, f"key{n}", f"sid{n}", "10.0.0.1", 0.0, Role.ADMINISTRATOR) for n in (1, 2))

    def _lost(self, client: Client) -> None:
        self.handlers.end_motion(client)

    def say(self, message: object, client: Client | None = None, now_s: float = 10.0) -> Any:
        return self.handlers.response(client or self.one, message, now_s)

    def ask(self, kind: str, client: Client | None = None, now_s: float = 10.0, **fields: Any) -> Any:
        return self.handlers.command(client or self.one, {"type": kind, **fields}, now_s)

    def agree(self, refused: Refused | None = None) -> None:
        """The loop's verdict on all that was pushed since."""
        verdicts = list(self.verdicts.values())
        self.verdicts.clear()       # the same one: handlers go on to fill it
        for verdict in verdicts:
            verdict(refused)

    def kinds(self) -> list[CommandKind]:
        """Kinds of what was pushed."""
        return [kind for kind, _ in self.ring.pushed]

    @property
    def last(self) -> tuple[CommandKind, dict[str, Any]]:
        return self.ring.pushed[-1]


def notice(call: Any) -> tuple[Notice, str, str]:
    with pytest.raises(Refused) as refused:
        call()
    return refused.value.notice, refused.value.field, refused.value.message
