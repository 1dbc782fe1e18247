"""The `data` message: one function per row of spec/hmi.DATA_FIELDS, encoded once per tick for all clients.

Rows that are not `live` are made anew only when something they were made of is another: most of a message is the same
text for seconds, and this is where a round of the HMI thread spends its time.
Thread contract: HMI thread only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import msgspec

from controller._core import LiveText, State
from controller.arm import INT16_MAX, INT16_MIN, ArmFacts
from controller.hmi.counters import Counters
from controller.hmi.faultlist import Active, FaultList
from controller.hmi.state import empty_state
from controller.spec import hmi, record, telegram
from controller.spec.hmi import Setting
from controller.store import Store

RESERVE_BYTES = 320  # for the frame, the event name and a notice
NOTICE_AROUND_BYTES = 80  # of these for all but the notice's text
NO_ENTRIES = msgspec.Raw(b"[]")
_encode = msgspec.json.Encoder().encode


def live_rows() -> list[tuple[str, int, str, bool, int, int]]:
    """Rows for LiveText out of the two tables."""
    offset = record.offsets()
    return [(row.name, offset[row.live], record.FIELD[row.live].ctype, record.FIELD[row.live].count == record.PER_AXIS,
             hmi.MAP_AXES if row.shape == "five" else 0, row.decimals) for row in hmi.DATA_FIELDS if row.live]


class Reads:
    """Stands in for a record and notes which of its fields are read."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.names: dict[str, None] = {}

    def __getattr__(self, name: str) -> Any:
        self.names[name] = None
        return getattr(self._state, name)


