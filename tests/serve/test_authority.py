"""Who may do what: as rules, and as requests over TCP see them."""

from __future__ import annotations

import os
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup.errors import SpecError
from a2a_sup.serve.api_problems import Problem
from a2a_sup.serve.authority import (
    FAILURES,
    PEER_UID,
    PEERS_REMEMBERED,
    Authority,
    Caller,
    Failures,
    peer_of,
)

TOKEN = "t0ken"


def ask(authority: Authority, peer: str = "127.0.0.1", **headers: str) -> Caller:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    scope: dict[str, Any] = {"client": (peer, 40000), "state": {PEER_UID: None}}
    return authority.caller(scope, {"host": "127.0.0.1:3000", **named})


def refused(authority: Authority, peer: str = "127.0.0.1", **headers: str) -> str:
    with pytest.raises(Problem) as info:
        authority.demand(ask(authority, peer, **headers))
    return info.value.kind


async def test_the_control_socket_may_do_everything() -> None:
    for uid in (0, os.geteuid()):
        caller = Authority(None).caller({"state": {PEER_UID: uid}}, {"host": "evil.example"})
        assert caller == Caller(f"uid:{uid}", is_trusted=True)


async def test_the_control_socket_is_not_for_other_users() -> None:
    with pytest.raises(Problem) as info:
        Authority(None).caller({"state": {PEER_UID: os.geteuid() + 1}}, {})
    assert info.value.kind == "foreign-user"


async def test_without_a_token_tcp_may_change_nothing() -> None:
    assert refused(Authority(None)) == "no-token-configured"
    assert refused(Authority(None), authorization=f"Bearer {TOKEN}") == "no-token-configured"


async def test_the_token_may_change_things() -> None:
    authority = Authority(TOKEN)
    assert refused(authority) == "no-token"
    caller = ask(authority, authorization=f"Bearer {TOKEN}")
    assert caller == Caller("token from 127.0.0.1", is_trusted=True)


@given(st.text(st.characters(codec="latin-1")).filter(lambda text: text.strip() != TOKEN))
def test_no_other_token_will_do(text: str) -> None:
    async def main() -> None:
        assert refused(Authority(TOKEN), authorization=f"Bearer {text}") == "wrong-token"

    trio.run(main)


@pytest.mark.parametrize("header", [f"Basic {TOKEN}", TOKEN, f"Token {TOKEN}", "Bearer", ""])
async def test_no_other_scheme_will_do(header: str) -> None:
    assert refused(Authority(TOKEN), authorization=header) == "wrong-token"


@pytest.mark.parametrize("token", ["", "a\nb", "ä", "\x7f"])
def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    with pytest.raises(SpecError):
        Authority(token)


async def test_a_thousand_guesses_get_ten_answers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    authority = Authority(TOKEN)
    kinds = [refused(authority, authorization=f"Bearer {number}") for number in range(1000)]
    assert kinds == ["wrong-token"] * FAILURES + ["too-many-failures"] * (1000 - FAILURES)
    # Not even the right one now, or guessing on would pay. Reading needs none and goes on.
    assert refused(authority, authorization=f"Bearer {TOKEN}") == "too-many-failures"
    assert not ask(authority).is_trusted
    # Somebody else is not concerned.
    assert ask(authority, "127.0.0.2", authorization=f"Bearer {TOKEN}").is_trusted
    with pytest.raises(Problem) as info:
        ask(authority, authorization=f"Bearer {TOKEN}")
    await trio.sleep(float(info.value.headers["Retry-After"]))
    assert ask(authority, authorization=f"Bearer {TOKEN}").is_trusted


def test_the_memory_for_failures_is_bounded() -> None:
    failures = Failures()
    for _ in range(FAILURES):
        failures.note("first", 0.0)
    for number in range(PEERS_REMEMBERED - 1):
        failures.note(str(number), 1.0)
    assert failures.wait("first", 2.0) == 58.0
    failures.note("one more", 1.0)
    assert failures.wait("first", 2.0) == 0.0


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("unknown", "unknown"),
    ],
)
def test_who_counts_as_one_peer(address: str, peer: str) -> None:
    assert peer_of(address) == peer


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:3000", "127.0.0.1", "[::1]:3000", "10.1.2.3:3000", "ops.example.org"],
)
async def test_own_names_and_addresses_are_hosts(host: str) -> None:
    ask(Authority(origins=["OPS.example.org"]), host=host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "evil.example@127.0.0.1",
        "localhost:x",
        "localhost/x",
        "[::1",
    ],
)
async def test_a_foreign_host_is_refused(host: str) -> None:
    assert refused(Authority(TOKEN), host=host, authorization=f"Bearer {TOKEN}") == "foreign-host"


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.example",
        "http://127.0.0.1:3001",
        "http://127.0.0.1:3000.evil.example",
        "http://localhost:3000",
    ],
)
async def test_a_foreign_origin_is_refused(origin: str) -> None:
    authority = Authority(TOKEN)
    assert refused(authority, origin=origin, authorization=f"Bearer {TOKEN}") == "foreign-origin"


@pytest.mark.parametrize("origin", ["http://127.0.0.1:3000", "https://Ops.example.org"])
async def test_own_and_configured_origins_may_ask(origin: str) -> None:
    ask(Authority(origins=["https://ops.example.org/"]), origin=origin)
