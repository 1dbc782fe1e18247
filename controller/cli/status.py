"""`allyarm status`: a live table of a running controller, from its HMI server's /status.json."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from controller.cli.reach import NoAnswer, Usage, add_arguments, get_json, target
from controller.cli.reach import shown as printable
from controller.spec.hmi import DEFAULT_PORT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Group, RenderableType

EPILOG = f"""\
examples:
  allyarm status                                         the controller on this machine
  allyarm status --once                                  print once and leave
  allyarm status --json                                  the same as JSON, once
  allyarm status --url http://192.168.1.20:{DEFAULT_PORT}          another one
  allyarm status --config /etc/allyarm/allyarm.toml      address and token from there

A token is taken from the configuration or from $ALLYARM_TOKEN. Ctrl-C ends the live table.
Exit code 0: shown. 1: no controller answers there. 2: usage or configuration.
"""
TIMEOUT_S = 2.0
RATE_WINDOW_S = 0.3  # between the two readings of a rate when only shown once
State = dict[str, Any]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "status", help="live table of a running controller",
        description="Show a running controller: states, axes, rates, lateness percentiles, faults. Only looks.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--interval", metavar="S", type=float, default=0.5, help="seconds between readings, 0.1..60 "
                        "(default 0.5)")
    parser.add_argument("--once", action="store_true", help="print once and leave")
    parser.add_argument("--json", action="store_true", help="print the state as JSON, once")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Show the status; 0 shown, 1 nothing answers, 2 usage."""
    import json
    import time

    from controller.cli.fail import say

    if not 0.1 <= args.interval <= 60:
        say(f"--interval: found {args.interval:g}; allowed: 0.1..60")
        return 2
    try:
        found = target(args)
    except Usage as error:
        say(str(error))
        return 2
    url, token = found.url, found.token
    try:
        state = fetch(url, token)
        if args.json:
            print(json.dumps(state, indent=2))
            return 0
        from rich.console import Console

        if not args.once:
            return live(url, token, state, args.interval)
        before = state
        time.sleep(RATE_WINDOW_S)
        state = fetch(url, token)
    except NoAnswer as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 0
    console = Console()
    if not console.is_terminal:
        console.width = 160
    console.print(render(state, before))
    return 0


def fetch(url: str, token: str = "") -> State:
    """The typed state of the controller at `url`; NoAnswer says what is wrong there."""
    state = get_json(url, "/status.json", token, TIMEOUT_S)
    if not isinstance(state, dict) or not isinstance(state.get("axis"), list):
        raise NoAnswer(f"{url}/status.json does not answer like a controller: something else listens there")
    return state


def live(url: str, token: str, state: State, interval_s: float) -> int:
    """Redraw until Ctrl-C. A controller that goes away is waited for."""
    import time

    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    before = state
    try:
        with Live(render(state, None), screen=False, auto_refresh=False) as screen:
            while True:
                time.sleep(interval_s)
                try:
                    now = fetch(url, token)
                except NoAnswer as error:
                    screen.update(Group(render(state, None), Text(f"{error} Waiting for it.", "red")), refresh=True)
                    continue
                before, state = state, now
                screen.update(render(state, before), refresh=True)
    except KeyboardInterrupt:
        return 0


def rate_hz(now: State, before: State | None, counter: str) -> float | None:
    """Rate of a counter between two readings by the control thread's own clock; None when it cannot be told."""
    if before is None:
        return None
    try:
        count, elapsed_ns = now[counter] - before[counter], now["time_ns"] - before["time_ns"]
        return float(count / elapsed_ns * 1e9) if count >= 0 and elapsed_ns > 0 else None
    except (KeyError, TypeError):
        return None


