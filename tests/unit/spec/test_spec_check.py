"""The tables are consistent, and check.py finds every class of defect in broken copies."""

from __future__ import annotations

import msgspec
import pytest

from controller.spec import check, faults, hmi, layout, modes, record, registers
from controller.spec.check import Tables
from controller.spec.coded import Coded


def test_tables_are_consistent() -> None:
    assert check.problems() == []


def changed(rows, index: int, **changes):
    return tuple(msgspec.structs.replace(row, **changes) if i == index else row for i, row in enumerate(rows))


R, E, W, F = registers.REGISTERS, faults.ERRORS, faults.WARNINGS, record.FIELDS
ZERO = next(i for i, row in enumerate(R) if row.name == "zero")
LOW_BATTERY = next(i for i, row in enumerate(E) if row.name == "BATTERY_LOW")
BUTTON = next(i for i, row in enumerate(E) if row.name == "ESM_BUTTON")
ESS = next(i for i, row in enumerate(E) if row.name == "ESS_HARD_MINIMUM")
POSITION = next(i for i, row in enumerate(F) if row.name == "position_deg")


class DriverMode(Coded):
    TOO_BIG = 16, "does not fit the low nibble"


class Nameless(Coded):
    SOMETHING = 1, ""


class BusFault(Coded):
    FIRST = 1, "does not index the counters from 0"


DEFECTS = {
    "register name twice": (Tables(registers=changed(R, 1, name=R[0].name)), "name is given twice"),
    "register overlap": (Tables(registers=changed(R, ZERO, address=137)), "belongs to"),
    "register off the map": (Tables(registers=changed(R, 0, address=600)), "addresses are 1..599"),
    "register span across types": (Tables(registers=changed(R, ZERO, address=197)), "another type"),
    "register without description": (Tables(registers=changed(R, 0, doc="")), "no description"),
    "register bounds empty": (Tables(registers=changed(R, ZERO, low=5, high=5)), "bounds"),
    "register bounds outside the type": (Tables(registers=changed(R, ZERO, high=70000)), "outside int16"),
    "register with one bound": (Tables(registers=changed(R, ZERO, low=None)), "only one bound"),
    "register role": (Tables(registers=changed(R, 0, role="boss")), "unknown source or role"),
    "bring-up of nothing": (Tables(bring_up=(*Tables().bring_up, 499)), "no register of the arm"),
    "bring-up twice": (Tables(bring_up=(*Tables().bring_up, 1)), "twice"),
    "bring-up incomplete": (Tables(bring_up=Tables().bring_up[:-1]), "does not ask for it"),
    "error name twice": (Tables(errors=changed(E, 1, name=E[0].name)), "name is given twice"),
    "error code twice": (Tables(errors=changed(E, 1, code=E[0].code)), "belongs to"),
    "error inside a range of axes": (Tables(errors=changed(E, LOW_BATTERY, code=103)), "code 103 belongs to"),
    "error text missing": (Tables(errors=changed(E, 3, solution="")), "is empty"),
    "error in the warnings": (Tables(warnings=(*W, E[0])), "wrong table"),
    "error code range": (Tables(errors=changed(E, 3, code=0)), "codes are"),
    "own code too low": (Tables(errors=changed(E, LOW_BATTERY, code=500)), "start at 600"),
    "own warning too low": (Tables(warnings=changed(W, 0, code=300)), "start at 400"),
    "error source": (Tables(errors=changed(E, 3, source="moon")), "unknown source"),
    "stop category unknown": (Tables(errors=changed(E, LOW_BATTERY, category=4)), "unknown stop category"),
    "power off without need": (Tables(errors=changed(E, LOW_BATTERY, category=0)), "category 0"),
    "monitor not category 0": (Tables(errors=changed(E, BUTTON, category=2)), "category 0"),
    "supervisor not category 0": (Tables(errors=changed(E, ESS, category=1)), "category 0"),
    "warning stops": (Tables(warnings=changed(W, 0, category=2)), "stops nothing"),
    "field twice": (Tables(fields=changed(F, 1, name=F[0].name)), "name is given twice"),
    "field without description": (Tables(fields=changed(F, 1, doc="")), "no description"),
    "field type": (Tables(fields=changed(F, 1, ctype="long")), "unknown type"),
    "field count": (Tables(fields=changed(F, 1, count=-2)), "count -2"),
    "field unit not in name": (Tables(fields=changed(F, POSITION, unit="ns")), "unit ns is not in the name"),
    "field with unknown unit": (Tables(fields=changed(F, POSITION, unit="furlong")), "unit furlong"),
    "field refers to nothing": (Tables(fields=changed(F, 1, doc="modes.Missing")), "does not exist"),
    "record with holes": (Tables(fields=F[::-1]), "holes"),
    "counters missing": (Tables(fields=tuple(row for row in F if row.name != "bus_faults")), "0 counters"),
    "enumeration twice": (Tables(enumerations=(*Tables().enumerations, modes.Reason)), "name is given twice"),
    "member without meaning": (Tables(enumerations=(*Tables().enumerations, Nameless)), "no meaning"),
    "member outside its field": (Tables(enumerations=(*Tables().enumerations, DriverMode)), "does not fit"),
    "counters with a gap": (Tables(enumerations=(*Tables().enumerations, BusFault)), "index the counters"),
    "command size": (Tables(command=layout.COMMAND[:-1]), "command telegram: fields of 1 axes take"),
    "block size": (Tables(block=changed(layout.BLOCK, 5, size=3)), "state telegram: fields of 1 axes take"),
    "block gap": (Tables(block=changed(layout.BLOCK, 5, offset=6)), "axis block: error begins at byte 6"),
    "trailer overlap": (Tables(trailer=changed(layout.TRAILER, 2, offset=1)), "trailer: inputs begins at byte 1"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_every_class_of_defect_is_found(name: str) -> None:
    tables, message = DEFECTS[name]
    assert any(message in problem for problem in check.problems(tables)), check.problems(tables)


def test_generated_constants_clash(monkeypatch: pytest.MonkeyPatch) -> None:
    clash = "cdef enum:\n    ERROR_X = 1\n    ERROR_X = 2\n"
    monkeypatch.setattr("controller.spec.emit.constants", lambda: clash)
    assert check.problems() == ["generated constant ERROR_X: name is given twice"]


def test_a_contradiction_in_the_hmi_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(hmi.BUTTONS, "start", "fly")
    assert check.problems() == ["HMI contract: no action row for ['fly']"]


def test_duplicate_code_of_an_enumeration_fails_at_import() -> None:
    with pytest.raises(ValueError, match="code 1 is given twice"):
        Coded("Broken", {"A": (1, "a"), "B": (1, "b")})
