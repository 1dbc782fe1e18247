"""What input devices make the arm do: each is a client of its own whose deflection is a jog, held and released.

A device acts only after it was seen at rest: when it is plugged in, after a mode change, a stop, a refusal, after
events were lost, or after it or the thread that reads it was silent. Whatever is doubtful is speed 0.
Thread contract: HMI thread only. What a device sends is read in another thread (reader.py) and seen here at most every
ACT_S.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from controller.hmi.clients import Client, Refused
from controller.input.events import View
from controller.input.mapping import TEST_CYCLE, Modes, beyond_dead_zone, is_for
from controller.input.options import InputOptions
from controller.input.state import InputDeviceState, InputState
from controller.spec import hmi
from controller.spec.hmi import Notice
from controller.spec.input import (
    GIVE_BACK_S,
    PRESS_PAUSE_S,
    READER_SILENT_S,
    REFRESH_S,
    REST_AFTER_SILENCE_S,
    Drive,
)
from controller.spec.modes import MasterState

if TYPE_CHECKING:
    from controller._core import State

SAME_NOTICE_S = 10.0
LEAST_CHANGE_PERCENT = 0.5
STARTED = {MasterState.AUTO, MasterState.TRANSITION_TO_AUTO}


class Seen(Protocol):
    """What the reading thread publishes."""

    views: tuple[View, ...]
    alive_s: float


class Door(Protocol):
    """What devices may do in the HMI."""

    def axes(self) -> int:
        """Number of axes, 0 without an arm."""

    def state(self) -> State | None:
        """The newest record, None while the loop does not run."""

    def testing(self) -> bool:
        """Whether test cycle 7 is on: any device, axis 1 only."""

    def sensitivity(self, joint: int) -> float:
        """0..1 for a 0-based joint, as set at the page."""

    def join(self, name: str) -> Client:
        """A new client."""

    def leave(self, client: Client) -> None:
        """It is gone: what it moved ends."""

    def jog(self, client: Client, message: dict[str, object], done: Callable[[Refused | None], None]) -> None:
        """A typed jog of this client. Never raises; `done` gets the verdict, perhaps later."""

    def idle(self, client: Client) -> None:
        """It needs control no longer."""

    def stop(self, client: Client) -> None:
        """A stop."""

    def tell(self, text: str) -> None:
        """A notice to every client."""


@dataclass(slots=True)
class _Hand:
    """One device as a client. `why` it must be seen at rest before it acts, "" when it may act."""

    client: Client
    joined_s: float
    faults: int
    mode_presses: int
    stop_presses: int
    why: str
    sent_percent: list[float] = field(default_factory=list)
    sent_field: str = "speed_percent"
    sent_s: float = 0.0
    sequence: int = 0
    idle_since_s: float | None = None
    deflected: bool = False

    @property
    def active(self) -> bool:
        return any(self.sent_percent)


class InputDevices:
    """`tick` is to be called every ACT_S while it says that it has work, and after `wake`."""

    def __init__(self, options: InputOptions, door: Door, seen: Seen) -> None:
        self._options, self._door, self._seen = options, door, seen
        self._hands: dict[int, _Hand] = {}
        self._views: tuple[View, ...] = ()
        self._scenario: Modes | None = None
        self._testing = False
        self._pressed_s = -PRESS_PAUSE_S
        self._told: tuple[str, float] = ("", -SAME_NOTICE_S)
        self.mode = self.modes.names[0]

    @property
    def modes(self) -> Modes:
        """The mapping in force."""
        return TEST_CYCLE if self._testing else self._scenario or self._options.modes

    def choose(self, modes: Modes | None, now_s: float) -> None:
        """The mapping of the scenario that was chosen, None where it has none. Moving ends."""
        if modes != self._scenario:
            self._scenario = modes
            self._enter(self.modes.names[0], now_s)

    def tick(self, now_s: float) -> bool:
        """Look at what was read and act; whether the next look should come soon."""
        views, alive_s = self._seen.views, self._seen.alive_s
        self._views = views
        for number in [number for number in self._hands if number not in {view.number for view in views}]:
            self._gone(self._hands.pop(number), now_s)
        if self._door.testing() != self._testing:
            self._testing = not self._testing
            self._enter(self.modes.names[0], now_s)
        late = now_s - alive_s > READER_SILENT_S
        for view in views:
            hand = self._hands.get(view.number) or self._join(view, now_s)
            self._buttons(hand, view, now_s)
        for view in views:
            self._act(self._hands[view.number], view, now_s, alive_s, late=late)
        return any(hand.active or hand.deflected or hand.why or hand.idle_since_s is not None
                   for hand in self._hands.values())

    def close(self, now_s: float) -> None:
        """Nobody reads any more: every device leaves."""
        while self._hands:
            self._gone(self._hands.popitem()[1], now_s)

    def state(self, problem: str) -> InputState:
        """For the `state` message."""
        devices = []
        for view in self._views:
            hand = self._hands.get(view.number)
            if hand is not None:
                deflection = {axis.name: round(found, 3) + 0.0  # no -0
                              for axis, found in zip(view.description.axes, view.deflection, strict=True)}
                devices.append(InputDeviceState(view.description.name, view.description.kind, hand.client.number,
                                                hand.active, deflection, hand.why if hand.deflected else ""))
        axes = self._door.axes()
        missing = sorted({drive.drives for drive in self.modes.rows[self.mode] if axes and drive.joint >= axes})
        if missing and self.modes.source != "default":
            problem = "; ".join(filter(None, (problem, f"mode {self.mode} drives {', '.join(missing)}: the arm has "
                                              f"{axes} axes")))
        return InputState(True, self.mode, self.modes.names, self.modes.source, problem, devices)

    # -- coming and going

    def _join(self, view: View, now_s: float) -> _Hand:
        client = self._door.join(view.description.name)
        hand = self._hands[view.number] = _Hand(client, now_s, view.faults, view.mode_presses, view.stop_presses,
                                                "let it go first: it was not seen at rest yet")
        return hand

    def _gone(self, hand: _Hand, now_s: float) -> None:
        if hand.active:
            self._send(hand, [0.0] * len(hand.sent_percent), now_s, now_s)
        self._door.leave(hand.client)

    # -- buttons

    def _buttons(self, hand: _Hand, view: View, now_s: float) -> None:
        if view.stop_presses != hand.stop_presses:
            hand.stop_presses = view.stop_presses
            self._door.stop(hand.client)
            self._halt_all(now_s, "a stop: let it go first")
        if view.mode_presses != hand.mode_presses:
            hand.mode_presses = view.mode_presses
            if now_s - self._pressed_s >= PRESS_PAUSE_S:
                self._pressed_s = now_s
                self._enter(self.modes.after(self.mode), now_s)
                self._door.tell(f"input devices: mode {self.mode} ({self.modes.names.index(self.mode) + 1} of "
                                f"{len(self.modes.names)})")

    def _enter(self, mode: str, now_s: float) -> None:
        """Another mode: what is held now must not drive something else."""
        self.mode = mode
        self._halt_all(now_s, f"mode {mode} now: let it go first")

    def _halt_all(self, now_s: float, why: str) -> None:
        for hand in self._hands.values():
            self._halt(hand, now_s, why)

    def _halt(self, hand: _Hand, now_s: float, why: str) -> None:
        """Speed 0, and a new deflection from rest is needed."""
        hand.why = why
        if hand.active:
            self._send(hand, [0.0] * len(hand.sent_percent), now_s, now_s)

    # -- deflection

    def _act(self, hand: _Hand, view: View, now_s: float, alive_s: float, *, late: bool) -> None:
        rows = [drive for drive in self.modes.rows[self.mode] if is_for(drive, view.description)]
        found = {axis.name: self._deflection(view, place, now_s) for place, axis in enumerate(view.description.axes)}
        zones = {axis.name: max(self._options.dead_zone, axis.play) for axis in view.description.axes}
        used = [drive.axis for drive in rows if drive.axis in found]
        hand.deflected = any(abs(found[name] or 0.0) > zones[name] for name in used)
        if late and hand.active:
            self._doubt(hand, now_s, "its reading was held up")
        elif view.faults != hand.faults:
            hand.faults = view.faults
            self._doubt(hand, now_s, view.fault)
        elif hand.active and any(found[name] is None for name in used):
            self._doubt(hand, now_s, "it fell silent")
        elif hand.deflected and self._still(view, used, now_s):
            self._doubt(hand, now_s, f"nothing was heard of it for {self._options.still_s:g} s")
        at_rest = not late and all(
            abs(there) <= zones[axis.name] if (there := found[axis.name]) is not None
            else now_s - view.heard_s > REST_AFTER_SILENCE_S
            for axis in view.description.axes if axis.name in used)
        if hand.why and at_rest and now_s - hand.joined_s > hmi.REPLAY_WINDOW_S:
            hand.why = ""
        speeds = self._speeds(rows, found, zones) if not (hand.why or late) else []
        if any(speeds):
            self._drive(hand, rows, speeds, now_s, alive_s)
        elif hand.active:
            self._send(hand, [0.0] * len(hand.sent_percent), now_s, now_s)
        self._give_back(hand, now_s)

    def _doubt(self, hand: _Hand, now_s: float, what: str) -> None:
        """Something about the device is not as it should be. Told where it moved the arm."""
        active = hand.active
        self._halt(hand, now_s, f"{what}: let it go first")
        if active:
            self._tell(hand, f"stopped, {what}; let it go, then it acts again", now_s)

    def _deflection(self, view: View, place: int, now_s: float) -> float | None:
        """-1..1. Of a relative axis the kernel tells only what is not zero: silent it is at rest, but unknown (None)
        where the device fell silent with it while it was deflected."""
        found, told_s = view.deflection[place], view.told_s[place]
        silence_s = self._options.silence_s
        if not view.description.axes[place].relative or now_s - told_s <= silence_s:
            return found
        return 0.0 if abs(found) <= self._options.dead_zone or view.heard_s - told_s > silence_s else None

    def _still(self, view: View, used: Sequence[str], now_s: float) -> bool:
        """An absolute axis tells only changes, so that a hand that holds still and a link that broke look the same."""
        absolute = [axis for axis in view.description.axes if axis.name in used and not axis.relative]
        return bool(absolute) and now_s - view.heard_s > self._options.still_s

    def _speeds(self, rows: Sequence[Drive], found: dict[str, float | None], zones: dict[str, float]) -> list[float]:
        """Percent per joint (or per direction of the hand); rows of the same joint add up."""
        hand = bool(rows) and rows[0].joint < 0
        speeds = [0.0] * (3 if hand else self._door.axes())
        for drive in rows:
            deflection = found.get(drive.axis)
            place = "xyz".index(drive.drives) if hand else drive.joint
            if not deflection or place >= len(speeds):
                continue
            zone = zones[drive.axis] if drive.dead_zone_percent is None else max(
                zones[drive.axis], drive.dead_zone_percent / 100)
            share = beyond_dead_zone(deflection, zone) * drive.sensitivity_percent * (-1 if drive.invert else 1)
            speeds[place] += share * (self._door.sensitivity(-1 if hand else place))
        return [min(100.0, max(-100.0, speed)) for speed in speeds]

    def _drive(self, hand: _Hand, rows: Sequence[Drive], speeds: list[float], now_s: float, alive_s: float) -> None:
        field_name = "hand_percent" if rows[0].joint < 0 else "speed_percent"
        state = self._door.state()
        if not self._options.may_start and (state is None or state.state not in STARTED):
            self._refused(hand, "the arm is not started: press start; a device may not start it (input.may_start)",
                          now_s)
            return
        changed = hand.sent_field != field_name or len(speeds) != len(hand.sent_percent) or any(
            abs(new - old) >= LEAST_CHANGE_PERCENT for new, old in zip(speeds, hand.sent_percent, strict=True))
        if changed or now_s - hand.sent_s >= REFRESH_S:
            hand.sent_field = field_name
            self._send(hand, speeds, now_s, alive_s)

    def _send(self, hand: _Hand, speeds: list[float], now_s: float, alive_s: float) -> None:
        released = not any(speeds)
        hand.sent_percent, hand.sent_s = speeds, now_s
        hand.sequence += 1
        if not released:
            hand.idle_since_s = now_s

        def verdict(refused: Refused | None) -> None:
            if refused is not None and not released:
                self._refused(hand, refused.message, now_s, told=refused.notice is not Notice.STALE)

        self._door.jog(hand.client, {hand.sent_field: speeds, "sequence": hand.sequence, "sent_ms": now_s * 1e3,
                                     "age_ms": max(0.0, now_s - alive_s) * 1e3}, verdict)

    def _refused(self, hand: _Hand, why: str, now_s: float, *, told: bool = True) -> None:
        """What it asks for does not happen: once told, it has to be let go."""
        if hand.why:
            return
        self._halt(hand, now_s, f"{why} (let it go first)")
        if told:
            self._tell(hand, why, now_s)

    def _tell(self, hand: _Hand, text: str, now_s: float) -> None:
        """Tell every client; the same again not so soon: a worn stick flutters around its dead zone."""
        text = f"{hand.client.name}: {text}"
        if text != self._told[0] or now_s - self._told[1] >= SAME_NOTICE_S:
            self._told = (text, now_s)
            self._door.tell(text)

    def _give_back(self, hand: _Hand, now_s: float) -> None:
        """A device that is at rest and whose motion has ended needs control no longer."""
        if not hand.active and hand.idle_since_s is not None:
            state = self._door.state()
            if state is not None and any(state.moving):
                hand.idle_since_s = max(hand.idle_since_s, now_s - GIVE_BACK_S / 2)
            if now_s - hand.idle_since_s >= GIVE_BACK_S:
                hand.idle_since_s = None
                self._door.idle(hand.client)
