"""The control API, asked as a client asks it, without a network in between."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from a2a_sup import (
    Backoff,
    Restart,
    State,
    TreeHandle,
    dynamic_supervisor,
    open_tree,
    process,
    supervisor,
    task,
)
from a2a_sup.children.hygiene import current_host
from a2a_sup.children.logs import ChildLog
from a2a_sup.errors import NoSuchChild, NotSupported, SpecError
from a2a_sup.model.codec import snapshot_to_json
from a2a_sup.model.spec import ChildSpec
from a2a_sup.registry import AgentRegistry
from a2a_sup.serve.api import Api, api_routes, resource_of
from a2a_sup.serve.api_control import Control
from a2a_sup.serve.api_input import wait_limit
from a2a_sup.serve.api_problems import Problem
from a2a_sup.serve.authority import PEER_UID, Authority
from a2a_sup.serve.event_log import EventLog
from a2a_sup.serve.openapi import OPERATIONS, document
from a2a_sup.testing import ScriptedChild

Json = dict[str, Any]
TOKEN = "secret-of-this-test"
BEARER = {"authorization": f"Bearer {TOKEN}"}


async def forever() -> None:
    await trio.sleep_forever()


def no_logs(path: str) -> ChildLog | None:
    return None


@asynccontextmanager
async def client(
    tree: TreeHandle, *, uid: int | None = 0, token: str | None = None, **options: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Have a client at the control socket as the user ``uid``; None: over TCP."""
    options.setdefault("logs", no_logs)
    site = Starlette(routes=api_routes(Control(tree, Authority(token), **options)))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await site({**scope, "state": {PEER_UID: uid}}, receive, send)

    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api/v1/") as made:
        yield made


@asynccontextmanager
async def served(
    *children: ChildSpec, **options: Any
) -> AsyncIterator[tuple[TreeHandle, httpx.AsyncClient]]:
    strategy = options.pop("strategy", "one_for_one")
    async with (
        open_tree(supervisor("app", [*children], strategy=strategy)) as tree,
        client(tree, **options) as ask,
    ):
        yield tree, ask


def kind_of(reply: httpx.Response) -> str:
    """Return the type of a problem, after a look at everything that a problem has."""
    assert reply.headers["content-type"] == "application/problem+json", reply.text
    body = reply.json()
    assert body.keys() >= {"type", "title", "status", "detail", "instance"}
    assert body["status"] == reply.status_code
    return str(body["type"]).removeprefix("/problems/")


# --- what is ------------------------------------------------------------------------------------


async def test_the_tree_is_its_snapshot_with_a_wall_clock() -> None:
    nested = supervisor("pipeline", [task("loader", forever)])
    async with served(task("api", forever), nested) as (tree, ask):
        body = (await ask.get("tree")).json()
        assert body["name"] == "app"
        assert [child["path"] for child in body["root"]["children"]] == ["api", "pipeline"]
        assert body["wall_time"] - body["time"] == pytest.approx(tree.wall_time(0), abs=0.001)


@pytest.mark.parametrize("count", [3, 300])
async def test_every_child_of_a_tree_is_in_it(count: int) -> None:
    many = supervisor("many", [task(f"c{number}", forever) for number in range(count)])
    async with served(many, task("api", forever)) as (tree, ask):
        whole = snapshot_to_json(tree.snapshot())["root"]
        assert (await ask.get("tree")).json()["root"] == whole
        assert (await ask.get("children/many")).json()["child"] == whole["children"][0]


async def test_a_child_is_found_by_its_path_with_all_below_it() -> None:
    async with served(supervisor("pipeline", [task("loader", forever)])) as (_, ask):
        loader = (await ask.get("children/pipeline/loader")).json()["child"]
        assert (loader["path"], loader["state"]) == ("pipeline/loader", "running")
        pipeline = (await ask.get("children/pipeline")).json()["child"]
        assert [child["name"] for child in pipeline["supervisor"]["children"]] == ["loader"]


async def test_names_that_look_like_actions_or_need_escapes_are_names() -> None:
    names = ["logs", "start", "a b", "ü#?%2F", "..."]
    async with served(supervisor("x", [task(name, forever) for name in names])) as (_, ask):
        for name in names:
            reply = await ask.get("children/x/" + "".join(f"%{b:02x}" for b in name.encode()))
            assert reply.json()["child"]["name"] == name


