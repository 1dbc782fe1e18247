"""What clients can make the controller do. `response` and `command` both end in these functions.

A handler returns None (done), a dict (done, with fields for the acknowledgement), a Sent (the control loop will answer)
or Futures (the control loop and the disk will answer), or raises Refused. Nothing here waits.
Thread contract: HMI thread only; it alone pushes commands into the core.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.arm import ArmFacts
from controller.bus.board_registers import BoardWrites
from controller.hmi import forms, messages
from controller.hmi.board import write_board
from controller.hmi.clients import Client, ControlToken, Refused
from controller.hmi.counters import Counters, logger
from controller.hmi.state import blocker_words
from controller.spec import hmi
from controller.spec.hmi import ACTION, Action, Notice, Setting
from controller.spec.modes import Blocker, BusState, CommandKind, CommandResult, MasterState
from controller.spec.telegram import MAX_AXES
from controller.store import Store, Value

if TYPE_CHECKING:
    from controller._core import Core, State

VERSION_TEXT = re.compile(r"(\d{1,4}\.\d{1,4})(\.[0-9A-Za-z.+-]{1,16})?", re.ASCII)
log = logger("controller.hmi")


@dataclass(frozen=True, slots=True)
class Sent:
    """A command is in the ring under this number."""

    sequence: int
    kind: CommandKind


Outcome = dict[str, object] | Sent | tuple[Future[None], ...] | None
Follow = Callable[[int, Callable[[Refused | None], None]], None]


def is_stop(event: object, message: object) -> bool:
    """Whether a message is a stop, in any form, numbers as text too. Asked before everything else.

    What else the message holds does not matter: a stop is never refused for its surplus.
    """
    if event == hmi.RESPONSE:
        if isinstance(message, list):
            return message[:1] == ["stop"]
        return isinstance(message, dict) and _is_stop_mode(message.get("10"))
    if event == hmi.COMMAND and isinstance(message, dict):
        return message.get("type") == "stop" or (message.get("type") == "mode" and _is_stop_mode(message.get("mode")))
    return False


def _is_stop_mode(value: object) -> bool:
    code = forms.plain(value)
    return code in hmi.MODES and hmi.MODES[int(code)] == "stop"


def _percent(value: Value, row: Setting) -> float:
    """A stored speed limit; what a damaged file may hold instead of one becomes the default."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        value = row.default
    assert isinstance(value, int | float)
    return float(value)


