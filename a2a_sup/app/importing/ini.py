"""Files in the form of INI, with includes, as supervisord and circus read them."""

from __future__ import annotations

import configparser
import glob
from collections.abc import Callable
from pathlib import Path

from a2a_sup.app.documents import DocumentError, read_text
from a2a_sup.app.importing.draft import Imported, ImportRefused

Sections = dict[str, dict[str, str]]


def read_sections(
    file: Path,
    imported: Imported,
    *,
    comments: tuple[str, ...] | None,
    includes: Callable[[Sections], list[str]],
) -> Sections:
    """Return the sections of a file and of those that it includes.

    Args:
        file: the file.
        imported: takes notes of includes that cannot be read.
        comments: what begins a comment behind a value.
        includes: takes the patterns of files to include out of the sections.

    Raises:
        ImportRefused: it cannot be read.
    """
    sections = _parsed(file, comments)
    for pattern in includes(sections):
        names = sorted(glob.glob(str(file.parent / pattern), recursive=True))  # noqa: PTH207 - may be absolute
        if not names:
            imported.note("include", pattern, "there is no such file")
        for name in names:
            try:
                more = _parsed(Path(name), comments)
            except ImportRefused as exc:
                imported.note("include", name, str(exc))
                continue
            for section, entries in more.items():
                sections.setdefault(section, {}).update(entries)
    return sections


def _parsed(file: Path, comments: tuple[str, ...] | None) -> Sections:
    parser = configparser.RawConfigParser(
        inline_comment_prefixes=comments, strict=False, allow_no_value=True
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(read_text(file).replace("\t", "    "), source=file.name)
    except (configparser.Error, DocumentError) as exc:
        raise ImportRefused(f"{file}: {' '.join(str(exc).split())}") from None
    return {name: {k: v or "" for k, v in parser.items(name)} for name in parser.sections()}
