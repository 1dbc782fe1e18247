"""A client of a running controller for commands that move the arm: the typed interface, live state, Ctrl-C as a stop.

    def main(args): return run(args, lambda session: work(session))

`run` connects, takes control, calls the coroutine with a Session and makes an exit code of what happens. Whatever ends
it, Ctrl-C too, ends the motion: by a stop, and where the link is gone by the controller itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from controller.cli.reach import NoAnswer, Target, Usage, shown, target
from controller.spec import hmi
from controller.spec.modes import CommandResult

ANSWER_S = 10.0
STATE_HZ = 20.0
STATE_LIMIT_S = 3.0  # no state for so long: the link or the controller hangs
STANDS_LIMIT_S = 3.0  # for standing still after a stop
HAND_WARNINGS = {code for code in range(100, 114) if code != 103}  # 103 is about the cycle
TERMINAL_GONE = 128 + signal.SIGHUP
MAYBE_EARLY_S = 0.2  # the controller counts the first second from when it took the connection
State = dict[str, Any]
Work = Callable[["Session"], Awaitable[int]]


class Refused(Exception):
    """The controller refused a command: `code` (a notice's name), `field`, `message`."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.code, self.field, self.message = code, field, message


class Failed(Exception):
    """It did not work; says why and what to do."""


async def ask_once(found: Target, message: dict[str, Any]) -> Any:
    """One `command` and its acknowledgement, whatever that holds; Failed when there is none."""
    import socketio

    client = _new()
    try:
        await _connect(client, found)
        return await client.call(hmi.COMMAND, message, timeout=ANSWER_S)
    except (socketio.exceptions.SocketIOError, OSError) as error:
        raise Failed(no_answer(found, error)) from None
    finally:
        await _close(client)


def asked(found: Target, message: dict[str, Any]) -> dict[str, Any]:
    """The acknowledgement of a command that needs no Session; Failed when it is refused."""
    answer = asyncio.run(ask_once(found, message))
    if isinstance(answer, dict) and answer.get("ok") is True:
        return answer
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        raise Failed(f"what listens at {found.url} does not answer like a controller")
    raise Failed(": ".join(shown(error[key]) for key in ("field", "message") if error.get(key)))


def _new() -> Any:
    import socketio

    return socketio.AsyncClient(reconnection=False, handle_sigint=False)  # Ctrl-C stops the arm: not the library's


async def _close(client: Any) -> None:
    try:
        with contextlib.suppress(Exception):
            await client.disconnect()
    finally:    # a connection that failed leaves it open, and so does a second Ctrl-C
        if (http := client.eio.http) is not None and not http.closed:
            await http.close()


async def _connect(client: Any, found: Target) -> None:
    await client.connect(found.url, transports=["websocket"], wait_timeout=ANSWER_S,
                         auth={"token": found.token} if found.token else None)


def no_answer(found: Target, error: Exception) -> str:
    """Why a controller does not take a command."""
    return (f"the controller at {found.url} does not take the command ({shown(error) or type(error).__name__}): is it "
            "running, is it its address (--url), and does it ask for a token ($ALLYARM_TOKEN or --config)?")


class Session:
    """A connection that may move the arm: `async with Session(target) as session`. Raises Failed and Refused.

    `state` is the newest `state` message. Its motions end softly when the connection ends.
    """

    def __init__(self, found: Target, state_hz: float = STATE_HZ) -> None:
        self._target, self._state_hz = found, state_hz
        self._client = _new()
        self._client.on(hmi.STATE, self._state_came)
        self._client.on("disconnect", self._gone)
        self._changed = asyncio.Event()
        self._connected_s = 0.0
        self._moved = False
        self._motions_before = self._late_before = 0
        self._state_s = 0.0
        self.number = 0
        self.state: State = {}

    async def __aenter__(self) -> Session:
        import socketio

        try:
            await _connect(self._client, self._target)
        except (socketio.exceptions.SocketIOError, OSError) as error:
            await _close(self._client)
            raise Failed(no_answer(self._target, error)) from None
        except BaseException:
            await _close(self._client)
            raise
        self._connected_s = time.monotonic()
        try:
            await self.ask("version", version=f"{hmi.CONTRACT_VERSION}.0")
            await self.ask("subscribe", event=hmi.DATA, rate_hz=0)
            await self.ask("subscribe", event=hmi.STATE, rate_hz=self._state_hz)
            await self.next_state()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await _close(self._client)

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Give a command; its acknowledgement. Refused says what stands against it."""
        import socketio

        if not self._client.connected:
            raise Failed(self._lost())
        try:
            answer = await self._client.call(hmi.COMMAND, {"type": kind, **fields}, timeout=ANSWER_S)
        except (socketio.exceptions.SocketIOError, OSError):
            raise Failed(self._lost()) from None
        if isinstance(answer, dict) and answer.get("ok") is True:
            return answer
        error = answer.get("error") if isinstance(answer, dict) else None
        if not isinstance(error, dict):
            raise Failed(f"what listens at {self._target.url} does not answer like a controller")
        raise Refused(*(shown(error.get(key, "")) for key in ("code", "field", "message")))

    async def take_control(self) -> None:
        """Take control of the arm, and wait until a motion is no longer taken for an old click. Refused when another
        client has it, or with everything that keeps this one from moving the arm."""
        self.number = int((await self.ask("acquire"))["client"])
        await asyncio.sleep(max(0.0, self._connected_s + hmi.REPLAY_WINDOW_S + MAYBE_EARLY_S - time.monotonic()))
        if found := (await self.ask("why"))["blockers"]:
            words = "; ".join(shown(one.get("message", "")) for one in found)
            raise Refused(shown(found[0].get("code", "")), "", words)

    async def begin(self, kind: str, **fields: Any) -> dict[str, Any]:
        """`ask` for something that moves the arm; the next state seen is one that knows of it."""
        before, self._moved = self._moved, True
        state = await self.next_state()
        self._motions_before, self._late_before = state["motions_done"], state["late_command"]
        try:
            answer = await self.ask(kind, **fields)
        except Refused:
            self._moved = before
            raise
        await self.next_state()
        return answer

    async def next_state(self) -> State:
        """The next `state` message; Failed when none comes, or the connection ends."""
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), STATE_LIMIT_S)
        except TimeoutError:
            raise Failed(self._silent()) from None
        if not self._client.connected:
            raise Failed(self._lost())
        return self.state

    def still_there(self) -> None:
        """Failed when the connection has ended, or no state came for long: for who does not wait for the next one."""
        if not self._client.connected:
            raise Failed(self._lost())
        if time.monotonic() - self._state_s > STATE_LIMIT_S:
            raise Failed(self._silent())

    def ended(self) -> str:
        """Why a motion of this session cannot go on, "" while it can."""
        state = self.state
        if not state.get("running"):
            return "the control loop does not run"
        if state["state"] == "ERROR":
            errors = [fault for fault in state["faults"] if not fault["warning"]]
            return "an error: " + "; ".join(map(in_words, errors)) if errors else "an error"
        if state["state"] not in {"AUTO", "TRANSITION_TO_AUTO"}:
            return "the arm was stopped"
        if self._moved and state["late_command"] != self._late_before:  # after its OK: power-up, the search for a line
            words = [late_refusal(state["late_command_result"]), *hindrances(state)]
            return "; ".join(words)
        holder = state["control"]
        if self.number and holder["client"] != self.number:
            return f"{shown(holder['name'])} has control now" if holder["client"] else "control was taken away"
        return ""

    async def stands(self, limit_s: float) -> None:
        """Wait until nothing moves any more; Failed when something still does after so long."""
        until = time.monotonic() + limit_s
        while any(axis["moving"] for axis in (await self.next_state())["axis"]):
            if time.monotonic() > until:
                raise Failed(f"the arm still moves {limit_s:g} s after it was let go; `allyarm status` tells more")

    def arrived(self) -> bool:
        """Whether a position motion was finished since the latest `begin`, and the arm stands."""
        state = self.state
        return bool(state["motions_done"] != self._motions_before) and not any(axis["moving"] for axis in state["axis"])

    async def stop(self) -> None:
        """Stop, and wait until the arm stands. Cannot be refused."""
        if not self._client.connected:
            return
        await self.ask("stop")
        until = time.monotonic() + STANDS_LIMIT_S
        while time.monotonic() < until:
            await self.next_state()
            if self.state["state"] not in {"AUTO", "TRANSITION_TO_AUTO", "TRANSITION_TO_WAITING"}:
                return

    async def end(self) -> None:
        """Whatever this session has begun is stopped; never raises."""
        if self._moved:
            with contextlib.suppress(Failed, Refused):
                await self.stop()

    def _state_came(self, state: object) -> None:
        if isinstance(state, dict) and isinstance(state.get("axis"), list):
            self.state, self._state_s = state, time.monotonic()
            self._changed.set()

    def _gone(self, *_: object) -> None:
        self._changed.set()

    def _silent(self) -> str:
        return (f"the controller at {self._target.url} sent no state for {STATE_LIMIT_S:g} s: `allyarm status` tells "
                "whether it runs")

    def _lost(self) -> str:
        return (f"the connection to {self._target.url} was lost. The controller ends a motion softly then; "
                "`allyarm status` shows where the arm is")


def hindrances(state: State) -> list[str]:
    """What keeps the hand from going on: the warnings 100..113 that are active."""
    return [f"warning {fault['code']}, {shown(fault['message'])}" for fault in state["faults"]
            if fault["warning"] and not fault["axis"] and fault["code"] in HAND_WARNINGS]


def late_refusal(name: str) -> str:
    """A refusal that the control loop told after it had taken the command, by the name of its result."""
    found = [row.doc for row in CommandResult if row.name == name]
    return found[0] if found else f"refused: {shown(name)}"


def in_words(fault: dict[str, Any]) -> str:
    """An entry of `state.faults`."""
    where = f" (axis {fault['axis']})" if fault["axis"] else ""
    return f"{fault['code']}{where} {shown(fault['message'])}. {shown(fault['solution'])}".strip()


def run(args: argparse.Namespace, work: Work, *, control: bool = True) -> int:
    """Do `work` in a Session, with the controller that the arguments name (reach.add_arguments). Without `control` it
    only looks.

    The exit code: what `work` returns; 1 refused or failed, 2 usage, 130 ended by Ctrl-C (143 by SIGTERM, 129 when the
    terminal was closed). Ctrl-C, a signal, and every failure stop the arm first, where this session has moved it.
    """
    # a second Ctrl-C, while the arm is being stopped, leaves at once: that ends the motion softly as well
    return exit_code(lambda: asyncio.run(_run(target(args), work, control)))


def exit_code(work: Callable[[], int]) -> int:
    """The exit code of `work`; 1 refused or failed, 2 usage, 130 ended by Ctrl-C: what was wrong is said."""
    from controller.cli.fail import say

    try:
        return work()
    except Usage as error:
        say(str(error))
        return 2
    except (Failed, Refused, NoAnswer) as error:
        say(str(error))
        return 1
    except BrokenPipeError:     # nobody reads what it prints; unlike a listing, a motion has not been seen to its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        say("the output was closed")
        return 1
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return TERMINAL_GONE    # nobody is there to be told
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


async def _run(found: Target, work: Work, control: bool) -> int:
    from controller.cli.fail import say

    asked: list[int] = []
    task = asyncio.ensure_future(_session(found, work, control))
    loop = asyncio.get_running_loop()

    def ask(number: int) -> None:
        loop.remove_signal_handler(number)
        asked.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ask, number)
    try:
        return await task
    except (asyncio.CancelledError, OSError):   # the latter: what it was about to show has no terminal any more
        if not asked:
            raise
        with contextlib.suppress(OSError):      # the terminal may be gone
            what = "stopped" if control else "ended"    # who only looks stops nothing
            say(what if asked[0] == signal.SIGINT else f"{what} by a signal")
        return 128 + asked[0]


async def _session(found: Target, work: Work, control: bool) -> int:
    async with Session(found) as session:
        try:
            if control:
                await session.take_control()
            return await work(session)
        except BaseException:
            await session.end()
            raise
