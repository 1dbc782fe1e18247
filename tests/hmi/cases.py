"""What the pages do, message by message and field by field: one case per row of the contract's tables.

A case names the rows it covers; test_hmi_contract.py fails when a row has none. Rows are named by `rows()`.
"""

from __future__ import annotations

import contextlib
import json
import math
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controller._core import ExternalRegion, MassModel
from controller.chain import chain_of
from controller.config import Config
from controller.external._link import ProgramLink
from controller.hmi import forms
from controller.load import load_of
from controller.spec import hmi, telegram
from controller.spec.external import ExternalKind, ExternalPhase
from controller.spec.hmi import ACTION, Notice
from controller.spec.modes import CompliantPhase, DriverMode, MasterMode, MasterState
from tests.hmi.device_desk import Hand, desk_and_rig
from tests.hmi.page import Page, page_of
from tests.hmi.rig import Rig
from tests.input.recording import load

AXES = 4
Run = Callable[[Page], None]
CASES: dict[str, tuple[tuple[str, ...], Run]] = {}
HERE = (12.0, 25.0, -15.0, 45.0)


def rows() -> set[str]:
    """Every row of the contract's tables, for an arm of four axes."""
    found = {f"button {name}" for name in hmi.BUTTONS} | {f"mode {code}" for code in hmi.MODES}
    found |= {f"test cycle {code}" for code in hmi.TEST_CYCLES} | {f"command {name}" for name in hmi.COMMANDS}
    found |= {f"data {row.name}" for row in hmi.DATA_FIELDS} | {f"data {hmi.NOTICE_FIELD}"}
    found |= {f"form {row.form.name} {key}" for row in forms.compiled(AXES) for key in row.allowed}
    return found | {f"setting {row.name}" for row in hmi.SETTINGS}


def case(*covers: str) -> Callable[[Run], Run]:
    def add(run: Run) -> Run:
        CASES[run.__name__] = (covers, run)
        return run
    return add


def named(name: str, covers: tuple[str, ...], run: Run) -> None:
    assert name not in CASES
    CASES[name] = (covers, run)


# -- buttons, modes, test cycles

@case("button start")
def start(page: Page) -> None:
    page.press("start")
    shown = page.shows(lambda d: d["driverState"][5] == MasterState.AUTO and d["workingMode"][5] == MasterMode.JOG)
    assert shown["workingMode"][:4] != [DriverMode.DRIVER_OFF] * 4
    assert page.state.motor_power == 1


@case("button stop")
def stop(page: Page) -> None:
    page.send({"4": 0, "50": -20})
    page.shows(lambda d: d["motionOnGoing"][5] == 1)
    page.press("stop")
    shown = page.shows(lambda d: d["driverState"][5] == MasterState.WAITING and not any(d["motionOnGoing"]))
    assert shown["workingMode"][:4] == [DriverMode.STAND_STILL_IN_WAITING_STATE] * 4  # a worn arm does not drop
    assert page.state.motor_power == 1
    assert page.state.position_deg[0] > -19


def saved_position(name: str) -> None:
    button, setting = hmi.POSITIONS[name]
    first = int(hmi.SETTING[setting].key)

    def run(page: Page) -> None:
        page.stand_at(20, 10, 0, 30)
        counts = page.data["actualPosition"]
        page.send({str(first + i): count for i, count in enumerate(counts)})
        page.client.until(lambda: page.setting(*(f"{setting}.{i + 1}" for i in range(AXES))) == counts)
        page.stand_at(*HERE)
        page.press(button)
        page.arrived(20, 10, 0, 30)
        shown = page.data
        assert all(abs(now - then) <= 4 for now, then in zip(shown["actualPosition"], counts, strict=True))
        assert all(abs(now - then) <= 1 for now, then in zip(shown["targetPosition"], counts, strict=False))

    form = setting.removesuffix("_counts")
    named(f"saved_{name}", (f"button {button}", f"setting {setting}",
                            *(f"form {form} {first + i}" for i in range(AXES))), run)


for position in hmi.POSITIONS:
    saved_position(position)


