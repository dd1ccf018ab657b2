"""The token: from the environment, else from a file that not everybody may read."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from a2a_sup.app.program import main
from a2a_sup.app.token import BadToken, read_token


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("from-the-file\n")
    path.chmod(0o640)
    return path


def test_the_environment_comes_before_the_file(file: Path) -> None:
    assert read_token({"A2A_SUP_TOKEN": "given"}, str(file)) == "given"
    assert read_token({"A2A_SUP_TOKEN": ""}, str(file)) == "from-the-file"
    assert read_token({}, str(file)) == "from-the-file"
    assert read_token({}, None) is None


@pytest.mark.parametrize("text", ["", "\n", "two words", "s\u00e4cret", "a\nb"])
def test_what_is_no_token_is_refused_and_not_shown(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(BadToken, match=f"^{re.escape(str(file))}: no token there; allowed: "):
        read_token({}, str(file))
    if text:
        with pytest.raises(BadToken, match=r"^A2A_SUP_TOKEN: no token there; allowed: "):
            read_token({"A2A_SUP_TOKEN": text}, None)


def test_a_token_that_everybody_may_read_is_refused(file: Path) -> None:
    file.chmod(0o644)
    with pytest.raises(BadToken, match="everybody may read the token"):
        read_token({}, str(file))


def test_what_is_no_regular_file_holds_no_token_and_nobody_up(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for place in (pipe, tmp_path):
        with pytest.raises(BadToken, match=r"^.*: the token cannot be read: "):
            read_token({}, str(place))


def test_a_token_file_that_is_missing_ends_the_program_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    file.write_text("serve = { token_file = 'no-such' }\n[children.a]\ncommand = ['true']\n")
    found = CliRunner().invoke(main, ["run", str(file)], env={"A2A_SUP_TOKEN": ""})
    assert found.exit_code == 2
    expected = f"{tmp_path}/no-such: the token cannot be read: No such file or directory\n"
    assert found.output == expected
