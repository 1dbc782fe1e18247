"""Reading and writing stored settings: checked whole, then in force, then on disk.

Thread contract: HMI thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace

from controller.hmi import forms
from controller.hmi.clients import Client, Refused
from controller.hmi.gate import Gate
from controller.hmi.in_force import RANGE_ON, InForce, then
from controller.hmi.messages import Settings
from controller.spec import hmi
from controller.spec.hmi import ACTION, Action, Notice, Setting
from controller.spec.telegram import MAX_AXES
from controller.store import Store, Value

Given = Mapping[str, tuple[Setting, str, object]]  # field of the message -> (setting, stored name, value)
KNOWN: dict[str, Setting] = {name: row for row in hmi.SETTINGS for name in row.names(MAX_AXES)}


class StoredSettings:
    """`changed` is called after a stored setting changed, `clock` gives the monotonic time in seconds."""

    def __init__(self, store: Store, gate: Gate, in_force: InForce, changed: Callable[[], None],
                 clock: Callable[[], float]) -> None:
        self._store, self._gate, self._in_force, self._changed, self._clock = store, gate, in_force, changed, clock

    def command(self, client: Client, command: Settings, now_s: float) -> dict[str, object] | tuple[Future[None], ...]:
        """The typed `settings` command."""
        if command.write is None and command.read is None:
            raise Refused(Notice.VALUE, "", "neither `write` nor `read` was given")
        for name in (*(command.write or ()), *(command.read or ())):
            if name not in KNOWN:
                raise Refused(Notice.VALUE, name, "no such setting; an empty `read` lists them all")
        if command.write is not None:
            if command.read is not None:
                raise Refused(Notice.VALUE, "read", "write and read are two messages")
            if not command.write:
                raise Refused(Notice.VALUE, "write", "no setting was given")
            limits = any(KNOWN[name].register for name in command.write)
            return self.write(client, {name: (KNOWN[name], name, value) for name, value in command.write.items()},
                              ACTION["speed_limit" if limits else "settings_write"], now_s)
        self._gate.check(client, ACTION["settings_read"], now_s)
        return {"settings": {name: self._store.get(name, KNOWN[name].default) for name in command.read or KNOWN}}

    def write(self, client: Client, given: Given, action: Action, now_s: float) -> tuple[Future[None], ...]:
        """Check all, then take all: done when the control loop has what it needs and the disk has it."""
        self._gate.check(client, action, now_s)
        new: dict[str, Value] = {}
        for key, (row, name, value) in given.items():
            if row.set_by:
                raise Refused(Notice.VALUE, key, f"only the command `{row.set_by}` changes it")
            if client.role < row.role:
                raise Refused(Notice.ROLE, key, f"needs role {row.role.name.lower()}, this client has "
                              f"{client.role.name.lower()}")
            new[name] = forms.setting_value(key, _of_generation(row, client), value)
        self._check_locks(given, new)
        self._check_positions(given, new)
        ranges = self._checked_ranges({name: key for key, (_, name, _) in given.items()}, new)
        if ranges is not None:
            return (self._range(ranges, new, client),)
        saved = self._put(new)
        limits = {row.name: row for row, _, _ in given.values() if row.register}.values()
        return (*(self._in_force.push_limits(row, client.number) for row in limits), saved)

    def switch_range(self, client: Client, on: bool) -> Future[None]:
        """Range of motion on or off: stored once the control loop has it."""
        return then(self._in_force.push_range(self._in_force.ranges_deg(), on, client.number),
                    lambda: self._switched(on))

    def _switched(self, on: bool) -> Future[None]:
        self._in_force.range_taken()
        return self._put({RANGE_ON: on})

    def _put(self, new: Mapping[str, Value]) -> Future[None]:
        saved = self._store.put(new)
        self._changed()
        return saved

    def _check_locks(self, given: Given, new: Mapping[str, Value]) -> None:
        """A locked group keeps its values until it is unlocked: before, or by the same message."""
        for key, (row, name, _) in given.items():
            if not row.lock or new.get(row.lock) is False or self._store.get(row.lock) is not True:
                continue
            if new[name] != self._store.get(name, row.default):
                raise Refused(Notice.LOCKED, key, f"is locked: unlock it ({hmi.SETTING[row.lock].key}, or "
                              f"{row.lock} in `settings`) before it is changed")

    def _check_positions(self, given: Given, new: dict[str, Value]) -> None:
        """A position is saved for every axis of the arm at once; what an arm with more axes left is cleared."""
        axes = self._in_force.facts.axes
        for row in {row.name: row for row, _, _ in given.values() if row.together}.values():
            if not axes:
                raise Refused(Notice.BLOCKED, "", "the arm is not connected")
            whole = row.names(axes)
            found = {name: key for key, (setting, name, _) in given.items() if setting is row}
            if surplus := [key for name, key in found.items() if name not in whole]:
                raise Refused(Notice.VALUE, surplus[0], f"the arm has {axes} axes")
            if missing := [name for name in whole if name not in found]:
                raise Refused(Notice.VALUE, missing[0], f"missing: a position is saved for all {axes} axes at once")
            new.update(dict.fromkeys(row.names(MAX_AXES)[axes:]))

    def _checked_ranges(self, keys: Mapping[str, str], new: Mapping[str, Value]) -> list[tuple[float, float]] | None:
        """Range of every axis with the new ones in it, None when none is new: pairs, minimum below maximum, inside the
        hard limits."""
        ranges: list[tuple[float, float]] | None = None
        for i in range(MAX_AXES):
            low_name, high_name = f"range_minimum_deg.{i + 1}", f"range_maximum_deg.{i + 1}"
            if low_name not in new and high_name not in new:
                continue
            given = keys.get(low_name) or keys[high_name]
            if low_name not in new or high_name not in new:
                raise Refused(Notice.VALUE, given, f"minimum and maximum of axis {i + 1} belong together")
            facts = self._in_force.facts
            if not facts.axes:
                raise Refused(Notice.BLOCKED, "", "the arm is not connected")
            if i >= facts.axes:
                raise Refused(Notice.VALUE, given, f"axis {i + 1} does not exist, the arm has {facts.axes} axes")
            low, high = new[low_name], new[high_name]
            assert isinstance(low, float)
            assert isinstance(high, float)
            if not low < high:
                raise Refused(Notice.VALUE, given, f"axis {i + 1}: minimum {low:g} is not below maximum {high:g}")
            for name, value in ((low_name, low), (high_name, high)):
                try:
                    facts.check_limit(i, value)
                except ValueError as error:
                    raise Refused(Notice.VALUE, keys[name], str(error)) from None
            ranges = self._in_force.ranges_deg() if ranges is None else ranges
            ranges[i] = (low, high)
        if ranges is None:
            return None
        if others := [name for name in new if not name.startswith("range_m")]:
            raise Refused(Notice.VALUE, keys[others[0]], "a range of motion is set in a message of its own")
        for i, ((low, high), axis) in enumerate(zip(ranges, self._in_force.facts.axis, strict=True)):
            if not max(low, axis.target_minimum_deg) < min(high, axis.target_maximum_deg):
                key = keys.get(f"range_minimum_deg.{i + 1}", "")
                raise Refused(Notice.VALUE, key, f"the range {low:g}..{high:g} deg leaves axis {i + 1} no room inside "
                              "its limits for targets")
        return ranges

    def _range(self, ranges: list[tuple[float, float]], new: Mapping[str, Value], client: Client) -> Future[None]:
        """A new range: stored once the control loop has it; a refused one leaves the stored one in force."""
        def taken() -> Future[None]:
            self._in_force.range_taken()
            return self._put(new)

        def restore(done: Future[None]) -> None:
            if done.exception() is not None:
                self._in_force.apply_range(self._clock())

        answer = self._in_force.push_range(ranges, self._in_force.range_on, client.number)
        answer.add_done_callback(restore)
        return then(answer, taken)


def _of_generation(row: Setting, client: Client) -> Setting:
    """Pages that check their version know the joystick sensitivity as 0..10, the ones before them as 0..100."""
    return replace(row, high=hmi.G2_SENSITIVITY) if row.name == "joystick_sensitivity" and client.version else row
