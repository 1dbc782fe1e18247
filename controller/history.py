"""The core's events in words: what the log shows, one line each."""

from __future__ import annotations

import logging

from controller.spec import modes
from controller.spec.coded import Coded
from controller.spec.faults import lookup

Event = tuple[int, int, int, int, int]


def _name(table: type[Coded], code: int) -> str:
    try:
        return table(code).name
    except ValueError:
        return str(code)


def fault_text(code: int, axis: int, warning: bool) -> str:
    """`error 296: Emergency button pressed`, with the axis where there is one."""
    row = lookup(code, axis, warning) or lookup(code, 0, warning)
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
        level = logging.WARNING if b else logging.INFO if c else logging.DEBUG     # client 0: our own settings
        return level, (
            f"command {_name(modes.CommandKind, a)} of client {c}: {_name(modes.CommandResult, b)}")
    if kind == modes.EventKind.BUS:
        return logging.INFO, f"bus {_name(modes.BusState, a)} -> {_name(modes.BusState, b)}"
    if kind == modes.EventKind.STOP:
        return logging.INFO, f"stop category {a}" + (" asked for" if b else "")
    if kind == modes.EventKind.MOTION_DONE:
        return logging.INFO, "target reached"
    return logging.WARNING, f"event {kind} {a} {b} {c}"
