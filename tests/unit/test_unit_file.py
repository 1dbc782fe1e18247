"""systemd/allyarm.service: what the program relies on is there, and systemd itself has nothing to say against it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "systemd" / "allyarm.service"


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
    assert settings["ExecStart"] == ["/opt/allyarm/bin/allyarm run --config /etc/allyarm/allyarm.toml"]
    assert (settings["LimitRTPRIO"], settings["LimitMEMLOCK"]) == (["99"], ["infinity"])
    assert settings["StateDirectory"] == ["allyarm"]
    assert settings["RuntimeDirectory"] == ["allyarm"]
    assert int(settings["WatchdogSec"][0]) > 0
    assert settings["Restart"] == ["on-failure"]
    assert settings["RestartPreventExitStatus"] == ["2"]  # a wrong configuration does not become right
    assert int(settings["TimeoutStopSec"][0]) > 2  # a clean stop takes up to 2 s


def test_nothing_takes_real_time_or_the_serial_ports_away(settings: dict[str, list[str]]) -> None:
    assert not {"RestrictRealtime", "PrivateDevices", "CPUSchedulingPolicy", "PrivateNetwork"} & settings.keys()
    allowed = {value.removesuffix(" rw") for value in settings["DeviceAllow"]}
    assert {f"char-{major}" for major in (4, 136, 166, 188, 204)} <= allowed
    assert {"dialout", "input"} <= set(settings["SupplementaryGroups"][0].split())
    assert "char-13 r" in settings["DeviceAllow"]    # input devices
    assert "AF_NETLINK" in settings["RestrictAddressFamilies"][0].split()  # name look-up asks for addresses over it


def test_the_unit_s_group_may_hold_off_sleep_states(settings: dict[str, list[str]]) -> None:
    """Else the core reports dma_latency as refused on every start, and require_realtime would refuse to start."""
    rules = (UNIT.parent / "60-allyarm.rules").read_text()
    assert 'KERNEL=="cpu_dma_latency", GROUP="dialout", MODE="0660"' in rules
    assert "/dev/cpu_dma_latency rw" in settings["DeviceAllow"]


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Every line is `Key=value`, a section or a comment; where systemd is installed, its own verdict counts too."""
    for line in UNIT.read_text().splitlines():
        assert not line or line[0] in "#[" or line.split("=")[0].isalnum()
    if shutil.which("systemd-analyze"):
        unit = tmp_path / UNIT.name
        unit.write_text(UNIT.read_text().replace("/opt/allyarm/bin/allyarm", "/bin/true"))
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True,
                              check=False)
        assert (done.returncode, done.stderr) == (0, "")
