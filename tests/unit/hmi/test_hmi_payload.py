"""`data` and `state`: every field, exact shapes, strict JSON, under 4 kB whatever is active; faults and their texts."""

from __future__ import annotations

import json
import math
import random
import re
from types import SimpleNamespace
from typing import Any

import pytest

from controller._core import State
from controller.arm import ArmFacts, AxisFacts
from controller.describe import schemas
from controller.hmi.counters import Counters
from controller.hmi.faultlist import FaultList
from controller.hmi.payload import DataMessage
from controller.hmi.state import Holder, StateBuilder, blocker_words, empty_state
from controller.hmi.transport import text_frame
from controller.link import LinkReport
from controller.spec import faults, hmi, record
from controller.spec.modes import Blocker, MasterMode, MasterState
from controller.store import Store
from tests.virtual_arm import VirtualArm

AXIS = AxisFacts(4096, 360.0, 1024, False, 341, 2389, 0.01, 60.0)


def state(axes: int = 4, **changes: Any) -> Any:
    made = empty_state(axes)
    assert isinstance(made, SimpleNamespace)
    for name, value in changes.items():
        assert hasattr(made, name), name
        setattr(made, name, value)
    return made


def packed(shown: Any) -> State:
    return State.from_bytes(record.pack(shown))


class Bench:
    def __init__(self, axes: int = 4) -> None:
        self.counters, self.faults, self.store = Counters(), FaultList(), Store()
        self.data = DataMessage(self.store, self.faults, self.counters)
        self.states = StateBuilder(self.faults, self.counters)
        self.data.facts = self.states.facts = ArmFacts("S-1", "1.0", (AXIS,) * axes)

    def message(self, shown: Any) -> dict[str, Any]:
        self.faults.follow(shown)
        text = self.data.text(packed(shown))
        assert len(text_frame(text)) < hmi.DATA_BYTES
        name, payload = json.loads(text[2:], parse_constant=lambda word: pytest.fail(f"{word} in JSON"))
        assert name == "data"
        return payload  # type: ignore[no-any-return]

    def typed(self, record: Any) -> dict[str, Any]:
        import msgspec

        self.faults.follow(record)
        built = self.states.build(record, running=True, holder=Holder(3, "client 3"), counts={"clients": 1},
                                  blockers=blocker_words(record.blockers), sequence=None, link=LinkReport(),
                                  store_problem="")
        return json.loads(  # type: ignore[no-any-return]
            msgspec.json.encode(built), parse_constant=lambda word: pytest.fail(f"{word} in JSON"))


@pytest.mark.parametrize("axes", range(1, 9))
def test_every_field_with_its_exact_shape(axes: int) -> None:
    message = Bench(axes).message(state(axes))
    assert sorted(message) == sorted(row.name for row in hmi.DATA_FIELDS)
    nodes, five = (6, 5) if axes <= 5 else (axes + 1, axes)
    for row in hmi.DATA_FIELDS:
        value = message[row.name]
        if row.shape in {"node", "five", "axis"}:
            assert len(value) == {"node": nodes, "five": five, "axis": axes}[row.shape], row.name
            assert all(type(item) in {int, float} for item in value), row.name
        else:
            kind = {"number": (int, float), "text": str, "object": dict, "list": list}[row.shape]
            assert isinstance(value, kind), row.name
            assert not isinstance(value, bool)
    assert message["errorTest"] == message["errorData"] == message["warningTest"] == message["warningData"] == []
    assert message["homeBtn"] == {f"default_{n}": f"Default {n}" for n in range(1, 7)}
    assert set(message["axisSpeedBaseData"]) == {"70", "71", "72", "73", "74", "lockSpeed"}
    assert set(message["joystickSensData"]) == {"80", "81", "82", "83", "84", "lockJoySens"}
    assert set(message["adjustmentsArmData"]) == {"90", "91", "92", "93"}
    expected = {str(n) for first in (60, 70, 80) for n in range(first, first + 5)}
    expected |= {str(n) for n in range(101, 101 + 2 * min(5, max(4, axes)))}
    assert set(message["clientData"]) == expected | {"lockSpeed", "lockSpeedAd", "lockJoySens"}


