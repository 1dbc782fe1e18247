"""The safety requirements, and which tests prove them: a test names a requirement in its function's name.

`test_saf_2_stop_is_never_queued` belongs to SAF-2, `test_ess_1_ess_2_...` to two. tests/traceability.py holds the
results of a run against this table.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from controller.spec.docs import markdown

TESTS = Path(__file__).resolve().parents[2] / "tests"
NAMED = re.compile(r"(?<![a-z0-9])(esm|ess|saf)_(\d+)(?![0-9])")


class Requirement(msgspec.Struct, frozen=True):
    """One entry; `text` is what has to hold."""

    id: str
    text: str


REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("ESM-1", "At start ENABLE = 1 is error 290, which cannot be reset."),
    Requirement("ESM-2", "At start ENABLE = 0 and CONTACTS = 1 is error 291, which cannot be reset."),
    Requirement("ESM-3", "Every cycle after 290 or 291 raises 292 again."),
    Requirement("ESM-4", "ENABLE = 0 and CONTACTS = 1 for longer than the relay's switching time is error 293."),
    Requirement("ESM-5", "ENABLE = 1, BUTTON = 0 and CONTACTS = 1 for longer than the relay's switching time is error "
                "294."),
    Requirement("ESM-6", "ENABLE = 1, BUTTON = 1 and CONTACTS = 0 for longer than the relay's switching time is error "
                "295."),
    Requirement("ESM-7", "A button that opens is error 296 at once; reset only after the button is released."),
    Requirement("ESS-1", "The actual position is within the drive's hard minimum."),
    Requirement("ESS-2", "The actual position is within the drive's hard maximum."),
    Requirement("ESS-3", "With range-of-motion limits on, the actual position is within the minimum (with a margin for "
                "sensor noise)."),
    Requirement("ESS-4", "With range-of-motion limits on, the actual position is within the maximum (with a margin for "
                "sensor noise)."),
    Requirement("ESS-5", "The absolute actual speed is at most the axis's maximum."),
    Requirement("ESS-6", "The speed is low enough to stop before the limit ahead at the axis's deceleration."),
    Requirement("ESS-7", "The actual speed is plausible for the working mode: stand still means standing still."),
    Requirement("ESS-8", "Commanded and actual position agree within the following-error limit."),
    Requirement("SAF-1", "Power-up, restart, crash, lost bus, lost watchdog: motor power is off and stays off until an "
                "operator starts it. Nothing ever moves by itself after a restart."),
    Requirement("SAF-2", "STOP from any connected client is acted on in the next control cycle, and cannot be lost, "
                "queued behind other commands or refused."),
    Requirement("SAF-3", "Stop categories 2, 1, 0: every error names its own, the lowest number wins, a category only "
                "escalates; movement while holding escalates to 0; a worn limb is held where holding is possible."),
    Requirement("SAF-4", "A jog not refreshed within 200 ms ends softly. A client in control that disconnects ends its "
                "jog at once and in other modes the motion softly."),
    Requirement("SAF-5", "No set-point leaves the controller that breaks the hard limits, the range of motion, the "
                "speed cascade, or the acceleration and jerk limits."),
    Requirement("SAF-6", "Only RESET_ERROR leaves the error state, only when the cause is gone, and only to WAITING."),
    Requirement("SAF-7", "A missed deadline is counted; too many in a row are an error (quick stop). Cycles are never "
                "run back to back to catch up."),
    Requirement("SAF-8", "Every error, warning, mode change, start, stop, settings change and client that took control "
                "is written to a history that survives power loss."),
    Requirement("SAF-9", "NaN, infinity, out-of-range or wrong-type values from the HMI, the configuration or the bus "
                "never reach a set-point."),
    Requirement("SAF-10", "If the HMI thread or the main thread hangs, the loop goes on holding or stopping safely and "
                "the service watchdog restarts the program; if the loop hangs, the base board takes motor power."),
    Requirement("SAF-11", "Compliant mode: entering and leaving it moves the arm by at most 1 degree; it is entered "
                "only when every axis carries what its masses explain; speed and range limits hold against any force "
                "of a hand, with a growing resistance before them; stop, error, HMI silence and loss of control end "
                "it softly."),
    Requirement("SAF-12", "A torque in a motion that the load does not explain, for longer than a set time, ends the "
                "motion softly, by a stop or a retreat of bounded length inside the range; the arm is held."),
    Requirement("SAF-13", "An update of the program is refused while the arm is powered, while a client is in control, "
                "and while that cannot be told."),
)
REQUIREMENT: dict[str, Requirement] = {row.id: row for row in REQUIREMENTS}


def named(function: str) -> list[str]:
    """Requirements that a test function's name names, in order: "test_ess_1_ess_2_x" -> ["ESS-1", "ESS-2"]."""
    return [f"{kind.upper()}-{number}" for kind, number in NAMED.findall(function)]


def naming_tests(folder: Path) -> Iterator[tuple[str, str]]:
    """(file relative to `folder`, function) of every test that names a requirement."""
    for path in sorted(folder.glob("**/test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
                    and named(node.name)):
                yield path.relative_to(folder).as_posix(), node.name


def by_requirement(folder: Path = TESTS) -> dict[str, list[tuple[str, str]]]:
    """Requirement -> its tests. ValueError for a test that names a requirement that does not exist."""
    found: dict[str, list[tuple[str, str]]] = {row.id: [] for row in REQUIREMENTS}
    for path, function in naming_tests(folder):
        for name in dict.fromkeys(named(function)):
            if name not in found:
                raise ValueError(f"tests/{path}: {function} names {name}, which is no requirement")
            found[name].append((path, function))
    return found


def table() -> str:
    """`requirements` of docs/traceability.md: requirement -> tests, a row each."""
    found = by_requirement()
    return markdown(("id", "requirement and the tests that prove it"), (
        line for row in REQUIREMENTS
        for line in [(f"**{row.id}**", f"**{row.text}**"), *((row.id, f"`{path}` {function}")
                                                            for path, function in found[row.id])]))
