"""The catalogue: the codes of the specification, and finding the row of a code as it was raised."""

from __future__ import annotations

import pytest

from controller.spec import faults, faults_it, registers
from controller.spec.faults import ERRORS, WARNINGS, Fault, lookup


def codes(rows: tuple[Fault, ...], source: str) -> set[int]:
    axes = range(1, registers.AXES_IN_MAP + 1)
    return {row.code + i for row in rows if row.source == source for i in (axes if row.per_axis else [0])}


def test_every_code_of_the_specification_is_there() -> None:
    assert codes(ERRORS, "drive") == {1, 2, 3, 4, 8, 9, 10, 20, 21, 22, 50, 51}
    assert {code for code in codes(ERRORS, "back-end") if code < 600} == {1, 50, 51, 52, 53, 57, 58, 70, 71, 72, 73}
    specified = {11, 30, *range(101, 106), *range(111, 116), *range(121, 131), *range(290, 297)}
    assert {code for code in codes(ERRORS, "master") if code < 600} == specified
    assert codes(WARNINGS, "drive") == {1, 2, 3, 4, 5, 6, 7}
    specified = {100, 101, 102, 103, 104, 106, *range(107, 114), 120, *range(131, 141)}
    assert {code for code in codes(WARNINGS, "master") if code < 400} == specified


@pytest.mark.parametrize(("code", "axis", "warning", "source", "name"), [
    (1, 0, False, None, "BUS_LOST"),
    (1, 2, False, None, "DRIVE_POSITION_MAXIMUM"),
    (50, 0, False, None, "LOG_READ"),
    (50, 5, False, None, "DRIVE_STATE"),
    (101, 0, False, None, "DRIVE_ERROR"),
    (108, 8, False, None, "DRIVE_ERROR"),
    (102, 1, False, None, None),
    (626, 6, False, None, "DRIVE_SETUP_BEYOND_5"),
    (628, 0, False, None, "DRIVE_SETUP_BEYOND_5"),
    (108, 0, False, None, "DRIVE_ERROR"),
    (126, 1, False, None, "DRIVE_VERSION"),
    (126, 0, False, None, "DRIVE_VERSION"),
    (601, 3, False, None, "ESS_HARD_MINIMUM"),
    (296, 0, False, None, "ESM_BUTTON"),
    (133, 3, True, None, "ACCELERATION_ZERO"),
    (136, 6, True, None, "ACCELERATION_ZERO"),
    (136, 1, True, None, "SPEED_ZERO"),
    (120, 0, True, None, "BATTERY_HIGH"),
    (401, 2, True, None, "LIMIT_BRAKE"),
    (1, 1, True, None, "DRIVE_SLOWED_MAXIMUM"),
    (1, 0, True, None, None),
    (101, 1, False, "drive", None),
    (11, 0, False, "back-end", None),
    (0, 0, False, None, None),
    (65535, 8, False, None, None),
])
def test_lookup(code: int, axis: int, warning: bool, source: faults.Source | None, name: str | None) -> None:
    row = lookup(code, axis, warning, source)
    assert (row.name if row else None) == name


def test_every_row_is_found_again() -> None:
    for rows, warning in ((ERRORS, False), (WARNINGS, True)):
        for row in rows:
            for axis in range(1, 9) if row.per_axis else [1] if row.source == "drive" else [0]:
                assert lookup(row.code + axis * row.per_axis, axis, warning) is row


def test_a_limb_is_held_wherever_drives_and_bus_are_healthy() -> None:
    """SAF-3: an error neither of the bus, of a drive nor of the loop's own timing never takes motor power away."""
    unhealthy = {"BUS_LOST", "DRIVE_ERROR", "DRIVE_LOST", "DRIVE_SETUP", "DRIVE_SETUP_BEYOND_5", "DRIVES_NOT_READY",
                 "DEADLINES_MISSED", "TRAJECTORY", "RELAY_NOT_CLOSING", "RELAY_NOT_OPENING"}
    for row in ERRORS:
        if row.source != "drive" and row.name not in unhealthy and not row.name.startswith(("ESM_", "ESS_")):
            assert row.category >= 2, row.name


def test_every_row_has_its_texts_in_both_languages() -> None:
    for rows, translated in ((ERRORS, faults_it.ERRORS), (WARNINGS, faults_it.WARNINGS)):
        assert set(translated) == {row.name for row in rows}     # none missing, none stale
        for row in rows:
            english, italian = faults.texts(row, "en"), faults.texts(row, "it")
            assert len(italian) == 4
            for ours, theirs in zip(english, italian, strict=True):
                assert ours.strip(), row.name
                assert theirs.strip(), row.name
                assert theirs != ours, row.name
                assert len(theirs) <= 1.6 * len(ours) + 40, (row.name, theirs)
                assert theirs[0].isupper(), (row.name, theirs)
                assert (ours[-1] == ".") == (theirs[-1] == "."), (row.name, theirs)


def test_names_are_unique_over_errors_and_warnings() -> None:
    assert len(faults.BY_NAME) == len(ERRORS) + len(WARNINGS)
