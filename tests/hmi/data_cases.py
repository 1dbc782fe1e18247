"""Every field of `data` against what the simulated arm really does: one case per field."""

from __future__ import annotations

import re

import pytest

from controller.spec import hmi, telegram
from controller.spec.hmi import Notice
from controller.spec.modes import MasterMode, MasterState
from tests.hmi.cases import AXES, HERE, case, error
from tests.hmi.page import Page


@case("data parity", "data debug")
def status_bits(page: Page) -> None:
    page.stand_at(*HERE)
    shown = page.shows(lambda d: d["parity"][:4] == [
        (status & telegram.STATUS_PARITY) >> 7 for status in page.state.status])
    for name in ("parity", "debug"):
        assert len(shown[name]) == 6
        assert shown[name][4:] == [0, 0]
        assert set(shown[name]) <= {0, 1}
        assert all(type(value) is int for value in shown[name])


@case("data motionOnGoing", "data onTargetPosition", "data targetPosition", "data actualFrequency",
      "data actualPosition", "data actualPositionDeg", "data axisNumberTest")
def a_motion(page: Page) -> None:
    page.stand_at(*HERE)
    page.send({"4": 0, "50": -10, "51": -5})
    moving = page.shows(lambda d: d["motionOnGoing"][5] == 1 and d["actualFrequency"][0] < -100)
    assert moving["onTargetPosition"][5] == 0
    assert moving["targetPosition"][:2] == [page.rig.facts.counts(0, -10), page.rig.facts.counts(1, -5)]
    assert all(type(value) is int for value in moving["actualFrequency"])
    page.shows(lambda d: d["motionOnGoing"][5] == 0 and d["onTargetPosition"][5] == 1)
    page.arrived(-10, -5, *HERE[2:])
    truth = page.rig.board.truth()
    shown = page.data
    assert len(shown["actualPosition"]) == len(shown["actualPositionDeg"]) == shown["axisNumberTest"] == AXES
    assert shown["actualPositionDeg"] == pytest.approx(truth["position_deg"], abs=0.3)
    assert shown["actualPosition"] == pytest.approx(truth["position_counts"], abs=3)
    assert [len(shown[name]) for name in ("targetPosition", "actualTorque", "actualFrequency")] == [5, 5, 5]
    assert [shown[name][4] for name in ("targetPosition", "actualTorque", "actualFrequency")] == [0, 0, 0]
    assert all(round(deg, 1) == deg for deg in shown["actualPositionDeg"])


@case("data actualTorque", "data batteryStatus")
def torque_and_battery(page: Page) -> None:
    page.stand_at(60, 25, -15, 45)  # a lifted upper arm has a weight
    truth = page.rig.board.truth()
    shown = page.data
    assert abs(truth["torque_counts"][0]) > 20
    assert shown["actualTorque"][0] == pytest.approx(truth["torque_counts"][0], abs=10)
    assert shown["batteryStatus"] == pytest.approx((truth["battery_mv"] / 1e3 - 21.0) / 4.2 * 100, abs=3)


@case("data driverState", "data workingMode")
def states_and_modes(page: Page) -> None:
    page.press("start")
    shown = page.shows(lambda d: d["driverState"][5] == MasterState.AUTO)
    assert shown["driverState"][4] == 0
    page.client.until(lambda: page.data["driverState"][:4] == list(page.state.driver_state) == [3] * AXES)
    page.press("stop")
    page.shows(lambda d: d["driverState"][5] == MasterState.WAITING and d["workingMode"][5] == MasterMode.STAND_STILL)
    page.client.until(lambda: page.data["workingMode"][:4] == list(page.state.driver_mode))


