"""Is this machine fit for the control loop? One function per question; each answers green, yellow or red and a remedy.

What is read from files goes through `Machine.root`, what has to be tried goes through `Probes`: both can be replaced
by a made-up machine.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from controller.cli import tuning
from controller.spec.hmi import DEFAULT_PORT

Level = Literal["green", "yellow", "red"]
ASYNC_LOW_LATENCY = 1 << 13  # linux/tty_flags.h
THROTTLED_NOW = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
THROTTLED_BEFORE_SHIFT = 16  # Raspberry Pi firmware: the same bits, since boot
GOOD_CLOCKS = {"tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page"}
HOT_C, WARM_C = 80.0, 70.0  # a Raspberry Pi 4 lowers its clock from 80 degrees on
DEFAULT_RT_RUNTIME_US = 950_000


class Finding(msgspec.Struct, frozen=True):
    """One answer. `remedy` is an exact command or file, empty when green."""

    name: str
    level: Level
    found: str
    remedy: str = ""


def try_fifo(priority: int) -> str:
    """Whether a thread of this user gets SCHED_FIFO: "" or what the kernel said."""
    answer = []

    def attempt() -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))  # 0 is this thread, which ends at once
        except OSError as error:
            answer.append(error.strerror or str(error))

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return "".join(answer)


def try_lock() -> str:
    """Whether this user may lock the memory of a process: "" or what the kernel said."""
    current_on_fault = 1 | 4  # MCL_CURRENT | MCL_ONFAULT
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(current_on_fault):
        return os.strerror(ctypes.get_errno())
    libc.munlockall()
    return ""


def try_bind(host: str, port: int) -> str:
    """Whether the HMI port can be listened on: "" or what the kernel said."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def list_ports() -> list[tuple[str, str]]:
    """(device, description) of the serial ports pyserial sees."""
    from serial.tools.list_ports import comports

    return [(port.device, port.description) for port in comports()]


class Probes(msgspec.Struct, frozen=True):
    """What cannot be read from a file but must be tried."""

    fifo: Callable[[int], str] = try_fifo
    lock: Callable[[], str] = try_lock
    bind: Callable[[str, int], str] = try_bind
    ports: Callable[[], list[tuple[str, str]]] = list_ports
    limit: Callable[[int], tuple[int, int]] = resource.getrlimit
    privileged: Callable[[], bool] = lambda: os.geteuid() == 0
    resolution_s: Callable[[int], float] = time.clock_getres
    readable: Callable[[Path], bool] = lambda path: os.access(path, os.R_OK)


class Machine(msgspec.Struct, frozen=True):
    """The machine in question and what is to run on it."""

    root: Path = Path("/")
    priority: int = 80
    port: str = ""
    hmi_host: str = "127.0.0.1"
    hmi_port: int = DEFAULT_PORT
    input: bool = False
    cpu: int = -1
    probes: Probes = msgspec.field(default_factory=Probes)

    def read(self, path: str) -> str | None:
        """Text of a file below the root, stripped; None when there is none or it may not be read."""
        try:
            return (self.root / path).read_text(errors="replace").strip("\0\n ")
        except OSError:
            return None

    def read_all(self, pattern: str) -> list[str]:
        """Texts of the files that match and may be read."""
        texts = [self.read(str(path.relative_to(self.root))) for path in sorted(self.root.glob(pattern))]
        return [text for text in texts if text is not None]


def kernel(machine: Machine) -> Iterator[Finding]:
    version = machine.read("proc/sys/kernel/version") or "unknown"
    if machine.read("sys/kernel/realtime") == "1" or "PREEMPT_RT" in version:
        yield Finding("kernel", "green", "PREEMPT_RT")
    else:
        kind = "preemptible, not real time" if "PREEMPT" in version else "not preemptible"
        yield Finding("kernel", "yellow", f"{kind} ({version})",
                      "install a real-time kernel (Debian: apt install linux-image-rt-amd64 or linux-image-rt-arm64)")


