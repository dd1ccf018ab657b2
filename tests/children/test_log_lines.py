"""Lines with their times and streams, however the bytes arrive."""

from __future__ import annotations

import heapq
import itertools
import json
import time

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup.children import logs
from a2a_sup.children.log_lines import LINE_BYTES, Chunk, LineCutter, OutputStream, as_json
from a2a_sup.children.logs import ChildLog, LogLine

texts = st.text("ab\r\né", max_size=20).map(str.encode)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A wall clock that a test sets."""
    now = [1_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


@given(printed=st.lists(texts.filter(len)), cuts=st.sets(st.integers(0, 200)))
def test_lines_do_not_depend_on_how_the_bytes_arrive(printed: list[bytes], cuts: set[int]) -> None:
    output = b"".join(printed)
    edges = sorted({0, len(output), *(cut for cut in cuts if cut < len(output))})
    pieces = [output[a:b] for a, b in itertools.pairwise(edges)]
    one, many = LineCutter(), LineCutter()
    at_once = [*one.feed(Chunk(0, "output", output)), *one.end()] if output else []
    piecewise = [line for piece in pieces for line in many.feed(Chunk(0, "output", piece))]
    piecewise += many.end()
    assert [line.data for line in piecewise] == [line.data for line in at_once]


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), texts.filter(len))))
def test_streams_do_not_mix(printed: list[tuple[OutputStream, bytes]]) -> None:
    cutter = LineCutter()
    found = [line for stream, data in printed for line in cutter.feed(Chunk(0, stream, data))]
    found += cutter.end()
    streams: tuple[OutputStream, ...] = ("stdout", "stderr")
    for stream in streams:
        output = b"".join(data for each, data in printed if each == stream)
        alone = LineCutter()
        lines = [*alone.feed(Chunk(0, stream, output)), *alone.end()] if output else []
        assert [line.data for line in found if line.stream == stream] == [
            line.data for line in lines
        ]


def test_a_line_of_any_length_is_kept_within_bounds() -> None:
    cutter = LineCutter()
    lines: list[Chunk] = []
    for _ in range(100):
        lines += cutter.feed(Chunk(0, "output", b"x" * 10_000))
        assert sum(len(chunk.data) for chunk in cutter._begun.values()) <= LINE_BYTES
    lines += cutter.end()
    assert b"".join(line.data for line in lines) == b"x" * 1_000_000
    assert max(len(line.data) for line in lines) == LINE_BYTES


def test_a_line_as_json_has_everything() -> None:
    line = as_json("pipeline/löader", Chunk(1.5, "stderr", b'a "b" \xff'))
    assert line.endswith(b"\n")
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:01.500000+00:00",
        "child": "pipeline/löader",
        "stream": "stderr",
        "line": 'a "b" \ufffd',
    }


# --- of one child ---------------------------------------------------------------------------------


def test_recent_lines_know_when_their_beginning_was_printed(clock: list[float]) -> None:
    log = ChildLog()
    log.write(b"one\ntw", "stdout")
    clock[0] = 1001.0
    log.write(b"error\n", "stderr")
    clock[0] = 1002.0
    log.write(b"o\nlate", "stdout")
    assert log.recent(10) == (
        LogLine(1000.0, "stdout", "one"),
        LogLine(1000.0, "stdout", "two"),
        LogLine(1001.0, "stderr", "error"),
        LogLine(1002.0, "stdout", "late"),
    )
    assert log.recent(1) == (LogLine(1002.0, "stdout", "late"),)
    assert log.recent(10, since=1001.0) == log.recent(2)
    assert log.recent(0) == ()


def test_recent_lines_of_several_children_merge_by_time(clock: list[float]) -> None:
    one, other = ChildLog(), ChildLog()
    for number in range(6):
        clock[0] += 1
        (one if number % 2 else other).write(b"%d\n" % number)
    merged = heapq.merge(one.recent(9), other.recent(9), key=lambda line: line.time)
    assert [line.text for line in merged] == ["0", "1", "2", "3", "4", "5"]


def test_a_line_cut_off_by_the_end_of_a_run_is_not_glued_to_the_next() -> None:
    log = ChildLog()
    with log.sent_to([]):
        log.write(b"last words")
    with log.sent_to([]):
        log.write(b"first\n")
    assert [line.text for line in log.recent(9)] == ["last words", "first"]
    assert log.tail(9) == [b"last words", b"first"]


def test_a_child_that_prints_byte_by_byte_has_a_bounded_tail() -> None:
    log = ChildLog()
    for _ in range(3 * logs.TAIL_CHUNKS):
        log.write(b"\n")
    assert len(log._tail) == logs.TAIL_CHUNKS
    assert len(log.recent(10**9)) == logs.TAIL_CHUNKS


# --- followed -------------------------------------------------------------------------------------


async def test_a_line_follower_sees_each_line_once_from_before_to_after() -> None:
    log = ChildLog()
    log.write(b"one\ntwo\nthr")
    with log.follow_lines(last=1) as follower:
        log.write(b"ee\nfour\nfi")
        seen = [*(await follower.receive())[0], *(await follower.receive())[0]]
        assert [line.text for line in seen] == ["two", "three", "four"]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_when_waited_for, log, b"ve\n")
            lines, lost = await follower.receive()
    assert [line.text for line in lines] == ["five"]
    assert lost == 0


async def write_when_waited_for(log: ChildLog, data: bytes) -> None:
    await trio.testing.wait_all_tasks_blocked()
    log.write(data)


async def test_a_line_follower_sees_last_words_at_once() -> None:
    log = ChildLog()
    with log.follow_lines() as follower:
        with log.sent_to([]):
            log.write(b"segmentation fault")
        lines, _ = await follower.receive()
    assert [line.text for line in lines] == ["segmentation fault"]


async def test_a_slow_line_follower_is_told_what_it_missed() -> None:
    log = ChildLog()
    with log.follow_lines(limit=8) as follower:
        log.write(b"begun ")
        log.write(b"x" * 10 + b"\nnext\n")
        lines, lost = await follower.receive()
    assert [line.text for line in lines] == ["xx", "next"]
    assert lost == 14


async def test_a_follower_of_bytes_is_not_woken_by_the_end_of_a_run() -> None:
    log = ChildLog()
    with log.follow() as follower:
        with log.sent_to([]):
            log.write(b"last words")
        assert await follower.receive() == (b"last words", 0)
        with log.sent_to([]):
            pass
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_when_waited_for, log, b"next")
            assert await follower.receive() == (b"next", 0)
