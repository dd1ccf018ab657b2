"""Options that are one of a few words."""

from __future__ import annotations

import difflib
from enum import StrEnum
from typing import TypeVar

from a2a_sup.errors import SpecError

E = TypeVar("E", bound=StrEnum)


def one_of(words: type[E], option: str, given: object) -> E:
    """Return the member of ``words`` that ``given`` names.

    Raises:
        SpecError: it names none; the message lists the words and the nearest one.
    """
    for word in words.__members__.values():
        if word == given:
            return word
    allowed = list(words.__members__.values())
    near = difflib.get_close_matches(str(given), allowed, n=1)
    hint = f"; did you mean {str(near[0])!r}?" if near else ""
    raise SpecError(f"{option} is one of {', '.join(allowed)}, not {given!r}{hint}")
