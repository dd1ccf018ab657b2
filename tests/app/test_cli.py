"""The command line itself: help, mistakes, defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from a2a_sup.app.program import COMMANDS, main


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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chek"], "no command is called 'chek'; did you mean 'check'?; see a2a-sup --help"),
        (["scale", "web", "x"], "Invalid value for 'NUMBER': "),
        (["stop"], "Missing argument 'CHILD...'; see a2a-sup stop --help"),
        (["logs", "--folow", "x"], "No such option '--folow'"),
    ],
)
def test_a_mistake_in_the_command_line_is_one_line(words: list[str], said: str) -> None:
    found = CliRunner().invoke(main, words, prog_name="a2a-sup")
    assert found.exit_code == 2
    assert found.output.startswith(f"a2a-sup: {said}")
    assert found.output.count("\n") == 1


def test_without_a_word_there_is_help() -> None:
    found = CliRunner().invoke(main, [])
    assert found.exit_code == 2
    assert found.output.startswith("Usage: ")


def test_every_command_has_a_line_in_the_help_and_says_more_by_itself() -> None:
    whole = CliRunner().invoke(main, ["--help"]).output
    for name, (_, line) in COMMANDS.items():
        assert f"{name} " in whole
        assert line in " ".join(whole.split())
        own = CliRunner().invoke(main, [name, "--help"])
        assert own.exit_code == 0
        assert "Example: a2a-sup" in own.output
