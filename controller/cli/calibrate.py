"""`allyarm calibrate`: torque calibration runs, what there is of them, and the mass model that follows from one."""

from __future__ import annotations

import argparse
import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller import calibration
from controller.cli.client import Failed, Session, exit_code, run
from controller.cli.move import check_speed
from controller.cli.reach import Usage, add_arguments, get_json, shown, target
from controller.spec.load import SPRING_AXIS
from controller.spec.telegram import MAX_AXES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from controller.calibration import Adjustment
    from controller.calibration_fit import Fit
    from controller.config import Config, Link

EPILOG = """\
examples:
  allyarm calibrate run first 2=-30:90:20 4=10:100:15
        axis 2 from -30 to 90 degrees in steps of 20 at every position of axis 4; the others stay where they are
  allyarm calibrate run second 1=0:0:1 4=100:10:15 --there-and-back --settle 2 --measure 1
  allyarm calibrate run first --resume            go on at the first missing point
  allyarm calibrate status                        the runs on disk, and the one that goes on
  allyarm calibrate fit /var/lib/allyarm/calibration/first.csv --config /etc/allyarm/allyarm.toml

NOBODY WEARS THE ARM during a run, and nothing is in its way: it moves through the whole grid by itself. `run` takes
control of the arm and is the operator's start; it needs the administrator's role. Every point is on disk before the
next one. In a terminal p pauses and goes on; Ctrl-C stops the arm softly, and --resume goes on later.
`fit` only reads: the file and its description (.json beside it), and the chain, masses and torque sensors of the
configuration. It prints [[link]] tables for the configuration. The more axes turn, each to three positions or more, the
more of the masses it can tell.
Exit code 0: done. 1: refused, stopped or failed. 2: usage. 130: ended by Ctrl-C.
"""
AXIS = re.compile(r"(\d)=([+-]?\d{1,4}(?:\.\d{1,6})?):([+-]?\d{1,4}(?:\.\d{1,6})?):(\d{1,4}(?:\.\d{1,6})?)", re.ASCII)
ASSUMED_COUNTS_PER_NM, ASSUMED_MASS_KG = 50.0, 1.0
SPRING_TOLERANCE_COUNTS_PER_DEG = 0.05  # 5 counts over 100 degrees, half of the dead band
AS_BEGUN = ("speed", "settle", "measure", "there_and_back")  # options that a run is begun with
STILL_DEG = 10.0
Json = dict[str, Any]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "calibrate", help="measure torques over a grid of positions, and fit the mass model",
        description="Torque calibration: measure, see what was measured, fit the masses.", epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", metavar="run|status|fit", required=True)
    measure = what.add_parser("run", help="measure", epilog=EPILOG,
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    measure.add_argument("name", metavar="NAME", help=f"of the run and its file: {calibration.NAME_ALLOWED}")
    measure.add_argument("grid", metavar="AXIS=START:STOP:STEP", nargs="*", help="degrees; either direction, the step "
                         "above 0; the same start and stop keep the axis there")
    measure.add_argument("--speed", metavar="PERCENT", type=float, help="between the points, above 0, up to 100 "
                         f"(default {calibration.SPEED_PERCENT:g})")
    measure.add_argument("--settle", metavar="S", type=float, help="rest at each point "
                         f"before it is measured, 0..{calibration.SETTLE_HIGHEST_S:g} s (default "
                         f"{calibration.SETTLE_S:g})")
    measure.add_argument("--measure", metavar="S", type=float, help="average over so "
                         f"long, {calibration.MEASURE_LEAST_S:g}..{calibration.MEASURE_HIGHEST_S:g} s (default "
                         f"{calibration.MEASURE_S:g})")
    measure.add_argument("--there-and-back", action="store_true", default=None, help="every point once more on the "
                         "way back: the mean of both is free of friction")
    measure.add_argument("--resume", action="store_true", help="go on with a run that was begun, as it was begun: "
                         "without a grid and other options of measuring")
    add_arguments(measure)
    status = what.add_parser("status", help="the runs on disk, and the one that goes on")
    add_arguments(status)
    fitted = what.add_parser("fit", help="centres of mass from a file", epilog=EPILOG,
                             formatter_class=argparse.RawDescriptionHelpFormatter)
    fitted.add_argument("file", metavar="FILE", help="CSV file of a run")
    fitted.add_argument("--config", metavar="FILE", help="the arm's chain ([[joint]]), masses and torque sensors "
                        "([[link]]); without it the simulated arm's")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Measure, show or fit; 0 done, 1 refused, stopped or failed, 2 usage."""
    return exit_code(lambda: _main(args))


def _main(args: argparse.Namespace) -> int:
    if args.what == "run":
        fields = run_fields(args)
        return run(args, lambda session: measure(session, fields))
    for line in fit_lines(args) if args.what == "fit" else status_lines(args):
        print(line)
    return 0


def run_fields(args: argparse.Namespace) -> Json:
    """Fields of `calibrate`; Usage names what is wrong."""
    if not re.fullmatch(calibration.NAME_PATTERN, args.name):
        raise Usage(f"NAME: found {args.name!r}; allowed: {calibration.NAME_ALLOWED}")
    if args.resume:
        if args.grid:
            raise Usage("--resume goes without a grid: the run goes on with the one it was begun with")
        if (given := [f"--{name.replace('_', '-')}" for name in AS_BEGUN if getattr(args, name) is not None]):
            raise Usage(f"--resume goes without {', '.join(given)}: the run goes on as it was begun")
        return {"name": args.name, "resume": True}
    if not args.grid:
        raise Usage("no axis was given; allowed: AXIS=START:STOP:STEP, such as 4=10:100:15, or --resume")
    speed, settle, measure_s = (usual if (given := getattr(args, name)) is None else given for name, usual in (
        ("speed", calibration.SPEED_PERCENT), ("settle", calibration.SETTLE_S), ("measure", calibration.MEASURE_S)))
    check_speed(speed)
    for name, value, low, high in (("--settle", settle, 0.0, calibration.SETTLE_HIGHEST_S),
                                   ("--measure", measure_s, calibration.MEASURE_LEAST_S,
                                    calibration.MEASURE_HIGHEST_S)):
        if not low <= value <= high:
            raise Usage(f"{name}: found {value:g}; allowed: {low:g}..{high:g} s")
    return {"name": args.name, "grid": grid(args.grid), "speed_percent": speed, "settle_s": settle,
            "measure_s": measure_s, "there_and_back": bool(args.there_and_back)}


def grid(texts: list[str]) -> Json:
    """The grid of texts like "4=10:100:15"; Usage names the one that is wrong."""
    found: Json = {}
    for text in texts:
        match = AXIS.fullmatch(text)
        if match is None or not 1 <= int(match[1]) <= MAX_AXES or float(match[4]) == 0.0:
            raise Usage(f"found {text!r}; allowed: AXIS=START:STOP:STEP with an axis 1..{MAX_AXES}, degrees, and a "
                        "step above 0, such as 4=10:100:15")
        if match[1] in found:
            raise Usage(f"axis {match[1]} is given twice")
        found[match[1]] = {"start_deg": float(match[2]), "stop_deg": float(match[3]), "step_deg": float(match[4])}
    return found


async def measure(session: Session, fields: Json) -> int:
    """Begin or go on, and show it to its end."""
    from controller.cli.fail import say
    from controller.cli.sequence_view import duration, follow

    answer = await session.begin("calibrate", **fields)
    name, points, measured = fields["name"], answer["points"], answer["measured"]
    again = f"go on with: allyarm calibrate run {name} --resume"
    try:
        await follow(session, f"calibration run {name}", f"calibration run {name}: {points - measured} of {points} "
                     f"points to measure, about {duration(answer['estimate_s'])}")
    except Failed as error:
        raise Failed(f"{error}\n{again}") from None
    except asyncio.CancelledError:
        say(f"every point that was measured is kept; {again}")
        raise
    print(f"done: {shown(answer['file'])}\nfit it with: allyarm calibrate fit {shown(answer['file'])}", flush=True)
    return 0


def status_lines(args: argparse.Namespace) -> list[str]:
    """Runs on disk, and what goes on now."""
    from controller.cli.client import asked
    from controller.cli.sequence_view import in_short

    found = target(args)
    lines = []
    for entry in asked(found, {"type": "calibrations"})["calibrations"]:
        problem = f": {shown(entry['problem'])}" if entry["problem"] else ""
        lines.append(f"{shown(entry['name']):32}  {entry['measured']} of {entry['points']} points  "
                     f"{shown(entry['began'])}  {shown(entry['file'])}{problem}")
    state = get_json(found.url, "/status.json", found.token)
    sequence = state.get("motion_sequence")
    if sequence and sequence["kind"] == "calibration" and not sequence["ended"]:
        lines.append(f"goes on: {shown(sequence['name'])}, {in_short(sequence, state['state'])}")
    return lines or ["there is no calibration run"]


# -- fit

def fit_lines(args: argparse.Namespace) -> Iterator[str]:
    """The fit of a file, for people, and the tables to paste; Failed where the configuration would refuse them."""
    from controller import config
    from controller._core import Kinematics
    from controller.calibration_fit import Measured, fit
    from controller.chain import chain_of

    path = Path(args.file)
    try:
        settings = config.load(Path(args.config) if args.config else None)
        axes, rows = calibration.read_rows(path)
        config.check_axes(settings, axes)
        adjustment, notes = adjusted(path, axes)
    except (config.ConfigError, calibration.Unfit) as error:
        raise Usage(str(error)) from None
    except OSError as error:
        raise Usage(f"{error.filename or path}: {error.strerror}") from None
    links, assumed = links_to_fit(settings, axes)
    set_ = adjustment or calibration.Adjustment()
    kinematics = Kinematics(chain_of(settings, axes), upper_arm_mm=set_.upper_arm_mm, forearm_mm=set_.forearm_mm)
    spring = (set_.spring_offset_counts, set_.spring_counts_per_deg) if adjustment else None
    try:
        found = fit(rows, links, Measured(kinematics.frames, kinematics.stretch, spring))
    except ValueError as error:
        raise Failed(f"{path}: {error}") from None
    yield from [*notes, *assumed, *still(rows, axes), *told(found), *spring_lines(found, set_.spring_counts_per_deg)]
    if problems := found.problems():
        raise Failed("\n".join(["the configuration would refuse these numbers, so there are no tables:", *problems]))
    yield from ["", *tables(found, bool(assumed))]


def adjusted(path: Path, axes: int) -> tuple[Adjustment | None, list[str]]:
    """How the arm was set while it was measured, None where that is not known, and notes on it."""
    beside = path.with_suffix(".json")
    if not beside.exists():
        return None, [f"{beside} is missing: length adjustments (registers 90, 92) are taken to have been 0, and "
                      f"torque_zero_counts of axis {SPRING_AXIS}, which cannot be told from its spring, stays"]
    description = calibration.read_description(path)
    if len(description.grid) != axes:
        raise calibration.Unfit(f"{beside} is of {len(description.grid)} axes, {path} of {axes}: they are not of the "
                                "same run")
    return description.adjustment, [f"measured with {description.adjustment}; what follows is for the arm without "
                                    "length adjustments, and right for any"]


def links_to_fit(settings: Config, axes: int) -> tuple[Sequence[Link], list[str]]:
    """What is known of the links, and notes on what had to be assumed."""
    from controller.config import Link
    from controller.load import links_of

    if (given := links_of(settings, axes)) is not None:
        return given, []
    return [Link(mass_kg=ASSUMED_MASS_KG, torque_counts_per_nm=ASSUMED_COUNTS_PER_NM)] * axes, [
        f"no [[link]] is configured: {ASSUMED_MASS_KG:g} kg and {ASSUMED_COUNTS_PER_NM:g} counts per Nm are assumed "
        "for every link. Poses at rest tell neither: weigh the links, take the sensors' data sheet, write both into "
        "[[link]] tables, and fit again"]


def still(rows: Sequence[Sequence[float]], axes: int) -> list[str]:
    """A note on axes of which the poses can tell little."""
    columns = list(zip(*rows, strict=True))[:axes]
    found = [str(axis) for axis, column in enumerate(columns, 1) if max(column) - min(column) < STILL_DEG]
    return [f"axis {', '.join(found)}: turned by less than {STILL_DEG:g} degrees, so that much stays as configured; "
            "measure with all axes turning"] if found else []


def spring_lines(found: Fit, register_counts_per_deg: float) -> list[str]:
    """What to do about a spring that is not as its register says: no table has a place for it."""
    if found.spring is None:
        return []
    beside, error = found.spring
    if abs(beside) < max(SPRING_TOLERANCE_COUNTS_PER_DEG, 3.0 * error):
        return []
    return ["", f"the spring of axis {SPRING_AXIS} has {register_counts_per_deg + beside:.3f} +- {error:.3f} counts "
            f"per degree, register 231 of the arm says {register_counts_per_deg:g}, and the controller goes by that: "
            "have it corrected, then measure again"]


def tables(found: Fit, assumed: bool) -> list[str]:
    """The tables, and what in them was not measured."""
    rest = ("# mass_kg and torque_counts_per_nm are assumed, all the rest is the default." if assumed else
            "# inertia_kg_m2 (compliant mode), masses and all the rest are as they were configured.")
    return ["# For the configuration file, in place of the [[link]] tables there. Measured: centre_mm and",
            "# torque_zero_counts; an arm at rest tells nothing else.", rest, found.toml()]


def told(found: Fit) -> list[str]:
    """Parameters with errors, residuals per axis."""
    lines = [f"{found.rows} points, {found.rank} of {len(found.parameters)} parameters are determined", ""]
    for item in found.parameters:
        open_ = "" if item.determined else "   left open by these poses: partly or wholly as configured"
        lines.append(f"{item.name:52} {item.value:10.4f} +- {item.error:.4f} {item.unit}{open_}")
    lines += ["", "axis   measured, rms   left, rms   left, largest (counts)"]
    lines += [f"{i:4}   {item.measured_rms_counts:13.1f}   {item.rms_counts:9.1f}   {item.largest_counts:13.1f}"
              for i, item in enumerate(found.residuals, 1)]
    return lines
