"""What the simulated arm is made of: one row per axis, one row per option. The documents list it too."""

from __future__ import annotations

from typing import NamedTuple

SERIAL_NUMBER = "ALLY-SIM-0001"
BOARD_VERSION = "sim-1.0"
DRIVE_VERSION = "sim-drive-1.0"
SPRING_OFFSET_COUNTS = 120.0
SPRING_STIFFNESS_COUNTS_PER_DEG = 2.5


Vector = tuple[float, float, float]


class AxisModel(NamedTuple):
    """One joint: what its registers say, where it starts, its place in the chain and the link it carries.

    Base frame: origin in the shoulder, x forward, y to the left, z up. At 0 deg the (right) arm hangs down and every
    joint's frame is parallel to the base frame. Torques are in torque sensor counts.
    """

    name: str
    resolution_counts: int  # per stroke
    stroke_deg: float
    zero_counts: int  # sensor reading at 0 deg
    inverted: bool  # the sensor counts down when the joint goes up
    minimum_deg: float
    maximum_deg: float
    start_deg: float
    conversion: float  # deg/s per microstep/s; negative where the motor is mounted the other way round
    inertia: float  # counts per deg/s^2
    friction: float  # counts, Coulomb, of the gear: it holds a joint without torque
    axis: Vector  # of rotation, length 1
    offset_mm: Vector  # from the joint before
    mass_kg: float  # of the link, limb and structure
    centre_mm: Vector  # of that mass, from the joint
    counts_per_nm: float  # of the torque sensor


