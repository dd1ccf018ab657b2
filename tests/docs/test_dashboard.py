"""The tables of docs/dashboard.md name the requests and the limits that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from a2a_sup.serve import changes, watcher
from a2a_sup.serve.publisher import Limits
from tests.docs.supervised import supervised

PAGE = (Path(__file__).parents[2] / "docs" / "dashboard.md").read_text(encoding="utf-8")


def cell(name: str) -> str:
    """Return the second cell of the row of this limit."""
    found = re.search(rf"^\| {re.escape(name)} \| ([^|]+) \|", PAGE, re.MULTILINE)
    assert found is not None, name
    return found[1]


def test_requests() -> None:
    section = PAGE.partition("## What you may send")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    with (
        supervised("[children.a]\ncommand = ['sleep', '1000']\n") as program,
        connect(program.url, proxy=None) as client,
    ):
        client.send('{"type": "what"}')
        said: dict[str, Any] = {}
        while said.get("type") != "error":
            said = json.loads(client.recv(timeout=20))
    allowed = said["data"]["message"].partition("allowed: ")[2].split(", ")
    assert documented == allowed


def test_limits() -> None:
    limits = Limits()
    assert cell("watchers") == f"{limits.clients:,} (`max_clients`)"
    assert cell("handshake") == f"{limits.handshake:g} s"
    assert cell("a message of yours") == f"{limits.message_size // 1024} Ki characters"
    assert cell("nothing taken, while a frame is due") == f"{limits.stall:g} s"
    assert cell("silence") == f"{limits.ping_interval:g} s"
    assert f"cut after another {limits.ping_timeout:g} s" in PAGE
    assert cell("frames that wait for you").endswith(f", {watcher.SUBJECTS_HELD} subjects")
    assert f"if more than {changes.PATHS_HELD} children" in PAGE
    assert changes.SNAPSHOT_PAUSE == 1.0
    assert cell("snapshots") == "one in a second"
    assert cell("events") == f"{changes.TIMELINE_HELD} between two frames"
    assert f"every {limits.metrics_interval:g} s" in PAGE
