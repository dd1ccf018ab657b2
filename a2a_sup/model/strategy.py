"""Which children a decision touches: pure functions over the names in start order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Literal, TypeVar, cast

from a2a_sup.model.words import member_of

T = TypeVar("T")


class Strategy(StrEnum):
    """Who is restarted when a child ended (OTP's strategies)."""

    ONE_FOR_ONE = "one_for_one"
    """The child alone."""
    ONE_FOR_ALL = "one_for_all"
    """All children."""
    REST_FOR_ONE = "rest_for_one"
    """The child and those started after it."""
    SIMPLE_ONE_FOR_ONE = "simple_one_for_one"
    """The child alone; children are only ever added at run time (a dynamic supervisor)."""

    @property
    def grouped(self) -> bool:
        """Whether the end of one child may restart others."""
        return self in (Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE)


class AutoShutdown(StrEnum):
    """When the end of significant children ends their supervisor (OTP 24)."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


StrategyWord = Literal["one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one"]
AutoShutdownWord = Literal["never", "any_significant", "all_significant"]


def strategy_of(word: StrategyWord | Strategy) -> Strategy:
    """Return the strategy of that name; a wrong word is left to be named with other mistakes."""
    return member_of(Strategy, cast(Strategy, word))


def auto_shutdown_of(word: AutoShutdownWord | AutoShutdown) -> AutoShutdown:
    """Return the auto_shutdown of that name; a wrong word is left as it is."""
    return member_of(AutoShutdown, cast(AutoShutdown, word))


def members(strategy: Strategy, children: Sequence[T], ended: T) -> Sequence[T]:
    """Return who is restarted, in start order, when the child ``ended`` ended."""
    if strategy is Strategy.ONE_FOR_ALL:
        return children
    if strategy is Strategy.REST_FOR_ONE:
        return children[children.index(ended) :]
    return (ended,)


def shuts_down(policy: AutoShutdown, *, significant: bool, others: Iterable[bool]) -> bool:
    """Return whether a supervisor ends because a child ended by itself and stays down.

    Args:
        policy: the supervisor's auto_shutdown.
        significant: whether the ended child is significant.
        others: for each other significant child, whether it is present: alive, or about to be
            restarted.
    """
    if not significant or policy is AutoShutdown.NEVER:
        return False
    return policy is AutoShutdown.ANY_SIGNIFICANT or not any(others)
