"""The supervisor's ticks with a fake bus, core and clock: retries, one message per cause, give-up, new bring-up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from controller import supervisor as module
from controller.arm import ArmFacts, AxisFacts
from controller.bus.base import BusError, Cancelled
from controller.chain import chain_of
from controller.config import Config
from controller.supervisor import Supervisor, core_axes, core_settings

AXIS = AxisFacts(4096, 360.0, 0, False, -1000, 1000, 0.01, 60.0)
FACTS = ArmFacts("SN", "1.0", (AXIS, AXIS))


class FakeCore:
    def __init__(self) -> None:
        self.released = True
        self.calls: list[object] = []

    def configure(self, settings: dict[str, float], axes: list[dict[str, float]], chain: dict[str, Any]) -> None:
        assert len(chain["joints"]) == len(axes)
        self.calls.append(("configure", len(axes)))

    def attach(self, fd: int) -> None:
        self.calls.append(("attach", fd))
        self.released = False

    def detach(self) -> None:
        self.calls.append("detach")
        self.released = True


class World:
    """One fake of everything: `fail` is what the next bring-ups raise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **bus: float) -> None:
        self.now, self.fail, self.where, self.open_lines, self.opened = 100.0, None, "/dev/arm", 0, 0
        self.core, self.arms = FakeCore(), []
        base = Config()
        self.config = msgspec.structs.replace(base, bus=msgspec.structs.replace(
            base.bus, **{"connect_retry_s": 2.0, "port": "/dev/arm", **bus}))
        self.malformed_lines, self.notes, self.refuse_cyclic, self.stop = 0, [], None, False
        self.links: list[tuple[object, ...]] = []
        monkeypatch.setattr(module, "make_bus", lambda kind, port, baudrate: self)
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)
        self.supervisor = Supervisor(self.core, self.config, lambda: self.where, self.arms.append,
                                     cancelled=lambda: self.stop, on_link=self.link)

    def link(self) -> None:
        link = self.supervisor
        self.links.append((link.attempts, link.connections, link.last_error, link.malformed_lines, link.notes))

    def open(self) -> None:
        self.open_lines += 1
        self.opened += 1

    def read_facts(self, max_speed_deg_s: list[float], cancelled: Callable[[], bool]) -> ArmFacts:
        assert max_speed_deg_s == [60.0] * 8
        if cancelled():
            raise Cancelled("cancelled")
        if self.fail:
            raise self.fail
        return FACTS

    def enter_cyclic(self, cancelled: Callable[[], bool]) -> None:
        if self.refuse_cyclic:
            raise self.refuse_cyclic
        self.core.calls.append("cyclic")

    def fileno(self) -> int:
        return 42

    def close(self) -> None:
        self.open_lines -= 1

    def tick(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.supervisor.tick()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_connects_and_tells_the_facts_before_it_lends_the_line(world: World) -> None:
    world.core.attach = lambda fd: world.core.calls.append(("attach", fd, list(world.arms)))
    world.tick()
    assert world.supervisor.connected
    facts = replace(FACTS.with_margin(1.0), chain=chain_of(world.config, 2))
    assert world.core.calls == [("configure", 2), "cyclic", ("attach", 42, [facts])]
    assert (world.supervisor.attempts, world.supervisor.connections) == (1, 1)


def test_tries_again_at_the_retry_interval_only(world: World) -> None:
    world.fail = BusError("no answer")
    world.tick()
    for _ in range(19):
        world.tick(0.1)
    assert world.opened == 1
    world.tick(0.2)
    assert world.opened == 2
    assert world.open_lines == 0        # each failed one is closed
    world.fail = None
    world.tick(2.1)
    assert world.supervisor.connected
    assert world.supervisor.last_error == ""


def test_says_each_cause_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "allyarm.bus")
    world.fail = BusError("no answer")
    for _ in range(5):
        world.tick(2.1)
    world.fail = BusError("register 130: the arm says 0")
    for _ in range(5):
        world.tick(2.1)
    world.fail = None
    world.tick(2.1)
    said = [record.getMessage() for record in caplog.records]
    assert len([text for text in said if "no answer" in text]) == 1
    assert len([text for text in said if "register 130" in text]) == 1
    assert "arm SN" in said[-1]


def test_says_causes_that_take_turns_once_each_until_connected(
        world: World, caplog: pytest.LogCaptureFixture) -> None:
    def warnings() -> int:
        return sum(record.levelno == logging.WARNING for record in caplog.records)

    for _ in range(5):
        for text in ("no answer", "register 130: the arm says 0"):
            world.fail = BusError(text)
            world.tick(2.1)
    assert warnings() == 2
    world.fail = None
    world.tick(2.1)
    world.core.released = True
    world.tick()
    assert warnings() == 3
    world.fail = BusError("no answer")
    world.tick(2.1)
    assert warnings() == 4              # said again: it is news after a connection


def test_the_board_is_left_in_its_register_phase_by_a_core_that_refuses(world: World) -> None:
    def refuse(settings: dict[str, float], axes: list[dict[str, float]], chain: dict[str, Any]) -> None:
        raise ValueError("axis 1: margin")

    world.core.configure = refuse
    world.tick()
    assert "cyclic" not in world.core.calls
    assert world.supervisor.last_error == "axis 1: margin"
    assert not world.supervisor.configured


