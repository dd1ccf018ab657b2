"""Asking A2A agents of both eras: a double that answers as the specification says."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio

from a2a_sup import CheckFailed, SpecError
from a2a_sup.checks import a2a_agent
from a2a_sup.checks.cards import Interface, read_card
from a2a_sup.model.spec import ChildContext

SKILL = {"id": "s", "name": "S", "description": "does", "tags": ["t"]}
BASE = {
    "name": "echo",
    "description": "says it again",
    "version": "1",
    "capabilities": {},
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["text/plain"],
    "skills": [SKILL],
}
NOT_FOUND = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32001, "message": "Task not found"}}


def modern(url: str, binding: str = "JSONRPC") -> dict[str, Any]:
    interface = {"url": url, "protocolBinding": binding, "protocolVersion": "1.0"}
    return {**BASE, "supportedInterfaces": [interface]}


def legacy(url: str, **more: Any) -> dict[str, Any]:
    return {**BASE, "url": url, "protocolVersion": "0.3.0", **more}


class Agent:
    """An A2A agent: says what it was asked, and answers as told."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.answers: dict[str, tuple[int, Any]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, stream: trio.SocketStream) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += await stream.receive_some()
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        while len(body) < int(headers.get("content-length", 0)):
            body += await stream.receive_some()
        line = first.rpartition(" ")[0]
        self.asked.append((line, headers, json.loads(body) if body else None))
        keys = (key for key in self.answers if line.startswith(key))
        status, answer = self.answers.get(next(keys, ""), (404, {}))
        text = answer if isinstance(answer, str) else json.dumps(answer)
        reply = f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n\r\n{text}"
        await stream.send_all(reply.encode())


@pytest.fixture
async def agent(nursery: trio.Nursery) -> Agent:
    agent = Agent()
    listeners = await nursery.start(partial(trio.serve_tcp, agent.serve, 0, host="127.0.0.1"))
    agent.port = listeners[0].socket.getsockname()[1]
    return agent


Say = Callable[[Agent], Awaitable[str]]
CARD = "GET /.well-known/agent-card.json"


async def test_an_agent_of_protocol_1_is_asked_for_a_task(
    agent: Agent, context: ChildContext
) -> None:
    agent.answers = {CARD: (200, modern(f"{agent.url}/rpc")), "POST /rpc": (200, NOT_FOUND)}
    check = a2a_agent(agent.url, headers={"Authorization": "Bearer x"})
    assert check.name == f"a2a {agent.url}"
    assert await check(context) == "echo: no such task, as it should be"
    line, headers, question = agent.asked[1]
    assert line == "POST /rpc"
    assert (question["jsonrpc"], question["method"]) == ("2.0", "GetTask")
    assert headers["a2a-version"] == "1.0"
    assert headers["authorization"] == "Bearer x"
    await check(context)
    assert agent.asked[3][2]["params"] != question["params"]


async def test_an_agent_of_protocol_0_3_is_asked_by_its_names(
    agent: Agent, context: ChildContext
) -> None:
    agent.answers = {CARD: (200, legacy(agent.url)), "POST /": (200, NOT_FOUND)}
    assert await a2a_agent(agent.url)(context) == "echo: no such task, as it should be"
    _, headers, question = agent.asked[1]
    assert question["method"] == "tasks/get"
    assert "a2a-version" not in headers


async def test_the_old_place_of_the_card(agent: Agent, context: ChildContext) -> None:
    agent.answers = {
        "GET /.well-known/agent.json": (200, legacy(agent.url)),
        "POST /": (200, NOT_FOUND),
    }
    assert await a2a_agent(f"{agent.url}/")(context) == "echo: no such task, as it should be"


async def test_the_url_of_a_card(agent: Agent, context: ChildContext) -> None:
    agent.answers = {"GET /cards/echo": (200, modern(agent.url)), "POST /": (200, NOT_FOUND)}
    assert await a2a_agent(f"{agent.url}/cards/echo")(context)
    assert len(agent.asked) == 2


@pytest.mark.parametrize(
    ("card", "path"),
    [
        (lambda url: modern(f"{url}/v1", "HTTP+JSON"), "GET /v1/tasks/"),
        (lambda url: legacy(url, preferredTransport="HTTP+JSON"), "GET /v1/tasks/"),
    ],
)
async def test_the_http_binding(agent: Agent, context: ChildContext, card: Any, path: str) -> None:
    agent.answers = {CARD: (200, card(agent.url)), path: (404, {"error": {"code": 404}})}
    assert await a2a_agent(agent.url)(context) == "echo: no such task, as it should be"


