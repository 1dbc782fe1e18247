"""Firmware of the base board and the drives: offered by the controller, fetched and flashed by the simulated board."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.spec.board import IMAGE_BYTES_HIGHEST
from tests.program import ROOT, Client, Program, running

pytestmark = pytest.mark.flaky(reruns=2, only_rerun=["Lost bus communication", "Contacts open with enable"])
FILLING = bytes(range(256)) * 1200


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with running(folder=tmp_path_factory.mktemp("state")) as found:
        yield found


@pytest.fixture
def program(shared: Program) -> Program:
    """At rest, whatever the test before left."""
    shared.until(ready)
    shared.simulator("update normal")
    return shared


def ready(status: dict[str, Any]) -> bool:
    return status["state"] == "WAITING" and status["bus_state"] == "CYCLIC"


def image_of(node: int, version: str) -> bytes:
    return f"ALLYSIM {node} {version}\n".encode() + FILLING


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def post(program: Program, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(program.address + path, data=body, method="POST", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=40) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def offer(program: Program, node: int, content: bytes, **query: str) -> tuple[int, dict[str, Any]]:
    given = {"node": str(node), "sha256": sha256(content), **query}
    return post(program, "/board_update?" + "&".join(f"{key}={value}" for key, value in given.items()), content)


def update(status: dict[str, Any]) -> dict[str, Any]:
    found = status["board_update"]
    assert isinstance(found, dict)
    return found


def ended(status: dict[str, Any]) -> bool:
    return update(status)["phase"] in {"DONE", "UNCONFIRMED", "FAILED"} and ready(status)


def versions(program: Program) -> dict[str, str]:
    state = json.loads(program.simulator("state").removeprefix("ok "))
    return state["firmware"]  # type: ignore[no-any-return]


def command(program: Program, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "controller", "board-update", *words, "--url", program.address],
                          capture_output=True, text=True, timeout=60, cwd=ROOT, check=False,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_the_base_board_is_updated_and_shows_its_version(program: Program, tmp_path: Path) -> None:
    content, file = image_of(0, "sim-2.0"), tmp_path / "base.bin"
    file.write_bytes(content)
    (tmp_path / "base.bin.sha256").write_text(f"{sha256(content)}  base.bin\n")
    assert program.get(f"/board_image?sha256={sha256(content)}")[0] == 404, "offered before anybody asked"
    done = command(program, str(file), "--node", "0", "--expect", "sim-2.0")
    assert (done.returncode, done.stdout) == (0, "the base board shows version sim-2.0; before it was sim-1.0\n"), done
    status = program.until(ended)
    assert update(status) == {"phase": "DONE", "node": 0, "size_bytes": len(content), "fetched_bytes": len(content),
                              "downloads": 1, "message": done.stdout.strip()}
    assert status["board_version"] == "sim-2.0"
    assert status["faults"] == [], "a board that starts anew on purpose is no error"
    assert not status["motor_power"]
    assert program.get(f"/board_image?sha256={sha256(content)}")[0] == 404, "still offered"
    noted = [entry["text"] for entry in program.get("/history")[1]["entries"] if "firmware" in entry["text"]]
    assert noted == [f"firmware update of the base board begun: {len(content)} bytes, SHA-256 {sha256(content)}",
                     f"firmware update done: {done.stdout.strip()}"]


def test_a_drive_is_updated_and_nothing_can_be_powered_meanwhile(program: Program) -> None:
    client = Client(program.address)
    program.simulator("update deaf")      # so that there is time to look
    content = image_of(2, "drive-7")
    assert offer(program, 2, content)[1]["phase"] in {"ORDERED", "OFFERED"}
    try:
        for _ in range(3):
            answer = client.send(type="move", position_deg=[20, 10, 5, -10])
            assert answer["error"]["code"] == "blocked"
            status = program.status()
            assert update(status)["phase"] == "OFFERED"
            assert status["bus_state"] != "CYCLIC"
            truth = json.loads(program.simulator("state").removeprefix("ok "))
            assert (truth["phase"], truth["contacts"], truth["enable"]) == ("register", False, False)
            time.sleep(0.2)
        code, refused = offer(program, 2, content)
        assert (code, "under way" in refused["message"]) == (409, True)
        assert client.send(type="board_registers", wifi_ssid="elsewhere")["ok"] is False
        program.simulator("update normal")
        assert post(program, "/board_update_cancel")[1]["message"] == "cancelled before the board had the whole image"
        program.until(ready)
        assert offer(program, 2, content)[0] == 200
        status = program.until(ended)
        assert update(status)["phase"] == "DONE"
        assert versions(program)["2"] == "drive-7"
        assert client.send(type="move", position_deg=[20, 10, 5, -10])["ok"], "the arm is ready again"
        code, refused = offer(program, 2, content)
        assert code == 409
        assert "control" in refused["message"]
    finally:
        client.close()
    program.until(lambda s: s["control"]["client"] is None)
    code, refused = offer(program, 2, content)
    assert (code, refused["message"]) == (409, "refused: motor power is on; switch it off first (mode OFF)")
    assert versions(program)["2"] == "drive-7"
    other = Client(program.address)
    assert other.send(type="mode", mode=0)["ok"]
    other.close()
    program.until(lambda s: not s["motor_power"] and ready(s) and s["control"]["client"] is None)


@pytest.mark.parametrize(("behaviour", "node", "end", "said"), [
    ("corrupt", 0, ("UNCONFIRMED", 3), "it may have refused the image. It was downloaded 3 times"),
    ("corrupt", 3, ("UNCONFIRMED", 3), "It was downloaded 3 times, so the board did not take it at first"),
    ("broken", 4, ("DONE", 2), "the whole image was downloaded and the arm answers again"),
])
def test_what_goes_wrong_at_the_board(program: Program, behaviour: str, node: int, end: tuple[str, int],
                                      said: str) -> None:
    before = versions(program)
    program.simulator(f"update {behaviour}")
    code, begun = offer(program, node, image_of(node, "new"))
    assert code == 200, begun
    status = program.until(ended)
    program.simulator("update normal")
    assert (update(status)["phase"], update(status)["downloads"]) == end, status["board_update"]
    assert said in update(status)["message"]
    after = versions(program)
    assert {key for key in after if after[key] != before[key]} == ({str(node)} if end[0] == "DONE" else set())
    assert status["faults"] == []


def test_an_image_for_another_node_is_refused_by_the_board_and_told(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "wrong.bin"
    file.write_bytes(image_of(3, "sim-9"))
    before = versions(program)
    done = command(program, str(file), "--node", "0", "--sha256", sha256(file.read_bytes()), "--expect", "sim-9")
    assert done.returncode == 1
    assert "instead of sim-9" in done.stderr
    assert versions(program) == before
    program.until(ready)


@pytest.mark.parametrize(("query", "body", "code", "field"), [
    ("", b"x", 400, "node"),
    ("node=9&sha256=" + "0" * 64, b"x", 400, "node"),
    ("node=5&sha256=" + "0" * 64, b"x", 400, "node"),
    ("node=-1&sha256=" + "0" * 64, b"x", 400, "node"),
    ("node=0&sha256=" + "0" * 63, b"x", 400, "sha256"),
    ("node=0&sha256=" + "0" * 64, b"x", 400, "sha256"),
    ("node=0&sha256=" + "0" * 64 + "&version=a*b", b"x", 400, "version"),
    ("node=1&sha256=" + "0" * 64 + "&version=1", b"x", 400, "version"),
    ("node=0&sha256=" + "0" * 64 + "&path=/etc/passwd", b"x", 400, "path"),
    ("node=0&node=1&sha256=" + "0" * 64, b"x", 400, "node"),
    ("node=0&sha256=" + "0" * 64, b"", 400, ""),
    ("node=0&sha256=" + "0" * 64, bytes(IMAGE_BYTES_HIGHEST + 1), 413, ""),
])
def test_saf_9_a_bad_offer_is_refused_by_name_and_changes_nothing(program: Program, query: str, body: bytes, code: int,
                                                                  field: str) -> None:
    before, counted = program.status(), versions(program)
    try:
        found, answer = post(program, f"/board_update?{query}", body)
    except (ConnectionError, urllib.error.URLError):    # a body that nobody reads to its end may break the line
        assert code == 413
    else:
        assert (found, answer.get("field", "")) == (code, field), answer
    after = program.status()
    kind = f"board_update_{code}"
    assert after["hmi"]["refused"][kind] == before["hmi"]["refused"].get(kind, 0) + 1
    assert ready(after)
    assert update(after) == update(before)
    assert versions(program) == counted


def test_saf_9_the_command_line_sends_nothing_that_is_not_the_image(tmp_path: Path) -> None:
    from controller.cli.board_update import checked, read_image
    from controller.cli.reach import Usage

    file, content = tmp_path / "a.bin", image_of(0, "x")
    with pytest.raises(Usage, match="No such file"):
        read_image(file)
    file.write_bytes(b"")
    with pytest.raises(Usage, match="found 0 bytes; allowed"):
        read_image(file)
    file.write_bytes(bytes(IMAGE_BYTES_HIGHEST + 1))
    with pytest.raises(Usage, match="found more; allowed"):
        read_image(file)
    file.write_bytes(content)
    assert read_image(file) == content
    with pytest.raises(Usage, match=r"a\.bin\.sha256: No such file"):
        checked(file, content, None)
    side = tmp_path / "a.bin.sha256"
    for text, good in ((f"{sha256(content)}\n", True), (f"{sha256(b'other')} *b.bin\n{sha256(content)} *a.bin\n", True),
                       (f"{sha256(content)}  b.bin\n", False), (f"{sha256(b'other')}  a.bin\n", False), ("", False)):
        side.write_text(text)
        if good:
            assert checked(file, content, None) == sha256(content)
        else:
            with pytest.raises(Usage, match="SHA-256"):
                checked(file, content, None)
    with pytest.raises(Usage, match="damaged or another file; nothing was sent"):
        checked(file, content[:-1], sha256(content))


def test_saf_9_only_an_administrator_may_and_only_where_the_board_can_reach_it(tmp_path: Path) -> None:
    token = "correct-horse-battery"
    options = tmp_path / "config.toml"
    options.write_text(f'[hmi]\ntoken = "{token}"\nboard_address = "192.168.4.1"\n')
    content = image_of(0, "x")
    query = f"/board_update?node=0&sha256={sha256(content)}"
    with running("--config", str(options), folder=tmp_path) as program:
        assert post(program, query, content)[0] == 401
        done = subprocess.run([sys.executable, "-m", "controller", "password", "set", "--level", "Base", "--folder",
                               str(tmp_path)], input="open sesame\n", capture_output=True, text=True, cwd=ROOT,
                              check=False,
                              env={**os.environ, "PYTHONPATH": str(ROOT), "STATE_DIRECTORY": str(tmp_path)})
        assert done.returncode == 0, done.stderr
        code, answer = post(program, "/login", json.dumps({"accessLevel": "Base", "password": "open sesame"}).encode())
        assert code == 200, answer
        base = {"Authorization": f"Bearer {answer['token']}"}
        code, answer = post(program, query, content, **base)
        assert (code, "needs role administrator" in answer["message"]) == (403, True)
        assert post(program, "/board_update_cancel", **base)[0] == 403
        def connected() -> bool:
            return post(program, query, content, Authorization=f"Bearer {token}")[1]["message"].startswith("hmi.")
        until = time.monotonic() + 20
        while not connected() and time.monotonic() < until:
            time.sleep(0.1)
        code, answer = post(program, query, content, Authorization=f"Bearer {token}")
        assert code == 409
        assert "192.168.4.1, but the server listens on hmi.host 127.0.0.1 only" in answer["message"]
