"""Mistakes in configuration files: collected, so that all are told at once."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable

import attrs

from a2a_sup.errors import A2ASupError

SHOWN_LIMIT = 60
"""Characters shown of a value that was found."""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@attrs.frozen
class Problem:
    """One mistake.

    Attributes:
        file: the file, as it was named.
        key: where in it: ``children.api.restart.backoff[1]``; empty: the file as a whole.
        message: what was found and what is allowed; one line.
    """

    file: str
    key: str
    message: str

    def __str__(self) -> str:
        """``file: key: message`` on one line, whatever the names hold."""
        place = f"{self.file}: {self.key}" if self.key else self.file
        return one_line(f"{place}: {self.message}")


class ConfigError(A2ASupError):
    """Configuration files hold mistakes. Nothing was started.

    Attributes:
        problems: every mistake, in the order of the files.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Take every mistake; the message has one line for each."""
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def shown(value: object) -> str:
    """Return a value of a file as a message shows it: short, on one line, as it is written."""
    if isinstance(value, dict | list):
        return kind_of(value)
    text = one_line(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= SHOWN_LIMIT else f"{text[: SHOWN_LIMIT - 3]}..."


def kind_of(value: object) -> str:
    """Return what a value of a file is, without showing it: it may be a secret."""
    kinds = {dict: "table", list: "list", str: "text", bool: "flag", int: "number", float: "number"}
    kind = kinds.get(type(value), "null" if value is None else "date or time")
    return f"an empty {kind}" if value in ({}, [], "") else f"a {kind}"


def one_line(text: str) -> str:
    """Return ``text`` with everything that does not print as escapes."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def key_path(path: str, key: str) -> str:
    """Return ``path.key``, the key quoted where TOML asks for it."""
    written = key if _BARE_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)
    return f"{path}.{written}" if path else written


def suggestion(found: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest of ``known``, or nothing."""
    near = difflib.get_close_matches(found, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