@case("button wearing_ROM_position", "button rest_ROM_position", "setting range_of_motion_on")
def wearing_sequence(page: Page) -> None:
    page.send({"101": 0, "102": 30})
    page.shows(lambda d: (d["clientData"]["101"], d["clientData"]["102"]) == (0, 30))
    page.stand_at(20, 10, 0, 30)
    page.press("wearing_ROM_position")
    page.rig.until(lambda s: s.rom_enforced == (1,) * AXES)
    page.stored("range_of_motion_on", True)     # once the loop has it
    page.send({"4": 0, "50": 35})
    assert "outside the range of motion" in page.refused(Notice.VALUE)
    page.press("rest_ROM_position")
    page.rig.until(lambda s: s.rom_enforced == (0,) * AXES)
    page.send({"4": 0, "50": 35})
    page.arrived(35)


@case("button diagnostics_section", "command visit")
def visits(page: Page) -> None:
    before = page.rig.status()["hmi"].get("diagnostics_visits", 0)
    page.press("diagnostics_section")
    page.ok("visit")
    assert page.rig.status()["hmi"]["diagnostics_visits"] == before + 2


def error(page: Page) -> None:
    page.rig.board.set_fault("button")
    page.shows(lambda d: d["driverState"][5] == MasterState.ERROR)
    page.rig.board.clear_faults()
    page.rig.until(lambda s: bool(s.inputs & telegram.INPUT_BUTTON))


def reset_by(name: str, covers: tuple[str, ...], how: Run) -> None:
    def run(page: Page) -> None:
        error(page)
        how(page)
        shown = page.shows(lambda d: d["driverState"][5] == MasterState.WAITING)
        assert shown["errorTest"] == []
        assert not any(page.state.moving)

    named(name, covers, run)


reset_by("reset_button", ("button reset",), lambda page: page.press("reset"))
reset_by("reset_mode", ("mode 7",), lambda page: page.send({"10": 7}))
reset_by("reset_command", ("command reset",), lambda page: page.ok("reset") and None)


@case("mode 0", "form mode 10")
def mode_off(page: Page) -> None:
    page.press("start")
    page.shows(lambda d: d["driverState"][5] == MasterState.AUTO)
    page.send({"10": 0})
    page.shows(lambda d: d["workingMode"][5] == MasterMode.OFF and d["driverState"][5] == MasterState.WAITING)
    page.rig.until(lambda s: s.motor_power == 0)


@case("mode 1")
def mode_stand_still(page: Page) -> None:
    page.send({"4": 0, "50": -20})
    page.shows(lambda d: d["motionOnGoing"][5] == 1)
    page.send({"10": 1})
    page.shows(lambda d: d["workingMode"][5] == MasterMode.STAND_STILL and not any(d["motionOnGoing"]))
    assert page.state.state == MasterState.AUTO


@case("mode 3")
def mode_jog(page: Page) -> None:
    page.send({"10": 3})
    page.shows(lambda d: (d["driverState"][5], d["workingMode"][5]) == (MasterState.AUTO, MasterMode.JOG))


@case("mode 4")
def mode_position(page: Page) -> None:
    page.send({"10": 4})
    page.shows(lambda d: d["driverState"][5] == MasterState.AUTO)
    page.send({"4": 0, "50": 24})
    page.shows(lambda d: d["workingMode"][5] == MasterMode.POSITION_TARGET)
    page.arrived(24)


@case("mode 5")
def mode_wait_for_start(page: Page) -> None:
    page.stand_at(*HERE)
    page.send({"10": 5})
    page.send({"4": 0, "50": "20"})
    page.shows(lambda d: d["workingMode"][5] == MasterMode.POSITION_TARGET_WAIT_FOR_START)
    time.sleep(0.3)
    assert page.data["actualPositionDeg"][0] == pytest.approx(HERE[0], abs=0.5)
    page.press("start")
    page.arrived(20)


@case("mode 6")
def mode_stop(page: Page) -> None:
    page.press("start")
    page.shows(lambda d: d["driverState"][5] == MasterState.AUTO)
    page.send({"10": 6})
    page.shows(lambda d: d["driverState"][5] == MasterState.WAITING)