@given(st.lists(st.text(min_size=1).filter(lambda text: "/" not in text), min_size=1))
def test_an_address_is_a_child_or_an_action_on_one(names: list[str]) -> None:
    path = "/".join(names)
    assert resource_of(f"/children/{path}/stop") == ("/children/{path}/stop", path)
    address, child = resource_of(f"/children/{path}")
    assert f"{child}{address.removeprefix('/children/{path}')}" == path


async def test_status_is_a_row_for_each_child_as_it_is_now(
    mock_clock: trio.testing.MockClock,
) -> None:
    nested = supervisor("pipeline", [task("loader", forever, tags=["x"])])
    async with served(task("api", forever), nested) as (tree, ask):

        async def rows() -> Json:
            body = (await ask.get("status")).json()
            assert (body["name"], body["revision"]) == ("app", tree.snapshot().revision)
            return {row["path"]: row for row in body["children"]}

        before = await rows()
        assert list(before) == ["api", "pipeline", "pipeline/loader"]
        assert before["pipeline/loader"] == {
            "path": "pipeline/loader",
            "kind": "task",
            "state": "running",
            "healthy": None,
            "ready": None,
            "pid": None,
            "uptime": before["api"]["uptime"],
            "incarnation": 1,
            "restarts": 0,
            "processes": None,
            "memory_bytes": None,
            "cpu_seconds": None,
            "next_attempt_in": None,
            "last_reason": None,
            "waits_for": [],
            "next_run": None,
            "tags": ["x"],
        }
        mock_clock.jump(100)
        await ask.post("children/pipeline/loader/restart")
        await ask.post("children/api/stop")
        after = await rows()
        assert after["pipeline"]["uptime"] == pytest.approx(before["pipeline"]["uptime"] + 100)
        assert after["pipeline/loader"]["incarnation"] == 2
        assert after["pipeline/loader"]["uptime"] < 100
        assert (after["api"]["state"], after["api"]["uptime"]) == ("stopped", None)


async def test_an_address_may_have_any_character() -> None:
    async with served(task("api", forever)) as (_, ask):
        for name in ("a%0Ab", "%0A", "a%0A", "a%00b"):
            assert kind_of(await ask.get(f"children/{name}")) == "no-such-child"


async def test_usage_is_asked_of_the_kernel() -> None:
    command = ["sh", "-c", "sleep 1000 & sleep 1000 & wait"]
    async with served(process("shell", command), task("api", forever)) as (_, ask):
        with trio.fail_after(10):
            while True:
                usage = (await ask.get("usage")).json()["children"]
                if usage["shell"]["processes"] == 3:
                    break
        assert usage.keys() == {"shell"}
        assert usage["shell"]["memory_bytes"] > 100_000
        assert usage["shell"]["cpu_seconds"] >= 0


async def test_agents_are_filtered() -> None:
    registry = AgentRegistry()
    base = {"version": "1", "capabilities": [{"name": "c", "inputSchema": {}, "outputSchema": {}}]}
    for number, tags in enumerate((["x"], ["y"], ["x", "z"])):
        made = {**base, "id": f"a{number}", "name": f"Agent {number}", "tags": tags}
        registry.deploy({**made, "enabled": number != 2})
    async with served(registry=registry) as (_, ask):

        async def found(query: str) -> list[str]:
            return [agent["id"] for agent in (await ask.get(f"agents?{query}")).json()["agents"]]

        assert await found("") == ["a0", "a1", "a2"]
        assert await found("tags=y,z") == ["a1", "a2"]
        assert await found("enabled=true&tags=x") == ["a0"]
        assert await found("search=GENT 1") == ["a1"]


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "address", "status", "kind"),
    [
        ("GET", "children/nobody", 404, "no-such-child"),
        ("GET", "children/api/below", 404, "no-such-child"),
        ("GET", "children/", 404, "no-such-child"),
        ("POST", "children/nobody/stop", 404, "no-such-child"),
        ("GET", "children/nobody/logs", 404, "no-such-child"),
        ("GET", "children/api/logs", 404, "no-logs"),
        ("GET", "tre", 404, "no-such-resource"),
        ("GET", "", 404, "no-such-resource"),
        ("POST", "reload", 404, "no-such-resource"),
        ("GET", "agents", 404, "no-such-resource"),
        ("DELETE", "tree", 405, "wrong-method"),
        ("GET", "children/api/stop", 405, "wrong-method"),
        ("POST", "children/api/logs", 405, "wrong-method"),
        ("GET", "tree?x=1", 400, "bad-parameter"),
        ("GET", "events?follow=yes", 400, "bad-parameter"),
        ("GET", "events?follow=0&last=-1", 400, "bad-parameter"),
        ("GET", "events?follow=0&follow=0", 400, "bad-parameter"),
    ],
)
async def test_a_wrong_request_is_a_problem(
    method: str, address: str, status: int, kind: str
) -> None:
    async with served(task("api", forever)) as (_, ask):
        reply = await ask.request(method, address)
        assert (reply.status_code, kind_of(reply)) == (status, kind)


