"""The command `allyarm`. For `run` the control loop starts here, before anything slow is imported."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False   # typing's own costs the first control cycle 4 ms
if TYPE_CHECKING:
    from controller._core import Core
    from controller.signals import StopSignals

COMMANDS = ("run", "sim", "check", "doctor", "status", "settings", "history", "password", "move", "jog", "home", "play",
            "compliant", "stop", "reset", "calibrate", "devices", "update", "board-update")


def _early_core(argv: list[str]) -> tuple[Core, StopSignals] | None:
    """The running core for `allyarm run`, or None: help and other commands have no use for it."""
    if argv[:1] != ["run"] or not {"-h", "--help"}.isdisjoint(argv):
        return None
    import gc

    from controller._core import Core

    core = Core()
    core.start()
    gc.disable()    # nothing to collect while modules are imported; App turns it on again
    from controller.signals import StopSignals  # takes longer than the core to load

    signals = StopSignals()
    signals.install()       # before there is anything that must not be ended in the middle: no line is attached yet
    return core, signals


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 done, 1 failed, 2 usage or configuration, 3 no arm)."""
    argv = sys.argv[1:] if argv is None else argv
    early = _early_core(argv)
    try:
        import argparse
        from importlib import import_module

        from controller import __version__

        parser = argparse.ArgumentParser(
            prog="allyarm", description="Controller runtime of the AllyArm exoskeleton.",
            epilog="examples:\n  allyarm run                       start on the simulated arm\n"
                   "  allyarm run --bus-port /dev/ttyAMA0\n  allyarm doctor                    is this machine fit?",
            formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--version", action="version", version=f"allyarm {__version__}")
        commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
        wanted = [argv[0]] if argv[:1] and argv[0] in COMMANDS else COMMANDS
        for name in wanted:
            module = "controller.sim.cli" if name == "sim" else f"controller.cli.{name.replace('-', '_')}"
            import_module(module).add_parser(commands)
        arguments = parser.parse_args(argv)
        if early is not None:
            arguments.core, arguments.signals = early
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:   # before a command was ready to end by it: nothing was begun
        return 130
    except BrokenPipeError:     # the reader of a listing has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    finally:
        if early is not None:
            early[0].request_quit()
            early[0].join(2.0)


if __name__ == "__main__":
    sys.exit(main())
