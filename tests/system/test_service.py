"""The installed service on a booted machine: start at boot, readiness, safe state after every kind of end."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.arm import CONFIGURATION, Arm
from tests.system.machine import Machine

SERVICE = "allyarm.service"
FROZEN = Path(__file__).with_name("frozen.py")


@pytest.fixture(scope="module")
def board(make_machine: Callable[[], Machine], package: Path) -> Machine:
    """Installed while off, then booted, with a configured bus on which there is no arm yet."""
    found = make_machine()
    found.install(package)
    found.write("/etc/allyarm/allyarm.toml", CONFIGURATION)
    found.boot()
    return found


@pytest.fixture
def arm(board: Machine) -> Iterator[Arm]:
    """An arm that is connected, and a controller that was started anew."""
    found = Arm(board)
    board.run("systemctl", "reset-failed", SERVICE, check=False)
    board.run("systemctl", "restart", SERVICE)
    found.connect()
    found.until_waiting()
    yield found
    board.run("systemctl", "stop", "arm.service", check=False)


def main_pid(board: Machine) -> int:
    return int(board.property(SERVICE, "MainPID"))


def restarted(board: Machine, before: int, seconds: float = 20.0) -> None:
    board.until(lambda: main_pid(board) not in (0, before) and board.property(SERVICE, "ActiveState") == "active",
                seconds, "it was not started again")


def test_it_is_started_at_boot_and_says_what_it_does(board: Machine) -> None:
    board.until(lambda: board.property(SERVICE, "ActiveState") == "active", 10)
    board.until(board.healthy, 5)
    found = board.show(SERVICE, "Type", "StatusText", "NotifyAccess", "NRestarts", "UnitFileState", "User")
    assert found["UnitFileState"] == "enabled"
    assert found["NRestarts"] == "0"
    assert "HMI http://127.0.0.1:3001" in found["StatusText"]
    assert "no arm on /run/arm/line" in found["StatusText"]
    assert "motor power off" in found["StatusText"]
    assert board.run("ps", "-o", "user=", "-p", str(main_pid(board))).stdout.strip() == "allyarm"


def test_neither_network_nor_clock_is_needed(board: Machine) -> None:
    interfaces = board.run("cat", "/proc/net/dev").stdout
    assert re.findall(r"^\s*(\w+):", interfaces, re.MULTILINE) == ["lo"]
    order = board.run("systemctl", "show", "--property=After", SERVICE).stdout
    assert "network" not in order


def test_the_service_user_can_change_nothing_that_is_executed(board: Machine) -> None:
    for path in ("/usr/lib/allyarm/lib/controller/app.py", "/usr/bin/allyarm", "/etc/allyarm/allyarm.toml",
                 "/var/lib/allyarm-releases", "/var/lib/allyarm-releases/releases", "/run/allyarm-update"):
        assert board.run("test", "-e", path).returncode == 0, path
        denied = board.run("setpriv", "--reuid=allyarm", "--regid=allyarm", "--init-groups", "test", "-w", path,
                           check=False)
        assert denied.returncode == 1, path
    mine = board.run("setpriv", "--reuid=allyarm", "--regid=allyarm", "--init-groups", "test", "-w", "/var/lib/allyarm")
    assert mine.returncode == 0


def test_protections_are_in_force(board: Machine) -> None:
    """Not only written: as the kernel has them for the process."""
    status = board.run("cat", f"/proc/{main_pid(board)}/status").stdout
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE)
    inside = ["nsenter", f"--target={main_pid(board)}", "--mount", "--"]
    assert board.run(*inside, "touch", "/usr/lib/allyarm/x", check=False).returncode != 0
    assert board.run(*inside, "touch", "/etc/x", check=False).returncode != 0


@pytest.mark.parametrize("what", ["port", "device"])
def test_an_arm_that_is_unplugged_is_lost_and_found(board: Machine, arm: Arm, what: str) -> None:
    before = main_pid(board)
    if what == "port":
        arm.tell("unplug")
        board.until(lambda: "no arm on" in board.property(SERVICE, "StatusText"), 15)
        arm.tell("plug")
    else:
        board.run("systemctl", "stop", "arm.service")
        board.until(lambda: "no arm on" in board.property(SERVICE, "StatusText"), 15)
        arm.connect()
    board.until(lambda: board.status()["bus_state"] == "CYCLIC", 20)
    assert board.status()["motor_power"] is False
    assert (main_pid(board), board.property(SERVICE, "ActiveState")) == (before, "active")


def test_a_killed_controller_leaves_a_safe_arm_and_comes_back_without_motion(board: Machine, arm: Arm) -> None:
    position = arm.state()["position_deg"][0]
    target = 60 if position < 20 else -20
    board.run("systemd-run", "--quiet", "--collect", "--unit=mover", "allyarm", "move", f"1={target}", "--speed", "20")
    board.until(lambda: abs(arm.state()["speed_deg_s"][0]) > 2 and arm.state()["enable"], 20, "it did not move")
    assert "motor power on" in board.property(SERVICE, "StatusText")
    before = main_pid(board)
    board.run("kill", "-KILL", str(before))
    # The board's own watchdog: 50 ms after the last telegram.
    found = board.until(lambda: None if (state := arm.state())["enable"] else state, 5, "motor power stayed on")
    assert found["counters"]["watchdog_trips"] >= 1
    assert all(state != 3 for state in found["driver_state"])
    restarted(board, before)
    arm.until_waiting()
    end = time.monotonic() + 2.0
    while time.monotonic() < end:       # nothing of before is carried on
        state = arm.state()
        assert not state["enable"]
        assert all(command[0] != 8 or not state["enable"] for command in state["command"])
    assert board.status()["motor_power"] is False


def test_a_hung_control_loop_is_started_again_by_the_watchdog(board: Machine, arm: Arm) -> None:
    """Its thread stands while main thread and HMI go on: only the heartbeat of the loop can tell."""
    board.write(f"/etc/systemd/system/{SERVICE}.d/quick.conf", "[Service]\nWatchdogSec=3\n")
    board.run("systemctl", "daemon-reload")
    board.run("systemctl", "restart", SERVICE)
    arm.until_waiting()
    before = main_pid(board)
    hung = subprocess.Popen([sys.executable, str(FROZEN), str(control_thread(board))], stdout=subprocess.PIPE,
                            text=True)
    try:
        assert hung.stdout is not None
        assert hung.stdout.readline() == "stopped\n"
        board.until(lambda: board.get("/healthz")[0] == 503, 3, "the HMI does not tell")     # and the HMI is alive
        restarted(board, before)
    finally:
        hung.kill()
        hung.wait()
    assert "Watchdog timeout" in board.journal(SERVICE)
    arm.until_waiting()
    (board.root / f"etc/systemd/system/{SERVICE}.d/quick.conf").unlink()
    board.run("systemctl", "daemon-reload")


def control_thread(board: Machine) -> int:
    """Its thread id as this host has it."""
    tasks = Path(f"/proc/{board.host_pid(main_pid(board))}/task")
    (found,) = (thread.name for thread in tasks.iterdir() if (thread / "comm").read_text().strip() == "allyarm-loop")
    return int(found)


def test_a_wrong_configuration_stays_down_and_says_why(board: Machine) -> None:
    board.write("/etc/allyarm/allyarm.toml", "[loop]\nrate_hz = 5000\n")
    board.run("systemctl", "restart", SERVICE, check=False)
    board.until(lambda: board.property(SERVICE, "ActiveState") == "failed", 10)
    time.sleep(1.5)     # longer than RestartSec
    found = board.show(SERVICE, "ActiveState", "ExecMainStatus", "NRestarts", "Result")
    assert (found["ActiveState"], found["ExecMainStatus"], found["Result"]) == ("failed", "2", "exit-code")
    assert "loop.rate_hz: found 5000; allowed: whole number 10..2000" in board.journal(SERVICE)
    board.write("/etc/allyarm/allyarm.toml", CONFIGURATION)
    board.run("systemctl", "restart", SERVICE)
    board.until(board.healthy, 10)


def test_an_address_that_comes_after_boot(board: Machine) -> None:
    """The hot spot is up long after the controller: that is no reason to stay down."""
    board.write("/etc/allyarm/allyarm.toml", '[hmi]\nhost = "10.55.0.1"\ntoken = "0123456789abcdef"\n' + CONFIGURATION)
    board.run("systemctl", "restart", SERVICE)
    assert "10.55.0.1 is not an address of this machine yet" in board.journal(SERVICE)
    subprocess.run(board.beside("ip", "address", "add", "10.55.0.1/24", "dev", "lo"), check=True)
    asked = [sys.executable, "-c", "import urllib.request as u; print(u.urlopen('http://10.55.0.1:3001/healthz').status)"]
    assert subprocess.run(board.beside(*asked), capture_output=True, text=True, check=True).stdout == "200\n"
    board.write("/etc/allyarm/allyarm.toml", CONFIGURATION)


def test_one_that_fails_again_and_again_stays_down(board: Machine) -> None:
    """In the safe state: no motor power, and nobody who tries for ever."""
    board.run("systemctl", "reset-failed", SERVICE, check=False)
    board.run("systemctl", "restart", SERVICE)
    for _ in range(8):
        if pid := main_pid(board):
            board.run("kill", "-KILL", str(pid), check=False)
        board.until(lambda: main_pid(board) or board.property(SERVICE, "ActiveState") == "failed", 5)
    assert board.property(SERVICE, "ActiveState") == "failed"
    assert board.property(SERVICE, "Result") in ("start-limit-hit", "signal")
    assert int(board.property(SERVICE, "NRestarts")) <= 6
