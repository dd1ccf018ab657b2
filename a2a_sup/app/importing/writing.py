"""A draft as TOML, with a comment for everything that has no equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from a2a_sup.app.importing.draft import Draft, Imported, named
from a2a_sup.app.importing.fitting import fit
from a2a_sup.app.importing.toml import toml
from a2a_sup.app.keys import INHERITABLE_KEYS, MCP_KEYS, PROCESS_KEYS, SUPERVISOR_KEYS, SWITCHES
from a2a_sup.app.problems import key_path, one_line

CHILD_KEYS = {**SUPERVISOR_KEYS, **MCP_KEYS, **PROCESS_KEYS, **SWITCHES}


def written(imported: Imported, file: str) -> tuple[str, list[str]]:
    """Return the TOML text, and everything that has no equal, each as one line for people.

    Args:
        imported: what was made of the file.
        file: its name, for the first comment.
    """
    fit(imported.defaults, INHERITABLE_KEYS, imported.notes)
    lines = [
        f"# From {one_line(file)} ({imported.tool}), by `a2a-sup import`.",
        "# Lines that begin with `# !` say what has no equal here.",
    ]
    warnings = [*imported.notes]
    lines += (f"# ! {one_line(note)}" for note in imported.notes)
    if imported.root:
        lines += ["", "[supervisor]", *_keys(imported.root)]
    if imported.defaults:
        lines += ["", "[defaults]", *_keys(imported.defaults)]
    for child in named(imported.children):
        lines += _child(child, "children", warnings)
    return "\n".join(lines) + "\n", warnings


def _child(draft: Draft, above: str, warnings: list[str]) -> Iterator[str]:
    place = key_path(above, draft.name)
    fit(draft.keys, CHILD_KEYS, draft.notes)
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


def _keys(keys: Mapping[str, Any]) -> Iterator[str]:
    for key, value in keys.items():
        yield f"{key_path('', key)} = {toml(value)}"
