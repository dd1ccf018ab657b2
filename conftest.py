"""Rules for every test: documentation is run, and in CI nothing is skipped."""

from __future__ import annotations

import os

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

# The Python blocks of a page run in order and share their names. What is async in them is a
# whole program that calls `trio.run`.
pytest_collect_file = Sybil(
    name="docs",
    parsers=[PythonCodeBlockParser()],
    patterns=["README.md", "docs/*.md"],
).pytest()


class NoSkips:
    """Makes a run with skipped tests a failed one, and names them."""

    def __init__(self) -> None:
        """Begin with none."""
        self.skipped: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a whole module that was skipped."""
        if report.skipped:
            self.skipped.append(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a skipped test; one that failed as expected counts as skipped, but ran."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped.append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn success into failure."""
        if self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which tests they were."""
        if self.skipped:
            terminalreporter.section("skipped tests fail this run (CI is set)", red=True)
            for nodeid in self.skipped:
                terminalreporter.line(nodeid)


def pytest_configure(config: pytest.Config) -> None:
    """Apply CI's rule where the environment says so."""
    if os.environ.get("CI"):
        config.pluginmanager.register(NoSkips())
