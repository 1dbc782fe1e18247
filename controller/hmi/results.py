"""What became of the commands in the ring: the core's verdict, matched to who asked.

The state record carries the number and result of the last command, and those of the last one that was refused after
it had been taken; every record is looked at, so that an acknowledgement says what the control loop decided and not
merely that something was sent.
Thread contract: HMI thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from controller.hmi.clients import Client, Refused
from controller.hmi.state import blocker_words
from controller.spec.faults import lookup
from controller.spec.hmi import Notice
from controller.spec.modes import Blocker, CommandKind, CommandResult, MasterMode, MasterState

if TYPE_CHECKING:
    from controller._core import State

ANSWER_LIMIT_S = 0.5
RESET_LIMIT_S = 4.0  # longer than the loop itself waits for a new bring-up of the drives
REMEMBERED = 128
Done = Callable[[Refused | None], None]


class _Sent(msgspec.Struct):
    client: Client | None  # None: the server's own
    since_s: float
    done: Done
    reset: bool
    told: bool = False
    judged: bool = False  # by the loop; one told of a loop that does not answer still may be
    taken: bool = False  # by the loop: a reset that is under way


class Results:
    """Commands sent and not yet answered. `waiting` says whether looking soon is worth it."""

    def __init__(self) -> None:
        self._sent: dict[int, _Sent] = {}
        self._last: tuple[int, int, int, int] = (0, 0, 0, 0)  # last command, its result, commands refused, late one
        self.waiting = 0

    def expect(self, sequence: int, client: Client | None, now_s: float, done: Done, *, reset: bool = False) -> None:
        """`done` is called with None or the refusal; once more when a motion is refused after the power-up, or a
        command that the loop did not take in time is refused after all, or a line of the hand is found not to be there.
        A reset is done when the loop has left ERROR.
        """
        if len(self._sent) >= REMEMBERED:
            judged = (number for number, sent in self._sent.items() if sent.told and sent.judged)
            oldest = next(judged, next(iter(self._sent)))
            self._tell(oldest, refusal(None, "its result was not followed: too many commands at the same time")
                       if not self._sent[oldest].told else None, forget=True)
        self._sent[sequence] = _Sent(client, now_s, done, reset)
        self.waiting += 1

    def follow(self, state: State) -> None:
        """Take one record."""
        seen = (state.last_command, state.last_command_result, state.commands_refused, state.late_command)
        if seen != self._last:
            self._verdicts(state)
            self._last = seen
        for sequence in [number for number, sent in self._sent.items() if sent.taken]:
            if state.state != MasterState.ERROR:
                self._tell(sequence, None, forget=True)
            elif state.mode != MasterMode.RESET_ERROR:
                self._tell(sequence, refusal(CommandKind.RESET, _left(state)), forget=True)

    def _verdicts(self, state: State) -> None:
        refused = state.commands_refused - self._last[2]
        result = CommandResult(state.last_command_result)
        late = state.late_command if state.late_command != self._last[3] else 0
        if late:
            refused -= 1
        if state.last_command not in (self._last[0], late) and result is not CommandResult.OK:
            refused -= 1
        for sequence in [number for number in self._sent if number < state.last_command and number != late]:
            # Several in one cycle: only the last one's result is in the record. Those judged stay for a late refusal.
            doubt = refusal(None, "one of several commands sent at the same time was refused") if refused > 0 else None
            if not self._sent[sequence].judged:
                self._verdict(sequence, doubt, forget=doubt is not None)
        newest = self._sent.get(state.last_command)
        if newest is not None and state.last_command != late and not newest.judged:
            kind = CommandKind(state.last_command_kind) if state.last_command_kind else None
            self._verdict(state.last_command, None if result is CommandResult.OK else refusal(kind, result.doc))
        if late in self._sent:
            self._verdict(late, refusal(None, CommandResult(state.late_command_result).doc), forget=True)

    def _verdict(self, sequence: int, refused: Refused | None, *, forget: bool = False) -> None:
        self._sent[sequence].judged = True
        if self._sent[sequence].reset and refused is None:
            self._sent[sequence].taken = True  # begun; done when the state says so
        else:
            self._tell(sequence, refused, forget=forget)

    def tick(self, now_s: float) -> None:
        """Answer what the loop did not take, or not finish, in time."""
        for sequence, sent in list(self._sent.items()):
            if not sent.told and now_s - sent.since_s >= (RESET_LIMIT_S if sent.taken else ANSWER_LIMIT_S):
                if sent.taken:
                    late = refusal(CommandKind.RESET, f"not finished within {RESET_LIMIT_S:g} s; it may still succeed")
                else:
                    late = Refused(Notice.NO_LOOP, "", Notice.NO_LOOP.doc)
                # The server's own is followed on: the verdict on it counts, however late.
                self._tell(sequence, late, forget=sent.client is not None)

    def forget(self, client: Client) -> None:
        """A client is gone."""
        for sequence in [number for number, sent in self._sent.items() if sent.client is client]:
            if not self._sent.pop(sequence).told:
                self.waiting -= 1

    def _tell(self, sequence: int, refused: Refused | None, *, forget: bool = False) -> None:
        sent = self._sent[sequence]
        if not sent.told or refused is not None:
            sent.done(refused)
        if not sent.told:
            sent.told = True
            self.waiting -= 1
        if forget:
            del self._sent[sequence]


def refusal(kind: CommandKind | None, text: str) -> Refused:
    """The refusal of a command by the control loop."""
    return Refused(Notice.REFUSED, "", f"{kind.name.lower().replace('_', ' ')}: {text}" if kind else text)


def _left(state: State) -> str:
    """What a reset could not clear, in words."""
    found = blocker_words(state.blockers & ~(1 << Blocker.ERROR))
    for word in state.faults[:state.fault_count]:
        code, axis, warning = word & 0xFFFF, word >> 16 & 0xFF, bool(word >> 31)
        if not warning:
            row = lookup(code, axis, False)
            where = f" of axis {axis}" if axis else ""
            never = f", which no reset clears: {row.solution}" if row and not row.resettable else ""
            found.append(f"error {code}{where}{f', {row.message}' if row else ''}{never}")
    return f"the cause is still there: {'; '.join(found)}" if found else "the cause is still there"
