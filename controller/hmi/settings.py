"""Reading and writing stored settings: checked whole, then in force, then on disk.

Thread contract: HMI thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future

import msgspec

from controller.history_words import Note
from controller.hmi import forms
from controller.hmi.clients import Client, Refused
from controller.hmi.gate import Gate
from controller.hmi.in_force import RANGE_ON, InForce, then
from controller.hmi.messages import Settings
from controller.settings import KNOWN, is_locked
from controller.spec import hmi
from controller.spec.history import Kind
from controller.spec.hmi import ACTION, Action, Notice, Setting
from controller.spec.telegram import MAX_AXES
from controller.store import Store, Value

SCALE = "joystick_sensitivity_scale"
Given = Mapping[str, tuple[Setting, str, object]]  # field of the message -> (setting, stored name, value)


class StoredSettings:
    """`changed` is called after a stored setting changed, `clock` gives the monotonic time in seconds, `note` keeps in
    the history who changed what."""

    def __init__(self, store: Store, gate: Gate, in_force: InForce, *, changed: Callable[[], None],
                 clock: Callable[[], float], note: Note) -> None:
        self._store, self._gate, self._in_force, self._changed, self._clock = store, gate, in_force, changed, clock
        self._note = note

    def command(self, client: Client, command: Settings, now_s: float) -> dict[str, object] | tuple[Future[None], ...]:
        """The typed `settings` command."""
        asked = {"read": command.read is not None, "write": command.write is not None,
                 "reset": command.reset is not None, "accept": command.accept}
        if sum(asked.values()) != 1:
            first = next((name for name in reversed(asked) if asked[name]), "")
            raise Refused(Notice.VALUE, first, f"one of {', '.join(asked)} is needed in a message, and only one")
        for name in (*(command.write or ()), *(command.read or ()), *(command.reset or ())):
            if name not in KNOWN:
                raise Refused(Notice.VALUE, name, "no such setting; an empty `read` lists them all")
        if command.accept:
            self._gate.check(client, ACTION["settings_accept"], now_s)
            return () if command.dry_run else (self.accept(client),)
        if command.reset is not None:
            return self._reset(client, command.reset, now_s, dry_run=command.dry_run)
        if command.write is not None:
            if not command.write:
                raise Refused(Notice.VALUE, "write", "no setting was given")
            given = {name: (KNOWN[name], name, value) for name, value in command.write.items()}
            return self.write(client, given, now_s, dry_run=command.dry_run)
        self._gate.check(client, ACTION["settings_read"], now_s)
        found = {name: self._store.get(name, KNOWN[name].default) for name in command.read or KNOWN}
        waiting = {"unaccepted": self._store.unaccepted} if self._store.unaccepted else {}
        return {"settings": found, **waiting}

    def accept(self, client: Client) -> Future[None]:
        """The settings in force are accepted in place of a file that could not be used."""
        why = self._store.unaccepted
        saved = self._store.accept(client.name)
        self._note(Kind.ACCEPTANCE, "settings accepted", who=client.name, detail={"because": why})
        return saved

    def _reset(self, client: Client, names: list[str], now_s: float, *, dry_run: bool) -> tuple[Future[None], ...]:
        """Defaults again, for some or (an empty list) for all that a client may write."""
        whole = {KNOWN[name].name for name in names if KNOWN[name].together}    # a position of some axes is none
        rows = {name: row for name, row in KNOWN.items()
                if name in names or row.name in whole or not (names or row.set_by)}
        limits = {row.name: row for row in rows.values() if row.register}.values()
        self._gate.check(client, _action(rows.values()), now_s)
        given = {name: (row, name, row.default) for name, row in rows.items()}
        self._check_allowed(client, given)
        self._check_locks(given, {name: row.default for name, row in rows.items()})
        ranges = any(name.startswith("range_m") for name in rows)
        if ranges and self._in_force.range_on:
            raise Refused(Notice.BLOCKED, "reset", "the range of motion is on: switch it off before it is reset")
        if dry_run:
            return ()
        saved = self._put({}, client, remove=rows)
        if ranges:
            self._in_force.apply_range(self._clock())
        return (*self._give(rows, limits, client), saved)

    def write(self, client: Client, given: Given, now_s: float, *, dry_run: bool = False) -> tuple[Future[None], ...]:
        """Check all, then take all: done when the control loop has what it needs and the disk has it."""
        self._gate.check(client, _action(row for row, _, _ in given.values()), now_s)
        new: dict[str, Value] = {}
        self._check_allowed(client, given)
        for key, (row, name, value) in given.items():
            new[name] = forms.setting_value(key, _of_generation(row, client), value)
        self._check_locks(given, new)
        self._scale_sensitivity(client, new)
        self._check_positions(given, new)
        ranges = self._checked_ranges({name: key for key, (_, name, _) in given.items()}, new)
        limits = {row.name: row for row, _, _ in given.values() if row.register}.values()
        if dry_run:
            return ()
        if ranges is not None:
            return (self._range(ranges, new, limits, client),)
        saved = self._put(new, client)
        return (*self._give(new, limits, client), saved)

    def switch_range(self, client: Client, on: bool) -> Future[None]:
        """Range of motion on or off: stored once the control loop has it."""
        return then(self._in_force.push_range(self._in_force.ranges_deg(), on, client.number),
                    lambda: self._switched(client, on))

    def _switched(self, client: Client, on: bool) -> Future[None]:
        self._in_force.range_taken()
        return self._put({RANGE_ON: on}, client)

    def _put(self, new: Mapping[str, Value], client: Client, remove: Iterable[str] = ()) -> Future[None]:
        before = self._store.items()
        saved = self._store.put(new, remove)
        self._changed()
        after = {**dict.fromkeys(remove), **new}
        self._note(Kind.SETTINGS, "settings changed", who=client.name, detail={
            name: [before.get(name), value] for name, value in after.items() if before.get(name) != value})
        return saved

    def _give(self, names: Iterable[str], limits: Iterable[Setting], client: Client) -> list[Future[None]]:
        """What of the stored settings the control loop needs, to it: done when it has taken it."""
        given = [self._in_force.push_limits(row, client.number) for row in limits]
        if not set(hmi.LENGTHS).isdisjoint(names):
            given.append(self._in_force.push_lengths(client.number))
        return given

    def _check_allowed(self, client: Client, given: Given) -> None:
        """Whether this client may write them."""
        for key, (row, _, _) in given.items():
            if row.set_by:
                raise Refused(Notice.VALUE, key, f"only the command `{row.set_by}` changes it")
            if client.role < row.role:
                raise Refused(Notice.ROLE, key, f"needs role {row.role.name.lower()}, this client has "
                              f"{client.role.name.lower()}")

    def _check_locks(self, given: Given, new: Mapping[str, Value]) -> None:
        """A locked group keeps its values until it is unlocked: before, or by the same message."""
        for key, (row, name, _) in given.items():
            if is_locked(name, new, self._store.items()):
                raise Refused(Notice.LOCKED, key, f"is locked: unlock it ({hmi.SETTING[row.lock].key}, or "
                              f"{row.lock} in `settings`) before it is changed")

    def _scale_sensitivity(self, client: Client, new: dict[str, Value]) -> None:
        """Of what the joystick sensitivity is a share, 10 or 100, is stored with it; where that changes, what was
        stored for the other axes is converted."""
        names = hmi.SETTING["joystick_sensitivity"].names(MAX_AXES)
        if SCALE not in new and all(
                name not in new or new[name] == self._store.get(name, KNOWN[name].default) for name in names):
            return  # repeating what is in force is no change
        before = self._store.get(SCALE, hmi.SETTING[SCALE].default)
        after = new.setdefault(SCALE, float(hmi.G2_SENSITIVITY if client.version else 100))
        for name in names:
            value = self._store.get(name, KNOWN[name].default)
            if name not in new and before != after and isinstance(value, float | int) and isinstance(
                    before, float | int) and isinstance(after, float | int):
                new[name] = min(float(after), value * after / before)
            highest = new.get(name, 0.0)
            if isinstance(highest, float | int) and isinstance(after, float | int) and highest > after:
                raise Refused(Notice.VALUE, name, f"{highest:g} is above {SCALE}, which is {after:g}")

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
                raise Refused(Notice.VALUE, given, f"minimum and maximum of axis {i + 1} belong together: give both, "
                              f"`{low_name if low_name not in new else high_name}` is missing too")
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
        for i, ((low, high), axis) in enumerate(zip(ranges, self._in_force.facts.axis, strict=True)):
            if not max(low, axis.target_minimum_deg) < min(high, axis.target_maximum_deg):
                key = keys.get(f"range_minimum_deg.{i + 1}", "")
                raise Refused(Notice.VALUE, key, f"the range {low:g}..{high:g} deg leaves axis {i + 1} no room inside "
                              "its limits for targets")
        return ranges

    def _range(self, ranges: list[tuple[float, float]], new: Mapping[str, Value], limits: Iterable[Setting],
               client: Client) -> Future[None]:
        """A new range and what comes with it: stored once the control loop has the range; a refused one leaves all
        that was stored in force."""
        def taken() -> Future[None]:
            self._in_force.range_taken()
            saved = self._put(new, client)
            for pushed in self._give(new, limits, client):
                saved = then(saved, lambda pushed=pushed: pushed)  # type: ignore[misc]
            return saved

        def restore(done: Future[None]) -> None:
            if done.exception() is not None:
                self._in_force.apply_range(self._clock())

        answer = self._in_force.push_range(ranges, self._in_force.range_on, client.number)
        answer.add_done_callback(restore)
        return then(answer, taken)


def _action(rows: Iterable[Setting]) -> Action:
    """What writing these is: what the control loop uses is not changed while another client has control."""
    return ACTION["speed_limit" if any(row.in_loop for row in rows) else "settings_write"]


def _of_generation(row: Setting, client: Client) -> Setting:
    """Pages that check their version know the joystick sensitivity as 0..10, the ones before them as 0..100."""
    if row.name == "joystick_sensitivity" and client.version:
        return msgspec.structs.replace(row, high=hmi.G2_SENSITIVITY)
    return row
