"""What is made of another tool's file: a tree as it will be written, and what has no equal."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from a2a_sup.app.problems import one_line
from a2a_sup.errors import A2ASupError
from a2a_sup.model.spec import NAME_LIMIT

SECRETS = ("pass", "pwd", "secret", "token", "key", "cred", "env")
"""What is called so is not repeated in notes."""


MOST_COPIES = 1_000
"""Of one program: each is a child of its own in the file."""
_USER = re.compile(r"//[^/\s@]*@")
_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxstring, _BRIEF.maxother = 3, 60, 60


class ImportRefused(A2ASupError):
    """The file cannot be imported. Its message says why, and what to do."""


@attrs.define
class Draft:
    """A child as it will be written.

    Attributes:
        name: in the other tool.
        keys: of our format, with values as TOML has them.
        notes: what was said of it and has no equal.
        children: those of a nested supervisor.
        place: where it should start beside its siblings; smaller is earlier.
    """

    name: str
    keys: dict[str, Any] = attrs.field(factory=dict)
    notes: list[str] = attrs.field(factory=list)
    children: list[Draft] = attrs.field(factory=list)
    place: float = 0

    def note(self, key: str, value: object, why: str) -> None:
        """Note that a key has no equal; the value is shown unless it may be a secret."""
        self.notes.append(_note(key, value, why))


@attrs.define
class Imported:
    """A whole file.

    Attributes:
        tool: whose file it is.
        root: keys of ``[supervisor]``.
        defaults: keys of ``[defaults]``.
        notes: what holds for no child and has no equal.
        children: in start order.
    """

    tool: str
    root: dict[str, Any] = attrs.field(factory=dict)
    defaults: dict[str, Any] = attrs.field(factory=dict)
    notes: list[str] = attrs.field(factory=list)
    children: list[Draft] = attrs.field(factory=list)

    def note(self, key: str, value: object, why: str) -> None:
        """Note that a key has no equal; the value is shown unless it may be a secret."""
        self.notes.append(_note(key, value, why))


class Entries:
    """The entries of one table of the other tool. What nobody takes is noted: nothing is lost."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        """Take the entries."""
        self._left = dict(given)

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def take(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key`` and count it as dealt with."""
        return self._left.pop(key, default)

    def drop(self, key: str, holds: Callable[[Any], bool]) -> bool:
        """Count ``key`` as dealt with if its value says what ``holds`` asks; return whether."""
        if key in self._left and holds(self._left[key]):
            del self._left[key]
            return True
        return False

    def rest(self) -> dict[str, Any]:
        """Return what was not taken yet."""
        return dict(self._left)

    def note_rest(self, holder: Draft | Imported, reasons: Mapping[str, str]) -> None:
        """Note everything that was not taken, with the reason why it has no equal.

        Args:
            holder: whose notes.
            reasons: by key, or by the beginning of keys, which ends in ``*``.
        """
        for key, value in self._left.items():
            holder.note(key, value, _reason(key, reasons))
        self._left = {}


def _reason(key: str, reasons: Mapping[str, str]) -> str:
    for pattern, reason in reasons.items():
        if key == pattern or (pattern.endswith("*") and key.startswith(pattern[:-1])):
            return reason
    return "no equal"


def _note(key: str, value: object, why: str) -> str:
    is_secret = any(word in key.lower() for word in SECRETS)
    # Aliases of YAML make a small file a table without end: it is not written out.
    text = str(value).strip() if isinstance(value, str) else _BRIEF.repr(value)
    shown = "..." if is_secret else _USER.sub("//...@", " ".join(one_line(text).split()))
    if len(shown) > 120:
        shown = shown[:117] + "..."
    return f"{one_line(key)} = {shown}: {why}"


def literal(text: str) -> str:
    """Return a text that stands for itself where our format replaces variables."""
    return text.replace("${", "$${")


def in_start_order(drafts: list[Draft]) -> list[Draft]:
    """Return drafts by their places; those of one place in the file's order."""
    return sorted(drafts, key=lambda draft: draft.place)


def named(drafts: list[Draft]) -> Iterator[Draft]:
    """Yield the drafts under names that our format allows and that differ."""
    taken = set[str]()
    for draft in drafts:
        name = "".join(char if char.isprintable() and char != "/" else "_" for char in draft.name)
        name = name.strip()[:NAME_LIMIT]
        if name in ("", ".", ".."):
            name = f"child{name}".replace(".", "_")
        number = 1
        fitting = name
        while fitting in taken:
            number += 1
            fitting = f"{name[: NAME_LIMIT - 5]}-{number}"
        taken.add(fitting)
        if fitting != draft.name:
            draft.note("name", draft.name, f"called {fitting!r} here")
        draft.name = fitting
        draft.children = list(named(draft.children))
        yield draft


def not_in_tree(draft: Draft, key: str) -> None:
    """Switch a child off that is not started by itself."""
    draft.keys["enabled"] = False
    draft.note(key, "false", "enabled = false: it is not in the tree at all")


def number_of(text: object, kind: type[int] | type[float] = int) -> Any:
    """Return the number that a text is, or None."""
    try:
        return kind(str(text).strip())
    except ValueError:
        return None


def copies_of(given: object, name: str) -> int | None:
    """Return how many copies of a program there are to be; None: that is no number.

    Raises:
        ImportRefused: more than MOST_COPIES.
    """
    copies: int | None = number_of(given)
    if copies is not None and copies > MOST_COPIES:
        raise ImportRefused(f"{one_line(name)}: found {copies} copies; allowed: {MOST_COPIES}")
    return copies


def table_at(given: object, key: str, holder: Draft | Imported) -> dict[str, Any]:
    """Return a table as it is; anything else is noted, and as if it were not there."""
    if isinstance(given, dict):
        return {str(name): value for name, value in given.items()}
    if given is not None:
        holder.note(key, given, "not a table; left out")
    return {}


def user_of(text: object) -> str | int:
    """Return a user as our format has it: a number or a name."""
    written = str(text).strip()
    return int(written) if written.isdecimal() else written


def is_true(text: object) -> bool:
    """Return whether a word of a file means yes."""
    return str(text).strip().lower() in ("true", "yes", "on", "1", "t", "y")
