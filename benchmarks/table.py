"""What a benchmark hands back: a table, and the aims its figures are held against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table as RichTable

Cell = str | int | float
WIDTH = 160  # of what is printed into a file or a pipe


@dataclass(frozen=True, slots=True)
class Aim:
    """An upper bound: `measured` <= `limit` meets it. Both in `unit`; "x" is a ratio to the named peer."""

    what: str
    measured: float
    limit: float
    unit: str

    @property
    def met(self) -> bool:
        return self.measured <= self.limit

    def cells(self) -> tuple[str, str, str, str]:
        """what, aim, measured, verdict."""
        unit = f" {self.unit}" if self.unit else ""
        return (self.what, f"at most {text(self.limit)}{unit}", f"{text(self.measured)}{unit}",
                "met" if self.met else "not met")


@dataclass(slots=True)
class Table:
    """`rows` hold text or numbers, as many as `headers`; units go into the headers. `note`: how it was measured."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    aims: list[Aim] = field(default_factory=list)


AIM_HEADERS = ("aim", "limit", "measured", "verdict")


def text(value: Cell) -> str:
    """A number with three significant digits, or as many as it has before the point."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 else 3
    return f"{value:,.{digits}f}"


def markdown(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A pipe table; columns of numbers are right-aligned."""
    numeric = [bool(rows) and all(not isinstance(row[i], str) for row in rows) for i in range(len(headers))]
    lines = [list(headers), ["---:" if number else "---" for number in numeric]]
    lines += [[text(cell).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def table_markdown(table: Table) -> str:
    """The table, its aims and its note, under a heading of the third level."""
    parts = [f"### {table.title}", markdown(table.headers, table.rows)]
    if table.aims:
        parts.append(markdown(AIM_HEADERS, [aim.cells() for aim in table.aims]))
    if table.note:
        parts.append(table.note)
    return "\n\n".join(parts)


def show(tables: Sequence[Table], console: Console | None = None) -> None:
    """Print tables and aims to the terminal."""
    console = console or Console()
    if not console.is_terminal:
        console.width = WIDTH
    for table in tables:
        console.print(_rich(table.title, table.headers, table.rows))
        for aim in table.aims:
            what, limit, measured, verdict = aim.cells()
            console.print(f"  {what}: {measured}, aim {limit}: "
                          f"[{'green' if aim.met else 'yellow'}]{verdict}[/]", highlight=False)
        if table.note:
            console.print(f"  {table.note}", style="dim", highlight=False)
        console.print()


def _rich(title: str, headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> RichTable:
    grid = RichTable(title=title, title_justify="left")
    for i, header in enumerate(headers):
        grid.add_column(header, justify="left" if any(isinstance(row[i], str) for row in rows) else "right")
    for row in rows:
        grid.add_row(*(text(cell) for cell in row))
    return grid