@case("test cycle 1", "form test_cycle 10", "form test_cycle 11")
def test_cycle_1(page: Page) -> None:
    page.send({str(101 + i): deg for i, deg in enumerate((0, 40, 0, 40, -20, 20, 20, 60))})
    page.shows(lambda d: d["clientData"]["108"] == 60)
    page.stand_at(20, 20, 0, 40)
    done = page.rig.until(lambda s: all(s.on_target)).motions_done
    page.send({"10": 2, "11": 1})
    page.client.until(lambda: (page.rig.status()["motion_sequence"] or {}).get("ended") == "done", 60.0)
    assert page.state.motions_done == done + 3 * AXES
    page.arrived(20, 20, 0, 40)
    page.ok("settings", write={f"range_m{end}_deg.{i}": deg for i in range(1, AXES + 1) for end, deg in (
        ("inimum", -45), ("aximum", 70))})


@case("test cycle 4")
def drives_off(page: Page) -> None:
    page.press("start")
    page.shows(lambda d: d["driverState"][5] == MasterState.AUTO)
    page.send({"10": 2, "11": 4})
    page.shows(lambda d: d["workingMode"][:4] == [DriverMode.DRIVER_OFF] * 4)
    assert page.rig.until(lambda s: s.motor_power == 0).fault_count == 0


@case("test cycle 3")
def test_cycle_3(page: Page) -> None:
    page.stand_at(10, 30, 0, 60)
    done = page.rig.until(lambda s: all(s.on_target)).motions_done
    page.send({"10": 2, "11": 3})

    def ended() -> str:
        sequence = page.rig.status()["motion_sequence"] or {}
        return sequence["ended"] if sequence.get("name") == "test cycle 3" else ""

    page.client.until(ended, 60.0)
    assert ended() == "done"
    assert page.state.motions_done == done + 4
    page.shows(lambda d: abs(d["axesX"]) + abs(d["axesZ"]) > 100)


@case("test cycle 8")
def test_jog(page: Page) -> None:
    page.send({"10": 2, "11": 8})
    page.shows(lambda d: (d["driverState"][5], d["workingMode"][5]) == (MasterState.AUTO, MasterMode.TEST))


@case("test cycle 7")
def test_device(page: Page) -> None:
    """An input device on axis 1."""
    page.send({"10": 2, "11": 7})
    assert "no input device is connected" in page.refused(Notice.BLOCKED)
    with (tempfile.TemporaryDirectory() as folder, desk_and_rig(Path(folder)) as (desk, rig),
          page_of(page.generation, ["websocket"], rig) as other):
        pad = desk.plug(rig, load("pad_left_stick"))
        other.send({"10": 2, "11": 7})
        other.shows(lambda d: (d["driverState"][5], d["workingMode"][5]) == (MasterState.AUTO, MasterMode.TEST))
        before = other.data["actualPositionDeg"]
        with Hand(pad, 0.6):
            other.shows(lambda d: d["actualPositionDeg"][0] > before[0] + 3)
        assert other.data["workingMode"][5] == MasterMode.TEST
        assert other.data["actualPositionDeg"][1:] == pytest.approx(before[1:], abs=1.0)


def not_available(row: str, message: dict[str, Any]) -> None:
    def run(page: Page) -> None:
        page.send(message)
        assert "not available yet" in page.refused(Notice.NOT_AVAILABLE)
        assert page.state.state == MasterState.WAITING

    named(row.replace(" ", "_"), (row,), run)


for number, action in hmi.MODES.items():
    if not ACTION[action].available:
        not_available(f"mode {number}", {"10": number})
for number, action in hmi.TEST_CYCLES.items():
    if not ACTION[action].available:
        not_available(f"test cycle {number}", {"10": 2, "11": number})


# -- forms

@case("form version_check 1", "command version")
def version_check(shared: Page) -> None:
    with page_of("G2", ["websocket"], shared.rig) as page:  # a client of its own: the check marks it for good
        shared.ok("release")
        check_versions(page)


def check_versions(page: Page) -> None:
    for version in ("1.8.0", "2.7.8", "1.70.0"):
        page.send({"1": version})
        text = page.refused(Notice.VERSION)
        assert version in text
        assert hmi.CONTRACT_VERSION in text
        page.press("start")
        page.refused(Notice.VERSION)
        page.send({"70": 50})
        page.refused(Notice.VERSION)
        page.stop()
    page.send({"1": "1.7.9"})
    page.press("start")
    page.shows(lambda d: d["driverState"][5] == MasterState.AUTO)
    assert page.command("version", version="3.0.0")["error"]["code"] == "version"
    page.client.notices.clear()
    page.ok("version", version="1.7.8")
    page.ok("release")


