"""What the controller plays, in a terminal: a progress bar with the remaining time, or some lines where nobody
watches."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from controller.cli.client import Failed, Refused, in_words
from controller.cli.reach import shown

if TYPE_CHECKING:
    from controller.cli.client import Session

PAUSE = "p"
DONE = "done"
Sequence = dict[str, Any]


class SequenceBar:
    """`with SequenceBar(text) as bar`: tell it the `motion_sequence` of each state."""

    def __init__(self, text: str) -> None:
        self._console = Console()
        self._text, self._told = text, ""
        self._bar = Progress(TextColumn("{task.description}", markup=False), BarColumn(),
                             TextColumn("{task.percentage:3.0f} %"), TextColumn("{task.fields[where]}", markup=False),
                             console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task(text, total=None, where="")

    def __enter__(self) -> SequenceBar:
        if not self._console.is_terminal:
            print(self._text, flush=True)
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def at(self, sequence: Sequence, state: str) -> None:
        """Where it is; one line per repetition (per point of ten in a calibration run) without a terminal."""
        steps = max(1, int(sequence["steps"]))
        done = steps if sequence["ended"] == DONE else int(sequence["step"]) - 1
        self._bar.update(self._task, total=steps, completed=done, where=in_short(sequence, state))
        line = self._line(sequence)
        if not self._console.is_terminal and line != self._told:
            self._told = line
            print(line, flush=True)

    @staticmethod
    def _line(sequence: Sequence) -> str:
        if sequence["kind"] == "calibration":
            tens = (int(sequence["position"]) - 1) // 10 * 10 + 1
            return f"point {tens} of {sequence['positions']}"
        return f"{shown(sequence['text']).partition(',')[0]}, repetition {sequence['repetition']} of " \
               f"{sequence['repetitions']}"


def in_short(sequence: Sequence, state: str) -> str:
    """Repetition, position, remaining time."""
    if sequence["kind"] == "calibration":
        where = f"point {sequence['position']} of {sequence['positions']}"
    else:
        where = (f"repetition {sequence['repetition']} of {sequence['repetitions']}, position {sequence['position']} "
                 f"of {sequence['positions']}")
    if sequence["paused"]:
        left_s = sequence.get("pause_left_s")
        return f"{where}, paused" + ("" if left_s is None else f": it ends in {duration(left_s)} unless p goes on")
    if state == "TRANSITION_TO_AUTO":
        return f"{where}, motor power comes on"
    left_s = sequence["remaining_s"]
    return where if left_s is None else f"{where}, {duration(left_s)} left"


def duration(seconds: float) -> str:
    """1:02:03, 2:03 or 12 s."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{whole // 60}:{whole % 60:02}" if whole >= 60 else f"{whole} s"


async def follow(session: Session, text: str) -> None:
    """Show what this session has begun until it is done; Failed says why it ended before. `p` pauses and resumes."""
    from controller.cli.keys import pressed

    terminal = sys.stdin.isatty() and Console().is_terminal
    if terminal:
        print("p pauses and goes on; Ctrl-C stops the arm softly", flush=True)
    with pressed() if terminal else contextlib.nullcontext(lambda: "") as keys, SequenceBar(text) as bar:
        while True:
            state = session.state
            sequence = state["motion_sequence"]
            if sequence is None:
                raise Failed(f"{text}: the controller does not play it (any more)")
            bar.at(sequence, state["state"])
            if sequence["ended"] == DONE:
                return
            if sequence["ended"] or not state["running"]:
                raise Failed(f"{text}: {why_ended(session)}")
            if PAUSE in keys():
                with contextlib.suppress(Refused):     # it has just ended, and the next state says so
                    await session.ask("resume" if sequence["paused"] else "pause")
            await session.next_state()


def why_ended(session: Session) -> str:
    """What the state says about a sequence that ended before its last step."""
    state = session.state
    if not state["running"]:
        return "the control loop does not run"
    sequence = state["motion_sequence"]
    errors = [in_words(fault) for fault in state["faults"] if not fault["warning"]]
    where = f"in step {sequence['step']} of {sequence['steps']}"
    return "; ".join([f"ended {where}: {shown(sequence['ended'])}", *errors])
