"""The doors of the real program, TCP and the control socket, and those who rattle at them."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import trio

from tests.app.conftest import Program, Start
from tests.app.operating import Operator, running

TOKEN = "secret-of-this-test"
TREE = "[children.api]\ncommand = ['sleep', '1000']\n"
RESTART = "/api/v1/children/api/restart"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def kind_of(reply: httpx.Response) -> str:
    assert reply.headers["content-type"] == "application/problem+json", reply.text
    return str(reply.json()["type"]).removeprefix("/problems/")


async def served(start: Start, tmp_path: Path, **env: str) -> tuple[Program, httpx.AsyncClient]:
    file = trio.Path(tmp_path / "tree.toml")
    await file.write_text(TREE)
    program = await start("run", file, **env)
    up = await program.until("tree.started")
    return program, httpx.AsyncClient(base_url=f"http://{up['http']}", timeout=20)


async def test_over_tcp_only_the_token_changes_anything(start: Start, tmp_path: Path) -> None:
    program, client = await served(start, tmp_path, A2A_SUP_TOKEN=TOKEN)
    async with client:
        assert (await client.get("/api/v1/tree")).status_code == 200
        before = program.pid_of("api")
        assert kind_of(await client.post(RESTART)) == "no-token"
        assert kind_of(await client.post(f"{RESTART}?token={TOKEN}")) == "no-token"
        for wrong in ("x", TOKEN[:-1], TOKEN + "x", TOKEN.upper()):
            reply = await client.post(RESTART, headers=bearer(wrong))
            assert (reply.status_code, kind_of(reply)) == (401, "wrong-token")
        assert kind_of(await client.get("/api/v1/children/api/logs")) == "no-token"
        assert program.pid_of("api") == before
        reply = await client.post(RESTART, headers=bearer(TOKEN))
        assert reply.status_code == 200
        assert reply.json()["child"]["details"]["pid"] != before
    await program.until("control.restart", child="api", by="token from 127.0.0.1")
    assert TOKEN not in str(program.log) + str(program.other)


async def test_without_a_token_nobody_changes_anything_over_tcp(
    start: Start, tmp_path: Path
) -> None:
    _, client = await served(start, tmp_path)
    async with client:
        for headers in ({}, bearer(TOKEN)):
            reply = await client.post(RESTART, headers=headers)
            assert (reply.status_code, kind_of(reply)) == (403, "no-token-configured")


async def test_a_thousand_guesses_are_ten_and_the_control_socket_is_free(
    start: Start, tmp_path: Path
) -> None:
    operator = await running(start, tmp_path / "tree.toml", TREE, A2A_SUP_TOKEN=TOKEN)
    address = operator.program.told("tree.started")[0]["http"]
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as client:
        kinds = []
        for number in range(1000):
            reply = await client.post(RESTART, headers=bearer(f"guess-{number}"))
            kinds.append(kind_of(reply))
        assert kinds == ["wrong-token"] * 10 + ["too-many-failures"] * 990
        assert int(reply.headers["retry-after"]) in range(1, 62)
        # Who only looks is not kept from it, nor who stands at the other door.
        assert (await client.get("/api/v1/tree")).status_code == 200
    assert (await operator("restart", "api")).status == 0
    assert len(operator.program.told("control.wrong_token")) == 10


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_pages_of_other_sites_are_refused(
    start: Start, tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    program, client = await served(start, tmp_path, A2A_SUP_TOKEN=TOKEN)
    before = program.pid_of("api")
    async with client:
        for method, address in (("GET", "/api/v1/tree"), ("POST", RESTART)):
            reply = await client.request(method, address, headers={**bearer(TOKEN), **headers})
            assert reply.status_code == status
    assert program.pid_of("api") == before


async def test_idle_and_slow_connections_do_not_keep_an_operator_out(
    start: Start, tmp_path: Path
) -> None:
    operator = await running(start, tmp_path / "tree.toml", TREE)
    with ExitStack() as held:
        for number in range(500):
            caller = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            # One that blocks, in a thread: the kernel lets only those wait for room.
            await trio.to_thread.run_sync(caller.connect, operator.control)
            if number % 2:  # the others say nothing at all
                caller.send(b"GET /api/v1/tree HTTP/1.1\r\nHost: loc")
        assert await is_obeyed(operator)


async def is_obeyed(operator: Operator) -> bool:
    with trio.fail_after(20):
        status = await operator("status")
        restart = await operator("restart", "api")
    return (status.status, restart.status) == (0, 0)
