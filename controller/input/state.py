"""Input devices in the `state` message."""

from __future__ import annotations

import msgspec


class InputDeviceState(msgspec.Struct, frozen=True):
    """A device. `client` is its number (as in `control`), `deflection` what its axes say, -1..1; `active` while it
    moves the arm; `why` it does not act although it is deflected, "" otherwise."""

    name: str
    kind: str
    client: int
    active: bool
    deflection: dict[str, float]
    why: str


class InputState(msgspec.Struct, frozen=True):
    """Input devices: the present `mode` of `modes`, which `source` has set (default, configuration, a scenario)."""

    enabled: bool = False
    mode: str = ""
    modes: list[str] = []
    source: str = ""
    problem: str = ""
    devices: list[InputDeviceState] = []
