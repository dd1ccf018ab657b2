"""The table of problems in docs/api.md is that of the code."""

from __future__ import annotations

import re
from pathlib import Path

from a2a_sup.serve.api_problems import PROBLEMS

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


def test_problems() -> None:
    rows = re.findall(r"^\| `/problems/([a-z-]+)` \| (\d+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert {kind: (int(status), title) for kind, status, title in rows} == PROBLEMS
