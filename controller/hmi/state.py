"""The typed `state` message: the rows of spec/record.py with proper types, one object per axis, and what is around.

Rows per axis become fields of `axis[i]`, the others fields of the message; a code becomes its name, a flag a boolean,
a bit set a list of words. The structs are made from the rows, and the JSON Schema from the structs.
Thread contract: HMI thread only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec

from controller.arm import ArmFacts
from controller.hmi.board_update import BoardUpdateState
from controller.hmi.counters import Counters
from controller.hmi.faultlist import Active, FaultList
from controller.hmi.sequence import Progress
from controller.input.state import InputState
from controller.link import LinkReport
from controller.spec import faults as catalogue
from controller.spec import hmi, modes, record, telegram
from controller.spec.coded import Coded
from controller.spec.external import ExternalPhase
from controller.update.announced import UpdateState

if TYPE_CHECKING:
    from controller._core import State

CODES: dict[str, type[Coded]] = {
    "driver_state": modes.DriverState, "driver_mode": modes.DriverMode, "state": modes.MasterState,
    "mode": modes.MasterMode, "bus_state": modes.BusState, "stop_category": modes.StopCategory,
    "last_reason": modes.Reason, "last_command_result": modes.CommandResult, "last_command_kind": modes.CommandKind,
    "late_command_result": modes.CommandResult, "self_test": modes.SelfTest, "external_phase": ExternalPhase,
    "compliant_phase": modes.CompliantPhase,
}
FLAGS = {"on_target", "moving", "motor_power", "rom_enforced"}
LEFT_OUT = {"faults", "fault_cycle", "fault_count", "blockers"}  # `faults` and `blockers` are lists of their own


class FaultEntry(msgspec.Struct, frozen=True):
    """An active error or warning; `axis` is 1-based, null the master; `category` the stop category."""

    code: int
    axis: int | None
    warning: bool
    category: int
    since: str
    message: str
    description: str
    cause: str
    solution: str


class Inputs(msgspec.Struct, frozen=True):
    """Contacts as the base board sees them."""

    button_closed: bool
    contacts_closed: bool
    enable_seen: bool


class Holder(msgspec.Struct, frozen=True):
    """Who has control: null when nobody."""

    client: int | None
    name: str


def _number_type(row: record.Field) -> Any:
    return float | None if row.ctype in {"double", "float"} else int


def _type(row: record.Field) -> Any:
    if row.name in CODES:
        return str
    if row.name in FLAGS:
        return bool
    if row.name == "bus_faults":
        return dict[str, int]
    if row.name == "inputs":
        return Inputs
    return _number_type(row) if row.count in {0, record.PER_AXIS} else list[_number_type(row)]  # type: ignore[misc]


AXIS_ROWS = tuple(row for row in record.FIELDS if row.count == record.PER_AXIS)
TOP_ROWS = tuple(row for row in record.FIELDS if row.count != record.PER_AXIS and row.name not in LEFT_OUT)
AxisState: Any = msgspec.defstruct(
    "AxisState", [("axis", int), *((row.name, _type(row)) for row in AXIS_ROWS),
                  ("minimum_deg", float | None), ("maximum_deg", float | None)],
    frozen=True, namespace={"__doc__": "One axis; `axis` is its 1-based number, the limits are the hard ones."})
StateMessage: Any = msgspec.defstruct(
    "StateMessage", [
        ("contract_version", str), ("running", bool), ("serial", str), ("board_version", str),
        *((row.name, _type(row)) for row in TOP_ROWS), ("axis", list[AxisState]), ("faults", list[FaultEntry]),
        ("blockers", list[str]), ("motion_sequence", Progress | None), ("control", Holder), ("input", InputState),
        ("realtime", dict[str, Any]), ("statistics", dict[str, Any]), ("hmi", dict[str, Any]),
        ("link", LinkReport), ("board_update", BoardUpdateState), ("store_problem", str), ("update", UpdateState)],
    frozen=True, namespace={"__doc__": "The whole state of the controller. Units are in the names."})


def empty_state(axes: int) -> State:
    """What there is to show before the first record: every field 0."""
    fields = {row.name: 0 if not row.count else (0,) * (axes if row.count == record.PER_AXIS else row.count)
              for row in record.FIELDS}
    return SimpleNamespace(**{**fields, "axes": axes})  # type: ignore[return-value]


def blocker_words(bits: int, faults: Iterable[int] = ()) -> list[str]:
    """The active blockers in words. `faults` are the fault words of the record: what no reset clears is not told to be
    reset, but what to do instead."""
    words = [blocker.doc for blocker in modes.Blocker if bits >> blocker & 1]
    for_good = [never for word in faults if (never := _no_reset_clears(word))]
    if bits >> modes.Blocker.ERROR & 1 and for_good:
        words[words.index(modes.Blocker.ERROR.doc)] = "; ".join(for_good)
    return words


def _no_reset_clears(word: int) -> str:
    """What to do about an active error that stays until the program starts anew, "" for all others."""
    code, axis, warning = word & 0xFFFF, word >> 16 & 0xFF, word >> 31
    row = None if warning else catalogue.lookup(code, axis, False)
    if row is None or row.resettable:
        return ""
    return (f"error {code} ({row.message}) is active, which no reset clears, only a restart of the controller once its "
            f"cause is gone: {row.solution}")


def _name(table: type[Coded]) -> Callable[[int], str]:
    names = {int(member): member.name for member in table}
    return lambda code: names.get(code, f"UNKNOWN_{code}")


class StateBuilder:
    """Makes StateMessage from a record. `realtime`, `statistics` and `counts` are whatever was last asked of them."""

    def __init__(self, faults: FaultList, counters: Counters) -> None:
        self.facts = ArmFacts("", "", ())
        self.realtime: dict[str, Any] = {}
        self.statistics: dict[str, Any] = {}
        self._faults, self._counters = faults, counters
        self._top = [(row.name, self._converter(row)) for row in TOP_ROWS]
        self._axis = [(row.name, self._converter(row)) for row in AXIS_ROWS]

    def build(self, state: State | None, *, running: bool, blockers: list[str], sequence: Progress | None,
              holder: Holder, counts: dict[str, Any], link: LinkReport, store_problem: str,
              devices: InputState | None = None, board_update: BoardUpdateState | None = None,
              update: UpdateState | None = None) -> Any:
        """The message; with no record yet every number is 0 and `running` false."""
        if state is None:
            state = empty_state(max(1, self.facts.axes))
        columns = [(name, convert, getattr(state, name)) for name, convert in self._axis]
        axes = [AxisState(axis=i + 1, minimum_deg=self._limit(i, "minimum_deg"),
                          maximum_deg=self._limit(i, "maximum_deg"),
                          **{name: convert(values[i]) for name, convert, values in columns})
                for i in range(state.axes)]
        return StateMessage(
            contract_version=hmi.CONTRACT_VERSION, running=running, serial=self.facts.serial,
            board_version=self.facts.version, axis=axes,
            faults=[_entry(item) for item in (*self._faults.errors, *self._faults.warnings)], blockers=blockers,
            motion_sequence=sequence, control=holder, input=devices or InputState(),
            realtime=self.realtime, statistics=self.statistics, hmi=counts, link=link,
            board_update=board_update or BoardUpdateState(), store_problem=store_problem, update=update or UpdateState(),
            **{name: convert(getattr(state, name)) for name, convert in self._top})

    def _limit(self, axis: int, name: str) -> float | None:
        return getattr(self.facts.axis[axis], name) if axis < self.facts.axes else None

    def _converter(self, row: record.Field) -> Callable[[Any], Any]:
        if row.name in CODES:
            return _name(CODES[row.name])
        if row.name in FLAGS:
            return bool
        if row.name == "bus_faults":
            names = [fault.name.lower() for fault in modes.BusFault]
            return lambda counts: dict(zip(names, counts, strict=False))
        if row.name == "inputs":
            return lambda bits: Inputs(bool(bits & telegram.INPUT_BUTTON), bool(bits & telegram.INPUT_CONTACTS),
                                       bool(bits & telegram.INPUT_ENABLE))
        if row.ctype in {"double", "float"}:
            return self._finite
        return lambda value: value

    def _finite(self, value: float) -> float | None:
        if math.isfinite(value):
            return round(value, 6)
        self._counters.add("nan_replaced")
        return None


def _entry(item: Active) -> FaultEntry:
    return FaultEntry(item.code, item.axis or None, item.warning, item.category, item.since, *item.texts)
