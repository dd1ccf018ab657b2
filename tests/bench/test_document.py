"""The page of figures is made of the figures."""

from __future__ import annotations

from typing import Any

import pytest

from bench.__main__ import MEASURES
from bench.document import HIGHLIGHTS, PAGE, README, SLOT, filled
from bench.report import number

PAGE_BEFORE = """# Figures

<!-- figures: work -->
old
<!-- end -->

Text that stays.

<!-- figures: rest -->
not measured this time
<!-- end -->
"""


def row(who: str, kind: str, values: list[float], **more: Any) -> dict[str, Any]:
    return {"who": who, "kind": kind, "values": values, "failed": "", "ratio": None, **more}


FOUND = {
    "about": {"date": "2020-02-02"},
    "tables": [
        {
            "measure": "work",
            "what": "work of 10",
            "unit": "ms",
            "rows": [
                row("a2a_sup", "ours", [1.0, 2.0, 3.0], ratio=1.0),
                row("bare", "floor", [1.0], ratio=0.5),
                row("other", "peer", [5.0], ratio=2.5),
                row("absent", "peer", [], failed="not here"),
            ],
            "aims": [],
            "missed": [],
            "unseen": [],
            "behind": {},
        }
    ],
}


def test_a_slot_gets_the_figures_and_the_rest_of_the_page_stays() -> None:
    page = filled(PAGE_BEFORE, FOUND)
    assert "| | a2a_sup | bare (floor) | other | absent |" in page.replace("|  |", "| |")
    assert "| work of 10, ms | **2.00** (1.00 to 3.00) | 1.00, 0.500 x | 5.00, 2.50 x | - |" in page
    assert "Not measured: absent: not here." in page
    assert "old" not in page
    assert "Text that stays." in page
    assert "not measured this time" in page


def test_filling_again_changes_nothing() -> None:
    page = filled(PAGE_BEFORE, FOUND)
    assert filled(page, FOUND) == page


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0123, "0.012"), (0.5, "0.500"), (2, "2.00"), (12.34, "12.3"), (12345, "12,345")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_every_slot_of_the_page_is_closed_and_is_of_a_measure_or_of_all() -> None:
    page = PAGE.read_text(encoding="utf-8")
    slots = [slot[2] for slot in SLOT.finditer(page)]
    assert len(slots) == page.count("<!-- figures:")
    assert sorted(slots) == sorted([*MEASURES, "about", "behind", "missed", "unseen"])


def test_the_table_of_the_readme_is_made_of_figures_that_there_are() -> None:
    [slot] = SLOT.finditer(README.read_text(encoding="utf-8"))
    assert slot[2] == "beside"
    for _, measure, whats in HIGHLIGHTS:
        found = {
            figure.what.format(size=f"{size:,}")
            for figure in MEASURES[measure].figures
            for size in MEASURES[measure].sizes
        }
        assert {*whats} <= found


def table(what: str, **more: Any) -> dict[str, Any]:
    rows = [row("a2a_sup", "ours", [2.0]), row("runit", "peer", [1.0], ratio=0.5)]
    empty: dict[str, Any] = {"aims": [], "missed": [], "unseen": [], "behind": {}}
    return {"measure": "replace", "what": what, "unit": "ms", "rows": rows, **empty, **more}


def slot(name: str, *tables: dict[str, Any]) -> str:
    page = f"<!-- figures: {name} -->\n<!-- end -->\n"
    return filled(page, {"about": {}, "tables": tables})


def test_who_is_ahead_is_listed_by_reason() -> None:
    figures = MEASURES["replace"].figures
    whats = [figure.what.format(size=size) for figure in figures for size in ("10", "200")]
    text = slot("behind", *(table(what, behind={"runit": ""}) for what in whats))
    shown = [figure.what.format(size="10 / 200") for figure in figures]
    assert f"  - runit: {shown[0]}; {shown[1]}\n" in text
    why = figures[0].limits["runit"].why
    assert f"- {why[0].upper()}{why[1:]}.\n" in text


def test_who_is_ahead_by_more_than_its_reason_is_not_explained() -> None:
    what = MEASURES["replace"].figures[0].what.format(size="200")
    rows = [row("a2a_sup", "ours", [99.0]), row("runit", "peer", [1.0], ratio=0.01)]
    assert "nobody has explained" in slot("behind", table(what, rows=rows, behind={"runit": ""}))


def test_missed_aims_are_listed_by_reason() -> None:
    figure = MEASURES["replace"].figures[0]
    known = figure.what.format(size="10")
    aims = {"missed": ["at most 2 x bare Popen"]}
    unknown = MEASURES["replace"].figures[1].what.format(size="10")
    text = slot("missed", table(known, **aims), table(unknown, **aims))
    aim = "ms: **2.00** (2.00 to 2.00); aim: at most 2 x bare Popen"
    assert f"- {figure.missed[0].upper()}{figure.missed[1:]}.\n\n  - {known}, {aim}\n" in text
    assert f"- Why, nobody knows.\n\n  - {unknown}, {aim}\n" in text
