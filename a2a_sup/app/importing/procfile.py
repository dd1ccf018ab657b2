"""A Procfile, as foreman, honcho, overmind and hivemind run it."""

from __future__ import annotations

import re
from pathlib import Path

from a2a_sup.app.documents import DocumentError, read_text
from a2a_sup.app.importing.draft import Draft, Imported, ImportRefused, literal

TOOL = "Procfile"
FIRST_PORT = 5000
"""What foreman gives the first process in PORT; each next one gets 100 more."""
_LINE = re.compile(r"(?P<name>[A-Za-z0-9_.-]+):\s*(?P<command>\S.*)")


def read(file: Path) -> Imported:
    """Read a Procfile.

    Raises:
        ImportRefused: it cannot be read.
    """
    try:
        lines = read_text(file).splitlines()
    except DocumentError as exc:
        raise ImportRefused(f"{file}: {exc}") from None
    imported = Imported(TOOL)
    imported.defaults = {"logs": {"forward": True}}
    imported.notes.append(
        "the end of one process ended all of them; here it is restarted. As before: "
        'significant = true and restart = "temporary" for each, and auto_shutdown = '
        '"any_significant" in [supervisor]'
    )
    if (file.parent / ".env").exists():
        imported.defaults["env_file"] = ".env"
    for line in filter(None, map(str.strip, lines)):
        match = _LINE.fullmatch(line)
        if match:
            port = FIRST_PORT + 100 * len(imported.children)
            keys = {
                "command": ["sh", "-c", literal(match["command"].strip())],
                "env": {"PORT": str(port)},
            }
            imported.children.append(Draft(match["name"], keys))
        elif not line.startswith("#"):
            imported.note("line", line, "not NAME: COMMAND")
    return imported