def test_what_is_kept_of_earlier_messages_is_never_stale() -> None:
    """A message of a builder that has made thousands equals that of one that has made none."""
    old, chance = Bench(), random.Random(7)
    shown = state()
    names = [row.name for row in record.FIELDS if row.name not in {"axes", "faults", "fault_count"}]
    for _ in range(2000):
        name = chance.choice(names)
        value, new = getattr(shown, name), chance.choice((0, 1, 2, 3, 8, 100, 255))
        if isinstance(value, tuple):
            at = chance.randrange(len(value))
            new = (*value[:at], new, *value[at + 1:])
        setattr(shown, name, new)
        if chance.random() < 0.05:
            shown.faults, shown.fault_count = (296, *shown.faults[1:]), chance.randrange(2)
        if chance.random() < 0.05:
            old.store.put({"user_speed_percent.1": float(chance.randrange(100))})
            old.data.settings_changed()
        if chance.random() < 0.05:
            shown = state(chance.randrange(1, 9))
        old.faults.follow(shown)
        fresh = DataMessage(old.store, old.faults, Counters())
        fresh.facts = old.data.facts
        assert json.loads(old.data.text(packed(shown))[2:]) == json.loads(fresh.text(packed(shown))[2:])


def test_values_of_a_moving_arm() -> None:
    message = Bench().message(state(
        status=(0xC8, 0x87, 0x02, 0x01), driver_state=(3, 3, 4, 2), driver_mode=(4, 4, 6, 7), error_code=(0, 0, 3, 0),
        state=int(MasterState.AUTO), mode=int(MasterMode.JOG), moving=(0, 1, 0, 0), on_target=(1, 1, 1, 1),
        position_deg=(1.26, -2.0, 0.04, 90.0), position_counts=(1038, 1001, 1024, 2048), torque_counts=(1, -2, 3, 4),
        frequency_microsteps_s=(10.6, -0.4, 0.0, 1e6), target_position_deg=(90.0, 0.0, -90.0, 1e9),
            battery_percent=81.25))
    assert message["parity"] == [1, 1, 0, 0, 0, 0]
    assert message["debug"] == [1, 0, 0, 0, 0, 0]
    assert message["error"] == [1, 0, 0, 0, 0, 1]
    assert message["warning"] == [0, 1, 0, 0, 0, 0]
    assert message["motionOnGoing"] == [0, 1, 1, 0, 0, 1]
    assert message["onTargetPosition"] == [0, 1, 0, 1, 0, 1]
    assert message["driverState"] == [3, 3, 4, 2, 0, MasterState.AUTO]
    assert message["workingMode"] == [4, 4, 6, 7, 0, MasterMode.JOG]
    assert message["errorCode"] == [0, 0, 3, 0, 0, 0]
    assert message["actualPosition"] == [1038, 1001, 1024, 2048]
    assert message["actualPositionDeg"] == [1.3, -2.0, 0.0, 90.0]
    assert message["actualFrequency"] == [11, 0, 0, 1000000, 0]
    assert message["targetPosition"] == [2048, 1024, 0, 32767, 0]
    assert message["actualTorque"] == [1, -2, 3, 4, 0]
    assert message["batteryStatus"] == 81.2
    assert message["clientData"]["101"] == -60.0
    assert message["clientData"]["108"] == 120.0


def test_numbers_that_are_none_become_null_and_are_counted() -> None:
    bench = Bench()
    bad = state(position_deg=(math.nan, math.inf, -math.inf, 1.0), frequency_microsteps_s=(math.nan, 1.0, 1.0,
        math.inf),
                target_position_deg=(math.nan, 0.0, 0.0, 0.0), battery_percent=math.nan)
    message = bench.message(bad)
    assert message["actualPositionDeg"] == [None, None, None, 1.0]
    assert message["actualFrequency"] == [None, 1, 1, None, 0]
    assert message["targetPosition"][0] is None
    assert message["batteryStatus"] is None
    assert bench.counters.count["nan_replaced"] == 7
    typed = bench.typed(bad)
    assert typed["axis"][0]["position_deg"] is None
    assert typed["battery_percent"] is None
    assert bench.counters.count["nan_replaced"] == 14


