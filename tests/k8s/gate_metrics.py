"""The metrics that alerts and dashboard ask for are those of the program."""

from __future__ import annotations

import json
import re
import signal
import urllib.request
from pathlib import Path

import trio

from tests.app.conftest import Program, Start, start
from tests.k8s.gate_alerts import METRICS

__all__ = ["start"]

TREE = """
[children.messy]
command = ["sh", "-c", "setsid sleep 1000 & sleep 0.2; exit 1"]
restart = { backoff = ["10ms"], intensity = 1, period = "60s" }
[children.web]
command = ["sleep", "1000"]
probes = [{ purpose = "liveness", command = ["true"], interval = "100ms" }]
"""


async def test_the_program_has_every_one_and_counts_what_was_left_behind(
    start: Start,
    tmp_path: Path,
) -> None:
    file = tmp_path / "tree.toml"
    file.write_text(TREE, encoding="utf-8")
    program: Program = await start(
        "run", "--http", "127.0.0.1:0", "--dashboard", "127.0.0.1:0", file
    )
    address = (await program.until("tree.started"))["http"]
    await program.until("child.failed", child="messy")

    def scrape() -> str:
        with urllib.request.urlopen(f"http://{address}/metrics") as answer:
            text: str = answer.read().decode()
            return text

    text = ""
    with trio.fail_after(20):
        while not (METRICS - {"up"}) <= names_in(text) or "leftovers_swept_total 2" not in text:
            text = await trio.to_thread.run_sync(scrape)
            await trio.sleep(0.05)
    assert json.dumps(sorted(METRICS - names_in(text))) == '["up"]'
    assert 'a2a_sup_children{state="failed"} 1' in text
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0


def names_in(text: str) -> set[str]:
    return set(re.findall(r"^(\w+)[{ ]", text, re.MULTILINE))
