"""Telegrams: check, parse and build by the core's own functions, beside plain Python with struct and zlib."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from statistics import median
from types import ModuleType

from benchmarks import telegram_peer
from benchmarks.table import Aim, Table, show
from controller.spec import telegram
from controller.spec.emit import write_generated
from controller.spec.modes import DriverMode, TargetType

HERE = Path(__file__).resolve().parent
EXT = HERE.parent / "ext"
AXES = (4, 5, 8)
AIM_AXES, AIM_NS = 5, 200.0


def head_of_core() -> str:
    """What core.pyx imports and includes up to the telegrams: a loop over them sees just what the core sees."""
    text = (EXT / "core.pyx").read_text(encoding="utf-8")
    last = 'include "telegram.pxi"\n'
    return text[text.index("cimport cython"):text.index(last) + len(last)]


def build_module(folder: Path) -> ModuleType:
    """telegram_loop.pyx with the core's sources, built in `folder` with the core's own flags."""
    source = folder / "telegram_loop.cpp"
    target = folder / f"telegram_loop{sysconfig.get_config_var('EXT_SUFFIX')}"
    write_generated(folder / "generated")
    (folder / "core_head.pxi").write_text(head_of_core(), encoding="utf-8")
    ruckig = importlib.util.find_spec("ruckig")
    if ruckig is None or ruckig.origin is None:
        raise RuntimeError("ruckig is needed to build: python -m pip install 'ruckig>=0.15'")
    root = Path(ruckig.origin).parent
    includes = [folder, EXT, sysconfig.get_paths()["include"], root / "include", root.parent / "include"]
    subprocess.run([sys.executable, "-m", "cython", "--cplus", "-3", "-I", folder, "-I", EXT, "-o", source,
                    HERE / "telegram_loop.pyx"], check=True)
    subprocess.run(["g++", "-std=c++20", "-O3", "-fno-math-errno", "-fvisibility=hidden", "-shared", "-fPIC", "-w",
                    *(f"-I{path}" for path in includes), source, "-o", target], check=True)
    spec = importlib.util.spec_from_file_location("telegram_loop", target)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def peer_ns(telegrams: list[bytes], axes: int, count: int) -> float:
    """Nanoseconds per telegram of the same work in Python."""
    targets = [(int(DriverMode.SPEED_ABS), int(TargetType.SPEED_MICROSTEPS_S), 1000.0 + i) for i in range(axes)]
    begin = time.perf_counter_ns()
    for i in range(count):
        if telegram_peer.parse(telegrams[i & 255], axes) is None:
            raise AssertionError("a good telegram was refused")
        telegram_peer.build(i & 255, telegram.FLAG_MOTOR_POWER, targets)
    return (time.perf_counter_ns() - begin) / count


def run(quick: bool) -> list[Table]:
    """One table over 4, 5 and 8 axes."""
    rounds, count = (15, 5_000) if quick else (151, 20_000)
    ours: dict[int, list[float]] = {axes: [] for axes in AXES}
    peer: dict[int, list[float]] = {axes: [] for axes in AXES}
    with tempfile.TemporaryDirectory(prefix="allyarm-bench-") as folder:
        module = build_module(Path(folder))
        for _ in range(rounds):
            for axes in AXES:
                telegrams = [telegram_peer.state(axes, sequence) for sequence in range(256)]
                ours[axes].append(module.loop(telegrams, axes, count))
                peer[axes].append(peer_ns(telegrams, axes, count // 100))
    rows = [[axes, median(ours[axes]), min(ours[axes]), median(peer[axes]), median(peer[axes]) / median(ours[axes])]
            for axes in AXES]
    return [Table(
        "Telegrams: check, parse and build, ns", ["axes", "core", "least", "Python, struct and zlib", "Python / core"],
        rows,
        f"Per cycle: check of header, footer, CRC-8, CRC-32, parity, values and sequence of a received telegram, parse "
        f"into the axes, build of the next command. {rounds} interleaved rounds of {count:,} telegrams, records "
        "through memory.",
        [Aim(f"{AIM_AXES} axes", median(ours[AIM_AXES]), AIM_NS, "ns")])]


if __name__ == "__main__":
    show(run(quick=True))
