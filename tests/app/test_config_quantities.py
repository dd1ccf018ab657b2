"""Durations and sizes as people write them."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup.app.quantities import SIZE_LIMIT, duration, size

UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("5m", 300),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1d12h", 129_600),
        ("1.5h", 5400),
        ("0s", 0),
        ("1m30s500ms", 90.5),
        ("7", 7),
        (7, 7),
        (0.25, 0.25),
    ],
)
def test_durations(written: Any, seconds: float) -> None:
    assert duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    ["", "s", "3 parsecs", "-1s", "30m1h", "1h1h", "1s ", "1e3", "٣s", "1.s", "9" * 400 + "d",
     math.nan, math.inf, -1, -0.5, 10**400],
)  # fmt: skip
def test_what_is_no_duration(written: Any) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        duration(written)


@given(st.integers(0, 10**12))
def test_durations_round_trip(milliseconds: int) -> None:
    rest, written = milliseconds, ""
    for unit, length in UNITS.items():
        count, rest = divmod(rest, length)
        written += f"{count}{unit}" if count else ""
    assert duration(written or "0s") == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("10MiB", 10 * 2**20),
        ("512KiB", 512 * 1024),
        ("1.5 GiB", 3 * 2**29),
        ("1kB", 1000),
        ("2gb", 2 * 10**9),
        ("100B", 100),
        ("0", 0),
        (4096, 4096),
    ],
)
def test_sizes(written: Any, expected: int) -> None:
    assert size(written) == expected


@pytest.mark.parametrize(
    "written", ["", "MiB", "10 apples", "-1", "1e3", -1, SIZE_LIMIT + 1, "9" * 400, "9999999TiB"]
)
def test_what_is_no_size(written: Any) -> None:
    with pytest.raises(ValueError, match="not a size"):
        size(written)


@given(st.text())
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    for read in (duration, size):
        with contextlib.suppress(ValueError):
            assert read(text) >= 0
