"""The HTTP server: nobody outside can hold it up, and a stop is quick."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import trio
import trio.testing

from a2a_sup.errors import CannotListen
from a2a_sup.serve import http
from a2a_sup.serve.http import App, Message, Receive, Scope, Send, serve_app
from a2a_sup.serve.listen import Address, Door

Serve = Callable[..., Awaitable[str]]
Connect = Callable[[str], Awaitable[trio.SocketStream]]
ReceiveAll = Callable[[trio.abc.ReceiveStream], Awaitable[bytes]]

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def answering(text: str) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, text)

    return app


async def answer(send: Send, text: str) -> None:
    headers = [(b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    message = await receive()
    assert message["more_body"] is False
    await answer(send, f"{len(message['body'])}")


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        body: Message = {"type": "http.response.body", "body": b"x" * 65536, "more_body": True}
        await send(body)


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    """Begin an answer and say no more, as a stream of events with nothing to tell."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b": hello\n\n", "more_body": True})
    await trio.sleep_forever()


async def test_an_application_is_served(serve: Serve, client: httpx.AsyncClient) -> None:
    bound = await serve(answering("hello"))
    found = await client.get(f"http://{bound}/")
    assert (found.status_code, found.text) == (200, "hello")
    assert "server" not in found.headers


async def test_a_body_is_read_before_the_application_is_asked(
    serve: Serve, client: httpx.AsyncClient
) -> None:
    bound = await serve(echo)
    found = await client.post(f"http://{bound}/", content=b"x" * 2**20)
    assert found.text == str(2**20)


async def test_a_body_that_is_announced_too_large_is_refused(
    serve: Serve, client: httpx.AsyncClient, connect: Connect, receive_all: ReceiveAll
) -> None:
    stream = await connect(await serve(echo))
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n"
    await stream.send_all(head)
    found = await receive_all(stream)
    assert found.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in found


async def test_a_body_that_grows_too_large_is_refused(
    serve: Serve, connect: Connect, receive_all: ReceiveAll
) -> None:
    stream = await connect(await serve(echo))
    await stream.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    async with trio.open_nursery() as nursery:

        async def flood() -> None:
            try:
                while True:
                    await stream.send_all(chunk)
            except trio.BrokenResourceError:
                pass

        nursery.start_soon(flood)
        await receive_all(stream)


async def test_an_application_that_ignores_a_body_does_not_hang_the_connection(
    serve: Serve, client: httpx.AsyncClient
) -> None:
    bound = await serve(answering("fine"))
    for _ in range(3):
        found = await client.post(f"http://{bound}/", content=b"x" * 2**20)
        assert found.text == "fine"


async def test_headers_that_are_too_long_are_refused(
    serve: Serve, connect: Connect, receive_all: ReceiveAll
) -> None:
    stream = await connect(await serve(echo))
    await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"x" * 20_000)
    assert (await receive_all(stream)).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nA: b"])
async def test_a_request_that_never_ends_is_cut(
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    sent: bytes,
    connect: Connect,
    receive_all: ReceiveAll,
) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.1)
    stream = await connect(await serve(echo))
    await stream.send_all(sent)
    assert await receive_all(stream) == b""


async def test_a_body_that_never_ends_is_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, connect: Connect, receive_all: ReceiveAll
) -> None:
    monkeypatch.setattr(http, "BODY_SECONDS", 0.1)
    stream = await connect(await serve(echo))
    await stream.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
    assert (await receive_all(stream)).startswith(b"HTTP/1.1 408 ")