def scheduling(machine: Machine) -> Iterator[Finding]:
    soft, _ = machine.probes.limit(resource.RLIMIT_RTPRIO)
    shown = "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
    if refusal := machine.probes.fifo(machine.priority) if machine.priority else "":
        yield Finding("real-time priority", "red", f"SCHED_FIFO {machine.priority} refused: {refusal} (limit {shown})",
                      "as a service: LimitRTPRIO=99 in the unit; as a user: a line '@dialout - rtprio 99' in "
                      "/etc/security/limits.d/60-allyarm.conf, then usermod -aG dialout $USER, and log in again")
    elif machine.priority:
        yield Finding("real-time priority", "green", f"SCHED_FIFO {machine.priority} granted (limit {shown})")
    else:
        yield Finding("real-time priority", "yellow", "not asked for", "set loop.priority = 80 in the configuration")
    runtime = machine.read("proc/sys/kernel/sched_rt_runtime_us")
    remedy = f"sysctl -w kernel.sched_rt_runtime_us={DEFAULT_RT_RUNTIME_US}"
    if runtime is None or not re.fullmatch(r"-?\d+", runtime):
        yield Finding("real-time share", "yellow", "unknown", remedy)
    elif int(runtime) == -1:
        yield Finding("real-time share", "yellow", "unlimited: a runaway thread could freeze the machine", remedy)
    elif int(runtime) < DEFAULT_RT_RUNTIME_US // 2:
        yield Finding("real-time share", "red", f"{runtime} us per period: the loop would be suspended", remedy)
    else:
        yield Finding("real-time share", "green", f"{runtime} us per period")


def memory(machine: Machine) -> Iterator[Finding]:
    remedy = "as a service: LimitMEMLOCK=infinity in the unit; as a user: a line '@dialout - memlock unlimited' in " \
             "/etc/security/limits.d/60-allyarm.conf, then usermod -aG dialout $USER, and log in again"
    soft, _ = machine.probes.limit(resource.RLIMIT_MEMLOCK)
    shown = "unlimited" if soft == resource.RLIM_INFINITY else f"{soft // 1024} kB"
    if refusal := machine.probes.lock():
        yield Finding("memory lock", "red", f"mlockall refused: {refusal} (limit {shown})", remedy)
    elif soft != resource.RLIM_INFINITY and not machine.probes.privileged():
        # the core does not lock under a limit that it could outgrow: allocations would fail later
        yield Finding("memory lock", "red", f"limited to {shown}", remedy)
    else:
        yield Finding("memory lock", "green", f"granted (limit {shown})")
    swaps = (machine.read("proc/swaps") or "").splitlines()[1:]
    if swaps:
        yield Finding("swap", "yellow", ", ".join(line.split()[0] for line in swaps),
                      "swapoff -a, and remove it from /etc/fstab (Raspberry Pi OS: systemctl disable --now "
                      "dphys-swapfile)")
    else:
        yield Finding("swap", "green", "none")


def clock(machine: Machine) -> Iterator[Finding]:
    folder = "sys/devices/system/clocksource/clocksource0"
    current = machine.read(f"{folder}/current_clocksource")
    offered = (machine.read(f"{folder}/available_clocksource") or "").split()
    if current in GOOD_CLOCKS:
        yield Finding("clock source", "green", current)
    else:
        better = next((name for name in offered if name in GOOD_CLOCKS), None)
        yield Finding("clock source", "red" if "jiffies" in (current or "") else "yellow", current or "unknown",
                      f"echo {better} > /{folder}/current_clocksource" if better else
                      "no better one is offered: check the kernel's messages with dmesg | grep -i clocksource")
    resolution_ns = machine.probes.resolution_s(time.CLOCK_MONOTONIC) * 1e9
    if resolution_ns > 1000:
        yield Finding("timer resolution", "red", f"{resolution_ns:.0f} ns",
                      "use a kernel with CONFIG_HIGH_RES_TIMERS=y and without highres=off in its command line")
    else:
        yield Finding("timer resolution", "green", f"{resolution_ns:.0f} ns")


def _count(ranges: str) -> int:
    """Processors in a list like 0-2,5; 1 when there is no such list."""
    parts = re.findall(r"(\d+)(?:-(\d+))?", ranges)
    return max(1, sum(int(high or low) - int(low) + 1 for low, high in parts))


