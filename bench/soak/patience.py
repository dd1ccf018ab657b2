"""What may be so for a while, and not for longer."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Patience(Generic[T]):
    """Remembers since when each thing has been found without a break."""

    def __init__(self, seconds: float) -> None:
        """Bear each for so long."""
        self._seconds = seconds
        self._since: dict[T, float] = {}

    def exhausted(self, found: Iterable[T], now: float) -> list[T]:
        """Take what is found ``now``, in seconds; return what has been for too long."""
        self._since = {thing: self._since.get(thing, now) for thing in found}
        return [thing for thing, since in self._since.items() if now - since > self._seconds]
