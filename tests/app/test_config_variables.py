"""Variables in the texts of configuration files."""

from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup.app.environment import with_own_scripts, without_own_secrets
from a2a_sup.app.variables import VariableError, Variables

VARIABLES = Variables(
    {
        "TOKEN": "t0p",
        "EMPTY": "",
        "HOME": "/home/of",
        "A2A_SUP_INPUT_API_KEY": "from env",
    },
    folder="/project",
    cwd="/here",
    inputs={"region": "north", "api-key": "offered"},
)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("plain", "plain"),
        ("${TOKEN}", "t0p"),
        ("a ${TOKEN} b ${env:TOKEN}", "a t0p b t0p"),
        ("${EMPTY}", ""),
        ("${EMPTY:-d}", "d"),
        ("${NONE:-}", ""),
        ("${NONE:-a b:-c}", "a b:-c"),
        ("${env:NONE:-d}", "d"),
        ("${input:api-key}", "from env"),
        ("${input:region}", "north"),
        ("${workspaceFolder}${/}x", "/project/x"),
        ("${userHome}", "/home/of"),
        ("${cwd}", "/here"),
        ("$${TOKEN}", "${TOKEN}"),
        ("$HOME $$ $1 $", "$HOME $$ $1 $"),
    ],
)
def test_forms(written: str, meant: str) -> None:
    assert VARIABLES.expand(written) == meant


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("${NONE}", "the variable NONE is not set"),
        ("${env:NONE}", "the variable NONE is not set"),
        ("${input:secret}", "set the variable A2A_SUP_INPUT_SECRET"),
        ("${cmd: rm -r /}", "would run a command, which is not offered"),
        ("${x%%.*}", "is not a variable"),
        ("${}", "is not a variable"),
        ("${TOKEN", "has no closing brace"),
        ("${NONE:-${TOKEN}}", "has no closing brace"),
    ],
)
def test_what_has_no_value(written: str, reason: str) -> None:
    with pytest.raises(VariableError, match=reason.replace("$", r"\$")):
        VARIABLES.expand(written)


def test_every_reason_is_told() -> None:
    with pytest.raises(VariableError) as caught:
        VARIABLES.expand("${A} ${B} ${TOKEN}")
    assert len(caught.value.reasons) == 2


def test_a_value_is_not_replaced_again() -> None:
    variables = Variables({"A": "${B}"}, folder="/", cwd="/")
    assert variables.expand("${A}") == "${B}"


@given(st.text())
def test_a_text_without_braces_means_itself(text: str) -> None:
    written = text.replace("{", "(")
    assert VARIABLES.expand(written) == written


@given(st.text(alphabet="${}:-ab/ "))
def test_any_text_has_a_meaning_or_is_refused(text: str) -> None:
    with contextlib.suppress(VariableError):
        assert "t0p" not in VARIABLES.expand(text)


def test_own_commands_are_found_last() -> None:
    path = with_own_scripts({"PATH": "/first", "A": "1"})["PATH"].split(os.pathsep)
    assert path[0] == "/first"
    assert len(path) == 2
    assert with_own_scripts({"PATH": os.pathsep.join(path)})["PATH"].split(os.pathsep) == path


def test_own_secrets_are_not_handed_on() -> None:
    environ = {"A2A_SUP_TOKEN": "s", "A2A_SUP_INPUT_KEY": "s", "A2A_SUP_CONTROL": "c", "PATH": "p"}
    assert without_own_secrets(environ) == {"A2A_SUP_CONTROL": "c", "PATH": "p"}
