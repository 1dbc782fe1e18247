"""`allyarm history`: who did what, and what happened, from the file or from a running controller."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from controller.cli.reach import NoAnswer, Target, Usage, add_arguments, get_json, shown, target

if TYPE_CHECKING:
    from controller.history_table import Query

EPILOG = """\
examples:
  allyarm history                                        the newest 100 entries
  allyarm history --errors --limit 10                    the last 10 errors
  allyarm history --since 2h                             also 30m, 7d, 2026-11-24T18:40
  allyarm history --follow                               go on with what happens, until Ctrl-C
  allyarm history --json > history.json                  one JSON object per line
  allyarm history --url http://192.168.1.20:3001         of another machine

Without --url the file is read, in the folder that --config or $STATE_DIRECTORY names, whether a controller runs or not.
A token for --url is taken from the configuration or from $ALLYARM_TOKEN.
Exit code 0: shown. 1: there is no history, or it cannot be read. 2: usage or configuration.
"""
POLL_S = 0.5
Entries = list[dict[str, Any]]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "history", help="errors, stops, starts, changes: who and when", epilog=EPILOG,
        description="Show the history: errors, warnings, states, starts, stops, changed settings, clients. Only looks.",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--errors", action="store_true", help="only errors")
    parser.add_argument("--since", metavar="WHEN", help="a time (2026-11-24T18:40), or an age (30m, 12h, 7d)")
    parser.add_argument("--limit", metavar="N", default="100", help="newest entries to show, 1..1000 (default 100)")
    parser.add_argument("--follow", action="store_true", help="go on with new entries")
    parser.add_argument("--json", action="store_true", help="one JSON object per line, with all fields")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """0 shown, 1 no history, 2 usage."""
    from controller.cli.fail import say
    from controller.history_table import parse_query

    asked = {"limit": args.limit, "errors": str(int(args.errors))}
    if args.since is not None:
        asked["since"] = args.since
    try:
        query = parse_query(asked)
        found = target(args)
        _show(_of_server(found) if found.remote else _of_file(found), query, args)
    except (Usage, ValueError) as error:
        say(str(error))
        return 2
    except NoAnswer as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _show(read: Callable[[Query], Entries], query: Query, args: argparse.Namespace) -> None:
    import json
    import time

    import msgspec

    while True:
        entries = read(query)
        for entry in entries:
            print(json.dumps(entry) if args.json else line(entry), flush=True)
        if not args.follow:
            if not entries and not args.json:
                print("nothing")
            return
        last = max([query.after or 0, *(entry["id"] for entry in entries)])
        query = msgspec.structs.replace(query, after=last)
        time.sleep(POLL_S)


def line(entry: dict[str, Any]) -> str:
    """One entry as one line: time, kind, who, text, and its details."""
    details = entry.get("detail") or {}
    more = "; ".join(f"{name}: {_change(value)}" for name, value in details.items() if name != "source")
    parts = (entry["time"][:23].replace("T", " "), f"{entry['kind']:15}", entry["who"] and f"[{entry['who']}]",
             entry["text"], more and f"({more})")
    return " ".join(shown(part) for part in parts if part)


def _change(value: object) -> str:
    return f"{value[0]} -> {value[1]}" if isinstance(value, list) and len(value) == 2 else str(value)


def _of_server(found: Target) -> Callable[[Query], Entries]:
    from urllib.parse import urlencode

    def read(query: Query) -> Entries:
        asked = {"limit": query.limit, "errors": int(query.errors), "after": query.after, "since": query.since_s}
        given = urlencode({name: value for name, value in asked.items() if value is not None})
        answer = get_json(found.url, f"/history?{given}", found.token)
        if not isinstance(answer, dict) or not isinstance(answer.get("entries"), list):
            raise NoAnswer(f"{found.url}/history does not answer like a controller")
        return list(answer["entries"])

    return read


def _of_file(found: Target) -> Callable[[Query], Entries]:
    """Beside a controller that writes it: readers of a write-ahead log hold nobody up."""
    import sqlite3

    from controller.history_table import FILE, select

    path = found.folder / FILE
    if not path.exists():
        raise NoAnswer(f"there is no history in {found.folder}: name the folder by --config or $STATE_DIRECTORY, or a "
                       "running controller by --url")

    def read(query: Query) -> Entries:
        try:
            database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
            try:
                return [entry.as_dict() for entry in select(database, query)]
            finally:
                database.close()
        except (sqlite3.Error, ValueError) as error:
            raise NoAnswer(f"{path} cannot be read ({error}): has this user the right to, or ask the running "
                           "controller with --url") from None

    return read
