"""``python -m bench.document``: put the figures of ``build/bench.json`` into docs/performance.md.

In the page, what stands between ``<!-- figures: NAME -->`` and ``<!-- end -->`` is made of the
tables of the measure NAME: a line for each figure and size, a column for each contender.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.__main__ import MEASURES
from bench.measure import EXPONENT, Limit, reason
from bench.report import RESULTS, UNEXPLAINED, number

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
SLOT = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
Json = Mapping[str, Any]


def filled(page: str, found: Json) -> str:
    """Return ``page`` with its slots filled with what was ``found``.

    A slot that is of no measure stays as it is.
    """
    tables: Sequence[Json] = found["tables"]

    def fill(slot: re.Match[str]) -> str:
        name = slot[2]
        special = _SPECIAL.get(name)
        here = [table for table in tables if table["measure"] == name]
        if special is None and not here:
            return slot[0]
        text = _grid(here) if special is None else special(found)
        return f"{slot[1]}\n{text}\n\n{slot[3]}"

    return SLOT.sub(fill, page)


def _grid(tables: Sequence[Json]) -> str:
    """Return one table of all: lines are figures, columns are contenders."""
    names = list(dict.fromkeys(row["who"] for table in tables for row in table["rows"]))
    lines = [_line(["", *map(_head(tables), names)]), _line(["---", *["---"] * len(names)])]
    for table in tables:
        rows = {row["who"]: row for row in table["rows"]}
        unit = "" if table["unit"] in ("", EXPONENT) else f", {table['unit']}"
        cells = [_cell(rows.get(name), table["unit"]) for name in names]
        lines.append(_line([f"{table['what']}{unit}", *cells]))
    notes = {
        f"{row['who']}: {row['failed']}"
        for table in tables
        for row in table["rows"]
        if row["failed"] and table["unit"] != EXPONENT
    }
    return "\n".join(lines) + "".join(f"\n\nNot measured: {note}." for note in sorted(notes))


def _head(tables: Sequence[Json]) -> Callable[[str], str]:
    floors = {r["who"] for t in tables for r in t["rows"] if r["kind"] == "floor"}
    return lambda name: f"{name} (floor)" if name in floors else name


def _cell(row: Json | None, unit: str) -> str:
    if row is None:
        return ""
    if row["failed"]:
        return "-"
    values = row["values"]
    middle = statistics.median(values)
    if unit == EXPONENT:
        return f"{middle:.2f}"
    if row["kind"] == "ours":
        return f"**{number(middle)}** ({number(min(values))} to {number(max(values))})"
    ratio = "" if row["ratio"] is None else f", {number(row['ratio'])} x"
    return f"{number(middle)}{ratio}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _about(found: Json) -> str:
    return "; ".join(f"{key} {value}" for key, value in found["about"].items()) + "."


def _behind(found: Json) -> str:
    """Return who is ahead of us, and why, as the measures say it now."""
    lines = []
    for why, places in _reasons(found).items():
        lines += [f"- {why[:1].upper()}{why[1:]}.", f"  Ahead of us: {'; '.join(places)}."]
    return "\n".join(lines) if lines else "Nowhere in this run."


def _reasons(found: Json) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for table in found["tables"]:
        limits = _LIMITS.get((table["measure"], table["what"]), {})
        ratios = {row["who"]: row["ratio"] for row in table["rows"]}
        for who in table["behind"]:
            why = reason(limits.get(who), ratios[who]) or UNEXPLAINED
            reasons.setdefault(why, []).append(f"{who}, {table['what']}")
    return reasons


_LIMITS: Mapping[tuple[str, str], Mapping[str, Limit]] = {
    (name, figure.what.format(size=f"{size:,}")): figure.limits
    for name, measure in MEASURES.items()
    for figure in measure.figures
    for size in measure.sizes
}
"""By measure and table: an explanation may be mended without an hour of measuring."""


def _missed(found: Json) -> str:
    return _aims(found, "missed")


def _unseen(found: Json) -> str:
    return _aims(found, "unseen")


def _aims(found: Json, which: str) -> str:
    lines = [
        f"- {table['what']}{', ' * bool(table['unit'])}{table['unit']}: "
        f"{_cell(table['rows'][0], table['unit'])}; aim: {aim}"
        for table in found["tables"]
        for aim in table[which]
    ]
    return "\n".join(lines) if lines else "None in this run."


_SPECIAL: Mapping[str, Callable[[Json], str]] = {
    "about": _about,
    "behind": _behind,
    "missed": _missed,
    "unseen": _unseen,
}
"""Slots that are about the whole run."""


def main() -> None:
    """Fill the page, if the last run was of everything."""
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    if not found["is_whole"]:
        sys.exit("the last run was not of all measures: the page tells of one run, make bench")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
