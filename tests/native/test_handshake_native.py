"""The handshake between the control thread and the others under ThreadSanitizer, and mutants that must be caught."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.native.toolchain import EXT, NATIVE, compile_cpp

ROUNDS = 100_000
FLAGS = ["-O1", "-g", "-fsanitize=thread"]
HEADER = "handshake.hpp"


def run(program: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TSAN_OPTIONS": "halt_on_error=1 exitcode=66"}
    return subprocess.run([str(program), str(ROUNDS)], capture_output=True, text=True, timeout=200, env=environment,
                          check=False)


def test_handshake(tmp_path: Path) -> None:
    done = run(compile_cpp(NATIVE / "handshake.cpp", tmp_path / "handshake", FLAGS))
    print(f"\n{done.stdout}")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2


MUTANTS = {  # name: text of the header, what replaces it, what has to be said
    "stop asked for without release": ("stop.store(1, std::memory_order_release)",
                                       "stop.store(1, std::memory_order_relaxed)", "data race"),
    "stop taken without acquire": ("stop.exchange(0, std::memory_order_acquire)",
                                   "stop.exchange(0, std::memory_order_relaxed)", "data race"),
    "line offered without release": ("offered_fd.store(fd, std::memory_order_release)",
                                     "offered_fd.store(fd, std::memory_order_relaxed)", "data race"),
    "line taken without acquire": ("offered_fd.exchange(-1, std::memory_order_acquire)",
                                   "offered_fd.exchange(-1, std::memory_order_relaxed)", "data race"),
    "line given back without release": ("attached.store(on, std::memory_order_release)",
                                        "attached.store(on, std::memory_order_relaxed)", "data race"),
    "line got back without acquire": ("attached.load(std::memory_order_acquire)",
                                      "attached.load(std::memory_order_relaxed)", "data race"),
    "loss told without release": ("released.store(on, std::memory_order_release)",
                                  "released.store(on, std::memory_order_relaxed)", "data race"),
    "loss learned without acquire": ("released.load(std::memory_order_acquire)",
                                     "released.load(std::memory_order_relaxed)", "data race"),
    "end told without release": ("running.store(on, std::memory_order_release)",
                                 "running.store(on, std::memory_order_relaxed)", "data race"),
    "an offer taken but left standing": ("offered_fd.exchange(-1, std::memory_order_acquire)",
                                         "offered_fd.load(std::memory_order_acquire)", "FAILED"),
    "a line taken back takes the stop along": ("reclaim.exchange(0, std::memory_order_acquire) != 0",
                                               "(stop.store(0), reclaim.exchange(0, std::memory_order_acquire)) != 0",
                                               "FAILED: a stop was lost"),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name: str, tmp_path: Path) -> None:
    old, new, said = MUTANTS[name]
    text = (EXT / HEADER).read_text()
    assert text.count(old) == 1, f"{HEADER} no longer contains: {old}"
    (tmp_path / HEADER).write_text(text.replace(old, new))
    done = run(compile_cpp(NATIVE / "handshake.cpp", tmp_path / "handshake", FLAGS, tmp_path))
    assert done.returncode != 0, f"not caught: {name}\n{done.stdout}"
    # whichever of the two sees it first: the test's own check or the sanitizer
    assert said in done.stderr or "data race" in done.stderr, done.stderr
