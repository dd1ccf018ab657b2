"""A scrape of a large tree, beside formatting as many lines and beside the client library."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

import trio
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from a2a_sup import TreeHandle, open_tree, supervisor, task
from a2a_sup.serve.lag import LoopLag
from a2a_sup.serve.metrics import Metrics
from bench.alone import serve
from bench.serving.turns import Turns

SCRAPES = 15


async def scrape(count: int) -> Mapping[str, float]:
    """Return CPU milliseconds of a scrape of ``count`` children, and its longest hold."""
    whole, holds = [], []
    group = [task(f"child-{each}", trio.sleep_forever) for each in range(100)]
    children = [supervisor(f"group-{number}", group) for number in range(count // 100)]
    async with open_tree(supervisor("root", children)) as tree:
        metrics = Metrics(tree.snapshot, LoopLag())
        await _text(metrics)  # what is made once
        for _ in range(SCRAPES):
            await _change(tree)
            turns = Turns()
            trio.lowlevel.add_instrument(turns)
            begin = time.process_time()
            await _text(metrics)
            whole.append(time.process_time() - begin)
            await trio.lowlevel.checkpoint()
            trio.lowlevel.remove_instrument(turns)
            holds.append(turns.longest)
    return {"cpu": statistics.median(whole) * 1e3, "held": statistics.median(holds) * 1e3}


async def _change(tree: TreeHandle) -> None:
    await tree.terminate_child("group-0/child-0")
    await tree.restart_child("group-0/child-0")


async def _text(metrics: Metrics) -> str:
    return "".join([piece async for piece in metrics.exposition()])


async def _shape(count: int) -> tuple[int, list[str]]:
    """Return how many lines there are for each child, and the paths."""
    async with open_tree(supervisor("root", [task("child-0", trio.sleep_forever)])) as tree:
        text = await _text(Metrics(tree.snapshot, LoopLag()))
    lines = text.count('child="')
    paths = [f"group-{number // 100}/child-{number % 100}" for number in range(count)]
    return lines, paths


async def formatting(count: int) -> Mapping[str, float]:
    """Return CPU milliseconds to format as many lines with the same labels and a number."""
    lines, paths = await _shape(count)
    taken = []
    for _ in range(SCRAPES):
        begin = time.process_time()
        "".join(f'metric{{child="{path}"}} {each}\n' for each in range(lines) for path in paths)
        taken.append(time.process_time() - begin)
    return {"cpu": statistics.median(taken) * 1e3}


async def client_library(count: int) -> Mapping[str, float]:
    """Return CPU milliseconds of ``generate_latest`` with as many labelled gauges."""
    lines, paths = await _shape(count)
    registry = CollectorRegistry()
    for number in range(lines):
        gauge = Gauge(f"metric_{number}", "A number.", ["child"], registry=registry)
        for path in paths:
            gauge.labels(path).set(number)
    taken = []
    for _ in range(SCRAPES):
        begin = time.process_time()
        generate_latest(registry)
        taken.append(time.process_time() - begin)
    return {"cpu": statistics.median(taken) * 1e3, "held": statistics.median(taken) * 1e3}


if __name__ == "__main__":
    serve((scrape, formatting, client_library))
