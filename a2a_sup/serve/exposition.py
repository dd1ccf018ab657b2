"""Prometheus' text format 0.0.4, and histograms that cost next to nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def escaped(value: str) -> str:
    """Return a label's value as the format wants it between its quotes."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def labels_of(labels: Mapping[str, str]) -> str:
    """Return ``{name="value",...}``; nothing if there are none."""
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items()) + "}"


def head(name: str, kind: str, about: str) -> str:
    """Return the two lines before a family's samples. ``about`` has no newline."""
    return f"# HELP {name} {about}\n# TYPE {name} {kind}\n"


def sample(name: str, value: float, labels: Mapping[str, str] | None = None) -> str:
    """Return one line."""
    return f"{name}{labels_of(labels or {})} {number(value)}\n"


def number(value: float) -> str:
    """Return a value as the format has it; whole numbers without a point."""
    return str(int(value)) if value == int(value) else repr(float(value))


class Histogram:
    """Counts observations by size.

    Attributes:
        count: how many.
        sum: of all.
    """

    __slots__ = ("_bounds", "_counts", "count", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Take the upper bounds of the buckets, rising."""
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self.count = 0
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one more."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.count += 1
        self.sum += value

    def lines(self, name: str, labels: Mapping[str, str] | None = None) -> Iterable[str]:
        """Yield its samples."""
        labels = labels or {}
        total = 0
        for bound, count in zip((*self._bounds, None), self._counts, strict=True):
            total += count
            edge = "+Inf" if bound is None else repr(float(bound))
            yield sample(f"{name}_bucket", total, {**labels, "le": edge})
        yield sample(f"{name}_sum", self.sum, labels)
        yield sample(f"{name}_count", self.count, labels)
