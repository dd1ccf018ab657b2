"""One HTTP request and its answer, as checks need it: bounded, and nothing is followed.

h11 speaks the protocol. A client such as httpx would do more than is wanted, at ten times the cost.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import attrs
import trio

from a2a_sup.checks.connecting import connected, connected_to_unix, encrypted, reason_of
from a2a_sup.checks.urls import Url
from a2a_sup.errors import CheckFailed

if TYPE_CHECKING:
    import h11

HEAD_BYTES = 64 * 1024
"""Of a response's headers."""
READ_BYTES = 64 * 1024

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@attrs.frozen
class Response:
    """What was answered.

    Attributes:
        status: 200 and so on.
        headers: by name, in small letters; repeated ones joined by a comma.
        body: its beginning.
        is_whole: whether ``body`` is all of it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_whole: bool


@attrs.frozen
class Request:
    """What is asked.

    Attributes:
        url: where.
        method: ``GET`` and so on.
        headers: sent along.
        body: sent along.
        limit: bytes of the answer's body that are read; 0: it is not looked at.
        ca_file: a file with certificates to trust in place of the system's.
    """

    url: Url
    method: str = "GET"
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    body: bytes = attrs.field(default=b"", repr=False)
    limit: int = 0
    ca_file: str | None = None


def header_problems(headers: Mapping[str, str]) -> list[str]:
    """Return what is wrong with headers. Their values may be secrets, and are not shown."""
    problems = []
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            problems.append(f"headers has names of letters, digits and '-', not {name!r}")
        elif not isinstance(value, str) or not _is_header_value(value):
            problems.append(f"headers {name}: the value is one line of latin text")
    return problems


def _is_header_value(value: str) -> bool:
    is_latin = value.isascii() or all(ord(char) < 256 for char in value)
    return is_latin and all(char.isprintable() or char == "\t" for char in value)


def is_method(method: object) -> bool:
    """Return whether this can be the method of a request."""
    return isinstance(method, str) and _TOKEN.fullmatch(method) is not None


async def fetch(request: Request) -> Response:
    """Ask, and return the answer.

    Raises:
        CheckFailed: there is no connection, or no answer in HTTP.
    """
    import h11  # noqa: PLC0415 - importing a2a_sup.checks is cheap

    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
    async with _stream(request) as stream:
        try:
            await stream.send_all(_sent(connection, request))
            return await _answer(connection, stream, request.limit)
        except h11.RemoteProtocolError as exc:
            raise CheckFailed(f"no HTTP answer: {exc}") from exc
        except trio.BrokenResourceError as exc:
            raise CheckFailed(f"the connection broke: {reason_of(exc)}") from exc


def _stream(request: Request) -> AbstractAsyncContextManager[trio.abc.Stream]:
    url = request.url
    if url.scheme == "http+unix":
        return connected_to_unix(url.host)
    if url.scheme == "https":
        return _secure_stream(request)
    return connected(url.host, url.port)


@asynccontextmanager
async def _secure_stream(request: Request) -> AsyncIterator[trio.abc.Stream]:
    host, port = request.url.host, request.url.port
    async with connected(host, port) as plain, encrypted(plain, host, request.ca_file) as secure:
        yield secure


@cache
def _user_agent() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - importing a2a_sup.checks is cheap

    return f"a2a_sup/{version('a2a_sup')}"


def _sent(connection: h11.Connection, request: Request) -> bytes:
    import h11  # noqa: PLC0415

    headers = {"host": request.url.authority, "user-agent": _user_agent(), "accept": "*/*"}
    if request.url.credentials:
        headers["authorization"] = request.url.credentials
    headers |= {name.lower(): value for name, value in request.headers.items()}
    headers["connection"] = "close"
    if request.body:
        headers["content-length"] = str(len(request.body))
    head = h11.Request(
        method=request.method,
        target=request.url.target,
        headers=[(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
    )
    events: list[Any] = [head, h11.EndOfMessage()]
    if request.body:
        events.insert(1, h11.Data(data=request.body))
    return b"".join(connection.send(event) or b"" for event in events)


async def _answer(connection: h11.Connection, stream: trio.abc.Stream, limit: int) -> Response:
    import h11  # noqa: PLC0415

    head: h11.Response | None = None
    body = bytearray()
    is_whole = False
    while head is None or (not is_whole and len(body) < limit):
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(READ_BYTES)))
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            is_whole = True
    headers = dict[str, str]()
    for raw_name, raw_value in head.headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Response(head.status_code, headers, bytes(body[:limit]), is_whole)
