"""Health endpoints: the loop, the children by policy, the original's shapes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime

import httpx
import pytest
import trio

from a2a_sup import Restart, TreeHandle, open_tree, supervisor, task
from a2a_sup.model.spec import ChildContext
from a2a_sup.serve.health import ReadyPolicy, health_routes, readiness
from a2a_sup.serve.lag import LoopLag
from a2a_sup.serve.origins import origins_of
from a2a_sup.serve.site import site

Serve = Callable[..., Awaitable[str]]


async def not_ready(task_status: ChildContext) -> None:
    task_status.started()
    task_status.ready(is_ready=False)
    await trio.sleep_forever()


async def ends() -> None:
    """Do what there is to do."""


async def crashes() -> None:
    raise ValueError


@pytest.fixture
async def tree() -> AsyncIterator[TreeHandle]:
    children = [
        task("good", trio.sleep_forever),
        task("done", ends, restart="transient"),
        supervisor("group", [task("slow", not_ready)]),
    ]
    async with open_tree(supervisor("root", children)) as handle:
        await handle.wait_until(lambda now: now.child("done").state == "finished")
        await handle.wait_until(lambda now: now.child("group/slow").ready is False)
        yield handle


def unheard(method: str, route: str, status: int, seconds: float) -> None:
    """Take what is told of a request."""


@pytest.mark.parametrize(
    ("policy", "ready", "waiting"),
    [
        ("all", False, {"group/slow": "not ready"}),
        ("any", True, {"group/slow": "not ready"}),
        (("good",), True, {}),
        (("good", "group"), True, {}),
        (("good", "done"), True, {}),
        (("group/slow",), False, {"group/slow": "not ready"}),
        (("good", "gone"), False, {"gone": "no such child"}),
    ],
)
async def test_ready_by_policy(
    tree: TreeHandle, policy: ReadyPolicy, *, ready: bool, waiting: dict[str, str]
) -> None:
    found = readiness(tree.snapshot(), policy)
    assert (found.ready, found.waiting) == (ready, waiting)


@pytest.mark.parametrize("policy", ["all", ("bad",)])
async def test_a_child_that_failed_is_not_ready(policy: ReadyPolicy) -> None:
    never = Restart(when_exhausted="isolate", intensity=0)
    root = supervisor("root", [task("bad", crashes, restart=never)])
    async with open_tree(root) as tree:
        await tree.wait_until(lambda now: now.child("bad").state == "failed")
        assert readiness(tree.snapshot(), policy).waiting == {"bad": "failed"}


async def test_with_no_child_all_are_ready_and_none_is() -> None:
    async with open_tree(supervisor("root", [])) as tree:
        assert readiness(tree.snapshot(), "all").ready
        assert not readiness(tree.snapshot(), "any").ready


async def test_the_endpoints(tree: TreeHandle, serve: Serve, client: httpx.AsyncClient) -> None:
    routes = health_routes(tree.snapshot, LoopLag(), "all", lambda: {"total": 2})
    base = f"http://{await serve(site(routes, unheard))}"
    live = await client.get(f"{base}/livez")
    assert (live.status_code, live.json()) == (200, {"ok": True})
    ready = await client.get(f"{base}/readyz")
    assert ready.status_code == 503
    assert ready.json() == {"ok": False, "waiting": {"group/slow": "not ready"}, "waiting_count": 1}
    await tree.terminate_child("group/slow")
    await tree.delete_child("group/slow")
    assert (await client.get(f"{base}/readyz")).status_code == 200
    health = await client.get(f"{base}/healthz")
    assert (health.status_code, health.json()) == (200, {"ok": True, "queue": 0, "running": 1})


async def test_the_status_of_agents(
    tree: TreeHandle, serve: Serve, client: httpx.AsyncClient
) -> None:
    routes = health_routes(tree.snapshot, LoopLag(), "all", lambda: {"total": 2})
    base = f"http://{await serve(site(routes, unheard))}"
    found = (await client.get(f"{base}/api/agent?action=status")).json()
    assert found.keys() == {"ok", "service", "version", "time", "agents"}
    assert (found["ok"], found["agents"]) == (True, {"total": 2})
    assert datetime.fromisoformat(found["time"]).tzinfo is not None
    wrong = await client.get(f"{base}/api/agent?action=deploy")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "ERR_BAD_REQUEST")


async def test_after_a_blocked_loop_livez_says_so_for_a_while(
    tree: TreeHandle, serve: Serve, client: httpx.AsyncClient
) -> None:
    now = 100.0
    lag = LoopLag(10.0, clock=lambda: now)
    base = f"http://{await serve(site(health_routes(tree.snapshot, lag, 'all'), unheard))}"
    lag.after_io_wait(0)
    now = 112.0
    lag.before_io_wait(0)
    found = await client.get(f"{base}/livez")
    assert found.status_code == 503
    assert found.json() == {"ok": False, "because": "the event loop was held for 12.0 s"}
    now = 122.5
    assert (await client.get(f"{base}/livez")).status_code == 200


async def test_errors_are_problems(
    tree: TreeHandle, serve: Serve, client: httpx.AsyncClient
) -> None:
    routes = health_routes(tree.snapshot, LoopLag(), "all")
    base = f"http://{await serve(site(routes, unheard))}"
    for method, path, status in (("GET", "/nowhere", 404), ("POST", "/livez", 405)):
        found = await client.request(method, base + path)
        assert found.status_code == status
        assert found.headers["content-type"] == "application/problem+json"
        assert found.json()["status"] == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:3000", 200),
        ("[::1]:3000", 200),
        ("localhost", 200),
        ("Board.Example:80", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
    ],
)
async def test_a_server_for_this_host_answers_to_no_other_name(
    tree: TreeHandle, serve: Serve, client: httpx.AsyncClient, host: str, status: int
) -> None:
    routes = health_routes(tree.snapshot, LoopLag(), "all")
    base = f"http://{await serve(site(routes, unheard, origins=origins_of(['board.example'])))}"
    found = await client.get(f"{base}/livez", headers={"host": host})
    assert found.status_code == status
