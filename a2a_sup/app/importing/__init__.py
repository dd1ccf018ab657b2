"""Files of other process managers, as ours."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from a2a_sup.app.importing.draft import Imported, ImportRefused
from a2a_sup.app.importing.writing import written

__all__ = ["FORMATS", "ImportRefused", "import_file"]

FORMATS = ("supervisord", "circus", "procfile", "pm2", "process-compose")


def import_file(file: Path, form: str | None = None) -> tuple[str, list[str]]:
    """Return the tree of another tool's file in our format, and what has no equal in it.

    Args:
        file: the file.
        form: one of FORMATS; None: what the name of the file says.

    Raises:
        ImportRefused: it cannot be read, or whose it is cannot be told.
    """
    form = form or format_of(file)
    if form is None:
        raise ImportRefused(
            f"{file}: whose file is it? allowed: --format {', '.join(FORMATS)}; or a name such as "
            "supervisord.conf, circus.ini, Procfile, ecosystem.json, process-compose.yaml"
        )
    module = import_module(f"a2a_sup.app.importing.{form.replace('-', '_')}")
    read: Callable[[Path], Imported] = module.read
    try:
        return written(read(file), file.name)
    except RecursionError:
        raise ImportRefused(f"{file}: nested too deeply") from None


def format_of(file: Path) -> str | None:
    """Return which tool's file it is by its name, and where that is not enough, its content."""
    name, suffix = file.name.lower(), file.suffix.lower()
    if name.startswith("procfile") or suffix == ".procfile":
        return "procfile"
    if suffix in (".json", ".json5", ".js", ".cjs", ".mjs"):
        return "pm2"
    if suffix in (".yaml", ".yml"):
        return "process-compose"
    if suffix in (".conf", ".ini"):
        return "circus" if "circus" in name or _has_watchers(file) else "supervisord"
    return None


def _has_watchers(file: Path) -> bool:
    try:
        return "[watcher:" in file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
