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
    """Return the JSON that a command prints last. Raises NotMeasured if it fails."""
    done = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    if done.returncode:
        raise NotMeasured(done.stderr.strip()[-300:])
    found: Mapping[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
