"""Whether a client may do something now, and everything that stands against it.

Thread contract: HMI thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from controller.hmi.clients import Client, ControlToken, Refused
from controller.hmi.state import blocker_words
from controller.spec import hmi
from controller.spec.hmi import Action, Notice

if TYPE_CHECKING:
    from controller._core import State


class Gate:
    """`latest` gives the newest state record (None: the loop does not run), `own` the HMI's own general blockers."""

    def __init__(self, control: ControlToken, latest: Callable[[], State | None], own: Callable[[], list[str]]) -> None:
        self._control, self._latest, self._own = control, latest, own

    def check(self, client: Client, action: Action, now_s: float) -> None:
        """Refused with everything that stands against an action; takes control where the action does."""
        self.refuse(client, action, now_s)
        if action.control == "takes":
            self._control.take(client, now_s)
        self._control.used(client, now_s)

    def refuse(self, client: Client, action: Action, now_s: float) -> None:
        """Refused with everything that stands against an action. Nobody takes control yet: it has to be looked for what
        is asked for first."""
        if found := self.against(client, action, now_s):
            raise Refused(found[0].notice, "", "; ".join(refused.message for refused in found))

    def against(self, client: Client, action: Action, now_s: float) -> list[Refused]:
        """All that stands against it: first what is this client's own, then what would stop everyone."""
        found = []
        if not client.compatible and not action.incompatible:
            found.append(Refused(Notice.VERSION, "", f"this page speaks contract {client.version}, the controller "
                                 f"{hmi.CONTRACT_VERSION}: it may observe and stop; load the page again or update it"))
        if client.role < action.role:
            found.append(Refused(Notice.ROLE, "", f"{action.doc}: needs role {action.role.name.lower()}, this client "
                                 f"has {client.role.name.lower()}"))
        if not action.available:
            return found or [Refused(Notice.NOT_AVAILABLE, "", f"not available yet: {action.doc}")]
        if action.guarded and now_s - client.connected_s < hmi.REPLAY_WINDOW_S:
            found.append(Refused(Notice.REPLAY, "", "refused because the connection is younger than one second: it may "
                                 "have been clicked while the link was down; press again"))
        if action.control != "anyone":
            try:
                self._control.may(client)
            except Refused as refused:
                found.append(refused)
        if action.motion:
            found += self.general()
        return found

    def general(self) -> list[Refused]:
        """What keeps every client from moving the arm."""
        state = self._latest()
        if state is None:
            found = [Refused(Notice.NO_LOOP, "", Notice.NO_LOOP.doc)]
        else:
            found = [Refused(Notice.BLOCKED, "", word) for word in blocker_words(
                state.blockers, state.faults[:state.fault_count])]
        return found + [Refused(Notice.BLOCKED, "", word) for word in self._own()]
