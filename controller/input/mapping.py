"""Which axis of a device drives which joint: rows of a mapping checked, sorted into modes, and applied.

Rows come from the configuration ([[input_axis]]), from the chosen scenario (an element {"input_axes": [...]} of its
array), or from the table of defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from controller.input.device import Description
from controller.spec.input import (
    ALLOWED,
    AXIS,
    CARTESIAN,
    DEFAULT_DRIVES,
    DRIVEN,
    MODE_LONGEST,
    MODES_MOST,
    REST_PERCENT_HIGHEST,
    ROWS_MOST,
    TEST_DRIVES,
    Drive,
)

ELEMENT = "input_axes"  # of a scenario's array


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with a mapping: the number of the row (0-based, -1 the whole), the field, a sentence."""

    row: int
    field: str
    message: str


def problems(rows: Sequence[Mapping[str, object]]) -> list[Wrong]:
    """Everything that is wrong with rows of a mapping, given as tables of field names and values."""
    found: list[Wrong] = []
    kinds: dict[str, set[bool]] = {}
    for number, row in enumerate(rows):
        found += [Wrong(number, name, f"unknown field; fields are {', '.join(ALLOWED)}")
                  for name in row if name not in ALLOWED]
        found += [Wrong(number, name, f"allowed is {ALLOWED[name]}")
                  for name, fits in _FITS.items() if not fits(row.get(name))]
        mode, drives = row.get("mode"), row.get("drives")
        if isinstance(mode, str) and isinstance(drives, str):
            kinds.setdefault(mode, set()).add(drives in CARTESIAN)
    if not 0 < len(rows) <= ROWS_MOST:
        found.append(Wrong(-1, "", f"{len(rows)} rows; allowed are 1..{ROWS_MOST}"))
    if len(kinds) > MODES_MOST:
        found.append(Wrong(-1, "mode", f"{len(kinds)} modes; allowed are up to {MODES_MOST}"))
    found += [Wrong(-1, "drives", f"mode {mode!r} drives joints and the hand; allowed is one of both")
              for mode, both in kinds.items() if len(both) > 1]
    return found


def _number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


_FITS: dict[str, Callable[[Any], bool]] = {
    "mode": lambda value: isinstance(value, str) and len(value) <= MODE_LONGEST and value.isprintable()
    and bool(value.strip()),
    "axis": lambda value: isinstance(value, str) and value in AXIS,
    "drives": lambda value: isinstance(value, str) and value in DRIVEN,
    "device": lambda value: value is None or (isinstance(value, str) and len(value) <= 80
                                              and (value == "" or value.isprintable())),
    "invert": lambda value: value is None or isinstance(value, bool),
    "sensitivity_percent": lambda value: value is None or (_number(value, 0, 100) and value != 0),
    "dead_zone_percent": lambda value: value is None or _number(value, 0, REST_PERCENT_HIGHEST),
}


def drives_of(rows: Sequence[Mapping[str, object]]) -> tuple[Drive, ...]:
    """The rows as Drives; ValueError with the first problem."""
    if wrong := problems(rows):
        raise ValueError(f"{wrong[0].field}: {wrong[0].message}")
    return tuple(Drive(**{name: value for name, value in row.items() if value is not None})  # type: ignore[arg-type]
                 for row in rows)


@dataclass(frozen=True, slots=True)
class Modes:
    """Modes by name, in the order of their first rows; `source` says where they come from."""

    source: str
    rows: Mapping[str, tuple[Drive, ...]]

    @classmethod
    def of(cls, source: str, drives: Iterable[Drive]) -> Modes:
        rows: dict[str, tuple[Drive, ...]] = {}
        for drive in drives:
            rows[drive.mode] = (*rows.get(drive.mode, ()), drive)
        return cls(source, rows)

    @property
    def names(self) -> list[str]:
        return list(self.rows)

    def after(self, name: str) -> str:
        """The mode that follows."""
        names = self.names
        return names[(names.index(name) + 1) % len(names)] if name in names else names[0]


DEFAULT = Modes.of("default", DEFAULT_DRIVES)
TEST_CYCLE = Modes.of("test cycle 7", TEST_DRIVES)


class ScenarioError(ValueError):
    """The mapping in a scenario's array is wrong; `field` is where."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


def of_scenario(name: str, array: Sequence[object]) -> Modes | None:
    """The mapping in the array of a scenario, None where it has none; ScenarioError. All else in it is the page's."""
    places = [i for i, item in enumerate(array) if isinstance(item, dict) and ELEMENT in item]
    if not places:
        return None
    field = f"scenario[{places[-1]}]"
    if len(places) > 1:
        raise ScenarioError(field, f"a second element with {ELEMENT}; allowed is one in a scenario")
    item = array[places[0]]
    assert isinstance(item, dict)
    field, rows = f"{field}.{ELEMENT}", item[ELEMENT]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ScenarioError(field, f"allowed is an array of objects with the fields {', '.join(ALLOWED)}")
    if wrong := problems(rows):
        row = f"[{wrong[0].row}]" if wrong[0].row >= 0 else ""
        raise ScenarioError(f"{field}{row}{'.' if wrong[0].field else ''}{wrong[0].field}", wrong[0].message)
    return Modes.of(f"scenario {name}", drives_of(rows))


def of_stored(name: str, text: str) -> Modes | None:
    """As of_scenario, from the stored JSON text."""
    found = msgspec.json.decode(text)
    return of_scenario(name, found if isinstance(found, list) else [])


def is_for(drive: Drive, device: Description) -> bool:
    """Whether a row is about this device."""
    return not drive.device or drive.device == device.kind or fnmatchcase(device.name, drive.device)


def beyond_dead_zone(deflection: float, dead_zone: float) -> float:
    """-1..1 with the dead zone cut out: 0 inside, from 0 at its edge up to the full deflection."""
    size = abs(deflection)
    if size <= dead_zone:
        return 0.0
    return min(1.0, (size - dead_zone) / (1.0 - dead_zone)) * (1.0 if deflection > 0 else -1.0)
