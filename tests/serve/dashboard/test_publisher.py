"""The dashboard's messages, to a client that is not ours, and what it does with bad ones."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from typing import Any

import pytest
import trio
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from a2a_sup import NO_BACKOFF, Restart, State, open_tree, process, supervisor
from a2a_sup.model.codec import snapshot_to_json
from a2a_sup.model.delta import apply
from a2a_sup.registry import AgentRegistry
from a2a_sup.serve import changes
from a2a_sup.serve.handshake import Rules
from a2a_sup.serve.publisher import Limits, Publisher
from a2a_sup.testing import ScriptedChild

ECHO = {"id": "echo", "name": "Echo", "version": "1.0.0", "capabilities": [{"name": "chat"}]}


def one(child: ScriptedChild | None = None) -> Any:
    return supervisor(
        "app", [(child or ScriptedChild("web")).spec(restart=Restart(backoff=NO_BACKOFF))]
    )


def receive(client: Any, kind: str) -> Any:
    """Read up to the first message of this type."""
    while True:
        body = json.loads(client.recv(timeout=20))
        if body["type"] == kind:
            return body


# --- the original's messages -------------------------------------------------------------------


async def test_metrics_come_on_connect_in_the_original_shape(dashboard: Any) -> None:
    registry = AgentRegistry()
    registry.deploy({**ECHO, "category": "utility", "tags": ["echo", "test"]})
    registry.deploy({**ECHO, "id": "off", "enabled": False})
    async with dashboard(one(), registry=registry) as board:

        def talk() -> Any:
            with connect(board.url, proxy=None) as client:
                assert client.protocol.extensions == []
                return json.loads(client.recv(timeout=20))

        before = time.time() * 1000
        body = await trio.to_thread.run_sync(talk)
    assert body["type"] == "metrics:update"
    assert before - 1 <= body["timestamp"] <= time.time() * 1000
    data = body["data"]
    assert set(data) == {"timestamp", "agents", "mcpServers", "performance", "connections"}
    assert data["agents"] == {
        "total": 2,
        "enabled": 1,
        "disabled": 1,
        "categories": 1,
        "tags": 2,
        "byCategory": {"utility": 1},
        "byTag": {"echo": 1, "test": 1},
    }
    assert data["connections"] == {"websocketClients": 1, "activeStreams": 0}
    performance = data["performance"]
    assert performance["memoryUsageMB"] > 5
    assert 0 < performance["memoryPercentage"] < 100
    assert len(performance["cpuLoadAverage"]) == 3
    assert performance["uptime"] > 0


async def test_the_original_client_works_unchanged(dashboard: Any) -> None:
    registry = AgentRegistry()
    registry.deploy(ECHO)
    async with dashboard(one(), registry=registry) as board:

        def talk() -> None:
            with connect(board.url + "/any/path", proxy=None) as client:
                client.send('{"type":"subscribe"}')
                subscribed = receive(client, "subscribed")
                assert set(subscribed) == {"type", "timestamp"}
                client.send('{"type":"request_metrics"}')
                assert receive(client, "metrics:update")["data"]["agents"]["total"] == 1
                client.send('{"type":"request_agents"}')
                (agent,) = receive(client, "agents:list")["data"]
                assert agent["id"] == "echo"
                assert agent["enabled"] is True

        await trio.to_thread.run_sync(talk)


async def test_metrics_come_again_and_again(dashboard: Any) -> None:
    async with dashboard(one(), metrics_interval=0.05) as board:
        client = await board.client()
        stamps = [(await client.message("metrics:update"))["timestamp"] for _ in range(4)]
    assert stamps == sorted(stamps)


async def test_servers_are_counted_and_their_states_are_told(dashboard: Any) -> None:
    spec = supervisor("app", [process("sleeper", ["sleep", "1000"])])
    async with dashboard(spec) as board:
        client = await board.client()
        servers = (await client.message("metrics:update"))["data"]["mcpServers"]
        assert servers == {"total": 1, "running": 1, "healthy": 0, "unhealthy": 0, "failed": 0}
        await board.tree.terminate_child("sleeper")
        while (told := (await client.message("server:status"))["data"])["state"] != "stopped":
            pass
        assert told == {"serverId": "sleeper", "status": "stopped", "state": "stopped"}
        await client.ask("request_metrics")
        assert (await client.message("metrics:update"))["data"]["mcpServers"]["running"] == 0


async def test_agents_are_told_of_at_once(dashboard: Any) -> None:
    async with dashboard(one(), metrics_interval=1_000) as board:
        client = await board.client()
        await client.message("metrics:update")
        board.registry.deploy(ECHO)
        told = await client.message()
        assert told["type"] == "agent:deployed"
        assert told["data"]["agentId"] == told["data"]["agent"]["id"] == "echo"
        board.registry.disable("echo")
        told = await client.message("agent:updated")
        assert told["data"]["agent"]["enabled"] is False
        board.registry.remove("echo")
        assert (await client.message("agent:removed"))["data"] == {"agentId": "echo"}
        await client.ask("request_agents")
        assert (await client.message("agents:list"))["data"] == []


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ('{"type":"request_metric"}', "unknown type 'request_metric'; allowed: subscribe"),
        ("{", "is no JSON"),
        ("[" * 20_000, "is no JSON"),
        ('"subscribe"', "found no type"),
        ('{"type": 3}', "found no type"),
        (b"\x00\xff", "binary"),
    ],
)
async def test_a_wrong_message_is_answered_by_what_is_wrong(
    dashboard: Any, sent: str | bytes, said: str
) -> None:
    async with dashboard(one()) as board:
        client = await board.client()
        await client.send(sent)
        assert said in (await client.message("error"))["data"]["message"]
        await client.ask("subscribe")
        await client.message("subscribed")


# --- the tree ----------------------------------------------------------------------------------


async def test_the_tree_and_its_deltas_are_what_the_snapshot_says(dashboard: Any) -> None:
    children = [ScriptedChild(name) for name in ("a", "b", "c")]
    inner = supervisor("inner", [children[2].spec(restart=Restart(backoff=NO_BACKOFF))])
    specs = [child.spec(restart=Restart(backoff=NO_BACKOFF)) for child in children[:2]]
    async with dashboard(supervisor("app", [*specs, inner])) as board:
        client, other = await board.client(), await board.client()
        await client.ask("request_tree")
        data = (await client.message("tree:snapshot"))["data"]
        assert data["tree"]["name"] == "app"
        assert data["wall_time"] == pytest.approx(time.time(), abs=100)
        root, revision = data["tree"]["root"], data["revision"]
        assert root == snapshot_to_json(board.tree.snapshot())["root"]
        children[0].crash()
        children[2].crash()
        await board.tree.terminate_child("b")
        await board.tree.delete_child("b")
        await board.tree.start_child("inner", ScriptedChild("new").spec())
        await trio.testing.wait_all_tasks_blocked(0.01)
        while revision < board.tree.snapshot().revision:
            data = (await client.message("tree:delta"))["data"]
            assert data["from"] == revision
            revision = data["to"]
            apply(root, data["changes"])
        assert root == json.loads(json.dumps(snapshot_to_json(board.tree.snapshot())["root"]))
        # Who did not ask for the tree is not told of it.
        await other.ask("subscribe")
        kinds = set()
        while "subscribed" not in kinds:
            kinds.add((await other.message())["type"])
        assert not {kind for kind in kinds if kind.startswith("tree:")}


async def test_more_changes_than_a_delta_holds_bring_a_snapshot(
    dashboard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "PATHS_HELD", 3)
    children = [ScriptedChild(f"c{number}") for number in range(40)]
    specs = [child.spec(restart=Restart(backoff=NO_BACKOFF)) for child in children]
    async with dashboard(supervisor("app", specs)) as board:
        client = await board.client()
        await client.ask("request_tree")
        revision = (await client.message("tree:snapshot"))["data"]["revision"]
        for child in children:
            child.crash()
        root, snapshots = None, 0
        while root is None or revision < board.tree.snapshot().revision:
            body = await client.message()
            data = body["data"]
            if body["type"] == "tree:snapshot":
                snapshots += 1
                revision, root = data["revision"], data["tree"]["root"]
            elif body["type"] == "tree:delta":
                assert data["from"] == revision
                revision = data["to"]
                if root is not None:
                    apply(root, data["changes"])
        assert snapshots >= 1
        assert root == json.loads(json.dumps(snapshot_to_json(board.tree.snapshot())["root"]))


async def test_events_are_told_to_who_asked_for_them(dashboard: Any) -> None:
    child = ScriptedChild("web")
    async with dashboard(one(child)) as board:
        client = await board.client()
        await client.ask("request_events")
        await client.ask("subscribe")
        await client.message("subscribed")
        child.crash()
        told: list[Any] = []
        while not told or told[-1]["type"] != "child.started":
            told += (await client.message("tree:event"))["data"]["events"]
        assert [event["type"] for event in told] == [
            "child.ended",
            "child.starting",
            "child.started",
        ]
        assert all(abs(event["wall_time"] - time.time()) < 100 for event in told)


# --- who may watch -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("", 101),
        ("Origin: http://127.0.0.1:3000\r\n", 101),
        ("Origin: https://good.example\r\n", 101),
        ("Origin: http://other.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: file://127.0.0.1\r\n", 403),
        ("Host: evil.example:9000\r\n", 403),
        ("Host: evil.example\r\nOrigin: http://evil.example\r\n", 403),
        ("Host: localhost:9000\r\nOrigin: http://localhost:3000\r\n", 101),
        ("Host: [::1]:9000\r\n", 101),
        ("Host: good.example\r\n", 101),
    ],
)
async def test_pages_of_others_may_not_watch(
    dashboard: Any, raw_client: Any, headers: str, status: int
) -> None:
    async with dashboard(one(), rules=Rules(origins=("good.example",))) as board:
        client = await raw_client.connect(board.port, headers)
        assert await client.status() == status
        await board.until(lambda: board.publisher.refused == (status != 101))


TOKEN = "s3cret"


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ("", "/", 401),
        ("Authorization: Bearer wrong\r\n", "/", 401),
        ("Authorization: Basic s3cret\r\n", "/", 401),
        ("Authorization: Bearer s3cret\r\n", "/", 101),
        ("", "/?token=s3cret", 101),
        ("", "/?token=s3cret%00", 401),
        ("Sec-WebSocket-Protocol: a2a-sup, token.s3cret\r\n", "/", 101),
        ("Sec-WebSocket-Protocol: a2a-sup\r\n", "/", 401),
    ],
)
async def test_a_token_that_is_asked_for_is_needed(
    dashboard: Any, raw_client: Any, headers: str, path: str, status: int
) -> None:
    async with dashboard(one(), rules=Rules(token=TOKEN)) as board:
        client = await raw_client.connect(board.port, headers, path=path)
        head = await client.response()
        assert int(head.split()[1]) == status
        assert TOKEN not in head.replace("token.s3cret", "") or "Protocol" not in headers
    assert TOKEN not in repr(Rules(token=TOKEN))


async def test_one_watcher_too_many_is_refused_until_another_leaves(
    dashboard: Any, raw_client: Any
) -> None:
    async with dashboard(one(), clients=2) as board:
        first, _ = await board.client(), await board.client()
        await board.until(lambda: len(board.publisher.watchers) == 2)
        assert await (await raw_client.connect(board.port)).status() == 503
        await first.stream.aclose()
        await board.until(lambda: len(board.publisher.watchers) == 1)
        await board.client()


# --- bad peers ---------------------------------------------------------------------------------


async def test_a_message_that_is_too_large_closes_only_who_sent_it(dashboard: Any) -> None:
    async with dashboard(one()) as board:
        bystander, large = await board.client(), await board.client()
        with contextlib.suppress(trio.BrokenResourceError):
            await large.send("x" * 70_000)
        assert await large.closed() == 1009
        await bystander.ask("subscribe")
        await bystander.message("subscribed")


@pytest.mark.parametrize(
    "broken",
    [
        b"\x81\x05hello",  # not masked
        b"\xf1\x80\0\0\0\0",  # reserved bits
        b"\x83\x80\0\0\0\0",  # an opcode that does not exist
        b"\x89\xfe\x00\xff" + bytes(259),  # a ping that is too long
        b"\x81\xff" + b"\xff" * 12,  # an absurd length
        b"\x81\x82\0\0\0\0\xff\xff",  # not UTF-8
        b"\x80\x80\0\0\0\0",  # goes on with what was not begun
        b"\x88\x81\0\0\0\0\x03",  # half a close code
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(5_000),
    ],
)
async def test_a_broken_frame_ends_only_its_own_connection(dashboard: Any, broken: bytes) -> None:
    async with dashboard(one(), ping_interval=0.2, ping_timeout=0.2, stall=0.2) as board:
        client = await board.client()
        await board.until(lambda: len(board.publisher.watchers) == 1)
        await client.stream.send_all(broken)
        await board.until(lambda: not board.publisher.watchers)
        bystander = await board.client()
        await bystander.ask("subscribe")
        await bystander.message("subscribed")


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST // HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc",
        b"GET // HTTP/1.1\r\nHost: \xff\xfe\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01" + bytes(500),
        b"X" * 100_000,
    ],
)
async def test_who_never_finishes_the_handshake_is_let_go(
    dashboard: Any, raw_client: Any, begin: bytes
) -> None:
    async with dashboard(one(), handshake=0.2) as board:
        stream = await trio.open_tcp_stream("127.0.0.1", board.port)
        raw_client.opened.append(stream)
        with contextlib.suppress(trio.BrokenResourceError):
            if begin:
                await stream.send_all(begin)
            with trio.fail_after(20):
                while await stream.receive_some(4096):
                    pass
        vanished = await trio.open_tcp_stream("127.0.0.1", board.port)
        await vanished.aclose()
        client = await board.client()
        await client.message("metrics:update")
        assert board.tree.snapshot().child("web").state is State.RUNNING


async def test_a_watcher_that_answers_no_ping_is_cut_and_one_that_does_is_not(
    dashboard: Any,
) -> None:
    async with dashboard(
        one(), ping_interval=0.1, ping_timeout=0.2, metrics_interval=1000
    ) as board:
        dead = await board.client()

        def alive() -> None:
            # The library answers pings by itself.
            with connect(board.url, proxy=None, ping_interval=None) as client:
                receive(client, "metrics:update")
                with pytest.raises(TimeoutError):
                    client.recv(timeout=1.5)
                client.send('{"type":"subscribe"}')
                receive(client, "subscribed")

        await trio.to_thread.run_sync(alive)
        assert board.publisher.cut == 1
        assert await dead.closed() is None


async def test_a_stalled_watcher_holds_one_frame_is_cut_and_others_are_served(
    dashboard: Any,
) -> None:
    registry = AgentRegistry()
    registry.deploy({**ECHO, "config": {"text": "x" * 200_000}})
    async with dashboard(one(), registry=registry, stall=0.5, metrics_interval=1000) as board:
        stalled, fast = await board.client(receive_buffer=4096), await board.client()
        await stalled.message("metrics:update")
        slow = next(iter(board.publisher.watchers))
        for _ in range(100):
            with contextlib.suppress(trio.BrokenResourceError):
                await stalled.ask("request_agents")
            await fast.ask("subscribe")
            await fast.message("subscribed")
            assert slow.outlet.unsent < 250_000
            assert slow.waiting <= 1
        assert slow.outlet.unsent > 0
        await board.until(lambda: board.publisher.cut == 1)
        await board.until(lambda: slow not in board.publisher.watchers)
        await fast.ask("subscribe")
        await fast.message("subscribed")


# --- the end -----------------------------------------------------------------------------------


async def test_the_end_is_said_to_all_and_a_silent_peer_does_not_hold_it_up(
    raw_client: Any, free_door: Any
) -> None:
    async with open_tree(one()) as tree:
        publisher = Publisher(tree, AgentRegistry(), limits=Limits(goodbye=0.3))
        for _ in range(2):  # it has a second life
            async with trio.open_nursery() as nursery:
                listener = await nursery.start(publisher.serve, free_door())
                port = listener.socket.getsockname()[1]
                silent = await raw_client.connect(port)
                await silent.message("metrics:update") if await silent.status() == 101 else None
                opened = trio.Event()
                token = trio.lowlevel.current_trio_token()

                def polite(
                    port: int = port, opened: Any = opened, token: Any = token
                ) -> int | None:
                    with connect(f"ws://127.0.0.1:{port}", proxy=None) as client:
                        receive(client, "metrics:update")
                        token.run_sync_soon(opened.set)
                        with pytest.raises(ConnectionClosed) as caught:
                            client.recv(timeout=20)
                        assert caught.value.rcvd is not None
                        return int(caught.value.rcvd.code)

                codes: list[int | None] = []

                async def watch(codes: list[int | None] = codes, polite: Any = polite) -> None:
                    with trio.CancelScope(shield=True):
                        codes.append(await trio.to_thread.run_sync(polite))

                nursery.start_soon(watch)
                await opened.wait()
                with trio.fail_after(20):
                    nursery.cancel_scope.cancel()
                    with trio.CancelScope(shield=True):
                        assert await silent.closed() == 1001
            raw_client.close_all()
            assert codes == [1001]
            assert not publisher.watchers
            with pytest.raises(OSError, match="refused"), socket.socket() as probe:
                probe.connect(("127.0.0.1", port))
