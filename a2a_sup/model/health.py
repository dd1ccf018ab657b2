"""Probes: what is asked of a running child, how often, and what the answers add up to.

The terms and rules are those of Kubernetes' container probes, with two differences: a readiness
probe that has not passed yet is asked again sooner than its interval, and a failed startup or
liveness probe is a crash of the child, so the restart policy decides what comes next.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import attrs

from a2a_sup.errors import SpecError
from a2a_sup.model.words import is_number, member_of, word_problems

if TYPE_CHECKING:
    from a2a_sup.model.spec import ChildContext

MESSAGE_LIMIT = 200
"""Characters kept of what a check said."""
EAGER_WAIT = 0.05
"""Seconds, doubled with each check, between those of a readiness probe that has not passed yet."""
RESULTS_KEPT = 20
"""Results kept of each probe, over all incarnations of the child."""

Check: TypeAlias = "Callable[[ChildContext], Awaitable[object]]"
"""Asks a child once. It passes by returning, a text being a message for people; it fails by
returning False or raising: ``CheckFailed`` is shown by its message alone."""


class Purpose(StrEnum):
    """What a probe decides."""

    LIVENESS = "liveness"
    """Failure restarts the child."""
    READINESS = "readiness"
    """Says whether the child can serve."""
    STARTUP = "startup"
    """Holds the other probes off until it has passed; failure restarts the child."""


PurposeWord: TypeAlias = Literal["liveness", "readiness", "startup"]


def purpose_of(given: Purpose | PurposeWord) -> Purpose:
    """Return the purpose that a word names."""
    return member_of(Purpose, cast(Purpose, given))


@attrs.frozen(kw_only=True, eq=False)
class Probe:
    """One question to a child, asked again and again while it runs.

    Attributes:
        name: unique among the child's probes; shown with its results.
        check: asks once.
        purpose: what the answers decide.
        interval: seconds from the end of one check to the begin of the next.
        timeout: seconds; a check that takes longer has failed.
        initial_delay: seconds from the child's start to the first check.
        failure_threshold: failures in a row after which the probe is failing.
        success_threshold: passes in a row after which it is passing.
        jitter: each wait is longer or shorter by up to this part of the interval, 0 to 1, and
            the first check of liveness is late by up to as much: probes do not fire together.
    """

    name: str
    check: Check
    purpose: Purpose = attrs.field(default=Purpose.LIVENESS, converter=purpose_of)
    interval: float = 30.0
    timeout: float = 5.0
    initial_delay: float = 0.0
    failure_threshold: int = 3
    success_threshold: int = 1
    jitter: float = 0.1

    def __attrs_post_init__(self) -> None:
        """Raise SpecError with every mistake."""
        if problems := [f"probe {self.name!r}: {problem}" for problem in _problems(self)]:
            raise SpecError(problems)


def _problems(probe: Probe) -> Iterable[str]:
    if not isinstance(probe.name, str) or not probe.name:
        yield f"name is a text, not {probe.name!r}"
    if not callable(probe.check):
        yield f"check is an async function, not {probe.check!r}"
    yield from word_problems(Purpose, "purpose", probe.purpose)
    for field in ("interval", "timeout"):
        value = getattr(probe, field)
        if not is_number(value, 0) or not value:
            yield f"{field} is seconds > 0, not {value!r}"
    if not is_number(probe.initial_delay, 0):
        yield f"initial_delay is seconds >= 0, not {probe.initial_delay!r}"
    for field in ("failure_threshold", "success_threshold"):
        value = getattr(probe, field)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            yield f"{field} is a whole number >= 1, not {value!r}"
    if not is_number(probe.jitter, 0) or probe.jitter > 1:
        yield f"jitter is a number from 0 to 1, not {probe.jitter!r}"


def probes_problems(probes: Sequence[object]) -> Iterable[str]:
    """Yield what is wrong with the probes of one child, each being right by itself."""
    names = set[str]()
    for probe in probes:
        if not isinstance(probe, Probe):
            yield f"a probe is a Probe, not {probe!r}"
        elif probe.name in names:
            yield f"two probes have the name {probe.name!r}"
        else:
            names.add(probe.name)


def says_ready(probes: Iterable[Probe]) -> bool:
    """Return whether these probes say when a child is ready."""
    return any(probe.purpose is not Purpose.LIVENESS for probe in probes)


@attrs.frozen
class ProbeResult:
    """The answer to one check.

    Attributes:
        time: when it began, seconds on Trio's clock.
        passed: whether it passed.
        duration: seconds.
        message: one line, at most ``MESSAGE_LIMIT`` characters; empty if there is nothing to say.
    """

    time: float
    passed: bool
    duration: float
    message: str


@attrs.frozen
class Tally:
    """What the results of one probe add up to, from the start of the incarnation on.

    Attributes:
        verdict: whether the probe is passing; None: too few results to say.
        row: how many of the last results were alike.
        passed: how these were.
        has_passed: whether the verdict has been True.
    """

    verdict: bool | None = None
    row: int = 0
    passed: bool = False
    has_passed: bool = False

    def after(self, probe: Probe, *, passed: bool) -> Tally:
        """Return what one more result makes of it."""
        row = self.row + 1 if passed is self.passed else 1
        threshold = probe.success_threshold if passed else probe.failure_threshold
        verdict = passed if row >= threshold else self.verdict
        return Tally(verdict, row, passed, self.has_passed or verdict is True)


def first_wait(probe: Probe, chance: float) -> float:
    """Return the seconds from the start of a child to its first check; ``chance``: 0 to 1."""
    if probe.purpose is not Purpose.LIVENESS:
        return probe.initial_delay  # somebody may be waiting for the answer
    return probe.initial_delay + probe.interval * probe.jitter * chance


def next_wait(probe: Probe, tally: Tally, chance: float) -> float:
    """Return the seconds from the end of one check to the next; ``chance``: 0 to 1."""
    wait = probe.interval * (1 + probe.jitter * (2 * chance - 1))
    if probe.purpose is Purpose.READINESS and not tally.has_passed:
        # Its failures have no consequence, and its first pass is waited for.
        return min(wait, EAGER_WAIT * 2.0 ** min(tally.row, 20))
    return wait


@attrs.frozen
class ProbeSnapshot:
    """One probe of a child, as it stands.

    Attributes:
        name: the probe's.
        purpose: liveness, readiness or startup.
        passing: None: this incarnation has too few results to say.
        interval: seconds.
        results: the last ``RESULTS_KEPT``, oldest first, those of earlier incarnations included.
    """

    name: str
    purpose: str
    passing: bool | None
    interval: float
    results: tuple[ProbeResult, ...]


def is_healthy(probes: Iterable[tuple[Purpose, bool | None]]) -> bool | None:
    """Return whether a child is healthy: readiness is no part of it; None: nobody knows yet.

    ``probes`` are the purpose and the verdict of each.
    """
    verdicts = [verdict for purpose, verdict in probes if purpose is not Purpose.READINESS]
    if False in verdicts:
        return False
    return True if True in verdicts else None
