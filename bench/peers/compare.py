"""Every manager does the same work in turn, several times; a table for each measure."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from bench.peers import trees, work
from bench.peers.install import NotMeasured
from bench.peers.managers import DEFAULTS, OURS, PEERS, Manager
from bench.report import compare, head, row

REPEATS = 2
FAILURES = (NotMeasured, OSError, subprocess.SubprocessError, ValueError)
"""What a peer may fail with: it is named, and the run goes on."""


def _repeated(
    measures: Mapping[str, Callable[[], float]], repeats: int
) -> dict[str, Sequence[float] | str]:
    """Return the repeats of each. One after the other, so that a noisy minute hits all."""
    values: dict[str, list[float]] = {name: [] for name in measures}
    failed: dict[str, str] = {}
    for _ in range(repeats):
        for name, measure in measures.items():
            if name not in failed:
                try:
                    values[name].append(measure())
                except FAILURES as exc:
                    failed[name] = str(exc) or type(exc).__name__
    return {name: failed.get(name, found) for name, found in values.items()}


def _interleaved(
    managers: Sequence[Manager], measure: Callable[[Manager], float], repeats: int
) -> dict[str, Sequence[float] | str]:
    return _repeated({each.name: partial(measure, each) for each in managers}, repeats)


def _pairs(
    managers: Sequence[Manager], measure: Callable[[Manager], tuple[float, float]]
) -> tuple[dict[str, Sequence[float] | str], dict[str, Sequence[float] | str]]:
    """Return the same for a measure with two results."""
    second: dict[str, list[float]] = {}

    def first(manager: Manager) -> float:
        one, other = measure(manager)
        second.setdefault(manager.name, []).append(other)
        return one

    ones = _interleaved(managers, first, REPEATS)
    others = {name: ones[name] if isinstance(ones[name], str) else second[name] for name in ones}
    return ones, others


def restart() -> None:
    """Crash to running again of a task."""
    found = _repeated({"a2a_sup": trees.ours_on_newest, "triotp": trees.triotp_restarts}, 5)
    compare("task: crash to running again, Python 3.13", "CPU us", found)
    found = _repeated(
        {
            "a2a_sup": trees.ours,
            "OTP, long list": trees.otp_long_list,
            "OTP, short list": trees.otp_short_list,
        },
        5,
    )
    compare("the same beside Erlang/OTP", "CPU us", found)


def start() -> None:
    """From the launch until all processes run."""
    for count in (50, 200, 500):
        found = _interleaved([OURS, *PEERS], lambda manager: work.up(manager, count), REPEATS)  # noqa: B023 - called at once
        compare(f"{count} processes up", "s", found)


def replace() -> None:
    """From kill -9 of a process to its replacement."""
    found = _interleaved([OURS, *PEERS], work.replaced, REPEATS)
    compare("kill -9 to replaced", "s", found)


def idle() -> None:
    """200 processes that do nothing."""
    cpu, memory = _pairs([DEFAULTS, *PEERS], lambda manager: work.idle(manager, 200, 15))
    compare("200 idle: share of a core", "%", cpu)
    compare("200 idle: memory of the manager and its helpers", "MB", memory)


def storm() -> None:
    """50 processes that exit at once, with the settings that each has by default."""
    cpu, starts = _pairs([DEFAULTS, *PEERS], lambda manager: work.storm(manager, 50, 10))
    compare("50 exit at once: share of a core", "%", cpu)
    compare("50 exit at once: starts", "1/s", starts)


def stop() -> None:
    """200 processes and the manager gone."""
    found = _interleaved([DEFAULTS, *PEERS], lambda manager: work.stopped(manager, 200), REPEATS)
    compare("200 processes stopped", "s", found)


def leftovers() -> None:
    """Background processes that outlive what should end them."""
    head("left behind, of 1 each: plain, in a new session, daemonized")
    for ending in work.ENDINGS:
        for manager in (OURS, *PEERS):
            try:
                found = work.left_behind(manager, ending)
            except FAILURES as exc:
                row(f"after {ending}: {manager.name}", f"not measured: {exc}")
            else:
                row(f"after {ending}: {manager.name}", " ".join(map(str, found.values())))
