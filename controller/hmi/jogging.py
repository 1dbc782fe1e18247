"""Hold-to-run: which of a client's jog messages count.

The loop lets a jog act for hmi.JOG_REFRESH_S after it took it. A message that waited on its way, or came twice, must
not have that time anew, or an arm would go on after the hand has let go. And a hold that was refused, or that a stop
ended, must be let go first, or the arm would begin to move by itself when what stood against it is gone.
Thread contract: HMI thread only.
"""

from __future__ import annotations

import msgspec

from controller.spec import hmi

CLOCKS_APART = 0.0005  # seconds per second that the clocks of two machines may drift apart


class Hold(msgspec.Struct):
    """The hold of one client. `transit_s`: least difference of arrival and `sent_ms` so far, a way without queues."""

    sequence: int | None = None
    taken_s: float = 0.0
    transit_s: float | None = None
    transit_at_s: float = 0.0
    seen_s: float = 0.0
    sent_ms: float | None = None  # of the jog seen last
    ended: bool = False
    late_s: float = 0.0  # of the jog taken last: its time in the loop counts from when it was asked for

    def take(self, now_s: float, *, released: bool, sequence: int | None, sent_ms: float | None,
             age_ms: float) -> tuple[str, str] | None:
        """Take one jog; (field, why) when it must not act. A release (all speeds 0) always counts: it ends a motion.

        `sequence` must grow within a hold, which ends by a release or JOG_FORGOTTEN_S without a jog. `age_ms` is how
        old the input was when it was sent, `sent_ms` the sender's own clock then.
        """
        self.late_s = late_s = age_ms * 1e-3 + (0.0 if sent_ms is None else self._late_s(now_s - sent_ms * 1e-3, now_s))
        # A sender without a clock cannot be told from a link that stalls: its hand has let go only when it says so, or
        # after a pause that no link makes, or a stop would be undone by what a stall has held back.
        told = sent_ms is not None and self.sent_ms is not None
        held = self._pause_s(now_s, sent_ms) <= (hmi.JOG_REFRESH_S if told else hmi.JOG_FORGOTTEN_S)
        self.seen_s, self.sent_ms = now_s, sent_ms
        if released or not held:
            self.ended = False
        if released:
            self.sequence, self.late_s = None, 0.0
            return None
        if self.ended:
            return "", "a stop or a refusal has ended this jog: release it first"
        if self.sequence is not None and now_s - self.taken_s > hmi.JOG_FORGOTTEN_S:
            self.sequence = None
        if sequence is not None and self.sequence is not None and sequence <= self.sequence:
            return "sequence", f"{sequence} after {self.sequence}: within a hold it must grow"
        if late_s > hmi.JOG_REFRESH_S:
            return ("age_ms" if sent_ms is None else "sent_ms",
                    f"{late_s * 1e3:.0f} ms old, a jog acts for {hmi.JOG_REFRESH_S * 1e3:.0f} ms")
        if sequence is not None:
            self.sequence = sequence
        self.taken_s = now_s
        return None

    def end(self) -> None:
        """A stop, or this jog was refused: it has to be released before it acts."""
        self.ended = True

    def _pause_s(self, now_s: float, sent_ms: float | None) -> float:
        """Since the jog before: by the sender's own clock where it tells it, because a link that stalls is no hand that
        lets go, and a stop would be undone by what comes after it."""
        if sent_ms is not None and self.sent_ms is not None:
            return (sent_ms - self.sent_ms) * 1e-3
        return now_s - self.seen_s

    def _late_s(self, offset_s: float, now_s: float) -> float:
        """How much longer this message was under way than the fastest one of this connection."""
        if self.transit_s is not None:
            drifted_s = self.transit_s + CLOCKS_APART * (now_s - self.transit_at_s)
            self.transit_s = min(offset_s, drifted_s)
        else:
            self.transit_s = offset_s
        self.transit_at_s = now_s
        return offset_s - self.transit_s
