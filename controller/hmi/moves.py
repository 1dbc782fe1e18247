"""Moves of the joints and of the hand: every target is checked, then goes to the ring, for now or for the next start.

Thread contract: HMI thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from controller.arm import ArmFacts
from controller.hmi import forms, messages, positions
from controller.hmi.clients import Client, Refused
from controller.hmi.gate import Gate
from controller.hmi.hand import HandSearch, HandTarget
from controller.hmi.in_force import InForce
from controller.hmi.outcome import Outcome, Sent
from controller.spec.hmi import ACTION, Notice
from controller.spec.modes import CommandKind
from controller.store import Store

if TYPE_CHECKING:
    from controller._core import State


class Push(Protocol):
    """Puts a command into the ring; Refused when that is full."""

    def __call__(self, client: Client, kind: CommandKind, *, mask: int = 0, values: tuple[float, ...] = (),
                 value: float = 0.0, asked_s: float = 0.0) -> Sent: ...


class Moves:
    """`begin` asks the gate and ends what a motion ends, `push` fills the ring, `latest` gives the newest record."""

    def __init__(self, store: Store, gate: Gate, in_force: InForce, hand: HandSearch, *,
                 latest: Callable[[], State | None], begin: Callable[[Client, str, float], None], push: Push) -> None:
        self._store, self._gate, self._in_force, self._hand = store, gate, in_force, hand
        self._latest, self._begin, self._push = latest, begin, push
        self.waiting_for_start = False  # mode 5: targets are stored
        self.prepared = False  # some may be in the core

    @property
    def facts(self) -> ArmFacts:
        """The arm of the latest bring-up."""
        return self._in_force.facts

    def command(self, client: Client, command: messages.Move, now_s: float) -> Outcome:
        if command.hand_mm is not None:
            return self._move_hand(client, command, now_s)
        if command.position_deg is None:
            raise Refused(Notice.VALUE, "position_deg", "one of position_deg (joints) and hand_mm (the hand) is needed")
        if command.elbow_deg is not None or command.wrist_deg is not None or command.check != "checked":
            raise Refused(Notice.VALUE, "hand_mm", "elbow_deg, wrist_deg and check belong to a place of the hand")
        if isinstance(command.position_deg, dict):
            targets = {f"position_deg.{key}": (int(key) - 1, deg) for key, deg in command.position_deg.items()}
        else:
            self.axes_given("position_deg", len(command.position_deg))
            targets = {f"position_deg[{i}]": (i, deg) for i, deg in enumerate(command.position_deg) if deg is not None}
        return self._move(client, "move", targets, command.speed_percent, now_s,
                          wait=command.wait_for_start)

    def _move_hand(self, client: Client, command: messages.Move, now_s: float) -> Outcome:
        """Registers 101..104, 210, 211: check only, go checked, go unchecked."""
        assert command.hand_mm is not None
        if command.position_deg is not None:
            raise Refused(Notice.VALUE, "hand_mm", "one of position_deg (joints) and hand_mm (the hand) is allowed")
        if command.wait_for_start or self.waiting_for_start:
            raise Refused(Notice.VALUE, "wait_for_start", "places of the hand cannot be stored for a start: the line "
                          "begins where the arm stands")
        x, y, z = command.hand_mm
        target = HandTarget((x, y, z), command.elbow_deg, command.wrist_deg)
        state = self._latest()
        self._hand.check_angles(self.facts, target)
        if command.check == "only":
            self._gate.check(client, ACTION["hand_check"], now_s)
            if state is None or state.axes != self.facts.axes:
                raise Refused(Notice.BLOCKED, "", "the arm is not connected")
            against = self._hand.obstacles(self.facts, state, target)
            return {"reachable": not against, "why": against}
        self._hand.kinematics(self.facts)
        if command.check == "checked" and state is not None and (
                against := self._hand.obstacles(self.facts, state, target)):
            raise Refused(Notice.VALUE, "hand_mm", f"not reachable in a straight line: {'; '.join(against)}")
        self._begin(client, "move", now_s)
        return self._push(client, CommandKind.HAND_MOVE, mask=target.mask(unchecked=command.check == "unchecked"),
                          values=target.values(), value=command.speed_percent)

    def go_to_position(self, client: Client, found: forms.Recognised, now_s: float) -> Outcome:
        forms.exactly("4", found.values["4"], 0)
        first = int(found.form.axes)
        targets = {key: (int(key) - first, forms.number(key, value, -3600, 3600))
                   for key, value in found.values.items() if key != "4" and value != ""}
        return self._move(client, "move", targets, 100.0, now_s)

    def go_to(self, client: Client, name: str, percent: float, now_s: float, *, wait: bool = False) -> Outcome:
        """A saved position by its name in hmi.POSITIONS."""
        found = positions.targets(self._store, self.facts, name)
        return self._move(client, "saved_position", {f"{name}, axis {i + 1}": (i, deg) for i, deg in enumerate(found)},
                          percent, now_s, wait=wait)

    def _move(self, client: Client, action: str, targets: dict[str, tuple[int, float]], percent: float, now_s: float, *,
              wait: bool = False) -> Outcome:
        """Joint targets {field: (0-based axis, degrees)}, each checked against its limits; stored for the next start
        when asked to, and in mode 5."""
        if not targets:
            raise Refused(Notice.VALUE, "", "no target was given for any axis")
        values = [0.0] * self.facts.axes
        mask = 0
        for key, (axis, position_deg) in targets.items():
            self._axis_exists(key, axis)
            self._check_target(key, axis, position_deg)
            values[axis] = position_deg
            mask |= 1 << axis
        self._begin(client, action, now_s)
        kind = CommandKind.PREPARE if wait or self.waiting_for_start else CommandKind.MOVE
        self.prepared |= kind is CommandKind.PREPARE
        return self._push(client, kind, mask=mask, values=tuple(values), value=percent)

    def _check_target(self, key: str, axis: int, position_deg: float) -> None:
        try:
            self.allowed(axis, position_deg)
        except ValueError as error:
            raise Refused(Notice.VALUE, key, str(error)) from None

    def allowed(self, axis: int, position_deg: float) -> None:
        """ValueError when a target is outside the limits or the range of motion that is on."""
        self.facts.check_target(axis, position_deg)
        if self._in_force.range_on:
            low, high = self._in_force.ranges_deg()[axis]
            if not low <= position_deg <= high:
                raise ValueError(f"axis {axis + 1}: {position_deg:g} deg is outside the range of motion, allowed "
                                 f"{low:.2f}..{high:.2f} deg")

    def axes_given(self, key: str, count: int) -> None:
        if not self.facts.axes:
            raise Refused(Notice.BLOCKED, "", "the arm is not connected")
        if count != self.facts.axes:
            raise Refused(Notice.VALUE, key, f"{count} values given, the arm has {self.facts.axes} axes")

    def _axis_exists(self, key: str, axis: int) -> None:
        if not self.facts.axes:
            raise Refused(Notice.BLOCKED, "", "the arm is not connected")
        if axis >= self.facts.axes:
            raise Refused(Notice.VALUE, key, f"axis {axis + 1} does not exist, the arm has {self.facts.axes} axes")
