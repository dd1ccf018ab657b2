"""How to run a program: a frozen, validated description."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias, get_args

import attrs

from a2a_sup.errors import SpecError

StrPath: TypeAlias = str | os.PathLike[str]
LimitName: TypeAlias = Literal["nofile", "core", "as", "cpu"]
LIMIT_NAMES: tuple[str, ...] = get_args(LimitName)
Inherited: TypeAlias = Literal["all"] | tuple[str, ...]
"""Which of the supervisor's environment variables a process gets: all, or only these names."""


def signal_of(given: object) -> signal.Signals:
    """Return the signal meant by a number, or a name with or without ``SIG`` in any case.

    Raises:
        ValueError: there is no such signal.
    """
    if isinstance(given, str):
        name = given.upper()
        for found in signal.Signals:
            if name in (found.name, found.name.removeprefix("SIG")):
                return found
    elif isinstance(given, int) and not isinstance(given, bool):
        return signal.Signals(given)
    raise ValueError(f"no such signal: {given!r}")


def _signal_or_given(given: Any) -> Any:
    try:
        return signal_of(given)
    except ValueError:
        return given


def _path(given: StrPath | None) -> str | None:
    return None if given is None else os.fspath(given)


def _words(given: Any) -> Any:
    """Leave a lone text as it is, for validation to refuse: its letters are no arguments."""
    return given if isinstance(given, str | bytes) else tuple(given)


def _statuses(given: Iterable[int]) -> frozenset[int]:
    return frozenset(given)


@attrs.frozen
class Command:
    """How to run a program.

    Attributes:
        argv: the program, by path or looked up in the PATH it will get, and its arguments.
        cwd: its working directory; None: the supervisor's.
        env: variables added to what it inherits.
        inherit_env: ``"all"``, or the names of the supervisor's variables that it may inherit.
        env_file: a file of ``NAME=value`` lines, read at each start; ``env`` wins over it.
        user: a name or number to run as. Changing it is for root. HOME and USER are not changed.
        group: a name or number; None: the user's own.
        umask: 0 to 0o777; None: the supervisor's.
        limits: of ``nofile`` (files), ``core`` (bytes), ``as`` (bytes), ``cpu`` (seconds), soft
            and hard at once; None: unlimited.
        nice: -20 (favoured) to 19; below 0 is for root.
        stop_signal: what asks it to stop, sent to its whole process group.
        stop_timeout: seconds from that signal to SIGKILL.
        success: the exit statuses that count as a normal end.
    """

    argv: tuple[str, ...] = attrs.field(converter=_words)
    cwd: str | None = attrs.field(default=None, converter=_path)
    env: Mapping[str, str] = attrs.field(factory=dict)
    inherit_env: Inherited = "all"
    env_file: str | None = attrs.field(default=None, converter=_path)
    user: str | int | None = None
    group: str | int | None = None
    umask: int | None = None
    limits: Mapping[str, int | None] = attrs.field(factory=dict)
    nice: int | None = None
    stop_signal: signal.Signals = attrs.field(default=signal.SIGTERM, converter=_signal_or_given)
    stop_timeout: float = 5.0
    success: frozenset[int] = attrs.field(default=frozenset({0}), converter=_statuses)

    def __attrs_post_init__(self) -> None:
        """Raise SpecError with every mistake."""
        problems = [*_problems(self)]
        if problems:
            raise SpecError(problems)


def _problems(command: Command) -> Iterator[str]:
    yield from _argv_problems(command.argv)
    for key, path in (("cwd", command.cwd), ("env_file", command.env_file)):
        if path is not None and not _is_text(path):
            yield f"{key} is a path, not {path!r}"
    yield from _environment_problems(command)
    yield from _identity_problems(command)
    yield from _limit_problems(command.limits)
    if not isinstance(command.stop_signal, signal.Signals):
        yield f"stop_signal is a signal such as 'TERM', not {command.stop_signal!r}"
    if not _is_number(command.stop_timeout) or not 0 <= command.stop_timeout < math.inf:
        yield f"stop_timeout is seconds >= 0, not {command.stop_timeout!r}"
    for status in command.success:
        if not _is_int_in(status, 0, 255):
            yield f"success has exit statuses from 0 to 255, not {status!r}"


def _argv_problems(argv: object) -> Iterator[str]:
    if not isinstance(argv, tuple):
        yield f"command is a list of texts, not {argv!r}"
        return
    if not argv or not argv[0]:
        yield "command is a program and its arguments, not empty"
    for word in argv:
        if not isinstance(word, str) or "\0" in word:
            yield f"command has texts without NUL, not {word!r}"


def _environment_problems(command: Command) -> Iterator[str]:
    for name, value in command.env.items():
        if not _is_text(name) or "=" in name:
            yield f"env has names without '=', not {name!r}"
        # The value may be a secret, so it is not shown.
        elif not isinstance(value, str) or "\0" in value:
            yield f"env {name}: the value is a text without NUL"
    names = command.inherit_env
    if names != "all" and (isinstance(names, str) or not all(map(_is_text, names))):
        yield f"inherit_env is 'all' or a tuple of names, not {names!r}"


def _identity_problems(command: Command) -> Iterator[str]:
    for key, who in (("user", command.user), ("group", command.group)):
        if who is not None and not _is_text(who) and not _is_int_in(who, 0, 2**32 - 2):
            yield f"{key} is a name or a number >= 0, not {who!r}"
    if command.umask is not None and not _is_int_in(command.umask, 0, 0o777):
        yield f"umask is a number from 0 to 0o777, not {command.umask!r}"
    if command.nice is not None and not _is_int_in(command.nice, -20, 19):
        yield f"nice is a number from -20 to 19, not {command.nice!r}"


def _limit_problems(limits: Mapping[str, int | None]) -> Iterator[str]:
    for name, value in limits.items():
        if name not in LIMIT_NAMES:
            yield f"limits has {', '.join(LIMIT_NAMES)}, not {name!r}"
        elif value is not None and not _is_int_in(value, 0, 2**63 - 1):
            yield f"limits {name} is a number >= 0 or None, not {value!r}"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and "\0" not in value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_int_in(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
