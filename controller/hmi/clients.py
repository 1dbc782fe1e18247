"""The connected clients and who of them has control.

Thread contract: everything here runs in the HMI thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from controller.history_words import Note, unheard
from controller.hmi.counters import logger
from controller.hmi.jogging import Hold
from controller.spec import hmi
from controller.spec.history import Kind
from controller.spec.hmi import Notice, Role

FLOOD_GRACE_S = 1.0  # a client over its rate is still listened to for a stop, then cut
NOTICES_KEPT = 4
log = logger("controller.hmi.control")


class Client(msgspec.Struct, eq=False):
    """One Socket.IO connection. `key` is its Engine.IO session, `number` names it to people and to the core."""

    number: int
    key: str
    sid: str
    address: str
    connected_s: float
    role: Role = Role.BASE
    version: str = ""  # what its version check said
    compatible: bool = True
    data_hz: float = hmi.RATE_DEFAULT_HZ
    state_hz: float = 0.0
    stalled_since_s: float | None = None
    flooding_since_s: float | None = None
    allowance: float = float(hmi.MESSAGES_PER_S)
    allowance_s: float = 0.0
    last_sequence: int = 0  # of its latest command in the ring
    gone: bool = False  # it has disconnected: nothing that it asked for begins any more
    device: bool = False  # an input device; `address` is its name then
    hands_over: bool = False  # its latest motion command made the arm ready for jog: an input device may take over
    hold: Hold = msgspec.field(default_factory=Hold)
    notices: deque[dict[str, object]] = msgspec.field(default_factory=lambda: deque(maxlen=NOTICES_KEPT))

    @property
    def name(self) -> str:
        return f"{self.address} (client {self.number})" if self.device else f"client {self.number} ({self.address})"

    def within_rate(self, now_s: float) -> bool:
        """Take one message from its allowance (token bucket of MESSAGES_PER_S); False when it is used up."""
        grown = self.allowance + (now_s - self.allowance_s) * hmi.MESSAGES_PER_S
        self.allowance = min(float(hmi.MESSAGES_PER_S), grown)
        self.allowance_s = now_s
        if self.allowance < 1.0:
            if self.flooding_since_s is None:
                self.flooding_since_s = now_s
            return False
        self.allowance -= 1.0
        return True


class Refused(Exception):
    """A message is refused: the notice, the field it is about ("" the whole message) and a text for people."""

    def __init__(self, notice: Notice, field_name: str, message: str) -> None:
        super().__init__(message)
        self.notice, self.field, self.message = notice, field_name, message

    def as_error(self) -> dict[str, object]:
        """The `error` object of an acknowledgement."""
        return {"code": self.notice.name.lower(), "field": self.field, "message": self.message}

    def as_notice(self) -> dict[str, object]:
        """The `errorServerMessage` object."""
        where = f"{self.field}: " if self.field else ""
        return {"id": int(self.notice), "message": f"{where}{self.message}"}


class ControlToken:
    """At most one client has control. `lost` is called with the holder when its motion must end."""

    def __init__(self, lost: Callable[[Client], None], note: Note = unheard) -> None:
        self.holder: Client | None = None
        self._note = note
        self._last_s = 0.0
        self._lost = lost

    def may(self, client: Client) -> None:
        """Refused, naming the holder, when another client has control. One that made the arm ready for jog lends it to
        the input device that jogs."""
        if self.holder not in (None, client) and not (client.device and self.holder.hands_over):
            raise Refused(Notice.CONTROL, "", f"{self.holder.name} has control of the arm; only stop is everyone's")

    def take(self, client: Client, now_s: float) -> None:
        """Give control to a client when nobody else has it."""
        self.may(client)
        if self.holder is not client:
            log.info("%s took control", client.name)
            self._note(Kind.CONTROL, "took control", who=client.name)
        self.holder, self._last_s = client, now_s

    def used(self, client: Client, now_s: float) -> None:
        """The holder gave a command."""
        if client is self.holder:
            self._last_s = now_s

    def release(self, client: Client) -> None:
        """The holder gives up or is gone: its motion ends softly."""
        if client is self.holder:
            log.info("%s no longer has control", client.name)
            self._note(Kind.CONTROL, "no longer has control", who=client.name)
            self.holder = None
            self._lost(client)

    def give_back(self, client: Client) -> None:
        """The holder needs it no longer, and nothing of it moves."""
        if client is self.holder:
            log.info("%s gave control back", client.name)
            self._note(Kind.CONTROL, "gave control back", who=client.name)
            self.holder = None

    def left_s(self, now_s: float) -> float:
        """How long the holder may go on without a command while nothing moves."""
        return max(0.0, self._last_s + hmi.CONTROL_IDLE_S - now_s)

    def tick(self, now_s: float, moving: bool) -> None:
        """Take control away after CONTROL_IDLE_S without a command while nothing moves."""
        if moving:
            self._last_s = max(self._last_s, now_s)
        elif self.holder is not None and now_s - self._last_s >= hmi.CONTROL_IDLE_S:
            self.release(self.holder)
