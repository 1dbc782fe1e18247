"""`allyarm compliant`: a hand leads the arm, watched live until it is ended."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from controller.cli.client import Failed, Session, exit_code, in_words, run
from controller.cli.jog import duration_s
from controller.cli.reach import Usage, add_arguments

if TYPE_CHECKING:
    from controller.cli.client import State

EPILOG = """\
examples:
  allyarm compliant                       until q (the arm stands still, ready) or Ctrl-C (a soft stop)
  allyarm compliant --for 60s             for a minute; also where there is no terminal
  allyarm compliant --watch               only look at what somebody else leads; takes no control

The arm comes to rest, stands for a moment, and is handed over when every axis carries what its masses explain: let go
of it meanwhile. Then a hand leads it, within the ranges and speed limits. The table shows what the drives carry (load)
and the torque beside it (hand). Whoever leads has no hand free: have somebody near the emergency button.
It takes control of the arm, and is the operator's start: motor power comes on where it is off. Needs the masses of
the arm ([[link]] in the configuration, docs/compliant.md).
Exit code 0: it was ended by q or --for, and the arm stands. 1: refused, not handed over, stopped or failed. 2: usage.
130: ended by Ctrl-C.
"""
WORDS = {"NONE": "not led", "HANDING_OVER": "handing over: let go of the arm", "LED": "led: a hand may move it"}
BEGIN_LIMIT_S = 2.0  # in AUTO, and nothing was begun
STAND_LIMIT_S = 5.0
WARNING_LOAD = 410


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "compliant", help="let a hand lead the arm", description="Let a hand lead a running controller's arm.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--for", dest="duration", metavar="TIME",
                     help="so long from the hand-over, as 60s or 5m, up to 600 s")
    how.add_argument("--watch", action="store_true", help="only show it; nothing is begun, no control is taken")
    add_arguments(parser)
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Lead or watch; 0 ended as it should, 1 refused, not handed over, stopped or failed, 2 usage."""
    return exit_code(lambda: _main(args))


def _main(args: argparse.Namespace) -> int:
    import sys

    if args.watch:
        return run(args, watch, control=False)
    seconds = None if args.duration is None else duration_s(args.duration)
    if seconds is None and not sys.stdin.isatty():
        raise Usage("no terminal to end it from: give a time, as --for 60s")
    return run(args, lambda session: lead(session, seconds))


async def lead(session: Session, seconds: float | None) -> int:
    """Begin, show it until it is to end, end it."""
    from controller.cli.compliant_view import Table, keys_of

    await session.begin("compliant", on=True)
    waiting = Waiting()
    with keys_of(seconds is None) as keys, Table("q ends it, Ctrl-C stops the arm softly" if seconds is None else
                                                 f"for {seconds:g} s; Ctrl-C stops the arm softly") as table:
        end_s: float | None = None
        while end_s is None or time.monotonic() < end_s:
            state = session.state
            if why := session.ended() or waiting.failed(state):
                raise Failed(f"compliant mode has ended: {why}")
            table.show(state)
            if state["compliant_phase"] == "LED" and end_s is None and seconds is not None:
                end_s = time.monotonic() + seconds
            if any(letter in "q\x04" for letter in keys()):
                break
            await session.next_state()
        await session.ask("compliant", on=False)
        await session.stands(STAND_LIMIT_S)
        table.show(session.state)
    print("ended: the arm stands still, with motor power on", flush=True)
    return 0


async def watch(session: Session) -> int:
    """--watch: until Ctrl-C."""
    from controller.cli.compliant_view import Table, keys_of

    with keys_of(True) as keys, Table("q ends watching; the arm is left alone") as table:
        while not any(letter in "q\x04" for letter in keys()):
            table.show(session.state)
            await session.next_state()
    return 0


class Waiting:
    """Whether compliant mode was begun, and has ended again."""

    def __init__(self) -> None:
        self._begun = False
        self._since_s: float | None = None

    def failed(self, state: State) -> str:
        """Why it is not (or no longer) on, "" while it is or may still come."""
        if state["compliant_phase"] != "NONE":
            self._begun = True
            return ""
        if state["state"] != "AUTO":
            return ""
        now_s = state["time_ns"] * 1e-9
        self._since_s = now_s if self._since_s is None else self._since_s
        if not self._begun and now_s - self._since_s < BEGIN_LIMIT_S:
            return ""
        loads = [in_words(fault) for fault in state["faults"] if fault["warning"] and fault["code"] == WARNING_LOAD]
        return "; ".join(loads) or "it was switched off, or another motion took its place"
