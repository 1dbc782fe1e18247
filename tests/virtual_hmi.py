"""The HMI's handlers on the real core and the simulated board, all on one virtual clock.

What the HMI thread does in its round happens here every 10 ms, without sockets and without waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from controller._core import State
from controller.config import Config
from controller.exercises import Exercises
from controller.hmi.clients import Client, ControlToken, Refused
from controller.hmi.counters import Counters
from controller.hmi.forms import is_stop
from controller.hmi.handlers import Handlers
from controller.hmi.outcome import Outcome, Sent
from controller.hmi.results import Results
from controller.spec import hmi
from controller.spec.hmi import Role
from controller.spec.modes import CommandKind
from controller.store import Store
from tests.virtual_arm import VirtualArm

T = TypeVar("T")
ROUND_CYCLES = 10


@dataclass
class Asked:
    """What became of a message: None while the loop has not answered."""

    refused: Refused | None = None
    done: bool = False
    fields: dict[str, Any] | None = None

    @property
    def code(self) -> str:
        """"ok", or the code of its refusal."""
        assert self.done
        return self.refused.notice.name.lower() if self.refused else "ok"

    @property
    def text(self) -> str:
        return self.refused.message if self.refused else ""


class VirtualHmi:
    """`say` sends a `response`, `ask` a `command`; both run cycles until there is an answer."""

    def __init__(self, axes: int = 4, store: Store | None = None, config: Config | None = None, **board: float) -> None:
        self.arm = VirtualArm(axes, config=config, **board)
        self.exercises = Exercises()
        self.loading: list[Callable[[], None]] = []  # what a slow disk holds back, while `slow` is set
        self.slow = False
        self.store, self.counters, self.results = store or Store(), Counters(), Results()
        self.ended: list[str] = []
        self.devices = 0  # number of input devices
        self.control = ControlToken(self._lost)
        self.handlers = Handlers(
            self.arm.core, self.store, self.control, self.counters, latest=lambda: self.state, changed=lambda: None,
            follow=lambda number, done: self.results.expect(number, None, self.now_s, done),
            ended=lambda client, why: self.ended.append(why), clock=lambda: self.now_s, library=self.library,
            devices=lambda: self.devices)
        self.one, self.two = (Client(n, f"key{n}", f"sid{n}", "10.0.0.1", self.now_s, Role.ADMINISTRATOR)
                              for n in (1, 2))
        self.state: State = self.arm.cycle()
        self.facts = self.arm.facts.with_margin(self.arm.config.motion.limit_margin_deg)
        self.handlers.set_facts(self.facts)
        self.until(lambda s: s.state == 1)
        self.run(hmi.REPLAY_WINDOW_S)

    def library(self, work: Callable[[Exercises], Future[T]]) -> Future[T]:
        """The exercises' store; what it answers comes at once, or when the test lets the disk go on."""
        future: Future[T] = Future()

        def ask() -> None:
            try:
                future.set_result(work(self.exercises).result(5))
            except Exception as error:
                future.set_exception(error)

        if self.slow:
            self.loading.append(ask)
        else:
            ask()
        return future

    def _lost(self, client: Client) -> None:
        self.handlers.end_motion(client)

    @property
    def now_s(self) -> float:
        return self.arm.now_ns * 1e-9

    def round(self) -> State:
        """One round of the HMI thread."""
        for _ in range(ROUND_CYCLES):
            self.state = self.arm.cycle()
            self.results.follow(self.state)
        self.results.tick(self.now_s)
        self.handlers.tick(self.now_s)
        self.control.tick(self.now_s, self.handlers.busy)
        return self.state

    def run(self, seconds: float) -> State:
        for _ in range(round(seconds * 1e9 / self.arm.period_ns / ROUND_CYCLES)):
            self.round()
        return self.state

    def until(self, condition: Callable[[State], bool], seconds: float = 20.0) -> State:
        end_s = self.now_s + seconds
        while not condition(self.round()):
            assert self.now_s < end_s, (self.state.state, self.state.mode, self.state.position_deg, self.ended)
        return self.state

    def say(self, message: object, client: Client | None = None) -> Asked:
        return self._send(hmi.RESPONSE, message, client or self.one)

    def ask(self, kind: str, client: Client | None = None, **fields: Any) -> Asked:
        return self._send(hmi.COMMAND, {"type": kind, **fields}, client or self.one)

    def post(self, kind: str, client: Client, done: Callable[[Refused | None], None], **fields: Any) -> None:
        """A `command` that is not waited for; `done` gets its verdict."""
        try:
            outcome = self.handlers.command(client, {"type": kind, **fields}, self.now_s)
        except Refused as refused:
            done(refused)
            return
        assert isinstance(outcome, Sent)

        def settle(refused: Refused | None) -> None:
            if refused is not None and outcome.refused is not None:
                outcome.refused()
            done(refused)

        self.results.expect(outcome.sequence, client, self.now_s, settle)

    def _send(self, event: str, message: object, client: Client) -> Asked:
        asked = Asked()
        if is_stop(event, message):
            self.handlers.stop()
            return Asked(done=True)
        take = self.handlers.response if event == hmi.RESPONSE else self.handlers.command
        try:
            self._follow(take(client, message, self.now_s), client, asked)
        except Refused as refused:
            return Asked(refused, True)
        end_s = self.now_s + 5.0
        while not asked.done:
            assert self.now_s < end_s, message
            self.round()
        return asked

    def _follow(self, outcome: Outcome, client: Client, asked: Asked) -> None:
        def settle(refused: Refused | None) -> None:
            if refused is not None and isinstance(outcome, Sent) and outcome.refused is not None:
                outcome.refused()
            asked.refused, asked.done = refused or asked.refused, True

        if isinstance(outcome, Sent):
            self.results.expect(outcome.sequence, client, self.now_s, settle,
                                reset=outcome.kind is CommandKind.RESET)
        elif isinstance(outcome, tuple):
            def answered(_: Future[Any]) -> None:
                if all(future.done() for future in outcome):
                    error = next((found for future in outcome if (found := future.exception())), None)
                    assert error is None or isinstance(error, Refused), error
                    for future in outcome if error is None else ():
                        asked.fields = {**(asked.fields or {}), **(future.result() or {})}
                    settle(error)

            for future in outcome:
                future.add_done_callback(answered)
        else:
            asked.fields, asked.done = outcome, True

    def stand_at(self, *position_deg: float) -> None:
        """Go there and stand."""
        asked = self.ask("move", position_deg=list(position_deg))
        assert asked.code == "ok", asked.text
        done = self.state.motions_done
        self.until(lambda s: s.state == 2 and all(s.on_target) and s.motions_done >= done and not any(s.moving))

    def save(self, first: int) -> Asked:
        """What the page does: the counts it shows go to the addresses of a position."""
        return self.say({str(first + i): counts for i, counts in enumerate(self.state.position_counts)})
