"""`allyarm doctor` on made-up machines: each question answers green, yellow or red and names the remedy."""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
import resource
import socket
from pathlib import Path
from typing import Any

import pytest

from controller.cli import doctor, machine
from controller.cli.machine import Finding, Machine, Probes

CLOCK = "sys/devices/system/clocksource/clocksource0"
GOOD = {
    "proc/sys/kernel/version": "#1 SMP PREEMPT_RT Debian 6.12", "sys/kernel/realtime": "1",
    "proc/sys/kernel/sched_rt_runtime_us": "950000", "proc/swaps": "Filename Type Size Used Priority",
    f"{CLOCK}/current_clocksource": "arch_sys_counter", f"{CLOCK}/available_clocksource": "arch_sys_counter",
    "sys/devices/system/cpu/online": "0-3", "sys/devices/system/cpu/isolated": "3",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance",
    "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor": "performance", "dev/cpu_dma_latency": "",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "0", "sys/class/thermal/thermal_zone0/temp": "48312",
    "proc/cmdline": "console=tty1 root=/dev/mmcblk0p2 isolcpus=3 nohz_full=3 rcu_nocbs=3 irqaffinity=0-2",
    "dev/ttyAMA0": "", "sys/class/tty/ttyAMA0/flags": "0x12000000",
    "proc/interrupts": " 29: 0 0 0 9 GICv2 153 Level uart-pl011, uart-pl011", "proc/irq/29/smp_affinity_list": "3",
    "run/systemd/system/x": "", "usr/lib/systemd/journald.conf.d/allyarm.conf": "[Journal]\nSystemMaxUse=64M",
    "sys/class/tty/ttyUSB0/device/latency_timer": "1", "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
}
INFINITE = resource.RLIM_INFINITY


