"""Texts for the base board, from a client's message to its answer (bus/board_registers.py has the way in between).

Thread contract: HMI thread; only the answer of the main thread comes in by a Future.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from controller.bus.board_registers import BoardWrites
from controller.hmi.clients import Refused
from controller.spec.hmi import Notice
from controller.spec.modes import CommandKind

if TYPE_CHECKING:
    from controller._core import Core


def write_board(core: Core, writes: BoardWrites, follow: Callable[[int, Callable[[Refused | None], None]], None],
                texts: dict[str, str], client: int) -> Future[None]:
    """Leave the texts and ask the control loop for the line. Done when the board has confirmed them; Refused says why
    not. Raises Refused when another write is on its way or the command ring is full."""
    write = writes.offer(texts)
    if write is None:
        raise Refused(Notice.BUSY, "", "registers of the board are being written: wait for the answer")
    sequence = core.push(CommandKind.RELEASE_LINE, client=client)
    if not sequence:
        writes.withdraw(write)
        raise Refused(Notice.BUSY, "", Notice.BUSY.doc)
    answer: Future[None] = Future()

    def verdict(refused: Refused | None) -> None:
        if refused is not None and writes.withdraw(write):
            answer.set_exception(refused)

    def written(done: Future[None]) -> None:
        error = done.exception()
        if error is None:
            answer.set_result(None)
        else:
            answer.set_exception(Refused(Notice.REFUSED, "", str(error)))

    write.done.add_done_callback(written)
    follow(sequence, verdict)
    return answer
