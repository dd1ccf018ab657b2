"""The command line itself: help, mistakes, defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from a2a_sup.app.program import main


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["check", "--help"]])
def test_help_is_there_and_has_an_example_for_each_command(words: list[str]) -> None:
    found = CliRunner().invoke(main, words)
    assert found.exit_code == 0
    assert "Usage: " in found.output
    assert len(words) == 1 or "Example: a2a-sup" in found.output


def test_an_unknown_command_names_the_nearest() -> None:
    found = CliRunner().invoke(main, ["chek", "x"])
    assert found.exit_code == 2
    assert "check" in found.output


def test_a_file_that_is_not_there_is_one_line() -> None:
    found = CliRunner().invoke(main, ["check", "no/such.toml"])
    assert found.exit_code == 2
    assert found.output == "no/such.toml: cannot be read: No such file or directory\n"


def test_children_that_are_not_run_are_named(tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    file.write_text("[children.a]\ncommand = ['x']\n[children.b]\ncommand = ['y']\nenabled = false")
    found = CliRunner().invoke(main, ["check", str(file)])
    assert found.exit_code == 0
    assert f"{file}: b: not run: disabled\n" in found.output
    assert "1 to run" in found.output
