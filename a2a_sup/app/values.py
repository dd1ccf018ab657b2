"""Reading one value of a file: from what is written to what it means, or a noted mistake.

A *reader* is a function of a :class:`Value`. It returns what the value means, or notes every
mistake in it and raises :class:`Refused`. Readers are combined: ``list_of(text)``, ``table_of({
"cwd": path})``. So the tables of keys in :mod:`a2a_sup.app.keys` are the whole grammar.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

import attrs

from a2a_sup.app.problems import Problem, key_path, kind_of, shown, suggestion
from a2a_sup.app.quantities import duration as seconds_of
from a2a_sup.app.quantities import size as bytes_of
from a2a_sup.app.variables import VariableError, Variables

T = TypeVar("T")
Fields: TypeAlias = dict[str, Any]
"""The keys of a table that were written, and what they mean."""


class Refused(Exception):
    """The value is wrong, and its mistakes are noted."""


@attrs.frozen
class Source:
    """One file that is being read.

    Attributes:
        name: the file, as messages name it.
        variables: what its variables stand for.
        problems: where mistakes are noted; shared by all files of one configuration.
    """

    name: str
    variables: Variables
    problems: list[Problem]

    def path(self, text: str) -> str:
        """Return a path that the file names, relative to the file's directory."""
        # Not pathlib's, which keeps "..".
        return os.path.normpath(os.path.join(self.variables.folder, text))  # noqa: PTH118 - above


@attrs.frozen
class Value:
    """A value and where it stands.

    Attributes:
        raw: what the parser made of it.
        source: the file.
        key: where in the file: ``children.api.command[0]``.
    """

    raw: Any
    source: Source
    key: str = ""

    def entry(self, key: str) -> Value:
        """Return the value of ``key`` in this table."""
        return Value(self.raw[key], self.source, key_path(self.key, key))

    def entries(self) -> Iterator[tuple[str, Value]]:
        """Yield the keys of this table and their values, in the file's order."""
        for key in self.raw:
            yield key, self.entry(key)

    def items(self) -> Iterator[Value]:
        """Yield the values of this list."""
        for index, raw in enumerate(self.raw):
            yield Value(raw, self.source, f"{self.key}[{index}]")

    def note(self, message: str) -> None:
        """Note a mistake."""
        self.source.problems.append(Problem(self.source.name, self.key, message))

    def refused(self, allowed: str) -> Refused:
        """Note that the value is not what is ``allowed``; return what to raise."""
        self.note(f"found {shown(self.raw)}; allowed: {allowed}")
        return Refused()

    def refused_unseen(self, allowed: str) -> Refused:
        """Do the same for a value that may be a secret."""
        self.note(f"found {kind_of(self.raw)}; allowed: {allowed}")
        return Refused()


Reader: TypeAlias = Callable[[Value], T]


# --- single values -------------------------------------------------------------------------------


def text(value: Value) -> str:
    """Read a text that the operating system accepts."""
    return _text(value, value.refused)


def printable(value: Value) -> str:
    """Read a text that has something to show."""
    shown_as = text(value)
    if not shown_as.strip() or not shown_as.isprintable():
        raise value.refused("a text that can be printed")
    return shown_as


def secret(value: Value) -> str:
    """Read a text that no message shows, and replace its variables."""
    return _expanded(value, _text(value, value.refused_unseen))


def expanded(value: Value) -> str:
    """Read a text and replace its variables."""
    return _expanded(value, text(value))


def path(value: Value) -> str:
    """Read a path; a relative one starts at the directory of the file."""
    if value.raw == "":
        raise value.refused("a path")
    return value.source.path(expanded(value))


def flag(value: Value) -> bool:
    """Read true or false."""
    if not isinstance(value.raw, bool):
        raise value.refused("true or false")
    return value.raw


def duration(value: Value) -> float:
    """Read seconds."""
    allowed = "a duration such as '500ms', '30s', '1h30m', or a number of seconds"
    if isinstance(value.raw, bool) or not isinstance(value.raw, str | int | float):
        raise value.refused(allowed)
    try:
        return seconds_of(value.raw)
    except ValueError:
        raise value.refused(allowed) from None


def positive_duration(value: Value) -> float:
    """Read seconds, more than 0."""
    seconds = duration(value)
    if not seconds:
        raise value.refused("a duration above 0")
    return seconds


def size(value: Value) -> int:
    """Read bytes."""
    allowed = "a size such as '512KiB', '10MiB', '1GB', or a number of bytes"
    if isinstance(value.raw, bool) or not isinstance(value.raw, str | int):
        raise value.refused(allowed)
    try:
        return bytes_of(value.raw)
    except ValueError:
        raise value.refused(allowed) from None


