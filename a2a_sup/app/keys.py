"""The keys of the TOML format and what each may hold: its whole grammar."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_args

from a2a_sup.app.replicas import COPIES_LIMIT
from a2a_sup.app.schedules import expression, not_for_mcp, timezone
from a2a_sup.app.settings import ProbeConfig
from a2a_sup.app.values import (
    Fields,
    Reader,
    Refused,
    Value,
    duration,
    expanded,
    flag,
    list_of,
    number,
    one_or_list_of,
    path,
    positive_duration,
    positive_size,
    printable,
    secret,
    size,
    table,
    table_of,
    text,
    whole,
    word,
)
from a2a_sup.children.command import LIMIT_NAMES, Inherited, signal_of
from a2a_sup.children.log_files import OutputFormat
from a2a_sup.children.mcp_child import Handshake
from a2a_sup.errors import SpecError
from a2a_sup.model.agents import Agent, agent_of
from a2a_sup.model.needs import Need
from a2a_sup.model.restarts import Backoff, RestartType, WhenExhausted
from a2a_sup.model.spec import StopOrder
from a2a_sup.model.strategy import AutoShutdown, Strategy
from a2a_sup.serve.health import ReadyPolicy
from a2a_sup.serve.listen import Address, parse_address
from a2a_sup.serve.origins import origins_of

DELAY_LIMIT = 1_000
"""Delays that a backoff may have."""
UNLIMITED = "unlimited"
_SOCKET_URL = re.compile(r"wss?://[A-Za-z0-9.\-\[\]:]+(?:/[A-Za-z0-9._~/-]*)?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.()-]*")


# --- commands and environments -------------------------------------------------------------------


def command(value: Value) -> tuple[str, ...]:
    """Read a command: a list of texts, or one text that is split as a shell would, unrun."""
    if isinstance(value.raw, str):
        words = [Value(each, value.source, value.key) for each in _split(value)]
    elif isinstance(value.raw, list):
        words = list(value.items())
    else:
        raise value.refused("a list of texts, or one text")
    if not words:
        raise value.refused("a program and its arguments")
    argv = list_of(expanded)(Value([each.raw for each in words], value.source, value.key))
    if not argv[0]:
        raise words[0].refused("the name of a program")
    return argv


def words_of(command: str | list[str]) -> tuple[str, ...]:
    """Return the words of a command that ``command`` has read, variables not replaced."""
    return tuple(shlex.split(command) if isinstance(command, str) else command)


def _split(value: Value) -> list[str]:
    try:
        return shlex.split(text(value))
    except ValueError as error:
        reason = str(error).lower()
        raise value.refused(f"a command with closed quotes ({reason})") from None


def environment(value: Value) -> dict[str, str]:
    """Read a table of environment variables."""
    variables = table(value)
    fields: dict[str, str] = {}
    for name, entry in variables.entries():
        if not _NAME.fullmatch(name):
            entry.note("not a name of a variable; allowed: letters, digits, _ . - ( )")
            continue
        try:
            fields[name] = secret(entry)
        except Refused:
            continue
    return fields


def inherit_env(value: Value) -> Inherited:
    """Read true, false, or a list of names."""
    if isinstance(value.raw, list):
        return list_of(text)(value)
    if not isinstance(value.raw, bool):
        raise value.refused("true, false, or a list of names of variables")
    return "all" if value.raw else ()


# --- restarts ------------------------------------------------------------------------------------


def restart(value: Value) -> Fields:
    """Read a restart policy: a word, which is its type, or a table."""
    if isinstance(value.raw, str):
        return {"type": word(RestartType)(value)}
    if not isinstance(value.raw, dict):
        raise value.refused(f"{', '.join(RestartType)}, or a table")
    return _RESTART(value)


def backoff(value: Value) -> Backoff:
    """Read delays: a list of durations, or a table of delays or of their growth, and jitter."""
    if isinstance(value.raw, list):
        return Backoff(_delays(value))
    if not isinstance(value.raw, dict):
        raise value.refused("a list of durations, or a table")
    if "delays" in value.raw:
        return Backoff(**_LISTED_BACKOFF(value))
    return _exponential(value)


def _delays(value: Value) -> tuple[float, ...]:
    delays = list_of(duration)(value)
    if len(delays) > DELAY_LIMIT:
        raise value.refused(f"at most {DELAY_LIMIT} durations")
    return delays


def _exponential(value: Value) -> Backoff:
    fields = {"first": 1.0, "factor": 2.0, "cap": 60.0, **_GROWING_BACKOFF(value)}
    growth = fields["cap"] / fields["first"]
    if growth > 1 and math.log(growth) > DELAY_LIMIT * math.log(fields["factor"]):
        value.note(f"more than {DELAY_LIMIT} delays from first to cap; allowed: a larger factor")
        raise Refused
    try:
        return Backoff.exponential(**fields)
    except SpecError:
        value.note("first is above cap; allowed: first <= cap")
        raise Refused from None


def intensity(value: Value) -> int | None:
    """Read how many restarts are allowed; ``unlimited`` is None."""
    if value.raw == UNLIMITED:
        return None
    if isinstance(value.raw, bool) or not isinstance(value.raw, int) or value.raw < 0:
        raise value.refused(f"a whole number >= 0, or '{UNLIMITED}'")
    return whole(0)(value)


_LISTED_BACKOFF = table_of({"delays": _delays, "jitter": number(0, 1)})
_GROWING_BACKOFF = table_of(
    {
        "first": positive_duration,
        "factor": number(1.01),
        "cap": positive_duration,
        "jitter": number(0, 1),
    }
)
_RESTART = table_of(
    {
        "type": word(RestartType),
        "backoff": backoff,
        "intensity": intensity,
        "period": positive_duration,
        "when_exhausted": word(get_args(WhenExhausted)),
        "min_uptime": duration,
    }
)


# --- the operating system ------------------------------------------------------------------------


def user(value: Value) -> str | int:
    """Read the name or number of a user or group."""
    if isinstance(value.raw, str) and value.raw:
        return text(value)
    if isinstance(value.raw, int):
        return whole(0, 2**32 - 2)(value)
    raise value.refused("a name or a number")


def umask(value: Value) -> int:
    """Read a mask in octal digits."""
    digits = value.raw if isinstance(value.raw, str) else ""
    if not digits or len(digits) > 4 or set(digits) - set("01234567") or int(digits, 8) > 0o777:
        raise value.refused("octal digits in quotes, such as '022'")
    return int(digits, 8)


def stop_signal(value: Value) -> str:
    """Read a signal: its name, with or without SIG, or its number."""
    try:
        return signal_of(value.raw).name
    except ValueError:
        raise value.refused("a signal such as 'SIGTERM', 'INT', 15") from None


def exit_codes(value: Value) -> tuple[int, ...]:
    """Read a list of exit codes."""
    return tuple(sorted(set(list_of(whole(0, 255))(value))))


def _limit(read: Reader[float]) -> Callable[[Value], int | None]:
    def read_limit(value: Value) -> int | None:
        return None if value.raw == UNLIMITED else int(read(value))

    return read_limit


_LIMITS: dict[str, Reader[Any]] = {
    name: _limit({"nofile": whole(0), "cpu": duration}.get(name, size)) for name in LIMIT_NAMES
}


# --- tables --------------------------------------------------------------------------------------

_LOGS = table_of(
    {
        "max_size": positive_size,
        "keep": whole(0),
        "max_age": positive_duration,
        "gzip": flag,
        "format": word(get_args(OutputFormat)),
        "forward": flag,
        "events": flag,
    }
)
_TAGS = list_of(printable)


def after(value: Value) -> dict[str, Need]:
    """Read a table of siblings and what is needed of each. What is wrong is noted and left out."""
    needs: dict[str, Need] = {}
    for name, entry in table(value).entries():
        with suppress(Refused):
            needs[name] = Need(word(Need)(entry))
    return needs


def watch(value: Value) -> tuple[str, ...]:
    """Read patterns of files; one text stands for a list of it."""
    return one_or_list_of(_pattern)(value)


def _pattern(value: Value) -> str:
    pattern = expanded(value)
    if not pattern or pattern.endswith("/"):
        raise value.refused("a file or a pattern of files, such as 'src/**/*.py'")
    return pattern


def _probes(value: Value) -> tuple[ProbeConfig, ...]:
    # What can be asked of a child takes a while to import.
    from a2a_sup.app.probe_keys import probes_of  # noqa: PLC0415

    return probes_of(command)(value)


INHERITABLE_KEYS: dict[str, Reader[Any]] = {
    "restart": restart,
    "cwd": path,
    "env": environment,
    "inherit_env": inherit_env,
    "env_file": path,
    "user": user,
    "group": user,
    "umask": umask,
    "nice": whole(-20, 19),
    "limits": table_of(_LIMITS),
    "stop_signal": stop_signal,
    "stop_timeout": duration,
    "success_exit_codes": exit_codes,
    "start_timeout": positive_duration,
    "memory_limit": positive_size,
    "timezone": timezone,
    "watch": watch,
    "tags": _TAGS,
    "logs": _LOGS,
    "probes": _probes,
}
"""The keys of a process that ``[defaults]`` may hold."""

SWITCHES: dict[str, Reader[Any]] = {"enabled": flag, "disabled": flag}
"""The keys of every child that say whether it is run. They are read before all others."""

PROCESS_KEYS: dict[str, Reader[Any]] = {
    "command": command,
    "significant": flag,
    "after": after,
    "replicas": whole(0, COPIES_LIMIT),
    "essential": flag,
    "wait_ready": flag,
    "notify": flag,
    "every": positive_duration,
    "cron": expression,
    "oneshot": flag,
    **INHERITABLE_KEYS,
}
MCP_KEYS: dict[str, Reader[Any]] = {
    "mcp": command,
    **{key: read for key, read in PROCESS_KEYS.items() if key not in ("command", "notify")},
    **dict.fromkeys(("every", "cron", "oneshot"), not_for_mcp),
    "handshake": word(get_args(Handshake)),
    "handshake_timeout": positive_duration,
}

STRATEGY_KEYS: dict[str, Reader[Any]] = {
    "strategy": word(each for each in Strategy if each is not Strategy.SIMPLE_ONE_FOR_ONE),
    "intensity": intensity,
    "period": positive_duration,
    "auto_shutdown": word(AutoShutdown),
    "stop_order": word(get_args(StopOrder)),
}
"""How a supervisor behaves."""

ROOT_KEYS: dict[str, Reader[Any]] = {"name": text, **STRATEGY_KEYS}
"""The keys of ``[supervisor]``."""

SUPERVISOR_KEYS: dict[str, Reader[Any]] = {
    **STRATEGY_KEYS,
    "restart": restart,
    "significant": flag,
    "after": after,
    "start_timeout": positive_duration,
    "tags": _TAGS,
}
"""The keys of a nested supervisor, besides those of :data:`FAMILY_KEYS`."""

# --- what is shown to the outside ----------------------------------------------------------------


def address(value: Value) -> Address | None:
    """Read ``HOST:PORT``, or ``off``."""
    try:
        return parse_address(text(value))
    except ValueError as error:
        raise value.refused(str(error)) from None


def socket_url(value: Value) -> str:
    """Read the URL of a WebSocket."""
    if not _SOCKET_URL.fullmatch(text(value)):
        raise value.refused("a URL such as 'wss://a2a.example.com/dashboard'")
    return text(value)


def origin(value: Value) -> str:
    """Read the name of a host, or an origin."""
    found = text(value)
    try:
        origins_of([found])
    except ValueError as error:
        raise value.refused(str(error)) from None
    return found


def ready(value: Value) -> ReadyPolicy:
    """Read ``all``, ``any``, or a list of paths of children."""
    if isinstance(value.raw, list) and value.raw:
        return list_of(text)(value)
    if value.raw == "all":
        return "all"
    if value.raw == "any":
        return "any"
    raise value.refused("all, any, or a list of paths of children")


SERVE = table_of(
    {
        "http": address,
        "dashboard": address,
        "dashboard_url": socket_url,
        "dashboard_token": flag,
        "max_clients": whole(1, 100_000),
        "ready": ready,
        "origins": list_of(origin),
        "token_file": path,
    }
)
"""The table ``[serve]``."""


def agent(name: str, value: Value) -> Agent:
    """Read one table of ``[agents]``; its name is the agent's ``id``."""
    table(value)
    if "id" in value.raw:
        raise value.entry("id").refused("no id: the name of the table is the agent's")
    given = {"name": name, "version": "1.0.0", "capabilities": [], **value.raw, "id": name}
    try:
        return agent_of(given)
    except SpecError as error:
        for problem in error.problems:
            value.note(problem)
        raise Refused from None


FAMILY_KEYS = ("defaults", "include", "children")
"""The keys of a supervisor that hold its children."""

INCLUDES = list_of(path)
DEFAULTS = table_of(INHERITABLE_KEYS)
