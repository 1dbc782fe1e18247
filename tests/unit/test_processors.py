"""Which processor the control thread gets: the configured one, an isolated one, else the last."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller import processors
from controller.processors import control_processor, numbers


@pytest.mark.parametrize(("text", "found"), [
    ("", []), ("3", [3]), ("0,2-3", [0, 2, 3]), ("2-3,6-7", [2, 3, 6, 7]), ("3-1", []), ("a", []), ("1-", []),
    ("-1", []),
    ("1,,2", []),
])
def test_the_kernel_s_notation(text: str, found: list[int]) -> None:
    assert numbers(text) == found


def test_an_isolated_one_is_preferred_where_it_may_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.sched_getaffinity(0)
    usable = min(before)
    isolated = tmp_path / "isolated"
    monkeypatch.setattr(processors, "ISOLATED", isolated)
    assert control_processor(-1, [0, 1]) == 1           # no such file
    isolated.write_text("\n")
    assert control_processor(-1, [0, 1]) == 1
    assert control_processor(-1, [0]) == -1
    isolated.write_text(f"{usable}\n")
    assert control_processor(-1, [usable + 1, usable + 2]) == usable
    assert control_processor(7, [0, 1]) == 7
    isolated.write_text("1000\n")                       # in a container that was not given it
    assert control_processor(-1, [0, 1]) == 1
    assert os.sched_getaffinity(0) == before            # only tried
