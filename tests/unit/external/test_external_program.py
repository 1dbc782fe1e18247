"""The program's API and the server at its socket: what is refused, and that the text says what to do."""

from __future__ import annotations

import json
import math
import os
import re
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.external import ConnectError, ControllerGone, ExternalError, ExternalProgram, Position, Speed
from controller.external._link import ExternalState, ProgramLink
from controller.external.server import ExternalServer
from controller.folders import external_socket, external_sockets
from controller.spec import emit, external
from controller.spec.external import LAYOUT_VERSION
from tests.external.virtual_program import external_config
from tests.virtual_arm import VirtualArm

AXES = 2


class World:
    """A server, and an arm on the virtual clock that runs while a program is waited for."""

    def __init__(self, path: str) -> None:
        self.arm = VirtualArm(AXES, config=external_config())
        self.arm.now_ns = time.monotonic_ns()   # states tell a program when to look again
        self.arm.core.detach()
        self.arm.attach()
        self.server = ExternalServer(self.arm.core, path)
        self.path = path
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._end.is_set():
            self.server.tick()
            self.arm.cycle()
            time.sleep(0.001)

    def close(self) -> None:
        self._end.set()
        self._thread.join(5.0)
        self.server.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(str(tmp_path / "external"))
    yield found
    found.close()


@pytest.fixture
def program(world: World) -> Iterator[ExternalProgram]:
    with ExternalProgram.connect(world.path) as found:
        yield found


def test_states_come_one_by_one_and_newer(program: ExternalProgram) -> None:
    cycles = [program.wait_state().cycle for _ in range(20)]
    assert cycles == sorted(set(cycles))


def test_targets_answer_a_state(program: ExternalProgram) -> None:
    with pytest.raises(ExternalError, match="call wait_state first"):
        program.send_position_deg([0.0, 0.0])
    with pytest.raises(ExternalError, match="call wait_state first"):
        program.send_speed_deg_s([0.0, 0.0])


@pytest.mark.parametrize(("values", "text"), [
    ([0.0], "position_deg: 1 values given, the arm has 2 axes"),
    ([0.0] * 9, "position_deg: 9 values given, the arm has 2 axes"),
    ([0.0, math.nan], "position_deg: nan given for axis 2, a finite number is needed"),
    ([math.inf, 0.0], "position_deg: inf given for axis 1, a finite number is needed"),
])
def test_saf_9_wrong_values_are_refused_before_they_are_sent(program: ExternalProgram, values: list[float],
                                                             text: str) -> None:
    program.wait_state()
    with pytest.raises(ValueError, match=text):
        program.send_position_deg(values, [0.0, 0.0])
    with pytest.raises(ValueError, match=text.replace("position_deg", "speed_deg_s")):
        program.send_speed_deg_s(values)
    assert program.send_speed_deg_s([0.0, 0.0])
    until = time.monotonic() + 5.0
    while program.wait_state().taken == 0:
        assert time.monotonic() < until
    assert program.wait_state().rejected == 0


def test_run_calls_the_function_once_per_state_until_it_says_none(program: ExternalProgram) -> None:
    seen: list[int] = []

    def function(state: ExternalState) -> Speed | Position | list[float] | None:
        seen.append(state.cycle)
        kinds = (Speed([0.0] * AXES), Position(state.position_deg), list(state.position_deg))
        return kinds[len(seen) % 3] if len(seen) < 30 else None

    program.run(function)
    assert len(seen) == 30
    assert seen == sorted(set(seen))


def test_run_at_a_lower_rate(program: ExternalProgram) -> None:
    seen: list[int] = []

    def function(state: ExternalState) -> Speed | None:
        seen.append(state.cycle)
        return Speed([0.0] * AXES) if len(seen) < 10 else None

    program.run(function, rate_hz=200)
    assert seen == sorted(set(seen))
    assert seen[-1] - seen[0] >= 5 * 9 - 4, "every fifth cycle, on a grid"
    for rate_hz in (10, 1001):
        with pytest.raises(ValueError, match=f"rate_hz: {rate_hz} given, 100 .two calls per heartbeat of 20 ms"):
            program.run(function, rate_hz=rate_hz)


def test_without_speeds_they_are_the_difference_of_the_positions(program: ExternalProgram) -> None:
    state = program.wait_state()
    assert list(program._difference(state, [1.0, 2.0])) == [0.0, 0.0]
    program.send_position_deg([1.0, 2.0])
    later = program.wait_state()
    while later.cycle - state.cycle < 3:
        later = program.wait_state()
    seconds = (later.cycle - state.cycle) * 1e-3
    found = program._difference(later, [1.0 + 10.0 * seconds, 2.0 - 20.0 * seconds])
    assert list(found) == pytest.approx([10.0, -20.0])
    jump = program._difference(later, [90.0, 2.0])
    assert list(jump) == [0.0, 0.0], "a jump is no speed an axis may have: it comes to rest there"
    program.send_speed_deg_s([0.0, 0.0])
    assert list(program._difference(program.wait_state(), [1.0, 2.0])) == [0.0, 0.0]


