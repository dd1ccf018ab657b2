"""The children of a tree as rows, and numbers as people read them. Pure functions over JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import click

Json: TypeAlias = dict[str, Any]

COLOURS = {
    "running": "green",
    "starting": "cyan",
    "pending": "cyan",
    "stopping": "cyan",
    "backing_off": "yellow",
    "failed": "red",
    "stuck": "red",
    "unhealthy": "red",
    "not ready": "yellow",
}
UNITS = (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1))
REASON_LIMIT = 60
"""Characters shown of why a child ended."""


def health_of(row: Json) -> str:
    """Return one word about a child's health; empty: nothing is known."""
    if row["healthy"] is False:
        return "unhealthy"
    if row["ready"] is False:
        return "not ready"
    if row["ready"]:
        return "ready"
    return "healthy" if row["healthy"] else ""


def note_of(row: Json) -> str:
    """Return what is to be said of a child that does not run, or runs at times."""
    if row["waits_for"]:
        return f"waits for {', '.join(row['waits_for'])}"
    if row["next_attempt_in"] is not None:
        note = f"again in {duration(row['next_attempt_in'])}"
        return f"{note} ({_short(row['last_reason'])})" if row["last_reason"] else note
    if row["state"] in {"failed", "backing_off", "stuck", "finished"} and row["last_reason"]:
        return _short(row["last_reason"])
    return f"next run {row['next_run']}" if row.get("next_run") else ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= REASON_LIMIT else line[: REASON_LIMIT - 3] + "..."


def duration(seconds: float | None) -> str:
    """Return ``4.2s``, ``12s``, ``3m 20s``, ``5h 1m``, ``2d 3h``; empty for None."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for unit, length, below, part in UNITS:
        if whole >= length:
            return f"{whole // length}{unit} {whole % length // part}{below}"
    return f"{whole}s"


def size(count: float | None) -> str:
    """Return bytes as ``512B``, ``3.4M``, ``1.2G`` (powers of 1024); empty for None."""
    if count is None:
        return ""
    for unit in "BKMGT":
        if count < 1000 or unit == "T":
            return f"{count:.0f}{unit}" if count >= 100 or unit == "B" else f"{count:.1f}{unit}"
        count /= 1024
    raise AssertionError


TITLES = ("CHILD", "STATE", "HEALTH", "PID", "UPTIME", "RESTARTS", "MEMORY", "CPU", "")
NUMBERS = frozenset({"PID", "UPTIME", "RESTARTS", "MEMORY", "CPU"})


def cells_of(row: Json) -> tuple[str, ...]:
    """Return what stands below ``TITLES`` for a row."""
    return (
        row["path"],
        row["state"],
        health_of(row),
        "" if row["pid"] is None else str(row["pid"]),
        duration(row["uptime"]),
        str(row["restarts"]),
        size(row["memory_bytes"]),
        duration(row["cpu_seconds"]),
        note_of(row),
    )


def table(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table, coloured; who prints them takes the colours off a file."""
    cells = [tuple(titles), *(tuple(line) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for number, line in enumerate(cells):
        out = []
        for title, text, width in zip(titles, line, widths, strict=True):
            padded = text.rjust(width) if title in NUMBERS else text.ljust(width)
            colour = COLOURS.get(text)
            out.append(click.style(padded, fg=colour) if colour and number else padded)
        yield "  ".join(out).rstrip()
