"""The documented client of the system that this one replaces, against the real program.

Each test case of that system has an equal here, with an assertion that can fail:

====================================  ==============================================================
its case                              ours
====================================  ==============================================================
a server runs once it is started      test_services: what the log says; here: mcpServers.running
a health check is called              tree/test_probing: the first check waits for its delay
the health numbers are numbers        here: mcpServers, the numbers themselves
registered, starting, started         tree/test_starting, tree/test_watching
a crash: stopped, then restarting     test_run: 1, 2 and 4 s, and another pid; here: server:status
there is a dashboard                  here: it answers where the log says
the shape of the metrics              here: every key, every type
a client gets metrics:update          here: on connecting
subscribe, subscribed                 here
the count of clients                  here: two more, and one less
agent:deployed reaches a client       here: an MCP server that is started
metrics come periodically             here: two of them, 5 s apart
mcpServers is in the metrics          here
it counts who runs                    here: before, while and after a server is down
server:status reaches a client        here: pushed, for a server that was killed
a server is an agent, tagged mcp      here: with its tools; disabled while the server is down
updates every 5 s                     here
50, 100 connections                   here: a hundred; a thousand in serve/dashboard
a disconnect leaves the others        here
request_metrics                       here
20 x 5 connect and disconnect         here
how long a broadcast takes            bench: dashboard
====================================  ==============================================================
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import trio
from websockets.sync.client import ClientConnection, connect

Start = Callable[..., Awaitable[Any]]
Frame = dict[str, Any]
SECONDS = 20
TREE = """
[defaults]
restart = { backoff = ["0.5s"] }

[children.time]
mcp = ["mcp-server-time", "--local-timezone", "UTC"]

[children.idle]
command = ["sleep", "1000"]

[agents.echo]
name = "Echo"
category = "utility"
tags = ["echo", "test"]
enabled = false
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tree.toml"
    path.write_text(TREE)
    return path


@contextmanager
def watching(url: str) -> Iterator[ClientConnection]:
    client = connect(url, proxy=None)
    with client:
        yield client


def receive(client: ClientConnection, kind: str) -> Frame:
    """Return the next frame of this type; others are passed over."""
    while True:
        frame: Frame = json.loads(client.recv(timeout=SECONDS))
        assert isinstance(frame["timestamp"], int)
        if frame["type"] == kind:
            return frame


def metrics_of(client: ClientConnection) -> Frame:
    client.send('{"type":"request_metrics"}')
    data: Frame = receive(client, "metrics:update")["data"]
    return data


def agents_of(client: ClientConnection) -> dict[str, Frame]:
    client.send('{"type":"request_agents"}')
    return {agent["id"]: agent for agent in receive(client, "agents:list")["data"]}


def until_healthy(client: ClientConnection) -> Frame:
    """Ask until the first answer of the MCP server to its probe is counted."""
    while (data := metrics_of(client))["mcpServers"]["healthy"] != 1:
        pass
    return data


def until_clients(client: ClientConnection, count: int) -> None:
    while metrics_of(client)["connections"]["websocketClients"] != count:
        pass


async def url_of(program: Any) -> str:
    await program.until("child.ready", child="time", ready=True, seconds=50)
    return f"ws://{(await program.until('tree.started'))['dashboard']}"


async def test_the_documented_client_sees_a_server_killed_and_coming_back(
    start: Start, file: Path
) -> None:
    program = await start("run", file)
    url = await url_of(program)
    pid = program.pid_of("time")

    def client() -> None:
        with watching(url) as socket:
            first = json.loads(socket.recv(timeout=SECONDS))
            assert first["type"] == "metrics:update"
            socket.send('{"type":"subscribe"}')
            assert set(receive(socket, "subscribed")) == {"type", "timestamp"}
            check_metrics(until_healthy(socket))
            check_agents(socket)
            os.kill(pid, signal.SIGKILL)
            check_recovery(socket)

    await trio.to_thread.run_sync(client)
    await program.until("child.started", child="time", times=2)
    assert program.pid_of("time") != pid


