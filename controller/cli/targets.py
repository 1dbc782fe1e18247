"""What `allyarm move` and `jog` are told on the command line: numbers of axes (1=30) or of the hand (x=250)."""

from __future__ import annotations

import re

import msgspec

from controller.cli.reach import Usage
from controller.spec.telegram import MAX_AXES

PAIR = re.compile(r"(\d|[a-z]{1,8})=([+-]?\d{1,5}(?:\.\d{1,9})?)", re.ASCII)
HAND = ("x", "y", "z")  # forward, left, up
ANGLES = ("elbow", "wrist")
EXAMPLES = "such as 1=30 or 2=-10.5"


class Allowed(msgspec.Struct, frozen=True):
    """Lowest and highest number, and its unit."""

    low: float
    high: float
    unit: str


class Numbers(msgspec.Struct, frozen=True):
    """Either `axes` {1-based axis: number} or `hand` {name: number} is given, never both."""

    axes: dict[int, float]
    hand: dict[str, float]


def numbers(texts: list[str], axis: Allowed, hand: dict[str, Allowed]) -> Numbers:
    """The numbers of texts like "1=30" or "x=250"; Usage names the one that is wrong and what is allowed."""
    axes: dict[int, float] = {}
    places: dict[str, float] = {}
    for text in texts:
        match = PAIR.fullmatch(text)
        known = match is not None and (match[1] in hand or (match[1].isdecimal() and 1 <= int(match[1]) <= MAX_AXES))
        if match is None or not known:
            raise Usage(f"found {text!r}; allowed: AXIS=NUMBER with an axis 1..{MAX_AXES}, {EXAMPLES}, or for the hand "
                        f"{', '.join(f'{name}=NUMBER' for name in hand)}")
        name, value = match[1], float(match[2])
        allowed, where = (hand[name], name) if name in hand else (axis, f"axis {name}")
        if not allowed.low <= value <= allowed.high:
            raise Usage(f"{where}: found {value:g}; allowed: {allowed.low:g}..{allowed.high:g} {allowed.unit}")
        if name in places or (name.isdecimal() and int(name) in axes):
            raise Usage(f"{where} is given twice")
        if name in hand:
            places[name] = value
        else:
            axes[int(name)] = value
    if axes and places:
        raise Usage(f"axes ({', '.join(map(str, axes))}) and the hand ({', '.join(places)}) are given; allowed: one or "
                    "the other, since a place of the hand moves every axis")
    return Numbers(axes, places)
