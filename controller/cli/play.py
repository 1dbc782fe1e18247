"""`allyarm play`: stored exercises and scenarios on the arm, their times, and the reports of what was played."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from controller.cli.client import Session, asked, exit_code, run
from controller.cli.reach import Usage, add_arguments, get_json, shown, target

if TYPE_CHECKING:
    from controller.cli.reach import Target

EPILOG = """\
examples:
  allyarm play --list                     exercises and scenarios that are stored
  allyarm play Wave                       play one, with its own repetitions
  allyarm play Wave --repeat 3            three times
  allyarm play Wave --estimate            how long it would take, and whether it can be played; nothing moves
  allyarm play --scenario Lunch           the exercises that a scenario names
  allyarm play --reports                  what was played, the newest first
  allyarm play --reports 12               report 12 with every position that was reached
  allyarm play --reports 12 --json        the same as JSON

It takes control of the arm, and is the operator's start: motor power comes on where it is off. Every position is
checked before the first one moves. In a terminal, p pauses (the arm stands, ready) and goes on; Ctrl-C stops
the arm softly. A pause of 30 s ends it.
Exit code 0: played to its end, or shown. 1: refused, stopped or failed. 2: usage. 130: ended by Ctrl-C.
"""
NEWEST = 0
Json = dict[str, Any]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "play", help="play a stored exercise or scenario",
        description="Play a stored exercise on a running controller's arm, or show what is stored and what was played.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", metavar="NAME", nargs="?", help="the exercise")
    parser.add_argument("--scenario", metavar="NAME", help="the exercises that a scenario names, in place of NAME")
    parser.add_argument("--repeat", metavar="N", type=int, help="repetitions, 1..100, in place of the exercise's own")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="show what is stored")
    what.add_argument("--estimate", action="store_true", help="show how long it would take")
    what.add_argument("--reports", metavar="ID", nargs="?", type=int, const=NEWEST, help="show the newest reports, or "
                      "the one of a number")
    parser.add_argument("--json", action="store_true", help="with --list, --estimate, --reports: as JSON")
    add_arguments(parser)
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Play or show; 0 done, 1 refused, stopped or failed, 2 usage."""
    return exit_code(lambda: _main(args))


def _main(args: argparse.Namespace) -> int:
    check(args)
    if not (args.list or args.estimate or args.reports is not None):
        return run(args, lambda session: play(session, args))
    show(args, target(args))
    return 0


def check(args: argparse.Namespace) -> None:
    """Usage when the arguments do not fit together."""
    shows = args.list or args.reports is not None
    if args.repeat is not None and not 1 <= args.repeat <= 100:
        raise Usage(f"--repeat: found {args.repeat}; allowed: 1..100")
    if args.reports is not None and args.reports < 0:
        raise Usage(f"--reports: found {args.reports}; allowed: the number of a report")
    if args.name is not None and args.scenario is not None:
        raise Usage("allowed is one of NAME and --scenario")
    if args.scenario is not None and args.repeat is not None:
        raise Usage("--repeat: a scenario has its own repetitions")
    if shows and (args.name or args.scenario or args.repeat):
        raise Usage("--list and --reports go without NAME, --scenario and --repeat")
    if not shows and args.name is None and args.scenario is None:
        raise Usage("name an exercise or a --scenario; --list shows them")
    if args.json and not (shows or args.estimate):
        raise Usage("--json goes with --list, --estimate or --reports")


def fields(args: argparse.Namespace) -> Json:
    """Of `play` and `estimate`."""
    named = {"exercise": args.name, "scenario": args.scenario, "repeat": args.repeat}
    return {name: value for name, value in named.items() if value is not None}


async def play(session: Session, args: argparse.Namespace) -> int:
    """Begin, and show it to its end."""
    from controller.cli.sequence_view import duration, follow

    answer = await session.begin("play", **fields(args))
    name = args.name or args.scenario
    await follow(session, f"playing {name}",
                 f"playing {name}, about {duration(answer['estimate_s'])}{left_alone(answer)}")
    print(f"done: {name}", flush=True)
    return 0


