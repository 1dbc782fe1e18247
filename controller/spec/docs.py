"""Tables -> docs/*.md: replaces what stands between `<!-- generated: NAME -->` and `<!-- end -->`.

`python -m controller.spec.docs` rewrites the files; with `--check` it only lists the stale ones and exits 1.
A new block is one row in BLOCKS: its name and "module:function"; the function gets the words after the name.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from controller.spec import board, chain, emit, external, faults, layout, modes, record, registers, telegram
from controller.spec import input as spec_input
from controller.spec.faults import Fault
from controller.spec.layout import Part

DOCS = Path(__file__).resolve().parents[2] / "docs"
MARKED = re.compile(r"<!-- generated: ([^\n]*?) -->\n(.*?)<!-- end -->", re.DOTALL)

BLOCKS: dict[str, str] = {
    "registers": "controller.spec.docs:register_table",
    "faults": "controller.spec.docs:fault_table",
    "unraised": "controller.spec.docs:unraised_table",
    "history": "controller.spec.docs:history_table",
    "telegram": "controller.spec.docs:telegram_table",
    "enumeration": "controller.spec.docs:enumeration_table",
    "transitions": "controller.spec.docs:transition_table",
    "record": "controller.spec.docs:record_table",
    "configuration": "controller.spec.docs:configuration_table",
    "chain": "controller.spec.docs:chain_table",
    "rates": "controller.spec.docs:rate_table",
    "board-texts": "controller.spec.docs:board_text_table",
    "external": "controller.spec.docs:external_table",
    "input": "controller.spec.docs:input_table",
    "hmi": "controller.hmi.document:table",
    "rest": "controller.describe.tables:table",
    "requirements": "controller.spec.requirements:table",
}


def markdown(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; cells lose what would end them."""
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    names = list(head)
    lines = [names, ["---"] * len(names), *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def register_table() -> str:
    def address(row: registers.Register) -> str:
        return f"{row.address}+i" if row.per_axis else str(row.address)

    def bounds(row: registers.Register) -> str:
        return "" if row.low is None else f"{row.low:g}..{row.high:g}"

    return markdown(("address", "type", "name", "unit", "range", "source", "role", "meaning"), (
        (address(row), row.type, row.name, row.unit, bounds(row), row.source, row.role, row.doc)
        for row in registers.REGISTERS))


FAULT_HEADS: dict[faults.Language, tuple[str, ...]] = {
    "en": ("code", "stop category", "message", "what it means", "cause", "what to do"),
    "it": ("codice", "categoria di arresto", "messaggio", "che cosa significa", "causa", "che cosa fare"),
}


def fault_table(kind: str, source: str, language: faults.Language = "en") -> str:
    """`faults errors master`: the errors of one source; also `warnings`, and `it` for Italian."""
    rows: tuple[Fault, ...] = {"errors": faults.ERRORS, "warnings": faults.WARNINGS}[kind]
    head = FAULT_HEADS[language]
    table = []
    for row in rows:
        if row.source != source:
            continue
        line = [f"{row.code}+i" if row.per_axis else str(row.code), *faults.texts(row, language)]
        if not row.warning:
            fixed = {"en": "not resettable", "it": "non azzerabile"}[language]
            line.insert(1, f"{row.category}" if row.resettable else f"{row.category}, {fixed}")
        table.append(line)
    return markdown((head[0], *head[2:]) if kind == "warnings" else head, table)


def unraised_table() -> str:
    """Codes that are never raised, or that nothing can provoke, and why."""
    from controller.spec.faults_unraised import UNRAISED

    rows = [(faults.BY_NAME[name], why) for name, why in UNRAISED.items()]
    return markdown(("", "code", "message", "why"), (
        ("warning" if row.warning else "error", f"{row.code}+i" if row.per_axis else row.code, row.message, why)
        for row, why in rows))


def history_table() -> str:
    """What the history keeps."""
    from controller.spec.history import Kind

    return markdown(("kind", "when"), ((f"`{kind.word}`", kind.doc) for kind in Kind))


def telegram_table(name: str) -> str:
    """`telegram command`, `telegram block` or `telegram trailer`."""
    parts: tuple[Part, ...] = {"command": layout.COMMAND, "block": layout.BLOCK, "trailer": layout.TRAILER}[name]

    def bytes_(fixed: int, per_axis: int) -> str:
        return " + ".join(text for text in (str(fixed) if fixed or not per_axis else "",
                                            f"{per_axis} N" if per_axis else "") if text)

    return markdown(("offset", "size", "field", "content"), (
        (bytes_(part.offset, part.offset_per_axis), bytes_(part.size, part.size_per_axis), part.name, part.doc)
        for part in parts))


def enumeration_table(name: str) -> str:
    """`enumeration MasterState`: any enumeration of modes.py."""
    table = {item.__name__: item for item in emit.enumerations()}[name]
    return markdown(("code", "name", "meaning"), ((int(member), member.name, member.doc) for member in table))


def transition_table() -> str:
    """Every pair of master state and trigger: the next state, or that it stays or is refused, the mode set, and why."""
    def cell(state: modes.MasterState, trigger: modes.CommandKind | modes.Trigger) -> str:
        found = modes.TRANSITIONS[state, trigger]
        to = f"**{found.to.name}**" if isinstance(found.to, modes.MasterState) else found.to.name.lower()
        return f"{to}{f', mode {found.mode.name}' if found.mode is not None else ''}: {found.why}"

    states = list(dict.fromkeys(state for state, _ in modes.TRANSITIONS))
    triggers = list(dict.fromkeys(trigger for _, trigger in modes.TRANSITIONS))
    return markdown(("trigger", *(state.name for state in states)), (
        (trigger.name, *(cell(state, trigger) for state in states)) for trigger in triggers))


def record_table() -> str:
    def count(field: record.Field) -> str:
        return {0: "", record.PER_AXIS: "per axis"}.get(field.count, str(field.count))

    return markdown(("field", "type", "elements", "unit", "meaning"), (
        (field.name, field.ctype, count(field), field.unit, field.doc) for field in record.FIELDS))


def configuration_table(section: str) -> str:
    """`configuration bus`: the keys of one section of the configuration file."""
    from controller import config
    from controller.config_reader import allowed, keys, written

    kind = config.SECTIONS[section]
    default = kind()

    inherited = keys(config.Limits) if section == "axis" else {}
    return markdown(("key", "default", "allowed", "meaning"), (
        (f"`{name}`", "that of [motion]" if name in inherited else f"`{written(getattr(default, name))}`",
         allowed(hint), meta.description)
        for name, (hint, meta) in keys(kind).items()))


def chain_table() -> str:
    """The default arm."""
    def vector(parts: chain.Vector) -> str:
        return ", ".join(f"{part:g}" for part in parts)

    return markdown(("axis", "joint", "axis of rotation", "offset, mm", "a positive angle moves it"), (
        (number, row.name, vector(row.axis), vector(row.offset_mm), row.doc)
        for number, row in enumerate(chain.JOINTS, 1)))


def rate_table() -> str:
    """Highest cycle rate by axes and baud rate, as the start refuses it."""
    rates = (115_200, 460_800, 921_600, 1_000_000, 2_000_000, 3_000_000)
    return markdown(("axes", *(f"{rate} baud" for rate in rates)), (
        (axes, *(telegram.highest_rate_hz(axes, rate) for rate in rates)) for axes in range(1, telegram.MAX_AXES + 1)))


def board_text_table() -> str:
    return markdown(("register", "name", "allowed"), (
        (row.address, f"`{name}`", row.allowed) for name, row in board.BOARD_TEXTS.items()))


def external_table(name: str) -> str:
    """`external ExternalState`: a record of external development, or one of its codes."""
    if name in external.RECORDS:
        fields = external.RECORDS[name]
        offsets = record.offsets(fields)
        return markdown(("offset", "field", "type", "elements", "unit", "meaning"), (
            (offsets[field.name], f"`{field.name}`", field.ctype, telegram.MAX_AXES if field.count else "", field.unit,
             field.doc) for field in fields))
    table = {item.__name__: item for item in external.enumerations()}[name]
    return markdown(("code", "name", "meaning"), ((int(member), member.name, member.doc) for member in table))


def input_table(name: str) -> str:
    """`input axes`, `input fields` or `input defaults`."""
    if name == "axes":
        return markdown(("axis", "is"), ((f"`{row.name}`", row.doc) for row in spec_input.DEVICE_AXES))
    if name == "fields":
        return markdown(("field", "allowed"), ((f"`{field}`", text) for field, text in spec_input.ALLOWED.items()))
    if name != "defaults":
        raise ValueError(f"no table {name!r} of input devices")
    return markdown(("mode", "axis", "drives", "device"), (
        (row.mode, f"`{row.axis}`", row.drives, row.device or "all") for row in spec_input.DEFAULT_DRIVES))


def block(text: str) -> str:
    """What belongs into the block named by `text` ("name argument ..."); ValueError when there is no such block."""
    name, *arguments = text.split()
    if name not in BLOCKS:
        raise ValueError(f"no block {name!r}; there are {', '.join(BLOCKS)}")
    module, _, function = BLOCKS[name].partition(":")
    table: str = getattr(importlib.import_module(module), function)(*arguments)
    return table


def filled(text: str, where: str = "") -> str:
    """`text` with every block up to date; ValueError names the file and block that cannot be."""
    if len(MARKED.findall(text)) != text.count("<!-- generated: "):
        raise ValueError(f"{where}: a generated block has no <!-- end -->")

    def replacement(match: re.Match[str]) -> str:
        try:
            return f"<!-- generated: {match[1]} -->\n{block(match[1])}<!-- end -->"
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{where}: block {match[1]!r}: {error}") from error

    return MARKED.sub(replacement, text)


def stale(folder: Path = DOCS) -> list[Path]:
    """The documents whose blocks are not up to date."""
    return [path for path in sorted(folder.glob("**/*.md")) if filled(text := path.read_text(), str(path)) != text]


def main(arguments: list[str]) -> int:
    """Rewrite (or with --check only list) the stale documents."""
    old = stale()
    for path in old:
        if "--check" in arguments:
            print(f"{path}: tables are stale, run python -m controller.spec.docs")
        else:
            path.write_text(filled(path.read_text(), str(path)))
            print(f"{path}: tables rewritten")
    return 1 if old and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
