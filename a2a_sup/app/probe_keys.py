"""The grammar of ``probes``: what is asked of a child, as a file says it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import attrs

from a2a_sup.app.problems import shown
from a2a_sup.app.replicas import INDEX, of_copy
from a2a_sup.app.settings import ProbeConfig, ProbeKind, ProcessConfig
from a2a_sup.app.values import (
    Fields,
    Reader,
    Refused,
    Value,
    duration,
    every,
    expanded,
    number,
    path,
    positive_duration,
    printable,
    read_keys,
    secret,
    table,
    text,
    unknown_keys,
    whole,
    word,
)
from a2a_sup.checks.fetching import header_problems, is_method
from a2a_sup.checks.http import STATUS_ALLOWED, ranges_of
from a2a_sup.checks.probes import shortened
from a2a_sup.checks.urls import ADDRESS_ALLOWED, URL_ALLOWED, address_of, shown_url, url_of
from a2a_sup.model.health import Purpose


def probes_of(command: Reader[tuple[str, ...]]) -> Reader[tuple[ProbeConfig, ...]]:
    """Return the reader of a list of probes; ``command`` reads commands."""
    targets: dict[ProbeKind, Reader[Any]] = {
        "http": _url,
        "tcp": _address,
        "command": command,
        "heartbeat": positive_duration,
        "mcp": _true,
        "a2a": _url,
    }

    def read_one(value: Value) -> ProbeConfig:
        return _probe(value, targets)

    def read(value: Value) -> tuple[ProbeConfig, ...]:
        if not isinstance(value.raw, list):
            raise value.refused("a list of tables")
        probes = every(read_one, value.items())
        names = set[str]()
        for item, probe in zip(value.items(), probes, strict=True):
            if probe.name in names:
                item.note(f"two probes are called {shown(probe.name)}; allowed: a name of its own")
            names.add(probe.name)
        return tuple(probes)

    return read


def _probe(value: Value, targets: Mapping[ProbeKind, Reader[Any]]) -> ProbeConfig:
    table(value)
    kinds = [kind for kind in targets if kind in value.raw]
    if len(kinds) != 1:
        known: dict[str, Reader[Any]] = {**_NAMING, **_OPTIONS["http"], **_TIMING}
        known.update({str(kind): read for kind, read in targets.items()})
        value.note(
            f"found {' and '.join(kinds) or 'none of them'}; allowed: one of {', '.join(targets)}"
        )
        unknown_keys(value, known)
        read_keys(value, known)
        raise Refused
    (kind,) = kinds
    options = _OPTIONS.get(kind, {})
    unknown_keys(value, (*_NAMING, kind, *options, *_TIMING))
    naming = read_keys(value, _NAMING)
    timing = read_keys(value, _TIMING)
    chosen = read_keys(value, options)
    if "body" in value.raw and "body_regex" in options and "body_regex" in value.raw:
        value.note("found body and body_regex; allowed: one of them")
    target = targets[kind](value.entry(kind))
    return ProbeConfig(
        kind=kind,
        target=target,
        name=naming.get("name") or shortened(_shown_target(kind, value.raw[kind], target)),
        purpose=naming.get("purpose", Purpose.LIVENESS),
        options=chosen,
        timing=timing,
    )


def _shown_target(kind: ProbeKind, written: Any, target: Any) -> str:
    """Return what a probe is called. Variables, which may be secrets, are as the file has them."""
    match kind:
        case "http" | "a2a":
            return f"{kind} {shown_url(written)}"
        case "command":
            words = shlex.split(written) if isinstance(written, str) else written
            return f"command {' '.join(words)}"
        case "heartbeat":
            return f"heartbeat {target:g} s"
        case "mcp":
            return "mcp ping"
        case _:
            return f"{kind} {written}"


# --- what is asked --------------------------------------------------------------------------------


def _url(value: Value) -> str:
    url = expanded(value)
    try:
        url_of(of_copy(0, url))
    except ValueError:
        value.note(f"found {shown(shown_url(value.raw))}; allowed: {URL_ALLOWED}")
        raise Refused from None
    return url


def _address(value: Value) -> str:
    address = expanded(value)
    try:
        address_of(of_copy(0, address))
    except ValueError:
        raise value.refused(ADDRESS_ALLOWED) from None
    return address


def _true(value: Value) -> bool:
    if value.raw is not True:
        raise value.refused("true")
    return True


# --- how it is asked ------------------------------------------------------------------------------


def _method(value: Value) -> str:
    if not is_method(value.raw):
        raise value.refused("a method such as 'GET'")
    return text(value)


def _status(value: Value) -> str | int | tuple[int, ...]:
    try:
        ranges_of(value.raw)
    except ValueError:
        raise value.refused(STATUS_ALLOWED) from None
    return tuple(value.raw) if isinstance(value.raw, list) else value.raw


def _headers(value: Value) -> dict[str, str]:
    headers: Fields = {}
    for name, entry in table(value).entries():
        try:
            headers[name] = secret(entry)
        except Refused:
            continue
        if header_problems({name: headers[name]}):
            entry.note("not a header; allowed: a name of letters, digits and '-', one line of text")
    return headers


def _expression(value: Value) -> str:
    expression = secret(value)
    try:
        re.compile(expression.encode())
    except re.error as error:
        raise value.refused_unseen(f"a regular expression ({error})") from None
    return expression


_NAMING: dict[str, Reader[Any]] = {"purpose": word(Purpose), "name": printable}
_TIMING: dict[str, Reader[Any]] = {
    "interval": positive_duration,
    "timeout": positive_duration,
    "initial_delay": duration,
    "failure_threshold": whole(1),
    "success_threshold": whole(1),
    "jitter": number(0, 1),
}
_ASKING: dict[str, Reader[Any]] = {"headers": _headers, "ca_file": path}
_OPTIONS: dict[ProbeKind, dict[str, Reader[Any]]] = {
    "http": {
        "method": _method,
        "status": _status,
        "expect_headers": _headers,
        "body": secret,
        "body_regex": _expression,
        **_ASKING,
    },
    "a2a": _ASKING,
}
"""The keys that only probes of this kind have."""


# --- the child ------------------------------------------------------------------------------------


@attrs.frozen
class ProbedChild:
    """What of a child decides which probes fit it.

    Attributes:
        is_mcp: whether it is an MCP server; else it is a process.
        wait_ready: whether its start waits until it is ready.
        notify: whether it says so itself.
        probes: what it is asked.
    """

    is_mcp: bool
    wait_ready: bool
    notify: bool
    probes: tuple[ProbeConfig, ...]


def check_fit(entry: Value, child: ProbedChild) -> None:
    """Note at a child's table the probes that it cannot have, and a wait that would never end."""
    misfit = "heartbeat" if child.is_mcp else "mcp"
    what = "an MCP server" if child.is_mcp else "a process"
    for index, probe in enumerate(child.probes):
        if probe.kind == misfit:
            allowed = ", ".join(kind for kind in get_args(ProbeKind) if kind != misfit)
            _place(entry, index).note(
                f"found a probe of the kind {misfit} for {what}; allowed: {allowed}"
            )
    says_ready = child.is_mcp or child.notify or any(map(_says_ready, child.probes))
    if child.wait_ready and not says_ready:
        entry.entry("wait_ready").note(
            "found true, and nobody says when it is ready; allowed: true with a readiness or "
            "startup probe, or with notify = true"
        )


def check_targets(entry: Value, copies: Iterable[ProcessConfig]) -> None:
    """Note at a child's table the first of its copies that is asked what cannot be asked.

    Args:
        entry: the table.
        copies: of the child; itself, if there are none.
    """
    for child in copies:
        for index, probe in enumerate(child.probes):
            if problem := unaskable([probe]):
                _place(entry, index).note(problem)
                return


def unaskable(probes: Iterable[ProbeConfig]) -> str | None:
    """Return what is wrong with the first URL or address that is none, or None."""
    for probe in probes:
        try:
            if probe.kind == "tcp":
                address_of(probe.target)
            elif probe.kind in ("http", "a2a"):
                url_of(probe.target)
        except ValueError as allowed:
            only = f"{INDEX} beside replicas only" if INDEX in probe.target else allowed
            return f"found {shown(probe.name)}; allowed: {only}"
    return None


def _place(entry: Value, index: int) -> Value:
    """Return where a probe of a child stands; the child's table if it comes from the defaults."""
    return [*entry.entry("probes").items()][index] if "probes" in entry.raw else entry


def _says_ready(probe: ProbeConfig) -> bool:
    return probe.kind == "heartbeat" or probe.purpose is not Purpose.LIVENESS
