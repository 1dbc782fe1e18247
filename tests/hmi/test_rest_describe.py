"""The descriptions tell the truth: checked by the tools they are made for, against a running controller."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import socketio

from controller import describe
from controller.describe import openapi
from controller.hmi import forms, messages
from controller.hmi.clients import Refused
from controller.spec import hmi
from controller.spec import rest as spec
from tests.hmi.node_client import install
from tests.hmi.rest_client import rest, row, set_passwords

TS = Path(__file__).parent / "ts"


def schema() -> dict[str, Any]:
    return dict(json.loads(describe.document("/schema.json").body))


def validator(name: str) -> jsonschema.Draft202012Validator:
    """For one of the events of /schema.json."""
    document = schema()
    return jsonschema.Draft202012Validator({"$defs": document["$defs"], **document["properties"][name]})


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=240,
                          env={**os.environ, **environment})


# -- OpenAPI


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    """All checks, positive and negative data, on every operation; what is stored beforehand lets it get past 404."""
    set_passwords(tmp_path, Base="open sesame")
    with rest(tmp_path, attach=True) as (rig, client):
        client.good("/save_exercises", [row(), row(order_pos=2), row("0"), row("0", 0)])
        client.good("/save_scenario_mode", {"scenarioName": "Lunch", "scenario": [1]})
        counts = {f"{name}_position_counts.{i + 1}": 0 for name in ("rest", "wearing") for i in range(5)}
        rig.store.put(counts).result(5)
        before = rig.state.motions_done
        done = run(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(TS / "schemathesis.toml"),
                   "run", f"{rig.url}/openapi.json", "--checks", "all", "--max-examples", "15",
                   "--generation-deterministic", "--no-color", cwd=tmp_path)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr
        found = re.search(r"(\d+) selected / (\d+) total", done.stdout)
        assert found is not None
        assert found[1] == found[2] == str(len(spec.ENDPOINTS) + len(spec.PAGES) - 1)  # all but the description itself
        assert int(re.findall(r"(\d+) generated", done.stdout)[-1]) > 500
        status = rig.status()
        assert status["hmi"]["rest_requests"] > 100
        assert status["hmi"].get("internal_errors", 0) == 0
        assert rig.state.motions_done == before  # nothing of it moves the arm


def test_schemathesis_would_find_a_wrong_description(tmp_path: Path) -> None:
    """The same run with one bound that the controller does not share."""
    wrong = openapi.document()
    wrong["components"]["schemas"]["ScenarioSave"]["properties"]["scenarioName"]["maxLength"] = 60
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    with rest(tmp_path) as (rig, _):
        done = run(str(Path(sys.executable).with_name("schemathesis")), "run", str(tmp_path / "wrong.json"),
                   "--url", rig.url, "--include-path", "/save_scenario_mode", "--checks", "all", "--max-examples", "15",
                   "--generation-deterministic", "--no-color", cwd=tmp_path)
        assert done.returncode == 1, done.stdout[-3000:]
        assert "scenarioName: Expected `str` of length <= 24" in done.stdout


def test_every_route_is_described_and_every_description_is_served() -> None:
    with rest() as (rig, _):
        service = rig.server._service
        assert service is not None
        document = openapi.document()
        described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
        assert described == {(row_.method, row_.path) for row_ in (*spec.ENDPOINTS, *spec.PAGES)}
        for method, path in described - {("POST", "/stop")}:
            status, _ = rig.get(path, method)
            answers = document["paths"][path][method.lower()]["responses"]
            assert str(status) in answers, (method, path, status)
            assert status not in {404, 405} or "404" in answers
    assert all(path in document["paths"] for path in describe.DOCUMENTS)


def test_samples_of_the_table_are_what_is_described() -> None:
    document = openapi.document()
    for row_ in spec.ENDPOINTS:
        if row_.request:
            content = document["paths"][row_.path]["post"]["requestBody"]["content"]
            (media,) = content.values()
            jsonschema.Draft202012Validator({**document, **media["schema"]}).validate(row_.sample)


# -- AsyncAPI


def test_asyncapi_passes_its_own_parser(tmp_path: Path) -> None:
    install(TS)
    (tmp_path / "asyncapi.json").write_bytes(describe.document("/asyncapi.json").body)
    done = run("node", str(TS / "parse.mjs"), str(tmp_path / "asyncapi.json"), cwd=TS)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [entry for entry in found["diagnostics"] if entry["code"] != "asyncapi-latest-version"] == []
    assert found["messages"] == {name: [name] for name in (hmi.RESPONSE, hmi.COMMAND, hmi.DATA, hmi.STATE)}
    broken = json.loads(describe.document("/asyncapi.json").body)
    broken["operations"][hmi.DATA]["action"] = "shout"
    (tmp_path / "asyncapi.json").write_text(json.dumps(broken))
    done = run("node", str(TS / "parse.mjs"), str(tmp_path / "asyncapi.json"), cwd=TS)
    assert any(entry["severity"] == 0 for entry in json.loads(done.stdout)["diagnostics"])  # it does look


# -- JSON Schema


async def test_what_the_server_sends_is_what_the_schemas_say() -> None:
    with rest(attach=True) as (rig, client):
        data, state = validator(hmi.DATA), validator(hmi.STATE)
        acknowledgement, command_answer = validator("acknowledgement"), validator("commandAcknowledgement")
        async with socketio.AsyncSimpleClient() as page:
            await page.connect(rig.url, transports=["websocket"])
            command_answer.validate(await page.call(
                "command", {"type": "subscribe", "event": "state", "rate_hz": 20}, timeout=5))
            command_answer.validate(await page.call("command", {"type": "settings", "read": []}, timeout=5))
            acknowledgement.validate(await page.call("response", {"60": 500}, timeout=5))  # refused: a notice too
            rig.board.set_fault("button")
            seen = {hmi.DATA: 0, hmi.STATE: 0, hmi.NOTICE_FIELD: 0, "errorTest": 0}
            for _ in range(60):
                event, payload = await page.receive(timeout=5)
                {hmi.DATA: data, hmi.STATE: state}[event].validate(payload)
                seen[event] += 1
                if event == hmi.DATA:
                    seen[hmi.NOTICE_FIELD] += hmi.NOTICE_FIELD in payload
                    seen["errorTest"] += bool(payload["errorTest"])
        assert all(seen.values()), seen
        state.validate(client.get("/status.json")[1])


def examples(form: hmi.Form) -> dict[str, object]:
    """A message of this form for an arm of five axes."""
    special = {"version_check": {"1": "1.7.8"}, "test_cycle": {"10": 2, "11": "8"}, "mode": {"10": 3},
               "driver_mode": {"12": 3, "14": "4"}}
    if form.name in special:
        return dict(special[form.name])
    message: dict[str, object] = dict.fromkeys(form.required, 0)
    message |= {str(int(form.axes) + i): value for i, value in enumerate((10, "", "-5.5")) if form.axes}
    for setting in (hmi.SETTING[name] for name in form.settings):
        for key in setting.keys(5):
            message[key] = {"number": setting.high, "boolean": True, "text": "Tisch", "choice": "brief"}[setting.kind]
    return message


@pytest.mark.parametrize("form", hmi.FORMS, ids=lambda form: form.name)
def test_every_form_of_response_is_described(form: hmi.Form) -> None:
    response, message = validator(hmi.RESPONSE), examples(form)
    assert forms.recognise(message, 5).form is form
    response.validate(message)
    assert not response.is_valid({**message, "999": 1})
    with pytest.raises(Refused):
        forms.recognise({**message, "999": 1}, 5)
    for key in message:
        assert not response.is_valid({**message, key: [1]}), key


def test_buttons_and_commands_are_described() -> None:
    response, command = validator(hmi.RESPONSE), validator(hmi.COMMAND)
    for button in hmi.BUTTONS:
        response.validate([button])
    for bad in ([], ["launch"], ["start", "stop"], {}, "start", None):
        assert not response.is_valid(bad)
    for good in ({"type": "stop"}, {"type": "move", "position_deg": [1, None]},
                 {"type": "jog", "speed_percent": [-100]}):
        command.validate(good)
        messages.parse(good)
    for bad in ({"type": "fly"}, {"type": "stop", "now": True}, {"type": "move", "position_deg": []},
                {"type": "jog", "speed_percent": [101]}, {"type": "mode", "mode": 10}):
        assert not command.is_valid(bad), bad
        with pytest.raises(Refused):
            messages.parse(bad)
    assert set(schema()["$defs"]) > {"Command", "ResponseMessage", "DataMessage", "StateMessage", "Problem", "Position"}


# -- TypeScript


def compiled(folder: Path, client: str, declarations: bytes) -> subprocess.CompletedProcess[str]:
    """`tsc --strict` of a client against the declarations."""
    install(TS)
    folder.mkdir(exist_ok=True)
    (folder / "client.ts").write_text(client)
    (folder / "allyarm.d.ts").write_bytes(declarations)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "tsconfig.json").write_text((TS / "tsconfig.json").read_text())
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(TS / "node_modules")
    return run("node", "node_modules/typescript/bin/tsc", "-p", ".", cwd=folder)


def test_a_typescript_client_compiles_and_runs(tmp_path: Path) -> None:
    with rest(attach=True) as (rig, client):
        status, text = rig.get("/allyarm.d.ts")
        assert status == 200
        done = compiled(tmp_path / "client", (TS / "client.ts").read_text(), text.encode())
        assert done.returncode == 0, done.stdout
        done = run("node", "build/client.js", rig.url, cwd=tmp_path / "client")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        # two readings of one axis at different times: rounding to 0.1 degrees, sensor noise of some counts
        assert found.pop("position") == pytest.approx(found.pop("axis"), abs=0.5)
        assert found == {"axes": rig.facts.axes, "version": True, "stopped": True, "refused": "replay", "row": 10,
                         "rep": 2, "chosen": "Lunch", "missing": "Error: name: there is no exercise 'Nobody'"}
        assert client.get("/exercises_names") == (200, [{"name": "Wave", "rep": 2}])


MISTAKES = {
    'event: "state", rate_hz: 20': 'event: "states", rate_hz: 20',
    'type: "move", position_deg': 'type: "move", positionDeg',
    'data.actualPositionDeg[0]!': 'data.actualPositionDegrees[0]!',
    'const position: number | null': "const position: string",
    '(button: "start" | "stop")': '(button: "start" | "launch")',
    "axis_1: 10, pause: 0.5, speed: 50": "axis_1: 10, pause: 0.5",
    'ask("GET /exercises_names", undefined)': 'ask("POST /exercises_names", undefined)',
    "state.axis[0]!.position_deg": "state.axis[0]!.position_degrees",
    "{ scenarioName: \"Lunch\", scenario": "{ scenarioName: 5, scenario",
    '"80": 5, lockJoySens: false': '"80": 5, lockJoySens: "no"',
}


def test_a_client_with_a_mistake_does_not_compile(tmp_path: Path) -> None:
    """Each mistake alone is an error; all in one run of the compiler."""
    client = (TS / "client.ts").read_text()
    files = {}
    for n, (right, wrong) in enumerate(MISTAKES.items()):
        assert client.count(right) == 1, right
        files[f"mistake_{n}.ts"] = client.replace(right, wrong)
    folder = tmp_path / "client"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    (tmp_path / "tsconfig.json").write_text("")
    done = compiled(folder, client, describe.document("/allyarm.d.ts").body)
    assert done.returncode == 0, done.stdout  # the right one
    config = json.loads((folder / "tsconfig.json").read_text())
    (folder / "tsconfig.json").write_text(json.dumps({**config, "include": ["*.ts"]}))
    done = run("node", "node_modules/typescript/bin/tsc", "-p", ".", "--noEmit", cwd=folder)
    assert done.returncode != 0
    assert set(re.findall(r"^(\w+\.ts)\(", done.stdout, re.MULTILINE)) == set(files), done.stdout


# -- shipped


def test_a_built_package_carries_what_the_server_serves(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    done = run(sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(tmp_path), cwd=root)
    assert done.returncode == 0, done.stderr
    for path in describe.DOCUMENTS:
        assert (tmp_path / "controller" / "describe" / path.strip("/")).read_bytes() == describe.document(path).body


def test_making_them_needs_neither_the_core_nor_the_server_libraries(tmp_path: Path) -> None:
    """A build has only what [build-system] asks for."""
    hidden = ("aiohttp", "socketio", "engineio", "uvloop", "serial", "rich", "jwt", "argon2", "controller._core")
    code = (f"import sys; sys.modules.update(dict.fromkeys({hidden!r})); "
            f"from controller.describe.__main__ import write_all; from pathlib import Path; "
            f"write_all(Path({str(tmp_path)!r}))")
    done = run(sys.executable, "-c", code, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.iterdir())) == len(describe.DOCUMENTS)
