"""Uniqueness, ranges and cross references of every table. `python -m controller.spec.check` prints what is wrong."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar, get_args

import msgspec

from controller.spec import emit, faults, layout, modes, record, registers, telegram
from controller.spec.coded import Coded
from controller.spec.faults import Fault
from controller.spec.layout import Part
from controller.spec.record import Field
from controller.spec.registers import Register

T = TypeVar("T")
TYPE_RANGES = {"uint8": (0, 255), "int16": (-32768, 32767), "boolean": (0, 1), "int32": (-(2**31), 2**31 - 1)}
UNIT_SUFFIXES = {"ns": "_ns", "ms": "_ms", "deg": "_deg", "mm": "_mm", "deg/s": "_deg_s", "deg/s^2": "_deg_s2",
                 "V": "_v", "%": "_percent", "counts": "_counts", "microsteps/s": "_microsteps_s"}
FIRST_PROJECT_CODE = {False: 600, True: 400}  # first own code of errors, of warnings
SPECIFIED_LAST = {False: 296, True: 140}  # last code the catalogue of the arm gives to errors, to warnings


class Tables(msgspec.Struct, frozen=True):
    """Every table that is checked; a test replaces one by a broken copy."""

    bring_up: Sequence[int] = (*registers.BRING_UP_ARM, *registers.BRING_UP_AXIS, *registers.BRING_UP_SPRING)
    registers: Sequence[Register] = registers.REGISTERS
    errors: Sequence[Fault] = faults.ERRORS
    warnings: Sequence[Fault] = faults.WARNINGS
    fields: Sequence[Field] = record.FIELDS
    enumerations: Sequence[type[Coded]] = tuple(emit.enumerations())
    command: Sequence[Part] = layout.COMMAND
    block: Sequence[Part] = layout.BLOCK
    trailer: Sequence[Part] = layout.TRAILER


def repeated(items: Iterable[T]) -> list[T]:
    """What occurs more than once."""
    return [item for item, count in Counter(items).items() if count > 1]


def check_registers(tables: Tables) -> Iterator[str]:
    for name in repeated(row.name for row in tables.registers):
        yield f"register {name}: name is given twice"
    taken: dict[int, str] = {}
    for row in tables.registers:
        here = f"register {row.address} {row.name}"
        # bring-up asks for as many axes as a telegram can carry, the rest of the map has room for five
        axes = telegram.MAX_AXES if row.address in tables.bring_up else registers.AXES_IN_MAP
        for address in range(row.address, row.address + (axes if row.per_axis else 1)):
            if address in taken:
                yield f"{here}: address {address} belongs to {taken[address]} too"
            taken[address] = row.name
            try:
                if registers.type_of(address) != row.type:
                    yield f"{here}: address {address} has another type than {row.address}"
            except ValueError as error:
                yield f"{here}: {error}"
                break
        else:
            yield from _check_bounds(row, here)
        if not row.doc:
            yield f"{here}: no description"
        if row.source not in get_args(registers.Source) or row.role not in get_args(registers.Role):
            yield f"{here}: unknown source or role"
    by_address = {row.address: row for row in tables.registers}
    for address in tables.bring_up:
        if address not in by_address or by_address[address].source != "arm":
            yield f"bring-up: asks for {address}, which is no register of the arm"
    for address in repeated(tables.bring_up):
        yield f"bring-up: asks for {address} twice"
    for row in tables.registers:
        if row.source == "arm" and row.address not in tables.bring_up:
            yield f"register {row.address} {row.name}: comes from the arm but bring-up does not ask for it"


def _check_bounds(row: Register, here: str) -> Iterator[str]:
    if (row.low is None) != (row.high is None):
        yield f"{here}: only one bound"
    elif row.low is not None and row.high is not None:
        low, high = TYPE_RANGES.get(row.type, (float("-inf"), float("inf")))
        if not low <= row.low < row.high <= high:
            yield f"{here}: bounds {row.low}..{row.high} are empty or outside {row.type}"


def check_faults(tables: Tables) -> Iterator[str]:
    for rows, warning in ((tables.errors, False), (tables.warnings, True)):
        kind = "warning" if warning else "error"
        for name in repeated(row.name for row in rows):
            yield f"{kind} {name}: name is given twice"
        taken: dict[tuple[bool, int], str] = {}
        for row in rows:
            here = f"{kind} {row.code} {row.name}"
            # master and back-end share the display of axis 0, so their codes may not meet; drives have their own
            span = range(1, registers.AXES_IN_MAP + 1) if row.per_axis else range(1)
            for code in (row.code + i for i in span):
                if other := taken.get((row.source == "drive", code)):
                    yield f"{here}: code {code} belongs to {other} too"
                taken[row.source == "drive", code] = row.name
            if not (row.message and row.description and row.cause and row.solution):
                yield f"{here}: message, description, cause or solution is empty"
            if row.warning != warning:
                yield f"{here}: stands in the wrong table"
            if not 0 < row.code < faults.WITHDRAWN:
                yield f"{here}: codes are 1..{faults.WITHDRAWN - 1}"
            if SPECIFIED_LAST[warning] < row.code < FIRST_PROJECT_CODE[warning]:
                yield f"{here}: codes of the project start at {FIRST_PROJECT_CODE[warning]}"
            if row.source not in get_args(faults.Source):
                yield f"{here}: unknown source {row.source}"
            yield from _check_category(row, here)


def _check_category(row: Fault, here: str) -> Iterator[str]:
    if row.category not in modes.StopCategory._value2member_map_:
        yield f"{here}: unknown stop category {row.category}"
    elif row.warning and row.category != modes.StopCategory.NONE:
        yield f"{here}: a warning stops nothing"
    elif not row.warning and (row.category == modes.StopCategory.EMERGENCY) != row.name.startswith(("ESM_", "ESS_")):
        yield f"{here}: category 0 is for the emergency stop monitor and supervisor, and only for them"


def check_record(tables: Tables) -> Iterator[str]:
    names = {table.__name__: table for table in tables.enumerations}
    for name in repeated(field.name for field in tables.fields):
        yield f"record field {name}: name is given twice"
    for field in tables.fields:
        here = f"record field {field.name}"
        if not field.doc:
            yield f"{here}: no description"
        if field.ctype not in record.SIZES:
            yield f"{here}: unknown type {field.ctype}"
        if field.count < record.PER_AXIS:
            yield f"{here}: count {field.count}"
        if field.unit and not field.name.endswith(UNIT_SUFFIXES.get(field.unit, "?")):
            yield f"{here}: unit {field.unit} is not in the name"
        for reference in re.findall(r"modes\.(\w+)", field.doc):
            if reference not in names:
                yield f"{here}: modes.{reference} does not exist"
    if all(field.ctype in record.SIZES for field in tables.fields):
        sizes = [record.SIZES[field.ctype] for field in tables.fields]
        if sizes != sorted(sizes, reverse=True):
            yield "record: rows are not ordered by falling size, the struct would have holes"
    counters = next((field.count for field in tables.fields if field.name == "bus_faults"), 0)
    if counters != len(names.get("BusFault", ())):
        yield f"record field bus_faults: {counters} counters for {len(names.get('BusFault', ()))} kinds"


def check_enumerations(tables: Tables) -> Iterator[str]:
    highest = {"MasterState": 15, "MasterMode": 15, "DriverState": 15, "DriverMode": 15, "Blocker": 31}  # nibbles, bits
    for name in repeated(table.__name__ for table in tables.enumerations):
        yield f"enumeration {name}: name is given twice"
    for table in tables.enumerations:
        for member in table:
            here = f"{table.__name__}.{member.name}"
            if not member.doc and member.name != "NONE":
                yield f"{here}: no meaning"
            if not 0 <= member <= highest.get(table.__name__, 255):
                yield f"{here}: code {int(member)} does not fit its field"
        if table.__name__ == "BusFault" and list(map(int, table)) != list(range(len(table))):
            yield "BusFault: codes are not 0, 1, 2, ... (they index the counters)"


def check_transitions(_: Tables) -> Iterator[str]:
    """Every pair is decided, and what safety asks of the table holds."""
    triggers = (*modes.CommandKind, *modes.Trigger)
    for name in repeated(str(int(trigger)) for trigger in triggers):
        yield f"triggers: code {name} is both a command's and a trigger's"
    for trigger in triggers:
        if trigger >= modes.TRIGGERS:
            yield f"trigger {trigger.name}: code {int(trigger)} is beyond TRIGGERS"
        for state in modes.MasterState:
            here = f"transition {state.name}, {trigger.name}"
            cell = modes.TRANSITIONS.get((state, trigger))
            if cell is None:
                yield f"{here}: not decided"
                continue
            if not cell.why:
                yield f"{here}: no reason"
            if cell.to is state:
                yield f"{here}: leads to itself, write STAYS"
            if isinstance(cell.to, modes.MasterState) and trigger not in modes.REASONS:
                yield f"{here}: no Reason for the history"
            if state is modes.MasterState.ERROR and isinstance(cell.to, modes.MasterState) and (
                    trigger is not modes.Trigger.CAUSES_GONE or cell.to is not modes.MasterState.WAITING):
                yield f"{here}: only RESET leaves the error state, and only to WAITING"
            if cell.to is modes.MasterState.AUTO and trigger is not modes.Trigger.DRIVES_READY:
                yield f"{here}: only ready drives lead to AUTO"


def check_telegrams(tables: Tables) -> Iterator[str]:
    for axes in range(1, telegram.MAX_AXES + 1):
        state = sum(part.size for part in tables.block) * axes + sum(part.size for part in tables.trailer)
        command = sum(part.size + part.size_per_axis * axes for part in tables.command)
        if command != 8 + 10 * axes or command != telegram.command_size(axes):
            yield f"command telegram: fields of {axes} axes take {command} bytes, not {8 + 10 * axes}"
        if state != 24 * axes + 12 or state != telegram.state_size(axes):
            yield f"state telegram: fields of {axes} axes take {state} bytes, not {24 * axes + 12}"
        for name, parts in (("command telegram", tables.command), ("axis block", tables.block),
                            ("trailer", tables.trailer)):
            at = 0
            for part in parts:
                offset = part.offset + part.offset_per_axis * axes
                if offset != at:
                    yield f"{name}: {part.name} begins at byte {offset} with {axes} axes, the field before ends at {at}"
                at = offset + part.size + part.size_per_axis * axes


def check_constants(_: Tables) -> Iterator[str]:
    for name in repeated(re.findall(r"^    (\w+) = ", emit.constants(), re.MULTILINE)):
        yield f"generated constant {name}: name is given twice"


def check_hmi(_: Tables) -> Iterator[str]:
    try:
        from controller.spec import hmi  # it checks itself when it is imported

        hmi.check()
    except ValueError as error:
        yield f"HMI contract: {error}"


CHECKS: tuple[Callable[[Tables], Iterator[str]], ...] = (
    check_registers, check_faults, check_record, check_enumerations, check_transitions, check_telegrams,
    check_constants, check_hmi,
)


def problems(tables: Tables | None = None) -> list[str]:
    """Everything that is wrong, one line each; [] when the tables are good."""
    return [problem for check in CHECKS for problem in check(tables or Tables())]


if __name__ == "__main__":
    found = problems()
    print("\n".join(found) or "tables are consistent")
    sys.exit(1 if found else 0)
