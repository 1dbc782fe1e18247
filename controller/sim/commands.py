"""The simulator's line protocol, shared by the control socket, script files and the command line's --fault."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from controller.sim import faults
from controller.sim._board import Board
from controller.sim.firmware import BEHAVIOURS, Firmware

HELP = "; ".join((
    "fault NAME [axis=N] [key=value ...]",
    "clear [NAME]",
    "unplug",
    "plug",
    "button press|release",
    "update normal|corrupt|broken|deaf",
    "register ADDRESS",
    "state",
    "help",
))
VERBS = ("fault", "clear", "unplug", "plug", "button", "update", "register", "state", "help")


LAST_REGISTER = 599


class Action(NamedTuple):
    """One parsed and checked command. `arm` is 1-based."""

    verb: str
    arm: int
    name: str
    values: dict[str, float]


class Plugged(Protocol):
    """What an action works on: a board and the port that serves it."""

    board: Board
    firmware: Firmware

    def state(self) -> str: ...


def _values(words: list[str]) -> dict[str, float]:
    values: dict[str, float] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise ValueError(f"{word!r} is not key=value")
        if key in values:
            raise ValueError(f"{key} is given twice")
        try:
            values[key] = float(text)
        except ValueError:
            raise ValueError(f"{key} must be a number, not {text!r}") from None
    return values


def parse(line: str, axes: int, arms: int = 1) -> Action:
    """Checks a command completely. ValueError that names what is wrong and what is allowed. `arm=N` picks the arm."""
    words = line.split()
    if not words:
        raise ValueError(f"empty command; there are: {HELP}")
    verb = words.pop(0)
    if verb not in VERBS:
        raise ValueError(f"command {verb!r} is unknown; there are: {HELP}")
    arm = 1
    chosen = [word for word in words if word.startswith("arm=")]
    if chosen:
        words.remove(chosen[0])
        value = _values(chosen[:1])["arm"]
        if value not in range(1, arms + 1):
            raise ValueError(f"arm {value:g} is outside 1..{arms}")
        arm = int(value)
    if verb == "fault":
        if not words:
            raise ValueError(f"fault needs a name: {', '.join(faults.NAMES)}")
        name = words.pop(0)
        values = _values(words)
        faults.checked(name, values, axes)
        return Action(verb, arm, name, values)
    name = ""
    if verb == "clear" and words:
        name = faults.find(words.pop(0)).name
    elif verb == "button":
        if not words or words[0] not in {"press", "release"}:
            raise ValueError(f"button takes press or release, not {' '.join(words)!r}")
        name = words.pop(0)
    elif verb == "update":
        if not words or words[0] not in BEHAVIOURS:
            raise ValueError(f"update takes {', '.join(BEHAVIOURS)}, not {' '.join(words)!r}")
        name = words.pop(0)
    elif verb == "register":
        if not words or not words[0].isdecimal() or not 1 <= int(words[0]) <= LAST_REGISTER:
            raise ValueError(f"register takes an address 1..{LAST_REGISTER}, not {' '.join(words)!r}")
        name = words.pop(0)
    if words:
        raise ValueError(f"{verb}: {' '.join(words)!r} is too much; the commands are: {HELP}")
    return Action(verb, arm, name, {})


def apply(action: Action, port: Plugged) -> str:
    """Does it; returns what follows `ok` in the answer."""
    board = port.board
    if action.verb == "fault":
        values = dict(action.values)
        board.set_fault(action.name, True, int(values.pop("axis", 0)), **values)
        return f"fault {action.name}"
    if action.verb == "clear":
        board.clear_faults(action.name or None)
        return f"clear {action.name}".strip()
    if action.verb == "unplug":
        board.set_fault("hang_up")
    elif action.verb == "plug":
        board.clear_faults("hang_up")
    elif action.verb == "button":
        board.set_fault("button", on=action.name == "press")
    elif action.verb == "update":
        port.firmware.behaviour = action.name
    elif action.verb == "register":
        return f"register {action.name} {board.register(int(action.name))}"
    elif action.verb == "state":
        return port.state()
    elif action.verb == "help":
        return f"{HELP}; faults: {', '.join(faults.NAMES)}"
    return f"{action.verb} {action.name}".strip()


def parse_script(text: str, axes: int, arms: int = 1) -> list[tuple[float, Action]]:
    """[(seconds from the start, action), ...] in order of time. ValueError that names the line."""
    actions: list[tuple[float, Action]] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        time_text, _, command = line.partition(" ")
        try:
            time_s = float(time_text)
            if not 0.0 <= time_s <= 1e9:
                raise ValueError
        except ValueError:
            raise ValueError(f"line {number}: {time_text!r} is not a time in seconds (0 or more)") from None
        try:
            actions.append((time_s, parse(command, axes, arms)))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    actions.sort(key=lambda entry: entry[0])
    return actions
