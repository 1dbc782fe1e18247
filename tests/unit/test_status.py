"""`allyarm status` against a small HTTP server that answers like a controller, like something else, or not at all."""

from __future__ import annotations

import argparse
import io
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from controller.cli import reach, status
from controller.hmi.state import AxisState, StateMessage

ROOT = Path(__file__).parents[2]


def state(**changes: Any) -> dict[str, Any]:
    axis = {"axis": 1, "driver_state": "AUTO", "driver_mode": "SPEED_ABS", "position_deg": 12.345, "speed_deg_s": -1.5,
            "setpoint_position_deg": 12.5, "target_position_deg": 30.0, "speed_limit_deg_s": 60.0, "torque_counts": 7,
            "moving": True, "error_code": 0, "warning_code": 0}
    return {
        "running": True, "cycle": 1000, "time_ns": 10**9, "valid_telegrams": 900, "state": "AUTO", "mode": "JOG",
        "bus_state": "CYCLIC", "motor_power": True, "battery_percent": 87.4, "battery_v": 24.56, "serial": "A-17",
        "overruns": 3, "skipped": 0, "blockers": [], "inputs": {"button_closed": True},
        "axis": [axis, {**axis, "axis": 2, "driver_state": "ERROR", "error_code": 3}], "faults": [],
        "control": {"client": 4, "name": "tablet"},
        "statistics": {"lateness_us": {"p50": 22.0, "p99": 44.5, "p999": 80.0, "max": 950.0, "count": 9}},
        "realtime": {"scheduler": "SCHED_FIFO", "priority": 80, "refused": {}},
        "bus_faults": {"missed": 5, "late": 0}, "hmi": {"refused": {"value": 2}}, "store_problem": "", **changes}