class Unit:
    """A made-up machine: files in a folder and what trying things would say."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.options: dict[str, Any] = {"port": "/dev/ttyAMA0"}
        self.probes: dict[str, Any] = {
            "fifo": lambda priority: "", "lock": lambda: "", "bind": lambda host, port: "",
            "ports": lambda: [("/dev/ttyAMA0", "ttyAMA0"), ("/dev/ttyUSB0", "FT232R")],
            "limit": lambda which: (INFINITE, INFINITE), "privileged": lambda: False,
            "resolution_s": lambda clock: 1e-9}
        for name, text in GOOD.items():
            self.write(name, text)
        self.write("sys/class/tty/ttyAMA0/flags", "0x10002000")

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def remove(self, name: str) -> None:
        (self.root / name).unlink()

    def machine(self) -> Machine:
        return Machine(root=self.root, probes=Probes(**self.probes), **self.options)

    def findings(self, name: str) -> list[Finding]:
        return [finding for finding in machine.examine(self.machine()) if finding.name == name]

    def one(self, name: str) -> Finding:
        (finding,) = self.findings(name)
        return finding


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    return Unit(tmp_path)


def test_a_good_machine_is_green_throughout(unit: Unit) -> None:
    findings = machine.examine(unit.machine())
    assert [finding for finding in findings if finding.level != "green" or finding.remedy] == []
    assert len(findings) >= 18


def test_an_empty_machine_breaks_nothing(tmp_path: Path) -> None:
    unit = Unit(tmp_path / "good")
    unit.root = tmp_path / "empty"
    findings = machine.examine(unit.machine())
    assert {finding.level for finding in findings} == {"green", "yellow", "red"}
    assert all(finding.remedy for finding in findings if finding.level != "green")


GARBAGE = ["", "\0", "nonsense", "-", "99999999999999999999", "0x", "\ufffd" * 50]


@pytest.mark.parametrize("text", GARBAGE, ids=ascii)
def test_nonsense_in_any_file_breaks_nothing(unit: Unit, text: str) -> None:
    for name in GOOD:
        if name.startswith(("proc", "sys")):
            unit.write(name, text)
    assert machine.examine(unit.machine())


def test_kernel(unit: Unit) -> None:
    unit.remove("sys/kernel/realtime")
    assert unit.one("kernel").level == "green"
    unit.write("proc/sys/kernel/version", "#1 SMP PREEMPT_DYNAMIC")
    assert unit.one("kernel") == Finding(
        "kernel", "yellow", "preemptible, not real time (#1 SMP PREEMPT_DYNAMIC)",
        "install a real-time kernel (Debian: apt install linux-image-rt-amd64 or linux-image-rt-arm64)")
    unit.write("proc/sys/kernel/version", "#1 SMP Debian")
    assert "not preemptible" in unit.one("kernel").found


def test_priority(unit: Unit) -> None:
    unit.probes["limit"] = lambda which: (0, 0)
    unit.probes["fifo"] = lambda priority: f"no {priority}"
    found = unit.one("real-time priority")
    assert (found.level, found.found) == ("red", "SCHED_FIFO 80 refused: no 80 (limit 0)")
    assert "LimitRTPRIO" in found.remedy
    assert "/etc/security/limits.d" in found.remedy
    unit.options["priority"] = 0
    assert unit.one("real-time priority").level == "yellow"


@pytest.mark.parametrize(("text", "level"), [("-1", "yellow"), ("0", "red"), ("100000", "red"), ("950000", "green"),
                                             ("1000000", "green"), ("x", "yellow")])
def test_share(unit: Unit, text: str, level: str) -> None:
    unit.write("proc/sys/kernel/sched_rt_runtime_us", text)
    assert unit.one("real-time share").level == level


def test_memory(unit: Unit) -> None:
    unit.probes["limit"] = lambda which: (8 << 20, 8 << 20)
    found = unit.one("memory lock")
    assert (found.level, found.found) == ("red", "limited to 8192 kB")
    unit.probes["privileged"] = lambda: True
    assert unit.one("memory lock").level == "green"
    unit.probes["lock"] = lambda: "Cannot allocate memory"
    found = unit.one("memory lock")
    assert (found.level, found.found) == ("red", "mlockall refused: Cannot allocate memory (limit 8192 kB)")
    assert "LimitMEMLOCK=infinity" in found.remedy
    unit.write("proc/swaps", "Filename Type Size Used Priority\n/var/swap file 102396 0 -2\n")
    found = unit.one("swap")
    assert (found.level, found.found) == ("yellow", "/var/swap")
    assert "swapoff -a" in found.remedy


def test_clock(unit: Unit) -> None:
    unit.write(f"{CLOCK}/current_clocksource", "hpet")
    unit.write(f"{CLOCK}/available_clocksource", "tsc hpet acpi_pm")
    assert unit.one("clock source") == Finding("clock source", "yellow", "hpet",
                                               f"echo tsc > /{CLOCK}/current_clocksource")
    unit.write(f"{CLOCK}/current_clocksource", "jiffies")
    assert unit.one("clock source").level == "red"
    unit.probes["resolution_s"] = lambda clock: 4e-3
    assert unit.one("timer resolution").level == "red"


def test_processors(unit: Unit) -> None:
    unit.write("sys/devices/system/cpu/isolated", "")
    assert unit.one("isolated processors").remedy.startswith(
        "add isolcpus=3 nohz_full=3 rcu_nocbs=3 irqaffinity=0-2 "
        "cpufreq.default_governor=performance to the kernel command line")
    unit.write("sys/devices/system/cpu/online", "0-1")
    assert "irqaffinity=0 " in unit.one("isolated processors").remedy
    unit.write("sys/devices/system/cpu/online", "0,2-3")
    assert unit.one("processors").found == "3"
    unit.write("sys/devices/system/cpu/online", "0")
    assert unit.one("processors").level == "yellow"
    assert unit.findings("isolated processors") == []


@pytest.mark.parametrize(("line", "missing"), [
    ("isolcpus=3 nohz_full=3 rcu_nocbs=3 irqaffinity=0-2", ""),
    ("isolcpus=3", "nohz_full=3 rcu_nocbs=3 irqaffinity=0-2"),
    ("nohz_full=2 rcu_nocbs=2-3 irqaffinity=0-2", "nohz_full=3"),
    ("nohz_full=3 rcu_nocbs=3 irqaffinity=0-3", "irqaffinity=0-2"),
])
def test_an_isolated_processor_is_spared(unit: Unit, line: str, missing: str) -> None:
    unit.write("proc/cmdline", f"quiet {line} console=tty1")
    found = unit.one("isolated and spared")
    assert found.level == ("yellow" if missing else "green")
    assert found.found == (f"without {missing}" if missing else "of ticks, RCU callbacks and interrupts")
    assert found.remedy.startswith(missing)
    unit.write("sys/devices/system/cpu/isolated", "")
    assert unit.findings("isolated and spared") == []


def test_a_configured_processor_is_an_isolated_one(unit: Unit) -> None:
    assert unit.findings("control processor") == []
    unit.options["cpu"] = 3
    assert unit.findings("control processor") == []
    unit.options["cpu"] = 2
    assert "remove loop.cpu" in unit.one("control processor").remedy


def test_the_bus_interrupts_where_the_loop_runs(unit: Unit) -> None:
    unit.write("proc/irq/29/smp_affinity_list", "0-2")
    assert unit.one("bus interrupt") == Finding("bus interrupt", "yellow", "29 (uart-pl011) on 0-2",
                                                "echo 3 > /proc/irq/29/smp_affinity_list")
    unit.options["port"] = "socket://10.0.0.2:4000"
    assert unit.findings("bus interrupt") == []


def test_the_journal_is_bounded(unit: Unit) -> None:
    assert unit.one("journal") == Finding("journal", "green", "at most 64M")
    unit.write("usr/lib/systemd/journald.conf.d/allyarm.conf", "[Journal]\n#SystemMaxUse=64M")
    assert "systemd/journald.conf" in unit.one("journal").remedy
    unit.remove("run/systemd/system/x")
    (unit.root / "run/systemd/system").rmdir()
    assert unit.findings("journal") == []


def test_governor(unit: Unit) -> None:
    unit.write("sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "ondemand\n")
    found = unit.one("governor")
    assert (found.level, found.found) == ("yellow", "ondemand, performance")
    assert found.remedy == "echo performance | tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"


@pytest.mark.parametrize(("text", "level", "found"), [
    ("0x50005", "red", "now: under-voltage, throttled"), ("50000", "yellow", "since boot: under-voltage, throttled"),
    ("0x0", "green", "none since boot"),
])
def test_throttling(unit: Unit, text: str, level: str, found: str) -> None:
    unit.write("sys/devices/platform/soc/soc:firmware/get_throttled", text)
    assert (unit.one("throttling").level, unit.one("throttling").found) == (level, found)


@pytest.mark.parametrize(("text", "level"), [("69999", "green"), ("70000", "yellow"), ("81000", "red")])
def test_temperature(unit: Unit, text: str, level: str) -> None:
    unit.write("sys/class/thermal/thermal_zone1/temp", text)
    assert unit.one("temperature").level == level


def test_sleep_states(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: "cpu_dma" not in str(path))
    assert "60-allyarm.rules" in unit.one("sleep states").remedy
    unit.remove("dev/cpu_dma_latency")
    assert unit.one("sleep states").found == "/dev/cpu_dma_latency is missing"


def test_arm_s_port(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    unit.options["port"] = "/dev/ttyACM7"
    assert unit.one("arm's port").found == "/dev/ttyACM7 does not exist"
    unit.write("dev/ttyS0", "")
    (unit.root / "dev/serial0").symlink_to("ttyS0")
    unit.options["port"] = "/dev/serial0"
    found = unit.one("arm's port")
    assert (found.level, "mini UART" in found.found, "disable-bt" in found.remedy) == ("red", True, True)
    unit.write("proc/device-tree/model", "Some other board")
    assert unit.one("arm's port").level == "green"
    monkeypatch.setattr(os, "access", lambda path, mode: "serial0" not in str(path))
    assert unit.one("arm's port").remedy == "usermod -aG dialout $USER, then log in again"
    unit.options["port"] = "socket://10.0.0.2:4000"
    assert unit.findings("arm's port") == []


def test_low_latency(unit: Unit) -> None:
    unit.write("sys/class/tty/ttyAMA0/flags", "0x10000000")
    unit.write("sys/class/tty/ttyUSB0/device/latency_timer", "16")
    first, second = unit.findings("serial port")
    assert (first.level, first.remedy) == ("yellow", "setserial /dev/ttyAMA0 low_latency")
    assert (second.level, second.found) == ("yellow", "/dev/ttyUSB0 (FT232R): latency timer 16 ms")
    assert second.remedy == "echo 1 > /sys/class/tty/ttyUSB0/device/latency_timer"


def test_no_ports(unit: Unit) -> None:
    unit.options["port"] = ""
    unit.probes["ports"] = lambda: []
    assert unit.one("serial ports").level == "yellow"


def test_console_on_the_uart(unit: Unit) -> None:
    (unit.root / "dev/serial0").symlink_to("ttyAMA0")
    unit.write("proc/cmdline", "console=serial0,115200 console=tty1")
    found = unit.one("serial console")
    assert (found.level, found.found) == ("red", "on serial0")
    assert "remove console=serial0" in found.remedy
    unit.write("proc/cmdline", "console=ttyS0,115200")
    assert unit.one("serial console").level == "green"
    unit.options["port"] = ""
    assert unit.one("serial console").level == "yellow"


def test_hmi_port(unit: Unit) -> None:
    unit.probes["bind"] = lambda host, port: os.strerror(errno.EADDRINUSE)
    assert unit.one("HMI port").level == "yellow"
    unit.probes["bind"] = lambda host, port: os.strerror(errno.EADDRNOTAVAIL)
    assert unit.one("HMI port").level == "red"


def test_what_is_really_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probes try, report a refusal in the kernel's words and leave nothing behind."""
    before = os.sched_getscheduler(0)
    assert machine.try_fifo(1) in ("", os.strerror(errno.EPERM))
    assert machine.try_fifo(1000) == os.strerror(errno.EINVAL)
    assert os.sched_getscheduler(0) == before
    assert machine.try_lock() in ("", os.strerror(errno.ENOMEM), os.strerror(errno.EPERM))
    locked = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmLck"))
    assert locked.split()[1] == "0"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert machine.try_bind("127.0.0.1", port) == os.strerror(errno.EADDRINUSE)
    assert machine.try_bind("127.0.0.1", port) == ""
    assert machine.try_bind("192.0.2.1", port) == os.strerror(errno.EADDRNOTAVAIL)
    assert machine.try_bind("no.such.host.invalid", port)
    assert all(device.startswith("/dev/") for device, _ in machine.list_ports())


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser(prog="allyarm")
    doctor.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["doctor", *arguments])
    return args.run(args)


