"""When to restart and when to stop trying: backoff delays and the sliding window."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable
from enum import StrEnum
from typing import Literal, cast

import attrs

from a2a_sup.errors import SpecError
from a2a_sup.model.reasons import Reason
from a2a_sup.model.words import is_number, member_of, word_problems


class RestartType(StrEnum):
    """Whether a child that ended by itself is restarted (OTP's restart types)."""

    PERMANENT = "permanent"
    """Always."""
    TRANSIENT = "transient"
    """Only after an end that is not benign."""
    TEMPORARY = "temporary"
    """Never; the child is forgotten when it ends."""

    def wants_restart(self, reason: Reason) -> bool:
        """Return whether an end for ``reason`` asks for a restart."""
        if self is RestartType.TRANSIENT:
            return not reason.benign
        return self is RestartType.PERMANENT


RestartWord = Literal["permanent", "transient", "temporary"]


def restart_type_of(word: RestartWord | RestartType) -> RestartType:
    """Return the restart type of that name; a wrong word is left as it is."""
    return member_of(RestartType, cast(RestartType, word))


def _floats(given: Iterable[float]) -> tuple[float, ...]:
    return tuple(given)


@attrs.frozen
class Backoff:
    """How long to wait before the n-th restart inside the window.

    Attributes:
        delays: seconds before the first, second, ... restart; the last one repeats. Empty: never
            wait, as in OTP.
        jitter: a share of the delay, 0 to 1, added at random so that many children that died
            together do not come back together.
    """

    delays: tuple[float, ...] = attrs.field(default=(1.0, 2.0, 4.0), converter=_floats)
    jitter: float = 0.0

    def __attrs_post_init__(self) -> None:
        """Refuse delays and jitter that make no sense."""
        problems = [
            f"backoff: a delay is a number of seconds >= 0, not {delay!r}"
            for delay in self.delays
            if not is_number(delay, 0)
        ]
        if not is_number(self.jitter, 0, 1):
            problems.append(f"backoff: jitter is a share between 0 and 1, not {self.jitter!r}")
        if problems:
            raise SpecError(problems)

    @classmethod
    def exponential(
        cls, first: float = 1.0, *, factor: float = 2.0, cap: float = 60.0, jitter: float = 0.0
    ) -> Backoff:
        """Return delays that grow by ``factor`` from ``first`` to ``cap`` seconds."""
        if not (is_number(cap, 0) and 0 < first <= cap and factor > 1):
            raise SpecError(
                "backoff: exponential needs 0 < first <= cap and factor > 1, "
                f"not first={first!r}, factor={factor!r}, cap={cap!r}"
            )
        delays = [first]
        while delays[-1] < cap:
            delays.append(min(delays[-1] * factor, cap))
        return cls(delays, jitter)

    def delay(self, earlier: int, chance: float | None = None) -> float:
        """Return seconds to wait when ``earlier`` restarts are still inside the window.

        ``chance``, 0 to 1, stands in for the random part of the jitter.
        """
        if not self.delays:
            return 0.0
        base = self.delays[min(earlier, len(self.delays) - 1)]
        if not self.jitter:
            return base
        # Jitter needs no secure randomness.
        share = random.random() if chance is None else chance  # noqa: S311 - jitter
        return base * (1 + self.jitter * share)


NO_BACKOFF = Backoff(())

WhenExhausted = Literal["escalate", "isolate"]


@attrs.frozen
class Restart:
    """The restart policy of one child: its type, and a budget of its own.

    One concept: the number of restarts still inside the window is the index into the delays and
    what the limit is compared with. So ``period`` seconds of good uptime start again at the
    first delay, and with the defaults the 4th crash within 30 s exhausts the budget.

    Attributes:
        type: permanent, transient or temporary.
        backoff: the delays before restarts.
        intensity: restarts allowed within ``period``; None: no limit of its own.
        period: seconds.
        when_exhausted: ``escalate``: the supervisor gives up, as in OTP; ``isolate``: the child
            is left failed and its siblings go on, also when it fails while the tree boots.
        min_uptime: seconds after which a restarted child counts as recovered.
    """

    type: RestartType = attrs.field(default=RestartType.PERMANENT, converter=restart_type_of)
    backoff: Backoff = Backoff()
    intensity: int | None = 3
    period: float = 30.0
    when_exhausted: WhenExhausted = "escalate"
    min_uptime: float = 1.0

    def __attrs_post_init__(self) -> None:
        """Refuse numbers and words that are out of range; name them all."""
        problems = [*_restart_problems(self)]
        if problems:
            raise SpecError(problems)


def _restart_problems(restart: Restart) -> Iterable[str]:
    yield from word_problems(RestartType, "restart", restart.type)
    if not isinstance(restart.backoff, Backoff):
        yield f"restart: backoff is a Backoff, not {restart.backoff!r}"
    yield from window_problems("restart", restart.intensity, restart.period)
    if restart.when_exhausted not in ("escalate", "isolate"):
        yield f"restart: when_exhausted is 'escalate' or 'isolate', not {restart.when_exhausted!r}"
    if not is_number(restart.min_uptime, 0):
        yield f"restart: min_uptime is seconds >= 0, not {restart.min_uptime!r}"


def window_problems(where: str, intensity: int | None, period: float) -> Iterable[str]:
    """Yield what is wrong with a limit of ``intensity`` restarts in ``period`` seconds."""
    if intensity is not None and not (isinstance(intensity, int) and is_number(intensity, 0)):
        yield f"{where}: intensity is a whole number >= 0 or None, not {intensity!r}"
    if not is_number(period, 0) or not period:
        yield f"{where}: period is a number of seconds > 0, not {period!r}"


OTP = Restart(backoff=NO_BACKOFF, intensity=None)
"""A child with OTP's behaviour: no delay and no budget of its own, only the supervisor's."""


class Window:
    """The times of the restarts that still count: those not older than ``period`` seconds.

    A restart exactly ``period`` seconds old still counts, as in OTP; unlike OTP the clock is not
    cut to whole seconds.
    """

    __slots__ = ("_times",)

    def __init__(self, times: Iterable[float] = ()) -> None:
        """Start from earlier restart times, oldest first."""
        self._times = deque(times)

    def count(self, now: float, period: float) -> int:
        """Return how many restarts are inside the window at ``now``; forget the older ones."""
        times = self._times
        oldest = now - period
        while times and times[0] < oldest:
            times.popleft()
        return len(times)

    def add(self, now: float) -> None:
        """Count a restart."""
        self._times.append(now)
