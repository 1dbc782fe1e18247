"""Options of the input devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from controller.input.device import EvdevSource, Source
from controller.input.finder import FOLDER
from controller.input.mapping import DEFAULT, Modes, drives_of

if TYPE_CHECKING:
    from controller.config import Config


@dataclass(frozen=True, slots=True)
class InputOptions:
    """`devices` as in Description.matches; `dead_zone` is a share of the full deflection; `silence_s` is for relative
    axes, `still_s` for absolute ones; without `may_start` a device moves an arm that was started, and starts none.
    Event devices are in `folder`, and opened by `open_source`."""

    devices: tuple[str, ...] = ()
    modes: Modes = DEFAULT
    dead_zone: float = 0.1
    silence_s: float = 0.15
    still_s: float = 1.0
    may_start: bool = True
    folder: Path = FOLDER
    open_source: Callable[[str], Source] = EvdevSource

    @classmethod
    def from_config(cls, config: Config) -> InputOptions | None:
        """Options of [input] and [[input_axis]], None when it is not enabled."""
        section = config.input
        if not section.enabled:
            return None
        modes = DEFAULT
        if config.input_axis:
            modes = Modes.of("configuration", drives_of([row.row() for row in config.input_axis]))
        return cls(section.devices, modes, section.dead_zone_percent / 100, section.silence_ms * 1e-3,
                   section.still_ms * 1e-3, section.may_start)
