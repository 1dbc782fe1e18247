"""The machine that was measured, what must be installed, and CPU time and memory of a process from /proc."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
from pathlib import Path

APT = "apt-get install rt-tests libboost-dev libreaderwriterqueue-dev"
NODE_MAJOR = 18
CLOCKSOURCE = "/sys/devices/system/clocksource/clocksource0"


class Missing(Exception):
    """Something a benchmark needs is not installed; the message names the remedy."""


def require_cyclictest() -> str:
    """Path of cyclictest."""
    path = shutil.which("cyclictest")
    if path is None:
        raise Missing(f"cyclictest is not installed: {APT}")
    return path


def require_node() -> str:
    """Path of node, version 18 or later, with npm beside it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Missing(f"node >= {NODE_MAJOR} with npm is needed: https://nodejs.org, or apt-get install nodejs npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < NODE_MAJOR:
        raise Missing(f"node {version} is too old: version {NODE_MAJOR} or later is needed")
    return node


def node_version() -> str:
    return subprocess.run([require_node(), "--version"], capture_output=True, text=True, check=True).stdout.strip()


def control_cpu() -> int:
    """The processor `allyarm run` gives its control thread by default: the last one."""
    return max(os.sched_getaffinity(0))


def other_cpus() -> set[int]:
    """The processors `allyarm run` leaves to everything else."""
    every = os.sched_getaffinity(0)
    return every - {max(every)} or every


def describe() -> list[tuple[str, str]]:
    """(property, value) of this machine, for the head of the report."""
    cpu = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", _read("/proc/meminfo"), re.MULTILINE)
    hypervisor = _read("/sys/hypervisor/type").strip()
    flags = re.search(r"^flags\s*:.*\bhypervisor\b", _read("/proc/cpuinfo"), re.MULTILINE)
    return [
        ("CPU", cpu.group(1).strip() if cpu else platform.machine()),
        ("cores", f"{len(os.sched_getaffinity(0))}"),
        ("memory", f"{int(memory.group(1)) / 1024 / 1024:.1f} GB" if memory else "unknown"),
        ("virtual machine", hypervisor or ("yes" if flags else "no")),
        ("kernel", f"{platform.release()} {platform.machine()}"),
        ("preemption", preemption()),
        ("clock source", _read(f"{CLOCKSOURCE}/current_clocksource").strip() or "unknown"),
        ("governor", _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or "none"),
        ("Python", platform.python_version()),
        ("load before the run", " ".join(f"{load:.2f}" for load in os.getloadavg())),
        ("date", time.strftime("%Y-%m-%d %H:%M %Z")),
    ]


def preemption() -> str:
    """The kernel's preemption model; with PREEMPT_DYNAMIC the mode in force where debugfs tells it."""
    if _read("/sys/kernel/realtime").strip() == "1":
        return "PREEMPT_RT"
    named = re.search(r"PREEMPT\w*", platform.version())
    mode = re.search(r"\((\w+)\)", _read("/sys/kernel/debug/sched/preempt"))
    return (named.group(0) if named else "none named by the kernel") + (f" ({mode.group(1)})" if mode else "")


def cpu_ns(pid: int, without: int = 0) -> int:
    """CPU time of all threads of `pid` so far, less thread `without`, in ns (schedstat: not rounded to ticks)."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        if int(task) != without:
            total += int(_read(f"/proc/{pid}/task/{task}/schedstat").split()[0])
    return total


def resident_kb(pid: int) -> tuple[int, int]:
    """(VmRSS, PSS) of a process in kB. PSS shares out pages that several processes map."""
    rss = re.search(r"^VmRSS:\s*(\d+)", _read(f"/proc/{pid}/status"), re.MULTILINE)
    pss = re.search(r"^Pss:\s*(\d+)", _read(f"/proc/{pid}/smaps_rollup"), re.MULTILINE)
    if rss is None or pss is None:
        raise Missing(f"/proc/{pid}/status or smaps_rollup does not tell the resident memory")
    return int(rss.group(1)), int(pss.group(1))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
