"""`allyarm jog`: speeds of joints or of the hand while a key is held, or for a given time."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time

from controller.cli.client import Failed, Refused, Session, run
from controller.cli.keys import pressed
from controller.cli.reach import Usage, add_arguments
from controller.cli.targets import HAND, Allowed, Numbers, numbers

EPILOG = """\
examples:
  allyarm jog 1=20                        axis 1 at 20 % of its speed while Space is held, back while - is held
  allyarm jog 1=20 --for 2s               for two seconds
  allyarm jog 1=-10 3=25 --for 500ms      two axes, axis 1 in the other direction
  allyarm jog x=20                        the hand forward at 20 % of its speed while Space is held
  allyarm jog x=10 z=-10 --for 2s         the hand forward and down, in a straight line

The hand moves along x forward, y to the left, z up; where it can go no further, the line says why.
Hold-to-run: the arm moves while the terminal repeats the key, so it starts about half a second after the
key goes down and stops within 0.2 s of its release. q ends. It takes control of the arm, and is the operator's start.
Ctrl-C stops the arm softly.
Exit code 0: done, the arm stands. 1: refused, stopped or failed. 2: usage. 130: ended by Ctrl-C.
"""
PERCENT = Allowed(-100.0, 100.0, "percent")
PERIOD_S = 0.05
HELD_S = 0.15  # longest pause between two repeats of a key that is held
LATE_LIMIT = 20  # jogs in a row
LONGEST_S = 600.0
BRAKE_LIMIT_S = 5.0
TIME = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)(ms|s|m)?", re.ASCII)
UNITS_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, None: 1.0}
FORWARD, BACK, LEAVE = " ", "-", ("q", "\x1b", "\x04")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "jog", help="move joints or the hand while a key is held",
        description="Move joints of a running controller's arm, or its hand, at a speed, while a key is held or for a "
        "time.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speeds", metavar="AXIS=PERCENT | x=PERCENT", nargs="+", help="axis number and percent of its "
                        "speed, -100..100, as 1=20 or 2=-10; or x=, y=, z= of the hand's")
    parser.add_argument("--for", dest="duration", metavar="TIME", help=f"so long, as 2s or 500ms, up to "
                        f"{LONGEST_S:g} s; without it a key has to be held")
    add_arguments(parser)
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Jog; 0 done, 1 refused, stopped or failed, 2 usage."""
    from controller.cli.fail import say

    try:
        speeds = numbers(args.speeds, PERCENT, dict.fromkeys(HAND, PERCENT))
        if not any((speeds.axes or speeds.hand).values()):
            raise Usage("every speed is 0: nothing would move; give at least one other than 0")
        seconds = None if args.duration is None else duration_s(args.duration)
        if seconds is None and not sys.stdin.isatty():
            raise Usage("no terminal to hold a key in: give a time, as --for 2s")
    except Usage as error:
        say(str(error))
        return 2

    async def work(session: Session) -> int:
        jog = Jog(session, speeds)
        await (jog.by_key() if seconds is None else jog.for_time(seconds))
        return 0

    return run(args, work)


def duration_s(text: str) -> float:
    """Seconds of "2s", "500ms", "1m" or "2"; Usage says what is allowed."""
    match = TIME.fullmatch(text)
    seconds = float(match[1]) * UNITS_S[match[2]] if match else 0.0
    if not 0 < seconds <= LONGEST_S:
        raise Usage(f"--for: found {text!r}; allowed: a time above 0, up to {LONGEST_S:g} s, as 2s or 500ms")
    return seconds


class Jog:
    """Jog messages of one session: refreshed while held, released with zeros."""

    def __init__(self, session: Session, speeds: Numbers) -> None:
        axes = len(session.state["axis"])
        if (highest := max(speeds.axes, default=0)) > axes:
            raise Failed(f"axis {highest} does not exist, the arm has {axes} axes")
        self._session = session
        self._of_hand = bool(speeds.hand)
        self._field = "hand_percent" if speeds.hand else "speed_percent"
        self._percent = ([speeds.hand.get(name, 0.0) for name in HAND] if speeds.hand
                         else [speeds.axes.get(axis + 1, 0.0) for axis in range(axes)])
        self._sequence = self._late = 0

    async def for_time(self, seconds: float) -> None:
        """Jog so long from the time the arm is ready to move, then stand."""
        from controller.cli.motion_bar import MotionBar

        with MotionBar(f"jogging for {seconds:g} s") as bar:
            end_s: float | None = None
            while end_s is None or time.monotonic() < end_s:
                await self._refresh(1.0)
                if self._session.state["state"] != "AUTO":
                    bar.waiting("motor power comes on")
                elif end_s is None:
                    end_s = time.monotonic() + seconds
                if end_s is not None:
                    bar.at(max(0.0, end_s - time.monotonic()), self._where())
                await asyncio.sleep(PERIOD_S)
            await self._release()
            await self._session.stands(BRAKE_LIMIT_S)
            bar.at(0.0, self._where())

    async def by_key(self) -> None:
        """Jog while a key is held."""
        print("hold Space to move, - to move back; q ends", flush=True)
        with pressed() as keys:
            held, direction = Held(), 0.0
            while True:
                letters = keys()
                if any(letter in LEAVE for letter in letters):
                    break
                self._session.still_there()
                new = held.direction(letters, time.monotonic())
                if new:
                    await self._refresh(new)
                elif direction:
                    await self._release()
                direction = new
                sys.stdout.write(f"\r{self._where()}\x1b[K")      # and clear what a longer line left
                sys.stdout.flush()
                await asyncio.sleep(PERIOD_S)
        print()
        if direction:
            await self._release()
        await self._session.stands(BRAKE_LIMIT_S)

    async def _refresh(self, factor: float) -> None:
        # motor power may still be off when it is asked the first time; only then may the state be another one
        if self._sequence and (why := self._session.ended()):
            raise Failed(f"jogging: {why}")
        self._sequence += 1
        fields = {self._field: [factor * speed for speed in self._percent], "sequence": self._sequence,
                  "sent_ms": time.monotonic() * 1e3}
        try:
            await (self._session.begin if self._sequence == 1 else self._session.ask)("jog", **fields)
            self._late = 0
        except Refused as refused:
            self._late += 1
            if refused.code != "stale" or self._late > LATE_LIMIT:  # one that came late: the next one takes its place
                raise

    async def _release(self) -> None:
        await self._session.ask("jog", **{self._field: [0.0] * len(self._percent)})

    def _where(self) -> str:
        from controller.cli.motion_view import hindered, of_axes, where_hand

        state = self._session.state
        return where_hand(state) + hindered(state) if self._of_hand else of_axes()(state)[1]


class Held:
    """Which way a held key asks for: 0 until it repeats, and once its repeats have ceased: a terminal tells no
    release."""

    def __init__(self) -> None:
        self._letter, self._at_s, self._repeated = "", -1.0, False

    def direction(self, letters: str, now_s: float) -> float:
        """What came since the last time asked -> 1.0 forward, -1.0 back, 0.0 not held. What came at once counts as one
        press: a paste, or a link that stalled, is no held key."""
        pressed = [letter for letter in letters if letter in (FORWARD, BACK)]
        if pressed:
            self._repeated = pressed[-1] == self._letter and now_s - self._at_s <= HELD_S
            self._letter, self._at_s = pressed[-1], now_s
        if not self._repeated or now_s - self._at_s > HELD_S:
            self._repeated = False
            return 0.0
        return 1.0 if self._letter == FORWARD else -1.0
