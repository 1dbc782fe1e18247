"""systemd/allyarm.service: what the program relies on is there, and systemd itself has nothing to say against it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "systemd" / "allyarm.service"


def needs_systemd() -> None:
    """CI has one; elsewhere systemd's own verdict may be missing."""
    if not shutil.which("systemd-analyze"):
        assert not os.environ.get("ALLYARM_ALL_TESTS"), "apt-get install systemd"
        pytest.skip("systemd-analyze is missing: apt-get install systemd")


@pytest.fixture(scope="module")
def settings() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_what_the_program_relies_on(settings: dict[str, list[str]]) -> None:
    assert settings["Type"] == ["notify"]
    assert settings["ExecStart"] == ["/usr/bin/allyarm run --config /etc/allyarm/allyarm.toml"]
    assert (settings["LimitRTPRIO"], settings["LimitMEMLOCK"]) == (["99"], ["infinity"])
    assert settings["StateDirectory"] == ["allyarm"]
    assert settings["RuntimeDirectory"] == ["allyarm"]
    assert int(settings["WatchdogSec"][0]) > 0
    assert settings["Restart"] == ["on-failure"]
    assert settings["RestartPreventExitStatus"] == ["2"]  # a wrong configuration does not become right
    assert int(settings["TimeoutStopSec"][0]) > 2  # a clean stop takes up to 2 s
    assert (settings["User"], "DynamicUser" in settings) == (["allyarm"], False)
    assert "u allyarm " in (UNIT.parent / "sysusers.conf").read_text()
    # It stays down after a few failures: motor power is off then, and nobody has to watch it try for ever.
    assert (settings["StartLimitIntervalSec"], settings["StartLimitBurst"]) == (["300"], ["6"])


def test_nothing_is_waited_for_at_boot(settings: dict[str, list[str]]) -> None:
    """Safe state and loop come first: no network, no clock, no bus."""
    words = " ".join(value for key in ("After", "Wants", "Requires", "BindsTo") for value in settings.get(key, []))
    assert "network" not in words
    assert "time-sync" not in words
    assert "dev-" not in words


def test_nothing_takes_real_time_or_the_serial_ports_away(settings: dict[str, list[str]]) -> None:
    assert not {"RestrictRealtime", "PrivateDevices", "CPUSchedulingPolicy", "PrivateNetwork"} & settings.keys()
    allowed = {value.removesuffix(" rw") for value in settings["DeviceAllow"]}
    assert {f"char-{major}" for major in (4, 136, 166, 188, 204)} <= allowed
    assert {"dialout", "input"} <= set(settings["SupplementaryGroups"][0].split())
    assert "char-13 r" in settings["DeviceAllow"]    # input devices
    assert "AF_NETLINK" in settings["RestrictAddressFamilies"][0].split()  # name look-up asks for addresses over it


def test_the_unit_s_group_may_hold_off_sleep_states(settings: dict[str, list[str]]) -> None:
    """Else the core reports dma_latency as refused on every start, and require_realtime would refuse to start."""
    rules = (UNIT.parent / "udev.rules").read_text()
    assert 'KERNEL=="cpu_dma_latency", GROUP="dialout", MODE="0660"' in rules
    assert "/dev/cpu_dma_latency rw" in settings["DeviceAllow"]


def exposed(unit: Path) -> bool:
    """More than 2.0 of 10 by systemd's own count (--threshold takes tenths)."""
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", str(unit)],
                          capture_output=True, text=True, check=False)
    assert "Overall exposure level" in done.stdout, done.stderr
    return done.returncode != 0


def test_its_exposure_is_small(tmp_path: Path) -> None:
    needs_systemd()
    assert not exposed(UNIT)
    looser = tmp_path / UNIT.name
    looser.write_text(UNIT.read_text().replace("ProtectSystem=strict\n", "").replace("CapabilityBoundingSet=\n", ""))
    assert exposed(looser)


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Every line is `Key=value`, a section or a comment; where systemd is installed, its own verdict counts too."""
    for line in UNIT.read_text().splitlines():
        assert not line or line[0] in "#[" or line.split("=")[0].isalnum()
    needs_systemd()
    units = sorted(path for path in UNIT.parent.iterdir() if path.suffix in {".service", ".timer", ".path"})
    for source in units:
        (tmp_path / source.name).write_text(source.read_text().replace(
            "/usr/lib/allyarm/bin/allyarm", "/bin/true").replace("/usr/bin/allyarm", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *(str(tmp_path / source.name) for source in units)],
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