@case(*(f"form driver_mode {12 + i}" for i in range(AXES)))
def driver_modes_are_the_loop_s_own(page: Page) -> None:
    """Whole, in part, as text: refused, and it changes nothing."""
    before = page.state.last_command
    for message in ({str(12 + i): 3 for i in range(AXES)}, {"12": 0}, {"15": "9"}):
        page.send(message)
        assert "mode 8" in page.refused(Notice.NOT_AVAILABLE)
    page.send({"13": 10})
    assert "0..9" in page.refused(Notice.VALUE)
    assert page.state.last_command == before


def go_to(axis: int, key: str) -> None:
    def run(page: Page) -> None:
        page.stand_at(*HERE)
        target = [str(deg) if i == axis else "" for i, deg in enumerate((20.5, 15, -5, 55))]
        page.send({"4": 0, **{str(50 + i): value for i, value in enumerate(target)}})
        page.arrived(*(float(value) if value else HERE[i] for i, value in enumerate(target)))

    named(f"go_to_position_{key}", ("form go_to_position 4", f"form go_to_position {key}"), run)


for number in range(AXES):
    go_to(number, str(50 + number))


def where_shown(name: str, key: str) -> list[str]:
    """Fields of `data` that show a setting."""
    return [row.name for row in hmi.DATA_FIELDS if name in row.settings]


def limit_is(page: Page, axis: int, percent: float) -> None:
    """The core's speed limit of an axis."""
    limit_deg_s = page.rig.facts.axis[axis].max_speed_deg_s * percent / 100
    page.rig.until(lambda s: abs(s.speed_limit_deg_s[axis] - limit_deg_s) < 1e-6)


def weight_is(page: Page, name: str, percent: float) -> None:
    """The core carries so much of that limb's weight, all of the other's."""
    masses = load_of(Config(), page.rig.facts)
    assert masses is not None
    shares = {"upper_arm_weight": 1.0, "forearm_weight": 1.0, name.removesuffix("_percent"): percent / 100}
    upper_arm_mm, forearm_mm = (value or 0.0 for value in page.setting("upper_arm_length_mm", "forearm_length_mm"))
    model = MassModel(chain_of(Config(), AXES), masses, upper_arm_mm=upper_arm_mm, forearm_mm=forearm_mm, **shares)
    page.rig.until(lambda s: all(abs(have - want) < 3.0 for have, want in zip(
        s.holding_counts, model.holding_counts(s.position_deg), strict=True)))


def stored(form: hmi.Form, row: hmi.Setting, key: str, element: str) -> None:
    """A value by its key: stored, shown wherever the contract shows it, in force in the core, and back."""
    def samples(page: Page) -> list[Any]:
        if row.kind == "boolean":
            return [True, False]
        if row.kind == "choice":
            return list(row.choices)
        if row.kind == "text":
            return ["Küche", "x" * int(row.high), "Default"]
        high = hmi.G2_SENSITIVITY if row.name == "joystick_sensitivity" and page.generation == "G2" else row.high
        return [row.low, round((row.low + high) / 2), high]

    def run(page: Page) -> None:
        for value in samples(page):
            page.send({key: value})
            page.client.until(lambda value=value: page.setting(element) == [value])
            for field in where_shown(row.name, key):
                page.shows(lambda d, field=field, value=value: d[field][key] == value)  # type: ignore[misc]
            if row.name.endswith("weight_percent"):
                weight_is(page, row.name, value)
            elif row.register and int(key) - int(row.key) < AXES:
                limit_is(page, int(key) - int(row.key), value)

    named(f"{form.name}_{key}", (f"form {form.name} {key}", f"setting {row.name}"), run)


for compiled in forms.compiled(AXES):
    if not compiled.form.whole and compiled.form.name != "range_of_motion":
        for form_key, (setting_row, stored_name) in compiled.meaning.items():
            stored(compiled.form, setting_row, form_key, stored_name)


@case("setting joystick_sensitivity_scale")
def sensitivity_scale(page: Page) -> None:
    """The number of either page, and of what it is a share."""
    for value in (3, 5):
        page.send({"80": value})
        page.client.until(lambda value=value: page.setting("joystick_sensitivity.1") == [value])  # type: ignore[misc]
    assert page.setting("joystick_sensitivity_scale") == [10 if page.generation == "G2" else 100]


