"""Lines and junk: cut, bounded and counted."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup.children.mcp_streams import REPORT_SECONDS, SHOWN_BYTES, Junk, Lines, message_of


@given(st.lists(st.binary(max_size=20).map(lambda piece: piece.replace(b"x", b"\n"))))
def test_lines_do_not_depend_on_how_they_arrive(pieces: list[bytes]) -> None:
    lines = Lines()
    found = [line for piece in pieces for line in lines.feed(piece)]
    assert found == b"".join(pieces).split(b"\n")[:-1]


@given(st.lists(st.integers(0, 30), min_size=1))
def test_no_line_is_longer_than_the_limit(sizes: list[int]) -> None:
    lines = Lines(limit=10)
    data = b"".join(b"a" * size + b"\n" for size in sizes)
    for cut in (1, 7, len(data)):
        pieces = [data[start : start + cut] for start in range(0, len(data), cut)]
        found = [line for piece in pieces for line in lines.feed(piece)]
        assert [len(line) for line in found if b"." not in line] == [s for s in sizes if s <= 10]
        assert len(found) == len(sizes)


def test_the_beginning_of_a_line_that_is_too_long_is_no_message() -> None:
    message = b'{"jsonrpc": "2.0", "method": "m"}'
    [line] = Lines(limit=100).feed(message + b" " * 400 + b"\n")
    assert line.startswith(message)
    assert line.endswith(b"... (433 bytes)")
    assert message_of(line) is None
    assert message_of(message) is not None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"{",
        b"{}",
        b"[]",
        b"null",
        b'{"jsonrpc": "1.0", "method": "m"}',
        b'{"jsonrpc": "2.0", "method": "\xff"}',
        b'[{"jsonrpc": "2.0", "method": "m"}]',
    ],
)
def test_what_is_no_message(line: bytes) -> None:
    assert message_of(line) is None


async def test_junk_is_logged_at_once_and_reported_now_and_then(
    autojump_clock: trio.testing.MockClock,
) -> None:
    logged: list[bytes] = []
    reported: list[tuple[float, int, str]] = []

    def report(lines: int, last: str) -> None:
        reported.append((trio.current_time() - begin, lines, last))

    junk = Junk(logged.append, report)
    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(junk.keep_reported)
        junk.add(b"one")
        junk.add(b"two")
        await trio.sleep(REPORT_SECONDS / 2)
        junk.add(b"three")
        await trio.sleep(REPORT_SECONDS)
        junk.add(b"x" * 1000)
        assert len(logged) == 4
        nursery.cancel_scope.cancel()
    assert reported == [
        (0, 2, "two"),
        (REPORT_SECONDS, 3, "three"),
        (REPORT_SECONDS * 1.5, 4, "x" * SHOWN_BYTES),
    ]
