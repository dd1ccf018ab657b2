"""``python -m bench.soak --minutes 20``: exit status 0 if nothing leaked and nothing broke."""

from __future__ import annotations

import argparse
import os
import random
import secrets
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import trio

from bench.soak.clock import JumpingClock
from bench.soak.run import Report, soak

MARK = "A2A_SUP_SOAK"


def left_over(mark: bytes) -> list[int]:
    """Return the processes that inherited our mark, but for this one."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if mark in Path(entry.path, "environ").read_bytes():
                    found.append(int(entry.name))
    return found


def tell(report: Report, seconds: float) -> None:
    """Print what was done and what was found."""
    print(f"{seconds / 60:.1f} minutes, {report.events} events, none lost by a prompt reader")
    for what, count in sorted(report.done.items()):
        print(f"  {what:<36} {count}")
    for what, samples, scale in (
        ("memory, MB", report.memory, 1e6),
        ("descriptors", report.descriptors, 1),
    ):
        settled = samples[len(samples) // 4]
        print(
            f"  {what:<36} settled {settled / scale:.1f}, end {samples[-1] / scale:.1f}, "
            f"most {max(samples) / scale:.1f}"
        )
    for what in report.broken:
        print(f"BROKEN: {what}")


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
    os.environ[MARK] = secrets.token_hex(8)
    clock = JumpingClock()
    with tempfile.TemporaryDirectory() as logs:
        report = trio.run(
            soak,
            given.minutes * 60,
            given.tasks,
            given.processes,
            Path(logs),
            clock,
            clock=clock,
        )
    left = left_over(f"{MARK}={os.environ[MARK]}".encode())
    report.demand(not left, f"processes left behind: {left}")
    tell(report, given.minutes * 60)
    sys.exit(1 if report.broken else 0)


main()
