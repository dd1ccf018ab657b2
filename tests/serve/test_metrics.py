"""Metrics: fresh at each scrape, gone with a child, and read by promtool and a real Prometheus."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from a2a_sup import Restart, TreeHandle, open_tree, supervisor, task
from a2a_sup.model import events
from a2a_sup.model.health import ProbeResult
from a2a_sup.model.reasons import Reason, ReasonKind
from a2a_sup.model.spec import ChildContext
from a2a_sup.serve.exposition import Histogram, labels_of
from a2a_sup.serve.lag import LoopLag
from a2a_sup.serve.metrics import Metrics, metrics_routes
from a2a_sup.serve.site import site

Serve = Callable[..., Awaitable[str]]
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
CRASH = Reason(ReasonKind.CRASHED, "boom")


def read(text: str) -> Samples:
    """Parse by the client library, which is not what wrote it."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


async def scrape(metrics: Metrics) -> Samples:
    return read("".join([piece async for piece in metrics.exposition()]))


@pytest.fixture
async def tree() -> AsyncIterator[TreeHandle]:
    async def waits(task_status: ChildContext) -> None:
        task_status.started()
        task_status.ready(is_ready=False)
        await trio.sleep_forever()

    never = Restart(when_exhausted="isolate", intensity=0)

    async def crashes() -> None:
        raise ValueError

    children = [
        task("plain", trio.sleep_forever),
        task('odd "\\ {name}', trio.sleep_forever),
        supervisor("group", [task("waits", waits)]),
        task("crashes", crashes, restart=never),
    ]
    async with open_tree(supervisor("root", children)) as handle:
        await handle.wait_until(lambda now: now.child("crashes").state == "failed")
        yield handle


def metrics_of(tree: TreeHandle) -> Metrics:
    return Metrics(tree.snapshot, LoopLag())


async def test_children_are_shown_as_they_are(tree: TreeHandle) -> None:
    found = await scrape(metrics_of(tree))
    assert value(found, "a2a_sup_child_up", child="plain") == 1
    assert value(found, "a2a_sup_child_up", child='odd "\\ {name}') == 1
    assert value(found, "a2a_sup_child_up", child="crashes") == 0
    assert value(found, "a2a_sup_child_ready", child="plain") == 1
    assert value(found, "a2a_sup_child_ready", child="group/waits") == 0
    assert value(found, "a2a_sup_child_backoff_seconds", child="plain") == 0
    assert value(found, "a2a_sup_child_restarts_total", child="plain") == 0
    assert value(found, "a2a_sup_child_uptime_seconds", child="plain") >= 0
    assert ("a2a_sup_child_uptime_seconds", frozenset({("child", "crashes")})) not in found
    assert value(found, "a2a_sup_children", state="running") == 4
    assert value(found, "a2a_sup_children", state="failed") == 1
    assert value(found, "a2a_sup_children", state="stuck") == 0


async def test_a_scrape_is_never_stale_and_a_removed_child_leaves_no_series(
    tree: TreeHandle,
) -> None:
    metrics = metrics_of(tree)
    metrics.take(events.ChildEnded(1, 0.0, "plain", 1, CRASH))
    found = await scrape(metrics)
    assert value(found, "a2a_sup_child_exits_total", child="plain", reason="crashed") == 1
    await tree.terminate_child("plain")
    assert value(await scrape(metrics), "a2a_sup_child_up", child="plain") == 0
    await tree.delete_child("plain")
    assert not [key for key in await scrape(metrics) if ("child", "plain") in key[1]]


async def test_events_are_counted(tree: TreeHandle, nursery: trio.Nursery) -> None:
    metrics = metrics_of(tree)
    with tree.events() as subscription:
        nursery.start_soon(metrics.count, subscription)
        await tree.restart_child("crashes")
        await tree.wait_until(lambda now: now.child("crashes").state == "failed")
        await trio.testing.wait_all_tasks_blocked()
        found = await scrape(metrics)
        assert value(found, "a2a_sup_child_exits_total", child="crashes", reason="crashed") == 1
        nursery.cancel_scope.cancel()


