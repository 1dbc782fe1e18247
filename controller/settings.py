"""The stored settings by name, as `settings` messages, the store and the command line know them."""

from __future__ import annotations

from collections.abc import Mapping

from controller.spec import hmi
from controller.spec.hmi import Setting
from controller.spec.telegram import MAX_AXES
from controller.store import Value

KNOWN: dict[str, Setting] = {name: row for row in hmi.SETTINGS for name in row.names(MAX_AXES)}


def checked(name: str, value: object) -> Value:
    """The value as it is stored; ValueError names the setting and what is allowed. None is "never saved" where a
    setting has no default."""
    from controller.hmi import forms
    from controller.hmi.clients import Refused

    row = KNOWN.get(name)
    if row is None:
        raise ValueError(f"{name}: no such setting")
    if value is None and row.default is None:
        return None
    try:
        return forms.setting_value(name, row, value)
    except Refused as refused:
        raise ValueError(f"{name}: {refused.message}") from None


def fault(name: str, value: Value) -> str:
    """What is wrong with a stored value, "" when nothing; names of another version are nobody's business."""
    if name not in KNOWN:
        return ""
    try:
        checked(name, value)
    except ValueError as error:
        return str(error)
    return ""


def is_locked(name: str, new: Mapping[str, Value], stored: Mapping[str, Value]) -> bool:
    """Whether a locked group would be changed: it keeps its values until it is unlocked, before or by the same
    change."""
    row = KNOWN[name]
    return bool(row.lock) and new.get(row.lock) is not False and stored.get(row.lock) is True and (
        new[name] != stored.get(name, row.default))


def check_together(new: Mapping[str, Value], stored: Mapping[str, Value]) -> dict[str, Value]:
    """What the values of a change must be to each other, as far as it can be told without the arm; ValueError names the
    setting. Returns the whole change: saved positions of axes that are not given are cleared.
    """
    for name in new:
        row = KNOWN[name]
        if row.set_by:
            raise ValueError(f"{name}: only a running controller changes it, by the command `{row.set_by}`")
        if is_locked(name, new, stored):
            raise ValueError(f"{name}: is locked: set {row.lock} to false before it is changed")
    scale = new.get("joystick_sensitivity_scale", stored.get("joystick_sensitivity_scale", hmi.G2_SENSITIVITY))
    for name in hmi.SETTING["joystick_sensitivity"].names(MAX_AXES):
        value = new.get(name)
        if isinstance(value, int | float) and isinstance(scale, int | float) and value > scale:
            raise ValueError(f"{name}: {value:g} is above joystick_sensitivity_scale, which is {scale:g}: set both")
    for axis in range(1, MAX_AXES + 1):
        low, high = (new.get(f"range_{end}_deg.{axis}", ...) for end in ("minimum", "maximum"))
        if (low is ... or low is None) != (high is ... or high is None):
            raise ValueError(f"range_minimum_deg.{axis}, range_maximum_deg.{axis}: belong together: give both")
        if isinstance(low, float) and isinstance(high, float) and not low < high:
            raise ValueError(f"range_minimum_deg.{axis}: {low:g} is not below range_maximum_deg.{axis} {high:g}")
    whole: dict[str, Value] = dict(new)
    for row in {KNOWN[name].name: KNOWN[name] for name in new if KNOWN[name].together}.values():
        names = row.names(MAX_AXES)
        given = [name for name in names if new.get(name) is not None]
        if given and given != list(names[:len(given)]):
            raise ValueError(f"{given[-1]}: a position is saved for all axes at once, from {names[0]} on")
        whole.update({name: new.get(name) for name in names})
    return whole
