"""An external program on the virtual arm: the same memory and the same compiled program's side, on the arm's clock."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import msgspec

from controller._core import ExternalRegion, State
from controller.config import Config
from controller.external._link import ExternalState, ProgramLink
from controller.spec.external import ExternalKind
from controller.spec.modes import CommandKind
from tests.virtual_arm import VirtualArm

Answer = Callable[[ExternalState], None]


def external_config(heartbeat_ms: float = 20.0, rate_hz: int = 1000, **motion: float) -> Config:
    base = Config()
    return msgspec.structs.replace(
        base, external=msgspec.structs.replace(base.external, enabled=True, heartbeat_ms=heartbeat_ms),
        loop=msgspec.structs.replace(base.loop, rate_hz=rate_hz),
        motion=msgspec.structs.replace(base.motion, **motion))


class VirtualProgram:
    """`answer` is called with every state after each cycle of the arm; by default it asks for where the arm stands."""

    def __init__(self, axes: int = 2, config: Config | None = None, **board: float) -> None:
        self.arm = VirtualArm(axes, config=config or external_config(), **board)
        self.answer: Answer | None = self.stay
        self.states: list[State] = []
        self.connect()

    def connect(self) -> None:
        self.region = ExternalRegion()
        self.fd = os.dup(self.region.fd)
        self.arm.core.lend_region(self.region)
        self.link = ProgramLink(self.fd)
        self.state: ExternalState | None = None

    def close(self) -> None:
        os.close(self.fd)
        self.arm.core.lend_region(None)

    def stay(self, state: ExternalState) -> None:
        self.link.send(ExternalKind.SPEED, (), [0.0] * state.axes)

    def position(self, position_deg: Sequence[float], speed_deg_s: Sequence[float] = ()) -> Answer:
        return lambda state: self._sent(self.link.send(ExternalKind.POSITION, position_deg, speed_deg_s))

    def speed(self, speed_deg_s: Sequence[float]) -> Answer:
        return lambda state: self._sent(self.link.send(ExternalKind.SPEED, (), speed_deg_s))

    @staticmethod
    def _sent(sent: bool) -> None:
        assert sent

    def cycle(self) -> State:
        state = self.arm.cycle()
        self.state = self.link.wait(0.0) or self.state
        if self.answer is not None and self.state is not None:
            self.answer(self.state)
        self.states.append(state)
        return state

    def run(self, seconds: float) -> State:
        for _ in range(round(seconds * 1e9 / self.arm.period_ns)):
            state = self.cycle()
        return state

    def until(self, condition: Callable[[State], bool], seconds: float = 10.0) -> State:
        for _ in range(round(seconds * 1e9 / self.arm.period_ns)):
            state = self.cycle()
            if condition(state):
                return state
        raise AssertionError(f"not within {seconds} s: state {state.state} mode {state.mode} result "
                             f"{state.last_command_result} phase {state.external_phase}")

    def admit(self) -> State:
        """A program that beats, and an operator's command."""
        from controller.spec.modes import MasterMode, MasterState

        self.until(lambda s: s.state == MasterState.WAITING)
        self.run(0.01)
        self.arm.push(CommandKind.EXTERNAL)
        return self.until(lambda s: s.mode == MasterMode.EXTERNAL_DEVELOPER_AUTO)
