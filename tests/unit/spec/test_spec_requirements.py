"""The traceability table: names, gaps, and that a run without a proof fails."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from controller.spec import requirements
from tests.traceability import judge

pytest_plugins = ["pytester"]


def test_names_of_tests_name_requirements() -> None:
    assert requirements.named("test_ess_1_ess_2_an_axis") == ["ESS-1", "ESS-2"]
    assert requirements.named("test_saf_10_hang") == ["SAF-10"]
    assert requirements.named("test_nosaf_1_press_2") == []


def test_every_requirement_has_a_test_and_every_name_a_requirement() -> None:
    assert [name for name, tests in requirements.by_requirement().items() if not tests] == []


def test_a_name_without_a_requirement_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text("def test_saf_99_x(): pass\n")
    with pytest.raises(ValueError, match=r"test_x\.py: test_saf_99_x names SAF-99"):
        requirements.by_requirement(tmp_path)


def _folder(tmp_path: Path) -> Path:
    (tmp_path / "test_all.py").write_text("".join(
        f"def test_{row.id.lower().replace('-', '_')}_it(): pass\n" for row in requirements.REQUIREMENTS))
    return tmp_path


@pytest.mark.parametrize(("outcome", "said"), [
    (Counter(failed=1), "1 failed"), (Counter(skipped=1), "1 skipped"), (Counter(), "did not run"),
    (Counter(passed=2, skipped=1), "2 passed, 1 skipped"),
])
def test_only_what_passed_is_a_proof(tmp_path: Path, outcome: Counter[str], said: str) -> None:
    folder = _folder(tmp_path)
    outcomes = {(path, function): Counter(passed=1) for path, function in requirements.naming_tests(folder)}
    text, problems = judge(outcomes, folder)
    assert problems == []
    assert text.count("1 passed") == len(requirements.REQUIREMENTS)
    outcomes["test_all.py", "test_esm_4_it"] = outcome
    text, problems = judge(outcomes, folder)
    assert problems[0] == f"ESM-4: test_all.py::test_esm_4_it: {said}"
    assert problems[-1] == "ESM-4: no test that passed"
    assert said in text


def test_a_whole_run_without_a_proof_fails(pytester: pytest.Pytester) -> None:
    """The real plugin in a run of its own: all its tests pass, and still it fails."""
    pytester.makeconftest("from tests.conftest import pytest_addoption, pytest_configure\n")
    pytester.makepyfile(test_one="def test_saf_2_stop(): pass\n")
    result = pytester.runpytest_subprocess("--traceability", "out/table.md", "-p", "no:cacheprovider")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    proven = f"*traceability: 0 of {len(requirements.REQUIREMENTS)} requirements proven*"
    result.stdout.fnmatch_lines([proven, "*ESM-1: no test that passed"])
    assert "did not run" in (pytester.path / "out" / "table.md").read_text()
