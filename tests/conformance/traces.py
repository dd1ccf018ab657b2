"""What a run reports after each step, and how the reports of two runs are compared."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from tests.conformance.scenario import Call, Scenario, Step, join

EventWord = Literal["start", "up", "ignore", "start_failed", "asked", "end", "gave_up"]


@attrs.frozen
class Happening:
    """What became of one start of one child.

    Attributes:
        event: ``start``: its supervisor starts it; ``up``: it acknowledged; ``asked``: it was
            asked to stop and noticed; ``end``: it was up and is gone; ``gave_up``: this
            supervisor counted one restart too many.
        path: the child, or the supervisor that gave up.
        number: which start at this path, counted over the whole scenario.
        reason: of an end.
    """

    event: EventWord
    path: str
    number: int = 0
    reason: str = ""

    def __str__(self) -> str:
        number = f" #{self.number}" if self.number else ""
        return f"{self.event} {self.path or 'root'}{number} {self.reason}".rstrip()


@attrs.frozen
class Report:
    """What was seen in one step.

    Attributes:
        results: what each action returned.
        happenings: in order.
        alive: the paths of living processes.
        auto_shutdowns: of this package only, to count how many scenarios have any. OTP does not
            tell; that the supervisor ended shows all the same.
    """

    results: tuple[Any, ...] = ()
    happenings: tuple[Happening, ...] = ()
    alive: tuple[str, ...] = ()
    auto_shutdowns: int = attrs.field(default=0, eq=False)

    def lines(self) -> list[str]:
        """Return the report as text, one fact in each line."""
        return [
            *(f"returned {result}" for result in self.results),
            *map(str, self.happenings),
            f"alive: {' '.join(path or 'root' for path in self.alive) or 'nobody'}",
        ]


def tidy(scenario: Scenario, reports: Sequence[Report]) -> list[Report]:
    """Return the reports of a run without what neither side promises."""
    dynamic = scenario.dynamic_paths()
    lives = _Lives(has_booted=reports[0].results == ("ok",))
    return [
        attrs.evolve(
            report,
            happenings=_unordered(filter(None, map(lives.tidy, report.happenings)), dynamic),
            alive=tuple(sorted(report.alive)),
        )
        for report in reports
    ]


class _Lives:
    """Follows the happenings of one run."""

    def __init__(self, *, has_booted: bool) -> None:
        self._up = {("", 1)} if has_booted else set[tuple[str, int]]()
        self._asked: set[tuple[str, int]] = set()

    def tidy(self, happening: Happening) -> Happening | None:
        life = happening.path, happening.number
        match happening.event:
            case "up":
                self._up.add(life)
            case "asked":
                self._asked.add(life)
            case "end" if life not in self._up:
                # A child that fails to start may be a process for a while in OTP, or not,
                # depending on how it fails. What counts is `start_failed`.
                return None
            case "end" if life in self._asked and happening.reason == "normal":
                # To us, returning when asked to is what `shutdown` means. Neither supervisor
                # does anything with how a child ended that it had asked to.
                return attrs.evolve(happening, reason="shutdown")
        # The start of the root is what the boot returns; no supervisor reports it.
        is_start_of_root = not happening.path and happening.event in ("start", "up", "start_failed")
        return None if is_start_of_root else happening


def _unordered(happenings: Iterable[Happening], dynamic: set[str]) -> tuple[Happening, ...]:
    """Bring the stops of a dynamic supervisor's children, which have no order, into one.

    The order of what happens to each of them is kept.
    """
    ordered: list[Happening] = []

    def parent(happening: Happening) -> str | None:
        above, _, name = happening.path.rpartition("/")
        is_stop = happening.event in ("asked", "end") and name
        return above if is_stop and above in dynamic else None

    for above, group in itertools.groupby(happenings, parent):
        stops = list(group)
        ordered += stops if above is None else sorted(stops, key=lambda each: each.path)
    return tuple(ordered)


# --- comparison ----------------------------------------------------------------------------------


@attrs.frozen
class Difference:
    """Where two runs part.

    Attributes:
        step: -1 is the boot; the last one the final stop.
        otp: what OTP reported there.
        ours: what this package reported there.
    """

    step: int
    otp: Report
    ours: Report

    def __str__(self) -> str:
        """Both traces, line by line; ``!`` where they differ."""
        pairs = itertools.zip_longest(self.otp.lines(), self.ours.lines(), fillvalue="")
        rows = [("OTP", "a2a_sup"), *pairs]
        width = max(len(left) for left, _ in rows) + 2
        return "\n".join(
            f"{'!' if number and left != right else ' '} {left:<{width}}{right}"
            for number, (left, right) in enumerate(rows)
        )


def first_difference(
    scenario: Scenario, otp: Sequence[Report], ours: Sequence[Report]
) -> Difference | None:
    """Return the first step that differs, or None."""
    steps = (Step(()), *scenario.steps, Step(()))
    left, right = tidy(scenario, otp), tidy(scenario, ours)
    for number, (step, theirs, mine) in enumerate(zip(steps, left, right, strict=True), -1):
        is_same = (
            theirs.happenings == mine.happenings
            and theirs.alive == mine.alive
            and _same_results(scenario, step, theirs, mine)
        )
        if not is_same:
            return Difference(number, theirs, mine)
    return None


def _same_results(scenario: Scenario, step: Step, otp: Report, ours: Report) -> bool:
    if not step.actions:
        return otp.results == ours.results
    ended = {happening.path for happening in ours.happenings if happening.event == "end"}
    dynamic = scenario.dynamic_paths()
    return all(
        theirs == mine
        or (
            isinstance(action, Call)
            and _same_answer(action, theirs, mine, ended, is_dynamic=action.path in dynamic)
        )
        for action, theirs, mine in zip(step.actions, otp.results, ours.results, strict=True)
    )


def _same_answer(call: Call, otp: Any, ours: Any, ended: set[str], *, is_dynamic: bool) -> bool:
    """Return whether two answers that are not equal mean the same."""
    match call.call:
        case "terminate_child" if is_dynamic:
            # OTP knows the former pids of children that are gone, and has nothing to do. We
            # know names, and a dynamic child's name is gone with it.
            return bool(otp == "ok" and ours == "not_found")
        case "count_children" if is_dynamic and isinstance(ours, list):
            # OTP's count of active children is wrong after a child was terminated between two
            # attempts to restart it, and includes the dead that it has not looked at.
            return bool([otp[0], *otp[2:]] == [ours[0], *ours[2:]])
        case "which_children" if isinstance(ours, list) and len(otp) == len(ours):
            # OTP shows the pid of a child that is dead until it has looked at the death; we show
            # what is known. So a child that ended in this very step may be shown as either.
            pairs = _nameless(otp, ours) if is_dynamic else zip(otp, ours, strict=True)
            return all(
                theirs == mine
                or (theirs[1:] == ("pid", mine[2]) and join(call.path, mine[0]) in ended)
                for theirs, mine in pairs
            )
    return False


_Listed: TypeAlias = tuple[str, str, str]


def _nameless(otp: list[_Listed], ours: list[_Listed]) -> Iterator[tuple[_Listed, _Listed]]:
    """Pair the children of a dynamic supervisor: they have no order, and to OTP no names."""
    rest = list(ours)
    for child in sorted(otp, key=lambda child: child[1] == "pid"):
        # A state that is not `pid` has to be the same here; the rest is for the pids.
        mine = next((mine for mine in rest if mine[1:] == child[1:]), rest[0])
        rest.remove(mine)
        yield (mine[0], *child[1:]), mine
