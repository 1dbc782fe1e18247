"""Saved positions: stored counts -> targets in degrees of the arm that is connected now."""

from __future__ import annotations

from controller.arm import ArmFacts
from controller.hmi.clients import Refused
from controller.spec import hmi
from controller.spec.hmi import Notice
from controller.spec.telegram import MAX_AXES
from controller.store import Store


def named(store: Store, name: str) -> str:
    """A saved position for people: its kind, and its label where it has one."""
    if name in {"wearing", "rest"}:
        return f"the {name} position"
    row = hmi.SETTING[f"default_position_{name.removeprefix('default_')}_label"]
    return f"position {name.removeprefix('default_')} ({store.get(row.name, row.default)})"


def targets(store: Store, facts: ArmFacts, name: str) -> list[float]:
    """As `saved_deg`; Refused also when the position is outside this arm's range for targets."""
    found = saved_deg(store, facts, name)
    for axis, position_deg in enumerate(found):
        try:
            facts.check_target(axis, position_deg)
        except ValueError as error:
            raise Refused(Notice.VALUE, name, f"{named(store, name)}: {error}; save it again inside") from None
    return found


def saved_deg(store: Store, facts: ArmFacts, name: str) -> list[float]:
    """Degrees per axis of the saved position `name` (a key of hmi.POSITIONS).

    Refused when it was never saved, or not for an arm of this many axes.
    """
    what = named(store, name)
    if not facts.axes:
        raise Refused(Notice.BLOCKED, "", "the arm is not connected")
    row = hmi.SETTING[hmi.POSITIONS[name][1]]
    counts = [store.get(stored, row.default) for stored in row.names(MAX_AXES)]
    saved = sum(value is not None for value in counts)
    if not saved:
        raise Refused(Notice.NEVER_SAVED, name, f"{what} was never saved: move the arm there and save it")
    if saved != facts.axes or None in counts[:saved]:
        raise Refused(Notice.NEVER_SAVED, name, f"{what} was saved for an arm with {saved} axes, this arm has "
                      f"{facts.axes}: save it again")
    found = []
    for axis, value in enumerate(counts[:saved]):
        if isinstance(value, bool) or not isinstance(value, int | float) or not row.low <= value <= row.high:
            raise Refused(Notice.NEVER_SAVED, name, f"{what} is damaged (axis {axis + 1}): save it again")
        found.append(facts.degrees(axis, value))
    return found
