"""Where a generated scenario comes from: a row of small numbers, each one choice.

The same generator serves a seeded random run, hypothesis, and the shrinking of what a random run
found. In every choice 0 is the simplest.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Self, TypeVar

T = TypeVar("T")


class Choices:
    """A source of choices, which it remembers."""

    def __init__(self, below: Callable[[int], int]) -> None:
        """Ask ``below(n)`` for a number from 0 to n - 1."""
        self._below = below
        self.made: list[int] = []

    @classmethod
    def seeded(cls, seed: object) -> Self:
        """Return the choices of a seed."""
        return cls(random.Random(str(seed)).randrange)

    @classmethod
    def replayed(cls, made: Iterable[int]) -> Self:
        """Return choices that were made before, as far as they go and fit; then 0."""
        rest = iter(made)
        return cls(lambda limit: min(next(rest, 0), limit - 1))

    def below(self, limit: int) -> int:
        """Return a number from 0 to ``limit`` - 1."""
        number = self._below(limit)
        self.made.append(number)
        return number

    def of(self, options: Sequence[T]) -> T:
        """Return one of ``options``; those named more often come more often."""
        return options[self.below(len(options))]

    def chance(self, percent: int) -> bool:
        """Return True so often; 0 is False."""
        return self.below(100) >= 100 - percent

    def text(self, words: str) -> str:
        """Return one of ``words``."""
        return self.of(words.split())


def shrunk(made: Sequence[int], fails: Callable[[Choices], bool], tries: int = 3000) -> list[int]:
    """Return a smaller row of choices that still ``fails``."""
    return _Shrinker(made, fails, tries).run()


class _Shrinker:
    """Deletes runs of choices, then makes numbers smaller, as long as either helps."""

    def __init__(self, made: Sequence[int], fails: Callable[[Choices], bool], tries: int) -> None:
        self._best = list(made)
        self._fails = fails
        self._left = tries

    def run(self) -> list[int]:
        while self._left > 0 and (self._delete() or self._lower()):
            pass
        return self._best

    def _delete(self) -> bool:
        has_improved = False
        for size in (32, 16, 8, 4, 2, 1):
            at = 0
            while at < len(self._best):
                if self._improves(self._best[:at] + self._best[at + size :]):
                    has_improved = True
                else:
                    at += 1
        return has_improved

    def _lower(self) -> bool:
        has_improved = False
        for at in range(len(self._best)):
            for number in (0, 1, 2, 3):
                if at >= len(self._best) or number >= self._best[at]:
                    break
                if self._improves([*self._best[:at], number, *self._best[at + 1 :]]):
                    has_improved = True
        return has_improved

    def _improves(self, row: list[int]) -> bool:
        """Take ``row`` for the best if it is smaller, as far as it is used, and fails."""
        self._left -= 1
        choices = Choices.replayed(row)
        if self._left < 0 or not self._fails(choices):
            return False
        used = choices.made
        while used and used[-1] == 0:  # what a replay makes of a missing choice
            used.pop()
        if (len(used), used) >= (len(self._best), self._best):
            return False
        self._best = used
        return True
