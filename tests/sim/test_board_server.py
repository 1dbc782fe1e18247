"""`allyarm sim` as a process: real pseudo-terminals, pyserial, the control socket, scripts and signals."""

import json
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest
import serial
from board_line import CONTACTS, ENABLE, HOLD_AUTO, NONE, command, decode, request, write

SIM = [sys.executable, "-m", "controller.sim"]
PATIENCE_S = 20.0


class Simulator:
    def __init__(self, folder, *arguments: str, control: bool = True) -> None:
        self.control = str(folder / "control")
        extra = ["--control", self.control] if control else []
        self.process = subprocess.Popen([*SIM, *extra, *arguments], stdout=subprocess.PIPE, text=True)

    def port(self) -> str:
        line = self.process.stdout.readline()
        assert line.startswith("port /dev/pts/"), line
        return line.split()[1]

    def send(self, text: str) -> str:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_S)
            client.connect(self.control)
            client.sendall(text.encode() + b"\n")
            return client.makefile().readline().rstrip("\n")

    def state(self) -> dict:
        answer = self.send("state")
        assert answer.startswith("ok {")
        return json.loads(answer[3:])

    def wait(self, condition) -> dict:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            state = self.state()
            if condition(state):
                return state
            time.sleep(0.01)
        raise AssertionError(f"not in time: {state}")

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        return code


@pytest.fixture
def start(tmp_path):
    running = []

    def begin(*arguments: str, **options) -> Simulator:
        running.append(Simulator(tmp_path, *arguments, **options))
        return running[-1]

    yield begin
    for simulator in running:
        simulator.stop()


def bring_up(line: serial.Serial) -> dict[int, str]:
    """What the controller asks for at bring-up, answer by answer."""
    found = {}
    line.reset_input_buffer()
    for address in (1, 2, 7):
        found[address] = ask(line, address)
    for i in range(int(found[2])):
        for base in (130, 140, 160, 170, 200, 220, 400):
            found[base + i] = ask(line, base + i)
    for address in (230, 231):
        found[address] = ask(line, address)
    line.write(write(10, 8))
    assert line.readline() == b"#10:8*\r\n"
    return found


def ask(line: serial.Serial, address: int) -> str:
    line.write(request(address))
    answer = line.readline().decode()
    assert answer.startswith(f"#{address}:"), answer
    return answer[len(f"#{address}:"):-3]


def opened(path: str) -> serial.Serial:
    return serial.Serial(path, 1_000_000, timeout=PATIENCE_S, exclusive=True)


def cycles(line: serial.Serial, axes: int, count: int, flags: int = ENABLE):
    for k in range(count):
        line.write(command(k, flags, [(HOLD_AUTO, NONE, 0.0)] * axes))
        state = decode(line.read(24 * axes + 12), axes)
        assert state.sequence == k & 0xFF
        time.sleep(0.001)
    return state


def test_bring_up_and_cycles_over_a_real_pty(start):
    simulator = start("--axes", "5", "--seed", "3")
    with opened(simulator.port()) as line:
        found = bring_up(line)
        assert len(found) == 3 + 5 * 7 + 2
        assert cycles(line, 5, 60).inputs & CONTACTS
        assert line.in_waiting == 0
    state = simulator.state()
    assert state["phase"] == "cyclic"
    assert state["counters"]["valid_commands"] == 60
    assert state["counters"]["malformed"] == state["counters"]["crc_errors"] == state["bytes_dropped"] == 0
    simulator.wait(lambda s: s["phase"] == "register")  # the client is gone: watchdog, then fallback
    assert simulator.stop() == 0


def test_every_byte_value_passes_the_line_unchanged(start):
    simulator = start("--axes", "1")
    with opened(simulator.port()) as line:
        bring_up(line)
        for value in (b"\x03\x04\x11\x13", b"\r\n\r\n", b"\x00\x1a\x1c\x7f", b"\x0d\x0a\xff\xff"):
            target = struct.unpack("<f", value)[0]
            kind = NONE if math.isnan(target) else 3
            line.write(command(0x0D, 0, [(HOLD_AUTO, kind, target)]))
            assert decode(line.read(36), 1).sequence == 0x0D
    assert simulator.state()["counters"]["valid_commands"] == 4


def test_unplug_and_plug(start, tmp_path):
    link = str(tmp_path / "arm")
    simulator = start("--link", link)
    first = simulator.port()
    assert os.readlink(link) == first
    line = opened(link)
    bring_up(line)
    cycles(line, 4, 5)
    assert simulator.send("unplug") == "ok unplug"
    with pytest.raises((serial.SerialException, OSError)):
        cycles(line, 4, 100)
    assert not os.path.lexists(link)
    line.close()
    assert simulator.state()["port"] == ""
    simulator.wait(lambda s: s["phase"] == "register")
    assert simulator.send("plug") == "ok plug"
    second = simulator.port()
    assert os.readlink(link) == second
    with opened(link) as line:
        assert ask(line, 2) == "4"
    assert simulator.stop() == 0
    assert not os.path.lexists(link)


def test_a_cable_out_for_some_time_comes_back_by_itself(start):
    simulator = start("--fault", "hang_up seconds=0.2")
    with opened(simulator.port()) as line:
        assert ask(line, 2) == "4"


