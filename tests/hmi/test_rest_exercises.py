"""Exercises and scenarios over HTTP, as a page keeps them."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from controller.exercises import FILE
from controller.spec import rest as spec
from tests.hmi.rest_client import RestClient, rest, rest_of, row

INJECTIONS = ["x'; DROP TABLE exercise; --", '" OR 1=1 --', "a\x00b", "Robert'); DELETE FROM position; --"]


def answered(sent: dict[str, Any]) -> dict[str, Any]:
    """The row as it comes back."""
    return {key: float(value) if key.startswith("axis_") and value is not None else value
            for key, value in sent.items()}


def test_an_exercise_from_its_name_to_its_end(tmp_path: Path) -> None:
    with rest(tmp_path) as (_, client):
        assert client.get("/exercises_names") == (200, [])
        client.good("/add_exercise_name", {"name": "Wave", "rep": 3})
        client.good("/add_exercise_name", {"name": "Übung 2", "rep": 100})
        assert client.get("/exercises_names") == (200, [{"name": "Wave", "rep": 3}, {"name": "Übung 2", "rep": 100}])
        assert client.good("/exercises_data", {"name": "Wave"}) == []
        rows = [row(), row(order_pos=2, axis_1=-20, pause=5, speed=100)]
        client.good("/save_exercises", rows)
        stored = [answered(found) for found in rows]
        assert client.good("/exercises_data", {"name": "Wave"}) == stored
        for path in ("/view_positions_exercise", "/edit_exercise"):
            assert client.good(path, {"name": "Wave"}) == {"result": stored}
        client.good("/update_pos", {"name": "Wave", "order_pos": 2, "axis_1": 7, "axis_2": None, "rep": 4})
        stored[1] |= {"axis_1": 7.0, "axis_2": None}
        assert client.good("/exercises_data", {"name": "Wave"}) == [{**found, "rep": 4} for found in stored]
        client.good("/update_exercise", {"oldName": "Wave", "name": "Wave 1", "rep": 9})
        assert client.post("/exercises_data", {"name": "Wave"})[0] == 404
    with rest(tmp_path) as (_, client):  # after a restart
        assert client.good("/exercises_data", {"name": "Wave 1"}) == [{**f, "name": "Wave 1", "rep": 9} for f in stored]
        client.good("/delete_exercise", {"name": "Wave 1"})
        assert client.get("/exercises_names") == (200, [{"name": "Übung 2", "rep": 100}])
        client.good("/add_exercise_name", {"name": "Wave 1", "rep": 1})
        assert client.good("/exercises_data", {"name": "Wave 1"}) == []  # its positions went with it


def test_saving_replaces_whole_exercises_and_takes_both_forms() -> None:
    with rest() as (_, client):
        client.good("/save_exercises", [row(), row(order_pos=2), row("Other", 5, rep=8)])
        client.good("/save_exercises", [row(order_pos=7)])
        assert [found["order_pos"] for found in client.good("/exercises_data", {"name": "Wave"})] == [7]
        assert [found["rep"] for found in client.good("/exercises_data", {"name": "Other"})] == [8]
        place = {"pause": "0.5", "speed": "80", "axis_1": "-12.5"}  # what input fields hold
        client.good("/save_exercises", {"name": " Wave ", "rep": "5", "positions": [place, place]})
        found = client.good("/exercises_data", {"name": "Wave"})
        assert [(f["order_pos"], f["rep"], f["axis_1"], f["axis_2"], f["pause"], f["speed"]) for f in found] == [
            (1, 5, -12.5, None, 0.5, 80), (2, 5, -12.5, None, 0.5, 80)]
        client.good("/save_exercises", {"name": "Wave", "rep": 5, "positions": []})
        assert client.good("/exercises_data", {"name": "Wave"}) == []


def test_scenarios(tmp_path: Path) -> None:
    scenario = [{"exercise": "Wave", "rep": 2}, "pause", 1.5, None, {"deep": [[1]], "text": "è \"'; DROP TABLE"}]
    with rest(tmp_path) as (_, client):
        assert client.get("/scenario_names") == (200, {"scenarioNames": [], "lastScenario": ""})
        client.good("/save_scenario_mode", {"scenarioName": "Lunch", "scenario": scenario})
        client.good("/save_scenario_mode", {"scenarioName": "Évening", "scenario": []})
        assert client.good("/get_scenario_mode", {"scenarioNameURL": "Lunch"}) == scenario
        assert client.post("/play_scenario_mode", b"Lunch", Content_Type="text/plain")[0] == 200
        assert client.post("/play_scenario_mode", "Lunch")[0] == 200  # as JSON too
        client.good("/save_scenario_mode", {"scenarioName": "Lunch", "scenario": scenario[:1]})
    with rest(tmp_path) as (rig, client):
        names = {"scenarioNames": ["Lunch", "Évening"], "lastScenario": "Lunch"}
        assert client.get("/scenario_names") == (200, names)
        assert client.good("/get_scenario_mode", {"scenarioName": "Lunch"}) == scenario[:1]
        assert rig.state.last_command == 0 or rig.state.motions_done == 0  # nothing moved
        client.good("/delete_scenario", {"scenarioName": "Lunch"})
        assert client.get("/scenario_names") == (200, {"scenarioNames": ["Évening"], "lastScenario": ""})
        for path, body in (("/get_scenario_mode", {"scenarioNameURL": "Lunch"}), ("/play_scenario_mode", b"Lunch"),
                           ("/delete_scenario", {"scenarioName": "Lunch"})):
            status, answer = client.post(path, body)
            assert status == 404
            assert "there is no scenario 'Lunch'" in answer["message"]


def test_saved_positions_in_degrees() -> None:
    with rest(attach=True) as (rig, client):
        for name in ("rest", "wearing"):
            status, answer = client.get(f"/last_saved_{name}_pos")
            assert status == 404
            assert f"the {name} position was never saved" in answer["message"]
        counts = [axis.counts(axis.minimum_deg + 10 + i) for i, axis in enumerate(rig.facts.axis)]
        rig.store.put({f"rest_position_counts.{i + 1}": value for i, value in enumerate(counts)}).result(5)
        status, answer = client.get("/last_saved_rest_pos")
        assert status == 200
        assert answer == [round(rig.facts.degrees(i, value), 2) for i, value in enumerate(counts)]
        assert len(answer) == rig.facts.axes
    with rest() as (_, client):
        assert client.get("/last_saved_rest_pos")[0] == 404
        assert "not connected" in client.get("/last_saved_rest_pos")[1]["message"]


GOOD = {"name": "Wave", "rep": 3}
BAD: list[tuple[str, object, str, str]] = [
    # path, body, the field that the answer names, what it says is allowed
    *(("/add_exercise_name", {**GOOD, "name": name}, "name", "1..24 letters, digits and blanks") for name in
      ("", " ", "x" * 25, "a/b", "a_b", "tab\there", "日本", "emoji 🙂", *INJECTIONS)),
    *(("/add_exercise_name", {**GOOD, "name": name}, "name", "1..24 letters") for name in (None, 5, ["a"], {"a": 1})),
    *(("/add_exercise_name", {**GOOD, "rep": rep}, "rep", "1..100") for rep in
      (0, 101, -1, 1.5, "0", "101", "x", "", None, True, [1], 10**30, "1e1")),
    ("/add_exercise_name", {"name": "Wave"}, "rep", "1..100"),
    ("/add_exercise_name", {**GOOD, "colour": 1}, "colour", "/openapi.json"),
    ("/add_exercise_name", [GOOD], "", "/openapi.json"),
    *(("/save_exercises", [row(**{field: value})], f"[0].{field}", allowed) for field, value, allowed in (
        ("axis_1", 361, "-360..360"), ("axis_5", -360.5, "-360..360"), ("axis_2", "", "-360..360"),
        ("axis_2", "361", "-360..360"), ("axis_3", [1], "-360..360"), ("pause", 5.1, "0..5"), ("pause", -0.1, "0..5"),
        ("pause", None, "0..5"), ("speed", 101, "0..100"), ("speed", "fast", "0..100"), ("order_pos", -1, "0..999"),
        ("order_pos", 1000, "0..999"), ("order_pos", 1.5, "0..999"), ("rep", 0, "1..100"), ("axis_6", 1, "/openapi"))),
    ("/save_exercises", [], "", "1"),
    ("/save_exercises", [row(), row()], "[1].order_pos", "once"),
    ("/save_exercises", [row(), row(order_pos=2, rep=4)], "[1].rep", "allowed is 3"),
    ("/save_exercises", {**GOOD, "positions": [{"pause": 0, "speed": 1, "name": "No"}]}, "positions[0].name", "Wave"),
    ("/save_exercises", {**GOOD, "positions": [{"pause": 0, "speed": 101}]}, "positions[0].speed", "0..100"),
    ("/save_exercises", {**GOOD, "positions": 5}, "positions", "up to 200"),
    ("/save_exercises", [row(order_pos=i) for i in range(spec.ROWS_HIGHEST + 1)], "", "200"),
    ("/update_pos", {"name": "Wave", "order_pos": 1}, "", "axis_1"),
    ("/update_pos", {"name": "Wave", "order_pos": 1, "speed": -1}, "speed", "0..100"),
    ("/update_exercise", {"oldName": "x" * 25, "name": "Wave", "rep": 1}, "oldName", "1..24"),
    ("/save_scenario_mode", {"scenarioName": "a", "scenario": {}}, "scenario", "an array"),
    ("/save_scenario_mode", {"scenarioName": "a", "scenario": [0] * 1001}, "scenario", "1000"),
    ("/get_scenario_mode", {}, "scenarioName", "scenarioNameURL"),
    ("/delete_scenario", {"scenarioName": "a", "scenarioNameURL": "a"}, "scenarioName", "one of"),
    *(("/play_scenario_mode", name.encode(), "name", "1..24 letters") for name in ("", "x" * 25, *INJECTIONS)),
    ("/login", {"accessLevel": "Root", "password": "x"}, "accessLevel", "Base, Advance, Admin"),
    ("/login", {"accessLevel": "Base", "password": "x" * 129}, "password", "128"),
    ("/login", {"accessLevel": "Base"}, "password", "128"),
]
NO_JSON = [b"", b"{", b"\xff\xfe", b"null", b"[" * 100_000, b'{"name": "a", "rep": NaN}',
           b'{"name": "a", "rep": 1e999}', b'{"name": "a", "rep": Infinity}',
           b'{"name": "\\ud800", "rep": 1}', b"name=a&rep=1"]


def test_whatever_is_not_allowed_is_named_counted_and_changes_nothing(tmp_path: Path) -> None:
    with rest(tmp_path) as (rig, client):
        client.good("/save_exercises", [row()])
        client.good("/save_scenario_mode", {"scenarioName": "Lunch", "scenario": [1]})
        before = (client.get("/exercises_names"), client.post("/exercises_data", {"name": "Wave"}),
                  client.get("/scenario_names"))
        for path, body, field, allowed in BAD:
            status, answer = client.post(path, body)
            assert status == 400, (path, body, answer)
            assert answer.get("field", "") == field, (path, body, answer)
            assert allowed in answer["message"], (path, body, answer)
            assert len(answer["message"]) < 400
        for body in NO_JSON:
            status, answer = client.post("/add_exercise_name", body)
            assert status == 400, (body[:40], answer)
            assert set(answer) <= {"message", "field"}
        assert client.post("/add_exercise_name", {"name": "Wave", "rep": 1})[0] == 400  # taken
        for path, body in (("/exercises_data", {"name": "No"}),
                           ("/update_pos", {"name": "No", "order_pos": 1, "rep": 1}),
                           ("/update_pos", {"name": "Wave", "order_pos": 9, "rep": 1}),
                           ("/update_exercise", {"name": "No", "rep": 1}), ("/delete_exercise", {"name": "No"}),
                           ("/update_exercise", {"oldName": "No", "name": "Yes", "rep": 1})):
            status, answer = client.post(path, body)
            assert status == 404, answer
            assert "there is no exercise 'No'" in answer["message"] or "no position 9" in answer["message"]
        assert before == (client.get("/exercises_names"), client.post("/exercises_data", {"name": "Wave"}),
                          client.get("/scenario_names"))
        refused = rig.refused()
        assert refused["rest_400"] == len(BAD) + len(NO_JSON) + 1
        assert refused["rest_404"] == 6
        assert rig.status()["hmi"].get("internal_errors", 0) == 0


def test_a_body_that_is_too_long_is_refused_before_it_is_kept() -> None:
    with rest() as (rig, _):
        for size, chunked in ((1_000_000, False), (spec.BODY_BYTES + 1, False), (1_000_000, True)):
            client = RestClient(rig.url)
            body: Any = b'"' + b"x" * (size - 2) + b'"'
            if chunked:
                client._connection.request("POST", "/add_exercise_name", iter([body]), encode_chunked=True)
                answer = client._connection.getresponse()
                status, message = answer.status, json.loads(answer.read())
            else:
                status, message = client.post("/add_exercise_name", body)
            assert status == 413
            assert str(spec.BODY_BYTES) in message["message"]
            client.close()
        assert rig.refused()["rest_413"] == 3


def test_there_is_an_end_to_what_is_kept() -> None:
    with rest() as (_, client):
        for n in range(spec.NAMES_HIGHEST):
            client.good("/add_exercise_name", {"name": f"exercise {n}", "rep": 1})
        for path, body in (("/add_exercise_name", {"name": "more", "rep": 1}), ("/save_exercises", [row("more")])):
            status, answer = client.post(path, body)
            assert status == 400
            assert "delete one first" in answer["message"]
        client.good("/save_exercises", [row("exercise 1")])  # one of the old still goes
        assert len(client.get("/exercises_names")[1]) == spec.NAMES_HIGHEST


def test_edits_at_the_same_time_are_whole() -> None:
    """Four pages save and read one exercise: nobody ever sees rows of two of them."""
    with rest() as (rig, client):
        client.good("/save_exercises", [row(order_pos=n, axis_1=0) for n in range(20)])
        faults: list[object] = []

        def page(number: int) -> None:
            own = RestClient(rig.url)
            for turn in range(15):
                own.good("/save_exercises", [row(order_pos=n, axis_1=number, axis_2=turn) for n in range(20)])
                found = {(f["axis_1"], f["axis_2"]) for f in own.good("/exercises_data", {"name": "Wave"})}
                if len(found) != 1:
                    faults.append(found)
            own.close()

        threads = [threading.Thread(target=page, args=(number,)) for number in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert faults == []
        assert len(client.good("/exercises_data", {"name": "Wave"})) == 20


@pytest.mark.parametrize("origin", ["http://127.0.0.1:5173", "http://localhost:3000"])
def test_a_preflight_is_answered_by_the_rules_of_the_socket(origin: str) -> None:
    with rest() as (_, client):
        for row_ in (*spec.ENDPOINTS, *spec.PAGES):
            assert client.ask("OPTIONS", row_.path, Origin=origin, Access_Control_Request_Method=row_.method,
                              Access_Control_Request_Headers="content-type,authorization") == (204, None)
            assert client.headers["access-control-allow-origin"] == origin
            assert row_.method in client.headers["access-control-allow-methods"]
            assert client.headers["access-control-allow-headers"] == "Authorization, Content-Type"
        assert client.get("/exercises_names", Origin=origin) == (200, [])
        assert client.headers["access-control-allow-origin"] == origin
        assert client.post("/exercises_data", {"name": "No"}, Origin=origin)[0] == 404
        assert client.headers["access-control-allow-origin"] == origin  # a page may read why
        assert client.ask("OPTIONS", "/nothing", Origin=origin)[0] == 404


def test_other_origins_and_names_for_this_machine_are_refused() -> None:
    with rest() as (rig, client):
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example:3001"}, {"Origin": "null"},
                        {"Host": "evil.example", "Origin": "http://evil.example"}):
            for method, path in (("OPTIONS", "/add_exercise_name"), ("POST", "/add_exercise_name"),
                                 ("GET", "/exercises_names"), ("POST", "/login")):
                status, answer = client.ask(method, path, {"name": "Wave", "rep": 1}, **headers)
                assert status == 403
                assert "hmi.allowed_origins" in answer["message"]
                assert "access-control-allow-origin" not in client.headers
        assert rig.refused()["origin"] == 16
        assert client.get("/exercises_names") == (200, [])


def test_nothing_shows_how_the_program_is_made(tmp_path: Path) -> None:
    """A store that fails in a way nobody thought of: 500 and a sentence."""
    with rest(tmp_path) as (rig, client):
        client.good("/save_exercises", [row()])
        exercises = rest_of(rig).exercises
        database = exercises._database
        assert database is not None
        exercises._worker.submit(lambda: database.execute("DROP TABLE position")).result(5)
        status, answer = client.post("/exercises_data", {"name": "Wave"})
        assert status == 500
        assert FILE in answer["message"]
        assert "Traceback" not in answer["message"]
        assert "no such table" in rig.status()["store_problem"]
        rest_of(rig)._saved_deg = lambda name: 1 / 0
        status, answer = client.get("/last_saved_rest_pos")
        assert (status, set(answer)) == (500, {"message"})
        assert "division" not in answer["message"]
        assert rig.status()["hmi"]["internal_errors"] == 1
