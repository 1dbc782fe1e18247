"""A firmware update of the base board or a drive, from the accepted image to the board that answers again.

The order (register 6) and the image's hash reach the board over the line, the image itself over HTTP. From the order
until the end the line is kept from the control loop (bus/board_registers.py): without a cyclic phase the base board
gives no motor power, whatever a client asks for.
Thread contract: HMI thread only. The main thread completes the order's Future, which is only looked at here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

import msgspec

from controller.arm import ArmFacts
from controller.bus.base import BusError
from controller.bus.board_registers import BoardWrites
from controller.history_words import Note
from controller.hmi.board import write_board
from controller.hmi.clients import Refused
from controller.hmi.counters import logger
from controller.hmi.refusal import Refusal
from controller.spec import board as spec
from controller.spec.board import UpdatePhase
from controller.spec.history import Kind
from controller.spec.modes import Blocker, BusState, CommandResult

if TYPE_CHECKING:
    from controller._core import Core, State

HOLD_S = 5.0  # renewed every round
log = logger("controller.hmi.board_update")


class BoardUpdateState(msgspec.Struct, frozen=True):
    """The firmware update of this moment, or the last one. `node` 0 is the base board, 1.. a drive; `fetched_bytes` of
    the present or last download; `downloads` begun; `message` for people."""

    phase: str = UpdatePhase.NONE.name
    node: int = 0
    size_bytes: int = 0
    fetched_bytes: int = 0
    downloads: int = 0
    message: str = ""


class Image(msgspec.Struct, frozen=True):
    """What is to be flashed: checked content, its SHA-256 in hexadecimal, for which node, and the version that register
    7 is to show afterwards ("": not known)."""

    content: bytes
    sha256: str
    node: int
    version: str = ""

    @property
    def target(self) -> str:
        return f"drive {self.node}" if self.node else "the base board"


class BoardUpdate:
    """At most one update at a time. `latest` gives the newest record, `facts` the arm, `holder` who has control (""
    when nobody)."""

    def __init__(self, core: Core, writes: BoardWrites, follow: Callable[[int, Callable[[Refused | None], None]], None],
                 note: Note, *, latest: Callable[[], State | None], facts: Callable[[], ArmFacts],
                 holder: Callable[[], str]) -> None:
        self._core, self._writes, self._follow, self._note = core, writes, follow, note
        self._latest, self._facts, self._holder = latest, facts, holder
        self._phase = UpdatePhase.NONE
        self._image: Image | None = None
        self._ordered: Future[None] | None = None
        self._who = self._message = self._before = ""
        self._node = self._size_bytes = 0
        self._fetched = self._downloads = self._complete = 0
        self._since_s = 0.0

    @property
    def state(self) -> BoardUpdateState:
        return BoardUpdateState(self._phase.name, self._node, self._size_bytes, self._fetched, self._downloads,
                                self._message)

    def may_begin(self, node: int, version: str) -> None:
        """Refusal that says why no update can begin now. The control loop looks at motor power once more when it is
        asked for the line."""
        axes = self._facts().axes
        if self._phase.under_way:
            raise Refusal(409, "a firmware update is under way: wait for its end, or cancel it (POST "
                          "/board_update_cancel)")
        if holder := self._holder():
            raise Refusal(409, f"{holder} has control of the arm: ask for the update when it has been released")
        state = self._latest()
        if state is None or state.bus_state != BusState.CYCLIC:
            raise Refusal(409, Blocker.BUS.doc)
        if state.motor_power:
            raise Refusal(409, CommandResult.MOTOR_POWER.doc)
        if node > axes:
            raise Refusal(400, f"node: found {node}; allowed are 0, the base board, and 1..{axes}, its drives", "node")
        if version and node:
            raise Refusal(400, "version: only the base board has a register that shows it; leave it out for a drive",
                          "version")

    def begin(self, image: Image, address: str, who: str) -> Future[None]:
        """Order the update: `address` is where the board finds this server ("http://192.168.4.1:3001"). The future is
        done when the board has confirmed the order, with Refused when it did not."""
        self.may_begin(image.node, image.version)
        self._image, self._who, self._before = image, who, self._facts().version
        self._node, self._size_bytes = image.node, len(image.content)
        self._fetched = self._downloads = self._complete = 0
        self._enter(UpdatePhase.ORDERED, f"{image.target}: the order is on its way")
        url = f"{address}{spec.IMAGE_PATH}?sha256={image.sha256}"
        try:
            self._ordered = write_board(self._core, self._writes, self._follow,
                                        {"board_update": f"{image.node};{url}"}, 0)
        except Refused as refused:
            self._end(UpdatePhase.FAILED, str(refused))
            raise Refusal(409, refused.message) from None
        self._note(Kind.SETTINGS, f"firmware update of {image.target} begun: {len(image.content)} bytes, SHA-256 "
                   f"{image.sha256}", who=who)
        return self._ordered

    def cancel(self) -> None:
        """Withdraw the offer; Refusal when there is none, or the board has the whole image already."""
        if self._phase not in {UpdatePhase.OFFERED, UpdatePhase.FETCHING}:
            raise Refusal(409, "the board has the whole image: it cannot be called back"
                          if self._phase == UpdatePhase.FLASHING else "no firmware is offered")
        self._end(UpdatePhase.FAILED, "cancelled before the board had the whole image")

    def tick(self, now_s: float) -> None:
        """Every round: keep the line, and end what takes too long."""
        waited_s = now_s - self._since_s
        phase = self._phase
        if phase == UpdatePhase.ORDERED and self._ordered is not None and self._ordered.done():
            self._confirmed(self._ordered.exception())
            phase, waited_s = self._phase, 0.0
        if not phase.under_way:
            return
        if phase != UpdatePhase.FLASHING or waited_s < spec.SETTLE_S:
            self._writes.hold(HOLD_S)
        else:
            self._writes.let_go()
        if phase == UpdatePhase.ORDERED and waited_s > spec.ORDER_S:
            why = "the board did not confirm the order: see the log, and try again"
            self._writes.fail(BusError(why))        # it must not be written when nothing is offered any more
            self._end(UpdatePhase.FAILED, why)
        elif phase == UpdatePhase.OFFERED and waited_s > spec.ASK_S:
            self._end(UpdatePhase.FAILED, f"the board did not ask for the image within {spec.ASK_S:g} s: is its Wi-Fi "
                      "set (registers 8 and 9), is it on the controller's hot-spot, and does hmi.board_address name "
                      "the controller there?" if not self._downloads else
                      f"the board did not ask again within {spec.ASK_S:g} s after a download that broke off: try again")
        elif phase == UpdatePhase.FETCHING and waited_s > spec.STALL_S:
            self._end(UpdatePhase.FAILED, f"the download stood still for {spec.STALL_S:g} s at {self._fetched} of "
                      f"{self._size_bytes} bytes: bring the arm nearer to the controller and try again")
        elif phase == UpdatePhase.FLASHING and waited_s > spec.FLASH_S:
            self._end(UpdatePhase.FAILED, f"the board has not answered for {spec.FLASH_S:g} s since it got the whole "
                      "image: leave it powered for ten minutes, then switch the arm off and on; if it stays silent "
                      "call service")

    def arm_is_back(self, facts: ArmFacts) -> None:
        """A bring-up is done."""
        image = self._image
        if image is None:
            return
        if self._phase != UpdatePhase.FLASHING:
            self._end(UpdatePhase.FAILED, "the arm was connected anew before the board had the whole image: try again")
            return
        again = f" It was downloaded {self._complete} times, so the board did not take it at first."
        again = again if self._complete > 1 else ""
        if image.node:
            self._end(*(UpdatePhase.UNCONFIRMED, f"{image.target}: the arm answers again.{again} Look at the drive's "
                        "state before motor power comes on") if again else (
                        UpdatePhase.DONE, f"{image.target}: the whole image was downloaded and the arm answers again "
                        "(no register shows a drive's version)"))
        elif facts.version == (image.version or facts.version) and facts.version != self._before:
            self._end(UpdatePhase.DONE, f"the base board shows version {facts.version}; before it was {self._before}")
        elif facts.version == image.version:
            self._end(UpdatePhase.DONE, f"the base board shows version {facts.version}, as before")
        else:
            wanted = f" instead of {image.version}" if image.version else ""
            self._end(UpdatePhase.UNCONFIRMED, f"the base board shows version {facts.version}{wanted}"
                      f"{', as before' if facts.version == self._before else ''}: it may have refused the image."
                      f"{again} Check that the image is the right one for this board")

    # -- downloads

    def download(self, sha256: str) -> tuple[Image, int] | None:
        """A download of the offered image begins: (image, its number); None when that image is not offered. An earlier
        one that still runs ends: its board has given it up."""
        image = self._image
        if image is None or sha256 != image.sha256 or self._phase not in {
                UpdatePhase.ORDERED, UpdatePhase.OFFERED, UpdatePhase.FETCHING, UpdatePhase.FLASHING}:
            return None         # ORDERED too: a board may ask before its confirmation has been read
        if self._downloads >= spec.DOWNLOADS_HIGHEST:
            self._end(UpdatePhase.FAILED, f"the board asked for the image more than {spec.DOWNLOADS_HIGHEST} times: it "
                      "does not take it. Check that the image is the right one for it")
            return None
        self._writes.hold(HOLD_S)
        self._downloads += 1
        self._fetched = 0
        self._enter(UpdatePhase.FETCHING, f"{image.target}: download {self._downloads}")
        return image, self._downloads

    def fetched(self, number: int, sent_bytes: int) -> bool:
        """So many bytes of that download have gone out; False when it has no meaning any more."""
        if number != self._downloads or self._phase != UpdatePhase.FETCHING:
            return False
        self._fetched = sent_bytes
        self._since_s = time.monotonic()
        if sent_bytes == self._size_bytes:
            self._complete += 1
            self._enter(UpdatePhase.FLASHING, "the board has the whole image and is waited for: do not switch it off")
        return True

    def broke_off(self, number: int) -> None:
        """That download ended before its last byte."""
        if number == self._downloads and self._phase == UpdatePhase.FETCHING:
            self._enter(UpdatePhase.OFFERED, f"download {number} broke off at {self._fetched} of {self._size_bytes} "
                        "bytes; the board may ask again")

    # -- inside

    def _confirmed(self, error: BaseException | None) -> None:
        if error is not None or self._image is None:
            self._end(UpdatePhase.FAILED, str(error))
        else:
            self._enter(UpdatePhase.OFFERED, f"{self._image.target}: the order is confirmed, the image is offered")

    def _enter(self, phase: UpdatePhase, message: str) -> None:
        self._phase, self._message, self._since_s = phase, message, time.monotonic()
        if phase.under_way:
            self._writes.hold(HOLD_S)
        log.info("firmware update: %s", message)

    def _end(self, phase: UpdatePhase, message: str) -> None:
        self._image = None      # its bytes go with it: nobody can fetch them any more
        self._enter(phase, message)
        self._writes.let_go()
        self._note(Kind.SETTINGS, f"firmware update {phase.name.lower()}: {message}", who=self._who)
