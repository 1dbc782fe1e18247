"""What clients can make the controller do. `response` and `command` both end in these functions.

A handler returns None (done), a dict (done, with fields for the acknowledgement), a Sent (the control loop will answer)
or Futures (the control loop and the disk will answer), or raises Refused. Nothing here waits.
Thread contract: HMI thread only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from controller.arm import ArmFacts
from controller.bus.board_registers import BoardWrites
from controller.history_words import Note, unheard
from controller.hmi import forms, messages
from controller.hmi.board import write_board
from controller.hmi.calibrating import Calibrator
from controller.hmi.clients import Client, ControlToken, Refused
from controller.hmi.counters import Counters, logger
from controller.hmi.cycles import Cycles
from controller.hmi.gate import Gate
from controller.hmi.hand import HandSearch
from controller.hmi.in_force import Follow, InForce
from controller.hmi.moves import Moves
from controller.hmi.outcome import Outcome
from controller.hmi.player import Library, Player, no_library
from controller.hmi.ring import Ring
from controller.hmi.sequence import Progress, Sequencer
from controller.hmi.settings import StoredSettings
from controller.hmi.version import check_version
from controller.spec import hmi, registers
from controller.spec.external import ExternalPhase
from controller.spec.history import Kind
from controller.spec.hmi import ACTION, Notice
from controller.spec.modes import Blocker, BusState, CommandKind, CommandResult, CompliantPhase, MasterState
from controller.store import Store

if TYPE_CHECKING:
    from controller._core import Core, State

POSITION_OF_BUTTON = {button: name for name, (button, _) in hmi.POSITIONS.items()}
HANDS_OVER = {"start", "ready", "test_jog", "test_device"}  # ready for jog: by an input device too
log = logger("controller.hmi")


class Handlers:
    """`latest` gives the newest state record, `changed` is called after a stored setting changed, `follow` is asked for
    the control loop's verdict on a command of the server itself, `ended` is told when a sequence of motions ended
    before its last step, `library` asks the exercises' store, `devices` gives the number of input devices."""

    def __init__(self, core: Core, store: Store, control: ControlToken, counters: Counters, *,
                 latest: Callable[[], State | None], changed: Callable[[], None], follow: Follow,
                 ended: Callable[[Client, str], None], clock: Callable[[], float] = time.monotonic,
                 note: Note = unheard, board_writes: BoardWrites | None = None,
                 library: Library = no_library, devices: Callable[[], int] = lambda: 0) -> None:
        self._core, self._store, self._control, self._counters = core, store, control, counters
        self._latest, self._follow, self._clock = latest, follow, clock
        self.in_force = InForce(core, store, follow, latest)
        self._ring = Ring(core, self.in_force, follow)
        self._push = self._ring.push
        self._hand = HandSearch(store)
        self.gate = Gate(control, latest, self._own_blockers)
        self.moves = Moves(store, self.gate, self.in_force, self._hand, latest=latest, begin=self._begin,
                           push=self._push)
        self.sequencer = Sequencer(self._ring.push_step, self.stop_core, ended)
        self.cycles = Cycles(self.sequencer, self._hand, self.in_force, latest=latest, push=self._push, devices=devices)
        self.player = Player(core, self.sequencer, self.gate, library, latest=latest, facts=lambda: self.facts,
                             check=self.moves.allowed, begin=self._begin, note=note, clock=clock)
        self.calibrator = Calibrator(core, self.sequencer, self.player, store.path.parent if store.path else None,
                                     latest=latest, facts=lambda: self.facts, check=self.moves.allowed,
                                     lengths_mm=lambda: self.in_force.lengths_mm, note=note)
        self._settings = StoredSettings(store, self.gate, self.in_force, changed=changed, clock=clock, note=note)
        self._note = note
        self._board_writes = board_writes or BoardWrites()
        self._powered_up = False  # as of the record looked at last
        self._actions = self._make_actions()

    @property
    def facts(self) -> ArmFacts:
        """The arm of the latest bring-up."""
        return self.in_force.facts

    def set_facts(self, facts: ArmFacts) -> None:
        """A bring-up is done: the control loop needs everything anew."""
        self.sequencer.end("the arm was connected anew", tell=True)
        self.in_force.facts = facts
        self.in_force.apply(self._clock())

    # -- entries

    def response(self, client: Client, message: object, now_s: float) -> Outcome:
        """A `response` message that is not a stop."""
        if isinstance(message, list):
            if len(message) != 1 or not isinstance(message[0], str) or message[0] not in hmi.BUTTONS:
                raise Refused(Notice.UNKNOWN, "", f"{forms.shown(message[0]) if len(message) == 1 else 'this array'} "
                              "is no button; a button is an array of one known name")
            if message[0] in POSITION_OF_BUTTON:
                return self.moves.go_to(client, POSITION_OF_BUTTON[message[0]], 100.0, now_s)
            return self._simple(client, hmi.BUTTONS[message[0]], now_s)
        if not isinstance(message, dict):
            raise Refused(Notice.UNKNOWN, "", f"{forms.shown(message)} is neither an array with a button nor an object")
        found = forms.recognise(message, self.facts.axes)
        if found.form.name == "version_check":
            return check_version(client, self._control, "1", found.values["1"])
        if found.form.name == "test_cycle":
            forms.exactly("10", found.values["10"], 2)
            return self._coded(client, "11", found.values["11"], hmi.TEST_CYCLES, now_s)
        if found.form.name == "mode":
            return self._coded(client, "10", found.values["10"], hmi.MODES, now_s)
        if found.form.name == "go_to_position":
            return self.moves.go_to_position(client, found, now_s)
        if found.form.name == "driver_mode":
            return self._driver_mode(client, found, now_s)
        values = {key: (found.meaning[key][0], found.meaning[key][1], value) for key, value in found.values.items()}
        return self._settings.write(client, values, now_s)

    def command(self, client: Client, message: object, now_s: float) -> Outcome:
        """A typed `command` that is not a stop."""
        command = messages.parse(message)
        if isinstance(command, messages.Mode):
            return self._coded(client, "mode", command.mode, hmi.MODES, now_s)
        if isinstance(command, messages.TestCycle):
            return self._coded(client, "cycle", command.cycle, hmi.TEST_CYCLES, now_s)
        if isinstance(command, messages.Compliant):
            return self._simple(client, "compliant" if command.on else "compliant_off", now_s)
        if isinstance(command, messages.Jog):
            return self._jog(client, command, now_s)
        if isinstance(command, messages.Move):
            return self.moves.command(client, command, now_s)
        if isinstance(command, messages.GoTo):
            return self.moves.go_to(client, command.position, command.speed_percent, now_s, wait=command.wait_for_start)
        if isinstance(command, messages.RangeOfMotion):
            return self._simple(client, "range_on" if command.on else "range_off", now_s)
        if isinstance(command, messages.Subscribe):
            return self._subscribe(client, command, now_s)
        if isinstance(command, messages.BoardRegisters):
            return self._write_board(client, command, now_s)
        if isinstance(command, messages.Settings):
            return self._settings.command(client, command, now_s)
        if isinstance(command, messages.Version):
            return check_version(client, self._control, "version", command.version)
        if isinstance(command, messages.Play):
            return self.player.play(client, command, now_s)
        if isinstance(command, messages.Estimate):
            return self.player.estimate(client, command, now_s)
        if isinstance(command, messages.Reports):
            return self.player.reports(client, command, now_s)
        if isinstance(command, messages.Calibrate):
            return self.calibrator.calibrate(client, command, now_s)
        if isinstance(command, messages.Calibrations):
            return self.calibrator.runs(client, now_s)
        return self._simple(client, hmi.COMMANDS[str(command.__struct_config__.tag)], now_s)

    def stop(self) -> None:
        """Stop in the next control cycle. Needs no room anywhere and cannot be refused."""
        self.stop_core()
        self.moves.waiting_for_start = self.moves.prepared = False
        self.cycles.end()
        self.sequencer.end("stopped", tell=True)
        if self._control.holder is not None:
            self._control.holder.hold.end()
        self._counters.add("stops")

    def stop_core(self) -> None:
        """The core's latched stop word."""
        self._ring.stop()

    @property
    def busy(self) -> bool:
        """Whether something moves the arm, or a program or a hand may: nobody loses control for being idle then."""
        state = self._latest()
        return self.sequencer.moving or (state is not None and (
            any(state.moving) or state.external_phase == ExternalPhase.ADMITTED
            or state.compliant_phase != CompliantPhase.NONE))

    @property
    def progress(self) -> Progress | None:
        """Of the sequence that runs, or ran last: in a pause also how long that may last."""
        found = self.sequencer.progress
        if found is None or not found.paused:
            return found
        return msgspec.structs.replace(found, pause_left_s=round(self._control.left_s(self._clock()), 1))

    def end_motion(self, client: Client) -> None:
        """The client in control is gone: its motion ends softly, by a stop if the ring is full."""
        self.moves.waiting_for_start = False
        self.cycles.end()
        self.sequencer.end("its client no longer has control", tell=True)
        if self._forget_targets():
            return
        state = self._latest()
        if state is not None and state.state in {MasterState.WAITING, MasterState.ERROR, MasterState.STARTUP} and (
                state.last_command >= client.last_sequence):
            return
        self._ring.stand_still(client)

    def _forget_targets(self) -> bool:
        """Targets that wait for a start must not be run by somebody else's. Where no motion can be ended, because none
        was begun, a stop makes the core forget them; True when it was needed."""
        prepared, self.moves.prepared = self.moves.prepared, False
        state = self._latest()
        if not prepared or (state is not None and state.state in {MasterState.AUTO, MasterState.TRANSITION_TO_AUTO}):
            return False
        self.stop_core()
        return True

    def tick(self, now_s: float) -> None:
        """Whatever is due: settings that the loop did not take, the next step of a sequence."""
        self.in_force.tick(now_s)
        self.player.tick(now_s)
        self._end_hold()
        if self.sequencer.running:
            state = self._latest()
            if state is None:
                self.sequencer.end("the control loop does not run", tell=True)
            else:
                self.sequencer.follow(state, now_s)

    def _end_hold(self) -> None:
        """A jog that is held while the arm leaves AUTO, for whatever reason and by whomever, has to be released: the
        main thread stops an arm whose HMI thread hung, and what had waited for that thread must not undo it."""
        state = self._latest()
        powered_up = state is not None and state.state in {MasterState.AUTO, MasterState.TRANSITION_TO_AUTO}
        if self._powered_up and not powered_up:
            self.cycles.end()
            if self._control.holder is not None:
                self._control.holder.hold.end()
        self._powered_up = powered_up

    def _own_blockers(self) -> list[str]:
        """What keeps every client from moving the arm and the core does not know."""
        return [problem for problem in (self.in_force.problem, self.in_force.limits_problem, self._store.unaccepted)
                if problem]

    def _begin(self, client: Client, action: str, now_s: float) -> None:
        """The gate; what moves the arm, or ends its motion, ends a sequence too."""
        row = ACTION[action]
        self.gate.check(client, row, now_s)
        if row.control == "takes":
            runs = action == "start" and (self.moves.prepared or self.moves.waiting_for_start)
            client.hands_over = action in HANDS_OVER and not runs
        if row.motion or action in {"off", "test_drives_off", "stand_still"}:
            if action != "jog" or not client.device:
                self.cycles.end()
            self.sequencer.end("another command")
            self.moves.waiting_for_start &= action in {"start", "move", "saved_position", "target_wait"}

    # -- actions

    def _make_actions(self) -> dict[str, Callable[[Client, float], Outcome]]:
        """What an action without values does, once the gate has let it pass."""
        def push(kind: CommandKind, mask: int = 0) -> Callable[[Client, float], Outcome]:
            return lambda client, now_s: self._push(client, kind, mask=mask)

        return {
            "start": push(CommandKind.START), "test_jog": push(CommandKind.START, 1),
            "ready": push(CommandKind.START, 2), "external": push(CommandKind.EXTERNAL),
            "compliant": push(CommandKind.COMPLIANT, 1), "compliant_off": push(CommandKind.COMPLIANT),
            "off": push(CommandKind.OFF), "test_drives_off": push(CommandKind.OFF),
            "stand_still": self._stand_still, "reset": self._reset,
            "acquire": lambda client, now_s: {"client": client.number},
            "release": lambda client, now_s: self._control.release(client),
            "diagnostics_section": self._visit, "why": self._why, "target_wait": self._target_wait,
            "range_on": lambda client, now_s: (self._settings.switch_range(client, True),),
            "range_off": lambda client, now_s: (self._settings.switch_range(client, False),),
            "test_axes": self.cycles.axes, "test_device": self.cycles.device, "test_square": self.cycles.square,
        }

    def _simple(self, client: Client, name: str, now_s: float) -> Outcome:
        """An action without values."""
        if name == "stop":
            self.stop()
            return None
        if name in {"pause", "resume"}:  # they neither begin a sequence nor end one
            return self._pause(client, now_s) if name == "pause" else self._resume(client, now_s)
        self._begin(client, name, now_s)
        return self._actions[name](client, now_s)

    def _coded(self, client: Client, key: str, value: object, table: Mapping[int, str], now_s: float) -> Outcome:
        """An action by its number in `table`."""
        code = forms.plain(value)
        if code not in table:
            raise Refused(Notice.VALUE, key, f"{forms.shown(value)}: allowed are {', '.join(map(str, sorted(table)))}")
        return self._simple(client, table[int(code)], now_s)

    def _stand_still(self, client: Client, now_s: float) -> Outcome:
        if self._forget_targets():
            return None
        return self._push(client, CommandKind.STAND_STILL)

    def _reset(self, client: Client, now_s: float) -> Outcome:
        """RESET_ERROR. Without an error to reset it accepts settings that wait for it: pages have no other button. But
        who clicked while the link was down has not seen that they do."""
        state = self._latest()
        if self._store.unaccepted and state is not None and state.state != MasterState.ERROR:
            self.gate.check(client, msgspec.structs.replace(ACTION["settings_accept"], guarded=True), now_s)
            return (self._settings.accept(client),)
        return self._push(client, CommandKind.RESET)

    def _visit(self, client: Client, now_s: float) -> None:
        self._counters.add("diagnostics_visits")
        self._note(Kind.VISIT, "the diagnostics section was opened", who=client.name)
        log.info("%s opened the diagnostics section", client.name)

    def _why(self, client: Client, now_s: float) -> Outcome:
        """What stands against a motion of this client."""
        return {"blockers": [{"code": found.notice.name.lower(), "message": found.message}
                             for found in self.gate.against(client, ACTION["move"], now_s)]}

    def _target_wait(self, client: Client, now_s: float) -> None:
        self.moves.waiting_for_start = True

    def _pause(self, client: Client, now_s: float) -> Outcome:
        """A soft stop that stays in AUTO, and keeps what is played for a resume."""
        self.sequencer.may_pause()
        self.gate.check(client, ACTION["pause"], now_s)
        sent = None if self.sequencer.resting else self._push(client, CommandKind.STAND_STILL)
        self.sequencer.pause(client, now_s)
        return sent

    def _resume(self, client: Client, now_s: float) -> Outcome:
        """A motion command: power, blockers and control as for any other."""
        self.sequencer.may_resume()
        self.gate.check(client, ACTION["resume"], now_s)
        return (self.sequencer.resume(client, now_s),)

    def _jog(self, client: Client, command: messages.Jog, now_s: float) -> Outcome:
        asked = command.speed_percent if command.hand_percent is None else command.hand_percent
        if asked is None or (command.speed_percent is not None and command.hand_percent is not None):
            raise Refused(Notice.VALUE, "speed_percent", "one of speed_percent (joints) and hand_percent (the hand) is "
                          "needed, and only one")
        if command.hand_percent is None:
            self.moves.axes_given("speed_percent", len(asked))
        else:
            self._hand.kinematics(self.facts)
        self._end_hold()
        stale = client.hold.take(now_s, released=not any(asked), sequence=command.sequence, sent_ms=command.sent_ms,
                                 age_ms=command.age_ms)
        if stale is not None:
            raise Refused(Notice.STALE, *stale)
        try:
            self._begin(client, "jog", now_s)
        except Refused:
            client.hold.end()
            raise
        kind = CommandKind.JOG if command.hand_percent is None else CommandKind.HAND_JOG
        sent = self._push(client, kind, mask=(1 << len(asked)) - 1, values=tuple(asked),
                          asked_s=now_s - client.hold.late_s)
        return msgspec.structs.replace(sent, refused=client.hold.end)

    def _driver_mode(self, client: Client, found: forms.Recognised, now_s: float) -> Outcome:
        """Registers 12..: always refused, with what to do instead."""
        row = registers.BY_NAME["driver_mode"]
        assert row.low is not None
        assert row.high is not None
        for key, value in found.values.items():
            forms.number(key, value, row.low, row.high, whole=True)
        self.gate.check(client, ACTION["driver_mode"], now_s)
        raise AssertionError("an action that is not available passed the gate")

    def _subscribe(self, client: Client, command: messages.Subscribe, now_s: float) -> Outcome:
        self.gate.check(client, ACTION["subscribe"], now_s)
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
        self._begin(client, "board_registers", now_s)
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
        answer = write_board(self._core, self._board_writes, self._follow, texts, client.number)
        self._note(Kind.SETTINGS, f"registers of the board to be written: {', '.join(texts)}", who=client.name)
        return (answer,)