class Server(ThreadingHTTPServer):
    """Answers /status.json; `answers` are given in turn, the last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: list[dict[str, Any] | bytes | int] = [state()]
        self.token = ""
        self.requests: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        answer = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            answer = 401
        if isinstance(answer, int):
            self.send_error(answer)
            return
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser(prog="allyarm")
    status.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["status", *arguments])
    return args.run(args)


def test_once_shows_everything(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    fault = {"code": 103, "axis": 3, "warning": False, "since": "10:11:12:013", "message": "Drive in error",
             "solution": "Reset [it]"}
    master = {**fault, "code": 120, "axis": None, "warning": True, "message": "Batteries high"}
    server.answers = [state(), state(cycle=1500, time_ns=1_500_000_000, valid_telegrams=1399, faults=[fault, master],
                                     blockers=["an error is active: reset it"],
                                     motion_sequence={"name": "test cycle 1", "step": 3, "steps": 12,
                                                      "text": "axis 1 back", "ended": ""},
                                     realtime={"scheduler": "SCHED_OTHER", "refused": {"priority": "not permitted"}})]
    assert run("--once", "--url", server.url) == 0
    out = capsys.readouterr().out
    assert server.requests == ["/status.json"] * 2
    for text in ("AUTO / JOG", "bus CYCLIC", "motor power yes", "button released", "battery 87 %", "24.6 V", "arm A-17",
                 "control: tablet", "not ready: an error is active: reset it",
                 "test cycle 1: step 3 of 12, axis 1 back", "SPEED_ABS", "12.35", "-1.50",
                 "cycles 1000.0 Hz", "answers 998.0 Hz", "overruns 3", "SCHED_OTHER", "priority refused: not permitted",
                 "faults on the line: missed 5", "refused by the HMI: value 2", "Drive in error", "Reset [it]",
                 "Batteries high", "master", "10:11:12:013"):
        assert text in out
    lateness = next(line for line in out.splitlines() if "lateness" in line)
    assert [text in lateness for text in ("22.0", "44.5", "80.0", "950.0")] == [True] * 4


def test_json_is_the_state_itself(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json", "--url", server.url) == 0
    assert json.loads(capsys.readouterr().out) == state()


def test_a_state_with_nothing_in_it_is_shown_as_gaps(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers = [{"axis": [{}, 3], "running": False, "inputs": 3, "statistics": {"lateness_us": 4, "x_us": {}}}]
    assert run("--once", "--url", server.url) == 0
    out = capsys.readouterr().out
    assert "the control loop does not run" in out
    assert "cycles - Hz" in out
    assert "no errors, no warnings" in out


def test_text_of_the_controller_cannot_steer_the_terminal(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers = [state(serial="\x1b[2J\x07evil", control={"name": "[red]name[/]"}, blockers=["\x1b]0;x\x07"])]
    assert run("--once", "--url", server.url) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "[red]name[/]" in out


def test_nothing_listens(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # bound, not listening: refused for sure
        assert run("--once", "--url", f"http://127.0.0.1:{holder.getsockname()[1]}") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "no controller answers at http://127.0.0.1:" in err
    assert "refused" in err
    assert "`allyarm run`" in err


@pytest.mark.parametrize(("answer", "message"), [
    (404, "answered 404: something else than a controller"),
    (500, "answered 500"),
    (b"<html>", "does not answer like a controller"),
    (b"\xff\xfe", "does not answer like a controller"),
    (b"[]", "does not answer like a controller"),
    (b"{}", "does not answer like a controller"),
    (b'{"axis": 3}', "does not answer like a controller"),
    (b"[" * 200_000, "does not answer like a controller"),
    (b" " * (reach.MAX_BYTES + 1), "does not answer like a controller"),
])
def test_something_else_answers(server: Server, answer: Any, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers = [answer]
    for mode in ("--once", "--json"):
        assert run(mode, "--url", server.url) == 1
        assert message in capsys.readouterr().err


def test_a_server_that_does_not_speak_http(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert run("--json", "--url", f"http://127.0.0.1:{listener.getsockname()[1]}") == 1
        thread.join()
    assert "no controller answers" in capsys.readouterr().err


def test_a_controller_that_hangs_is_not_told_to_be_started(capsys: pytest.CaptureFixture[str],
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """Its port takes connections (the kernel does), and nothing answers."""
    monkeypatch.setattr(status, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert run("--once", "--url", f"http://127.0.0.1:{listener.getsockname()[1]}") == 1
    told = capsys.readouterr().err
    assert "hangs" in told
    assert "restart the controller" in told
    assert "Start it with" not in told


def test_a_loop_that_does_not_run_says_what_to_do(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers = [state(running=False)] * 2
    assert run("--once", "--url", server.url) == 0
    assert "restart the controller" in " ".join(capsys.readouterr().out.split())


def test_token_from_environment_and_configuration(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    server.token = "0123456789abcdef"
    assert run("--json", "--url", server.url) == 1
    assert "asks for a token, give it in $ALLYARM_TOKEN" in capsys.readouterr().err
    monkeypatch.setenv("ALLYARM_TOKEN", server.token)
    assert run("--json", "--url", server.url) == 0
    monkeypatch.delenv("ALLYARM_TOKEN")
    path = tmp_path / "a.toml"
    path.write_text(f'[hmi]\nhost = "0.0.0.0"\nport = {server.server_address[1]}\ntoken = "{server.token}"\n')
    assert run("--json", "--config", str(path)) == 0


def test_the_environment_s_proxy_is_not_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert run("--json", "--url", server.url) == 0


@pytest.mark.parametrize(("arguments", "message"), [
    (["--url", "file:///etc/passwd"], "--url: found 'file:///etc/passwd'; allowed: http://host:port"),
    (["--interval", "0"], "--interval: found 0; allowed: 0.1..60"),
    (["--interval", "nan"], "--interval: found nan"),
    (["--config", "/nonexistent.toml"], "cannot be read"),
])
def test_usage_errors(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--once", *arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("host", "url"), [
    ("127.0.0.1", "http://127.0.0.1:3001"), ("0.0.0.0", "http://127.0.0.1:3001"), ("::", "http://[::1]:3001"),
    ("::1", "http://[::1]:3001"), ("arm.local", "http://arm.local:3001"),
])
def test_address(host: str, url: str) -> None:
    assert reach.address(host, 3001) == url


def test_rate() -> None:
    before, now = {"cycle": 10, "time_ns": 0}, {"cycle": 510, "time_ns": 500_000_000}
    assert status.rate_hz(now, before, "cycle") == 1000
    assert status.rate_hz(now, None, "cycle") is None
    assert status.rate_hz(now, now, "cycle") is None
    assert status.rate_hz(before, now, "cycle") is None  # restarted in between
    assert status.rate_hz({"cycle": None, "time_ns": 5}, before, "cycle") is None


def test_the_live_table_follows_waits_and_ends_with_ctrl_c(server: Server) -> None:
    """On a terminal of its own: the state changes, the controller goes away and comes back, Ctrl-C ends it with 0."""
    server.answers = [state(), state(state="WAITING"), 503, state(state="STARTUP")]
    code = ("import argparse, sys\nfrom controller.cli import status\np = argparse.ArgumentParser()\n"
            "status.add_parser(p.add_subparsers(required=True))\na = p.parse_args(sys.argv[1:])\nsys.exit(a.run(a))")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "160", "LINES": "50"}
    process = subprocess.Popen([sys.executable, "-c", code, "status", "--url", server.url, "--interval", "0.1"],
                               stdout=theirs, stderr=theirs, stdin=theirs, env=environment)
    os.close(theirs)
    seen, wanted = b"", [b"AUTO", b"WAITING", b"Waiting for it.", b"STARTUP"]
    deadline = time.monotonic() + 30
    try:
        while not all(text in seen for text in wanted) and time.monotonic() < deadline:
            seen += os.read(ours, 65536)
        assert [text for text in wanted if text not in seen] == []
        process.send_signal(signal.SIGINT)
        drain = threading.Thread(target=lambda: drain_until_closed(ours), daemon=True)
        drain.start()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def drain_until_closed(descriptor: int) -> None:
    try:
        while os.read(descriptor, 65536):
            pass
    except OSError:
        pass


def test_only_fields_that_exist_are_shown() -> None:
    """A field renamed in the state must be renamed here too, or the table silently shows gaps."""
    source = (ROOT / "controller" / "cli" / "status.py").read_text()
    used = set(re.findall(r'(?:\bstate\.get\(|_part\(state, |rate_hz\(state, before, )["\'](\w+)["\']', source))
    assert {"state", "blockers", "cycle", "bus_faults", "statistics"} <= used
    assert used <= set(StateMessage.__struct_fields__)
    assert {name for _, name in status.AXIS_COLUMNS} <= set(AxisState.__struct_fields__)
    assert set(state()) <= set(StateMessage.__struct_fields__)


def test_input_devices_are_shown_where_they_are_switched_on() -> None:
    assert "input devices" not in _shown(state(input={"enabled": False}))
    shown = _shown(state(input={"enabled": True, "mode": "elbow", "problem": "event3: may not be read", "devices": [
        {"name": "SpaceMouse", "active": True, "why": ""}, {"name": "Pad", "active": False, "why": "let go first"}]}))
    assert "mode elbow, SpaceMouse (moves the arm); Pad: let go first; event3: may not be read" in shown
    assert "none is connected" in _shown(state(input={"enabled": True, "mode": "a", "devices": []}))
    assert _shown(state(input=5))     # another version


def _shown(found: dict[str, Any]) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(status.render(found, None))
    return console.export_text()
