"""A program of your own that moves the arm: every axis swings to and fro by a few degrees, once an operator lets it.

    1. a controller with external development on:   [external] enabled = true     in its configuration
    2. this program, as the controller's user:      python examples/external_sine.py
    3. an operator admits it:                       emit("command", {type: "mode", mode: 8})

Ctrl-C gives the arm back in good order. docs/external.md tells what holds whatever a program does.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys

from controller.external import ExternalError, ExternalProgram, ExternalState, Position


class Sine:
    """`function` for ExternalProgram.run: joint positions in degrees, and the speeds that go with them in deg/s.

    It begins where the arm stands when it is admitted, at rest, so the first target is no jump."""

    def __init__(self, amplitude_deg: float, frequency_hz: float, duration_s: float) -> None:
        self.amplitude_deg, self.frequency_hz, self.duration_s = amplitude_deg, frequency_hz, duration_s
        self.start: tuple[float, ...] = ()

    def __call__(self, state: ExternalState) -> Position | None:
        if not state.admitted:
            self.start = ()
            return Position(state.position_deg)     # moves nothing yet, but shows that the program is there
        if not self.start:
            self.start = state.setpoint_position_deg
        time_s = (state.time_ns - state.admitted_ns) * 1e-9
        if self.duration_s and time_s > self.duration_s:
            return None                             # done: the arm is given back
        turn = 2.0 * math.pi * self.frequency_hz
        swing = self.amplitude_deg * (1.0 - math.cos(turn * time_s)) / 2.0
        speed = self.amplitude_deg * turn * math.sin(turn * time_s) / 2.0
        return Position([deg + swing for deg in self.start], [speed] * state.axes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--socket", help="where the controller is (default: found by itself)")
    parser.add_argument("--amplitude", type=float, default=10.0, help="degrees from one end to the other")
    parser.add_argument("--frequency", type=float, default=0.25, help="swings per second")
    parser.add_argument("--duration", type=float, default=0.0, help="seconds after the admission, 0 for ever")
    given = parser.parse_args()
    try:
        with ExternalProgram.connect(given.socket) as program:
            print(f"connected to {program.path}; waiting for an operator", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                program.run(Sine(given.amplitude, given.frequency, given.duration))
            print(f"done, {program.missed} states missed", flush=True)
    except ExternalError as error:      # no controller there, or it has gone: nothing more to do here
        sys.exit(f"external_sine: {error}")


if __name__ == "__main__":
    main()
