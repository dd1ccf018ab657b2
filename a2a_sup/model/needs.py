"""Which siblings a child waits for before it is started, and in which order that puts them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Literal, TypeAlias

from a2a_sup.model.words import word_problems


class Need(StrEnum):
    """What a child needs of a sibling before it is started. Later it is not looked at again."""

    STARTED = "started"
    """It acknowledged its start."""
    READY = "ready"
    """It said, or its readiness probes did, that it can serve."""
    FINISHED = "finished"
    """It ended by itself, without a crash, and is not restarted."""


NeedWord: TypeAlias = Literal["started", "ready", "finished"]
Needs: TypeAlias = Mapping[str, Need]
"""By the name of the sibling."""


def needs_of(given: Mapping[str, Need | NeedWord]) -> Needs:
    """Return needs from words; what is no word is left as it is, to be named as a mistake."""
    words = Need.__members__.values()
    return {
        name: Need(word) if isinstance(word, str) and word in words else word  # type: ignore[misc]
        for name, word in given.items()
    }


def needs_problems(after: object) -> Iterable[str]:
    """Yield what is wrong with the needs of one child, its siblings unknown."""
    if not isinstance(after, Mapping):
        yield f"after is a table of siblings and what is needed of them, not {after!r}"
        return
    for name, need in after.items():
        yield from word_problems(Need, f"after {name}", need)


def family_problems(family: Mapping[str, Needs], known: Iterable[str] = ()) -> Iterable[str]:
    """Yield what is wrong with the needs of siblings.

    Args:
        family: the needs of each child, by its name.
        known: names that may be needed besides.
    """
    names = {*family, *known}
    is_sound = True
    for child, after in family.items():
        for name in after:
            if name not in names:
                yield f"child {child!r}: after {name!r}: there is no such sibling"
                is_sound = False
    if is_sound and (circle := cycle(family)):
        yield f"children need each other: {' -> '.join(circle)}"


def cycle(family: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return children that need each other, the first one again as the last; empty: none do."""
    left = dict.fromkeys(family)
    for name in in_order(family):
        left.pop(name, None)
    if not left:
        return ()
    # Each of those that are left needs another one that is left.
    way: dict[str, None] = {}
    name = next(iter(left))
    while name not in way:
        way[name] = None
        name = next(other for other in family[name] if other in left)
    names = [*way]
    return (*names[names.index(name) :], name)


def in_order(family: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the names so that each comes after those it needs; else in the order given.

    Those that need each other, and who needs them, are left out; so are needs of strangers.
    """
    missing = {
        name: {other for other in after if other in family} for name, after in family.items()
    }
    needed_by: dict[str, list[str]] = {name: [] for name in family}
    for name, others in missing.items():
        for other in others:
            needed_by[other].append(name)
    order: list[str] = []
    free = deque(name for name, others in missing.items() if not others)
    while free:
        name = free.popleft()
        order.append(name)
        for dependant in needed_by[name]:
            missing[dependant].discard(name)
            if not missing[dependant]:
                free.append(dependant)
    return order
