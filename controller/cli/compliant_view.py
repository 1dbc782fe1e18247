"""The live table of `allyarm compliant`, and its keys."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table as RichTable

from controller.cli.compliant import WORDS
from controller.cli.motion_view import where_hand

if TYPE_CHECKING:
    from controller.cli.client import State

BAR_CELLS = 10
FULL_COUNTS = 200.0  # of torque beside the load: the whole bar


def keys_of(wanted: bool) -> contextlib.AbstractContextManager[Callable[[], str]]:
    """Keys of the terminal; none where there is no terminal, or they are not wanted."""
    from controller.cli.keys import pressed

    return pressed() if wanted and sys.stdin.isatty() else contextlib.nullcontext(lambda: "")


class Table:
    """`with Table(hint) as table`: show it each state. Without a terminal: one line whenever the phase changes."""

    def __init__(self, hint: str) -> None:
        self._console = Console()
        self._hint, self._phase = hint, ""
        self._live = Live(console=self._console, auto_refresh=False, transient=False)

    def __enter__(self) -> Table:
        if self._console.is_terminal:
            self._live.start()
        else:
            print(self._hint, flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, state: State) -> None:
        """The newest state."""
        phase = in_phase(state)
        if self._console.is_terminal:
            self._live.update(rendered(state, f"{phase}   ({self._hint})"), refresh=True)
        elif phase != self._phase:
            angles = "  ".join(f"{axis['axis']}: {axis['position_deg']:.1f}" for axis in state["axis"])
            print(f"{phase}  [{angles}]", flush=True)
        self._phase = phase


def in_phase(state: State) -> str:
    """What the arm does, in words."""
    if state["state"] == "TRANSITION_TO_AUTO":
        return "motor power comes on"
    phase = str(state["compliant_phase"])
    return WORDS.get(phase, phase)


def rendered(state: State, title: str) -> RichTable:
    """Angle, speed, and torque per axis; where the hand is."""
    table = RichTable(title=title, caption=where_hand(state), title_justify="left", caption_justify="left")
    for heading in ("axis", "angle, deg", "range, deg", "speed, deg/s", "load, counts", "hand, counts"):
        table.add_column(heading, justify="right")
    table.add_column("", min_width=2 * BAR_CELLS + 1)
    for axis in state["axis"]:
        hand = -axis["residual_counts"]
        table.add_row(str(axis["axis"]), f"{axis['position_deg']:z.1f}",
                      f"{axis['range_minimum_deg']:.0f}..{axis['range_maximum_deg']:.0f}",
                      f"{axis['speed_deg_s']:z.1f}", f"{axis['holding_counts']:z.0f}", f"{hand:z.0f}", bar(hand))
    return table


def bar(counts: float) -> str:
    """The torque of a hand as a bar: to the right where it pushes towards the maximum."""
    cells = round(min(1.0, abs(counts) / FULL_COUNTS) * BAR_CELLS)
    left, right = ("", "#" * cells) if counts > 0 else ("#" * cells, "")
    return f"{left:>{BAR_CELLS}}|{right:<{BAR_CELLS}}"