def test_a_controller_that_ends_or_stands_still_is_noticed(world: World, program: ExternalProgram) -> None:
    program.wait_state()
    world._end.set()
    world._thread.join(5.0)
    program._link.wait(0.0)     # the last one
    with pytest.raises(ControllerGone, match=r"no state for 0\.1 s: the control loop stands still"):
        program.wait_state(0.1)
    world.server.close()
    with pytest.raises(ControllerGone, match="ended or closed the connection: connect anew"):
        program.wait_state(0.1)


def test_a_second_program_is_refused_and_the_next_is_let_in(world: World) -> None:
    with ExternalProgram.connect(world.path), pytest.raises(ConnectError, match="one at a time"):
        ExternalProgram.connect(world.path)
    until = time.monotonic() + 5.0
    while world.server.program:
        assert time.monotonic() < until
        time.sleep(0.01)
    with ExternalProgram.connect(world.path) as program:
        assert program.wait_state().axes == AXES


def test_whatever_is_sent_over_the_socket_is_thrown_away(world: World) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
        line.connect(world.path)
        assert json.loads(line.recv(4096)) == {"version": LAYOUT_VERSION}
        for _ in range(50):
            line.send(os.urandom(1000))
        time.sleep(0.2)
        assert world.server.program == os.getpid()


def test_without_a_free_descriptor_the_controller_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Linux refuses accept() then even where nobody knocks. The main thread must not end over it and drop the arm."""
    path = str(tmp_path / "external")
    server = ExternalServer(VirtualArm(AXES).core, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as program:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            assert [server.tick() for _ in range(3)] == [False] * 3
            program.connect(path)
            assert not server.tick()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "no external program can be let in" in caplog.text
        assert server.tick()
        assert server.program == os.getpid()
    server.close()


# -- no controller

def test_no_controller_names_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(ConnectError, match=f"no controller with external development at {tmp_path}/none: start"):
        ExternalProgram.connect(str(tmp_path / "none"))


def test_a_socket_left_behind(tmp_path: Path) -> None:
    path = str(tmp_path / "left")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as left:
        left.bind(path)
    with pytest.raises(ConnectError, match="left behind by a controller that has ended"):
        ExternalProgram.connect(path)
    arm = VirtualArm(AXES)
    ExternalServer(arm.core, path).close()      # and a controller takes its place
    assert not os.path.exists(path)


def test_a_program_of_another_release(tmp_path: Path) -> None:
    path = str(tmp_path / "other")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()

        def greet() -> None:
            line, _ = listener.accept()
            line.send(json.dumps({"version": LAYOUT_VERSION + 1}).encode())
            line.close()

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(ConnectError, match="install the same release"):
            ExternalProgram.connect(path)
        thread.join()


def test_memory_that_is_none_of_ours() -> None:
    fd = os.memfd_create("other")
    os.ftruncate(fd, 4096)
    with pytest.raises(ValueError, match="has 4096 bytes") as refused:
        ProgramLink(fd)
    os.ftruncate(fd, int(re.findall("[0-9]+", str(refused.value))[1]))
    with pytest.raises(ValueError, match="another magic number"):
        ProgramLink(fd)
    os.close(fd)


# -- the server's path

def test_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY", "ALLYARM_EXTERNAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/user")
    assert external_socket("", "") == "/home/user/.local/state/allyarm/external"
    assert external_socket("", "/data") == "/data/external"
    assert external_socket("/tmp/x", "/data") == "/tmp/x"
    assert external_sockets() == ["/home/user/.local/state/allyarm/external", "/run/allyarm/external"]
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/allyarm")
    assert external_socket("", "/data") == "/run/allyarm/external"
    monkeypatch.setenv("ALLYARM_EXTERNAL", "/somewhere")
    assert external_sockets() == ["/somewhere"]


def test_paths_that_cannot_be_served(tmp_path: Path, world: World) -> None:
    core = VirtualArm(AXES).core
    with pytest.raises(OSError, match=r"external\.path .* is 2\d\d bytes long, a socket's path has at most 107"):
        ExternalServer(core, str(tmp_path / ("x" * 200)))
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OSError, match="there is something that is not a socket"):
        ExternalServer(core, str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "precious"
    with pytest.raises(OSError, match="another controller serves it"):
        ExternalServer(core, world.path)


# -- the tables

def test_the_stub_is_the_table() -> None:
    stub = Path(external.__file__).parents[1] / "external" / "_link.pyi"
    text = stub.read_text()
    assert text[text.index("class ExternalState:"):].strip() == emit.record_stub(
        "ExternalState", external.STATE_FIELDS).strip()
