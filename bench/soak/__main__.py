"""``python -m bench.soak --minutes 20``: exit status 0 if nothing leaked and nothing broke."""

from __future__ import annotations

import argparse
import os
import random
import secrets
import sys
import tempfile
from pathlib import Path

import trio

from bench.soak.clock import JumpingClock
from bench.soak.leftovers import MARK, look
from bench.soak.report import Report, told
from bench.soak.run import open_files, soak


def soaked(seconds: float, size: tuple[int, int]) -> Report:
    """Soak so many tasks and processes for so many seconds; then look for what is left of it."""
    os.environ[MARK] = mark = secrets.token_hex(8)
    clock = JumpingClock()
    before = open_files()
    with tempfile.TemporaryDirectory() as logs:
        report = trio.run(soak, seconds, size, Path(logs), clock, mark, clock=clock)
    left = sorted(pid for pids in look(mark).values() for pid in pids)
    report.demand(not left, f"processes left behind: {left}")
    after = open_files()
    report.demand(after <= before, f"files left open: {before} before, {after} after")
    return report


def main() -> None:
    """Soak as long as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--processes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    print(f"seed {given.seed}, {given.tasks} tasks, {given.processes} processes", flush=True)
    random.seed(given.seed)
    report = soaked(given.minutes * 60, (given.tasks, given.processes))
    print("\n".join(told(report, given.minutes * 60)))
    sys.exit(1 if report.broken else 0)


if __name__ == "__main__":
    main()
