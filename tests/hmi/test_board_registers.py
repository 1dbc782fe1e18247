"""Wi-Fi credentials and firmware update to the base board: they arrive, and show nowhere else."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.program import Client, Program, running

pytestmark = pytest.mark.flaky(reruns=2, only_rerun=["Lost bus communication", "Contacts open with enable"])
SSID, PASSWORD, URL = "ward-7-hidden-name", "swordfish-0815-secret", "https://host.example/private-token-4711.bin"
SECRETS = (SSID, PASSWORD, URL)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with running(folder=tmp_path) as found:
        found.until(lambda s: s["state"] == "WAITING")
        yield found


def shown_anywhere(program: Program, *others: object) -> list[str]:
    """Which secrets occur in the log, the status, what clients got, or any file the controller has written."""
    texts = [program.output, str(program.status()), str(program.get("/schema.json")), *map(str, others)]
    for path in program.folder.rglob("*"):
        if path.is_file():
            texts.append(path.read_bytes().decode("latin-1"))
        if path.suffix in (".db", ".sqlite"):
            with contextlib.closing(sqlite3.connect(path)) as base:
                texts += list(base.iterdump())
    return [secret for secret in SECRETS if any(secret in text for text in texts)]


def test_the_board_gets_them_and_nobody_else(program: Program) -> None:
    client = Client(program.address)
    before = program.status()
    answer = client.send(type="board_registers", wifi_ssid=SSID, wifi_password=PASSWORD, board_update=f"2;{URL}")
    assert answer == {"ok": True}
    assert program.simulator("register 8") == f"ok register 8 {SSID}"
    assert program.simulator("register 9") == f"ok register 9 {PASSWORD}"
    assert program.simulator("register 6") == f"ok register 6 2;{URL}"
    after = program.until(lambda s: s["state"] == "WAITING" and s["bus_state"] == "CYCLIC")
    assert after["faults"] == [], "a line given back on purpose is no error"
    assert not after["motor_power"]
    assert after["valid_telegrams"] > before["valid_telegrams"]
    program.line("registers of the board written: wifi_ssid, wifi_password, board_update")
    noted, = [entry for entry in program.get("/history")[1]["entries"] if "registers of the board" in entry["text"]]
    assert (noted["kind"], noted["text"], noted["detail"]) == (
        "settings", "registers of the board to be written: wifi_ssid, wifi_password, board_update", {})
    assert noted["who"].startswith("client 1 (")
    settings = client.send(type="settings", read=[])
    assert shown_anywhere(program, answer, settings, client.data[-1]) == []
    assert client.send(type="move", position_deg=[20, 10, 5, -10])["ok"], "the arm is ready again"
    program.until(lambda s: s["motions_done"] == 1)

    refused = client.send(type="board_registers", wifi_password=PASSWORD)
    assert refused["error"]["code"] == "blocked"
    assert "motor power is on; switch it off first (mode OFF)" in refused["error"]["message"]
    assert client.send(type="mode", mode=0)["ok"]
    program.until(lambda s: not s["motor_power"])
    assert client.send(type="board_registers", wifi_password="") == {"ok": True}    # an open network
    assert program.simulator("register 9").strip() == "ok register 9"
    assert shown_anywhere(program, refused, client.data[-1]) == []
    client.close()
    assert program.stop() == 0
    assert not [secret for secret in SECRETS if secret in program.output]


@pytest.mark.parametrize(("fields", "field"), [
    ({"wifi_ssid": ""}, "wifi_ssid"),
    ({"wifi_ssid": SSID + "x" * 20}, "wifi_ssid"),
    ({"wifi_ssid": SSID + "*"}, "wifi_ssid"),
    ({"wifi_ssid": SSID + "é"}, "wifi_ssid"),
    ({"wifi_ssid": SSID + "\n"}, "wifi_ssid"),
    ({"wifi_ssid": 5}, "wifi_ssid"),
    ({"wifi_password": "short"}, "wifi_password"),
    ({"wifi_password": PASSWORD * 4}, "wifi_password"),
    ({"wifi_password": PASSWORD + "**"}, "wifi_password"),
    ({"wifi_password": [PASSWORD]}, "wifi_password"),
    ({"wifi_password": PASSWORD + "ü"}, "wifi_password"),
    ({"board_update": URL}, "board_update"),
    ({"board_update": f"9;{URL}"}, "board_update"),
    ({"board_update": f"5;{URL}"}, "board_update"),
    ({"board_update": f"0;ftp://{URL}"}, "board_update"),
    ({"board_update": f"0;{URL} x"}, "board_update"),
    ({"board_update": f"0;{URL}*"}, "board_update"),
    ({"board_update": f"0;{URL}" + "x" * 200}, "board_update"),
    ({"wifi_secret": PASSWORD}, "wifi_secret"),
    ({}, ""),
])
def test_saf_9_bad_values_are_refused_by_name_and_not_repeated(shared: tuple[Program, Client], fields: dict[str, Any],
                                                               field: str) -> None:
    program, client = shared
    lines = program.status()["valid_telegrams"]
    answer = client.send(type="board_registers", **fields)
    assert answer["ok"] is False
    assert answer["error"]["field"] == field
    if field in ("wifi_ssid", "wifi_password", "board_update"):
        assert "allowed" in answer["error"]["message"]
    assert [secret for secret in (SSID, PASSWORD, URL) if secret in str(answer)] == []
    assert shown_anywhere(program, answer, client.data[-1]) == []
    assert program.until(lambda s: s["valid_telegrams"] > lines)["bus_state"] == "CYCLIC"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, Client]]:
    with running(folder=tmp_path_factory.mktemp("state")) as program:
        program.until(lambda s: s["state"] == "WAITING")
        client = Client(program.address)
        time.sleep(0.1)
        yield program, client
        client.close()


def test_a_board_that_does_not_confirm_is_told_and_comes_back(program: Program) -> None:
    client = Client(program.address)
    assert program.simulator("fault missing_register address=8 seconds=3").startswith("ok")
    answer = client.send(type="board_registers", wifi_ssid=SSID)
    assert answer["error"]["code"] == "refused"
    assert "register 8" in answer["error"]["message"]
    assert shown_anywhere(program, answer) == []
    program.until(lambda s: s["state"] == "WAITING" and s["bus_state"] == "CYCLIC")
    client.close()