AXES: tuple[AxisModel, ...] = (
    AxisModel("shoulder abduction", 4096, 360.0, 1024, False, -60.0, 120.0, 12.0, 0.01, 0.12, 90.0,
              (-1.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0.6, (0.0, -40.0, 10.0), 50.0),
    AxisModel("shoulder flexion", 4096, 360.0, -700, True, -50.0, 130.0, 25.0, 0.01, 0.12, 95.0,
              (0.0, -1.0, 0.0), (0.0, 0.0, 0.0), 0.5, (0.0, -30.0, -20.0), 50.0),
    AxisModel("shoulder rotation", 4096, 330.0, 2048, False, -70.0, 80.0, -15.0, -0.0125, 0.08, 70.0,
              (0.0, 0.0, 1.0), (0.0, 0.0, 0.0), 2.6, (-10.0, 0.0, -150.0), 60.0),
    AxisModel("elbow", 4096, 270.0, -1500, True, -60.0, 120.0, 45.0, 0.008, 0.06, 60.0,
              (0.0, -1.0, 0.0), (0.0, 0.0, -300.0), 0.9, (0.0, 0.0, -110.0), 100.0),
    AxisModel("forearm rotation", 4096, 360.0, 300, False, -80.0, 80.0, -20.0, 0.01, 0.03, 40.0,
              (0.0, 0.0, 1.0), (0.0, 0.0, 0.0), 0.4, (8.0, 0.0, -180.0), 200.0),
    AxisModel("wrist flexion", 4096, 300.0, -250, True, -60.0, 60.0, 10.0, -0.01, 0.02, 30.0,
              (1.0, 0.0, 0.0), (0.0, 0.0, -250.0), 0.2, (0.0, 0.0, -15.0), 300.0),
    AxisModel("wrist abduction", 8192, 360.0, 500, False, -30.0, 40.0, 5.0, 0.005, 0.02, 30.0,
              (0.0, -1.0, 0.0), (0.0, 0.0, 0.0), 0.2, (0.0, 0.0, -40.0), 300.0),
    AxisModel("hand", 4096, 360.0, 2000, True, -10.0, 90.0, 20.0, 0.01, 0.01, 20.0,
              (1.0, 0.0, 0.0), (0.0, 0.0, -40.0), 0.15, (0.0, 0.0, -30.0), 300.0),
)
HAND_AT_MM: Vector = (0.0, 0.0, -630.0)  # the hand at 0 deg, in the base frame


class Option(NamedTuple):
    """One number that `Board(...)` and `allyarm sim --set name=value` take."""

    name: str
    default: float
    low: float
    high: float
    unit: str
    meaning: str


OPTIONS: tuple[Option, ...] = (
    Option("speed_limit_deg_s", 120.0, 0.1, 10000.0, "deg/s", "the drives' own speed limit"),
    Option("acceleration_limit_deg_s2", 1500.0, 1.0, 1e6, "deg/s^2", "the drives' own acceleration limit"),
    Option("soft_stop_deg_s2", 300.0, 1.0, 1e6, "deg/s^2", "ramp of SOFT_STOP"),
    Option("hard_stop_deg_s2", 6000.0, 1.0, 1e6, "deg/s^2", "ramp of HARD_STOP, of drives in error, of the watchdog"),
    Option("lag_ms", 5.0, 0.0, 1000.0, "ms", "time constant with which the joint follows its drive"),
    Option("noise_counts", 0.3, 0.0, 100.0, "counts", "standard deviation of the position sensor"),
    Option("gravity_scale", 1.0, 0.0, 10.0, "", "scales the weight of every link and the spring that balances it"),
    Option("compliant_yield", 100.0, 1.0, 1e6, "counts per deg/s", "COMPLIANT with a speed: load that nothing "
           "compensates moves the joint by so much"),
    Option("fall_damping", 30.0, 1.0, 1000.0, "counts per deg/s", "damping of a joint whose drive is off"),
    Option("relay_ms", 20.0, 0.0, 1000.0, "ms", "switching time of the motor power relay"),
    Option("watchdog_ms", 50.0, 1.0, 10000.0, "ms", "no valid command for so long: relay opens, drives hard-stop"),
    Option("fallback_ms", 1000.0, 1.0, 100000.0, "ms", "no valid command for so long: back to the register phase"),
    Option("battery_mv", 25200.0, 0.0, 65535.0, "mV", "voltage at the start"),
    Option("idle_drain_mv_s", 0.1, 0.0, 1000.0, "mV/s", "fall of the voltage without load"),
    Option("load_drain_mv_s", 0.0005, 0.0, 10.0, "mV/s per count", "added per torque count of every powered axis"),
)


def options_table() -> str:
    """OPTIONS as Markdown, for docs/simulator.md."""
    lines = ["| option | default | allowed | unit | meaning |", "|---|---|---|---|---|"]
    lines += [f"| `{o.name}` | {o.default:g} | {o.low:g}..{o.high:g} | {o.unit} | {o.meaning} |" for o in OPTIONS]
    return "\n".join(lines)


def axes_table() -> str:
    """AXES as Markdown, for docs/simulator.md."""
    lines = [
        "| axis | joint | counts per stroke | stroke, deg | zero, counts | sensor inverted | hard limits, deg "
        "| start, deg | deg/s per microstep/s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for i, a in enumerate(AXES, 1):
        cells = (i, a.name, a.resolution_counts, f"{a.stroke_deg:g}", a.zero_counts, "yes" if a.inverted else "no",
                 f"{a.minimum_deg:g}..{a.maximum_deg:g}", f"{a.start_deg:g}", f"{a.conversion:g}")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def chain_table() -> str:
    """The chain of AXES as Markdown, for docs/simulator.md."""
    lines = ["| axis | axis of rotation | from the joint before, mm | link, kg | its centre of mass, mm | torque "
             "sensor, counts per Nm |", "|---|---|---|---|---|---|"]
    for i, a in enumerate(AXES, 1):
        vectors = [", ".join(f"{part:g}" for part in vector) for vector in (a.axis, a.offset_mm, a.centre_mm)]
        lines.append(f"| {i} | {vectors[0]} | {vectors[1]} | {a.mass_kg:g} | {vectors[2]} | {a.counts_per_nm:g} |")
    return "\n".join(lines)
