"""The HTTP check against raw sockets: what passes, what fails, and what nobody may see."""

from __future__ import annotations

import socket
import ssl
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup import CheckFailed, SpecError
from a2a_sup.checks import http, liveness
from a2a_sup.checks.http import ranges_of
from a2a_sup.model.spec import ChildContext
from tests.checks.conftest import Serve, answer

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nit i\r\n4\r\ns up\r\n0\r\n\r\n"
)


async def test_a_good_status_passes_and_is_the_message(context: ChildContext, serve: Serve) -> None:
    server = await serve(answer(204, b""))
    assert await http(f"{server.url}/livez?deep=1")(context) == "status 204"
    assert server.heads[0].startswith(b"GET /livez?deep=1 HTTP/1.1\r\nhost: 127.0.0.1:")


@pytest.mark.parametrize(
    ("status", "allowed", "passes"),
    [
        (200, "200-399", True),
        (302, "200-399", True),
        (404, "200-399", False),
        (500, "200-399", False),
        (404, "404", True),
        (200, (201, 204), False),
        (204, (201, 204), True),
        (418, 418, True),
        (199, "100-199,300", False),
    ],
)
async def test_the_status_decides(
    context: ChildContext, serve: Serve, status: int, allowed: Any, *, passes: bool
) -> None:
    server = await serve(answer(status, Location="http://127.0.0.1:1/"))
    check = http(server.url, status=allowed)
    # 1xx is no answer yet: the connection ends after it.
    if passes:
        assert await check(context) == f"status {status}"
    else:
        with pytest.raises(CheckFailed):
            await check(context)


async def test_a_redirect_is_not_followed(context: ChildContext, serve: Serve) -> None:
    server = await serve(answer(301, Location="/elsewhere"))
    with pytest.raises(CheckFailed, match=r"^status 301; allowed: 200-299$"):
        await http(server.url, status="200-299")(context)
    assert len(server.heads) == 1


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        ({"body": "it is"}, True),
        ({"body": "it was"}, False),
        ({"body": "it.is"}, False),
        ({"body_regex": "it.is (up|well)"}, True),
        ({"body_regex": "^up"}, False),
    ],
)
@pytest.mark.parametrize("response", [answer(body=b"it is up"), CHUNKED])
async def test_the_body_has_to_hold_a_text(
    context: ChildContext, serve: Serve, options: dict[str, str], response: bytes, *, passes: bool
) -> None:
    server = await serve(response)
    check = http(server.url, **options)  # type: ignore[arg-type]
    if passes:
        await check(context)
    else:
        with pytest.raises(CheckFailed, match=r"^status 200, the body is not as expected$"):
            await check(context)


async def test_only_the_beginning_of_a_body_is_read(context: ChildContext, serve: Serve) -> None:
    server = await serve(answer(body=b"x" * 200_000 + b"end"), holds=True)
    with pytest.raises(CheckFailed, match="in the first 65536 bytes"):
        await http(server.url, body="end")(context)


async def test_without_a_text_an_endless_body_is_not_waited_for(
    context: ChildContext, serve: Serve
) -> None:
    server = await serve(b"HTTP/1.1 200 OK\r\n\r\ndata: 1\r\n\r\n", holds=True)
    assert await http(server.url)(context) == "status 200"


@pytest.mark.parametrize(
    ("expected", "problem"),
    [
        ({"X-State": "ready"}, None),
        ({"x-state": ""}, None),
        ({"X-State": "busy"}, "status 200, the header x-state is not as expected"),
        ({"X-Other": ""}, "status 200 without the header x-other"),
    ],
)
async def test_the_headers_have_to_hold_texts(
    context: ChildContext, serve: Serve, expected: dict[str, str], problem: str | None
) -> None:
    server = await serve(answer(X_State="ready, steady"))
    check = http(server.url, expect_headers=expected)
    if problem is None:
        await check(context)
    else:
        with pytest.raises(CheckFailed) as caught:
            await check(context)
        assert str(caught.value) == problem


async def test_headers_method_and_credentials_are_sent(context: ChildContext, serve: Serve) -> None:
    server = await serve(answer())
    url = server.url.replace("//", "//me:s%20cret@")
    await http(url, method="HEAD", headers={"X-Key": "abc", "Host": "app.example"})(context)
    first, *lines = server.heads[0].decode().split("\r\n")
    assert first == "HEAD / HTTP/1.1"
    headers = dict(line.lower().split(": ") for line in lines if line)
    assert headers["x-key"] == "abc"
    assert headers["host"] == "app.example"
    assert "authorization: basic bwu6cybjcmv0" in server.heads[0].decode().lower()


async def test_nothing_secret_is_shown(context: ChildContext, serve: Serve) -> None:
    server = await serve(answer(500))
    url = server.url.replace("//", "//user:secret@") + "/x?token=secret#secret"
    check = http(url, headers={"K": "secret"}, body="secret")
    assert check.name == f"http {server.url}/x"
    with pytest.raises(CheckFailed) as caught:
        await check(context)
    shown = f"{caught.value} {liveness(check).name} {check.request!r}"
    assert "secret" not in shown.replace(check.request.url.target, "")


