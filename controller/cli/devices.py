"""`allyarm devices`: the input devices of this machine, what they say, and whether the controller would use them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from controller.input.device import Description, EvdevSource
    from controller.input.events import Tracker

EPILOG = """\
examples:
  allyarm devices                                        what is plugged in
  allyarm devices --config /etc/allyarm/allyarm.toml     which of them the controller uses, by [input] there
  allyarm devices --live                                 what their axes say, until Ctrl-C
  allyarm devices --json

A controller that runs has its devices for itself: their values are in `state.input` then, and here only what they are.
Exit code 0: shown. 1: there is no input device that may be read. 2: usage or configuration.
"""
LIVE_S = 0.1


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "devices", help="3D mice and game pads of this machine",
        description="List the input devices of this machine. Only looks; it needs no controller.", epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", metavar="FILE", help="the configuration whose [input] counts")
    parser.add_argument("--live", action="store_true", help="show what the axes say, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="print the devices as JSON, once")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """List; 0 shown, 1 nothing to show, 2 usage."""
    import json
    import sys
    from pathlib import Path

    from controller import config
    from controller.cli.fail import say
    from controller.input.finder import FOLDER

    try:
        settings = config.load(Path(args.config) if args.config else None).input
    except config.ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    sources, refused = open_all(FOLDER)
    try:
        for path, why in refused.items():
            say(f"{path}: {why}")
        if not sources:
            say(f"there is no input device in {FOLDER}" if not refused else "no input device may be read")
            return 1
        trackers = [tracker_of(source) for source in sources]
        if args.json:
            print(json.dumps([as_json(tracker, used(tracker.description, settings.devices)) for tracker in trackers],
                             indent=2))
            return 0
        from rich.console import Console

        if args.live:
            return live(sources, trackers, settings.devices)
        Console().print(table(trackers, settings.devices))
        if not settings.enabled:
            print("the controller uses none of them: [input] enabled = true in its configuration lets it")
        return 0
    finally:
        for source in sources:
            source.close()


def open_all(folder: Path) -> tuple[list[EvdevSource], dict[str, str]]:
    """Every device that may be read, and why others may not."""
    from controller.input.device import EvdevSource
    from controller.input.finder import nodes, refusal

    sources, refused = [], {}
    for path in nodes(folder):
        try:
            source = EvdevSource(str(path))
        except OSError as error:
            refused[str(path)] = refusal(error)
            continue
        if source.description.axes:
            sources.append(source)
        else:
            source.close()
    return sources, refused


def tracker_of(source: EvdevSource) -> Tracker:
    """What follows one of them."""
    import time

    from controller.input.events import Tracker

    return Tracker(0, source.description, source.absolutes, time.monotonic())


def used(description: Description, patterns: tuple[str, ...]) -> bool:
    """Whether the controller takes it."""
    return description.matches(patterns)


def as_json(tracker: Tracker, taken: bool) -> dict[str, Any]:
    """One device."""
    found = tracker.description
    return {"path": found.path, "name": found.name, "id": found.ids, "kind": found.kind, "used": taken,
            "axes": {axis.name: round(axis.deflection(value), 3) + 0.0
                     for axis, value in zip(found.axes, tracker.values, strict=True)},
            "mode_button": found.mode_button >= 0, "stop_button": found.stop_button >= 0}


def table(trackers: list[Tracker], patterns: tuple[str, ...]) -> Table:
    """All of them."""
    from rich.markup import escape
    from rich.table import Table

    made = Table("path", "name", "vendor:product", "kind", "used", "axes, -1..1")
    for tracker in trackers:
        found = as_json(tracker, used(tracker.description, patterns))
        axes = "  ".join(f"{name} {value:+.2f}" for name, value in found["axes"].items())
        made.add_row(found["path"], escape(found["name"]), found["id"], found["kind"], "yes" if found["used"] else "no",
                     axes)
    return made


def live(sources: list[EvdevSource], trackers: list[Tracker], patterns: tuple[str, ...]) -> int:
    """Redraw until Ctrl-C, or until no device is left."""
    import os
    import time

    from rich.live import Live

    try:
        with Live(table(trackers, patterns), auto_refresh=False) as screen:
            while trackers:
                time.sleep(LIVE_S)
                for source, tracker in zip(tuple(sources), tuple(trackers), strict=True):
                    try:
                        tracker.take(os.read(source.fd, 65536), time.monotonic())
                    except BlockingIOError:
                        pass
                    except OSError:
                        source.close()
                        sources.remove(source)
                        trackers.remove(tracker)
                screen.update(table(trackers, patterns), refresh=True)
    except KeyboardInterrupt:
        return 0
    return 1