def range_pair(axis: int) -> None:
    low_key, high_key = str(101 + 2 * axis), str(102 + 2 * axis)

    def run(page: Page) -> None:
        page.send({low_key: -30, high_key: "55.5"})
        page.shows(lambda d: (d["clientData"][low_key], d["clientData"][high_key]) == (-30, 55.5))
        page.send({low_key: 5, high_key: 5})
        page.refused(Notice.VALUE)
        page.send({low_key: -500, high_key: 5})
        assert "hard limits" in page.refused(Notice.VALUE)
        assert page.setting(f"range_minimum_deg.{axis + 1}", f"range_maximum_deg.{axis + 1}") == [-30, 55.5]

    named(f"range_of_motion_axis_{axis + 1}", (
        f"form range_of_motion {low_key}", f"form range_of_motion {high_key}", "setting range_minimum_deg",
        "setting range_maximum_deg"), run)


for number in range(AXES):
    range_pair(number)


@case("setting lock_speed", "setting lock_advanced_speed", "setting lock_joystick")
def locks(page: Page) -> None:
    for key, lock in (("60", "lockSpeedAd"), ("70", "lockSpeed"), ("80", "lockJoySens")):
        page.send({key: 5, lock: True})
        page.client.until(lambda lock=lock: page.data["clientData"][lock] is True)
        page.send({key: 6})
        assert lock in page.refused(Notice.LOCKED)
        page.send({key: 6, lock: False})
        page.shows(lambda d, key=key: d["clientData"][key] == 6)  # type: ignore[misc]


# -- typed commands

@case("command stop")
def command_stop(page: Page) -> None:
    page.ok("move", position_deg=[-20, None, None, None])
    page.rig.until(lambda s: s.moving[0] == 1)
    page.ok("stop")
    page.rig.until(lambda s: s.state == MasterState.WAITING)


@case("command start")
def command_start(page: Page) -> None:
    page.ok("start")
    page.rig.until(lambda s: s.state == MasterState.AUTO and s.mode == MasterMode.JOG)


@case("command mode")
def command_mode(page: Page) -> None:
    page.ok("mode", mode=3)
    page.rig.until(lambda s: s.state == MasterState.AUTO)
    page.ok("mode", mode=0)
    page.rig.until(lambda s: s.motor_power == 0)


@contextlib.contextmanager
def beating(rig: Rig) -> Iterator[None]:
    """An external program that is connected, beats, and asks for nothing."""
    region, ended = ExternalRegion(), threading.Event()
    link = ProgramLink(region.fd)
    rig.core.lend_region(region)

    def run() -> None:
        while not ended.is_set():
            if link.wait(0.1) is not None:
                link.send(ExternalKind.SPEED, (), [0.0] * AXES)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        rig.until(lambda s: s.external_phase == ExternalPhase.BEATING)
        yield
    finally:
        ended.set()
        thread.join()
        rig.core.lend_region(None)


@case("mode 8")
def external(page: Page) -> None:
    """On the whole program a real one is admitted by tests/external; without one there is none to admit."""
    if isinstance(page.rig, Rig):
        with beating(page.rig):
            page.send({"10": 8})
            page.shows(lambda d: d["workingMode"][5] == MasterMode.EXTERNAL_DEVELOPER_AUTO)
            assert page.state.motor_power == 1
            page.press("stop")
            page.shows(lambda d: d["driverState"][5] == MasterState.WAITING)
    page.send({"10": 8})
    assert "external development" in page.refused(Notice.REFUSED)  # not connected, or switched off
    assert page.state.state == MasterState.WAITING


@case("command compliant")
def compliant(page: Page) -> None:
    """A hand leads the arm, by a command that is the operator's start too."""
    page.ok("settings", write={"upper_arm_length_mm": 0, "forearm_length_mm": 0})   # as the simulated arm is
    page.ok("compliant", on=True)
    page.shows(lambda d: d["workingMode"][:AXES] == [DriverMode.COMPLIANT_TRANSPARENT_01] * AXES)
    assert page.state.compliant_phase == CompliantPhase.LED
    assert page.state.mode == MasterMode.JOG
    before = page.data["actualPositionDeg"][3]
    lever = page.rig.board.truth()["lever_mm"][3]
    length = math.hypot(*lever)
    page.rig.board.set_fault("hand_force", **{f"{axis}_n": 3.0 * part / length
                                              for axis, part in zip("xyz", lever, strict=True)})
    page.shows(lambda d: d["actualPositionDeg"][3] > before + 3.0)
    page.ok("compliant", on=False)
    page.shows(lambda d: d["driverState"][5] == MasterState.AUTO and not any(d["motionOnGoing"])
               and d["workingMode"][5] == MasterMode.STAND_STILL)
    page.rig.board.clear_faults()
    page.ok("compliant", on=False)      # nothing to end


