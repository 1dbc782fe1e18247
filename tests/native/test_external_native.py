"""ext/external_link.hpp alone: memory overwritten at random under AddressSanitizer, links swapped under TSan."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from controller.spec.emit import write_generated
from tests.native.toolchain import EXT, NATIVE, compile_cpp

ASAN = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
TSAN = ["-O1", "-g", "-fsanitize=thread"]


@pytest.fixture(scope="module", autouse=True)
def generated() -> None:
    write_generated(EXT / "generated")


def run(program: Path, *arguments: str) -> None:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stdout}{done.stderr}"


def test_saf_9_no_content_of_the_memory_leads_out_of_it(tmp_path: Path) -> None:
    run(compile_cpp(NATIVE / "external_link.cpp", tmp_path / "asan", ASAN))


def test_a_link_that_was_taken_back_is_not_used(tmp_path: Path) -> None:
    run(compile_cpp(NATIVE / "external_link.cpp", tmp_path / "tsan", TSAN), "swap")


@pytest.mark.parametrize(("old", "new"), [
    ("used.store(link, std::memory_order_release)", "used.store(link, std::memory_order_relaxed)"),
    ("return used.load(std::memory_order_acquire) == wanted.load(std::memory_order_relaxed);", "return true;"),
])
def test_the_check_of_the_swap_can_fail(tmp_path: Path, old: str, new: str) -> None:
    """Without the hand-shake, or its order, ThreadSanitizer finds a link that both sides use."""
    for header in EXT.glob("*.hpp"):
        (tmp_path / header.name).write_text(header.read_text())
    (tmp_path / "generated").mkdir()
    (tmp_path / "generated" / "external.hpp").write_text((EXT / "generated" / "external.hpp").read_text())
    changed = tmp_path / "external_link.hpp"
    assert old in changed.read_text()
    changed.write_text(changed.read_text().replace(old, new))
    program = compile_cpp(NATIVE / "external_link.cpp", tmp_path / "mutant", TSAN, headers=tmp_path)

    def swap_often() -> None:
        for _ in range(10):     # a busy machine may keep the two threads from ever meeting
            run(program, "swap")

    with pytest.raises(AssertionError, match="data race"):
        swap_often()
