"""``python -m bench.document``: put the figures of ``build/bench.json`` into the documentation.

In docs/performance.md and the README, what stands between ``<!-- figures: NAME -->`` and
``<!-- end -->`` is made of the tables of the measure NAME: what was done, and a line for each
figure and size, a column for each contender. Reasons are those that the measures give now: to mend
one takes no hour of measuring.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import textwrap
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.__main__ import MEASURES
from bench.measure import EXPONENT, Figure, Measure, growth_of, reason
from bench.report import RESULTS, UNEXPLAINED, number

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
README = Path(__file__).parents[1] / "README.md"
PAGES = (PAGE, README)
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
        if name in MEASURES:
            text = f"{_done(MEASURES[name])}\n\n{text}"
        return f"{slot[1]}\n{text}\n\n{slot[3]}"

    return SLOT.sub(fill, page)


def _done(measure: Measure) -> str:
    times = {1: "once", 2: "twice"}.get(measure.repeats, f"{measure.repeats} times")
    return textwrap.fill(f"{measure.about} Each {times}.", 100, break_on_hyphens=False)


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
    reasons: defaultdict[str, defaultdict[str, list[Json]]]
    reasons = defaultdict(lambda: defaultdict(list))
    for table in found["tables"]:
        figure, _ = _FIGURES[table["measure"], table["what"]]
        ratios = {row["who"]: row["ratio"] for row in table["rows"]}
        for who in table["behind"]:
            why = reason(figure.limits.get(who), ratios[who]) or UNEXPLAINED
            reasons[why][who].append(table)
    lines = []
    for why, places in reasons.items():
        lines += [f"- {_sentence(why)}", ""]
        lines += [f"  - {who}: {_places(tables)}" for who, tables in places.items()] + [""]
    return "\n".join(lines[:-1]) if lines else "Nowhere in this run."


_FIGURES: Mapping[tuple[str, str], tuple[Figure, str]] = {
    (name, what): (figure, size)
    for name, measure in MEASURES.items()
    for figure in measure.figures
    for what, size in (
        *((figure.what.format(size=f"{size:,}"), f"{size:,}") for size in measure.sizes),
        (growth_of(measure, figure), ""),
    )
}
"""By measure and table: the figure, and at which size."""


def _places(tables: Sequence[Json]) -> str:
    """Return what the tables are of, a figure with all its sizes at once."""
    sizes = defaultdict[str, list[str]](list)
    for table in tables:
        figure, size = _FIGURES[table["measure"], table["what"]]
        sizes[figure.what].append(size)
    return "; ".join(what.format(size=" / ".join(each)) for what, each in sizes.items())


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _missed(found: Json) -> str:
    reasons = defaultdict[str, list[str]](list)
    for table in found["tables"]:
        figure, _ = _FIGURES[table["measure"], table["what"]]
        for aim in table["missed"]:
            reasons[figure.missed or "why, nobody knows"].append(_aim(table, aim))
    lines = []
    for why, aims in reasons.items():
        lines += [f"- {_sentence(why)}", "", *(f"  - {aim}" for aim in aims), ""]
    return "\n".join(lines[:-1]) if lines else "None in this run."


def _unseen(found: Json) -> str:
    lines = [f"- {_aim(table, aim)}" for table in found["tables"] for aim in table["unseen"]]
    return "\n".join(lines) if lines else "None in this run."


def _aim(table: Json, aim: str) -> str:
    unit = "" if table["unit"] in ("", EXPONENT) else f", {table['unit']}"
    return f"{table['what']}{unit}: {_cell(table['rows'][0], table['unit'])}; aim: {aim}"


def _beside(found: Json) -> str:
    """Return the table of the README."""
    medians = {
        (table["measure"], table["what"], row["who"]): statistics.median(row["values"])
        for table in found["tables"]
        for row in table["rows"]
        if row["values"]
    }
    lines = [_line(["", *BESIDE]), _line(["---", *["---"] * len(BESIDE)])]
    for title, measure, whats in HIGHLIGHTS:
        sums = [[medians.get((measure, what, who)) for what in whats] for who in BESIDE]
        cells = ["-" if None in parts else number(sum(filter(None, parts))) for parts in sums]
        lines.append(_line([title, *cells]))
    return "\n".join(lines)


BESIDE = ("a2a_sup", "supervisord", "circus", "pm2", "runit", "s6")
HIGHLIGHTS = (
    ("500 processes up, s", "start", ["500 processes up"]),
    (
        "`kill -9` of one of 200 to replaced, ms",
        "replace",
        ["kill -9 of one of 200 to replaced, median"],
    ),
    ("1,000,000 lines captured, s", "lines", ["1,000,000 lines captured"]),
    ("memory with 200 processes, MB", "idle", ["200 idle: memory"]),
    (
        "of a plain process, one in a new session and a daemon, "
        "left after `kill -9` of the manager",
        "left",
        [
            f"left after kill -9 of the manager: {whose}"
            for whose in ("a plain one", "one in a session of its own", "a daemon")
        ],
    ),
)
"""Lines of the README's table: what they are called, and the sum of which figures they are."""


_SPECIAL: Mapping[str, Callable[[Json], str]] = {
    "about": _about,
    "behind": _behind,
    "missed": _missed,
    "unseen": _unseen,
    "beside": _beside,
}
"""Slots that are about the whole run."""


def main() -> None:
    """Fill the pages."""
    try:
        found = json.loads(RESULTS.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        sys.exit(f"{RESULTS.parent.name}/{RESULTS.name}: {exc}; make bench makes it")
    try:
        texts = [filled(page.read_text(encoding="utf-8"), found) for page in PAGES]
    except KeyError as exc:
        sys.exit(f"{RESULTS.name} is of other measures than there are now, {exc}: make bench")
    for page, text in zip(PAGES, texts, strict=True):
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