async def test_a_problem_names_what_is_near() -> None:
    nested = supervisor("pipeline", [task("loader", forever)])
    async with served(nested) as (_, ask):
        assert "'pipeline/loader'" in (await ask.get("children/pipeline/laoder")).json()["detail"]
        assert "'/tree'" in (await ask.get("tree2")).json()["detail"]
        assert (await ask.get("events?folow=1")).json()["detail"].startswith("unknown parameter")
        wrong = await ask.delete("tree")
        assert wrong.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"{", 400, "bad-json"),
        (b"\xff", 400, "bad-json"),
        (b"[" * 5000, 400, "bad-json"),
        (b'{"timeout": NaN}', 400, "bad-json"),
        (b"[]", 422, "bad-body"),
        (b'{"timeout": "1s"}', 422, "bad-body"),
        (b'{"timeout": true}', 422, "bad-body"),
        (b'{"timeout": 0}', 422, "bad-body"),
        (b'{"timeout": 1e300}', 422, "bad-body"),
        (b'{"timout": 1}', 422, "bad-body"),
        (b" " * 70_000, 413, "too-large"),
    ],
)
async def test_a_wrong_body_is_a_problem_and_changes_nothing(
    body: bytes, status: int, kind: str
) -> None:
    async with served(task("api", forever)) as (tree, ask):
        before = tree.snapshot().revision
        headers = {"content-type": "application/json"}
        reply = await ask.post("children/api/stop", content=body, headers=headers)
        assert (reply.status_code, kind_of(reply)) == (status, kind)
        assert tree.snapshot().revision == before


async def test_a_body_without_a_length_is_bounded_too() -> None:
    taken = 0

    async def receive() -> Json:
        nonlocal taken
        taken += 1000
        return {"type": "http.request", "body": b" " * 1000, "more_body": True}

    with pytest.raises(Problem, match="more than 65536 bytes"):
        await wait_limit(Request({"type": "http", "headers": []}, receive))
    assert taken < 70_000


async def test_a_body_that_does_not_arrive_is_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await trio.sleep_forever()

    async with served(task("api", forever)) as (_, ask):
        reply = await ask.post("children/api/stop", content=slow(), timeout=None)
        assert kind_of(reply) == "too-slow"
        assert trio.current_time() == 10


async def test_a_body_is_json_by_its_header() -> None:
    async with served(task("api", forever)) as (_, ask):
        reply = await ask.post("children/api/stop", content=b"{}")
        assert kind_of(reply) == "wrong-content-type"


# --- commands -----------------------------------------------------------------------------------


async def command(ask: httpx.AsyncClient, verb: str, path: str, **body: Any) -> httpx.Response:
    return await ask.post(f"children/{path}/{verb}", json=body)


async def test_stop_start_and_restart_answer_when_it_is_so() -> None:
    async with served(task("api", forever)) as (tree, ask):
        for verb, already, state, incarnation in (
            ("start", True, "running", 1),
            ("stop", False, "stopped", 1),
            ("stop", True, "stopped", 1),
            ("start", False, "running", 2),
            ("restart", False, "running", 3),
        ):
            reply = await command(ask, verb, "api")
            assert reply.status_code == 200, reply.text
            body = reply.json()
            assert (body["command"], body["already"]) == (verb, already)
            assert (body["child"]["state"], body["child"]["incarnation"]) == (state, incarnation)
            child = tree.child("api")
            assert child is not None
            assert child.state == state


async def test_a_whole_group_stops_and_starts() -> None:
    nested = supervisor(
        "pipeline", [task("a", forever), task("b", forever)], strategy="one_for_all"
    )
    async with served(nested) as (tree, ask):
        assert (await command(ask, "stop", "pipeline")).json()["child"]["supervisor"] is None
        assert (await command(ask, "start", "pipeline")).status_code == 200
        assert {child.state for child in tree.snapshot().walk()} == {State.RUNNING}
        await command(ask, "stop", "pipeline/a")
        await command(ask, "restart", "pipeline/a")
        assert {child.state for child in tree.snapshot().walk()} == {State.RUNNING}


