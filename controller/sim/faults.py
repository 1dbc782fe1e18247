"""The named faults of the simulated arm: the one table behind validation, command line help and the documents.

A row's own parameters are at most three; the compiled board keeps them as first, second and third value.
"""

from __future__ import annotations

from typing import NamedTuple


class Parameter(NamedTuple):
    """A number that a fault takes, with its bounds (inclusive)."""

    name: str
    default: float
    low: float
    high: float
    unit: str
    whole: bool = False


class Fault(NamedTuple):
    """One row. `telegrams`: also takes probability and count. `per_axis`: also takes axis (1-based, 0 = every axis)."""

    name: str
    meaning: str
    parameters: tuple[Parameter, ...] = ()
    telegrams: bool = False
    per_axis: bool = False


SECONDS = Parameter("seconds", 0.0, 0.0, 1e6, "s")  # 0 = until cleared
PROBABILITY = Parameter("probability", 1.0, 0.0, 1.0, "")
COUNT = Parameter("count", 0, 0, 1e9, "telegrams", True)  # 0 = without end
AXIS = Parameter("axis", 0, 0, 8, "", True)  # 0 = every axis

FAULTS: tuple[Fault, ...] = (
    Fault("lost", "an answer is not sent", telegrams=True),
    Fault("late", "an answer is sent later", (Parameter("delay_ms", 1.0, 0.0, 10000.0, "ms"),), telegrams=True),
    Fault("duplicated", "an answer is sent twice", telegrams=True),
    Fault("truncated", "only the first bytes of an answer are sent (0 = a random part)",
          (Parameter("keep", 0, 0, 255, "bytes", True),), telegrams=True),
    Fault("bit_flipped", "random bits of an answer are inverted",
          (Parameter("bits", 1, 1, 64, "bits", True),), telegrams=True),
    Fault("reordered", "an answer is sent after the one that follows it", telegrams=True),
    Fault("garbage", "random bytes are sent before an answer",
          (Parameter("bytes", 16, 1, 4096, "bytes", True),), telegrams=True),
    Fault("wrong_sequence", "a state telegram echoes another sequence number",
          (Parameter("offset", 100, 1, 255, "", True),), telegrams=True),
    Fault("deaf", "a command or register message is lost on its way to the board", telegrams=True),
    Fault("silence", "the board hears everything and answers nothing"),
    Fault("hang_up", "the line is unplugged: nothing heard, nothing sent, the port closes; it returns when cleared"),
    Fault("slow_answers", "register answers come late", (Parameter("delay_ms", 150.0, 0.0, 10000.0, "ms"),)),
    Fault("missing_register", "no answer for one register", (Parameter("address", 130, 1, 599, "", True),)),
    Fault("wrong_register", "another value is answered for one register",
          (Parameter("address", 130, 1, 599, "", True), Parameter("value", 0.0, -3.4e38, 3.4e38, ""))),
    Fault("setup_needed", "the drive reports SETUP_NEEDED and has no torque; the next bring-up ends it", per_axis=True),
    Fault("not_connected", "the drive reports NOT_CONNECTED, all its values 0, no torque", per_axis=True),
    Fault("drive_waiting", "the drive falls back to WAITING: it holds its position and ignores its commands",
          per_axis=True),
    Fault("drive_error", "the drive reports an error and hard-stops; afterwards it waits for 'clear drive errors'",
          (Parameter("code", 3, 1, 65535, "", True),), per_axis=True),
    Fault("drive_warning", "the drive reports a warning; a code of 16000 or more withdraws that one (code - 16000)",
          (Parameter("code", 3, 1, 65535, "", True),), per_axis=True),
    Fault("sensor_stuck", "the position sensor keeps its last reading", per_axis=True),
    Fault("sensor_jump", "the position sensor reads another place",
          (Parameter("counts", 200, -32768, 32767, "counts", True),), per_axis=True),
    Fault("sensor_wrap", "the position sensor slips by whole strokes",
          (Parameter("strokes", 1, -8, 8, "", True),), per_axis=True),
    Fault("drift", "the joint is moved from outside, on top of its drive's motion; without torque, at just that speed",
          (Parameter("speed_deg_s", 5.0, -500.0, 500.0, "deg/s"),), per_axis=True),
    Fault("hand_force", "a hand pulls at the hand of the arm: a force in the base frame (x forward, y left, z up)",
          (Parameter("x_n", 0.0, -1000.0, 1000.0, "N"), Parameter("y_n", 0.0, -1000.0, 1000.0, "N"),
           Parameter("z_n", 0.0, -1000.0, 1000.0, "N"))),
    Fault("outside_torque", "a torque from outside turns the joint (a spasm, an obstacle)",
          (Parameter("counts", 100.0, -30000.0, 30000.0, "counts"),), per_axis=True),
    Fault("torque_offset", "the torque sensor reads so much more",
          (Parameter("counts", 100.0, -65535.0, 65535.0, "counts"),), per_axis=True),
    Fault("blocked", "the joint cannot move", per_axis=True),
    Fault("welded_relay", "the motor power contacts stay closed"),
    Fault("relay_stuck_open", "the motor power contacts stay open"),
    Fault("relay_chatter", "the motor power contacts part for a moment at the end of every period",
          (Parameter("period_ms", 120.0, 2.0, 10000.0, "ms"), Parameter("open_ms", 3.0, 1.0, 10000.0, "ms"))),
    Fault("relay_without_edge", "after a trip of the watchdog the contacts close again without a new edge of enable"),
    Fault("enable_stuck", "the board always sees motor power enabled"),
    Fault("button", "the emergency button is pressed"),
    Fault("low_battery", "the battery has this voltage", (Parameter("mv", 17000, 0, 65535, "mV", True),)),
    Fault("high_battery", "the battery has this voltage", (Parameter("mv", 31000, 0, 65535, "mV", True),)),
)

