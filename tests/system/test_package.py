"""The Debian package: installed, upgraded, removed and purged on a machine; what it holds, that it can be repeated."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.arm import PATIENT, Arm
from tests.system.machine import ROOT, Machine

SERVICE = "allyarm.service"


@pytest.fixture(scope="module")
def newer(release_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the same program under a later version."""
    place = tmp_path_factory.mktemp("newer")
    subprocess.run([sys.executable, "packaging/deb.py", "--quick", "--tree", str(release_tree), "--version", "0.9.0",
                    "--output", str(place)], cwd=ROOT, check=True, capture_output=True)
    (found,) = place.glob("*.deb")
    return found


@pytest.fixture(scope="module")
def board(machine: Machine) -> Machine:
    """Installed from the package, on the simulated arm: as a first look at it."""
    machine.until(machine.healthy, 15)
    machine.write("/etc/allyarm/allyarm.toml", PATIENT)
    machine.run("systemctl", "restart", SERVICE)
    Arm(machine).until_waiting()
    return machine


def version(board: Machine) -> str:
    return board.run("dpkg-query", "--show", "--showformat=${Version} ${db:Status-Status}", "allyarm").stdout


def test_lintian_has_no_error(package: Path) -> None:
    done = subprocess.run(["lintian", "--allow-root", "--fail-on=error", "--suppress-tags=bogus-mail-host",
                           str(package)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "E:" not in done.stdout


def test_every_library_that_is_linked_is_there(release_tree: Path) -> None:
    """Of the machine only what Depends names: libc6, libstdc++6, libgcc-s1."""
    own = {path.name for path in release_tree.rglob("*.so*")}
    system = re.compile(r"(libc|libm|libpthread|libdl|librt|libutil|libstdc\+\+|libgcc_s|ld-linux.*)\.so\.\d")
    binaries = [path for path in release_tree.rglob("*.so*") if path.is_file()]
    assert len(binaries) > 10
    for path in binaries:
        shown = subprocess.run(["objdump", "-p", str(path)], capture_output=True, text=True, check=True).stdout
        for name in re.findall(r"NEEDED\s+(\S+)", shown):
            assert name in own or system.fullmatch(name), f"{path.name} needs {name}"


def test_release_json_tells_of_every_file(release_tree: Path) -> None:
    told = json.loads((release_tree / "release.json").read_text())
    there = {str(path.relative_to(release_tree)) for path in release_tree.rglob("*") if path.is_file()}
    there.remove("release.json")
    assert set(told["files"]) == there
    assert {"bin/allyarm", "lib/controller/app.py"} <= there
    assert not [name for name in there if "/tests/" in name and name.startswith("lib/controller")]
    for name in ("bin/allyarm", "lib/controller/app.py", "lib/controller/__pycache__/app.cpython-311.pyc"):
        assert told["files"][name] == hashlib.sha256((release_tree / name).read_bytes()).hexdigest()
    assert (told["architecture"], told["python"]) == ("amd64", "3.11")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["built"])


def test_installed_it_is_the_tree_and_runs_isolated(board: Machine) -> None:
    assert board.run("dpkg", "--verify", "allyarm").stdout.strip() in ("", "??5?????? c /etc/allyarm/allyarm.toml")
    assert board.run("allyarm", "--version").stdout == "allyarm 0.1.0\n"
    board.write("/root/controller.py", "raise SystemExit('taken from the working folder')")
    assert board.run("sh", "-c", "cd /root && PYTHONPATH=/root allyarm --version").stdout == "allyarm 0.1.0\n"
    assert board.run("allyarm", "check", "/etc/allyarm/allyarm.toml").returncode == 0
    assert board.property(SERVICE, "ActiveState") == "active"


def test_rules_are_accepted_by_the_tools_that_read_them(board: Machine) -> None:
    for command in (["systemd-sysusers", "--replace=/usr/lib/sysusers.d/allyarm.conf", "allyarm.conf"],
                    ["systemd-tmpfiles", "--create", "allyarm.conf"], ["systemd-analyze", "cat-config",
                                                                       "systemd/journald.conf"]):
        done = board.run(*command)
        assert "allyarm" not in done.stderr, done.stderr
    rules = board.run("udevadm", "test", "--action=add", "/sys/class/tty/tty", check=False)
    assert "60-allyarm.rules" in rules.stdout + rules.stderr
    assert not re.search(r"60-allyarm.rules:\d+ (Invalid|Unknown|Failed)", rules.stdout + rules.stderr)
    assert "SystemMaxUse=64M" in board.run("systemd-analyze", "cat-config", "systemd/journald.conf").stdout


def test_an_upgrade_is_refused_while_motor_power_is_on(board: Machine, newer: Path) -> None:
    Arm(board).until_waiting()
    before = board.property(SERVICE, "MainPID")
    board.run("allyarm", "move", "1=10")
    board.until(lambda: "motor power on" in board.property(SERVICE, "StatusText"), 5)
    refused = board.install(newer, check=False)
    assert refused.returncode != 0
    assert "motor power is on" in refused.stderr
    assert "motor power off" in refused.stderr      # and what to do
    assert version(board) == "0.1.0 installed"
    assert board.property(SERVICE, "MainPID") == before
    assert board.status()["motor_power"] is True        # held: taking power away was nobody's wish
    board.run("systemctl", "restart", SERVICE)
    Arm(board).until_waiting()


def test_an_upgrade_keeps_settings_and_the_changed_configuration(board: Machine, newer: Path) -> None:
    board.run("allyarm", "settings", "set", "user_speed_percent=55")
    configuration = f"# of this clinic\n{PATIENT}[motion]\nmax_speed_deg_s = 42\n"
    board.write("/etc/allyarm/allyarm.toml", configuration)
    board.install(newer)
    assert version(board) == "0.9.0 installed"
    board.until(board.healthy, 15)
    assert Arm(board).until_waiting()["motor_power"] is False
    assert board.run("allyarm", "--version").stdout == "allyarm 0.9.0\n"
    assert board.run("allyarm", "settings", "get", "user_speed_percent.1").stdout == "user_speed_percent.1=55\n"
    assert board.run("cat", "/etc/allyarm/allyarm.toml").stdout == configuration
    assert board.run("dpkg", "--verify", "allyarm").stdout.strip() in ("", "??5?????? c /etc/allyarm/allyarm.toml")
    assert "allyarm 0.9.0: HMI" in board.journal(SERVICE)


def test_remove_keeps_what_is_the_user_s_and_purge_takes_it(board: Machine) -> None:
    board.run("dpkg", "--remove", "allyarm")
    assert board.run("test", "-f", "/var/lib/allyarm/settings.sqlite").returncode == 0
    assert board.run("test", "-f", "/etc/allyarm/allyarm.toml").returncode == 0
    assert board.run("pgrep", "-f", "controller", check=False).stdout == ""
    purged = board.run("dpkg", "--purge", "allyarm")
    assert "settings" in purged.stdout
    left = board.run("find", "/", "-xdev", "-name", "*allyarm*", "-not", "-path", "/var/cache/*", "-not", "-path",
                     "/proc/*",
                     "-not", "-path", "/var/log/*", "-not", "-path", "/sys/*", "-not", "-path", "/root/*",
                     "-not", "-path", "/etc/systemd/system/allyarm.service.d*").stdout
    assert left == ""
    assert board.run("getent", "passwd", "allyarm", check=False).stdout == ""
    assert board.run("systemctl", "--failed", "--plain", "--no-legend").stdout == ""


def test_it_can_be_installed_again_after_a_purge(board: Machine, package: Path) -> None:
    board.install(package)
    board.until(board.healthy, 15)
    assert board.property(SERVICE, "UnitFileState") == "enabled"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same files in another folder: a checkout of somebody else."""
    place = tmp_path_factory.mktemp("elsewhere") / "another-name"
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True,
                           check=True).stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    subprocess.run("git init -q . && git add -A", shell=True, cwd=place, check=True)
    return place


def test_a_build_can_be_repeated(elsewhere: Path, release_tree: Path, package: Path, tmp_path: Path) -> None:
    """Another folder, another umask, another time of day, a compiler run of its own: the same bytes."""
    told = json.loads((release_tree / "release.json").read_text())
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(subprocess.run(
        ["date", "-u", "-d", told["built"], "+%s"], capture_output=True, text=True, check=True).stdout.strip()),
        "ALLYARM_COMMIT": told["commit"], "TZ": "Asia/Tokyo"}
    done = subprocess.run(["sh", "-c",
                           f"umask 077; exec {sys.executable} packaging/deb.py --quick --output {tmp_path}"],
                          cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (tree,) = (path for path in tmp_path.iterdir() if path.is_dir())
    again = json.loads((tree / "release.json").read_text())
    assert {name: digest for name, digest in again["files"].items() if told["files"].get(name) != digest} == {}
    assert again == told
    (deb,) = tmp_path.glob("*.deb")
    assert hashlib.sha256(deb.read_bytes()).hexdigest() == hashlib.sha256(package.read_bytes()).hexdigest()