@pytest.fixture
def examined(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> list[Machine]:
    """The command on the made-up machine; returns what it asked about."""
    asked: list[Machine] = []

    def examine(real: Machine, examine: Any = machine.examine) -> list[Finding]:
        asked.append(real)
        return examine(unit.machine())

    monkeypatch.setattr(machine, "examine", examine)
    return asked


def test_exit_code_and_table(unit: Unit, examined: list[Machine], capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert " green, 0 yellow, 0 red" in capsys.readouterr().out
    unit.write("sys/devices/system/cpu/isolated", "")
    assert run() == 0
    unit.probes["fifo"] = lambda priority: "Operation not permitted"
    assert run() == 1
    out = capsys.readouterr().out
    assert ("remedy: add isolcpus=3 nohz_full=3 rcu_nocbs=3 irqaffinity=0-2 "
            "cpufreq.default_governor=performance to the kernel command line") in out
    assert " green, 1 yellow, 1 red" in out
    assert not [line for line in out.splitlines() if line != line.rstrip()]


def test_the_table_of_a_terminal_cuts_no_remedy(unit: Unit, examined: list[Machine], monkeypatch: pytest.MonkeyPatch,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "80", "NO_COLOR": ""}.items():
        monkeypatch.setenv(name, value)
    unit.write("sys/devices/system/cpu/isolated", "")
    assert run() == 0
    out = capsys.readouterr().out
    assert "\x1b[" in out
    words = re.sub(r"\x1b\[[\d;]*m", "", out).split()
    for word in ["add", "isolcpus=3", "nohz_full=3", "rcu_nocbs=3", "irqaffinity=0-2", "/boot/firmware/cmdline.txt)"]:
        assert word in words


def test_json(unit: Unit, examined: list[Machine], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json") == 0
    assert json.loads(capsys.readouterr().out)["fit"] is True
    unit.probes["lock"] = lambda: "no"
    assert run("--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["fit"] is False
    assert [finding["name"] for finding in answer["findings"] if finding["level"] == "red"] == ["memory lock"]


@pytest.mark.parametrize(("p999", "level"), [(199.9, "green"), (200.1, "yellow"), (501.0, "red")])
def test_lateness_is_judged_by_its_high_percentile(p999: float, level: str) -> None:
    found = doctor.judge({"p50": 20.0, "p99": 44.0, "p999": p999, "max": 9000.0, "count": 5000}, "SCHED_FIFO 80")
    assert found.level == level
    assert f"p50 20, p99 44, p99.9 {p999:.0f}, max 9000 us in 5000 cycles" in found.found
    assert bool(found.remedy) == (level != "green")


def test_measuring_runs_the_control_loop_itself(examined: list[Machine], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--measure", "0.3", "--json") in (0, 1)
    (found,) = [row for row in json.loads(capsys.readouterr().out)["findings"] if row["name"] == "wake-up lateness"]
    cycles = int(found["found"].split(" in ")[1].split()[0])
    assert 30 <= cycles <= 1000
    assert not [thread for thread in Path("/proc/self/task").iterdir()
                if os.sched_getscheduler(int(thread.name)) == os.SCHED_FIFO]
    locked = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmLck"))
    assert locked.split()[1] == "0"


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "4000"])
def test_measuring_time_has_bounds(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--measure", seconds) == 2
    assert "--measure: found" in capsys.readouterr().err


def test_the_configuration_says_what_is_examined(examined: list[Machine], tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.toml"
    path.write_text('[bus]\nport = "/dev/ttyUSB3"\n[loop]\npriority = 42\n[hmi]\nport = 4000\n')
    assert run("--config", str(path)) == 0
    assert (examined[0].port, examined[0].priority, examined[0].hmi_port) == ("/dev/ttyUSB3", 42, 4000)
    path.write_text("[loop]\npriority = 99\n")
    assert run("--config", str(path)) == 2
    assert "loop.priority: found 99; allowed: whole number 0..98" in capsys.readouterr().err


@pytest.mark.parametrize(("nodes", "closed", "level", "words"), [
    ([], [], "yellow", ["none found", "plug in"]), (["event0", "event3"], [], "green", ["2 may be read"]),
    (["event0", "event3"], ["event3"], "yellow", ["1 of 2", "event3", "usermod -aG input", "char-13"]),
])
def test_input_devices(tmp_path: Path, nodes: list[str], closed: list[str], level: str, words: list[str]) -> None:
    unit = Unit(tmp_path)
    assert "input devices" not in {found.name for found in machine.examine(unit.machine())}     # switched off
    unit.options["input"] = True
    unit.probes["readable"] = lambda path: path.name not in closed
    for name in (*nodes, "mouse0"):
        unit.write(f"dev/input/{name}", "")
    (found,) = (item for item in machine.examine(unit.machine()) if item.name == "input devices")
    assert found.level == level
    assert all(word in found.found + found.remedy for word in words)
