"""The test cycles that move the arm: what each of them begins, once the gate has let it pass.

Thread contract: HMI thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from controller.hmi.clients import Client, Refused
from controller.hmi.hand import HandSearch
from controller.hmi.in_force import InForce
from controller.hmi.moves import Push
from controller.hmi.outcome import Outcome
from controller.hmi.sequence import Plan, Sequencer, standard_movements
from controller.spec.hmi import Notice
from controller.spec.modes import CommandKind

if TYPE_CHECKING:
    from controller._core import State


class Cycles:
    """`latest` gives the newest state record, `devices` the number of input devices, `push` fills the ring."""

    def __init__(self, sequencer: Sequencer, hand: HandSearch, in_force: InForce, *,
                 latest: Callable[[], State | None], push: Push, devices: Callable[[], int]) -> None:
        self._sequencer, self._hand, self._in_force = sequencer, hand, in_force
        self._latest, self._push, self._devices = latest, push, devices
        self.testing_device = False  # test cycle 7: input devices move axis 1 only

    def axes(self, client: Client, now_s: float) -> Outcome:
        """Test cycle 1. Inside the range of motion, whether it is on or not."""
        state = self._latest()
        assert state is not None  # the gate has asked
        steps = standard_movements(self._in_force.facts, self._in_force.target_ranges_deg(), state.position_deg)
        return (self._sequencer.start(client, Plan("test cycle 1", steps), state, now_s),)

    def square(self, client: Client, now_s: float) -> Outcome:
        """Test cycle 3."""
        state = self._latest()
        assert state is not None  # the gate has asked
        plan = Plan("test cycle 3", self._hand.square(self._in_force.facts, state))
        return (self._sequencer.start(client, plan, state, now_s),)

    def device(self, client: Client, now_s: float) -> Outcome:
        """Test cycle 7: ready for jog, and what an input device says goes to axis 1 alone."""
        if not self._devices():
            raise Refused(Notice.BLOCKED, "", "no input device is connected: plug one in; `allyarm devices` lists what "
                          "is there, and [input] enabled = true in the configuration lets devices move the arm")
        sent = self._push(client, CommandKind.START, mask=1)
        self.testing_device = True
        return msgspec.structs.replace(sent, refused=self.end)

    def end(self) -> None:
        """Input devices move what they are mapped to again."""
        self.testing_device = False