async def test_probes_and_dropped_events_are_counted(tree: TreeHandle) -> None:
    metrics = metrics_of(tree)
    for passed in (True, True, False):
        result = ProbeResult(0.0, passed, 0.02, "")
        metrics.take(events.ChildProbed(1, 0.0, "plain", 1, "http", "liveness", result))
    metrics.take(events.EventsDropped(7))
    found = await scrape(metrics)
    assert value(found, "a2a_sup_probes_total", child="plain", result="passed") == 2
    assert value(found, "a2a_sup_probes_total", child="plain", result="failed") == 1
    assert value(found, "a2a_sup_probe_duration_seconds_count") == 3
    assert value(found, "a2a_sup_probe_duration_seconds_bucket", le="0.025") == 3
    assert value(found, "a2a_sup_probe_duration_seconds_bucket", le="0.01") == 0
    assert value(found, "a2a_sup_events_dropped_total") == 7


async def test_a_restart_is_measured_without_its_backoff(tree: TreeHandle) -> None:
    metrics = metrics_of(tree)
    metrics.take(events.ChildStarted(1, 5.0, "plain", 1))
    metrics.take(events.ChildEnded(2, 10.0, "plain", 1, CRASH))
    metrics.take(events.ChildBackingOff(3, 10.0, "plain", 1, 2.0, 1))
    metrics.take(events.ChildStartFailed(4, 12.1, "plain", 2, CRASH))
    metrics.take(events.ChildBackingOff(5, 12.1, "plain", 2, 4.0, 2))
    metrics.take(events.ChildStarted(6, 16.2, "plain", 3))
    found = await scrape(metrics)
    assert value(found, "a2a_sup_restart_duration_seconds_count") == 1
    assert value(found, "a2a_sup_restart_duration_seconds_sum") == pytest.approx(0.2)


async def test_a_child_that_was_stopped_and_started_by_hand_was_not_restarted(
    tree: TreeHandle,
) -> None:
    metrics = metrics_of(tree)
    metrics.take(events.ChildEnded(1, 10.0, "plain", 1, CRASH))
    metrics.take(events.ChildStopped(2, 11.0, "plain", 1, CRASH))
    metrics.take(events.ChildStarted(3, 99.0, "plain", 2))
    assert value(await scrape(metrics), "a2a_sup_restart_duration_seconds_count") == 0


