"""The files themselves: their bytes, TOML and JSON with comments, as plain tables."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from a2a_sup.app.problems import one_line

JSON_SUFFIXES = frozenset({".json", ".json5", ".jsonc"})
"""Files with these names are JSON; all others are TOML."""


class DocumentError(Exception):
    """The file cannot be read, or is not TOML or JSON. Its message says why, and where."""


class JsonObject(dict[str, Any]):
    """A JSON object that knows which of its keys were repeated.

    Attributes:
        repeated: the keys, each once.
    """

    def __init__(self, pairs: Iterable[tuple[str, Any]]) -> None:
        """Keep the last value of each key, as JSON readers do."""
        given = list(pairs)
        super().__init__(given)
        times = Counter(name for name, _ in given)
        self.repeated = [name for name in self if times[name] > 1]


def is_json(file: Path) -> bool:
    """Return whether the name of ``file`` says JSON."""
    return file.suffix.lower() in JSON_SUFFIXES


def load(file: Path) -> dict[str, Any]:
    """Return the top level table of ``file``.

    Raises:
        DocumentError: it cannot be read or parsed.
    """
    text = read_text(file)
    try:
        return _json(text) if is_json(file) else tomllib.loads(text)
    except RecursionError:
        raise DocumentError("nested too deeply") from None
    except ValueError as error:
        raise DocumentError(_parse_message(file, str(error))) from None


def read_text(file: Path) -> str:
    """Return the text of ``file``; a byte order mark, as some editors write, is dropped.

    Raises:
        DocumentError: it cannot be read, or is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(f"not UTF-8 text (at byte {error.start})") from None
    except OSError as error:
        raise DocumentError(f"cannot be read: {error.strerror}") from None


def _json(text: str) -> dict[str, Any]:
    import json5  # noqa: PLC0415 - most files are TOML

    document = json5.loads(text, object_pairs_hook=JsonObject)
    if not isinstance(document, JsonObject):
        raise DocumentError("the file holds no JSON object; allowed: an object, {...}")
    return document


def _parse_message(file: Path, message: str) -> str:
    kind = "JSON" if is_json(file) else "TOML"
    # json5 writes "<string>:3 Unexpected ..."; the number is the line.
    reason = message.replace("<string>:", "line ", 1)
    return one_line(f"not {kind}: {reason}")
