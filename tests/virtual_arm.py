"""The compiled cycle against the simulated base board on a virtual clock: no thread, no pty, no sleep.

The board answers 300 us after each cycle's start, as a 3 Mbaud line would; faults of the board are switched on through
`arm.board`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from controller._core import Core, State
from controller.arm import ArmFacts
from controller.bus.serial import arm_facts, encode_write
from controller.chain import chain_of
from controller.config import Config
from controller.sim._board import Board
from controller.spec import registers as reg
from controller.spec.modes import CommandKind, MasterMode, MasterState
from controller.supervisor import core_axes, core_settings

ANSWER_NS = 300_000


class VirtualArm:
    """A core and a board that share a clock. `cycle` runs one control cycle, `run` seconds of them."""

    def __init__(self, axes: int = 4, seed: int = 0, config: Config | None = None, **board: float) -> None:
        self.config = config or Config()
        self.core = Core()
        self.reader = self.core.reader()
        self.board = Board(axes, seed, **board)
        self.board_step = self.board.step   # what run_logged asks; a test may put itself in between
        self.period_ns = round(1e9 / self.config.loop.rate_hz)
        self.now_ns = 1_000_000_000
        self.received = b""
        self.telegram = b""
        self.facts = replace(self._facts(), chain=chain_of(self.config, axes))
        self.core.configure(core_settings(self.config), core_axes(self.config, self.facts), self.facts.chain)
        self.attach()

    def _facts(self) -> ArmFacts:
        axes = self.board.axes
        addresses = [*reg.BRING_UP_ARM, *(a + i for a in reg.BRING_UP_AXIS for i in range(axes))]
        found = {address: self.board.register(address) for address in addresses}
        return arm_facts(found, axes, [self.config.limits(i).max_speed_deg_s for i in range(axes)])

    def attach(self) -> None:
        """Board into the cyclic phase, line lent."""
        answer = self.board.step(self.now_ns, encode_write(reg.MASTER_MODE, MasterMode.EXTERNAL_DEVELOPER_AUTO))
        assert b"#10:8*\r\n" in answer     # a fault of the line may have held an older answer back
        self.received = b""
        self.core.attach(-1)

    def reattach(self) -> None:
        """What the supervisor does after a loss: wait for the board's register phase, then a new bring-up."""
        self.core.detach()
        for _ in range(1100):
            self.now_ns += 1_000_000
            self.board.step(self.now_ns)
        self.attach()

    def cycle(self) -> State:
        received = self.received + self.board.step(self.now_ns)
        self.telegram = self.core.step(self.now_ns, received)
        self.received = self.board.step(self.now_ns + ANSWER_NS, self.telegram)
        self.now_ns += self.period_ns
        state = self.reader.next()
        assert state is not None
        return state

    def run_logged(self, cycles: int) -> tuple[bytearray, bytearray]:
        """So many cycles without Python in between: (command telegrams, raw state records)."""
        self.received, telegrams, records = self.core.run(
            self.board_step, self.now_ns, cycles, period_ns=self.period_ns, answer_ns=ANSWER_NS, received=self.received)
        self.now_ns += cycles * self.period_ns
        return telegrams, records

    def run(self, seconds: float, each: Callable[[State], object] | None = None) -> State:
        """Run so long; `each` sees every state record. Returns the last one."""
        state = self.cycle()
        for _ in range(round(seconds * 1e9 / self.period_ns) - 1):
            if each:
                each(state)
            state = self.cycle()
        if each:
            each(state)
        return state

    def until(self, condition: Callable[[State], bool], seconds: float = 10.0) -> State:
        """Run until `condition` holds; AssertionError with the state when it does not in time."""
        for _ in range(round(seconds * 1e9 / self.period_ns)):
            state = self.cycle()
            if condition(state):
                return state
        raise AssertionError(f"not within {seconds} s: {summary(state)}")

    def waiting(self) -> State:
        return self.until(lambda s: s.state == MasterState.WAITING)

    def push(self, kind: CommandKind, values: Sequence[float] = (), mask: int | None = None, value: float = 0.0) -> int:
        return self.core.push(kind, mask=(1 << len(values)) - 1 if mask is None else mask, values=values, value=value)

    def move(self, *target_deg: float, percent: float = 100.0) -> int:
        return self.push(CommandKind.MOVE, target_deg, value=percent)

    def jog(self, *percent: float) -> int:
        return self.push(CommandKind.JOG, percent)

    def auto(self) -> State:
        """Operator's start: standing in AUTO."""
        self.waiting()
        self.push(CommandKind.START)
        return self.until(lambda s: s.state == MasterState.AUTO)


def codes(state: State) -> set[tuple[int, int]]:
    """Active errors as (code, axis)."""
    found = state.faults[: state.fault_count]
    return {(fault & 0xFFFF, fault >> 16 & 0xFF) for fault in found if not fault >> 31}


def warnings(state: State) -> set[tuple[int, int]]:
    """Active warnings as (code, axis)."""
    found = state.faults[: state.fault_count]
    return {(fault & 0xFFFF, fault >> 16 & 0xFF) for fault in found if fault >> 31}


def summary(state: State) -> str:
    return (f"cycle {state.cycle} state {MasterState(state.state).name} mode {MasterMode(state.mode).name} "
            f"bus {state.bus_state} errors {codes(state)} power {state.motor_power} inputs {state.inputs:03b} "
            f"blockers {state.blockers:b} drivers {state.driver_state} at {state.position_deg} "
            f"refused {state.commands_refused} result {state.last_command_result} faults {state.bus_faults}")
