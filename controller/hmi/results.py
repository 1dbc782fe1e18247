"""What became of the commands in the ring: the core's verdict, matched to who asked.

The state record carries the number and result of the last command; every record is looked at, so that an
acknowledgement says what the control loop decided and not merely that something was sent.
Thread contract: HMI thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.hmi.clients import Client, Refused
from controller.spec.hmi import Notice
from controller.spec.modes import CommandKind, CommandResult

if TYPE_CHECKING:
    from controller._core import State

ANSWER_LIMIT_S = 0.5
REMEMBERED = 128
Done = Callable[[Client, Refused | None], None]


@dataclass(slots=True)
class _Sent:
    client: Client
    until_s: float
    done: Done
    told: bool = False


class Results:
    """Commands sent and not yet answered. `waiting` says whether looking soon is worth it."""

    def __init__(self) -> None:
        self._sent: dict[int, _Sent] = {}
        self._last: tuple[int, int, int] = (0, 0, 0)  # last command, its result, commands refused
        self.waiting = 0

    def expect(self, sequence: int, client: Client, now_s: float, done: Done) -> None:
        """`done` is called with None or the refusal; once more when a motion is refused after the power-up."""
        if len(self._sent) >= REMEMBERED:
            self._tell(next(iter(self._sent)), None, forget=True)
        self._sent[sequence] = _Sent(client, now_s + ANSWER_LIMIT_S, done)
        self.waiting += 1

    def follow(self, state: State) -> None:
        """Take one record."""
        seen = (state.last_command, state.last_command_result, state.commands_refused)
        if seen == self._last:
            return
        refused = state.commands_refused - self._last[2]
        self._last = seen
        result = CommandResult(state.last_command_result)
        if result is not CommandResult.OK:
            refused -= 1
        for sequence in [number for number in self._sent if number < state.last_command]:
            # Several in one cycle: only the last one's result is in the record.
            doubt = refusal(None, "one of several commands sent at the same time was refused") if refused > 0 else None
            self._tell(sequence, doubt, forget=True)
        if state.last_command in self._sent:
            kind = CommandKind(state.last_command_kind) if state.last_command_kind else None
            self._tell(state.last_command, None if result is CommandResult.OK else refusal(kind, result.doc))

    def tick(self, now_s: float) -> None:
        """Answer what the loop did not take in time."""
        for sequence, sent in list(self._sent.items()):
            if not sent.told and now_s >= sent.until_s:
                self._tell(sequence, Refused(Notice.NO_LOOP, "", Notice.NO_LOOP.doc), forget=True)

    def forget(self, client: Client) -> None:
        """A client is gone."""
        for sequence in [number for number, sent in self._sent.items() if sent.client is client]:
            if not self._sent.pop(sequence).told:
                self.waiting -= 1

    def _tell(self, sequence: int, refused: Refused | None, *, forget: bool = False) -> None:
        sent = self._sent[sequence]
        if not sent.told or refused is not None:
            sent.done(sent.client, refused)
        if not sent.told:
            sent.told = True
            self.waiting -= 1
        if forget:
            del self._sent[sequence]


def refusal(kind: CommandKind | None, text: str) -> Refused:
    """The refusal of a command by the control loop."""
    return Refused(Notice.REFUSED, "", f"{kind.name.lower().replace('_', ' ')}: {text}" if kind else text)
