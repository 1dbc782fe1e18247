"""Torque calibration runs on the real core: every point measured once, cut off anywhere and resumed. Virtual clock."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller import calibration, config
from controller.__main__ import main
from controller._core import State
from controller.calibration import RunFile
from controller.hmi import player
from controller.hmi.sequence import Progress
from controller.spec.hmi import Role
from controller.spec.modes import CompliantPhase, MasterState
from controller.store import Store
from tests.virtual_arm import warnings
from tests.virtual_hmi import Asked, VirtualHmi

GRID = {"1": {"start_deg": 0, "stop_deg": 20, "step_deg": 10}, "4": {"start_deg": 50, "stop_deg": 30, "step_deg": 10}}
QUICK = {"settle_s": 0.1, "measure_s": 0.1, "speed_percent": 100}


class Bench(VirtualHmi):
    """Its clock waits for the disk, which does not know of it."""

    waits = True

    def round(self) -> State:
        if self.waits:
            for worker in (self.handlers.calibrator._worker, self.store._worker):
                worker.submit(lambda: None).result(5)
        return super().round()


def bench(folder: Path) -> Bench:
    page = Bench(store=Store(folder))
    page.stand_at(10, 20, 0, 40)
    return page


def begin(page: VirtualHmi, name: str = "run", client: Any = None, **fields: Any) -> Asked:
    """Ask for a run; its worker has a thread of its own."""
    given = {"grid": GRID, **QUICK, **fields} if not fields.get("resume") else fields
    return page.ask("calibrate", client, name=name, **given)


def progress(page: VirtualHmi) -> Progress:
    found = page.handlers.sequencer.progress
    assert found is not None
    return found


def whole(page: VirtualHmi, seconds: float = 60.0) -> str:
    page.until(lambda s: not page.handlers.sequencer.running, seconds)
    return progress(page).ended


def rows(folder: Path, name: str = "run") -> list[tuple[float, ...]]:
    return calibration.read_rows(folder / "calibration" / f"{name}.csv")[1]


def test_every_point_of_the_grid_is_measured_once_in_order(tmp_path: Path) -> None:
    page = bench(tmp_path)
    began_s = page.now_s
    asked = begin(page)
    assert asked.code == "ok", asked.text
    assert asked.fields is not None
    assert (asked.fields["points"], asked.fields["measured"]) == (9, 0)
    assert whole(page) == "done"
    assert asked.fields["estimate_s"] == pytest.approx(page.now_s - began_s, rel=0.1)
    found = rows(tmp_path)
    assert [tuple(round(deg) for deg in row[:4]) for row in found] == [
        (0, 20, 0, 50), (0, 20, 0, 40), (0, 20, 0, 30), (10, 20, 0, 30), (10, 20, 0, 40), (10, 20, 0, 50),
        (20, 20, 0, 50), (20, 20, 0, 40), (20, 20, 0, 30)]
    truth = page.arm.board.truth()
    for axis in range(4):  # the mean of some hundred telegrams is the torque, without the noise of one
        assert found[-1][4 + axis] == pytest.approx(truth["torque_counts"][axis], abs=2.0)
        assert found[-1][axis] == pytest.approx(truth["position_deg"][axis], abs=0.1)
    assert page.state.state == MasterState.AUTO
    shown = progress(page)
    assert (shown.kind, shown.name, shown.position, shown.positions) == ("calibration", "run", 9, 9)


def test_there_and_back_measures_every_point_twice(tmp_path: Path) -> None:
    page = bench(tmp_path)
    assert begin(page, there_and_back=True).code == "ok"
    assert whole(page) == "done"
    found = [tuple(round(deg) for deg in row[:4]) for row in rows(tmp_path)]
    assert len(found) == 18
    assert found == found[::-1]


def stop(page: VirtualHmi) -> None:
    page.ask("stop", page.two)


def error(page: VirtualHmi) -> None:
    page.arm.board.set_fault("button")
    page.run(0.1)
    page.arm.board.clear_faults()
    page.run(0.1)
    assert page.ask("reset").code == "ok"


def stand_still(page: VirtualHmi) -> None:
    page.say({"10": 1})


def lost(page: VirtualHmi) -> None:
    page.control.release(page.one)


@pytest.mark.parametrize("happens", [stop, error, stand_still, lost])
def test_a_run_that_was_ended_goes_on_at_its_first_missing_point(tmp_path: Path,
                                                                 happens: Callable[[VirtualHmi], None]) -> None:
    generator = random.Random(5)
    page = bench(tmp_path)
    assert begin(page).code == "ok"
    for _ in range(4):
        page.run(generator.uniform(0.0, 2.0))
        if not page.handlers.sequencer.running:
            break
        happens(page)
        page.until(lambda s: not page.handlers.sequencer.running)
        page.run(1.0)
        assert not any(page.state.moving)
        assert begin(page, resume=True).code == "ok"
    assert whole(page) == "done"
    found = rows(tmp_path)
    assert len(found) == 9
    points = calibration.Points(calibration.read_description(tmp_path / "calibration" / "run.csv"))
    assert all(abs(row[axis] - point[axis]) < 0.3 for row, point in zip(found, points, strict=True) for axis in (0, 3))


def test_an_axis_that_is_left_out_is_brought_back_where_it_stood(tmp_path: Path) -> None:
    page = bench(tmp_path)
    begin(page)
    page.run(3.0)
    page.stand_at(10, 0, 20, 40)  # somebody moves it between
    assert begin(page, resume=True).code == "ok"
    assert whole(page) == "done"
    assert {tuple(round(deg) for deg in row[1:3]) for row in rows(tmp_path)} == {(20, 0)}


def test_a_pause_measures_the_interrupted_point_anew(tmp_path: Path) -> None:
    page = bench(tmp_path)
    begin(page, measure_s=2.0, grid={"1": {"start_deg": 10, "stop_deg": 10, "step_deg": 1}})
    page.run(1.0)
    assert page.ask("pause").code == "ok"
    page.run(3.0)
    assert rows(tmp_path) == []
    assert page.ask("resume").code == "ok"
    resumed_s = page.now_s
    assert whole(page) == "done"
    assert page.now_s - resumed_s > 1.9
    assert len(rows(tmp_path)) == 1


@pytest.mark.parametrize("cut", [1, 3, 40, 70])
def test_a_torn_last_row_is_cut_off(tmp_path: Path, cut: int) -> None:
    """What kill -9 or a power failure leaves of the last row."""
    page = bench(tmp_path)
    begin(page)
    page.run(2.0)
    page.ask("stop")
    page.run(1.0)
    path = tmp_path / "calibration" / "run.csv"
    before = rows(tmp_path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - cut)
    kept = rows(tmp_path)
    assert kept in (before[:-1], before[:-2])
    resumed = begin(page, resume=True)
    assert resumed.fields is not None, resumed.text
    assert resumed.fields["measured"] == len(kept)
    assert whole(page) == "done"
    assert len(rows(tmp_path)) == 9
    assert b"\n\n" not in path.read_bytes()


@pytest.mark.parametrize("tail", [b"\0" * 50, b"1.0,2.0", b"1.0,nan,3,4,5,6,7,8\n", b"\0\0\n"])
def test_what_a_power_failure_may_leave_behind_the_last_row_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    page = bench(tmp_path)
    begin(page)
    assert whole(page) == "done"
    path = tmp_path / "calibration" / "run.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:5]) + tail)
    assert begin(page, resume=True).code == "ok"
    assert whole(page) == "done"
    assert len(rows(tmp_path)) == 9


def test_a_head_that_is_not_whole_and_a_missing_file_begin_at_the_first_point(tmp_path: Path) -> None:
    page = bench(tmp_path)
    begin(page)
    page.run(0.5)
    page.ask("stop")
    page.run(1.0)
    path = tmp_path / "calibration" / "run.csv"
    path.write_bytes(b"position_1")
    resumed = begin(page, resume=True)
    assert resumed.fields is not None
    assert resumed.fields["measured"] == 0
    page.ask("stop")
    page.run(1.0)
    path.unlink()
    assert begin(page, resume=True).code == "ok"
    assert whole(page) == "done"
    assert len(rows(tmp_path)) == 9


@pytest.mark.parametrize(("change", "word"), [
    (lambda lines: [lines[0], b"garbage\n", *lines[2:]], "line 2"),
    (lambda lines: [b"other head\n", *lines[1:]], "line 1"),
    (lambda lines: [lines[0], lines[4], *lines[2:]], "not point 1"),
    (lambda lines: [*lines, lines[1]], "10 rows"),
])
def test_a_file_that_somebody_changed_is_refused_with_its_line(
        tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], word: str) -> None:
    page = bench(tmp_path)
    begin(page)
    assert whole(page) == "done"
    path = tmp_path / "calibration" / "run.csv"
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    before = path.read_bytes()
    refused = begin(page, resume=True)
    assert word in refused.text
    assert path.read_bytes() == before
    (entry,) = page.ask("calibrations").fields["calibrations"]  # type: ignore[index]
    assert word in entry["problem"]


@pytest.mark.parametrize(("fields", "field", "word"), [
    ({"grid": None}, "grid", "missing"), ({"grid": {}}, "grid", "length >= 1"),
    ({"grid": {"1": {"start_deg": 0, "stop_deg": 20, "step_deg": 0}}}, "step_deg", ">= 0.001"),
    ({"grid": {"1": {"start_deg": 0, "stop_deg": 20, "step_deg": -1}}}, "step_deg", ">= 0.001"),
    ({"grid": {"1": {"start_deg": 0, "stop_deg": 20}}}, "grid", "missing required field `step_deg`"),
    ({"grid": {"1": {"start_deg": 0, "stop_deg": 200, "step_deg": 10}}}, "grid.1", "200"),
    ({"grid": {"2": {"start_deg": -60, "stop_deg": 0, "step_deg": 10}}}, "grid.2", "-60"),
    ({"grid": {"5": {"start_deg": 0, "stop_deg": 20, "step_deg": 10}}}, "grid.5", "4 axes"),
    ({"grid": {"9": {"start_deg": 0, "stop_deg": 20, "step_deg": 10}}}, "grid", "regex"),
    ({"grid": {key: {"start_deg": 0, "stop_deg": 20, "step_deg": 1} for key in "1234"}}, "grid", "194481 points"),
    ({"name": "../evil"}, "name", "regex"), ({"name": ""}, "name", "regex"),
    ({"speed_percent": 0}, "speed_percent", "> 0"),
    ({"measure_s": 0}, "measure_s", "0.02"), ({"settle_s": -1}, "settle_s", "0"),
    ({"settle_s": float("nan")}, "settle_s", "0"),
    ({"grid": {"1": {"start_deg": float("nan"), "stop_deg": 20, "step_deg": 1}}}, "start_deg", ""),
])
def test_a_grid_that_makes_no_sense_names_its_field(tmp_path: Path, fields: dict[str, Any], field: str,
                                                    word: str) -> None:
    page = bench(tmp_path)
    done = page.state.motions_done
    refused = page.ask("calibrate", **{"name": "run", "grid": GRID, **fields})
    assert refused.refused is not None
    assert field in refused.refused.field
    assert word in refused.text
    page.run(0.5)
    assert page.state.motions_done == done
    assert not (tmp_path / "calibration").exists()


def test_names_are_taken_once_and_a_whole_run_is_whole(tmp_path: Path) -> None:
    page = bench(tmp_path)
    assert "no calibration run 'run'" in begin(page, resume=True).text
    begin(page)
    assert "already" in begin(page).text
    assert "being written" in begin(page, resume=True).text  # it runs on
    page.ask("stop")
    page.run(1.0)
    assert begin(page, resume=True).code == "ok"
    assert whole(page) == "done"
    assert "complete: 9 of 9" in begin(page, resume=True).text
    assert page.ask("calibrate", name="run", resume=True, grid=GRID).text.startswith("allowed only without resume")
    assert begin(page, "other").code == "ok"
    page.ask("stop")
    page.run(1.0)
    found = page.ask("calibrations").fields
    assert found is not None
    assert [(entry["name"], entry["points"], entry["problem"]) for entry in found["calibrations"]] == [
        ("other", 9, ""), ("run", 9, "")]


def test_only_an_administrator_calibrates_and_without_a_folder_nobody(tmp_path: Path) -> None:
    page = bench(tmp_path)
    page.one.role = Role.ADVANCED
    assert begin(page).code == "role"
    page = VirtualHmi()
    assert "store.path" in page.ask("calibrate", name="run", grid=GRID).text


def test_a_disk_that_is_full_ends_the_run_and_it_goes_on_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = bench(tmp_path)
    begin(page)
    page.until(lambda s: len(rows(tmp_path)) == 2)
    real = os.fsync
    full = OSError(28, "No space left on device")

    def fails(descriptor: int) -> None:
        raise full

    monkeypatch.setattr(os, "fsync", fails)
    assert "could not be saved" in whole(page)
    assert any("No space left" in text for text in page.ended)
    monkeypatch.setattr(os, "fsync", real)
    assert len(rows(tmp_path)) in {1, 2}  # nothing of the row that failed stays; the second may have been on its way
    page.run(1.0)
    assert not any(page.state.moving)
    assert begin(page, resume=True).code == "ok"
    assert whole(page) == "done"
    assert len(rows(tmp_path)) == 9


def test_a_disk_that_hangs_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = bench(tmp_path)
    begin(page)
    page.waits = False
    goes_on = threading.Event()
    append = RunFile.append

    def hangs(self: RunFile, *row: Any) -> None:
        goes_on.wait(30)
        append(self, *row)

    monkeypatch.setattr(RunFile, "append", hangs)
    try:
        page.until(lambda s: not page.handlers.sequencer.running, 40.0)
        assert "has not taken a row" in progress(page).ended
    finally:
        goes_on.set()


def test_two_programs_do_not_write_one_run(tmp_path: Path) -> None:
    page = bench(tmp_path)
    begin(page)
    page.ask("stop")
    page.run(1.0)
    file = RunFile.resume(tmp_path, "run")
    assert "being written" in begin(page, resume=True).text
    file.close()
    assert begin(page, resume=True).code == "ok"


def test_another_arm_does_not_go_on_with_it(tmp_path: Path) -> None:
    page = bench(tmp_path)
    begin(page)
    page.ask("stop")
    page.run(1.0)
    path = tmp_path / "calibration" / "run.json"
    path.write_text(path.read_text().replace(page.facts.serial, "OTHER"))
    assert "was begun on arm 'OTHER'" in begin(page, resume=True).text
    path.write_text("{")
    assert "damaged" in begin(page, resume=True).text


def lengths(page: VirtualHmi, upper_arm_mm: int, forearm_mm: int) -> None:
    assert page.say({"90": upper_arm_mm, "91": forearm_mm}).code == "ok"


def test_the_lengths_and_the_spring_in_force_are_part_of_a_run(tmp_path: Path) -> None:
    page = bench(tmp_path)
    lengths(page, 30, 80)
    assert begin(page).code == "ok"
    page.run(2.0)
    page.ask("stop")
    page.run(1.0)
    kept = len(rows(tmp_path))
    found = calibration.read_description(tmp_path / "calibration" / "run.csv").adjustment
    assert found == calibration.Adjustment(upper_arm_mm=30.0, forearm_mm=80.0, spring_offset_counts=120.0,
                                           spring_counts_per_deg=2.5)
    lengths(page, 30, 90)
    refused = begin(page, resume=True)
    assert refused.code == "value"
    assert "begun with upper arm 30 mm and forearm 80 mm longer" in refused.text
    assert "now it is upper arm 30 mm and forearm 90 mm longer" in refused.text
    lengths(page, 30, 80)
    assert begin(page, resume=True).code == "ok"
    assert whole(page) == "done"
    assert 0 < kept < len(rows(tmp_path)) == 9


def test_lengths_that_change_while_it_measures_end_it_and_no_row_is_of_both(tmp_path: Path) -> None:
    page = bench(tmp_path)
    assert begin(page, measure_s=2.0).code == "ok"
    page.until(lambda s: len(rows(tmp_path)) == 1)
    page.until(lambda s: page.handlers.sequencer.resting)
    page.run(1.0)
    lengths(page, 0, 50)
    assert "lengths (registers 90, 92) were changed from 0 and 0 mm to 0 and 50 mm" in whole(page)
    assert any("set them back and resume" in text for text in page.ended)
    assert len(rows(tmp_path)) == 1
    page.run(1.0)
    lengths(page, 0, 0)
    assert begin(page, resume=True).code == "ok"
    assert whole(page) == "done"
    assert len(rows(tmp_path)) == 9


class Slow(Bench):
    """Its disk takes some seconds for a new run; `meanwhile` happens then."""

    free_s = float("inf")

    def hold(self, seconds: float, meanwhile: Callable[[VirtualHmi], None]) -> None:
        self.slow, self.free_s, self.meanwhile = True, self.now_s + seconds, meanwhile

    def round(self) -> State:
        if self.now_s >= self.free_s:
            self.slow, self.free_s = False, float("inf")
            self.meanwhile(self)
            for ask in self.loading:
                ask()
        return super().round()


def loop_knows_better(page: VirtualHmi) -> None:
    """An error that the HMI has not heard of when it begins: the loop refuses the first step."""
    page.arm.board.set_fault("button")
    for _ in range(100):
        page.arm.cycle()


def gone(page: VirtualHmi) -> None:
    page.one.gone = True


@pytest.mark.parametrize(("seconds", "meanwhile", "word"), [
    (3.5, lambda page: None, "took longer than 3 s"), (4.5, lambda page: None, "the disk does not answer"),
    (0.1, lambda page: page.handlers.sequencer.end("a stop"), "a stop or another command"), (0.1, gone, "has gone"),
    (0.1, loop_knows_better, "blockers are active"),
])
def test_nothing_is_left_of_a_run_that_never_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float,
                                                   meanwhile: Callable[[VirtualHmi], None], word: str) -> None:
    page = Slow(store=Store(tmp_path))
    page.stand_at(10, 20, 0, 40)
    page.hold(seconds, meanwhile)
    if "does not answer" in word:
        monkeypatch.setattr(player, "DISK_S", 4.0)
    refused = begin(page)
    assert refused.code != "ok"
    assert word in refused.text
    page.run(1.0)
    assert list((tmp_path / "calibration").iterdir()) == []
    page.one.gone = False
    page.arm.board.clear_faults()
    assert page.ask("calibrations").fields == {"calibrations": []}


def test_saf_11_saf_12_a_sensor_that_reads_a_torque_without_one_is_calibrated_and_then_a_hand_leads(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Offsets above the dead band refuse the hand-over, until the run, its fit and the configuration know them."""
    def arm(store: Store, given: config.Config | None = None) -> Bench:
        page = Bench(store=store, config=given)
        page.arm.board.set_fault("torque_offset", axis=2, counts=60.0)
        page.arm.board.set_fault("torque_offset", axis=4, counts=-45.0)
        page.stand_at(10, 20, 0, 40)
        return page

    page = arm(Store(tmp_path))
    page.ask("compliant", on=True)
    page.run(2.0)
    assert {(410, 2), (410, 4)} <= warnings(page.state)
    assert page.state.compliant_phase == CompliantPhase.NONE
    page.ask("compliant", on=False)
    page.ask("stop")
    page.run(0.5)
    turned = {"1": (-30, 60, 30), "2": (10, 70, 30), "3": (-30, 30, 30), "4": (30, 90, 30)}
    assert begin(page, grid={axis: {"start_deg": start, "stop_deg": stop, "step_deg": step}
                             for axis, (start, stop, step) in turned.items()}).code == "ok"
    assert whole(page, 200.0) == "done"

    assert main(["calibrate", "fit", str(tmp_path / "calibration" / "run.csv")]) == 0
    out = capsys.readouterr().out
    pasted = tmp_path / "allyarm.toml"
    pasted.write_text(out[out.index("# For the configuration"):])
    found = config.load(pasted)
    assert [link.torque_zero_counts for link in found.link] == pytest.approx([0.0, 60.0, 0.0, -45.0], abs=8.0)

    page = arm(Store(), found)
    assert page.ask("compliant", on=True).code == "ok"
    page.until(lambda s: s.compliant_phase == CompliantPhase.LED, 3.0)
    page.run(2.0)
    assert page.state.position_deg == pytest.approx((10, 20, 0, 40), abs=1.0)   # it does not sink or rise by them
    before = page.state.position_deg
    for axis, counts in ((2, 40.0), (4, -40.0)):    # a hand, either way
        page.arm.board.set_fault("outside_torque", axis=axis, counts=counts)
        page.run(2.0)
        page.arm.board.clear_faults("outside_torque")
        page.run(1.0)
        assert (page.state.position_deg[axis - 1] - before[axis - 1]) * counts > 100.0
    assert page.state.compliant_phase == CompliantPhase.LED
