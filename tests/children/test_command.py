"""What a command may say, and that every mistake is named."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from a2a_sup.children.command import Command, signal_of
from a2a_sup.children.process import LogFiles, process
from a2a_sup.errors import SpecError


def test_the_defaults_are_the_least_surprising() -> None:
    command = Command(["server", "--port", "80"])
    assert command.argv == ("server", "--port", "80")
    assert command.inherit_env == "all"
    assert command.stop_signal is signal.SIGTERM
    assert command.stop_timeout == 5.0
    assert command.success == {0}


@pytest.mark.parametrize("given", ["INT", "int", "SIGINT", "sigint", 2, signal.SIGINT])
def test_a_signal_is_meant_by_name_or_number(given: Any) -> None:
    assert signal_of(given) is signal.SIGINT
    assert Command(["x"], stop_signal=given).stop_signal is signal.SIGINT


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"argv": []}, "command is a program and its arguments, not empty"),
        ({"argv": [""]}, "command is a program and its arguments, not empty"),
        ({"argv": "server --port 80"}, "command is a list of texts, not 'server --port 80'"),
        ({"argv": ["a", 8080]}, "command has texts without NUL, not 8080"),
        ({"argv": ["a\0b"]}, "command has texts without NUL, not 'a\\x00b'"),
        ({"cwd": ""}, "cwd is a path, not ''"),
        ({"env_file": "a\0"}, "env_file is a path, not 'a\\x00'"),
        ({"env": {"A=B": "c"}}, "env has names without '=', not 'A=B'"),
        ({"env": {"A": 1}}, "env A: the value is a text without NUL"),
        ({"inherit_env": "PATH"}, "inherit_env is 'all' or a tuple of names, not 'PATH'"),
        ({"user": -1}, "user is a name or a number >= 0, not -1"),
        ({"group": ""}, "group is a name or a number >= 0, not ''"),
        ({"umask": 0o1000}, "umask is a number from 0 to 0o777, not 512"),
        ({"nice": 20}, "nice is a number from -20 to 19, not 20"),
        ({"limits": {"files": 1}}, "limits has nofile, core, as, cpu, not 'files'"),
        ({"limits": {"cpu": -1}}, "limits cpu is a number >= 0 or None, not -1"),
        ({"limits": {"cpu": True}}, "limits cpu is a number >= 0 or None, not True"),
        ({"stop_signal": "TREM"}, "stop_signal is a signal such as 'TERM', not 'TREM'"),
        ({"stop_signal": 0}, "stop_signal is a signal such as 'TERM', not 0"),
        ({"stop_timeout": float("inf")}, "stop_timeout is seconds >= 0, not inf"),
        ({"success": [0, 256]}, "success has exit statuses from 0 to 255, not 256"),
    ],
)
def test_a_mistake_is_named(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        Command(**{"argv": ["x"], **options})
    assert caught.value.problems == (problem,)


def test_all_mistakes_are_named_at_once_with_the_child() -> None:
    with pytest.raises(SpecError) as caught:
        process("web", [], umask=-1, nice=99)
    assert len(caught.value.problems) == 3
    assert all(problem.startswith("child 'web': ") for problem in caught.value.problems)


def test_a_secret_in_the_environment_is_in_no_message_and_no_snapshot() -> None:
    with pytest.raises(SpecError) as caught:
        process("web", ["x"], env={"TOKEN": "hun\0ter2"})
    assert "ter2" not in str(caught.value)
    assert "hunter2" not in repr(process("web", ["x"], env={"TOKEN": "hunter2"}).info)


def test_the_specification_of_a_process_child() -> None:
    spec = process(
        "web",
        ["server"],
        cwd=Path("/srv"),
        stop_timeout=7,
        restart="transient",
        tags=["a"],
        logs=LogFiles(Path("/logs")),
    )
    assert spec.kind == "process"
    assert spec.info == {"command": ["server"], "cwd": "/srv"}
    assert isinstance(spec.shutdown, float)
    assert spec.shutdown > 7
    assert spec.restart.type == "transient"
    assert spec.tags == ("a",)
