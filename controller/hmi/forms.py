"""Which form a `response` message has, by its whole set of keys, and its values as numbers.

Addresses collide between forms (60 is advanced speed of axis 1 and the rest position of axis 5), so no key is ever
looked at alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Set
from functools import cache

import msgspec

from controller.hmi.clients import Refused
from controller.spec import hmi
from controller.spec.hmi import Form, Notice, Setting
from controller.spec.telegram import MAX_AXES

Value = float | bool | str | None
NUMBER_TEXT = re.compile(r"[+-]?\d{1,9}(\.\d{1,12})?", re.ASCII)
MOST_KEYS = 32


class Recognised(msgspec.Struct, frozen=True):
    """A form with its raw `values` by key, and what its settings' keys mean: key -> (setting, stored name)."""

    form: Form
    values: dict[str, object]
    meaning: dict[str, tuple[Setting, str]]


class _Compiled(msgspec.Struct, frozen=True):
    form: Form
    required: frozenset[str]
    allowed: frozenset[str]
    meaning: dict[str, tuple[Setting, str]]

    def fits(self, keys: Set[str]) -> bool:
        """Whether these are all of the required keys, no foreign one, and at least one where there is a choice."""
        chosen = len(keys) > len(self.form.required) or not (self.form.settings or self.form.axes)
        return chosen and self.required <= keys <= self.allowed


@cache
def compiled(axes: int) -> tuple[_Compiled, ...]:
    """The forms for an arm of `axes` axes."""
    result = []
    for form in hmi.FORMS:
        meaning = {key: (row, name) for row in (hmi.SETTING[name] for name in form.settings)
                   for key, name in zip(row.keys(axes), row.names(axes), strict=False)}
        free = set(meaning)
        if form.axes:
            free |= {str(int(form.axes) + i) for i in range(axes)}
        required = set(form.required) | (set(meaning) if form.whole else set())
        result.append(_Compiled(form, frozenset(required), frozenset(required | free), meaning))
    return tuple(result)


def is_stop(event: object, message: object) -> bool:
    """Whether a message is a stop, in any form, numbers as text too. Asked before everything else.

    What else the message holds does not matter: a stop is never refused for its surplus.
    """
    if event == hmi.RESPONSE:
        if isinstance(message, list):
            return message[:1] == ["stop"]
        return isinstance(message, dict) and _is_stop_mode(message.get("10"))
    if event == hmi.COMMAND and isinstance(message, dict):
        return message.get("type") == "stop" or (message.get("type") == "mode" and _is_stop_mode(message.get("mode")))
    return False


def _is_stop_mode(value: object) -> bool:
    code = plain(value)
    return code in hmi.MODES and hmi.MODES[int(code)] == "stop"


def recognise(message: dict[str, object], axes: int) -> Recognised:
    """The one form whose keys these are; Refused when there is none."""
    keys = message.keys()
    if len(keys) <= MOST_KEYS:
        for row in compiled(axes):
            if row.fits(keys):
                return Recognised(row.form, message, row.meaning)
        others = [n for n in range(1, MAX_AXES + 1) if any(row.fits(keys) for row in compiled(n))]
        if others and not axes:
            raise Refused(Notice.BLOCKED, "", "the arm is not connected: what these keys mean depends on its axes")
        if others:
            raise Refused(Notice.UNKNOWN, "", f"these keys belong to an arm with {others[0]} axes, this one has {axes}")
    names = ", ".join(repr(key[:12])[:30] for key in list(message)[:4])  # what is not printable takes ten characters
    more = f" and {len(message) - 4} more" if len(message) > 4 else ""
    raise Refused(Notice.UNKNOWN, "", f"no form has the keys {names}{more}" if keys else "an empty object is no form")


def plain(value: object) -> float:
    """A number given as one or as plain decimal text, NaN when it is none."""
    if isinstance(value, str) and len(value) <= 24 and NUMBER_TEXT.fullmatch(value):
        return float(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def number(key: str, value: object, low: float, high: float, *, whole: bool = False) -> float:
    """A number in low..high, given as one or as plain decimal text; Refused with the range otherwise."""
    allowed = f"allowed is a {'whole ' if whole else ''}number {low:g}..{high:g}"
    found = plain(value)
    if math.isnan(found):
        raise Refused(Notice.VALUE, key, f"{shown(value)} is not a number; {allowed}")
    if not low <= found <= high:
        raise Refused(Notice.VALUE, key, f"{shown(value)} is out of range; {allowed}")
    if whole and found != int(found):
        raise Refused(Notice.VALUE, key, f"{found:g} is not whole; {allowed}")
    return float(found)


def exactly(key: str, value: object, allowed: int) -> None:
    """Refused unless the value is this number."""
    if number(key, value, allowed, allowed, whole=True) != allowed:
        raise AssertionError("number() let a value outside its range pass")


def setting_value(key: str, row: Setting, value: object) -> Value:
    """A value checked against its setting's row; Refused names the key and what is allowed."""
    if row.kind == "number":
        return number(key, value, row.low, row.high, whole=row.whole)
    if row.kind == "boolean":
        if value is True or value is False or (isinstance(value, int | float) and value in (0, 1)):
            return bool(value)
        raise Refused(Notice.VALUE, key, f"{shown(value)}: allowed are true and false")
    if row.kind == "choice":
        if (value is None or isinstance(value, str)) and value in row.choices:
            return value
        named = ", ".join("null" if item is None else repr(item) for item in row.choices)
        raise Refused(Notice.VALUE, key, f"{shown(value)}: allowed are {named}")
    if isinstance(value, str) and len(value) <= row.high and value.isprintable() and value.strip():
        return value
    raise Refused(Notice.VALUE, key, f"{shown(value)}: allowed is text of 1..{row.high:g} printable characters")


def shown(value: object) -> str:
    """A value of a client, short enough and harmless for a message."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**18:
        return "a huge number"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