async def test_what_children_left_that_are_gone_is_bounded(
    tree: TreeHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = metrics_of(tree)
    taken: list[int] = []

    def counting_snapshot() -> object:
        taken.append(1)
        return tree.snapshot()

    monkeypatch.setattr(metrics, "_take_snapshot", counting_snapshot)
    for number in range(25_000):
        metrics.take(events.ChildEnded(number, 0.0, f"gone-{number}", 1, CRASH))
    assert len(metrics._exits) <= 10_001
    assert len(metrics._deaths) <= 10_001
    assert len(taken) == 2


async def test_a_child_that_comes_during_a_scrape_keeps_its_counts(
    tree: TreeHandle, nursery: trio.Nursery
) -> None:
    snapshots = [tree.snapshot()]
    await tree.start_child("", task("late", trio.sleep_forever))
    metrics = Metrics(lambda: snapshots[-1], LoopLag())

    async def comes() -> None:
        snapshots.append(tree.snapshot())
        metrics.take(events.ChildEnded(1, 0.0, "late", 1, CRASH))

    # It runs at the first moment in which the scrape lets the loop go.
    nursery.start_soon(comes)
    await scrape(metrics)
    assert len(snapshots) == 2
    found = await scrape(metrics)
    assert value(found, "a2a_sup_child_exits_total", child="late", reason="crashed") == 1


async def test_gauges_of_others_are_asked_at_each_scrape(tree: TreeHandle) -> None:
    metrics = metrics_of(tree)
    clients = 3
    metrics.gauges.append(("a2a_sup_dashboard_clients", "Clients.", lambda: clients))
    assert value(await scrape(metrics), "a2a_sup_dashboard_clients") == 3
    clients = 4
    assert value(await scrape(metrics), "a2a_sup_dashboard_clients") == 4


@given(st.lists(st.floats(0, 20), max_size=50))
def test_a_histogram_counts_everything_once(observed: list[float]) -> None:
    histogram = Histogram((0.5, 1.0, 10.0))
    for each in observed:
        histogram.observe(each)
    found = read("# TYPE h histogram\n" + "".join(histogram.lines("h")))
    assert value(found, "h_count") == len(observed) == value(found, "h_bucket", le="+Inf")
    assert value(found, "h_sum") == pytest.approx(sum(observed))
    for bound in ("0.5", "1.0", "10.0"):
        expected = sum(each <= float(bound) for each in observed)
        assert value(found, "h_bucket", le=bound) == expected


@given(st.text())
def test_any_text_can_be_a_label(text: str) -> None:
    line = "x" + labels_of({"child": text}) + " 1\n"
    # The format ends lines at a newline and nowhere else; Python's parser splits elsewhere too.
    if len(line.splitlines()) == 1:
        assert value(read(line), "x", child=text) == 1
    assert line.count("\n") == 1


# --- over HTTP -----------------------------------------------------------------------------------


@pytest.fixture
async def served(tree: TreeHandle, serve: Serve) -> str:
    metrics = metrics_of(tree)
    metrics.take(events.ChildEnded(1, 0.0, "plain", 1, CRASH))
    return await serve(site(metrics_routes(metrics), metrics.observe_request))


async def test_requests_are_counted_by_the_template_of_their_path(
    served: str, client: httpx.AsyncClient
) -> None:
    await client.get(f"http://{served}/metrics")
    await client.get(f"http://{served}/nowhere/4711")
    await client.request("BREW", f"http://{served}/metrics")
    found = await client.get(f"http://{served}/metrics")
    assert found.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = read(found.text)
    name = "a2a_sup_http_request_duration_seconds_count"
    assert value(samples, name, method="GET", route="/metrics", status="200") == 1
    assert value(samples, name, method="GET", route="unmatched", status="404") == 1
    assert value(samples, name, method="other", route="/metrics", status="405") == 1
    assert value(samples, "process_open_fds") > 3
    assert "4711" not in found.text


async def test_promtool_finds_nothing_to_say(served: str, client: httpx.AsyncClient) -> None:
    await client.get(f"http://{served}/metrics")
    found = await client.get(f"http://{served}/metrics")
    done = await trio.run_process(
        ["promtool", "check", "metrics"],
        stdin=found.content,
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert (done.returncode, done.stdout.decode()) == (0, "")


async def test_a_real_prometheus_scrapes_it(
    served: str, client: httpx.AsyncClient, tmp_path: Path, nursery: trio.Nursery
) -> None:
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "tree", "static_configs": [{"targets": [served]}]}],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    process = await trio.lowlevel.open_process(
        [
            "prometheus",
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data",
            "--web.listen-address=127.0.0.1:0",
            "--log.format=json",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    try:
        api = await _address_of(process, nursery)
        with trio.fail_after(40):
            query = {"query": 'a2a_sup_child_exits_total{child="plain",reason="crashed"}'}
            while True:
                found = await client.get(f"http://{api}/api/v1/query", params=query)
                # It answers 503 while it starts.
                if found.status_code == 200 and (result := found.json()["data"]["result"]):
                    break
                await trio.sleep(0.05)
        assert result[0]["value"][1] == "1"
    finally:
        process.kill()
        await process.wait()
        nursery.cancel_scope.cancel()


async def _address_of(process: trio.Process, nursery: trio.Nursery) -> str:
    """Return where Prometheus listens, from its log, which is read on."""
    assert process.stderr is not None
    stream = process.stderr
    text = ""
    with trio.fail_after(30):
        while not (match := re.search(r'"address":\s?"(127\.0\.0\.1:[1-9]\d*)"', text)):
            text += (await stream.receive_some()).decode()

    async def read_on() -> None:
        while await stream.receive_some():
            pass

    nursery.start_soon(read_on)
    return match[1]
