"""Runs the same scenarios on both sides and says where they part, and what they covered."""

from __future__ import annotations

import itertools
import json
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator

import attrs

from tests.conformance import ours
from tests.conformance.choices import Choices, shrunk
from tests.conformance.generate import scenario as generate
from tests.conformance.otp import Otp
from tests.conformance.scenario import Call, Scenario, to_data, walk
from tests.conformance.traces import Difference, Report, first_difference

BATCH = 50
"""Scenarios that are sent to the other side together: it works while this one does."""


@attrs.frozen
class Outcome:
    """One scenario on both sides.

    Attributes:
        otp: the reports of OTP.
        ours: the reports of this package; none if it failed.
        difference: where they part, or how this package failed.
    """

    scenario: Scenario
    otp: list[Report]
    ours: list[Report]
    difference: Difference | str | None

    def __str__(self) -> str:
        """The scenario as JSON, and both traces of the step that differs."""
        place = ""
        if isinstance(self.difference, Difference):
            number = self.difference.step
            place = f"\nstep {number} of {len(self.scenario.steps)} (-1: boot, last: final stop)"
        return f"{json.dumps(to_data(self.scenario), indent=1)}{place}\n{self.difference}"


def compare(otp: Otp, scenarios: Iterable[tuple[Scenario, int]]) -> Iterator[Outcome]:
    """Run each scenario, with its seed for the scheduling here, and yield what came of it."""
    rest = iter(scenarios)
    while batch := [*itertools.islice(rest, BATCH)]:
        otp.send(scenario for scenario, _ in batch)
        runs = [_run(*pair) for pair in batch]
        for (scenario, _), run, theirs in zip(batch, runs, otp.receive(), strict=True):
            if isinstance(run, str):
                yield Outcome(scenario, theirs, [], run)
            else:
                difference = first_difference(scenario, theirs, run)
                yield Outcome(scenario, theirs, run, difference)


def _run(scenario: Scenario, seed: int) -> list[Report] | str:
    try:
        return ours.run(scenario, seed)
    except Exception:  # noqa: BLE001 - a failed run is a finding, and shown as one
        return traceback.format_exc()


def compare_seeded(otp: Otp, seed: int, first: int, count: int) -> Iterator[Outcome]:
    """Compare the scenarios number ``first``, ``first`` + 1, ... of a seed."""
    numbers = range(first, first + count)
    return compare(otp, ((generated(seed, number), number) for number in numbers))


def generated(seed: int, number: int) -> Scenario:
    """Return one scenario of a seed."""
    return generate(Choices.seeded((seed, number)))


def smallest(otp: Otp, seed: int, number: int) -> Outcome:
    """Return the smallest scenario that differs and can be made from one that does."""

    def outcome(made: Choices) -> Outcome:
        return next(compare(otp, [(generate(made), number)]))

    start = Choices.seeded((seed, number))
    generate(start)
    row = shrunk(start.made, lambda made: outcome(made).difference is not None)
    return outcome(Choices.replayed(row))


# --- coverage ------------------------------------------------------------------------------------


def coverage(outcome: Outcome) -> Counter[str]:
    """Return what a scenario hit: 1 for each thing."""
    hits: set[str] = set()
    supervisors = {path for path, _ in walk(outcome.scenario.root)}
    boot, *others, _ = outcome.otp
    if boot.results != ("ok",):
        hits.add("root does not start")
    for report in (boot, *others):
        hits |= _restarts(report, supervisors) | _failures(report)
        if any(each.event == "end" and not each.path for each in report.happenings):
            hits.add("root ends by itself")
    for step, report in zip(outcome.scenario.steps, others, strict=True):
        if step.hold is not None:
            hits.add("several messages wait")
        for action, result in zip(step.actions, report.results, strict=True):
            if isinstance(action, Call):
                hits.add(f"{action.call}: {_word(result)}")
    if any(report.auto_shutdowns for report in outcome.ours):
        hits.add("auto-shutdown")
    return Counter(hits)


def _word(result: object) -> str:
    if isinstance(result, str):
        return result
    return "start_failed" if isinstance(result, tuple) else "answered"


def _restarts(report: Report, supervisors: set[str]) -> set[str]:
    gave_up = [each.path for each in report.happenings if each.event == "gave_up"]
    again = [each.path for each in report.happenings if each.event == "up" and each.number > 1]
    found = {
        "restart": bool(again),
        "restart of a supervisor": not supervisors.isdisjoint(again),
        "too many restarts": bool(gave_up),
        "escalation: a nested supervisor gave up": any(gave_up),
        "escalation over several levels": len(gave_up) > 1,
    }
    return {what for what, is_there in found.items() if is_there}


def _failures(report: Report) -> set[str]:
    hits = set[str]()
    up = set[str]()
    for each in report.happenings:
        match each.event:
            case "up":
                up.add(each.path)
            case "ignore":
                hits.add("ignored start")
            case "start_failed":
                hits.add("failed restart" if each.number > 1 else "failed start")
                if any(path.startswith(f"{each.path}/") for path in up):
                    hits.add("rollback: a start failed after siblings were up")
            case "end" if each.reason == "killed":
                hits.add("killed")
    return hits
