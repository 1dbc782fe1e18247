"""The stored settings by name, as `settings` messages, the store and the command line know them."""

from __future__ import annotations

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