def processors(machine: Machine) -> Iterator[Finding]:
    online = machine.read("sys/devices/system/cpu/online") or "0"
    count = _count(online)
    isolated = machine.read("sys/devices/system/cpu/isolated")
    if count < 2:
        yield Finding("processors", "yellow", "1: the loop shares it with everything else",
                      "use a machine with several")
        return
    yield Finding("processors", "green", str(count))
    if isolated:
        yield Finding("isolated processors", "green", isolated)
    else:
        last = count - 1
        others = f"0-{last - 1}" if last > 1 else "0"
        yield Finding("isolated processors", "yellow", "none", f"add isolcpus={last} nohz_full={last} rcu_nocbs={last} "
                      f"irqaffinity={others} cpufreq.default_governor=performance to the kernel command line "
                      "(Raspberry Pi: /boot/firmware/cmdline.txt)")


def power(machine: Machine) -> Iterator[Finding]:
    governors = set(machine.read_all("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"))
    if governors - {"performance"}:
        yield Finding("governor", "yellow", ", ".join(sorted(governors)),
                      "echo performance | tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")
    else:
        yield Finding("governor", "green", "performance" if governors else "no frequency scaling")
    latency = machine.root / "dev/cpu_dma_latency"
    if not latency.exists():
        yield Finding("sleep states", "yellow", "/dev/cpu_dma_latency is missing",
                      "use a kernel with CONFIG_CPU_IDLE=y")
    elif os.access(latency, os.W_OK):
        yield Finding("sleep states", "green", "may be held off (/dev/cpu_dma_latency)")
    else:
        yield Finding("sleep states", "yellow", "/dev/cpu_dma_latency may not be written",
                      "a line 'KERNEL==\"cpu_dma_latency\", GROUP=\"dialout\", MODE=\"0660\"' in "
                      "/etc/udev/rules.d/60-allyarm.rules (systemd/udev.rules has it), then udevadm control "
                      "--reload && udevadm trigger")
    yield from _throttling(machine)


def _throttling(machine: Machine) -> Iterator[Finding]:
    cool = "better power supply (5.1 V, 3 A) and cooling; then reboot"
    text = machine.read("sys/devices/platform/soc/soc:firmware/get_throttled")
    if text and re.fullmatch(r"(0x)?[0-9a-fA-F]+", text):
        bits = int(text, 16)
        now = [name for bit, name in THROTTLED_NOW.items() if bits >> bit & 1]
        before = [name for bit, name in THROTTLED_NOW.items() if bits >> (bit + THROTTLED_BEFORE_SHIFT) & 1]
        if now:
            yield Finding("throttling", "red", f"now: {', '.join(now)}", cool)
        elif before:
            yield Finding("throttling", "yellow", f"since boot: {', '.join(before)}", cool)
        else:
            yield Finding("throttling", "green", "none since boot")
    readings = machine.read_all("sys/class/thermal/thermal_zone*/temp")
    hottest_c = max((int(text) / 1000 for text in readings if re.fullmatch(r"-?\d+", text)), default=None)
    if hottest_c is not None:
        level: Level = "red" if hottest_c >= HOT_C else "yellow" if hottest_c >= WARM_C else "green"
        yield Finding("temperature", level, f"{hottest_c:.0f} degrees C", "" if level == "green" else "cool the board")


def ports(machine: Machine) -> Iterator[Finding]:
    found = machine.probes.ports()
    if machine.port and "://" not in machine.port:
        yield from _configured_port(machine)
    elif not found:
        yield Finding("serial ports", "yellow", "none found (the simulated arm needs none)",
                      "connect the arm; on a Raspberry Pi: enable_uart=1 in /boot/firmware/config.txt, then reboot")
    for device, description in found:
        yield from _latency(machine, device, description)
    consoles = re.findall(r"console=((?:tty(?:AMA|S|USB|ACM)|serial)\d+)", machine.read("proc/cmdline") or "")
    if not consoles:
        yield Finding("serial console", "green", "none")
    else:
        names = ", ".join(dict.fromkeys(consoles))
        ours = {_device(machine, f"/dev/{name}") for name in consoles} & {_device(machine, machine.port)}
        remedy = f"remove console={consoles[0]} from the kernel command line (Raspberry Pi: " \
                 "/boot/firmware/cmdline.txt); systemctl disable --now " \
                 f"serial-getty@{consoles[0]}; reboot"
        if machine.port and not ours:
            yield Finding("serial console", "green", f"on {names}, not on the arm's port")
        else:
            yield Finding("serial console", "red" if ours else "yellow", f"on {names}", remedy)