async def test_an_agent_that_speaks_no_http_has_its_card_read(
    agent: Agent, context: ChildContext
) -> None:
    agent.answers = {CARD: (200, modern("host:1", "GRPC"))}
    assert (await a2a_agent(agent.url)(context)).startswith("echo: the card is valid")


@pytest.mark.parametrize("status", [401, 403])
async def test_an_agent_that_wants_authentication_is_alive(
    agent: Agent, context: ChildContext, status: int
) -> None:
    agent.answers = {CARD: (status, "")}
    assert "authentication" in await a2a_agent(agent.url)(context)
    agent.answers = {CARD: (200, modern(agent.url)), "POST /": (status, "")}
    assert "authentication" in await a2a_agent(agent.url)(context)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "x"}}, "error -32603"),
        ({"jsonrpc": "2.0", "id": 1, "result": {}}, "answers"),
    ],
)
async def test_anything_in_the_protocol_is_an_answer(
    agent: Agent, context: ChildContext, answer: Any, message: str
) -> None:
    agent.answers = {CARD: (200, modern(agent.url)), "POST /": (200, answer)}
    assert await a2a_agent(agent.url)(context) == f"echo: {message}"


@pytest.mark.parametrize(
    ("card", "rpc", "problem"),
    [
        ((404, {}), None, "no agent card: status 404"),
        ((500, {}), None, "no agent card: status 500"),
        ((200, "hello"), None, "the agent card is no JSON"),
        ((200, []), None, "the agent card is an object"),
        ((200, BASE), None, "the agent card: supportedInterfaces is missing"),
        (None, (500, "Internal Server Error"), "status 500, no answer in JSON-RPC"),
        (None, (200, {"jsonrpc": "2.0"}), "status 200, JSON-RPC without result or error"),
        (None, (200, "<html>"), "status 200, no answer in JSON-RPC"),
    ],
)
async def test_what_fails(
    agent: Agent, context: ChildContext, card: Any, rpc: Any, problem: str
) -> None:
    agent.answers = {CARD: card or (200, modern(agent.url)), "POST /": rpc or (200, NOT_FOUND)}
    with pytest.raises(CheckFailed, match=problem):
        await a2a_agent(agent.url)(context)


@pytest.mark.parametrize(
    "interface", ["http://0.0.0.0:{port}/", "http://localhost:{port}/", "https://agent.example/"]
)
async def test_a_card_sends_nobody_to_another_host(
    agent: Agent, context: ChildContext, interface: str
) -> None:
    url = interface.format(port=agent.port)
    agent.answers = {CARD: (200, modern(url)), "POST /": (200, NOT_FOUND)}
    assert await a2a_agent(agent.url)(context) == "echo: no such task, as it should be"


# --- cards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", sorted(BASE))
def test_every_required_field_is_missed(key: str) -> None:
    card = modern("http://h/")
    del card[key]
    with pytest.raises(ValueError, match=f"^the agent card: {key} is missing$"):
        read_card(card)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"skills": {}}, "skills is a list"),
        ({"skills": [1]}, r"skills\[0\] is an object"),
        ({"skills": [SKILL, {**SKILL, "tags": "t"}]}, r"skills\[1\].tags is a list"),
        ({"supportedInterfaces": []}, "supportedInterfaces is a list of at least one"),
        ({"supportedInterfaces": [{}]}, r"supportedInterfaces\[0\].url is missing"),
    ],
)
def test_fields_of_another_kind(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=f"^the agent card: {problem}$"):
        read_card({**modern("http://h/"), **change})


def test_the_best_interface_is_taken() -> None:
    def interface(binding: str, version: str) -> dict[str, str]:
        url = f"http://{binding}.{version}/"
        return {"url": url, "protocolBinding": binding, "protocolVersion": version}

    given = [interface("GRPC", "1.0"), interface("HTTP+JSON", "1.0"), interface("JSONRPC", "0.3")]
    card = read_card({**BASE, "supportedInterfaces": given})
    assert card.interface == Interface("http://JSONRPC.0.3/", "JSONRPC", "0.3")


def test_names_every_mistake() -> None:
    with pytest.raises(SpecError) as caught:
        a2a_agent("agent", headers={"a b": "c"})
    assert len(caught.value.problems) == 2
