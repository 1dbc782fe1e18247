"""`allyarm settings`: list, change, save and bring back the stored settings, of a stopped or a running controller."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.cli.reach import add_arguments

if TYPE_CHECKING:
    from controller.cli.settings_door import Door
    from controller.spec.hmi import Setting
    from controller.store import Value

EPILOG = """\
examples:
  allyarm settings list                                  all of them: value, default, what is allowed
  allyarm settings get user_speed_percent.1 lock_speed
  allyarm settings set user_speed_percent=60             all five axes; .1 names one axis
  allyarm settings set default_position_1_label=Table range_minimum_deg.1=-20 range_maximum_deg.1=60
  allyarm settings export arm-7.json                     what is saved, as JSON; without a file to standard output
  allyarm settings import arm-7.json --dry-run           check it and show what would change
  allyarm settings reset user_speed_percent              its default again; --all: everything
  allyarm settings accept                                use the settings in force although a damaged file was set aside

A running controller is asked through its HMI server, so that values apply at once; of a stopped one the file is
changed, in the folder that --config or $STATE_DIRECTORY names. Each command does all of what it says, or nothing.
A token is taken from the configuration or from $ALLYARM_TOKEN.
Exit code 0: done. 1: it did not work (no answer, not saved, refused now). 2: usage, or a name or value is not allowed.
"""
FORMAT = 1
LARGEST_FILE_BYTES = 1_000_000


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "settings", help="stored settings: list, change, export, import", epilog=EPILOG,
        description="The stored settings of a running or a stopped controller.",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    where = argparse.ArgumentParser(add_help=False)
    add_arguments(where)
    dry = argparse.ArgumentParser(add_help=False)
    dry.add_argument("--dry-run", action="store_true", help="only check, and show what would change")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=text, description=text, parents=[where, *parents])

    action("list", "all settings with what is allowed").add_argument("--json", action="store_true", help="as JSON")
    action("get", "values of some settings, one per line").add_argument("names", metavar="NAME", nargs="+")
    action("set", "change settings", dry).add_argument("values", metavar="NAME=VALUE", nargs="+")
    export = action("export", "saved settings as JSON")
    export.add_argument("file", metavar="FILE", nargs="?", help="a new file (default: standard output)")
    export.add_argument("--force", action="store_true", help="replace the file if there is one")
    action("import", "bring exported settings back; those not in the file stay", dry).add_argument(
        "file", metavar="FILE", help="what `export` wrote; - is standard input")
    reset = action("reset", "defaults again", dry)
    reset.add_argument("names", metavar="NAME", nargs="*")
    reset.add_argument("--all", action="store_true", help="all settings")
    action("accept", "accept the settings in force in place of a file that could not be used")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """0 done, 1 failed, 2 usage or a value that is not allowed."""
    from controller.cli.fail import say
    from controller.cli.reach import Usage, target
    from controller.cli.settings_door import Failed, Wrong, door

    try:
        work = ACTIONS[args.action]
        prepared = PREPARE.get(args.action, lambda args: None)(args)     # mistakes first, before anything is opened
        found = door(target(args))
        try:
            work(found, args, prepared)
        finally:
            found.close()
    except (Usage, Wrong) as error:
        say(str(error))
        return 2
    except Failed as error:
        say(str(error))
        return 1
    return 0


# -- what is asked for

def _names(names: list[str]) -> list[str]:
    """Names with those of all elements where one without a number was given."""
    from controller.cli.reach import Usage
    from controller.settings import KNOWN
    from controller.spec.hmi import SETTING
    from controller.spec.telegram import MAX_AXES

    found: list[str] = []
    for name in names:
        if name in KNOWN:
            found.append(name)
        elif name in SETTING:
            found += SETTING[name].names(MAX_AXES)
        else:
            import difflib

            close = difflib.get_close_matches(name, [*SETTING, *KNOWN], 3, 0.5)
            hint = f", did you mean {' or '.join(close)}?" if close else ""
            raise Usage(f"{name[:64]!r}: no such setting{hint}; `allyarm settings list` shows all")
    return list(dict.fromkeys(found))


def _assignments(texts: list[str]) -> dict[str, object]:
    """NAME=VALUE arguments; an element's name without a number means all five axes of the map."""
    from controller.cli.reach import Usage
    from controller.settings import KNOWN, checked

    values: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise Usage(f"{text[:64]!r}: allowed is NAME=VALUE")
        names = _names([name])
        if len(names) > 1 and KNOWN[names[0]].span == "arm":
            raise Usage(f"{name}: name the axis, as {names[0]}; every axis has a value of its own")
        for each in names:
            if each in values:
                raise Usage(f"{each}: given twice")
            try:
                values[each] = checked(each, _decoded(KNOWN[each], value))
            except ValueError as error:
                raise Usage(str(error)) from None
    return values


def _decoded(row: Setting, text: str) -> object:
    """A value as the command line has it: text as it is, everything else as JSON."""
    import json

    if row.kind == "text":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _imported(args: argparse.Namespace) -> dict[str, object]:
    """The settings in a file that `export` wrote, each allowed by itself."""
    from controller.cli.reach import Usage
    from controller.settings import checked

    values = _file_content(args.file)
    for name, value in values.items():
        try:
            checked(name, value)
        except ValueError as error:
            raise Usage(f"{args.file}: {error}") from None
    return values


