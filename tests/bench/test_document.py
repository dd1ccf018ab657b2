"""The page of figures is made of the figures."""

from __future__ import annotations

from typing import Any

import pytest

from bench.__main__ import MEASURES
from bench.document import PAGE, SLOT, filled
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
