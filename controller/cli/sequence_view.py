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
BAR_COLUMNS = 20
DONE = "done"
Sequence = dict[str, Any]


class SequenceBar:
    """`with SequenceBar() as bar`: tell it the `motion_sequence` of each state. It says only where it is and what is
    left: eighty columns hold no more."""

    def __init__(self) -> None:
        self._console = Console()
        self._told = ""
        self._bar = Progress(BarColumn(BAR_COLUMNS), TextColumn("{task.percentage:3.0f} %"),
                             TextColumn("{task.fields[where]}", markup=False), console=self._console,
                             disable=not self._console.is_terminal)
        self._task = self._bar.add_task("", total=None, where="")

    def __enter__(self) -> SequenceBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def at(self, sequence: Sequence, state: str) -> None:
        """Where it is; one line per repetition (per ten points of a calibration run) without a terminal."""
        of_run = sequence["kind"] == "calibration"      # all points of it, not those of this time
        steps = max(1, int(sequence["positions" if of_run else "steps"]))
        done = steps if sequence["ended"] == DONE else int(sequence["position" if of_run else "step"]) - 1
        self._bar.update(self._task, total=steps, completed=done, where=in_short(sequence, state))
        part = self._part(sequence)
        if not self._console.is_terminal and part != self._told and not sequence["ended"]:
            self._told = part
            line = in_short(sequence, state) if sequence["kind"] == "calibration" else part
            print(line, flush=True)

    @staticmethod
    def _part(sequence: Sequence) -> str:
        if sequence["kind"] == "calibration":
            return str((int(sequence["position"]) - 1) // 10)
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


async def follow(session: Session, name: str, text: str) -> None:
    """Say `text`, and show what this session has begun until it is done; Failed says why `name` ended before. `p`
    pauses and resumes."""
    from controller.cli.keys import pressed

    print(text, flush=True)
    terminal = sys.stdin.isatty() and Console().is_terminal
    if terminal:
        print("p pauses and goes on; Ctrl-C stops the arm softly", flush=True)
    with pressed() if terminal else contextlib.nullcontext(lambda: "") as keys, SequenceBar() as bar:
        while True:
            state = session.state
            sequence = state["motion_sequence"]
            if sequence is None:
                raise Failed(f"{name}: the controller does not play it (any more)")
            bar.at(sequence, state["state"])
            if sequence["ended"] == DONE:
                return
            if sequence["ended"] or not state["running"]:
                raise Failed(f"{name}: {why_ended(session)}")
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
