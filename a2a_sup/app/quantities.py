"""Durations and sizes as people write them."""

from __future__ import annotations

import math
import re

_UNITS_OF_TIME = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_UNITS_OF_SIZE = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
SIZE_LIMIT = 2**63 - 1
"""Bytes: what the operating system can be told."""

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_SECONDS = re.compile(_NUMBER)
_DURATION = re.compile("".join(rf"(?:({_NUMBER}){unit}(?![a-z]))?" for unit in _UNITS_OF_TIME))
_SIZE = re.compile(rf"({_NUMBER}) ?([a-zA-Z]*)")


def duration(given: str | float) -> float:
    """Return seconds.

    Args:
        given: numbers with the units d, h, m, s, ms, the larger first (``"500ms"``, ``"30s"``,
            ``"1h30m"``); or a plain number: seconds.

    Raises:
        ValueError: it is not a duration, or not a finite one.
    """
    try:
        seconds = _written_seconds(given) if isinstance(given, str) else float(given)
    except OverflowError:
        seconds = math.inf
    if not 0 <= seconds < math.inf:
        raise ValueError(f"not a duration: {given!r}")
    return seconds


def _written_seconds(text: str) -> float:
    if _SECONDS.fullmatch(text):
        return float(text)
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError(f"not a duration: {text!r}")
    numbers = zip(match.groups(), _UNITS_OF_TIME.values(), strict=True)
    return sum(float(number) * unit for number, unit in numbers if number)


def size(given: str | int) -> int:
    """Return bytes.

    Args:
        given: a number and a unit: kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (powers of
            1024), in any case; or a plain number: bytes.

    Raises:
        ValueError: it is not a size, or more than ``SIZE_LIMIT``.
    """
    if isinstance(given, str):
        match = _SIZE.fullmatch(given)
        if match is None or match[2].lower() not in _UNITS_OF_SIZE:
            raise ValueError(f"not a size: {given!r}")
        scaled = float(match[1]) * _UNITS_OF_SIZE[match[2].lower()]
    else:
        scaled = given
    if not 0 <= scaled <= SIZE_LIMIT:
        raise ValueError(f"not a size: {given!r}")
    return int(scaled)
