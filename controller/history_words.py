"""The core's events in words: one line each for the log, one entry each for the history."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from controller.spec import modes
from controller.spec.coded import Coded
from controller.spec.faults import Source, lookup
from controller.spec.history import Kind

Event = tuple[int, int, int, int, int]


class Note(Protocol):
    """How others put something into the history: `History.note`."""

    def __call__(self, kind: Kind, text: str, *, who: str = "", code: int = 0, axis: int = 0,
                 detail: Mapping[str, object] | None = None) -> None: ...


def unheard(kind: Kind, text: str, *, who: str = "", code: int = 0, axis: int = 0,
            detail: Mapping[str, object] | None = None) -> None:
    """A Note for where nothing is kept."""


MOTION = {modes.CommandKind.START, modes.CommandKind.JOG, modes.CommandKind.MOVE, modes.CommandKind.PREPARE,
          modes.CommandKind.EXTERNAL, modes.CommandKind.HAND_JOG, modes.CommandKind.HAND_MOVE}


def _name(table: type[Coded], code: int) -> str:
    try:
        return table(code).name
    except ValueError:
        return str(code)


def fault_text(code: int, axis: int, warning: bool, source: Source | None = None) -> str:
    """`error 296: Emergency button pressed`, with the axis where there is one."""
    row = lookup(code, axis, warning, source) or lookup(code, 0, warning, source)
    where = f" (axis {axis})" if axis else ""
    return f"{'warning' if warning else 'error'} {code}{where}: {row.message if row else 'not in the catalogue'}"


def describe(event: Event) -> tuple[int, str]:
    """(logging level, text) of one event of `Core.events`."""
    _, kind, a, b, c = event
    if kind == modes.EventKind.STATE:
        return logging.INFO, (f"state {_name(modes.MasterState, a)} -> {_name(modes.MasterState, b)}"
                              f" ({_name(modes.Reason, c).lower()})")
    if kind == modes.EventKind.FAULT_RAISED:
        return logging.WARNING if c else logging.ERROR, "raised " + fault_text(a, b, bool(c))
    if kind == modes.EventKind.FAULT_CLEARED:
        return logging.INFO, "cleared " + fault_text(a, b, bool(c))
    if kind == modes.EventKind.MODE:
        return logging.INFO, f"mode {_name(modes.MasterMode, a)} -> {_name(modes.MasterMode, b)}"
    if kind == modes.EventKind.COMMAND:
        # client 0: our own settings, which are given again until the loop takes them
        level = logging.DEBUG if not c else logging.WARNING if b else logging.INFO
        return level, (
            f"command {_name(modes.CommandKind, a)} of client {c}: {_name(modes.CommandResult, b)}")
    if kind == modes.EventKind.BUS:
        return logging.INFO, f"bus {_name(modes.BusState, a)} -> {_name(modes.BusState, b)}"
    if kind == modes.EventKind.STOP:
        return logging.INFO, f"stop category {a}" + (" asked for" if b else "")
    if kind == modes.EventKind.MOTION_DONE:
        return logging.INFO, "target reached"
    return logging.WARNING, f"event {kind} {a} {b} {c}"


def entry(event: Event, client_name: Callable[[int], str]) -> tuple[Kind, str, str, int, int] | None:
    """(kind, text, who, code, axis) of what the history keeps of an event; None for what it does not."""
    _, kind, a, b, c = event
    text = describe(event)[1]
    if kind in {modes.EventKind.FAULT_RAISED, modes.EventKind.FAULT_CLEARED}:
        cleared = kind == modes.EventKind.FAULT_CLEARED
        of = (Kind.WARNING_CLEARED if cleared else Kind.WARNING) if c else (
            Kind.ERROR_CLEARED if cleared else Kind.ERROR)
        return of, text, "", a, b
    if kind == modes.EventKind.COMMAND:
        if not c and not b:
            return None         # our own settings, given again after each bring-up
        started = not b and a in MOTION
        return Kind.START if started else Kind.COMMAND, text, client_name(c) if c else "", 0, 0
    if kind == modes.EventKind.MOTION_DONE:
        return None
    simple = {modes.EventKind.STATE: Kind.STATE, modes.EventKind.MODE: Kind.MODE, modes.EventKind.BUS: Kind.BUS,
              modes.EventKind.STOP: Kind.STOP}
    return simple.get(modes.EventKind(kind), Kind.COMMAND), text, "", 0, 0