def _device(machine: Machine, path: str) -> str:
    """What a device path stands for: /dev/serial0 is a link to the real one."""
    return os.path.realpath(machine.root / path.lstrip("/"))


def _configured_port(machine: Machine) -> Iterator[Finding]:
    path = machine.root / machine.port.lstrip("/")
    name = Path(_device(machine, machine.port)).name
    if not path.exists():
        yield Finding("arm's port", "red", f"{machine.port} does not exist",
                      "check the cable and bus.port; ports present are listed below, or: ls /dev/serial/by-id")
    elif not os.access(path, os.R_OK | os.W_OK):
        yield Finding("arm's port", "red", f"{machine.port} may not be opened",
                      "usermod -aG dialout $USER, then log in again")
    elif "Raspberry Pi" in (machine.read("proc/device-tree/model") or "") and name == "ttyS0":
        yield Finding("arm's port", "red", f"{machine.port} is the mini UART, whose clock follows the core's",
                      "dtoverlay=disable-bt in /boot/firmware/config.txt, reboot, and bus.port = \"/dev/ttyAMA0\"")
    else:
        yield Finding("arm's port", "green", f"{machine.port} can be opened")


def _latency(machine: Machine, device: str, description: str) -> Iterator[Finding]:
    name = Path(device).name
    timer = machine.read(f"sys/class/tty/{name}/device/latency_timer")
    flags = machine.read(f"sys/class/tty/{name}/flags")
    label = device if description in ("", "n/a", name) else f"{device} ({description})"
    if timer is not None and timer.isdecimal():  # USB adapters with a chip of FTDI
        if int(timer) > 1:
            yield Finding("serial port", "yellow", f"{label}: latency timer {timer} ms",
                          f"echo 1 > /sys/class/tty/{name}/device/latency_timer")
        else:
            yield Finding("serial port", "green", f"{label}: latency timer {timer} ms")
    elif flags is not None and re.fullmatch(r"0x[0-9A-Fa-f]+", flags):
        if int(flags, 16) & ASYNC_LOW_LATENCY:
            yield Finding("serial port", "green", f"{label}: low latency")
        else:
            yield Finding("serial port", "yellow", f"{label}: low latency flag not set",
                          f"setserial {device} low_latency")
    else:
        yield Finding("serial port", "green", f"{label}: tells no latency setting")


def hmi(machine: Machine) -> Iterator[Finding]:
    where = f"{machine.hmi_host}:{machine.hmi_port}"
    if refusal := machine.probes.bind(machine.hmi_host, machine.hmi_port):
        in_use = refusal == os.strerror(errno.EADDRINUSE)
        yield Finding("HMI port", "yellow" if in_use else "red", f"{where}: {refusal}",
                      f"`allyarm status` tells whether the controller itself runs there; else: ss -ltnp 'sport = "
                      f":{machine.hmi_port}'" if in_use else "correct hmi.host and hmi.port in the configuration")
    else:
        yield Finding("HMI port", "green", f"{where} is free")


def inputs(machine: Machine) -> Iterator[Finding]:
    """Only where input devices are switched on."""
    if not machine.input:
        return
    folder = machine.root / "dev/input"
    nodes = sorted(path for path in folder.glob("event*") if path.name[5:].isdigit())
    closed = [path for path in nodes if not machine.probes.readable(path)]
    if not nodes:
        yield Finding("input devices", "yellow", "none found",
                      "plug in a 3D mouse or game pad (Bluetooth: pair it), then: allyarm devices")
    elif closed:
        yield Finding("input devices", "yellow", f"{len(closed)} of {len(nodes)} may not be read "
                      f"({', '.join(path.name for path in closed[:4])})", "usermod -aG input $USER, then log in again; "
                      "as a service: SupplementaryGroups=input and DeviceAllow=char-13 r in the unit")
    else:
        yield Finding("input devices", "green", f"{len(nodes)} may be read (allyarm devices lists them)")


QUESTIONS: tuple[Callable[[Machine], Iterator[Finding]], ...] = (
    kernel, scheduling, memory, clock, processors, power, ports, hmi, inputs, *tuning.QUESTIONS,
)


def examine(machine: Machine) -> list[Finding]:
    """Every finding, in the order of the questions."""
    return [finding for question in QUESTIONS for finding in question(machine)]
