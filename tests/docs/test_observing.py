"""The table of docs/observing.md names the metrics that there are."""

from __future__ import annotations

import re
from pathlib import Path

import trio

from a2a_sup import open_tree, supervisor, task
from a2a_sup.serve.lag import LoopLag
from a2a_sup.serve.metrics import Metrics

PAGE = (Path(__file__).parents[2] / "docs" / "observing.md").read_text(encoding="utf-8")


OF_THE_DASHBOARD = {"a2a_sup_dashboard_clients": "gauge", "a2a_sup_dashboard_cut_total": "counter"}
"""Shown when there is a dashboard: the services add these."""


async def test_metrics() -> None:
    documented = dict(re.findall(r"^\| `(a2a_\w+)` \| (\w+) \|", PAGE, re.MULTILINE))
    async with open_tree(supervisor("root", [task("a", trio.sleep_forever)])) as tree:
        metrics = Metrics(tree.snapshot, LoopLag())
        text = "".join([piece async for piece in metrics.exposition()])
    shown = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    assert documented == shown | OF_THE_DASHBOARD
