"""How messages are answered: at once, when the control loop has decided, or when the disk has it too.

Thread contract: HMI thread only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec

from controller.hmi.broadcast import Broadcast
from controller.hmi.clients import Client, Refused
from controller.hmi.counters import Counters
from controller.hmi.outcome import Outcome, Sent
from controller.hmi.results import Results
from controller.kept import StoreError
from controller.spec.hmi import Notice
from controller.spec.modes import CommandKind

RESULT_POLL_S = 0.002
Answer = Callable[[dict[str, object]], None]


class Reply(msgspec.Struct):
    """How one message is answered: its acknowledgement if it asked for one, and whether a refusal is also shown."""

    answer: Answer | None = None
    visible: bool = True

    def give(self, result: dict[str, object]) -> bool:
        """Send the acknowledgement, once; False when there is none (any more)."""
        if self.answer is None:
            return False
        self.answer(result)
        self.answer = None
        return True


class Answers:
    """`read_core` takes the records that have come, so that `results` knows of every verdict in them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, results: Results, counters: Counters, broadcast: Broadcast,
                 read_core: Callable[[float], object]) -> None:
        self._loop, self._results, self._counters, self._broadcast = loop, results, counters, broadcast
        self._read_core = read_core
        self._polling = False

    def finish(self, client: Client, outcome: Outcome, reply: Reply) -> None:
        """Answer now, or when the control loop, or the loop and the disk, have answered."""
        if isinstance(outcome, Sent):
            def settle(refused: Refused | None) -> None:
                if refused is not None and outcome.refused is not None:
                    outcome.refused()
                self._settle(client, refused, reply)

            self._results.expect(outcome.sequence, client, time.monotonic(), settle,
                                 reset=outcome.kind is CommandKind.RESET)
            self._poll_soon()
        elif isinstance(outcome, tuple):
            answers = asyncio.gather(*map(asyncio.wrap_future, outcome), return_exceptions=True)
            answers.add_done_callback(lambda done: self._settled(client, done, reply))
        else:
            reply.give({"ok": True, **(outcome or {})})

    def follow(self, sequence: int, done: Callable[[Refused | None], None]) -> None:
        """A command of the server itself: no client's, so it is followed until the loop answers."""
        self._results.expect(sequence, None, time.monotonic(), done)
        self._poll_soon()

    def _poll_soon(self) -> None:
        if not self._polling:
            self._polling = True
            self._loop.call_later(RESULT_POLL_S, self._poll_results)

    def _poll_results(self) -> None:
        now_s = time.monotonic()
        self._read_core(now_s)
        self._results.tick(now_s)
        self._polling = self._results.waiting > 0
        if self._polling:
            self._loop.call_later(RESULT_POLL_S, self._poll_results)

    def _settle(self, client: Client, refused: Refused | None, reply: Reply,
                fields: dict[str, Any] | None = None) -> None:
        if refused is not None:
            self.refuse(client, refused, reply)
        else:
            reply.give({"ok": True, **(fields or {})})

    def _settled(self, client: Client, done: asyncio.Future[list[Any]], reply: Reply) -> None:
        """The loop and the disk have both answered: the first refusal counts, else the fields that they gave."""
        if done.cancelled():
            return
        error = next((found for found in done.result() if isinstance(found, BaseException)), None)
        if error is None or isinstance(error, Refused):
            fields: dict[str, Any] = {}
            for found in done.result() if error is None else ():
                fields |= found or {}
            self._settle(client, error, reply, fields)
            return
        text = f"in force, but not saved: {error}" if isinstance(error, StoreError) else Notice.NOT_SAVED.doc
        self.refuse(client, Refused(Notice.NOT_SAVED, "", text), reply)

    def refuse(self, client: Client, refused: Refused, reply: Reply) -> None:
        """Count it, and tell the client: by its acknowledgement, by a notice for the page, or both."""
        self._counters.refuse(refused.notice.name.lower())
        answered = reply.give({"ok": False, "error": refused.as_error()})
        if refused.notice is not Notice.STALE and (reply.visible or not answered):  # a held jog is no cause to shout
            client.notices.append(refused.as_notice())
            self._broadcast.send_notice(client, time.monotonic())