@case("data error", "data errorCode", "data errorTest", "data errorData")
def errors(page: Page) -> None:
    page.stand_at(*HERE)
    page.rig.board.set_fault("drive_error", axis=2, code=3)
    shown = page.shows(lambda d: d["errorCode"][1] == 3 and len(d["errorTest"]) >= 2)
    assert shown["error"] == [0, 1, 0, 0, 0, 1]
    assert shown["errorCode"][5] == 102
    assert shown["errorData"] == shown["errorTest"]
    assert {(entry["errorCode"], entry["axis"]) for entry in shown["errorTest"]} == {(3, 2), (102, 2)}
    for entry in shown["errorTest"]:
        assert set(entry) == {"timestamp", "errorCode", "axis", "message", "description", "cause", "solution"}
        assert re.fullmatch(r"\d\d:\d\d:\d\d:\d\d\d", entry["timestamp"])
        assert all(isinstance(entry[name], str) and entry[name] for name in ("message", "solution"))
    page.rig.board.set_fault("button")
    shown = page.shows(lambda d: any(entry["errorCode"] == 296 for entry in d["errorTest"]))
    assert next(entry for entry in shown["errorTest"] if entry["errorCode"] == 296)["axis"] == "Master"


@case("data warning", "data warningCode", "data warningTest", "data warningData")
def warnings(page: Page) -> None:
    page.rig.board.set_fault("drive_warning", axis=3, code=3)
    shown = page.shows(lambda d: d["warningCode"][2] == 3)
    assert shown["warning"][2] == 1
    assert shown["warningData"] == shown["warningTest"]
    assert [(entry["warningCode"], entry["axis"]) for entry in shown["warningTest"]] == [(3, 3)]
    page.rig.board.clear_faults()
    page.shows(lambda d: d["warningTest"] == [] and d["warningCode"] == [0] * 6)


@case("data axesX", "data axesY", "data axesZ", "data axesG")
def hand_position(page: Page) -> None:
    assert all(isinstance(page.data[name], int | float) for name in ("axesX", "axesY", "axesZ", "axesG"))


@case("data ipAddress")
def address(page: Page) -> None:
    assert re.fullmatch(r"(\d{1,3}\.){3}\d{1,3}", page.data["ipAddress"])


@case("data clientData", "data axisSpeedBaseData", "data joystickSensData", "data adjustmentsArmData", "data homeBtn")
def objects(page: Page) -> None:
    shown = page.data
    speeds = {str(n) for n in (*range(60, 65), *range(70, 75), *range(80, 85))}
    assert set(shown["clientData"]) == speeds | {str(n) for n in range(101, 109)} | {
        "lockSpeed", "lockSpeedAd", "lockJoySens"}
    assert set(shown["axisSpeedBaseData"]) == {*map(str, range(70, 75)), "lockSpeed"}
    assert set(shown["joystickSensData"]) == {*map(str, range(80, 85)), "lockJoySens"}
    assert set(shown["adjustmentsArmData"]) == {"90", "91", "92", "93"}
    assert set(shown["homeBtn"]) == {f"default_{n}" for n in range(1, 7)}
    for name, value in shown["clientData"].items():
        assert isinstance(value, bool) == name.startswith("lock")
        assert isinstance(value, int | float)
    page.send({"91": 150})
    page.shows(lambda d: d["adjustmentsArmData"]["91"] == 150)
    assert page.setting("forearm_length_mm") == [150]  # HMI 91 is register 92
    page.send({"92": 80})
    page.shows(lambda d: d["adjustmentsArmData"]["92"] == 80)
    assert page.setting("upper_arm_weight_percent") == [80]


@case(f"data {hmi.NOTICE_FIELD}")
def notices(page: Page) -> None:
    page.press("nothing")
    assert "is no button" in page.refused(Notice.UNKNOWN)
    error(page)
    page.press("start")
    assert "an error is active" in page.refused(Notice.BLOCKED)
    seen = page.client.counts["data"]
    page.client.until(lambda: page.client.counts["data"] >= seen + 2)
    assert hmi.NOTICE_FIELD not in page.data  # it came once