@case("setting compliant_dead_band", "setting compliant_proportional", "setting compliant_exponential",
      "setting compliant_derivative")
def compliant_gains(page: Page) -> None:
    """Settings of their own without a page's key; what the loop does with them: tests/sim/test_cycle_compliant.py."""
    for name, value in (("dead_band", 12.0), ("proportional", 80.0), ("exponential", 7.0), ("derivative", 3.0)):
        page.ok("settings", write={f"compliant_{name}.2": value})
        assert page.setting(f"compliant_{name}.2") == [value]
        assert page.command("settings", write={f"compliant_{name}.2": -1.0})["error"]["field"] == f"compliant_{name}.2"


@case("command test_cycle")
def command_test_cycle(page: Page) -> None:
    page.ok("test_cycle", cycle=8)
    page.rig.until(lambda s: s.mode == MasterMode.TEST and s.state == MasterState.AUTO)
    assert page.command("test_cycle", cycle=2)["error"]["field"] == "cycle"
    page.client.notices.clear()


@case("command jog")
def command_jog(page: Page) -> None:
    page.stand_at(*HERE)
    sent = time.monotonic()
    for sequence in range(1, 12):
        page.ok("jog", speed_percent=[0, 0, 0, -50], sequence=sequence, sent_ms=(time.monotonic() - sent) * 1e3)
        time.sleep(0.03)
    assert page.state.moving[3] == 1
    dropped = page.command("jog", speed_percent=[0, 0, 0, -50], sequence=5)
    assert dropped["error"]["code"] == "stale"
    page.ok("jog", speed_percent=[0, 0, 0, 0], sequence=13)
    page.rig.until(lambda s: not any(s.moving), 1.0)
    assert page.state.position_deg[3] < HERE[3] - 1
    assert page.client.notices == []


@case("command move")
def command_move(page: Page) -> None:
    page.ok("move", position_deg={"1": 20, "4": 30}, speed_percent=80)
    page.arrived(20, None, None, 30)
    page.ok("move", position_deg=[15, None, None, None], wait_for_start=True)
    page.ok("start")
    page.arrived(15)


@case("command go_to")
def command_go_to(page: Page) -> None:
    page.stand_at(20, 10, 0, 30)
    page.ok("settings", write={f"rest_position_counts.{i + 1}": n for i, n in enumerate(page.data["actualPosition"])})
    page.stand_at(*HERE)
    page.ok("go_to", position="rest", speed_percent=70)
    page.arrived(20, 10, 0, 30)


@case("command range_of_motion")
def command_range(page: Page) -> None:
    page.ok("range_of_motion", on=True)
    assert page.rig.state.rom_enforced == (1,) * AXES
    page.ok("range_of_motion", on=False)
    assert page.rig.state.rom_enforced == (0,) * AXES


@case("command subscribe")
def command_subscribe(page: Page) -> None:
    page.ok("subscribe", event="state", rate_hz=50)
    state = page.client.next("state")["payload"]
    assert state["state"] == "WAITING"
    assert [axis["axis"] for axis in state["axis"]] == [1, 2, 3, 4]
    page.ok("subscribe", event="state", rate_hz=0)


@case("command acquire", "command release")
def command_control(page: Page) -> None:
    page.ok("release")
    number = page.ok("acquire")["client"]
    assert page.rig.status()["control"]["client"] == number
    page.ok("release")
    assert page.rig.status()["control"] == {"client": None, "name": ""}


@case("command settings")
def command_settings(page: Page) -> None:
    page.ok("settings", write={"voice_verbosity": "complete", "upper_arm_length_mm": 12.5})
    assert page.setting("voice_verbosity", "upper_arm_length_mm") == ["complete", 12.5]
    assert page.command("settings", write={"upper_arm_length_mm": 61})["error"]["field"] == "upper_arm_length_mm"


