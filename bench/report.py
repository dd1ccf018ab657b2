"""The tables of a run: printed as they are found, and kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from bench.measure import EXPONENT, Kind, Row, Table

RESULTS = Path(__file__).parents[1] / "build" / "bench.json"
"""The last run of all measures."""
PART = RESULTS.with_name("bench-part.json")
"""What there is of a run under way, and of one of some measures."""


def show(table: Table) -> None:
    """Print one table."""
    aims = "".join(f"; {aim}" for aim in table.aims)
    print(f"\n  {table.what}, {table.unit}{aims}" if table.unit != EXPONENT else _grown(table))
    for row in table.rows:
        print(f"    {_line(row, table.unit)}")
    for aim in table.missed:
        print(f"    MISSED: {aim}")
    if table.behind:
        print(f"    behind: {'; '.join(table.behind)}")
    print(end="", flush=True)


def _grown(table: Table) -> str:
    return f"\n  {table.what}; {table.aims[0]}"


def _line(row: Row, unit: str) -> str:
    name = row.who if row.kind is not Kind.FLOOR else f"{row.who} (floor)"
    if not row.values:
        return f"{name:<28} not measured: {row.failed}"
    if unit == EXPONENT:
        return f"{name:<28} {row.median:10.2f}"
    ratio = "" if row.ratio is None else f"{row.ratio:8.2f} x"
    low, high = number(min(row.values)), number(max(row.values))
    return f"{name:<28} {number(row.median):>10} {low:>10} .. {high:<10} {ratio}"


def number(value: float) -> str:
    """Return ``value`` with three digits, as people write it."""
    if value == 0:
        return "0"
    for digits, least in ((0, 100), (1, 10), (2, 1), (3, 0.1)):
        if abs(value) >= least:
            return f"{value:,.{digits}f}"
    return f"{value:.2g}"


def summary(tables: Sequence[Table]) -> list[str]:
    """Return what to say at the end: where we are behind whom and why, and what was aimed at."""
    reasons: dict[str, list[str]] = {}
    for table in tables:
        for who, why in table.behind.items():
            reasons.setdefault(why or UNEXPLAINED, []).append(f"{who}: {table.what}")
    lines = []
    for why, places in reasons.items():
        lines += ["", f"Behind, because {why}:", *(f"  {place}" for place in places)]
    missed = [f"  {t.what}, {t.unit}: {aim}" for t in tables for aim in t.missed]
    unseen = [f"  {t.what}, {t.unit}: {aim}" for t in tables for aim in t.unseen]
    for title, aims in (("missed", missed), ("that could not be looked at", unseen)):
        lines += ["", f"Aims {title}:", *aims] if aims else []
    return lines


UNEXPLAINED = "of what nobody has explained, or further than what is explained"


def is_explained(tables: Sequence[Table]) -> bool:
    """Return whether there is a reason for every place where we are behind a peer."""
    return all(all(table.behind.values()) for table in tables)


def is_ours_measured(tables: Sequence[Table]) -> bool:
    """Return whether there is a figure of ours in every table of figures."""
    return all(t.rows[0].values for t in tables if t.unit != EXPONENT)


def write(about: Mapping[str, Any], tables: Sequence[Table]) -> Path:
    """Write all tables of a run so far as JSON; return where.

    Raises:
        OSError: it cannot be written.
    """
    PART.parent.mkdir(exist_ok=True)
    found = {"about": dict(about), "tables": [attrs.asdict(table) for table in tables]}
    PART.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return PART