def word(code: int, axis: int = 0, category: int = 1, warning: bool = False) -> int:
    return code | axis << 16 | category << 24 | int(warning) << 31


def faulty(*words: int, **changes: Any) -> Any:
    return state(faults=(*words, *(0,) * (16 - len(words))), fault_count=len(words), **changes)


def test_errors_with_their_texts_the_gravest_first() -> None:
    bench = Bench()
    message = bench.message(faulty(word(30, 0, 2), word(296, 0, 0), word(103, 3, 1), word(401, 2, 3, True)))
    assert [(row["errorCode"], row["axis"]) for row in message["errorTest"]] == [(296, "Master"), (103, 3), (30,
        "Master")]
    assert message["errorData"] == message["errorTest"]
    assert [(row["warningCode"], row["axis"]) for row in message["warningTest"]] == [(401, 2)]
    button = next(row for row in faults.ERRORS if row.code == 296)
    first = message["errorTest"][0]
    assert (first["message"], first["cause"], first["solution"]) == (button.message, button.cause, button.solution)
    assert set(first) == {"timestamp", "errorCode", "axis", "message", "description", "cause", "solution"}
    assert re.fullmatch(r"\d\d:\d\d:\d\d:\d\d\d", first["timestamp"])
    assert message["errorCode"][5] == 296
    assert message["warningCode"][5] == 401


def test_a_fault_keeps_the_time_it_was_first_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    times = iter(["10:00:00:000", "10:00:01:000", "10:00:02:000"])
    monkeypatch.setattr("controller.hmi.faultlist.wall_time", lambda: next(times))
    bench.message(faulty(word(30)))
    assert [row["timestamp"] for row in bench.message(faulty(word(30), word(296)))["errorTest"]] == [
        "10:00:00:000", "10:00:01:000"]
    assert bench.message(state())["errorTest"] == []


def test_drive_warnings_stay_until_withdrawn() -> None:
    bench = Bench()
    seen = []
    for code in (1, 3, 16001, 4, 16099, 0):
        message = bench.message(state(warning_code=(0, code, 0, 0)))
        seen.append(sorted(row["warningCode"] for row in message["warningTest"]))
        assert {row["axis"] for row in message["warningTest"]} <= {2}
    assert seen == [[1], [1, 3], [3], [3, 4], [3, 4], []]


def test_an_unknown_code_is_shown_as_such() -> None:
    message = Bench().message(faulty(word(999)))
    assert message["errorTest"][0]["message"] == "Unknown error 999"


def test_the_message_stays_below_its_limit_with_everything_wrong() -> None:
    for axes in (1, 4, 8):
        bench = Bench(axes)
        for n in range(1, 7):
            bench.store.put({f"default_position_{n}_label": "ü" * 24})
        codes = [row.code for row in faults.ERRORS if row.source != "drive"][:16]
        bench.message(faulty(*map(word, codes), state=3, error_code=(3,) * axes, warning_code=(1,) * axes, axes=axes,
                             target_position_deg=(0.0,) * axes))  # the lists are fitted to small numbers first
        message = bench.message(faulty(*map(word, codes), state=3, error_code=(3,) * axes, warning_code=(1,) * axes,
                                       position_counts=(-32768,) * axes, torque_counts=(-32768,) * axes,
                                       frequency_microsteps_s=(-1234567.0,) * axes, axes=axes,
                                           **dict.fromkeys(("position_deg", "target_position_deg"), (0.0,) * axes)))
        assert message["errorTest"]
        assert message["errorTest"][0]["solution"]  # the gravest is whole
        assert len(bench.typed(faulty(*map(word, codes)))["faults"]) >= len(codes)


WORST = {"number": lambda row: row.low if len(str(row.low)) > len(str(row.high)) else row.high - 0.123456789012345,
         "boolean": lambda row: False, "choice": lambda row: None, "text": lambda row: "\U0001f600" * int(row.high)}