async def test_start_does_not_wait_for_a_backoff(autojump_clock: trio.testing.MockClock) -> None:
    worker = ScriptedChild("worker")
    async with served(worker.spec(restart=Restart(backoff=Backoff((100.0,))))) as (tree, ask):
        worker.crash()
        await tree.wait_until(lambda s: s.child("worker").state is State.BACKING_OFF)
        body = (await command(ask, "start", "worker")).json()
        assert (body["child"]["state"], body["already"]) == ("running", False)
        assert trio.current_time() < 1


async def test_a_start_that_fails_says_why() -> None:
    worker = ScriptedChild("worker")
    async with served(worker.spec()) as (_, ask):
        await command(ask, "stop", "worker")
        worker.fail_next_start(ValueError("no luck"))
        reply = await command(ask, "start", "worker")
        assert kind_of(reply) == "start-failed"
        assert "no luck" in reply.json()["detail"]


async def test_a_temporary_and_a_dynamic_child_come_back(nursery: trio.Nursery) -> None:
    temporary = task("once", forever, restart=Restart(type="temporary"))
    async with served(temporary, dynamic_supervisor("pool")) as (tree, ask):
        body = (await command(ask, "restart", "once")).json()
        assert (body["path"], body["child"]["state"]) == ("once", "running")
        ref = await tree.start_child("pool", task("w", forever))
        old = ref.path.replace("#", "%23")
        body = (await command(ask, "restart", old)).json()
        assert body["path"] != ref.path
        assert body["child"]["state"] == "running"
        body = (await command(ask, "stop", body["path"].replace("#", "%23"))).json()
        assert body["child"] is None


async def test_a_command_that_takes_longer_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    worker = ScriptedChild("worker", politeness="heeds", stop_delay=5, start_delay=5)
    async with served(worker.spec(shutdown=60)) as (tree, ask):
        reply = await command(ask, "restart", "worker", timeout=2)
        assert (reply.status_code, kind_of(reply)) == (504, "timed-out")
        assert "goes on" in reply.json()["detail"]
        await tree.wait_until(
            lambda s: (
                s.child("worker").incarnation == 2 and s.child("worker").state is State.RUNNING
            )
        )


async def test_commands_at_the_same_time_make_one_child(
    autojump_clock: trio.testing.MockClock,
) -> None:
    worker = ScriptedChild("worker", politeness="heeds", stop_delay=1, start_delay=1)
    replies: list[tuple[str, int, str]] = []
    async with served(worker.spec(shutdown=60)) as (tree, ask):

        async def order(verb: str) -> None:
            reply = await ask.post(f"children/worker/{verb}", timeout=None)
            replies.append((verb, reply.status_code, reply.json().get("type", "")))

        async with trio.open_nursery() as nursery:
            for verb in ("restart", "restart", "start", "restart"):
                nursery.start_soon(order, verb)
        assert {status for _, status, _ in replies} == {200}
        assert worker.most_alive == 1
        child = tree.child("worker")
        assert child is not None
        assert (child.state, child.incarnation) == (State.RUNNING, 4)


