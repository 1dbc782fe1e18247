"""How quick is the way from a state to the cycle that uses its answer, on this machine? Moves nothing.

Needs a controller with external development on; no operator. Prints for so many seconds of the loop: the states missed,
in how many cycles an answer was used, the time from the deadline of a state to when its answer was sent, and the
processor time this program took.
"""

from __future__ import annotations

import argparse
import time

from controller.external import ExternalProgram


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--socket", help="where the controller is (default: found by itself)")
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    answered: dict[int, int] = {}   # sequence number of a target -> cycle of the state that it answers
    cycles: list[float] = []
    delays_us: list[float] = []
    with ExternalProgram.connect(given.socket) as program:
        state = program.wait_state()
        first, used, until = state.cycle, time.process_time(), time.monotonic() + given.seconds
        sequence = 0
        while time.monotonic() < until:
            program.send_speed_deg_s([0.0] * state.axes)
            delays_us.append((time.monotonic_ns() - state.deadline_ns) / 1e3)
            sequence += 1
            answered[sequence] = state.cycle
            state = program.wait_state()
            if (before := answered.pop(state.target_sequence, None)) is not None:
                cycles.append(state.cycle - before)
        used = time.process_time() - used
        print(f"{state.cycle - first} cycles, {program.missed} states missed, {state.rejected} targets refused")
        for share in (0.5, 0.99, 0.999):
            print(f"  {share:6.1%}: answer used {percentile(cycles, share):.0f} cycles later, sent "
                  f"{percentile(delays_us, share):.0f} us after the deadline")
        print(f"  processor time {used / given.seconds:.1%} of a core")


if __name__ == "__main__":
    main()
