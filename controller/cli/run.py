"""`allyarm run`: the controller itself."""

from __future__ import annotations

import argparse

EXAMPLES = """examples:
  allyarm run                                   simulated arm, HMI on http://127.0.0.1:3001
  allyarm run --bus-port /dev/ttyAMA0 --baudrate 3000000
  allyarm run --config /etc/allyarm/allyarm.toml --rate 500
  allyarm run --duration 10                     stop by itself after ten seconds

exit codes: 0 clean stop, 1 internal failure, 2 usage or configuration, 3 no arm found in time (bus.give_up_after_s)"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "run", help="run the controller", description="Run the controller: control loop, motor bus and HMI server. "
        "Flags override the configuration file. Without a serial port it starts the simulated arm as a child process.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", metavar="FILE", help="TOML configuration (see docs/configuration.md)")
    parser.add_argument("--hmi-host", metavar="H", help="address the HMI server listens on (default 127.0.0.1)")
    parser.add_argument("--hmi-port", metavar="P", type=int, help="its TCP port (default 3001; 0 takes a free one)")
    parser.add_argument("--bus-port", metavar="PATH", help="serial port, pty or pyserial URL of the arm")
    parser.add_argument("--baudrate", metavar="N", type=int, help="line speed (default 3000000)")
    parser.add_argument("--rate", metavar="HZ", type=int, help="control cycles per second, 10..2000 (default 1000)")
    parser.add_argument("--axes", metavar="N", type=int, help="axes the arm must have, 1..8 (default: what it says)")
    parser.add_argument("--duration", metavar="S", type=float, help="stop after S seconds")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    from math import isfinite

    from controller.app import App
    from controller.cli.fail import say
    from controller.config import ConfigError, load

    overrides = {
        "hmi.host": arguments.hmi_host, "hmi.port": arguments.hmi_port, "bus.port": arguments.bus_port,
        "bus.baudrate": arguments.baudrate, "loop.rate_hz": arguments.rate, "arm.axes": arguments.axes,
    }
    if arguments.duration is not None and not (arguments.duration > 0 and isfinite(arguments.duration)):
        say(f"--duration: {arguments.duration:g} given, a finite number of seconds above 0 is needed")
        return 2
    if arguments.axes == 0:     # "what the arm says" in the file; a flag that says nothing is a mistake
        say("--axes: 0 given, a whole number 1..8 is needed; leave the flag out to take what the arm says")
        return 2
    if arguments.config == "":
        say("--config: an empty name given, the name of a TOML file is needed; leave the flag out for the defaults")
        return 2
    try:
        from pathlib import Path

        config = load(Path(arguments.config) if arguments.config is not None else None, overrides)
    except ConfigError as error:
        say(str(error))
        return 2
    return App(arguments.core, config, arguments.duration, arguments.signals).run()
