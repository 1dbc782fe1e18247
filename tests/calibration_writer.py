"""A process that writes calibration runs until it is cut off. Row n of a run holds numbers that follow from n; each is
told when it is on disk.

`python -m tests.calibration_writer serve`: for each line "FOLDER" on stdin a child is forked that begins the run in
FOLDER, or goes on with it; stdout gets "pid N", then "begun M" with the rows that it found, "saved N" after each row,
and "gone" once it was killed.
`python -m tests.calibration_writer once FOLDER`, FOLDER being the one of the runs: a whole run in two parts, then one
that never begins, for a recorder of its system calls.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from controller.calibration import Adjustment, Description, GridAxis, RunFile, Unfit, described

NAME, OTHER = "run", "other"
ROWS = 10_000     # more than a run gets before its last kill
ONCE_ROWS = 40


def row(number: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Positions and torques of a row, as they are read again."""
    return (round(number * 0.5 - 1000.0, 4), 12.3456), (round(number * 1.25, 3), -1234.567)


def description(rows: int) -> Description:
    return described([GridAxis(-1000.0, -1000.0 + 0.5 * (rows - 1), 0.5), GridAxis(12.0, 12.0, 1.0)], serial="S",
                     speed_percent=30, settle_s=1, measure_s=1, there_and_back=False,
                     adjustment=Adjustment(upper_arm_mm=12.5))


def tell(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def write(file: RunFile, to: int) -> None:
    for number in range(file.measured, to):
        file.append(*row(number))
        tell(f"saved {number}")


def endless(folder: Path) -> None:
    try:
        file = RunFile.resume(folder, NAME)
    except Unfit:
        file = RunFile.begin(folder, NAME, description(ROWS))
    tell(f"begun {file.measured}")
    write(file, ROWS)


def serve() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                endless(Path(line.strip()))
            finally:
                os._exit(1)
        tell(f"pid {child}")
        os.waitpid(child, 0)
        tell("gone")


def once(folder: Path) -> None:
    begun = RunFile.begin(folder.parent, NAME, description(ONCE_ROWS))
    tell("begun 0")
    write(begun, ONCE_ROWS // 2)
    begun.close()
    resumed = RunFile.resume(folder.parent, NAME)
    write(resumed, ONCE_ROWS)
    resumed.close()
    never = RunFile.begin(folder.parent, OTHER, description(ONCE_ROWS))
    never.abandon()
    tell("abandoned")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        once(Path(sys.argv[2]))