# -- what only looks

def show(args: argparse.Namespace, found: Target) -> None:
    """--list, --estimate, --reports."""
    import json

    if args.list:
        answer: Json = {"exercises": get_json(found.url, "/exercises_names", found.token),
                        **get_json(found.url, "/scenario_names", found.token)}
        lines = list_lines(answer)
    elif args.estimate:
        answer = asked(found, {"type": "estimate", **fields(args)})
        lines = estimate_lines(answer)
    elif args.reports == NEWEST:
        answer = asked(found, {"type": "reports"})
        lines = report_lines(answer["reports"])
    else:
        answer = whole_report(found, args.reports)
        lines = move_lines(answer)
    answer.pop("ok", None)
    print(json.dumps(answer, indent=2, ensure_ascii=False) if args.json else "\n".join(lines))


def whole_report(found: Target, number: int) -> Json:
    """A report with all its moves, part by part."""
    report: Json = asked(found, {"type": "reports", "id": number})["report"]
    while report["next_step"] is not None:
        more = asked(found, {"type": "reports", "id": number, "first_step": report["next_step"]})["report"]
        report["moves"] += more["moves"]
        report["next_step"] = more["next_step"]
    del report["next_step"]
    return report


def list_lines(answer: Json) -> list[str]:
    found = [f"{shown(one['name']):24}  {one['rep']} repetitions" for one in answer["exercises"]]
    scenarios = [f"{shown(name):24}  scenario{', chosen' if name == answer['lastScenario'] else ''}"
                 for name in answer["scenarioNames"]]
    return [*found, *scenarios] or ["no exercise is stored"]


def estimate_lines(answer: Json) -> list[str]:
    from controller.cli.sequence_view import duration

    return [f"about {duration(answer['estimate_s'])} for {answer['steps']} positions, from where the arm stands "
            f"now{left_alone(answer)}"]


def left_alone(answer: Json) -> str:
    """The axes that an exercise does not move, as a tail of a line."""
    axes = answer.get("axes_left_alone")
    return f"; axes that stay where they are: {', '.join(map(str, axes))}" if axes else ""


def report_lines(reports: list[Json]) -> list[str]:
    return [summary(one) for one in reports] or ["nothing was played yet"]


def summary(one: Json) -> str:
    """A report in one line."""
    from controller.cli.sequence_view import duration

    took = "" if one["seconds"] is None else f" in {duration(one['seconds'])}"
    expected = "" if one["estimate_s"] is None else f" (estimated {duration(one['estimate_s'])})"
    lost = f", {one['lost']} positions not kept" if one["lost"] else ""
    return (f"{one['id']:5}  {shown(one['began'])}  {shown(one['name'])}  {one['moves']} of {one['steps']} steps{took}"
            f"{expected}: {shown(one['ended'] or 'runs')}{lost}  [{shown(one['who'])}]")


def move_lines(report: Json) -> list[str]:
    """A whole report: its positions, and what interrupted it."""
    lines = [summary(report["summary"]), "", " step  exercise                 rep  pos   seconds  reached, degrees"
             "                 largest torque, counts"]
    for move in report["moves"]:
        reached = move["reached"]
        degrees = " ".join(f"{deg:7.2f}" for deg in reached["position_deg"])
        torques = " ".join(f"{counts:6.0f}" for counts in reached["max_torque_counts"])
        lines.append(f"{move['step']:5}  {shown(move['exercise']):24} {move['repetition']:3}  {move['order_pos']:3}  "
                     f"{move['seconds']:8.2f}  {degrees}  {torques}")
    for item in report["interruptions"]:
        why = ", ".join(filter(None, (shown(item["why"]), shown(item["who"]))))
        lines.append(f"{item['what']} in step {item['step']}, {item['after_s']:.1f} s after the beginning: {why}")
    return lines
