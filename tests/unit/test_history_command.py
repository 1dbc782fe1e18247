"""`allyarm history` from the file and from a running controller, and GET /history."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from controller.__main__ import main
from controller.history import History
from controller.history_table import FILE, parse_query, since
from controller.spec.history import Kind
from tests.hmi.rig import running


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.delenv("ALLYARM_TOKEN", raising=False)
    return tmp_path


def filled(folder: Path, count: int = 20) -> History:
    history = History(folder)
    for n in range(count):
        history.note(Kind.ERROR if n % 2 else Kind.VISIT, f"entry {n}\x1b[2J", who="client 1", code=n, axis=n % 3,
                     detail={"name": [1, 2], "source": "drive"})
    end = time.monotonic() + 5
    while history.written < count:
        assert time.monotonic() < end
        time.sleep(0.01)
    return history


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["history", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_of_a_file_while_it_is_written_and_after(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = filled(folder)
    for _ in range(2):
        found = lines(capsys)
        assert len(found) == 20
        assert "[client 1] entry 0?[2J (name: 1 -> 2)" in found[0]     # nothing steers the terminal
        errors = lines(capsys, "--errors", "--limit", "3")
        assert [line.partition("entry ")[2].partition("?")[0] for line in errors] == ["15", "17", "19"]
        assert lines(capsys, "--since", "1h") == found
        assert lines(capsys, "--since", "2100-01-01") == ["nothing"]
        entry = json.loads(lines(capsys, "--json", "--limit", "1")[0])
        assert (entry["id"], entry["kind"], entry["who"], entry["code"], entry["axis"], entry["detail"]) == (
            20, "error", "client 1", 19, 1, {"name": [1, 2], "source": "drive"})
        assert {"time", "time_s", "monotonic_ns", "run"} <= entry.keys()
        history.close()


@pytest.mark.parametrize(("arguments", "word"), [
    (["--limit", "0"], "1..1000"), (["--limit", "1001"], "1..1000"), (["--limit", "many"], "1..1000"),
    (["--since", "yesterday"], "30m"), (["--url", "file:///etc"], "http://host:port")])
def test_mistakes(folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], word: str) -> None:
    filled(folder, 1).close()
    assert main(["history", *arguments]) == 2
    assert word in capsys.readouterr().err


def test_no_history_and_a_damaged_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history"]) == 1
    assert "there is no history in" in capsys.readouterr().err
    assert list(folder.iterdir()) == []
    (folder / FILE).write_bytes(b"not a database" * 300)
    assert main(["history"]) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert main(["history", "--url", "http://127.0.0.1:9"]) == 1
    assert "no controller answers" in capsys.readouterr().err


def test_follow(folder: Path) -> None:
    history = filled(folder, 2)
    process = subprocess.Popen([sys.executable, "-m", "controller", "history", "--follow", "--json"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    try:
        assert process.stdout is not None
        assert [json.loads(process.stdout.readline())["id"] for _ in range(2)] == [1, 2]
        history.note(Kind.ERROR, "later")
        assert json.loads(process.stdout.readline())["text"] == "later"
        history.note(Kind.ERROR, "later still")
        assert json.loads(process.stdout.readline())["id"] == 4
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.communicate()
        history.close()


def test_of_a_running_controller(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(folder=folder) as rig:
        for n in range(15):
            rig.history.note(Kind.ERROR, f"error {n}")
        found = lines(capsys, "--url", rig.url, "--errors", "--limit", "10")
        assert [line.rpartition(" ")[2] for line in found] == [str(n) for n in range(5, 15)]
        status, answer = rig.get("/history?errors=1&limit=10")
        assert (status, answer["ok"], len(answer["entries"])) == (200, True, 10)
        first = answer["entries"][0]["id"]
        assert [entry["id"] for entry in rig.get(f"/history?after={first}&limit=3")[1]["entries"]] == [
            first + 1, first + 2, first + 3]
        for query, word in (("limit=0", "limit"), ("errors=yes", "errors"), ("after=-1", "after"),
                            ("since=%00", "since"), ("more=1", "more"), ("limit=" + "9" * 30, "limit"),
                            ("since=nan", "since")):
            status, answer = rig.get(f"/history?{query}")
            assert status == 400
            assert word in answer["message"]
        assert rig.refused()["value"] == 7


def test_the_history_asks_for_the_token(folder: Path) -> None:
    with running(folder=folder, token="0123456789abcdef") as rig:
        assert rig.get("/history")[0] == 401
        assert rig.get("/history", Authorization="Bearer 0123456789abcdef")[0] == 200
        assert rig.get("/history", Authorization="Bearer 0123456789abcdef", Origin="http://evil.example")[0] == 403


def test_points_in_time() -> None:
    assert since("1700000000.5") == 1700000000.5
    assert since("1970-01-02T00:00+00:00") == 86400.0
    assert since("30m") == pytest.approx(time.time() - 1800, abs=5)
    for text in ("", "m", "1w", "-5m", "1e5", "inf", "2026-13-01", "9" * 12):
        with pytest.raises(ValueError, match="since"):
            since(text)
    assert parse_query({"limit": "7", "errors": "1", "after": "5"}).after == 5
