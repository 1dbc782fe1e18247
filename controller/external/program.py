"""`ExternalProgram`: a user's own program reads the arm's state and sends targets, once per control cycle.

Thread contract: an ExternalProgram belongs to one thread.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from types import TracebackType

import msgspec

from controller.external._link import ExternalState, ProgramLink
from controller.folders import external_sockets
from controller.spec.external import LAYOUT_VERSION, ExternalKind

CONNECT_LIMIT_S = 5.0
END_LIMIT_S = 2.0
OLDEST_DIFFERENCE_S = 0.05  # targets further apart say nothing about the speed between them


class ExternalError(Exception):
    """Something with the controller is not as it should be; the text says what to do."""


class ConnectError(ExternalError):
    """No controller lets this program in."""


class ControllerGone(ExternalError):
    """The controller has ended, or its control loop stands still. Connect anew."""


class Position(msgspec.Struct, frozen=True):
    """Targets of kind POSITION: degrees, one per axis; `speed_deg_s` as for `ExternalProgram.send_position_deg`."""

    position_deg: Sequence[float]
    speed_deg_s: Sequence[float] | None = None


class Speed(msgspec.Struct, frozen=True):
    """Targets of kind SPEED: deg/s, one per axis."""

    speed_deg_s: Sequence[float]


Targets = Position | Speed | Sequence[float]
Function = Callable[[ExternalState], Targets | None]


class ExternalProgram:
    """A connection to the controller of this machine. Made by `connect`; use it in a `with` block, whose end gives the
    arm back in good order."""

    def __init__(self, line: socket.socket, link: ProgramLink, path: str) -> None:
        self.path = path
        self._line, self._link = line, link
        self._state: ExternalState | None = None
        self._before: tuple[int, Sequence[float]] | None = None     # cycle and targets of the last position record

    @classmethod
    def connect(cls, path: str | None = None) -> ExternalProgram:
        """Connect to the controller that serves the socket `path`; None looks at $ALLYARM_EXTERNAL, else where a
        controller of this user or the system's one would be. Needs the rights of the controller's user, not root.

        ConnectError: no controller there, external development is off, or another program is connected."""
        paths = [path] if path is not None else external_sockets()
        found = next((one for one in paths if os.path.exists(one)), None)
        if found is None:
            raise ConnectError(f"no controller with external development at {' or '.join(paths)}: start it with "
                               "[external] enabled = true in its configuration, or give the path it logs")
        line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            line.settimeout(CONNECT_LIMIT_S)
            line.connect(found)
            link = _receive_link(line, found)
            line.setblocking(False)
            return cls(line, link, found)
        except OSError as error:
            line.close()
            raise ConnectError(_connect_text(found, error)) from None
        except BaseException:
            line.close()
            raise

    @property
    def missed(self) -> int:
        """State records passed over so far because this program was busy (newest wins)."""
        return self._link.missed

    def wait_state(self, timeout_s: float = 1.0) -> ExternalState:
        """The newest state, waiting for one that was not returned yet. Sleeps; costs no processor time.

        ControllerGone after `timeout_s` without a state, or at once when the controller has closed the connection."""
        state = self._link.wait(timeout_s)
        if state is None:
            ended = self._closed()
            raise ControllerGone("the controller has ended or closed the connection: connect anew" if ended else
                                 f"no state for {timeout_s:g} s: the control loop stands still")
        self._state = state
        return state

    def send_position_deg(self, position_deg: Sequence[float], speed_deg_s: Sequence[float] | None = None) -> bool:
        """Ask for joint positions: degrees, one finite number per axis; answers the state read last.

        `speed_deg_s` is the speed each axis is to have there (deg/s), zeros to come to rest. With None it is the
        difference to the positions sent before, so that a smooth path is followed without delay. Values beyond a limit
        are limited by the controller and told in `state.limited`. False when the controller does not read (its loop
        stands still). ValueError for a wrong number of values or one that is not finite; ExternalError before the first
        state."""
        state = self._known()
        if speed_deg_s is None:
            speed_deg_s = self._difference(state, position_deg)
        sent = self._link.send(ExternalKind.POSITION, position_deg, speed_deg_s)
        self._before = (state.cycle, tuple(position_deg))
        return sent

    def send_speed_deg_s(self, speed_deg_s: Sequence[float]) -> bool:
        """Ask for joint speeds: deg/s, one finite number per axis. Otherwise as `send_position_deg`."""
        self._known()
        self._before = None
        return self._link.send(ExternalKind.SPEED, (), speed_deg_s)

    def end(self) -> None:
        """Give the arm back in good order: it comes to rest softly and stands in AUTO. Nothing when not admitted."""
        until = time.monotonic() + END_LIMIT_S
        while self.wait_state().admitted and time.monotonic() < until:
            self._link.send(ExternalKind.END, (), ())

    def run(self, function: Function, rate_hz: float | None = None) -> None:
        """Call `function(state)` for each new state and send what it returns: positions in degrees (a sequence, or
        Position), a Speed, or None to end (the arm is then given back as by `end`).

        It is called before an operator has admitted the program too (state.admitted is 0, targets only count as
        heartbeat). `rate_hz` calls it less often; None is the rate of the control loop, the slowest is two calls per
        heartbeat. An exception of `function` is passed on: without targets the arm then stops softly."""
        state = self.wait_state()
        step = self._step(state, rate_hz)
        last = state.cycle
        while True:
            targets = function(state)
            if targets is None:
                self.end()
                return
            self._send(targets)
            while state.cycle - last < step:
                state = self.wait_state()
            last += step if state.cycle - last < 2 * step else state.cycle - last

    def close(self) -> None:
        """Leave. An admitted program that has not called `end` before is an error, and the arm stops softly."""
        self._line.close()

    def __enter__(self) -> ExternalProgram:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        try:
            if kind is None and self._state is not None and not self._closed():
                self.end()
        finally:
            self.close()

    def _known(self) -> ExternalState:
        if self._state is None:
            raise ExternalError("call wait_state first: targets answer a state")
        return self._state

    def _difference(self, state: ExternalState, position_deg: Sequence[float]) -> Sequence[float]:
        """Speed between the last two positions, 0 for an axis where that is no speed it may have."""
        zeros = (0.0,) * len(position_deg)
        if self._before is None or len(self._before[1]) != len(position_deg) or len(position_deg) != state.axes:
            return zeros
        seconds = (state.cycle - self._before[0]) * state.period_ns * 1e-9
        if not 0.0 < seconds <= OLDEST_DIFFERENCE_S:
            return zeros
        speeds = ((now - before) / seconds for now, before in zip(position_deg, self._before[1], strict=True))
        return tuple(speed if abs(speed) <= limit else 0.0
                     for speed, limit in zip(speeds, state.speed_limit_deg_s, strict=True))

    def _send(self, targets: Targets) -> None:
        if isinstance(targets, Speed):
            self.send_speed_deg_s(targets.speed_deg_s)
        elif isinstance(targets, Position):
            self.send_position_deg(targets.position_deg, targets.speed_deg_s)
        else:
            self.send_position_deg(targets)

    def _step(self, state: ExternalState, rate_hz: float | None) -> int:
        """Cycles from one call to the next."""
        highest = 1e9 / state.period_ns
        lowest = 2e9 / state.heartbeat_ns if state.heartbeat_ns else 1.0
        if rate_hz is None:
            return 1
        if not lowest <= rate_hz <= highest:
            raise ValueError(f"rate_hz: {rate_hz:g} given, {lowest:g} (two calls per heartbeat of "
                             f"{state.heartbeat_ns / 1e6:g} ms) .. {highest:g} (the control loop) allowed")
        return max(1, int(highest / rate_hz + 0.5))

    def _closed(self) -> bool:
        try:
            return self._line.recv(1) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


def _receive_link(line: socket.socket, path: str) -> ProgramLink:
    """The shared memory, out of the controller's greeting."""
    message, descriptors, _, _ = socket.recv_fds(line, 4096, 1)
    try:
        if not message:
            raise ConnectError(f"the controller at {path} closed the connection: connect again")
        greeting = json.loads(message)
        if "error" in greeting:
            raise ConnectError(f"the controller at {path} refuses: {greeting['error']}")
        if greeting.get("version") != LAYOUT_VERSION or not descriptors:
            raise ConnectError(f"the controller at {path} speaks version {greeting.get('version')} of the shared "
                               f"memory, this program {LAYOUT_VERSION}: install the same release of allyarm for both")
        return ProgramLink(descriptors[0])
    except ValueError as error:
        raise ConnectError(f"the controller at {path} is another release than this program: {error}") from None
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _connect_text(path: str, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"{path}: no access; run this program as the user of the controller (it needs no root)"
    if isinstance(error, ConnectionRefusedError):
        return f"{path}: left behind by a controller that has ended; start the controller"
    if isinstance(error, TimeoutError):
        return f"{path}: the controller does not answer within {CONNECT_LIMIT_S:g} s"
    return f"{path}: {error.strerror or error}"