@pytest.mark.parametrize(
    "nonsense", [b"", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\n: \r\n\r\n"]
)
async def test_what_is_no_http_fails(context: ChildContext, serve: Serve, nonsense: bytes) -> None:
    server = await serve(nonsense)
    with pytest.raises(CheckFailed, match=r"^no HTTP answer: "):
        await http(server.url)(context)


async def test_endless_headers_fail(context: ChildContext, serve: Serve) -> None:
    server = await serve(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000, holds=True)
    with pytest.raises(CheckFailed, match=r"^no HTTP answer: "):
        await http(server.url)(context)


async def test_nobody_listens(context: ChildContext) -> None:
    with pytest.raises(CheckFailed, match=r"^no connection: connection refused$"):
        await http(f"http://127.0.0.1:{unused_port()}/")(context)


async def test_localhost_is_either_loopback_address(context: ChildContext, serve: Serve) -> None:
    server = await serve(answer())
    assert await http(f"http://localhost:{server.port}")(context) == "status 200"


async def test_cancelled_it_hangs_up_at_once(context: ChildContext, serve: Serve) -> None:
    server = await serve(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", holds=True)
    with trio.move_on_after(0.05) as scope:
        await http(server.url, body="never")(context)
    assert scope.cancelled_caught
    with trio.fail_after(5):
        await server.gone.wait()


async def test_a_unix_socket(context: ChildContext, nursery: trio.Nursery, tmp_path: Path) -> None:
    listening = trio.socket.socket(trio.socket.AF_UNIX)
    await listening.bind(str(tmp_path / "a b.sock"))
    listening.listen()

    async def respond(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(answer())

    nursery.start_soon(partial(trio.serve_listeners, respond, [trio.SocketListener(listening)]))
    path = str(tmp_path / "a b.sock").replace("/", "%2F").replace(" ", "%20")
    check = http(f"http+unix://{path}/live")
    assert check.name == f"http http+unix://{path}/live"
    assert await check(context) == "status 200"
    with pytest.raises(CheckFailed, match=r"^no connection: no such file or directory$"):
        await http("http+unix://%2Fno%2Fsuch/live")(context)


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture
async def secure(nursery: trio.Nursery, tmp_path: Path) -> tuple[str, Path]:
    """Return the URL of a TLS server, and its certificate."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    )
    names = ("-addext", "subjectAltName=DNS:localhost")
    argv = ["openssl", *words.split(), *names, "-keyout", str(key), "-out", str(certificate)]
    await trio.run_process(argv, capture_stderr=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def respond(stream: trio.SocketStream) -> None:
        try:
            secured = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
            await secured.receive_some()
            await secured.send_all(answer())
        except trio.BrokenResourceError:
            pass

    listeners = await nursery.start(partial(trio.serve_tcp, respond, 0, host="127.0.0.1"))
    return f"https://localhost:{listeners[0].socket.getsockname()[1]}/", certificate


async def test_a_certificate_that_is_trusted_passes(
    context: ChildContext, secure: tuple[str, Path]
) -> None:
    url, certificate = secure
    assert await http(url, ca_file=str(certificate))(context) == "status 200"


async def test_a_certificate_that_is_not_trusted_fails(
    context: ChildContext, secure: tuple[str, Path]
) -> None:
    url, certificate = secure
    with pytest.raises(CheckFailed, match=r"^no TLS connection: certificate: self-signed"):
        await http(url)(context)
    other = url.replace("localhost", "127.0.0.1")
    with pytest.raises(CheckFailed, match=r"^no TLS connection: certificate: .*IP address"):
        await http(other, ca_file=str(certificate))(context)


async def test_certificates_that_cannot_be_read_fail(
    context: ChildContext, secure: tuple[str, Path]
) -> None:
    with pytest.raises(CheckFailed, match=r"^ca_file /no/such: no such file or directory$"):
        await http(secure[0], ca_file="/no/such")(context)


async def test_a_server_without_tls_fails(context: ChildContext, nursery: trio.Nursery) -> None:
    async def respond(stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    listeners = await nursery.start(partial(trio.serve_tcp, respond, 0, host="127.0.0.1"))
    port = listeners[0].socket.getsockname()[1]
    with pytest.raises(CheckFailed, match=r"^no TLS connection: "):
        await http(f"https://127.0.0.1:{port}/")(context)


# --- what it is told ------------------------------------------------------------------------------


def test_names_every_mistake() -> None:
    with pytest.raises(SpecError) as caught:
        http(
            "ftp://secret@host",
            method="a b",
            headers={"a:b": "x", "Key": "secret\nsecret"},
            status="20",
            body="x",
            body_regex="(",
        )
    assert caught.value.problems == (
        "http: url is a URL that begins with http://, https:// or http+unix://",
        "http: status is statuses such as '200-399' or '200,204', or a list of numbers",
        "http: headers has names of letters, digits and '-', not 'a:b'",
        "http: headers Key: the value is one line of latin text",
        "http: method is a word such as 'GET', not 'a b'",
        "http: body and body_regex: only one of them",
    )


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "http:///x",
        "http://h:99999/",
        "http://h:0/",
        "http://h/a b",
        "http://[::1",
        "http://h\r\nx: y/",
        "http+unix://run/x",
        "//h/",
        "http://h/é",
        None,
    ],
)
def test_what_is_no_url(url: Any) -> None:
    with pytest.raises(SpecError, match=r"^http: url is a URL"):
        http(url)


@given(st.lists(st.tuples(st.integers(100, 599), st.integers(100, 599)), min_size=1))
def test_ranges_are_read_as_they_are_written(pairs: list[tuple[int, int]]) -> None:
    ranges = tuple((min(pair), max(pair)) for pair in pairs)
    assert ranges_of(",".join(f"{low}-{high}" for low, high in ranges)) == ranges
    assert ranges_of([low for low, _ in ranges]) == tuple((low, low) for low, _ in ranges)


@pytest.mark.parametrize(
    "given", ["", "abc", "99", "600", "300-200", "200-", "200,,", [], None, True]
)
def test_what_are_no_statuses(given: Any) -> None:
    with pytest.raises(ValueError, match="statuses such as"):
        ranges_of(given)


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