async def test_a_stop_ends_a_start_that_would_not_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    worker = ScriptedChild("worker")
    answers: list[str] = []
    async with served(worker.spec()) as (tree, ask):
        await command(ask, "stop", "worker")
        worker.start_delay = 1e9

        async def start() -> None:
            answers.append(kind_of(await ask.post("children/worker/start", timeout=None)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(start)
            await tree.wait_until(lambda s: s.child("worker").state is State.STARTING)
            nursery.start_soon(start)
            await trio.testing.wait_all_tasks_blocked()
            assert (await command(ask, "stop", "worker")).status_code == 200
        assert answers == ["interrupted", "interrupted"]
        child = tree.child("worker")
        assert child is not None
        assert child.state is State.STOPPED


async def test_a_stuck_child_is_an_honest_answer(autojump_clock: trio.testing.MockClock) -> None:
    worker = ScriptedChild("worker", hides=True)
    async with served(worker.spec()) as (_, ask):
        for verb in ("stop", "restart", "start"):
            assert kind_of(await command(ask, verb, "worker")) == "child-stuck"
        worker.release()


async def test_a_reload_is_handed_on_and_its_mistakes_are_told() -> None:
    asked: list[bool] = []

    async def reload(plan_only: bool) -> Json:
        asked.append(plan_only)
        if len(asked) == 3:
            raise SpecError("children.api: no")
        return {"changed": []}

    async with served(reload=reload) as (_, ask):
        assert (await ask.post("reload?plan=1")).json() == {"changed": []}
        assert (await ask.post("reload")).json() == {"changed": []}
        reply = await ask.post("reload")
        assert (kind_of(reply), reply.json()["detail"]) == ("reload-failed", "children.api: no")
        assert asked == [True, False, False]


async def test_a_scale_is_handed_on_and_its_mistakes_are_told() -> None:
    asked: list[tuple[str, int]] = []
    errors = {
        7: NotSupported("web", "has no replicas"),
        8: NoSuchChild("web", "gone"),
        9: SpecError("web: no such program"),
    }

    async def scale(path: str, copies: int) -> Json:
        asked.append((path, copies))
        if copies in errors:
            raise errors[copies]
        return {"ok": True}

    async with served(supervisor("web", []), scale=scale) as (_, ask):
        assert (await ask.post("children/web/scale", json={"replicas": 3})).json() == {"ok": True}
        assert asked == [("web", 3)]
        kinds = [
            kind_of(await ask.post("children/web/scale", json={"replicas": number}))
            for number in errors
        ]
        assert kinds == ["not-supported", "no-such-child", "start-failed"]
        for body in ({}, {"replicas": -1}, {"replicas": True}, {"replicas": 1.5}, {"copies": 1}):
            assert kind_of(await ask.post("children/web/scale", json=body)) == "bad-body"
        reply = await ask.post("children/wbe/scale", json={"replicas": 1})
        assert kind_of(reply) == "no-such-child"
        assert "did you mean 'web'?" in reply.json()["detail"]
        assert len(asked) == 4


# --- streams ------------------------------------------------------------------------------------


class Stream:
    """An open stream of server-sent events, driven by hand: httpx's transport reads to the end."""

    def __init__(self, tree: TreeHandle, logs: Callable[[str], ChildLog | None] = no_logs) -> None:
        self.api = Api(Control(tree, Authority(), logs=logs))
        self.started: Json = {}
        self.text = ""
        self._gone = trio.Event()
        self.reads = True

    async def run(self, address: str, **headers: str) -> None:
        path, _, query = address.partition("?")
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {
            "type": "http",
            "method": "GET",
            "path": f"/api/v1/{path}",
            "query_string": query.encode(),
            "headers": raw,
            "path_params": {"rest": path},
            "state": {PEER_UID: 0},
        }
        await self.api(scope, self._receive, self._send)

    async def _receive(self) -> Json:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.started = message
            return
        while not self.reads:
            await trio.sleep(1)
        self.text += message["body"].decode()

    def leave(self) -> None:
        self._gone.set()

    @property
    def messages(self) -> list[tuple[int | None, Json]]:
        found = []
        for block in self.text.split("\n\n")[:-1]:
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            if "data" in fields:
                number = int(fields["id"]) if "id" in fields else None
                found.append((number, json.loads(fields["data"])))
        return found

    async def until(self, condition: Callable[[], object]) -> None:
        with trio.fail_after(100):
            while not condition():
                await trio.sleep(0.01)


Run = Callable[..., Awaitable[None]]


async def test_events_are_followed_with_ids(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    async with served(task("api", forever)) as (tree, _):
        stream = Stream(tree)
        nursery.start_soon(stream.run, "events")
        await stream.until(lambda: stream.text)
        await tree.terminate_child("api")
        await stream.until(lambda: len(stream.messages) == 2)
        assert [data["type"] for _, data in stream.messages] == ["child.stopping", "child.stopped"]
        assert all(number == data["seq"] for number, data in stream.messages)
        stream.leave()


async def test_a_reader_goes_on_where_it_was(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    async with served(task("api", forever)) as (tree, _):
        stream = Stream(tree)
        begin = tree.snapshot().revision
        for _ in range(3):
            await tree.terminate_child("api")
            await tree.restart_child("api")
        end = tree.snapshot().revision

        async def run() -> None:
            await stream.run("events", last_event_id=str(begin + 5))

        nursery.start_soon(run)
        await stream.until(lambda: len(stream.messages) == end - begin - 5)
        await tree.terminate_child("api")
        await stream.until(lambda: len(stream.messages) == end - begin - 3)
        assert [number for number, _ in stream.messages] == list(range(begin + 6, end + 3))
        stream.leave()


async def test_a_reader_that_was_away_too_long_is_told_how_much_it_missed(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    async with served(task("api", forever)) as (tree, _):
        kept = EventLog(tree, capacity=4)
        begin = tree.snapshot().revision
        for _ in range(3):
            await tree.terminate_child("api")
            await tree.restart_child("api")
        end = tree.snapshot().revision
        dropped, *rest = kept.since(begin)
        assert (dropped.type, getattr(dropped, "count", None)) == (
            "events.dropped",
            end - begin - 4,
        )
        assert [getattr(event, "seq", None) for event in rest] == list(range(end - 3, end + 1))
        assert kept.since(end) == []
        # An id of an earlier run: all that is kept is new.
        assert len(kept.since(end + 1000)) == 5


async def test_silence_has_a_heartbeat(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    async with served(task("api", forever)) as (tree, _):
        stream = Stream(tree)
        nursery.start_soon(stream.run, "events")
        await trio.sleep(46)
        assert stream.text.count(": heartbeat\n\n") == 3
        stream.leave()


async def test_a_slow_reader_holds_a_bounded_number_of_events_and_is_told(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    async with served(task("api", forever)) as (tree, _):
        stream = Stream(tree)
        nursery.start_soon(stream.run, "events")
        await stream.until(lambda: stream.text)
        begin = tree.snapshot().revision
        stream.reads = False
        for _ in range(600):
            await tree.terminate_child("api")
            await tree.restart_child("api")
        end = tree.snapshot().revision
        stream.reads = True
        await stream.until(lambda: stream.messages and stream.messages[-1][0] == end)
        dropped = sum(data["count"] for number, data in stream.messages if number is None)
        told = [number for number, _ in stream.messages if number is not None]
        assert dropped > 0
        assert dropped + len(told) == end - begin
        stream.leave()


async def test_logs_are_the_last_lines_and_those_that_follow(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    async with served(task("api", forever)) as (tree, _):
        with current_host().logs.opened("api", None, print) as log:
            async with client(tree, logs=current_host().logs.get) as ask:
                log.write(b"one\ntwo\r\nth\xffree\n")
                lines = (await ask.get("children/api/logs?lines=2")).json()["lines"]
                assert [line["text"] for line in lines] == ["two", "th\ufffdree"]
            stream = Stream(tree, current_host().logs.get)
            nursery.start_soon(stream.run, "children/api/logs?follow=1&lines=1")
            await stream.until(lambda: stream.messages)
            log.write(b"fo")
            log.write(b"ur\nfi")
            await stream.until(lambda: len(stream.messages) == 2)
            assert [data["text"] for _, data in stream.messages] == ["th\ufffdree", "four"]
            stream.leave()


async def test_a_slow_reader_of_a_log_is_told_what_it_missed(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    async with served(task("api", forever)) as (tree, _):
        with current_host().logs.opened("api", None, print) as log:
            stream = Stream(tree, current_host().logs.get)
            nursery.start_soon(stream.run, "children/api/logs?follow=1&lines=0")
            await stream.until(lambda: stream.text)
            stream.reads = False
            for number in range(1000):
                log.write(f"{number:0999}\n".encode())
                await trio.testing.wait_all_tasks_blocked()
            stream.reads = True
            await stream.until(
                lambda: stream.messages and stream.messages[-1][1].get("text") == f"{999:0999}"
            )
            assert sum(data.get("dropped_bytes", 0) for _, data in stream.messages) > 500_000
            stream.leave()


async def test_a_head_of_a_stream_ends() -> None:
    async with served(task("api", forever)) as (_, ask):
        with trio.fail_after(10):
            reply = await ask.head("events")
        assert reply.headers["content-type"].startswith("text/event-stream")


# --- the document -------------------------------------------------------------------------------


async def test_every_address_is_described_and_every_description_is_served() -> None:
    async def reload(plan_only: bool) -> Json:
        return {}

    async def scale(path: str, copies: int) -> Json:
        return {}

    async with open_tree(supervisor("app", [])) as tree:
        control = Control(
            tree,
            Authority(),
            logs=no_logs,
            registry=AgentRegistry(),
            reload=reload,
            scale=scale,
        )
        api = Api(control)
        described = {
            (method.upper(), address)
            for address, methods in document(api.handlers)["paths"].items()
            for method in methods
        }
        assert described == api.handlers.keys()
        assert OPERATIONS.keys() == api.handlers.keys()
