"""The rings under real threads: ThreadSanitizer, plain, AddressSanitizer with UBSan, and mutants that must be caught.

ALLYARM_RING_OPERATIONS sets the number of operations (default 210 million) of the plain build and of ThreadSanitizer,
which counts 1.7 million a second (3 to 4 minutes); the others take shares of it. Run with `-s` to see the counts.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.native.toolchain import EXT, NATIVE, compile_cpp

OPERATIONS = int(os.environ.get("ALLYARM_RING_OPERATIONS", "210000000"))
BUILDS = {  # flags, share of the operations
    "plain": (["-O2"], 1.0),
    # GCC does not instrument a memcpy that it expands in place, so records have to go through the library's.
    "thread": (["-O1", "-g", "-fsanitize=thread", "-fno-builtin-memcpy"], 1.0),
    "address,undefined": (["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"], 0.03),
}
MUTANT_SHARES = {"plain": 0.25, "thread": 0.025}    # they are caught long before


def run(program: Path, operations: int, timeout_s: float, only: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TSAN_OPTIONS": "halt_on_error=1 exitcode=66"}
    return subprocess.run([str(program), str(operations), only], capture_output=True, text=True, timeout=timeout_s,
                          env=environment, check=False)


@pytest.mark.parametrize("header", ["command_ring.hpp", "state_ring.hpp"])
def test_header_compiles_alone(header: str, tmp_path: Path) -> None:
    source = tmp_path / "alone.cpp"
    source.write_text(f'#include "{header}"\n')
    compile_cpp(source, tmp_path / "alone.o", ["-c", "-O2", "-fno-exceptions", "-fno-rtti"])
    allowed = {"atomic", "cstddef", "cstdint", "cstring", "type_traits"}
    included = {line.split("<")[1].split(">")[0] for line in (EXT / header).read_text().splitlines()
                if line.startswith("#include")}
    assert included <= allowed


@pytest.mark.timeout(900)
@pytest.mark.parametrize("build", BUILDS)
def test_rings(build: str, tmp_path: Path) -> None:
    flags, share = BUILDS[build]
    operations = int(OPERATIONS * share)
    program = compile_cpp(NATIVE / "rings.cpp", tmp_path / "rings", flags)
    done = run(program, operations, 800)
    print(f"\n[{build}]\n{done.stdout}")
    assert done.returncode == 0, done.stderr
    total = int(done.stdout.splitlines()[-1].split()[1])
    assert total >= operations


class Mutant(NamedTuple):
    """A fault put into a header by replacing text that must occur exactly `count` times."""

    name: str
    header: str
    old: str
    new: str
    build: str  # that has to catch it
    count: int = 1


COMMAND, STATE = "command_ring.hpp", "state_ring.hpp"
COPY_IN = "copy(slot.record, &record);"
COPY_OUT = "copy(&record, slot.record);"
PUBLISH = "slot.sequence.store(position + 1, std::memory_order_release);"
GIVE_BACK = "head_.store(position + 1, std::memory_order_release);"
OPEN = "slot.opened.store(position, std::memory_order_release);"
LOOK = "slot.sequence.load(std::memory_order_acquire)"


def relaxed(text: str) -> str:
    return re.sub("memory_order_(release|acquire)", "memory_order_relaxed", text)


MUTANTS = [
    Mutant("command published without release", COMMAND, PUBLISH, relaxed(PUBLISH), "thread"),
    Mutant("command looked for without acquire", COMMAND, LOOK, relaxed(LOOK), "thread"),
    Mutant("slot given back without release", COMMAND, GIVE_BACK, relaxed(GIVE_BACK), "thread"),
    Mutant("slot taken back without acquire", COMMAND, "known_head_ = head_.load(std::memory_order_acquire)",
           "known_head_ = head_.load(std::memory_order_relaxed)", "thread"),
    Mutant("one too many fit", COMMAND, "position - known_head_ == size_of_ring",
           "position - known_head_ == size_of_ring + 1", "plain", 2),
    Mutant("one too few fit", COMMAND, "position - known_head_ == size_of_ring",
           "position - known_head_ == size_of_ring - 1", "plain", 2),
    Mutant("fullness compared without wrapping", COMMAND, "position - known_head_ == size_of_ring",
           "position >= known_head_ + size_of_ring", "plain", 2),
    Mutant("empty not seen", COMMAND, f"{LOOK} != position + 1", f"{LOOK} == position", "plain"),
    Mutant("new slots look filled", COMMAND, "sequence.store(first + i,", "sequence.store(0,", "plain"),
    Mutant("size one too large", COMMAND, "tail_.load(std::memory_order_relaxed) - head;",
           "tail_.load(std::memory_order_relaxed) - head + 1;", "plain"),
    Mutant("published before it is copied", COMMAND, COPY_IN, f"{PUBLISH}\n        {COPY_IN}", "thread"),
    Mutant("given back before it is copied", COMMAND, f"{COPY_OUT}\n        {GIVE_BACK}",
           f"{GIVE_BACK}\n        {COPY_OUT}", "thread"),
    Mutant("state published without release", STATE, PUBLISH, relaxed(PUBLISH), "thread"),
    Mutant("state looked for without acquire", STATE, LOOK, relaxed(LOOK), "thread"),
    Mutant("counter stored without release", STATE, "written_.store(position + 1, std::memory_order_release)",
           "written_.store(position + 1, std::memory_order_relaxed)", "thread"),
    Mutant("counter loaded without acquire", STATE, "written_.load(std::memory_order_acquire)",
           "written_.load(std::memory_order_relaxed)", "thread"),
    Mutant("state published before it is copied", STATE, OPEN, f"{PUBLISH}\n        {OPEN}", "plain"),
    Mutant("copy not checked afterwards", STATE, "if (copy(slot, cursor_, record)) return delivered_one();",
           "copy(slot, cursor_, record);\n                    return delivered_one();", "plain"),
    Mutant("latest not checked afterwards", STATE,
           "if (!copy(ring_->slots_[index(newest)], newest, record)) continue;",
           "copy(ring_->slots_[index(newest)], newest, record);", "plain"),
    Mutant("overwritten taken for not yet written", STATE, "else if (found == cursor_ + 1 - size_of_ring)", "else",
           "plain"),
    Mutant("one record too many given up", STATE, "written() - size_of_ring + 1;",
           "written() - size_of_ring + 2;", "plain"),
    Mutant("losses counted wrong", STATE, "lost_ += static_cast<Counter>(oldest - cursor_)",
           "lost_ += static_cast<Counter>(oldest - cursor_ - 1)", "plain"),
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_mutant_is_caught(mutant: Mutant, tmp_path: Path) -> None:
    """A test that cannot fail proves nothing: every weakened header has to be refused."""
    headers = tmp_path / "ext"
    shutil.copytree(EXT, headers, ignore=shutil.ignore_patterns("*.pyx", "*.cpp", "generated", "*.so"))
    text = (headers / mutant.header).read_text()
    assert text.count(mutant.old) == mutant.count, f"{mutant.header} no longer contains: {mutant.old}"
    (headers / mutant.header).write_text(text.replace(mutant.old, mutant.new))
    program = compile_cpp(NATIVE / "rings.cpp", tmp_path / "rings", BUILDS[mutant.build][0], headers)
    for _ in range(10):  # on a busy machine the threads may hardly meet
        done = run(program, int(OPERATIONS * MUTANT_SHARES[mutant.build]), 120, mutant.header.split("_")[0])
        if done.returncode != 0:
            break
    assert done.returncode != 0, f"not caught: {mutant.name}\n{done.stdout}"
    # ThreadSanitizer's word where it comes first; the program's own check may be faster
    expected = ("data race", "FAILED") if mutant.build == "thread" else ("FAILED",)
    found = [line for line in done.stderr.splitlines() if any(word in line for word in expected)]
    assert found, done.stderr
    print(f"\n{mutant.name}: {found[0]}")
