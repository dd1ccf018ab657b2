"""Names and pages: one meaning for the site, the API and the dashboard."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import trio

from a2a_sup.serve.api_problems import Problem
from a2a_sup.serve.authority import Authority
from a2a_sup.serve.handshake import Rules, refusal
from a2a_sup.serve.http import Message, Scope
from a2a_sup.serve.listen import Address, Door, is_loopback
from a2a_sup.serve.origins import host_of, origins_of
from a2a_sup.serve.site import known_hosts_only

ENTRIES = ("board.example", "https://Ops.example:8443/", "https://plain.example:443")


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "a b",
        "board.example:80",
        "https://",
        "ftp://board.example",
        "https://board.example/path",
        "https://board.example?x",
        "https://user@board.example",
        "https://board.example:99999",
        "https://*.example",
        "https://[::1",
        "//board.example",
    ],
)
def test_what_is_neither_a_name_nor_an_origin_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="the name of a host, such as"):
        origins_of([entry])


async def served(host: bytes | None) -> bool:
    """Return whether the site answers to a Host header."""
    seen: list[Message] = []

    async def app(scope: Scope, receive: object, send: object) -> None:
        seen.append({})

    async def ignore(message: Message) -> None:
        pass

    headers = [] if host is None else [(b"host", host)]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    await known_hosts_only(app, origins_of(ENTRIES))(scope, trio.sleep_forever, ignore)
    return bool(seen)


def asked(host: str, origin: str | None = None) -> bool:
    """Return whether the API answers."""
    given = {"host": host} if origin is None else {"host": host, "origin": origin}
    try:
        Authority(origins=ENTRIES).check_site(given)
    except Problem:
        return False
    return True


def watched(host: str, origin: str | None = None) -> bool:
    """Return whether the dashboard accepts."""
    headers = {} if origin is None else {"origin": origin}
    return refusal(Rules(origins=ENTRIES), host=host, path="/", headers=headers) is None


@pytest.mark.parametrize(
    ("host", "is_known"),
    [
        ("127.0.0.1:3000", True),
        ("[::1]:3000", True),
        ("localhost", True),
        ("LOCALHOST.:3000", True),
        ("app.localhost", True),
        ("Board.example:3000", True),
        ("ops.example", True),
        ("plain.example", True),
        ("evil.example", False),
        ("board.example.evil.example", False),
        ("[::1].evil.example", False),
        ("127.0.0.1:1@evil.example", False),
        ("evil.example@127.0.0.1", False),
        ("localhost:x", False),
        ("", False),
    ],
)
async def test_all_servers_know_the_same_names(host: str, is_known: bool) -> None:
    assert (await served(host.encode()), asked(host), watched(host)) == (is_known,) * 3


async def test_a_client_without_a_host_is_no_browser() -> None:
    assert await served(None)


@pytest.mark.parametrize(
    ("origin", "may_ask"),
    [
        ("http://board.example", True),
        ("https://board.example:8080", True),
        ("https://ops.example:8443", True),
        ("https://ops.example", False),
        ("http://ops.example:8443", False),
        ("https://plain.example", True),
        ("http://plain.example", False),
        ("https://evil.example", False),
        ("null", False),
        ("", False),
        ("file://", False),
        ("https://board.example/", False),
        ("https://board.example@evil.example", False),
    ],
)
def test_the_same_pages_may_ask_the_api_and_the_dashboard(
    origin: str,
    may_ask: bool,
) -> None:
    host = "127.0.0.1:3000"
    assert (asked(host, origin), watched(host, origin)) == (may_ask, may_ask)


@pytest.mark.parametrize("header", ["a/b", "a?b", "a#b", ".", "[::1", "a:b"])
def test_what_is_no_host_has_no_name(header: str) -> None:
    assert host_of(header) is None


@pytest.mark.parametrize(
    ("address", "is_so"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_every_form_of_a_loopback_address_is_one(address: str, is_so: bool) -> None:
    assert is_loopback(address) is is_so


class Resolver(trio.abc.HostnameResolver):
    """Knows one name."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def getaddrinfo(self, host: Any, port: Any, *_: Any, **__: Any) -> Any:
        assert host == b"alias"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.address, port))]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.1", True), ("LocalHost", True), ("alias", True), ("0.0.0.0", False), ("any", False)],
)
async def test_what_an_address_stands_for_is_known_when_it_is_bound(
    host: str,
    is_local: bool,
) -> None:
    if host in ("alias", "any"):
        trio.socket.set_custom_hostname_resolver(Resolver("127.0.0.1" if is_local else "0.0.0.0"))
    door = Door(Address("alias" if host == "any" else host, 0), "hint")
    door.close(await door.open())
    assert door.is_local is is_local


async def test_a_server_may_be_called_by_the_name_that_it_listens_at() -> None:
    rules = Rules(names=("Alias.", "127.0.0.1"))
    assert refusal(rules, host="alias:9000", path="/", headers={}) is None
    assert refusal(rules, host="other:9000", path="/", headers={}) is not None
    headers = {"origin": "http://alias:3000"}
    assert refusal(rules, host="alias:9000", path="/", headers=headers) is None
    # Its pages may ask no other name of this server: one of them may be served by another program.
    assert refusal(rules, host="127.0.0.1:9000", path="/", headers=headers) is not None
    authority = Authority(names=["alias"])
    authority.check_site({"host": "ALIAS:3000", "origin": "http://alias:3000"})
    with pytest.raises(Problem, match="allowed: addresses, alias, localhost"):
        authority.check_site({"host": "other:3000"})
    with pytest.raises(Problem, match="Origin"):
        authority.check_site({"host": "alias:3000", "origin": "http://alias:8080"})
