"""A real arm on `--port`: what can be proven without motor power. Nothing here can move it."""

from __future__ import annotations

import time

import pytest

from controller._core import Core
from controller.bus.serial import SerialBus
from controller.chain import chain_of
from controller.config import Config, check_axes
from controller.spec.modes import BusState, MasterState
from controller.supervisor import core_axes, core_settings

pytestmark = pytest.mark.hardware
SECONDS = 5.0


@pytest.fixture
def port(request: pytest.FixtureRequest) -> str:
    path = request.config.getoption("--port")
    if not path:
        pytest.fail("name the port of the arm: pytest tests/hardware --port /dev/ttyAMA0")
    return str(path)


def test_bring_up_and_cyclic_exchange_without_power(port: str) -> None:
    """Registers are plausible, start checks pass, and five seconds of telegrams come back without a fault of form."""
    config = Config()
    bus = SerialBus(port, config.bus.baudrate)
    bus.open()
    facts = bus.read_facts([config.limits(i).max_speed_deg_s for i in range(8)])
    check_axes(config, facts.axes)
    assert bus.malformed_lines == 0
    core = Core()
    reader = core.reader()
    core.start()
    try:
        core.set_realtime(priority=config.loop.priority, cpu=-1, lock_memory=True, spin_us=0)
        core.configure(core_settings(config), core_axes(config, facts), chain_of(config, facts.axes))
        bus.enter_cyclic()
        core.attach(bus.fileno())
        time.sleep(SECONDS)
        state = reader.latest()
        assert state is not None
        assert state.bus_state == BusState.CYCLIC
        assert state.state == MasterState.WAITING
        assert not state.motor_power
        assert state.valid_telegrams > 0.95 * SECONDS * config.loop.rate_hz
        wrong_form = state.bus_faults[1:8]      # CRCs, headers, numbers, footers, parity
        assert not any(wrong_form), state.bus_faults
        for i, axis in enumerate(facts.axis):
            assert axis.minimum_deg <= state.position_deg[i] <= axis.maximum_deg
    finally:
        core.request_quit()
        assert core.join(2.0)
        bus.close()
