"""The card, booted as it is: what runs, what it may do, how a system is replaced. In the order of a board's life."""

from __future__ import annotations

import re
import shutil
from typing import Any

import pytest

from tests.image.conftest import one
from tests.image.machine import Machine

pytestmark = pytest.mark.timeout(2400)
CONFIG = "/etc/allyarm/allyarm.toml"
# An emulated processor keeps no millisecond.
SLOW = r"s/^\[loop\]/[loop]\nrate_hz = 100\nmax_overruns_in_a_row = 1000/; s/^\[bus\]/[bus]\nsilence_ms = 400/"


def slot(machine: Machine) -> str:
    found = re.search(r"rauc\.slot=([AB])", machine.run("cat /proc/cmdline"))
    assert found
    return found[1]


def version(machine: Machine) -> str:
    return machine.run("sed -n 's/^IMAGE_VERSION=//p' /etc/os-release")


def good(machine: Machine) -> None:
    """Until this system has confirmed itself."""
    machine.until("systemctl is-active allyarm-slot.service", 300)


def at_rest(machine: Machine) -> dict[str, Any]:
    machine.until("allyarm status --json | grep -q '\"bus_state\": \"CYCLIC\"'", 120)
    status = machine.status()
    assert status["running"]
    assert status["state"] in {"WAITING", "ERROR"}, "nothing moves by itself"
    assert not status["motor_power"]
    return status


def test_the_first_boot(running: Machine) -> None:
    assert (slot(running), running.run("uname -m")) == ("A", "aarch64")
    assert "PREEMPT_RT" in running.run("uname -v")
    running.until("systemctl is-active allyarm.service")
    assert running.run("systemctl show -P Type -P User allyarm.service").split() == ["notify", "allyarm"]
    at_rest(running)
    assert '"ok":true' in running.run("python3 -c \"import urllib.request as u; "
                                      "print(u.urlopen('http://127.0.0.1:3001/healthz').read().decode())\"")
    good(running)
    assert running.run("systemctl --failed --plain --no-legend") == ""


def test_who_the_board_is_and_what_it_keeps(running: Machine) -> None:
    identity = running.run("cat /etc/machine-id")
    assert re.fullmatch(r"[0-9a-f]{32}", identity)
    assert identity == running.run("cat /data/identity/machine-id")
    assert running.run("hostname") == f"allyarm-{identity[:6]}"
    assert running.tried("touch /usr/x")[0] != 0
    assert running.tried("touch /etc/x")[0] != 0
    assert running.run("findmnt -no OPTIONS /").startswith("ro")
    assert int(running.run("findmnt -bno SIZE /data")) > 2 * 2**30, "the data partition has not grown with the card"
    assert running.run("passwd -S root").split()[1] == "L"
    assert running.run("ls /etc/ssh/ssh_host_* 2>/dev/null | wc -l") == "0"
    assert running.run("cut -d: -f2 /etc/shadow | grep -c '^[$]' || true") == "0", "somebody has a password"
    assert "watchdog" in running.run("wdctl /dev/watchdog0 2>/dev/null || ls /dev/watchdog0")
    assert running.run("systemctl show -P RuntimeWatchdogUSec") == "15s"


def test_the_simulated_arm_moves_when_it_is_told_to(running: Machine) -> None:
    running.run(f"sed -i '{SLOW}' {CONFIG}")
    code, text = running.tried(f"allyarm check {CONFIG}")
    assert code == 0, text
    running.run("systemctl restart allyarm.service")
    status = at_rest(running)
    assert status["state"] == "WAITING", status["faults"]
    before = status["axis"][0]["position_deg"]
    text = running.run(f"allyarm move 1={before + 8:.0f} --speed 50", 300)
    after = running.status()
    assert abs(after["axis"][0]["position_deg"] - (before + 8)) < 1.5, text
    assert after["motor_power"]
    running.run("systemctl restart allyarm.service")
    assert not at_rest(running)["motor_power"], "motor power came back by itself"


def test_a_loop_that_hangs_is_started_anew_by_the_watchdog(running: Machine) -> None:
    before = running.run("systemctl show -P MainPID -P NRestarts allyarm.service").split()
    running.run(f"kill -STOP {before[0]}")
    running.until(f"[ \"$(systemctl show -P NRestarts allyarm.service)\" -gt {before[1]} ]", 120)
    running.until("systemctl is-active allyarm.service")
    assert running.run("systemctl show -P MainPID allyarm.service") != before[0]
    at_rest(running)


def test_a_newer_system_is_installed_beside_the_old_one_and_confirms_itself(running: Machine) -> None:
    old = version(running)
    shutil.copy(one("newer/*.raucb"), running.folder / "newer.raucb")
    print(running.run(f"rauc install {running.url}/newer.raucb", 900))
    assert running.run("cat /data/rauc/trial") == "B"
    assert slot(running) == "A", "nothing changes before the board is started anew"
    kept = running.run("cat /data/identity/machine-id && sha256sum /etc/allyarm/allyarm.toml")
    running.reboot()
    assert slot(running) == "B"
    assert version(running) != old
    at_rest(running)
    good(running)
    assert running.tried("cat /data/rauc/trial")[0] != 0, "it is still on trial"
    assert running.run("fw_printenv -n BOOT_ORDER") == "B A"
    assert running.run("fw_printenv -n BOOT_B_LEFT") == "3"
    assert running.run("cat /etc/machine-id && sha256sum /etc/allyarm/allyarm.toml") == kept


def test_a_downgrade_is_refused(running: Machine) -> None:
    shutil.copy(one("older/*.raucb"), running.folder / "older.raucb")
    code, text = running.tried(f"rauc install {running.url}/older.raucb", 300)
    assert code != 0
    assert "version" in text.lower(), text
    assert running.run("fw_printenv -n BOOT_ORDER") == "B A"


def test_a_bundle_that_was_changed_is_refused(running: Machine) -> None:
    path = running.folder / "changed.raucb"
    content = bytearray(one("newer/*.raucb").read_bytes())
    content[-200] ^= 1
    path.write_bytes(content)
    code, text = running.tried(f"rauc install {running.url}/changed.raucb", 300)
    assert code != 0, text
    assert running.run("fw_printenv -n BOOT_ORDER") == "B A"


def test_a_system_that_cannot_be_loaded_is_left_after_three_tries(running: Machine) -> None:
    running.run("dd if=/dev/zero of=/dev/disk/by-partlabel/root-a bs=1M count=8 conv=fsync 2>/dev/null")
    running.run("fw_setenv BOOT_ORDER 'A B' && fw_setenv BOOT_A_LEFT 3")
    running.reboot()
    assert slot(running) == "B"
    assert running.run("fw_printenv -n BOOT_A_LEFT") == "0"
    assert running.console.read_bytes().count(b"system A cannot be loaded") == 3
    at_rest(running)