async def test_a_client_that_does_not_read_is_cut(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    monkeypatch.setattr(http, "SEND_SECONDS", 0.1)
    ended = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await endless(scope, receive, send)
        except OSError:
            ended.set()
            raise

    stream = await connect(await serve(app))
    await stream.send_all(GET)
    with trio.fail_after(30):
        await ended.wait()


async def test_idle_connections_leave_room_for_others(
    serve: Serve, client: httpx.AsyncClient, connect: Connect
) -> None:
    bound = await serve(answering("hello"))
    idle = [await connect(bound) for _ in range(500)]
    for _ in range(3):
        async with httpx.AsyncClient(timeout=20) as fresh:
            assert (await fresh.get(f"http://{bound}/")).text == "hello"
    for stream in idle:
        await stream.aclose()


async def test_bodies_that_do_not_come_leave_room_for_others(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, connect: Connect, client: httpx.AsyncClient
) -> None:
    monkeypatch.setattr(http, "CONNECTION_LIMIT", 2)
    bound = await serve(echo)
    for _ in range(3):
        slow = await connect(bound)
        await slow.send_all(
            b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
        # Its request is under way now.
        assert (await slow.receive_some()).startswith(b"HTTP/1.1 100 ")
    assert (await client.post(f"http://{bound}/", content=b"abc")).text == "3"


async def test_connections_that_are_being_answered_are_not_cut_for_new_ones(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, connect: Connect, receive_all: ReceiveAll
) -> None:
    monkeypatch.setattr(http, "CONNECTION_LIMIT", 2)
    bound = await serve(silent)
    busy = [await connect(bound) for _ in range(2)]
    for stream in busy:
        await stream.send_all(GET)
        assert await stream.receive_some()
    assert await receive_all(await connect(bound)) == b""
    await busy[0].aclose()
    with trio.fail_after(20):
        while True:
            stream = await connect(bound)
            try:
                await stream.send_all(GET)
                if await stream.receive_some():
                    break
            except trio.BrokenResourceError:
                await trio.sleep(0.01)


async def test_a_handler_that_raises_ends_nothing_else(
    serve: Serve, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/bad":
            raise ValueError("no good")
        await answer(send, "good")

    bound = await serve(app)
    assert (await client.get(f"http://{bound}/bad")).status_code == 500
    assert (await client.get(f"http://{bound}/")).text == "good"
    assert "no good" in caplog.text


async def test_an_application_that_cannot_be_made_is_tried_again(
    nursery: trio.Nursery, client: httpx.AsyncClient, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[int] = []

    def make() -> App:
        made.append(1)
        if len(made) == 1:
            raise ImportError("not yet")
        return answering("made")

    bound = await nursery.start(serve_app, make, door)
    with pytest.raises(httpx.HTTPError):
        await client.get(f"http://{bound}/")
    assert (await client.get(f"http://{bound}/")).text == "made"
    assert "not yet" in caplog.text
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n\r\n", b"\0" * 100])
async def test_what_is_no_http_1_ends_its_connection_only(
    serve: Serve, client: httpx.AsyncClient, sent: bytes, connect: Connect, receive_all: ReceiveAll
) -> None:
    bound = await serve(answering("hello"))
    stream = await connect(bound)
    await stream.send_all(sent)
    await stream.send_eof()
    await receive_all(stream)
    assert (await client.get(f"http://{bound}/")).text == "hello"


@pytest.mark.parametrize(
    "asked",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
@pytest.mark.parametrize("length", [[], [(b"content-length", b"5")]])
async def test_the_last_answer_ends_its_connection(
    serve: Serve,
    connect: Connect,
    receive_all: ReceiveAll,
    asked: bytes,
    length: list[tuple[bytes, bytes]],
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"hello", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    stream = await connect(await serve(app))
    await stream.send_all(asked)
    assert b"hello" in await receive_all(stream)


async def test_an_application_may_wait_for_the_end_of_what_it_answered(
    serve: Serve, client: httpx.AsyncClient
) -> None:
    told = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await answer(send, "hello")
        assert (await receive())["type"] == "http.disconnect"
        told.set()

    bound = await serve(app)
    assert (await client.get(f"http://{bound}/")).text == "hello"
    with trio.fail_after(20):
        await told.wait()


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"


@pytest.mark.parametrize(
    "pieces",
    [
        [PREFACE],
        [PREFACE[:1], PREFACE[1:]],
        [GET + PREFACE],
        [
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
            + PREFACE
        ],
    ],
)
async def test_http_2_is_not_spoken(
    serve: Serve, connect: Connect, receive_all: ReceiveAll, pieces: list[bytes]
) -> None:
    versions = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        versions.append(scope["http_version"])
        await answer(send, "hello")

    stream = await connect(await serve(app))
    for piece in pieces:
        await stream.send_all(piece)
        await trio.testing.wait_all_tasks_blocked(0.01)
    found = await receive_all(stream)
    assert b"101" not in found
    assert b"\0\0" not in found
    assert "2" not in versions


async def test_a_websocket_is_refused(serve: Serve, connect: Connect) -> None:
    stream = await connect(await serve(answering("hello")))
    await stream.send_all(
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert (await stream.receive_some()).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("app", [silent, endless])
async def test_a_stop_waits_for_open_answers_no_longer_than_its_grace(
    door: Door, app: App, monkeypatch: pytest.MonkeyPatch, connect: Connect, receive_all: ReceiveAll
) -> None:
    monkeypatch.setattr(http, "GRACE_SECONDS", 0.1)
    async with trio.open_nursery() as nursery:
        bound = await nursery.start(serve_app, lambda: app, door)
        stream = await connect(bound)
        await stream.send_all(GET)
        assert await stream.receive_some(10)
        idle = await connect(bound)
        nursery.cancel_scope.cancel()
    # Both are closed by now: the server did not wait for a client that does not read.
    await receive_all(stream)
    assert await receive_all(idle) == b""


async def test_a_stop_lets_what_is_being_answered_end(
    door: Door, connect: Connect, receive_all: ReceiveAll
) -> None:
    asked, may_end = trio.Event(), trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        await may_end.wait()
        await answer(send, "complete")

    async with trio.open_nursery() as outer:
        server = trio.CancelScope()

        async def run(task_status: trio.TaskStatus[str]) -> None:
            with server:
                await serve_app(lambda: app, door, task_status=task_status)

        stream = await connect(await outer.start(run))
        await stream.send_all(GET)
        await asked.wait()
        server.cancel()
        may_end.set()
        assert (await receive_all(stream)).endswith(b"complete")


async def test_after_a_stop_the_same_port_is_served_again(
    client: httpx.AsyncClient, door: Door
) -> None:
    ports = []
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            bound = await nursery.start(serve_app, lambda: answering("hello"), door)
            ports.append(bound)
            async with httpx.AsyncClient() as fresh:
                assert (await fresh.get(f"http://{bound}/")).text == "hello"
            nursery.cancel_scope.cancel()
    assert ports[0] == ports[1]


async def test_a_taken_port_is_named(serve: Serve) -> None:
    bound = await serve(answering("first"))
    host, _, port = bound.rpartition(":")
    with pytest.raises(CannotListen) as caught:
        await serve_app(lambda: echo, Door(Address(host, int(port)), "use another"))
    assert str(caught.value) == f"cannot listen on {bound}: address already in use; use another"


async def test_a_unix_socket_is_for_its_user_alone_and_tells_who_calls(
    serve: Serve, tmp_path: Path
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, f"uid {scope['state']['peer_uid']}")

    path = tmp_path / "control.sock"
    assert await serve(app, path) == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    async with httpx.AsyncClient(transport=transport) as client:
        assert (await client.get("http://x/")).text == f"uid {os.getuid()}"
