"""Checks of options that specifications share: one of a few words, a number in a range."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import StrEnum
from typing import TypeVar

E = TypeVar("E", bound=StrEnum)


def member_of(words: type[E], given: E) -> E:
    """Return the member of ``words`` that ``given`` names, or else ``given`` itself.

    A converter must not raise, or it would hide the other mistakes: ``word_problems`` is for that.
    """
    return next((word for word in words if word == given), given)


def word_problems(words: type[StrEnum], option: str, given: object) -> Iterable[str]:
    """Yield what is wrong with ``given`` unless it is one of ``words``; name the nearest one."""
    if not isinstance(given, words):
        allowed = [word.value for word in words]
        near = difflib.get_close_matches(str(given), allowed, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        yield f"{option} is one of {', '.join(allowed)}, not {given!r}{hint}"


def is_number(given: object, low: float, high: float = float("inf")) -> bool:
    """Return whether ``given`` is a finite number from ``low`` to ``high``, and no bool."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return False
    return low <= given <= high and given != float("inf")


def printable(text: str) -> str:
    """Return ``text`` with a replacement for each character that a terminal might act upon."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