def test_a_board_that_does_not_enter_the_cyclic_phase_is_closed(world: World) -> None:
    world.refuse_cyclic = BusError("register 10: no answer")
    world.tick()
    assert (world.open_lines, world.supervisor.connected) == (0, False)
    assert all(call[0] != "attach" for call in world.core.calls)


def test_a_cancelled_bring_up_is_closed_and_is_no_fault_of_the_arm(
        world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.stop = True
    world.tick()
    assert (world.open_lines, world.supervisor.connected, world.supervisor.attempts) == (0, False, 1)
    assert not caplog.records
    assert world.supervisor.last_error == "bring-up on /dev/arm was not finished"


def test_a_signal_ends_the_opening_of_a_port_and_nothing_else(world: World) -> None:
    world.supervisor.interrupt()        # nothing is being opened: nothing happens
    world.open = lambda: (world.supervisor.interrupt(), pytest.fail("went on"))
    world.open_lines = 1
    world.tick()
    assert not world.supervisor.connected
    assert world.open_lines == 0
    world.supervisor.interrupt()


def test_link_numbers_are_told_when_they_change(world: World) -> None:
    world.malformed_lines, world.notes, world.fail = 3, ["slow"], BusError("no answer")
    world.tick()
    assert world.links == [(1, 0, "no answer", 3, ["slow"])]
    world.tick(0.1)
    assert len(world.links) == 1
    world.fail = None
    world.tick(2.1)
    assert world.links[1:] == [(2, 1, "", 6, ["slow"])]     # each bring-up has a bus of its own
    world.core.released = True
    world.tick()
    assert world.links[2:] == [(2, 1, "communication lost", 6, ["slow"])]


@pytest.mark.parametrize("error", [BusError("x"), ValueError("x"), OSError("x")])
def test_every_kind_of_failure_closes_the_line(world: World, error: Exception) -> None:
    world.fail = error
    world.tick()
    assert (world.open_lines, world.supervisor.connected) == (0, False)
    assert world.supervisor.last_error == "x"


def test_an_arm_that_does_not_fit_the_configuration_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.supervisor._config = msgspec.structs.replace(
        world.config, arm=msgspec.structs.replace(world.config.arm, axes=5))
    world.tick()
    assert not world.supervisor.connected
    assert "arm.axes" in world.supervisor.last_error
    assert world.core.calls == []


def test_a_lost_line_is_taken_back_closed_and_brought_up_again(world: World) -> None:
    world.tick()
    world.core.released = True
    world.tick(1.0)
    assert world.core.calls[-1] == "detach"
    assert world.open_lines == 0
    world.tick(0.05)
    assert not world.supervisor.connected
    world.tick(0.06)
    assert world.supervisor.connected
    assert world.supervisor.connections == 2


def test_waits_for_a_port(world: World) -> None:
    world.where = ""
    world.tick()
    world.tick(0.02)
    assert (world.opened, world.supervisor.attempts) == (0, 0)
    world.where = "/tmp/pty"
    world.tick(0.02)
    assert world.supervisor.connected


def test_gives_up_only_when_configured_and_not_while_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, give_up_after_s=10.0)
    world.fail = BusError("no answer")
    world.tick(9.0)
    assert not world.supervisor.gave_up()
    world.tick(1.5)
    assert world.supervisor.gave_up()
    world.fail = None
    world.tick(2.0)
    assert not world.supervisor.gave_up()
    world.now += 100.0
    world.core.released = True
    world.tick()
    assert not world.supervisor.gave_up()       # counted from the loss
    world.fail = BusError("gone")
    world.tick(11.0)
    assert world.supervisor.gave_up()
    patient = World(monkeypatch, give_up_after_s=0.0)
    patient.now += 1e6
    assert not patient.supervisor.gave_up()


def test_close_gives_the_line_back_once(world: World) -> None:
    world.tick()
    world.supervisor.close()
    world.supervisor.close()
    assert world.core.calls.count("detach") == 1
    assert world.open_lines == 0


def test_the_core_takes_the_settings_of_a_default_configuration() -> None:
    from controller._core import AXIS_SETTINGS, SETTINGS, Core

    config = Config()
    assert set(core_settings(config)) == set(SETTINGS)
    rows = core_axes(config, FACTS)
    assert [set(row) for row in rows] == [set(AXIS_SETTINGS)] * 2
    Core().configure(core_settings(config), rows)


def test_a_line_that_was_asked_for_is_not_called_lost(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.tick()
    assert world.supervisor._writes.offer({"wifi_ssid": "clinic"}) is not None
    world.core.released = True
    world.tick(1.0)
    assert "registers of the board" in world.supervisor.last_error
    told = [record for record in caplog.records if "connecting again" in record.getMessage()]
    assert [(record.levelname, "lost" in record.getMessage()) for record in told] == [("INFO", False)]
    assert world.supervisor._writes.take() is not None
    world.tick(1.0)
    world.core.released = True
    world.tick(1.0)
    assert world.supervisor.last_error == "communication lost"
