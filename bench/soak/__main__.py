"""``python -m bench.soak --minutes 20``: exit status 0 if nothing leaked and nothing broke."""

from __future__ import annotations

import argparse
import math
import os
import random
import secrets
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import trio

from bench.soak.clock import JumpingClock
from bench.soak.leftovers import MARK, look
from bench.soak.population import kinds_of
from bench.soak.report import Report, told
from bench.soak.run import open_files, soak

LEAST = 10
"""Tasks, and processes: of fewer some acts would find nobody to do it to."""


def soaked(seconds: float, size: tuple[int, int]) -> Report:
    """Soak so many tasks and processes for so many seconds; then end what is left of it."""
    os.environ[MARK] = mark = secrets.token_hex(8)
    clock = JumpingClock()
    before = open_files()
    try:
        with tempfile.TemporaryDirectory() as logs:
            report = trio.run(soak, seconds, size, Path(logs), clock, mark, clock=clock)
    finally:
        left = _end(mark)
    if left:
        report.verdict.append(f"processes left behind: {left}")
    after = open_files()
    if after > before:
        report.verdict.append(f"files left open: {before} before, {after} after")
    return report


def _end(mark: str) -> list[int]:
    """End the processes that carry ``mark``; return them."""
    left = sorted(pid for pids in look(mark).values() for pid in pids)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return left


def _minutes(text: str) -> float:
    with suppress(ValueError):
        if 0 < (minutes := float(text)) < math.inf:
            return minutes
    raise argparse.ArgumentTypeError(f"found {text}; allowed: a number above 0")


def _number(text: str) -> int:
    with suppress(ValueError):
        if (number := int(text)) >= LEAST:
            return number
    raise argparse.ArgumentTypeError(f"found {text}; allowed: at least {LEAST}")


def main() -> None:
    """Soak as long as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=_minutes, default=20)
    parser.add_argument("--tasks", type=_number, default=200)
    parser.add_argument("--processes", type=_number, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    processes = len(kinds_of(given.processes))
    print(f"seed {given.seed}, {given.tasks} tasks, {processes} processes", flush=True)
    random.seed(given.seed)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    report: Report | None = None
    try:
        report = soaked(given.minutes * 60, (given.tasks, given.processes))
    except* KeyboardInterrupt:
        pass
    if report is None:
        sys.exit("ended before its time")
    print("\n".join(told(report, given.minutes * 60)))
    sys.exit(1 if report.broken or report.verdict else 0)


if __name__ == "__main__":
    main()