def shown(value: object, digits: int = 2) -> str:
    """A value for a cell; "-" where there is none."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return printable(value)


def render(state: State, before: State | None) -> Group:
    """All of it: head, axes, timing, faults."""
    from rich.console import Group

    parts = [_head(state), _axes(state), _timing(state, before), *_counters(state), *_faults(state)]
    return Group(*parts)


def _part(state: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = state.get(name)
    return value if isinstance(value, dict) else {}


def _head(state: State) -> RenderableType:
    from rich.text import Text

    name = shown(state.get("state"))
    style = {"AUTO": "bold green", "ERROR": "bold red"}.get(name, "bold")
    inputs = _part(state, "inputs")
    button = {True: "released", False: "PRESSED"}.get(inputs.get("button_closed", ""), "-")
    text = Text.assemble(("AllyArm ", "bold"), (name, style), f" / {shown(state.get('mode'))}",
                         f"   bus {shown(state.get('bus_state'))}   motor power {shown(state.get('motor_power'))}"
                         f"   button {button}   battery {shown(state.get('battery_percent'), 0)} % "
                         f"({shown(state.get('battery_v'), 1)} V)   arm {shown(state.get('serial'))}")
    if state.get("running") is False:
        text.append("\nthe control loop does not run: nothing can be moved or told; switch the arm off with its "
                    "emergency button and restart the controller (`systemctl restart allyarm`)", "bold red")
    control = _part(state, "control").get("name")
    text.append(f"\ncontrol: {shown(control) if control else 'nobody'}")
    if program := _part(state, "link").get("external_program"):
        text.append(f"   external program {shown(program)}: {shown(state.get('external_phase'))}, "
                    f"{shown(state.get('external_rejected'))} targets refused")
    if (devices := _part(state, "input")).get("enabled"):
        text.append(f"\ninput devices: {_input_devices(devices)}")
        if problem := devices.get("problem"):
            text.append(f"; {shown(problem)}", "yellow")
    if blockers := state.get("blockers"):
        text.append(f"\nnot ready: {'; '.join(map(shown, blockers))}", "yellow")
    if (update := _part(state, "board_update")) and update.get("phase") not in {None, "NONE"}:
        text.append(f"\nfirmware update: {shown(update.get('phase'))}, {shown(update.get('fetched_bytes'))} of "
                    f"{shown(update.get('size_bytes'))} bytes, {shown(update.get('message'))}")
    if steps := _part(state, "motion_sequence"):
        text.append(f"\n{shown(steps.get('name'))}: step {shown(steps.get('step'))} of {shown(steps.get('steps'))}, "
                    f"{shown(steps.get('ended') or steps.get('text'))}")
    return text


def _input_devices(devices: Mapping[str, Any]) -> str:
    """Their mode, and each with what keeps it from acting."""
    found = [item for item in devices.get("devices") or () if isinstance(item, dict)]
    each = [f"{shown(item.get('name'))}{' (moves the arm)' if item.get('active') else ''}"
            f"{': ' + shown(item['why']) if item.get('why') else ''}" for item in found]
    return f"mode {shown(devices.get('mode'))}, {'; '.join(each) or 'none is connected'}"


AXIS_COLUMNS = (("axis", "axis"), ("state", "driver_state"), ("mode", "driver_mode"), ("position deg", "position_deg"),
                ("set-point deg", "setpoint_position_deg"), ("target deg", "target_position_deg"),
                ("speed deg/s", "speed_deg_s"), ("limit deg/s", "speed_limit_deg_s"),
                ("torque counts", "torque_counts"), ("moving", "moving"), ("error", "error_code"),
                ("warning", "warning_code"))


def _axes(state: State) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for title, _ in AXIS_COLUMNS:
        table.add_column(title, justify="left" if title in ("state", "mode") else "right")
    for axis in state["axis"]:
        values = axis if isinstance(axis, dict) else {}
        style = "red" if values.get("error_code") or values.get("driver_state") == "ERROR" else ""
        table.add_row(*(Text(shown(values.get(name)), style) for _, name in AXIS_COLUMNS))
    return table


def _timing(state: State, before: State | None) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    columns = ("p50", "p99", "p999", "max")
    table = Table("us since start", *columns)
    for name, values in _part(state, "statistics").items():
        if name.endswith("_us") and isinstance(values, dict):
            table.add_row(Text(shown(name.removesuffix("_us").replace("_", " "))),
                          *(Text(shown(values.get(column), 1)) for column in columns))
    real = _part(state, "realtime")
    refused = _part(real, "refused")
    rates = Text(f"cycles {shown(rate_hz(state, before, 'cycle'), 1)} Hz   "
                 f"answers {shown(rate_hz(state, before, 'valid_telegrams'), 1)} Hz   "
                 f"overruns {shown(state.get('overruns'))}   skipped {shown(state.get('skipped'))}   "
                 f"scheduling {shown(real.get('scheduler'))} {shown(real.get('priority'))}")
    for name, why in refused.items():
        rates.append(f"\nreal time: {shown(name)} refused: {shown(why)}", "yellow")
    return Group(table, rates)


def _counters(state: State) -> list[RenderableType]:
    from rich.text import Text

    lines: list[RenderableType] = []
    for title, counts in (("faults on the line", _part(state, "bus_faults")),
                          ("refused by the HMI", _part(_part(state, "hmi"), "refused"))):
        if some := ", ".join(f"{shown(name)} {shown(count)}" for name, count in counts.items() if count):
            lines.append(Text(f"{title}: {some}"))
    if problem := state.get("store_problem"):
        lines.append(Text(f"store: {shown(problem)}", "yellow"))
    return lines


def _faults(state: State) -> list[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    faults = [fault for fault in state.get("faults") or () if isinstance(fault, dict)]
    if not faults:
        return [Text("no errors, no warnings", "green")]
    table = Table("", "code", "axis", "since", "message", "what to do")
    for fault in faults:
        warning = bool(fault.get("warning"))
        table.add_row(*(Text(text, "yellow" if warning else "red") for text in (
            "warning" if warning else "error", shown(fault.get("code")), shown(fault.get("axis") or "master"),
            shown(fault.get("since")), shown(fault.get("message")), shown(fault.get("solution")))))
    return [table]
