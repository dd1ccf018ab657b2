"""The table that a run prints, and the same as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "build" / "bench.json"

_rows: list[dict[str, Any]] = []


def head(text: str) -> None:
    """Print the heading of some rows."""
    print(f"\n{text}", flush=True)


def row(what: str, ours: str, floor: str = "", ratio: str = "", bound: str = "") -> None:
    """Print one line: a figure of ours beside its floor, their ratio, and the aim."""
    print(f"{what:<52} {ours:>12} {floor:>12} {ratio:>8}   {bound}", flush=True)
    _rows.append({"what": what, "ours": ours, "floor": floor, "ratio": ratio, "aim": bound})


def compare(what: str, unit: str, found: dict[str, Sequence[float] | str]) -> None:
    """Print one line for each of several programs that did the same; the first one is ours.

    ``found`` has the repeats of each, or why it was not measured. The ratio is theirs to ours:
    above 1 they took more.
    """
    print(f"\n{what}, {unit}", flush=True)
    ours = next(iter(found.values()))
    base = None if isinstance(ours, str) else statistics.median(ours)
    for name, values in found.items():
        entry: dict[str, Any] = {"what": what, "unit": unit, "who": name}
        if isinstance(values, str):
            print(f"  {name:<14} not measured: {values}", flush=True)
            entry["not_measured"] = values
        else:
            middle, low, high = statistics.median(values), min(values), max(values)
            ratio = "" if not base else f"{middle / base:8.2f} x"
            print(f"  {name:<14} {middle:12.3f} {low:12.3f} .. {high:<12.3f} {ratio}", flush=True)
            entry |= {"median": middle, "low": low, "high": high, "repeats": list(values)}
        _rows.append(entry)


def write(about: dict[str, Any]) -> Path:
    """Write all rows of this run as JSON; return where."""
    RESULTS.parent.mkdir(exist_ok=True)
    text = json.dumps({**about, "rows": _rows}, indent=1) + "\n"
    RESULTS.write_text(text, encoding="utf-8")
    return RESULTS
