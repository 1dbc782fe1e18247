"""Requirement -> tests -> result. With `--traceability FILE` a run of the whole suite writes the table to FILE, and
fails when a requirement has no test, no test that ran, or one that did not pass (a skipped one proves nothing)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from controller.spec.docs import markdown
from controller.spec.requirements import REQUIREMENTS, TESTS, by_requirement

Outcomes = dict[tuple[str, str], Counter[str]]


class Traceability:
    """Pytest plugin: outcomes by (file, function), judged at the end."""

    def __init__(self, path: Path, folder: Path = TESTS) -> None:
        self._path, self._folder = path, folder
        self.outcomes: Outcomes = {}
        self.problems: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome == "rerun":  # only its last run counts
            return
        if report.when == "call" or report.outcome != "passed":
            file, _, function = report.location[0].partition("tests/")[2], None, report.location[2]
            key = (file, function.split("[")[0].rsplit(".", 1)[-1])
            self.outcomes.setdefault(key, Counter())[report.outcome] += 1

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        text, self.problems = judge(self.outcomes, self._folder)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(text)
        if self.problems and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        proven = len(REQUIREMENTS) - len({problem.split(":")[0] for problem in self.problems})
        terminalreporter.write_line(f"traceability: {proven} of {len(REQUIREMENTS)} requirements proven, {self._path}")
        for problem in self.problems:
            terminalreporter.write_line(f"traceability: {problem}", red=True)


def judge(outcomes: Outcomes, folder: Path) -> tuple[str, list[str]]:
    """(the table as Markdown, what is wrong)."""
    rows, problems = [], []
    for requirement, found in by_requirement(folder).items():
        good = 0
        for path, function in found:
            counts = outcomes.get((path, function), Counter())
            result = ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items())) or "did not run"
            rows.append((requirement, f"`{path}` {function}", result))
            if set(counts) == {"passed"}:
                good += 1
            else:
                problems.append(f"{requirement}: {path}::{function}: {result}")
        if not found:
            rows.append((requirement, "**nothing**", "not proven"))
        if not good:
            problems.append(f"{requirement}: no test that passed")
    return "# Requirement, tests, result\n\n" + markdown(("id", "test", "result"), rows), problems