def check_metrics(data: Frame) -> None:
    """The original's keys and types; ``eventLoopLagMs`` is ours."""
    assert set(data) == {"timestamp", "agents", "mcpServers", "performance", "connections"}
    assert isinstance(data["timestamp"], int)
    assert data["agents"] == {
        "total": 2,
        "enabled": 1,
        "disabled": 1,
        "categories": 2,
        "tags": 4,
        "byCategory": {"mcp": 1, "utility": 1},
        "byTag": {"auto-managed": 1, "echo": 1, "mcp": 1, "test": 1},
    }
    assert data["mcpServers"] == {
        "total": 2,
        "running": 2,
        "healthy": 1,  # nobody asks the other one
        "unhealthy": 0,
        "failed": 0,
    }
    performance = data["performance"]
    assert set(performance) == {
        "memoryUsageMB",
        "memoryPercentage",
        "cpuLoadAverage",
        "uptime",
        "eventLoopLagMs",
    }
    assert performance["memoryUsageMB"] > 5
    assert 0 < performance["memoryPercentage"] < 100
    assert [type(load) for load in performance["cpuLoadAverage"]] == [float] * 3
    assert performance["uptime"] > 0
    assert performance["eventLoopLagMs"] > 0
    assert data["connections"] == {"websocketClients": 1, "activeStreams": 0}


def check_agents(socket: ClientConnection) -> None:
    while not (agents := agents_of(socket))["time"]["capabilities"]:
        pass  # it says what its tools are some time after it is ready
    assert set(agents) == {"echo", "time"}
    assert agents["echo"]["enabled"] is False
    server = agents["time"]
    assert (server["category"], server["enabled"]) == ("mcp", True)
    assert server["tags"][:2] == ["mcp", "auto-managed"]
    assert {each["name"] for each in server["capabilities"]} == {"get_current_time", "convert_time"}
    assert server["deployedAt"] > 0


def check_recovery(socket: ClientConnection) -> None:
    """What is pushed by itself: its state, its agent, and then the numbers."""
    enabled: list[bool] = []
    states: list[str] = []
    while enabled[-1:] != [True] or states[-1:] != ["running"]:
        frame: Frame = json.loads(socket.recv(timeout=SECONDS))
        data = frame["data"]
        if frame["type"] == "server:status":
            assert data["serverId"] == "time"
            assert data["status"] == {"running": "running"}.get(data["state"], "starting")
            states.append(data["state"])
            if data["state"] == "backing_off":
                assert metrics_of(socket)["mcpServers"]["running"] == 1
        elif frame["type"] == "agent:updated":
            assert data["agentId"] == data["agent"]["id"] == "time"
            enabled.append(data["agent"]["enabled"])
    assert states[0] == "backing_off"
    # What its tools are may be pushed after it was answered, and before it is killed.
    assert [is_enabled for is_enabled, _ in groupby(enabled)][-2:] == [False, True]
    assert until_healthy(socket)["mcpServers"]["running"] == 2


async def test_a_server_that_is_started_later_is_an_agent_that_is_pushed(
    start: Start, file: Path
) -> None:
    program = await start("run", file)
    url = await url_of(program)

    def client(socket: ClientConnection) -> None:
        frame = receive(socket, "agent:deployed")["data"]
        assert frame["agentId"] == frame["agent"]["id"] == "late"
        assert "mcp" in frame["agent"]["tags"]
        assert frame["agent"]["enabled"] is True
        assert receive(socket, "agent:removed")["data"] == {"agentId": "late"}

    def change(text: str) -> None:
        file.write_text(text)
        program.signal(signal.SIGHUP)

    with watching(url) as socket:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, client, socket)
            change(f'{TREE}\n[children.late]\nmcp = ["mcp-server-time"]\n')
            await program.until("child.started", child="late", seconds=50)
            change(TREE)


async def test_metrics_come_every_5_seconds_by_themselves(start: Start, file: Path) -> None:
    program = await start("run", file)
    url = await url_of(program)

    def client() -> list[int]:
        with watching(url) as socket:
            receive(socket, "metrics:update")  # the one on connecting
            return [receive(socket, "metrics:update")["timestamp"] for _ in range(2)]

    first, second = await trio.to_thread.run_sync(client)
    # Never sooner; how much later is the machine's affair.
    assert second - first >= 4_900


async def test_a_hundred_clients_come_and_go_and_the_others_do_not_notice(
    start: Start, file: Path
) -> None:
    program = await start("run", file)
    url = await url_of(program)

    def clients() -> None:
        with watching(url) as one, watching(url) as other:
            until_clients(one, 2)
            with ExitStack() as stack:
                crowd = [stack.enter_context(watching(url)) for _ in range(98)]
                for each in crowd:
                    assert receive(each, "metrics:update")["data"]["mcpServers"]["running"] == 2
                until_clients(one, 100)
            until_clients(one, 2)
            for _ in range(20):
                with ExitStack() as stack:
                    for _ in range(5):
                        receive(stack.enter_context(watching(url)), "metrics:update")
            until_clients(one, 2)
            assert metrics_of(other)["mcpServers"]["running"] == 2

    await trio.to_thread.run_sync(clients)