class DataMessage:
    """Builds `data`. `address` is the board's IPv4 address; call `settings_changed` when a stored value changed."""

    def __init__(self, store: Store, faults: FaultList, counters: Counters) -> None:
        self.facts = ArmFacts("", "", ())
        self.address = "127.0.0.1"
        self._store, self._faults, self._counters = store, faults, counters
        self._objects: dict[str, msgspec.Raw] = {}
        self._lists: tuple[tuple[int, int], msgspec.Raw, msgspec.Raw] | None = None
        builders = self._make_builders()
        if builders.keys() != {row.name for row in hmi.DATA_FIELDS if not row.live}:
            raise AssertionError("spec/hmi.DATA_FIELDS and the functions of hmi/payload.py differ")
        self._steady = builders
        self._live = LiveText(live_rows())
        self._nulls = 0
        self._head = b""  # text of the steady fields; what it was made of stands in `_made_of`
        self._inputs: Callable[[State], object] = attrgetter("axes")
        self._made_of: tuple[object, ...] = ()

    def settings_changed(self) -> None:
        """Forget what was encoded of the settings (also after a bring-up: limits may be others)."""
        self._objects.clear()
        self._made_of = ()

    def text(self, state: State | None, notice: dict[str, object] | None = None) -> bytes:
        """The Engine.IO packet `42["data",{...}]`, complete; `notice` is for one client only."""
        if state is None:
            state = State.from_bytes(record.pack(empty_state(max(1, self.facts.axes))))
        live = self._live.text(state)
        if self._live.nulls != self._nulls:
            self._counters.add("nan_replaced", self._live.nulls - self._nulls)
            self._nulls = self._live.nulls
        if (self._made_of != (self._inputs(state), self._faults.version, self.address)
                or len(self._head) + len(live) > hmi.DATA_BYTES - RESERVE_BYTES):  # its numbers have grown since
            self._make_head(state, len(live))
        if notice is None:
            end = b"}"
        else:
            room = hmi.DATA_BYTES - NOTICE_AROUND_BYTES - len(self._head) - len(live)
            text = shortened(str(notice["message"]), room)
            end = b"," + _encode({hmi.NOTICE_FIELD: {**notice, "message": text}})[1:]
        return b"".join((self._head, live, end, b"]"))

    def _make_head(self, state: State, live_bytes: int) -> None:
        # A builder reads the same fields again as long as those it has read are the same, so they alone are the key.
        reads = Reads(state)
        message = {name: builder(reads) for name, builder in self._steady.items()}  # type: ignore[arg-type]
        errors, warnings = self._fault_lists(len(_encode(message)) + live_bytes)
        message["errorTest"] = message["errorData"] = errors
        message["warningTest"] = message["warningData"] = warnings
        self._head = b'42["' + hmi.DATA.encode() + b'",' + _encode(message)[:-1] + b","
        self._inputs = attrgetter(*reads.names)
        self._made_of = (self._inputs(state), self._faults.version, self.address)

    # -- one function per field

    def _make_builders(self) -> dict[str, Callable[[State], Any]]:
        def bit(mask: int, master: Callable[[State], bool]) -> Callable[[State], list[int]]:
            return lambda s: self._node([1 if status & mask else 0 for status in s.status], int(master(s)))

        faults = self._faults
        builders: dict[str, Callable[[State], Any]] = {
            "parity": bit(telegram.STATUS_PARITY, lambda s: False),
            "debug": bit(telegram.STATUS_DEBUG, lambda s: False),
            "error": bit(telegram.STATUS_ERROR, lambda s: bool(faults.errors)),
            "warning": bit(telegram.STATUS_WARNING, lambda s: bool(faults.warnings)),
            "motionOnGoing": bit(telegram.STATUS_MOVING, lambda s: any(s.moving)),
            "onTargetPosition": bit(telegram.STATUS_ON_TARGET, lambda s: s.axes > 0 and all(s.on_target)),
            "driverState": lambda s: self._node(s.driver_state, s.state),
            "workingMode": lambda s: self._node(s.driver_mode, s.mode),
            "errorCode": lambda s: self._node(s.error_code, _first(faults.errors)),
            "warningCode": lambda s: self._node([faults.drive_warning(i) for i in range(s.axes)],
                                                _first(faults.warnings)),
            "targetPosition": lambda s: _at_least_five([self._counts(i, deg)
                                                        for i, deg in enumerate(s.target_position_deg)]),
            "axisNumberTest": lambda s: s.axes,
            "ipAddress": lambda s: self.address,
            **{name: lambda s: None for name in ("errorTest", "errorData", "warningTest", "warningData")},
        }
        for row in hmi.DATA_FIELDS:
            if row.settings:
                builders[row.name] = lambda s, row=row: self._object(row)  # type: ignore[misc]
        return builders

    def _node(self, values: Any, master: int) -> list[int]:
        """Per node: axes 1..5, then the master; N + 1 elements above five axes."""
        return [*values, *(0,) * (hmi.MAP_AXES - len(values)), master]

    def _counts(self, axis: int, position_deg: float) -> int | None:
        if not math.isfinite(position_deg):
            self._counters.add("nan_replaced")
            return None
        if axis >= self.facts.axes:
            return 0
        try:
            return self.facts.counts(axis, position_deg)
        except ValueError:
            return INT16_MAX if position_deg > 0 else INT16_MIN

    def _object(self, row: hmi.DataField) -> msgspec.Raw:
        found = self._objects.get(row.name)
        if found is None:
            axes = max(self.facts.axes, hmi.CLIENT_DATA_RANGE_AXES)
            values = {key: self._setting(setting, name, i)
                      for setting in (hmi.SETTING[name] for name in row.settings)
                      for i, (key, name) in enumerate(zip(setting.keys(axes), setting.names(axes), strict=False))}
            found = self._objects[row.name] = msgspec.Raw(_encode(values))
        return found

    def _setting(self, row: Setting, name: str, axis: int) -> Any:
        value = self._store.get(name, row.default)
        if value is None and row.name in {"range_minimum_deg", "range_maximum_deg"}:  # never set: the hard limits
            if axis >= self.facts.axes:
                return 0
            facts = self.facts.axis[axis]
            return round(facts.minimum_deg if row.name == "range_minimum_deg" else facts.maximum_deg, 1)
        return value

    def _fault_lists(self, other_bytes: int) -> tuple[msgspec.Raw, msgspec.Raw]:
        """Both lists, encoded once per change. They go out twice each, within what DATA_BYTES leaves.

        What does not fit loses its long texts first, then its place: the gravest errors stay whole; `state` has all.
        """
        if not self._faults.errors and not self._faults.warnings:
            return NO_ENTRIES, NO_ENTRIES
        # The lengths of numbers vary by some bytes from time to time: steps of 256 keep the lists from flickering.
        room = (hmi.DATA_BYTES - RESERVE_BYTES - other_bytes) // 256 * 256
        if self._lists is None or self._lists[0] != (self._faults.version, room):
            errors, left = fit(self._faults.errors, room // 2)
            warnings, _ = fit(self._faults.warnings, left)
            self._lists = ((self._faults.version, room), errors, warnings)
        return self._lists[1], self._lists[2]


def shortened(text: str, room: int) -> str:
    """The text, cut where its JSON would be longer than `room` bytes; its acknowledgement has the whole."""
    if len(_encode(text)) <= room:
        return text
    while text and len(_encode(text + "...")) > room:
        text = text[:-1]
    return text + "..."


def fit(active: list[Active], room: int) -> tuple[msgspec.Raw, int]:
    """As many entries as fit `room` bytes, in order, short ones where whole ones do not; and the room left."""
    entries = []
    for item in active:
        for brief in (False, True):
            text = _encode(item.as_entry(brief=brief))
            if len(text) + 1 <= room:
                entries.append(text)
                room -= len(text) + 1
                break
        else:
            break
    return msgspec.Raw(b"[" + b",".join(entries) + b"]"), room


def _first(active: list[Active]) -> int:
    """Code of the first fault that is the master's own, 0 none."""
    return next((item.code for item in active if item.source != "drive"), 0)


def _at_least_five(values: Any) -> list[Any]:
    return [*values, *(0,) * (hmi.MAP_AXES - len(values))]
