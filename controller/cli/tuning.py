"""Questions of `allyarm doctor` about the tuning that the package brings or names: what the isolated processor is
spared, where the bus interrupts, and what the journal may fill. One function per question, as in machine.py."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from controller.processors import numbers

if TYPE_CHECKING:
    from controller.cli.machine import Finding, Machine

PLACES = "remove it from or add it to the kernel command line (Raspberry Pi: /boot/firmware/cmdline.txt; " \
         "/usr/share/allyarm/realtime-cmdline has the whole set for four processors), then reboot"
JOURNAL = ("etc/systemd/journald.conf", "etc/systemd/journald.conf.d/*.conf", "usr/lib/systemd/journald.conf.d/*.conf",
           "run/systemd/journald.conf.d/*.conf")


def _isolated(machine: Machine) -> list[int]:
    return numbers(machine.read("sys/devices/system/cpu/isolated") or "")


def spared(machine: Machine) -> Iterator[Finding]:
    """An isolated processor still gets ticks, RCU callbacks and interrupts, unless it is spared of each."""
    from controller.cli.machine import Finding

    isolated = _isolated(machine)
    if not isolated:
        return      # said by its own question
    line = machine.read("proc/cmdline") or ""
    given = {name: numbers(value) for name, value in re.findall(r"(?:^|\s)(\w+)=([\d,-]+)", line)}
    wrong = [f"{name}={_ranges(isolated)}" for name in ("nohz_full",
                                                        "rcu_nocbs") if not set(isolated) <= set(given.get(name, []))]
    if not given.get("irqaffinity") or set(given["irqaffinity"]) & set(isolated):
        others = sorted(set(numbers(machine.read("sys/devices/system/cpu/online") or "")) - set(isolated))
        wrong.append(f"irqaffinity={_ranges(others)}")
    if wrong:
        yield Finding("isolated and spared", "yellow", f"without {' '.join(wrong)}", f"{' '.join(wrong)}: {PLACES}")
    else:
        yield Finding("isolated and spared", "green", "of ticks, RCU callbacks and interrupts")
    if machine.cpu >= 0 and machine.cpu not in isolated:
        yield Finding("control processor", "yellow", f"loop.cpu = {machine.cpu}, but {_ranges(isolated)} is isolated",
                      "remove loop.cpu from the configuration: the last isolated processor is taken by itself")


def _ranges(processors: list[int]) -> str:
    """[0, 1, 2, 5] -> "0-2,5"."""
    parts: list[list[int]] = []
    for number in processors:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def interrupt(machine: Machine) -> Iterator[Finding]:
    """The interrupt of the bus's UART: on the control thread's processor its answer is there without a detour."""
    from controller.cli.machine import Finding

    isolated = _isolated(machine)
    if not isolated or not machine.port.startswith("/dev/"):
        return
    name = Path(os.path.realpath(machine.root / machine.port.lstrip("/"))).name
    label = "uart-pl011" if name.startswith("ttyAMA") else name
    for row in (machine.read("proc/interrupts") or "").splitlines():
        found = re.match(rf"\s*(\d+):.*\s{re.escape(label)}(,|$)", row)
        if found is None:
            continue
        where = numbers(machine.read(f"proc/irq/{found[1]}/smp_affinity_list") or "")
        good = where == [isolated[-1]]
        yield Finding("bus interrupt", "green" if good else "yellow",
                      f"{found[1]} ({label}) on {_ranges(where) or 'unknown'}",
                      "" if good else f"echo {isolated[-1]} > /proc/irq/{found[1]}/smp_affinity_list")
        return


def journal(machine: Machine) -> Iterator[Finding]:
    """Only where there is a systemd: a journal without bounds wears an SD card out and fills it."""
    from controller.cli.machine import Finding

    if not (machine.root / "run/systemd/system").exists():
        return
    texts = [text for pattern in JOURNAL for text in machine.read_all(pattern)]
    bounds = [found[1] for text in texts if (found := re.search(r"^SystemMaxUse=(\S+)", text, re.MULTILINE))]
    if bounds:
        yield Finding("journal", "green", f"at most {bounds[0]}")
    else:
        yield Finding("journal", "yellow", "not bounded",
                      "install systemd/journald.conf as /etc/systemd/journald.conf.d/allyarm.conf "
                      "(the package does), then systemctl restart systemd-journald")


QUESTIONS = (spared, interrupt, journal)