class Handlers:
    """`latest` gives the newest state record, `changed` is called after a stored setting changed, `follow` is asked for
    the control loop's verdict on a command of the server itself."""

    def __init__(self, core: Core, store: Store, control: ControlToken, counters: Counters, *,
                 latest: Callable[[], State | None], changed: Callable[[], None], follow: Follow,
                 board_writes: BoardWrites | None = None) -> None:
        self.facts = ArmFacts("", "", ())
        self._core, self._store, self._control, self._counters = core, store, control, counters
        self._latest, self._changed, self._follow = latest, changed, follow
        self._limits_late = False
        self._board_writes = board_writes or BoardWrites()

    # -- entries

    def response(self, client: Client, message: object, now_s: float) -> Outcome:
        """A `response` message that is not a stop."""
        if isinstance(message, list):
            if len(message) != 1 or not isinstance(message[0], str) or message[0] not in hmi.BUTTONS:
                raise Refused(Notice.UNKNOWN, "", f"{forms.shown(message[0]) if len(message) == 1 else 'this array'} "
                              "is no button; a button is an array of one known name")
            return self._simple(client, hmi.BUTTONS[message[0]], now_s)
        if not isinstance(message, dict):
            raise Refused(Notice.UNKNOWN, "", f"{forms.shown(message)} is neither an array with a button nor an object")
        found = forms.recognise(message, self.facts.axes)
        if found.form.name == "version_check":
            return self._version_check(client, found.values["1"])
        if found.form.name == "test_cycle":
            forms.exactly("10", found.values["10"], 2)
            return self._coded(client, "11", found.values["11"], hmi.TEST_CYCLES, now_s)
        if found.form.name == "mode":
            return self._coded(client, "10", found.values["10"], hmi.MODES, now_s)
        if found.form.name == "go_to_position":
            return self._go_to_position(client, found, now_s)
        values = {key: (found.meaning[key][0], found.meaning[key][1], value) for key, value in found.values.items()}
        return self._write(client, values, ACTION[found.form.action], now_s)

    def command(self, client: Client, message: object, now_s: float) -> Outcome:
        """A typed `command` that is not a stop."""
        command = messages.parse(message)
        if isinstance(command, messages.Mode):
            return self._coded(client, "mode", command.mode, hmi.MODES, now_s)
        if isinstance(command, messages.Jog):
            return self._jog(client, command, now_s)
        if isinstance(command, messages.Move):
            return self._move_command(client, command, now_s)
        if isinstance(command, messages.Subscribe):
            return self._subscribe(client, command, now_s)
        if isinstance(command, messages.BoardRegisters):
            return self._write_board(client, command, now_s)
        if isinstance(command, messages.Settings):
            return self._settings(client, command, now_s)
        return self._simple(client, hmi.COMMANDS[str(command.__struct_config__.tag)], now_s)

    def stop(self) -> None:
        """Stop in the next control cycle. Needs no room anywhere and cannot be refused."""
        self._core.request_stop()
        self._counters.add("stops")

    def end_motion(self, client: Client) -> None:
        """The client in control is gone: its motion ends softly, by a stop if the ring is full."""
        state = self._latest()
        if state is not None and state.state in {MasterState.WAITING, MasterState.ERROR, MasterState.STARTUP} and (
                state.last_command >= client.last_sequence):
            return
        if not self._core.push(CommandKind.STAND_STILL, client=client.number):
            self.stop()

    def tick(self) -> None:
        """Speed limits that the loop did not take go out again: they are stored, so they must come into force."""
        if self._limits_late:
            self.apply_settings()

    def apply_settings(self) -> None:
        """Give the control loop the stored speed limits; it starts with 100 %."""
        self._limits_late = False
        for row in hmi.SETTINGS:
            if row.register:
                self._push_limits(row, 0)

    # -- gates

    def _gate(self, client: Client, action: Action, now_s: float) -> None:
        """Everything that is asked of a client before an action; takes control where the action does."""
        if not client.compatible and not action.incompatible:
            raise Refused(Notice.VERSION, "", f"this page speaks contract {client.version}, the controller "
                          f"{hmi.CONTRACT_VERSION}: it may observe and stop; load the page again or update it")
        if client.role < action.role:
            raise Refused(Notice.ROLE, "", f"{action.doc}: needs role {action.role.name.lower()}, this client has "
                          f"{client.role.name.lower()}")
        if not action.available:
            raise Refused(Notice.NOT_AVAILABLE, "", f"not available yet: {action.doc}")
        if action.guarded and now_s - client.connected_s < hmi.REPLAY_WINDOW_S:
            raise Refused(Notice.REPLAY, "", "refused because the connection is younger than one second: it may have "
                          "been clicked while the link was down; press again")
        if action.control != "anyone":
            self._control.may(client)
        if action.guarded and action.control == "takes":
            self._may_move()
        if action.control == "takes":
            self._control.take(client, now_s)
        self._control.used(client, now_s)

    def _may_move(self) -> None:
        state = self._latest()
        if state is None:
            raise Refused(Notice.NO_LOOP, "", Notice.NO_LOOP.doc)
        if state.blockers:
            raise Refused(Notice.BLOCKED, "", "; ".join(blocker_words(state.blockers)))

    def _push(self, client: Client, kind: CommandKind, *, mask: int = 0, values: tuple[float, ...] = (),
              value: float = 0.0) -> Sent:
        sequence = self._core.push(kind, client=client.number, mask=mask, values=values, value=value)
        if not sequence:
            raise Refused(Notice.BUSY, "", Notice.BUSY.doc)
        client.last_sequence = sequence
        return Sent(sequence, kind)

    # -- actions

    def _simple(self, client: Client, name: str, now_s: float) -> Outcome:
        """An action without values."""
        if name == "stop":
            self.stop()
            return None
        self._gate(client, ACTION[name], now_s)
        if name in {"start", "test_jog"}:
            return self._push(client, CommandKind.START, mask=int(name == "test_jog"))
        if name == "external":
            return self._push(client, CommandKind.EXTERNAL)
        if name in {"off", "test_drives_off"}:
            return self._push(client, CommandKind.OFF)
        if name == "stand_still":
            return self._push(client, CommandKind.STAND_STILL)
        if name == "reset":
            return self._push(client, CommandKind.RESET)
        if name == "release":
            self._control.release(client)
        elif name == "diagnostics_section":
            self._counters.add("diagnostics_visits")
        elif name != "acquire":
            raise AssertionError(f"action {name} has no function")
        return {"client": client.number} if name == "acquire" else None

    def _coded(self, client: Client, key: str, value: object, table: Mapping[int, str], now_s: float) -> Outcome:
        """An action by its number in `table`."""
        code = int(forms.number(key, value, min(table), max(table), whole=True))
        if code not in table:
            raise Refused(Notice.VALUE, key, f"{code}: allowed are {', '.join(map(str, sorted(table)))}")
        return self._simple(client, table[code], now_s)

    def _version_check(self, client: Client, value: object) -> Outcome:
        found = VERSION_TEXT.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise Refused(Notice.VALUE, "1", f"{forms.shown(value)}: allowed is a version text like "
                          f"\"{hmi.CONTRACT_VERSION}.0\"")
        client.version, client.compatible = found.group(0), found.group(1) == hmi.CONTRACT_VERSION
        if not client.compatible:
            self._control.release(client)
            raise Refused(Notice.VERSION, "", f"this page speaks HMI contract {client.version}, the controller "
                          f"{hmi.CONTRACT_VERSION}: it may observe and stop, but not move the arm or change settings")
        return None

    def _jog(self, client: Client, command: messages.Jog, now_s: float) -> Outcome:
        self._axes_given("speed_percent", len(command.speed_percent))
        self._gate(client, ACTION["jog"], now_s)
        return self._push(client, CommandKind.JOG, mask=(1 << self.facts.axes) - 1,
                          values=tuple(command.speed_percent))

    def _move_command(self, client: Client, command: messages.Move, now_s: float) -> Outcome:
        if isinstance(command.position_deg, dict):
            targets = {f"position_deg.{key}": (int(key) - 1, deg) for key, deg in command.position_deg.items()}
        else:
            self._axes_given("position_deg", len(command.position_deg))
            targets = {f"position_deg[{i}]": (i, deg) for i, deg in enumerate(command.position_deg) if deg is not None}
        return self._move(client, targets, command.speed_percent, now_s)

    def _go_to_position(self, client: Client, found: forms.Recognised, now_s: float) -> Outcome:
        forms.exactly("4", found.values["4"], 0)
        first = int(found.form.axes)
        targets = {key: (int(key) - first, forms.number(key, value, -3600, 3600))
                   for key, value in found.values.items() if key != "4" and value != ""}
        return self._move(client, targets, 100.0, now_s)

    def _move(self, client: Client, targets: dict[str, tuple[int, float]], percent: float, now_s: float) -> Outcome:
        """Joint targets {field: (0-based axis, degrees)}, each checked against its hard limits."""
        if not targets:
            raise Refused(Notice.VALUE, "", "no target was given for any axis")
        values = [0.0] * self.facts.axes
        mask = 0
        for key, (axis, position_deg) in targets.items():
            self._axis_exists(key, axis)
            try:
                self.facts.check_target(axis, position_deg)
            except ValueError as error:
                raise Refused(Notice.VALUE, key, str(error)) from None
            values[axis] = position_deg
            mask |= 1 << axis
        self._gate(client, ACTION["move"], now_s)
        return self._push(client, CommandKind.MOVE, mask=mask, values=tuple(values), value=percent)

    def _axes_given(self, key: str, count: int) -> None:
        if not self.facts.axes:
            raise Refused(Notice.BLOCKED, "", "the arm is not connected")
        if count != self.facts.axes:
            raise Refused(Notice.VALUE, key, f"{count} values given, the arm has {self.facts.axes} axes")

    def _axis_exists(self, key: str, axis: int) -> None:
        if not self.facts.axes:
            raise Refused(Notice.BLOCKED, "", "the arm is not connected")
        if axis >= self.facts.axes:
            raise Refused(Notice.VALUE, key, f"axis {axis + 1} does not exist, the arm has {self.facts.axes} axes")

    def _subscribe(self, client: Client, command: messages.Subscribe, now_s: float) -> Outcome:
        self._gate(client, ACTION["subscribe"], now_s)
        if 0 < command.rate_hz < hmi.RATE_MINIMUM_HZ:
            raise Refused(Notice.VALUE, "rate_hz", f"allowed are 0 and {hmi.RATE_MINIMUM_HZ:g}.."
                          f"{hmi.RATE_MAXIMUM_HZ:g}")
        if command.event == hmi.DATA:
            client.data_hz = command.rate_hz
        else:
            client.state_hz = command.rate_hz
        return None

    def _write_board(self, client: Client, command: messages.BoardRegisters, now_s: float) -> Outcome:
        """Texts for the board: the loop gives the line back, the main thread writes them and brings the arm up again.
        No text of this function holds a value."""
        self._gate(client, ACTION["board_registers"], now_s)
        texts = command.given()
        if not texts:
            raise Refused(Notice.VALUE, "", "no register was given")
        if "board_update" in texts and int(texts["board_update"][0]) > self.facts.axes:
            raise Refused(Notice.VALUE, "board_update", f"the index is not that of a drive: allowed are 0, the base "
                          f"board, and 1..{self.facts.axes}")
        state = self._latest()
        if state is None or state.bus_state != BusState.CYCLIC:
            raise Refused(Notice.BLOCKED, "", Blocker.BUS.doc)
        if state.motor_power:
            raise Refused(Notice.BLOCKED, "", CommandResult.MOTOR_POWER.doc)
        return (write_board(self._core, self._board_writes, self._follow, texts, client.number),)

    # -- settings

    def _settings(self, client: Client, command: messages.Settings, now_s: float) -> Outcome:
        if command.write is None and command.read is None:
            raise Refused(Notice.VALUE, "", "neither `write` nor `read` was given")
        known = {name: row for row in hmi.SETTINGS for name in row.names(hmi.MAP_AXES)}
        for name in (*(command.write or ()), *(command.read or ())):
            if name not in known:
                raise Refused(Notice.VALUE, name, "no such setting; an empty `read` lists them all")
        if command.write is not None:
            if command.read is not None:
                raise Refused(Notice.VALUE, "read", "write and read are two messages")
            if not command.write:
                raise Refused(Notice.VALUE, "write", "no setting was given")
            limits = any(known[name].register for name in command.write)
            action = ACTION["speed_limit" if limits else "settings_write"]
            return self._write(client, {name: (known[name], name, value) for name, value in command.write.items()},
                               action, now_s)
        self._gate(client, ACTION["settings_read"], now_s)
        return {"settings": {name: self._store.get(name, known[name].default) for name in command.read or known}}

    def _write(self, client: Client, values: Mapping[str, tuple[Setting, str, object]], action: Action,
               now_s: float) -> Outcome:
        """Check all, then store all: {field of the message: (setting, stored name, value)}."""
        self._gate(client, action, now_s)
        new: dict[str, Value] = {}
        for key, (row, name, value) in values.items():
            if client.role < row.role:
                raise Refused(Notice.ROLE, key, f"needs role {row.role.name.lower()}, this client has "
                              f"{client.role.name.lower()}")
            new[name] = forms.setting_value(key, row, value)
        self._check_range({name: key for key, (_, name, _) in values.items()}, new)
        saved = self._store.put(new)
        self._changed()
        if any(name.startswith("range_") for name in new):      # whoever sets it must not rely on it
            client.notices.append(Refused(Notice.NOT_AVAILABLE, "", "the range of motion is stored, but this version "
                                          "does not enforce it yet: only the hard limits hold").as_notice())
        limits = {row.name: row for row, _, _ in values.values() if row.register}.values()
        return (*(self._push_limits(row, client.number) for row in limits), saved)

    def _check_range(self, keys: dict[str, str], new: dict[str, Value]) -> None:
        """Range of motion: pairs, minimum below maximum, inside the hard limits."""
        for i in range(hmi.MAP_AXES):
            low_name, high_name = f"range_minimum_deg.{i + 1}", f"range_maximum_deg.{i + 1}"
            if low_name not in new and high_name not in new:
                continue
            given = keys.get(low_name) or keys[high_name]
            if low_name not in new or high_name not in new:
                raise Refused(Notice.VALUE, given, f"minimum and maximum of axis {i + 1} belong together")
            self._axis_exists(given, i)
            low, high = new[low_name], new[high_name]
            assert isinstance(low, float)
            assert isinstance(high, float)
            if not low < high:
                raise Refused(Notice.VALUE, given, f"axis {i + 1}: minimum {low:g} is not below maximum {high:g}")
            for name, value in ((low_name, low), (high_name, high)):
                try:
                    self.facts.check_limit(i, value)
                except ValueError as error:
                    raise Refused(Notice.VALUE, keys[name], str(error)) from None

    def _push_limits(self, row: Setting, client: int) -> Future[None]:
        """Give the loop one kind of speed limit; done when it took it, Refused when not (then it goes out again)."""
        taken: Future[None] = Future()

        def verdict(refused: Refused | None) -> None:
            if refused is not None and refused.notice is not Notice.NO_LOOP:  # that one still waits in the ring
                self._limits_late = True
            if not taken.done():
                if refused is None:
                    taken.set_result(None)
                else:
                    taken.set_exception(refused)

        values = [_percent(self._store.get(name), row) for name in row.names(hmi.MAP_AXES)]
        values += [min(values)] * (MAX_AXES - len(values))      # axes beyond the map have no keys of their own
        sequence = self._core.push(CommandKind.SPEED_LIMITS, client=client, mask=(1 << len(values)) - 1, values=values,
                                   value=float(row.register))
        if sequence:
            self._follow(sequence, verdict)
        else:
            verdict(Refused(Notice.BUSY, "", "not in force yet: the command ring is full; it is given again by itself"))
        return taken
