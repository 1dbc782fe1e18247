"""`allyarm sim`: the simulated arm as a process of its own. Also `python -m controller.sim`."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

from controller.sim import faults
from controller.sim.arm import OPTIONS

if TYPE_CHECKING:
    from argparse import _SubParsersAction

SUMMARY = "serve a simulated arm on a pseudo-terminal"
SEND_TIMEOUT_S = 5.0


def _epilog() -> str:
    options = "\n".join(f"  {row.name}={row.default:g}  {row.unit + ': ' if row.unit else ''}{row.meaning}"
                        for row in OPTIONS)
    return f"""examples:
  allyarm sim --link /tmp/arm                 one arm, found at /tmp/arm
  allyarm sim --ports 2 --axes 5 --seed 7     two arms of 5 axes
  allyarm sim --fault "lost probability=0.01" --fault "sensor_stuck axis=2"
  allyarm sim --control /tmp/arm.ctl          then, from another terminal:
  allyarm sim --send /tmp/arm.ctl "fault silence seconds=0.5"
  allyarm sim --send /tmp/arm.ctl unplug      and plug, button press, button release, state, clear, help
  allyarm sim --script FILE                   lines of: SECONDS COMMAND, # begins a comment

faults; every one takes seconds=S (ends by itself), those of telegrams probability=P and count=N,
those per axis axis=N (1-based, 0 = every axis):
{faults.help_text()}

options for --set:
{options}
"""


def _fill(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _epilog()
    parser.add_argument("--axes", type=int, default=4, metavar="N", help="axes of each arm, 1..8 (default 4)")
    parser.add_argument("--ports", type=int, default=1, metavar="N", help="number of arms, 1..8 (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="makes noise and random faults repeatable (default 0)")
    parser.add_argument("--link", action="append", default=[], metavar="PATH",
                        help="symbolic link to the pseudo-terminal; once per arm, in order")
    parser.add_argument("--control", metavar="PATH", help="Unix socket that takes commands while it runs")
    parser.add_argument("--fault", action="append", default=[], metavar='"NAME key=value"',
                        help="fault that is on from the start, on every arm unless arm=N; repeatable")
    parser.add_argument("--script", metavar="FILE", help="commands at times counted from the start")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an option; repeatable")
    parser.add_argument("--die-with-parent", nargs="?", type=int, const=0, metavar="PID",
                        help="ends when the process that started it ends; with PID, also if it already has")
    parser.add_argument("--send", nargs="+", metavar=("PATH", "COMMAND"),
                        help="sends one command (quoted or not) to a running simulator and prints the answer")


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Adds `sim` to the command line of `allyarm`; `run` of the parsed arguments does it."""
    parser = subparsers.add_parser("sim", help=SUMMARY, description=SUMMARY)
    _fill(parser)
    parser.set_defaults(run=main)
    return parser


def send(path: str, command: str) -> int:
    """Sends a command to a running simulator. 0 when it was done, 1 when refused or unreachable."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SEND_TIMEOUT_S)
        try:
            client.connect(path)
            client.sendall(command.replace("\n", " ").encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                data = client.recv(65536)
                if not data:
                    break
                answer += data
        except OSError as error:
            print(f"error: {path}: {error.strerror or error}", file=sys.stderr)
            return 1
    text = answer.decode("utf-8", "replace").rstrip("\n")
    good = text.split(" ", 1)[0] == "ok"
    print(text or "error: no answer", file=sys.stdout if good else sys.stderr)
    return 0 if good else 1


def _options(words: list[str]) -> dict[str, Any]:
    names = [row.name for row in OPTIONS]
    values: dict[str, Any] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in names:
            raise ValueError(f"--set {name}: unknown; there are: {', '.join(names)}")
        try:
            values[name] = float(text)
        except ValueError:
            raise ValueError(f"--set {name}: {text!r} is not a number") from None
    return values


def main(args: argparse.Namespace) -> int:
    """Runs the simulator until a signal. 0 clean stop, 1 no port could be opened or --send was refused, 2 usage."""
    if args.send:
        path, *words = args.send
        if not words:
            print("allyarm sim: --send PATH COMMAND: the command is missing; `help` lists them", file=sys.stderr)
            return 2
        return send(path, " ".join(words))
    parent = 0
    if args.die_with_parent is not None:
        from controller.sim._board import die_with_parent

        parent = os.getppid()
        die_with_parent(signal.SIGTERM)
        if args.die_with_parent not in {0, parent}:
            return 0  # it ended before we could ask
    from controller.sim import commands
    from controller.sim._board import Board
    from controller.sim.server import Control, Port, Server

    try:
        if not 1 <= args.ports <= 8:
            raise ValueError(f"--ports {args.ports} is outside 1..8")
        if len(args.link) > args.ports:
            raise ValueError(f"--link is given {len(args.link)} times for {args.ports} arms")
        options = _options(args.set)
        links = args.link + [None] * (args.ports - len(args.link))
        ports = [Port(Board(args.axes, args.seed + k, **options), links[k]) for k in range(args.ports)]
        for text in args.fault:
            action = commands.parse(f"fault {text}", args.axes, args.ports)
            for port in [ports[action.arm - 1]] if "arm=" in text else ports:
                commands.apply(action, port)
        script: list[tuple[float, commands.Action]] = []
        if args.script:
            with open(args.script, encoding="utf-8") as file:
                script = commands.parse_script(file.read(), args.axes, args.ports)
        control = Control(args.control) if args.control else None
    except (ValueError, OSError) as error:
        print(f"allyarm sim: {error}", file=sys.stderr)
        return 2
    try:
        Server(ports, control, script, parent).run()
    except OSError as error:  # no pseudo-terminal left, or a link that cannot be made
        print(f"allyarm sim: {error}", file=sys.stderr)
        return 1
    return 0


def run(argv: list[str] | None = None) -> int:
    """The command on its own."""
    parser = argparse.ArgumentParser(prog="allyarm sim", description=SUMMARY)
    _fill(parser)
    return main(parser.parse_args(argv))