@case("command board_registers")
def board_registers(page: Page) -> None:
    """Refused while motor power is on; what it writes otherwise: test_board_registers.py."""
    page.press("start")
    page.shows(lambda d: d["driverState"][5] == MasterState.AUTO)
    answer = page.command("board_registers", wifi_ssid="ward 3", wifi_password="not to be shown")
    assert not answer["ok"]
    assert "power" in answer["error"]["message"]
    assert page.command("board_registers", wifi_password="short")["error"]["field"] == "wifi_password"
    assert page.command("board_registers", wifi_ssid="w*")["error"]["field"] == "wifi_ssid"
    assert "not to be shown" not in str(page.client.notices)
    page.client.notices.clear()


@case("command why")
def command_why(page: Page) -> None:
    assert page.ok("why")["blockers"] == []
    page.rig.board.set_fault("button")
    page.rig.until(lambda s: s.state == MasterState.ERROR)
    found = page.ok("why")["blockers"]
    assert len(found) >= 2
    assert {item["code"] for item in found} == {"blocked"}
    assert [item["message"] for item in found] == page.rig.status()["blockers"]


def store_exercise(page: Page, **position: float) -> None:
    """What the page's REST request does."""
    body = {"name": "Wave", "rep": 2, "positions": [
        {"axis_1": 20, "axis_4": 30, "pause": 0.2, "speed": 80, **position}, {"axis_1": 14, "pause": 0, "speed": 80}]}
    request = urllib.request.Request(f"{page.rig.url}/save_exercises", json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200


def played(page: Page, seconds: float = 40.0) -> dict[str, Any]:
    """`motion_sequence` when it has ended."""
    page.client.until(lambda: bool((page.rig.status()["motion_sequence"] or {}).get("ended")), seconds)
    return dict(page.rig.status()["motion_sequence"])


@case("command play", "command estimate", "command reports")
def command_play(page: Page) -> None:
    store_exercise(page)
    page.stand_at(*HERE)
    expected = page.ok("estimate", exercise="Wave", repeat=1)
    assert expected["steps"] == 2
    assert page.ok("play", exercise="Wave", repeat=1)["steps"] == 2
    assert played(page)["ended"] == "done"
    page.arrived(14, None, None, 30)
    newest = page.ok("reports", limit=1)["reports"][0]
    assert (newest["name"], newest["moves"], newest["ended"]) == ("Wave", 2, "done")
    assert [move["order_pos"] for move in page.ok("reports", id=newest["id"])["report"]["moves"]] == [1, 2]
    assert page.command("play", exercise="Nothing")["error"]["field"] == "exercise"
    store_exercise(page, axis_4=300)
    assert "position 1" in page.command("play", exercise="Wave")["error"]["message"]


@case("command pause", "command resume")
def command_pause(page: Page) -> None:
    store_exercise(page, speed=10)
    page.stand_at(*HERE)
    page.ok("play", exercise="Wave")
    page.rig.until(lambda s: any(s.moving))
    page.ok("pause")
    page.shows(lambda d: d["workingMode"][5] == MasterMode.STAND_STILL and not any(d["motionOnGoing"]))
    assert page.rig.status()["motion_sequence"]["paused"] is True
    assert page.data["actualPositionDeg"][0] < 19
    page.ok("resume")
    page.shows(lambda d: any(d["motionOnGoing"]))
    page.press("stop")
    assert played(page)["ended"] == "stopped"
    assert page.refused(Notice.ENDED).endswith("stopped")
    assert page.command("resume")["error"]["code"] == "value"


@case("command calibrate", "command calibrations")
def command_calibrate(page: Page) -> None:
    grid = {"1": {"start_deg": 10, "stop_deg": 12, "step_deg": 2}}
    if isinstance(page.rig, Rig):  # keeps nothing on a disk
        assert "store.path" in page.command("calibrate", name="run", grid=grid)["error"]["message"]
        assert "store.path" in page.command("calibrations")["error"]["message"]
        return
    name = f"run{time.monotonic_ns()}"
    answer = page.ok("calibrate", name=name, grid=grid, settle_s=0.1, measure_s=0.1, speed_percent=80)
    assert (answer["points"], answer["measured"]) == (2, 0)
    assert played(page)["ended"] == "done"
    assert [(entry["measured"], entry["points"]) for entry in page.ok("calibrations")["calibrations"]
            if entry["name"] == name] == [(2, 2)]