def _file_content(file: str) -> dict[str, Any]:
    import json

    from controller.cli.reach import Usage

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in found]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{twice} is given twice")
        return dict(found)

    def constant(name: str) -> object:
        raise ValueError(f"{name} is no number")

    try:
        with (sys.stdin.buffer if file == "-" else Path(file).open("rb")) as stream:
            raw = stream.read(LARGEST_FILE_BYTES + 1)
        if len(raw) > LARGEST_FILE_BYTES:
            raise ValueError(f"more than {LARGEST_FILE_BYTES} bytes")
        content = json.loads(raw.decode(), object_pairs_hook=pairs, parse_constant=constant)
    except OSError as error:
        raise Usage(f"{file} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise Usage(f"{file} is not what `allyarm settings export` writes: {error}") from None
    if not isinstance(content, dict) or content.get("allyarm_settings") != FORMAT:
        raise Usage(f"{file} is not what `allyarm settings export` writes: allyarm_settings is not {FORMAT}")
    if unknown := content.keys() - {"allyarm_settings", "version", "settings"}:
        raise Usage(f"{file}: unknown key {sorted(unknown)[0][:40]!r}; allowed: allyarm_settings, version, settings")
    if not isinstance(content.get("settings"), dict) or not content["settings"]:
        raise Usage(f"{file}: settings: an object of names and values is needed, with one at least")
    return dict(content["settings"])


def _reset_names(args: argparse.Namespace) -> list[str]:
    from controller.cli.reach import Usage
    from controller.settings import KNOWN

    if bool(args.names) == args.all:
        raise Usage("reset: name the settings, or give --all")
    return [name for name, row in KNOWN.items() if not row.set_by] if args.all else _names(args.names)


# -- what is done

def _list(door: Door, args: argparse.Namespace, _: Any) -> None:
    import json

    from controller.hmi.document import allowed_values
    from controller.settings import KNOWN

    values, unaccepted = door.read(), door.unaccepted()
    if args.json:
        print(json.dumps({"where": door.where, "unaccepted": unaccepted, "settings": values}, indent=2))
        return
    print(f"settings of {door.where}")
    if unaccepted:
        print(f"NOT ACCEPTED: {unaccepted}")
    for name, row in KNOWN.items():
        mark = " " if values[name] == row.default else "*"
        unit = f" {row.unit}" if row.unit else ""
        print(f"{mark} {name:28} {_written(values[name]):>12}{unit:8} allowed: {allowed_values(row)}"
              f"; default: {_written(row.default)}")
    print("* is not the default; - was never saved")


def _get(door: Door, args: argparse.Namespace, names: list[str]) -> None:
    values = door.read()
    for name in names:
        print(f"{name}={_written(values[name])}")


def _set(door: Door, args: argparse.Namespace, values: dict[str, Value]) -> None:
    before = door.read()
    door.write(values, dry_run=args.dry_run)
    _report(before, values, args.dry_run)


def _export(door: Door, args: argparse.Namespace, _: Any) -> None:
    import json

    from controller import __version__
    from controller.cli.reach import Usage
    from controller.settings import KNOWN

    values = {name: int(value) if isinstance(value, float) and value.is_integer() else value
              for name, value in door.read().items() if value is not None and not KNOWN[name].set_by}
    text = json.dumps({"allyarm_settings": FORMAT, "version": __version__, "settings": values}, indent=2) + "\n"
    if args.file is None:
        print(text, end="")
        return
    try:
        with Path(args.file).open("w" if args.force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Usage(f"{args.file} is there already: choose another name, or give --force") from None
    except OSError as error:
        raise Usage(f"{args.file} cannot be written: {error.strerror or error}") from None
    print(f"{len(values)} settings of {door.where} in {args.file}")


def _reset(door: Door, args: argparse.Namespace, names: list[str]) -> None:
    from controller.settings import KNOWN

    before = door.read()
    door.reset(names, dry_run=args.dry_run)
    _report(before, {name: KNOWN[name].default for name in names}, args.dry_run)


def _accept(door: Door, args: argparse.Namespace, _: Any) -> None:
    if not (why := door.unaccepted()):
        print("nothing waits to be accepted")
        return
    door.accept()
    print(f"accepted: {why}")


def _report(before: dict[str, Value], after: dict[str, Value], dry_run: bool) -> None:
    changes = {name: value for name, value in after.items() if before[name] != value}
    for name, value in changes.items():
        print(f"{name}: {_written(before[name])} -> {_written(value)}")
    print(f"{len(changes)} of {len(after)} settings {'would change' if dry_run else 'changed'}")


def _written(value: Value) -> str:
    from controller.cli.reach import shown

    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else shown(value)


PREPARE: dict[str, Any] = {
    "get": lambda args: _names(args.names), "set": lambda args: _assignments(args.values), "import": _imported,
    "reset": _reset_names,
}
ACTIONS: dict[str, Any] = {
    "list": _list, "get": _get, "set": _set, "import": _set, "export": _export, "reset": _reset, "accept": _accept,
}