NAMES: tuple[str, ...] = tuple(row.name for row in FAULTS)


def parameters(row: Fault) -> tuple[Parameter, ...]:
    """Every parameter the fault takes, its own ones first."""
    extra = ((AXIS,) if row.per_axis else ()) + ((PROBABILITY, COUNT) if row.telegrams else ()) + (SECONDS,)
    return row.parameters + extra


def find(name: str) -> Fault:
    """The row of that name; ValueError that lists the names otherwise."""
    for row in FAULTS:
        if row.name == name:
            return row
    raise ValueError(f"fault {name!r} is unknown; there are: {', '.join(NAMES)}")


def _short(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e15 else repr(value)[:40]


def checked(name: str, given: dict[str, float], axes: int) -> tuple[Fault, dict[str, float]]:
    """(row, value of every parameter). ValueError naming parameter and allowed values when one is not right."""
    row = find(name)
    allowed = parameters(row)
    names = [p.name for p in allowed]
    for key in given:
        if key not in names:
            raise ValueError(f"fault {name}: parameter {key!r} is unknown; it takes: {', '.join(names)}")
    values: dict[str, float] = {}
    for p in allowed:
        value = given.get(p.name, p.default)
        high = axes if p.name == "axis" else p.high
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"fault {name}: {p.name} must be a number, not {value!r}")
        if not p.low <= value <= high:  # also refuses NaN
            raise ValueError(f"fault {name}: {p.name} {_short(value)} is outside {p.low:g}..{high:g} {p.unit}".rstrip())
        if p.whole and value != int(value):
            raise ValueError(f"fault {name}: {p.name} {_short(value)} must be a whole number")
        values[p.name] = value
    return row, values


def describe(p: Parameter) -> str:
    """`name=default unit`, as help and documents show it."""
    return f"{p.name}={p.default:g}{' ' + p.unit if p.unit else ''}"


def help_text() -> str:
    """The table as plain text, for --help."""
    width = max(len(name) for name in NAMES)
    lines = []
    for row in FAULTS:
        own = f" [{', '.join(describe(p) for p in row.parameters)}]" if row.parameters else ""
        kind = " (per axis)" if row.per_axis else " (telegrams)" if row.telegrams else ""
        lines.append(f"  {row.name:<{width}}  {row.meaning}{own}{kind}")
    return "\n".join(lines)


def markdown_table() -> str:
    """The table as Markdown, for docs/simulator.md."""
    lines = ["| fault | parameters and defaults | meaning |", "|---|---|---|"]
    lines += [
        f"| `{row.name}` | {', '.join(f'`{describe(p)}`' for p in parameters(row))} | {row.meaning} |" for row in FAULTS
    ]
    return "\n".join(lines)