def test_clients_may_come_and_go(start):
    simulator = start()
    path = simulator.port()
    for _ in range(5):
        with opened(path) as line:
            assert ask(line, 2) == "4"
            line.write(b"#\x01")  # leaves half a message behind
        time.sleep(0.15)
    assert simulator.state()["counters"]["malformed"] >= 4


def test_several_arms_and_their_faults(start, tmp_path):
    links = [str(tmp_path / name) for name in "abc"]
    simulator = start("--ports", "3", "--axes", "2", *(x for link in links for x in ("--link", link)),
                      "--fault", "missing_register address=7 arm=2")
    assert len({simulator.port() for _ in links}) == 3
    for k, link in enumerate(links):
        with opened(link) as line:
            line.timeout = 0.2 if k == 1 else PATIENCE_S
            line.write(request(7))
            assert bool(line.readline()) == (k != 1)
    assert simulator.send("unplug arm=3") == "ok unplug"
    simulator.wait(lambda _: not os.path.lexists(links[2]))
    assert os.path.lexists(links[0])
    assert simulator.send("unplug arm=4") == "error: arm 4 is outside 1..3"


def test_script_runs_from_the_start(start, tmp_path):
    script = tmp_path / "script"
    script.write_text("0 fault low_battery mv=18000\n0.3 button press\n# comment\n0.2 clear low_battery\n")
    simulator = start("--script", str(script))
    simulator.port()
    state = simulator.wait(lambda s: s["button_pressed"])
    assert state["faults"] == [["button", 0]]


def test_control_socket_refuses_clearly_and_lives_on(start):
    simulator = start()
    simulator.port()
    assert simulator.send("fault lots").startswith("error: fault 'lots' is unknown; there are: lost, late")
    assert simulator.send("").startswith("error: empty command")
    assert simulator.send("\udcff".encode("utf-8", "surrogateescape").decode("latin1")).startswith("error: command")
    assert simulator.send("x" * 10_000).startswith("error: a command has at most 4096 bytes")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(simulator.control)
        client.sendall(b"fault lost count=1\nbutton press\nst")
        answers = client.makefile()
        assert answers.readline() == "ok fault lost\n"
        assert answers.readline() == "ok button press\n"
        client.sendall(b"ate\n")
        assert json.loads(answers.readline()[3:])["faults"] == [["lost", 0], ["button", 0]]
    assert (os.stat(simulator.control).st_mode & 0o777) == 0o600
    assert simulator.stop() == 0
    assert not os.path.exists(simulator.control)


def call(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([*SIM, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_send(start, tmp_path):
    simulator = start()
    simulator.port()
    done = call("--send", simulator.control, "button press")
    assert (done.returncode, done.stdout) == (0, "ok button press\n")
    refused = call("--send", simulator.control, "button push")
    assert refused.returncode == 1
    assert "button takes press or release, not 'push'" in refused.stderr
    nobody = call("--send", str(tmp_path / "nobody"), "state")
    assert nobody.returncode == 1
    assert "No such file" in nobody.stderr


@pytest.mark.parametrize(("arguments", "message"), [
    (["--axes", "9"], "axes 9 is outside 1..8"),
    (["--ports", "0"], "--ports 0 is outside 1..8"),
    (["--fault", "lots"], "fault 'lots' is unknown"),
    (["--set", "lag=1"], "--set lag: unknown; there are: speed_limit_deg_s"),
    (["--set", "lag_ms=x"], "--set lag_ms: 'x' is not a number"),
    (["--set", "lag_ms=-1"], "option lag_ms -1.0 is outside 0..1000 ms"),
    (["--link", "/tmp", ], "--link /tmp: there is something that is not a symbolic link"),
    (["--link", "/tmp/a", "--link", "/tmp/b"], "--link is given 2 times for 1 arms"),
    (["--control", "/dev/null"], "--control /dev/null: there is something that is not a socket"),
    (["--script", "/nowhere/at/all"], "No such file"),
])
def test_wrong_usage(arguments, message):
    done = call(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_socket_left_behind_is_taken_over_and_a_served_one_is_not(start):
    first = start()
    first.port()
    assert call("--control", first.control).returncode == 2
    first.process.kill()
    first.process.wait()
    assert os.path.exists(first.control)
    second = start()
    second.port()
    assert second.state()["phase"] == "register"


def test_shares_nothing_with_the_controller():
    code = ("import sys, controller.sim.cli, controller.sim.server\n"
            "print([m for m in sys.modules if m.startswith('controller.') and not m.startswith('controller.sim')])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert done.stdout == "[]\n"


def test_help_lists_every_fault():
    from controller.sim.faults import NAMES

    text = call("--help").stdout
    assert all(f"  {name} " in text for name in NAMES)


def test_ends_with_its_parent(tmp_path):
    control = str(tmp_path / "control")
    script = (f"import subprocess, time\n"
              f"p = subprocess.Popen({[*SIM, '--die-with-parent', '--control', control]!r},"
              f" stdout=subprocess.PIPE, start_new_session=True)\n"
              f"p.stdout.readline()\nprint(p.pid, flush=True)\ntime.sleep(600)\n")
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and os.path.exists(f"/proc/{child}/stat"):
        with open(f"/proc/{child}/stat") as stat:
            if stat.read().rpartition(")")[2].split()[0] == "Z":
                break
        time.sleep(0.02)
    else:
        assert not os.path.exists(f"/proc/{child}")
    assert not os.path.exists(control)


def test_a_parent_that_is_already_gone():
    assert call("--die-with-parent", "1").returncode == 0