@pytest.mark.parametrize("axes", range(1, 9))
def test_the_longest_values_of_every_field_fit_with_a_notice(axes: int) -> None:
    bench = Bench(axes)
    bench.data.address = "255.255.255.255"
    bench.store.put({name: WORST[row.kind](row) for row in hmi.SETTINGS for name in row.names(8)})
    shown = faulty(*(word(111 + i % 5, 1 + i % 5) for i in range(16)), **{
        name: (value,) * axes for name, value in {
            "status": 255, "driver_state": 4, "driver_mode": 9, "error_code": 65535, "warning_code": 15999,
            "torque_counts": -32768, "frequency_microsteps_s": -1234567890.0, "position_counts": -32768,
            "position_deg": -3599.9, "target_position_deg": -3599.9}.items()}, axes=axes, battery_percent=-100.1)
    message = bench.message(shown)
    assert message["errorTest"][0]["solution"]
    for text in ("short", "\"\\\U0001f600" * 400, "why " * 300):
        packet = bench.data.text(packed(shown), {"id": 67, "message": text})
        assert len(text_frame(packet)) < hmi.DATA_BYTES
        notice = json.loads(packet[2:])[1][hmi.NOTICE_FIELD]
        assert notice["id"] == 67
        assert notice["message"].startswith(text[:40])
        assert len(notice["message"]) > 40 or notice["message"] == text


def test_every_catalogue_row_fits() -> None:
    for row in faults.ERRORS:
        if row.source != "drive":
            axis = 1 if row.per_axis else 0
            entry = Bench().message(faulty(word(row.code + axis, axis)))["errorTest"][0]
            assert (entry["message"], entry["solution"]) == (row.message, row.solution)


def test_state_has_every_row_of_the_record_with_its_type() -> None:
    typed = Bench().typed(faulty(word(296, 0, 0), blockers=1 << Blocker.BUTTON | 1 << Blocker.ERROR, inputs=0b010,
                                 motor_power=1, state=3, moving=(1, 0, 0, 0)))
    for row in record.FIELDS:
        if row.name in {"faults", "fault_cycle", "fault_count"}:
            continue
        assert row.name in (typed["axis"][0] if row.count == record.PER_AXIS else typed), row.name
    assert typed["state"] == "ERROR"
    assert typed["motor_power"] is True
    assert [axis["moving"] for axis in typed["axis"]] == [True, False, False, False]
    assert typed["inputs"] == {"button_closed": False, "contacts_closed": True, "enable_seen": False}
    assert typed["blockers"] == [Blocker.ERROR.doc, Blocker.BUTTON.doc]
    assert typed["faults"][0]["axis"] is None
    assert typed["control"] == {"client": 3, "name": "client 3"}
    assert typed["axis"][0]["minimum_deg"] == pytest.approx(-60.03, abs=0.01)


def test_real_records_have_what_the_messages_read() -> None:
    arm = VirtualArm()
    real = arm.waiting()
    bench = Bench()
    bench.data.facts = bench.states.facts = arm.facts
    message, typed = bench.message(real), bench.typed(real)
    assert message["driverState"][5] == MasterState.WAITING
    assert message["actualPositionDeg"] == [round(deg, 1) for deg in real.position_deg]
    assert typed["cycle"] == real.cycle


def test_schemas_describe_the_messages() -> None:
    schema = json.loads(schemas.text())
    assert set(schema["properties"]) == {"command", "response", "state", "data", "acknowledgement",
                                         "commandAcknowledgement"}
    assert set(schema["$defs"]["DataMessage"]["required"]) == {row.name for row in hmi.DATA_FIELDS}
    kinds = {item["$ref"].rsplit("/", 1)[1] for item in schema["$defs"]["Command"]["anyOf"]}
    assert {schema["$defs"][kind]["properties"]["type"]["enum"][0] for kind in kinds} == set(hmi.COMMANDS)
    assert all(schema["$defs"][kind]["additionalProperties"] is False for kind in kinds)
    typed = Bench().typed(state())
    assert set(schema["$defs"]["StateMessage"]["required"]) == set(typed)
    assert set(schema["$defs"]["AxisState"]["required"]) == set(typed["axis"][0])


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_websocket_frames(size: int) -> None:
    frame = text_frame(b"x" * size)
    assert frame[0] == 0x81
    assert not frame[1] & 0x80
    head = 2 if size < 126 else 4 if size < 65536 else 10
    length = frame[1] if size < 126 else int.from_bytes(frame[2:head], "big")
    assert (length, len(frame)) == (size, head + size)
