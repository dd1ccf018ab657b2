"""The files of MCP clients: ``mcpServers`` (most of them) and ``servers`` (VS Code).

An entry that has a ``command`` is a process to supervise; one that has a ``url`` is somebody
else's process. Keys that mean nothing here are the client's own: they are kept and ignored.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import attrs

from a2a_sup.app.keys import SWITCHES, environment
from a2a_sup.app.values import (
    Fields,
    Reader,
    Refused,
    Value,
    expanded,
    list_of,
    path,
    read_keys,
    table,
    text,
    word,
)

LOCAL_TYPES = frozenset({"stdio"})
REMOTE_TYPES = frozenset({"http", "streamable-http", "sse", "ws"})
SERVER_TABLES = ("mcpServers", "servers")


def servers(document: Value) -> Value:
    """Return the table of servers of a client's file. Raises Refused if there is not one."""
    found = [key for key in SERVER_TABLES if key in document.raw]
    if len(found) != 1:
        document.note(
            f"found {' and '.join(found) or 'neither'}; allowed: one of {', '.join(SERVER_TABLES)}"
        )
        raise Refused
    table(document)
    variables = attrs.evolve(document.source.variables, inputs=_inputs(document))
    source = attrs.evolve(document.source, variables=variables)
    return table(Value(document.raw, source).entry(found[0]))


def _inputs(document: Value) -> dict[str, str]:
    """Return the defaults of VS Code's ``inputs``: what a person would be offered there."""
    if "inputs" not in document.raw:
        return {}
    inputs = [each.raw for each in list_of(table)(document.entry("inputs"))]
    return {
        str(each.get("id")): each["default"]
        for each in inputs
        if isinstance(each.get("default"), str)
    }


def is_remote(entry: Value) -> bool:
    """Return whether a server is reached by its url, so that there is no process to run.

    Raises:
        Refused: it is neither that nor a command; noted.
    """
    has_command, has_url = "command" in entry.raw, "url" in entry.raw
    if has_command == has_url:
        found = "command and url" if has_url else "neither command nor url"
        entry.note(f"found {found}; allowed: one of them")
        raise Refused
    if "type" in entry.raw:
        word(sorted(REMOTE_TYPES if has_url else LOCAL_TYPES))(entry.entry("type"))
    if has_url:
        text(entry.entry("url"))
    return has_url


def remote_reason(entry: Value) -> str:
    """Say that a remote server is not run, and where it is; without what may be secret."""
    try:
        url = urlsplit(entry.raw["url"])
        place = f"{url.scheme}://{url.hostname}{f':{url.port}' if url.port else ''}{url.path}"
    except ValueError:
        place = "url"
    return f"remote server ({place}), nothing to run"


def server_fields(entry: Value) -> Fields:
    """Read a server that is a command: the fields of a process, and ``extra``."""
    read = read_keys(entry, _KEYS)
    # What was refused is missing. The rest is read on, for its own mistakes.
    fields: Fields = {
        "argv": (read.get("command", ""), *read.get("args", ())),
        "written": (
            *((entry.raw["command"],) if "command" in read else ()),
            *(entry.raw["args"] if "args" in read else ()),
        ),
    }
    for key, field in _FIELDS.items():
        if key in read:
            fields[field] = read[key]
    ignored = entry.raw.keys() - _KEYS.keys() - SWITCHES.keys() - {"type"}
    return {**fields, "extra": {key: entry.raw[key] for key in entry.raw if key in ignored}}


def _program(value: Value) -> str:
    if not (program := expanded(value)):
        raise value.refused("the name of a program")
    return program


def _environment(value: Value) -> dict[str, str]:
    """Read variables; null and "" mean the supervisor's variable of that name, as in mcp-hub."""
    written = dict(table(value).raw)
    for name, given in written.items():
        if given is None:
            written[name] = f"${{{name}}}"
        elif given == "":
            written[name] = f"${{{name}:-}}"
    return environment(Value(written, value.source, value.key))


_KEYS: dict[str, Reader[Any]] = {
    "command": _program,
    "args": list_of(expanded),
    "env": _environment,
    "cwd": path,
    "envFile": path,
}
_FIELDS = {"env": "env", "cwd": "cwd", "envFile": "env_file"}
"""The keys that are fields of a process, and the names of those."""
