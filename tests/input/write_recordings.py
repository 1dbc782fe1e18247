"""Writes the recordings of this folder: what a SpaceNavigator and an Xbox 360 pad send, after their drivers' sources.

No device was at hand: the reports' rates, ranges, play and order are those of hid-input and xpad, hand and noise are
made up. `python -m tests.input.write_recordings` writes the same bytes each time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parent / "recordings"
SPACE = """# EVEMU 1.3
N: 3Dconnexion SpaceNavigator
I: 0003 046d c626 0111
P: 00 00 00 00 00 00 00 00
B: 00 17 00 00 00 00 00 00 00
B: 01 {bits}
B: 02 3f 00 00 00 00 00 00 00
"""
PAD = """# EVEMU 1.3
N: Microsoft X-Box 360 pad
I: 0003 045e 028e 0114
P: 00 00 00 00 00 00 00 00
B: 00 0b 00 00 00 00 00 00 00
B: 01 {bits}
B: 03 3f 00 03 00 00 00 00 00
A: 00 -32768 32767 16 128 0
A: 01 -32768 32767 16 128 0
A: 02 0 255 0 0 0
A: 03 -32768 32767 16 128 0
A: 04 -32768 32767 16 128 0
A: 05 0 255 0 0 0
A: 10 -1 1 0 0 0
A: 11 -1 1 0 0 0
"""


def bits(*codes: int) -> str:
    data = [0] * 96
    for code in codes:
        data[code // 8] |= 1 << code % 8
    return " ".join(f"{byte:02x}" for byte in data)


def hand(t: float, begin: float, end: float, rise: float = 0.12) -> float:
    """0..1: pushed at `begin`, let go at `end`."""
    return max(0.0, min(1.0, (t - begin) / rise, 1 - (t - end) / rise))


def line(t: float, kind: int, code: int, value: int) -> str:
    return f"E: {t:.6f} {kind:04x} {code:04x} {value:04d}"


def space(push: Callable[[float], dict[int, float]], seconds: float, keys: list[tuple[float, int, int]]) -> list[str]:
    """Every 16 ms a report of the translation, 8 ms later one of the rotation, while the cap is not centred. Zeros are
    not told by the kernel."""
    noise, lines = random.Random(1), []
    waiting = sorted(keys)
    for step in range(round(seconds / 0.008)):
        t = step * 0.008
        while waiting and waiting[0][0] <= t:
            _, code, value = waiting.pop(0)
            lines += [line(t, 1, code, value), line(t, 0, 0, 0)]
        pushed = push(t)
        if not any(pushed.values()):
            continue
        values = {code: round(350 * (pushed.get(code, 0.0) + noise.gauss(0, 0.01 if pushed.get(code) else 0.004)))
                  for code in (range(3) if step % 2 == 0 else range(3, 6))}
        events = [line(t, 2, code, value) for code, value in values.items() if value]
        if events:
            lines += [*events, line(t, 0, 0, 0)]
    return lines


def pad(push: Callable[[float], dict[int, float]], seconds: float, keys: list[tuple[float, int, int]]) -> list[str]:
    """A report every 4 ms where something changed by more than the driver's fuzz."""
    noise, lines, last = random.Random(2), [], {}
    waiting = sorted(keys)
    for step in range(round(seconds / 0.004)):
        t = step * 0.004
        events = []
        while waiting and waiting[0][0] <= t:
            _, code, value = waiting.pop(0)
            events.append(line(t, 1, code, value))
        for code, share in push(t).items():
            value = max(-32768, min(32767, round(32767 * share + noise.gauss(0, 60))))
            if abs(value - last.get(code, 0)) > 16:
                last[code] = value
                events.append(line(t, 3, code, value))
        if events:
            lines += [*events, line(t, 0, 0, 0)]
    return lines


def write(name: str, head: str, keys: str, lines: list[str]) -> None:
    (FOLDER / f"{name}.evemu").write_text(head.format(bits=keys) + "\n".join(lines) + "\n")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    two = bits(0x100, 0x101)
    write("space_x", SPACE, two, space(lambda t: {0: 0.7 * hand(t, 0.3, 1.5)}, 2.0, []))
    write("space_modes", SPACE, two, space(
        lambda t: {1: -0.6 * hand(t, 0.3, 1.0), 0: 0.5 * hand(t, 1.8, 2.4)}, 3.0,
        [(1.4, 0x101, 1), (1.5, 0x101, 0)]))
    write("space_turn", SPACE, two, space(lambda t: {5: 0.8 * hand(t, 0.2, 1.0), 0: 0.04 * math.sin(9 * t)}, 1.5, []))
    pad_keys = bits(*range(0x130, 0x132), 0x133, 0x134, *range(0x136, 0x138), *range(0x13A, 0x13F))
    write("pad_left_stick", PAD, pad_keys, pad(
        lambda t: {0: 0.6 * hand(t, 0.3, 1.2) + 0.03, 1: -0.02}, 1.8, []))
    write("pad_to_the_stop", PAD, pad_keys, pad(lambda t: {0: 1.2 * hand(t, 0.3, 3.5) + 0.03}, 4.2, []))


if __name__ == "__main__":
    main()
