"""Supervision trees of tasks: this one, triotp's, and OTP's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from bench.peers.install import HOME, NotMeasured, triotp

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESTARTS = 20_000
FEW = 10
"""Restarts under one OTP supervisor where its list is to stay short."""


def ours(python: str | Path = sys.executable) -> float:
    """Return CPU microseconds for each restart."""
    program = (
        f"import trio; from bench import tasks; print(trio.run(tasks.tree_restarts, {RESTARTS}))"
    )
    return _number([python, "-c", program]) * 1e6


def ours_on_newest() -> float:
    """Return the same on the Python that triotp has."""
    return ours(triotp() / "python")


def triotp_restarts() -> float:
    """Return the same for triotp, its log muted."""
    return _number([triotp() / "python", HERE / "triotp_restarts.py", str(RESTARTS)])


def otp_long_list() -> float:
    """Return the same for OTP, all restarts within one period."""
    return _otp(RESTARTS)


def otp_short_list() -> float:
    """Return the same for OTP, under a fresh supervisor after every few."""
    return _otp(FEW)


def _otp(each: int) -> float:
    if shutil.which("erlc") is None:
        raise NotMeasured("Erlang is not here")
    HOME.mkdir(parents=True, exist_ok=True)
    subprocess.run(["erlc", "-o", HOME, HERE / "restarts.erl"], check=True, timeout=60)
    words: list[str | Path] = [
        "erl",
        "-noinput",
        "-pa",
        HOME,
        "-run",
        "restarts",
        "main",
        str(RESTARTS),
        str(each),
    ]
    return _number(words)


def _number(words: list[str | Path]) -> float:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise NotMeasured(done.stderr.strip()[-300:])
    return float(done.stdout.split()[-1])
