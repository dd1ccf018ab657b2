"""Work in a process of its own: memory that was used before would be used again.

``python -m MODULE WORK SIZE`` does one of the module's works and prints what it found as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import trio

from bench.measure import NotMeasured, Take

ROOT = Path(__file__).parents[1]
PATIENCE = 600.0
"""Seconds that it is given."""
Work = Callable[[int], Awaitable[Mapping[str, float]]]


def serve(works: Sequence[Work]) -> None:
    """Do what the command line says, and print what was found."""
    by_name = {work.__name__: work for work in works}
    what, size = sys.argv[1:]
    print(json.dumps(trio.run(by_name[what], int(size))))


def alone(module: str, work: str) -> Take:
    """Return what has ``work`` of ``module`` done by this Python."""
    words: list[str | Path] = [sys.executable, "-m", module, work]
    return partial(_taken, words)


def _taken(words: Sequence[str | Path], size: int) -> Mapping[str, float]:
    return printed([*words, str(size)])


def printed(words: Sequence[str | Path]) -> Mapping[str, float]:
    """Return the JSON that a command prints last.

    Raises:
        NotMeasured: it fails, prints none, or is not done in time.
    """
    try:
        done = subprocess.run(
            words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"not done within {PATIENCE:g} s") from None
    if done.returncode:
        raise NotMeasured(done.stderr.strip()[-300:] or f"exited with {done.returncode}")
    lines = done.stdout.splitlines()
    if not lines:
        raise NotMeasured("it printed nothing")
    try:
        found: Mapping[str, float] = json.loads(lines[-1])
    except ValueError:
        raise NotMeasured(f"it printed no figures, but {lines[-1][:200]!r}") from None
    return found