def positive_size(value: Value) -> int:
    """Read bytes, more than 0."""
    read = size(value)
    if not read:
        raise value.refused("a size above 0")
    return read


def whole(least: int, most: int = 2**31 - 1) -> Reader[int]:
    """Return the reader of whole numbers from ``least`` to ``most``."""

    def read(value: Value) -> int:
        is_number = isinstance(value.raw, int) and not isinstance(value.raw, bool)
        if not is_number or not least <= value.raw <= most:
            raise value.refused(f"a whole number from {least} to {most}")
        number: int = value.raw
        return number

    return read


def number(least: float, most: float = math.inf) -> Reader[float]:
    """Return the reader of finite numbers from ``least`` to ``most``."""
    span = f"a number >= {least}" if most == math.inf else f"a number from {least} to {most}"

    def read(value: Value) -> float:
        if isinstance(value.raw, bool) or not isinstance(value.raw, int | float):
            raise value.refused(span)
        # A whole number can be too large for a float; comparing them is exact.
        if not least <= value.raw <= min(most, 1e300):
            raise value.refused(span)
        return float(value.raw)

    return read


def word(known: Iterable[str]) -> Reader[str]:
    """Return the reader of one of the ``known`` words; of an enumeration, of its members."""
    words = {str(each): each for each in known}

    def read(value: Value) -> str:
        if not isinstance(value.raw, str):
            raise value.refused(", ".join(words))
        if value.raw not in words:
            raise value.refused(", ".join(words) + suggestion(value.raw, words))
        return words[value.raw]

    return read


# --- lists and tables ----------------------------------------------------------------------------


def list_of(item: Reader[T]) -> Reader[tuple[T, ...]]:
    """Return the reader of a list whose items ``item`` reads."""

    def read(value: Value) -> tuple[T, ...]:
        if not isinstance(value.raw, list):
            raise value.refused("a list")
        return tuple(every(item, value.items()))

    return read


def one_or_list_of(item: Reader[T]) -> Reader[tuple[T, ...]]:
    """Return the reader of a list, or of one value that stands for a list of it."""
    read_list = list_of(item)

    def read(value: Value) -> tuple[T, ...]:
        return read_list(value) if isinstance(value.raw, list) else (item(value),)

    return read


def every(item: Reader[T], values: Iterable[Value]) -> list[T]:
    """Read all ``values``, so that the mistakes of all of them are noted; then raise Refused."""
    read: list[T] = []
    refused = False
    for value in values:
        try:
            read.append(item(value))
        except Refused:
            refused = True
    if refused:
        raise Refused
    return read


def table(value: Value) -> Value:
    """Read any table; a key that a JSON object repeats is a mistake."""
    if not isinstance(value.raw, dict):
        raise value.refused("a table")
    for key in getattr(value.raw, "repeated", ()):
        value.entry(key).note("this name is given twice; allowed: once")
    return value


def table_of(readers: Mapping[str, Reader[Any]]) -> Reader[Fields]:
    """Return the reader of a table with these keys. What is wrong is noted and left out."""

    def read(value: Value) -> Fields:
        table(value)
        unknown_keys(value, readers)
        return read_keys(value, readers)

    return read


def unknown_keys(value: Value, known: Iterable[str]) -> None:
    """Note the keys of a table that are not ``known``."""
    known = list(known)
    for key, entry in value.entries():
        if key not in known:
            entry.note(f"unknown key{suggestion(key, known)} (allowed: {', '.join(known)})")


def read_keys(value: Value, readers: Mapping[str, Reader[Any]]) -> Fields:
    """Read the keys of a table that have a reader, in the file's order."""
    fields: Fields = {}
    for key, entry in value.entries():
        if key in readers:
            try:
                fields[key] = readers[key](entry)
            except Refused:
                continue
    return fields


# --- texts ---------------------------------------------------------------------------------------


def _text(value: Value, refused: Callable[[str], Refused]) -> str:
    if not isinstance(value.raw, str):
        raise refused("a text, in quotes")
    if "\0" in value.raw:
        raise refused("a text without the character NUL")
    try:
        os.fsencode(value.raw)
    except UnicodeEncodeError:
        raise refused("a text without half characters (lone surrogates)") from None
    return value.raw


def _expanded(value: Value, given: str) -> str:
    try:
        return value.source.variables.expand(given)
    except VariableError as error:
        for reason in error.reasons:
            value.note(reason)
        raise Refused from None
