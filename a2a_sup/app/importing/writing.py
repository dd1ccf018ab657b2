"""A draft as TOML, with a comment for everything that has no equal."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from a2a_sup.app.importing.draft import Draft, Imported, named
from a2a_sup.app.keys import INHERITABLE_KEYS, MCP_KEYS, PROCESS_KEYS, SUPERVISOR_KEYS, SWITCHES
from a2a_sup.app.problems import key_path, one_line

CHILD_KEYS = {*PROCESS_KEYS, *MCP_KEYS, *SUPERVISOR_KEYS, *SWITCHES}


def written(imported: Imported, file: str) -> tuple[str, list[str]]:
    """Return the TOML text, and everything that has no equal, each as one line for people.

    Args:
        imported: what was made of the file.
        file: its name, for the first comment.
    """
    lines = [
        f"# From {one_line(file)} ({imported.tool}), by `a2a-sup import`.",
        "# Lines that begin with `# !` say what has no equal here.",
    ]
    warnings = [*imported.notes]
    lines += (f"# ! {one_line(note)}" for note in imported.notes)
    if imported.root:
        lines += ["", "[supervisor]", *_keys(imported.root)]
    if imported.defaults:
        _drop_unknown(imported.defaults, set(INHERITABLE_KEYS), imported.notes)
        lines += ["", "[defaults]", *_keys(imported.defaults)]
    for child in named(imported.children):
        lines += _child(child, "children", warnings)
    return "\n".join(lines) + "\n", warnings


def _child(draft: Draft, above: str, warnings: list[str]) -> Iterator[str]:
    place = key_path(above, draft.name)
    _drop_unknown(draft.keys, CHILD_KEYS, draft.notes)
    is_runnable = draft.children or {"command", "mcp"} & draft.keys.keys()
    if not is_runnable:
        draft.notes.append("there is nothing to run: left out")
    warnings += (f"{one_line(draft.name)}: {note}" for note in draft.notes)
    yield ""
    yield from (f"# ! {one_line(note)}" for note in draft.notes)
    if not is_runnable:
        yield f"# [{one_line(place)}]"
        return
    yield f"[{place}]"
    yield from _keys(draft.keys)
    for child in draft.children:
        yield from _child(child, f"{place}.children", warnings)


def _drop_unknown(keys: dict[str, Any], known: set[str], notes: list[str]) -> None:
    """Move what this version has no key for into the notes, as it would be written."""
    for key in [key for key in keys if key not in known]:
        notes.append(f"this version has no key for it: {key} = {toml(keys.pop(key))}")


def _keys(keys: Mapping[str, Any]) -> Iterator[str]:
    for key, value in keys.items():
        yield f"{key_path('', key)} = {toml(value)}"


def toml(value: Any) -> str:
    """Return a value as TOML, on one line.

    Raises:
        TypeError: TOML has nothing for it.
    """
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # JSON's escapes are TOML's too; DEL is the one character that only TOML escapes.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return str(value)
        case Mapping():
            pairs = (f"{_key(key)} = {toml(item)}" for key, item in value.items())
            return "{ " + ", ".join(pairs) + " }" if value else "{}"
        case list() | tuple():
            return "[" + ", ".join(map(toml, value)) + "]"
    raise TypeError(f"no TOML for {type(value).__name__}")


def _key(key: str) -> str:
    return key_path("", key).replace("\x7f", "\\u007F")
