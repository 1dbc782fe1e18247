"""Commands of clients on their way into the control loop.

Thread contract: HMI thread only; it alone pushes commands into the core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.hmi.clients import Client, Refused
from controller.hmi.hand import HandTarget
from controller.hmi.in_force import InForce
from controller.hmi.outcome import Sent
from controller.hmi.sequence import Step, Told
from controller.spec.hmi import Notice
from controller.spec.modes import CommandKind

if TYPE_CHECKING:
    from controller._core import Core
    from controller.hmi.in_force import Follow


class Ring:
    """`follow` is asked for the control loop's verdict on a command of the server itself."""

    def __init__(self, core: Core, in_force: InForce, follow: Follow) -> None:
        self._core, self._in_force, self._follow = core, in_force, follow

    def push(self, client: Client, kind: CommandKind, *, mask: int = 0, values: tuple[float, ...] = (),
             value: float = 0.0, asked_s: float = 0.0) -> Sent:
        """Put one command into the ring. `asked_s` is the monotonic time when its message arrived (0: now). Refused
        when the ring is full."""
        sequence = self._core.push(kind, client=client.number, mask=mask, values=values, value=value,
                                   asked_ns=int(asked_s * 1e9))
        if not sequence:
            raise Refused(Notice.BUSY, "", Notice.BUSY.doc)
        client.last_sequence = sequence
        return Sent(sequence, kind)

    def push_step(self, client: Client, step: Step, told: Told) -> None:
        """One step of a sequence; `told` gets the loop's verdict."""
        if step.hand_mm is not None:
            target = HandTarget(step.hand_mm)
            sent = self.push(client, CommandKind.HAND_MOVE, mask=target.mask(unchecked=False), values=target.values(),
                             value=step.speed_percent)
            self._follow(sent.sequence, told)
            return
        values = tuple(step.targets.get(axis, 0.0) for axis in range(self._in_force.facts.axes))
        sent = self.push(client, CommandKind.MOVE, mask=sum(1 << axis for axis in step.targets), values=values,
                         value=step.speed_percent)
        self._follow(sent.sequence, told)

    def stop(self) -> None:
        """The core's latched stop word: needs no room, cannot be refused."""
        self._core.request_stop()

    def stand_still(self, client: Client) -> None:
        """The motion ends softly, by a stop if the ring is full."""
        if not self._core.push(CommandKind.STAND_STILL, client=client.number):
            self.stop()
