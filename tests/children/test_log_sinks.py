"""Output as JSON, as events, and forwarded: whole lines, within bounds, and nobody waits."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from a2a_sup.children import log_forwarding
from a2a_sup.children.hygiene import current_host
from a2a_sup.children.log_forwarding import Forwarder
from a2a_sup.children.log_lines import Chunk
from a2a_sup.children.log_sinks import EVENT_CHARACTERS, EVENTS_PER_SECOND, EventSink
from a2a_sup.children.logs import LogBook, LogFiles
from a2a_sup.children.process import process
from a2a_sup.model import events
from a2a_sup.model.spec import SupervisorSpec
from a2a_sup.tree.handle import open_tree

SCRIPT = "echo out; echo err >&2; printf last"


def only_file(directory: Path) -> Path:
    (file,) = directory.iterdir()
    return file


async def run(context: Any, logs: LogFiles) -> None:
    body = process("child", ["sh", "-c", SCRIPT], logs=logs).run
    assert not isinstance(body, SupervisorSpec)
    await body(context)


# --- JSON -----------------------------------------------------------------------------------------


async def test_json_lines_tell_the_streams_of_a_process_apart(context: Any, tmp_path: Path) -> None:
    await run(context, LogFiles(tmp_path, format="json"))
    lines = [json.loads(line) for line in only_file(tmp_path).read_text().splitlines()]
    assert {(line["stream"], line["line"]) for line in lines} == {
        ("stdout", "out"),
        ("stdout", "last"),
        ("stderr", "err"),
    }
    assert {line["child"] for line in lines} == {context.path}
    log = current_host().logs.get(context.path)
    assert log is not None
    assert {line.stream for line in log.recent(9)} == {"stdout", "stderr"}


async def test_text_keeps_output_and_errors_in_their_order(context: Any, tmp_path: Path) -> None:
    await run(context, LogFiles(tmp_path))
    assert only_file(tmp_path).read_bytes() == b"out\nerr\nlast"


# --- events ---------------------------------------------------------------------------------------


async def test_lines_of_a_process_are_events_if_asked() -> None:
    from a2a_sup import supervisor  # noqa: PLC0415

    argv = ["sh", "-c", f"{SCRIPT}; exec sleep 60"]
    root = supervisor("root", [process("a", argv, logs=LogFiles(events=True))])
    lines = []
    async with open_tree(root) as tree:
        with trio.fail_after(10):
            # The tree's first events were before this subscription; the output may be too.
            with tree.events() as seen:
                await tree.terminate_child("a")
                await tree.restart_child("a")
                async for event in seen:
                    if isinstance(event, events.ChildOutput) and event.incarnation == 2:
                        lines.append(event.line)
                        if len(lines) == 2:
                            break
    assert lines == ["out", "err"]


def test_a_flood_of_lines_becomes_a_bounded_number_of_events() -> None:
    told: list[tuple[str, str, int]] = []
    sink = EventSink(lambda *line: told.append(line))
    for _ in range(1_000):
        sink.take(Chunk(1.0, "output", b"flood\n" * 10))
    assert len(told) == EVENTS_PER_SECOND
    sink.take(Chunk(2.0, "output", b"after\n"))
    assert told[-1] == ("output", "after", 10_000 - EVENTS_PER_SECOND)


def test_every_line_is_told_or_counted_to_the_end() -> None:
    told: list[tuple[str, str, int]] = []
    sink = EventSink(lambda *line: told.append(line))
    sink.take(Chunk(1.0, "stdout", b"line\n" * (EVENTS_PER_SECOND + 7)))
    sink.end()
    assert told[-1] == ("output", "", 7)
    assert len(told) == EVENTS_PER_SECOND + 1


def test_an_event_has_the_beginning_of_a_long_line() -> None:
    told: list[tuple[str, str, int]] = []
    EventSink(lambda *line: told.append(line)).take(Chunk(1.0, "output", b"x" * 9_999 + b"\n"))
    assert told == [("output", "x" * EVENT_CHARACTERS, 0)]


# --- forwarded ------------------------------------------------------------------------------------


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        os.close(end)


def text(data: str, stream: Any = "output") -> Chunk:
    return Chunk(0.0, stream, data.encode())


def test_forwarded_lines_are_whole_and_say_whose_they_are(pipe: tuple[int, int]) -> None:
    forwarder = Forwarder(pipe[1])
    one = forwarder.source("pipeline/one", is_json=False)
    two = forwarder.source("two", is_json=True)
    one.take(text("begin"))
    two.take(text("hello\n", "stderr"))
    one.take(text("ning\nlast words"))
    one.end()
    two.end()
    forwarder.close()
    first, *rest = sorted(os.read(pipe[0], 9_999).splitlines(), key=lambda line: line[:1] == b"{")
    assert [first, rest[0]] == [b"pipeline/one | beginning", b"pipeline/one | last words"]
    assert json.loads(rest[1])["line"] == "hello"


def fill(pipe: int) -> None:
    os.set_blocking(pipe, False)
    try:
        while True:
            os.write(pipe, b"x" * 4096)
    except BlockingIOError:
        pass


@pytest.mark.parametrize("mode", ["blocking", "non-blocking"])
def test_a_reader_that_sleeps_costs_lines_and_no_time(pipe: tuple[int, int], mode: str) -> None:
    reading, writing = pipe
    fill(writing)
    os.set_blocking(writing, mode == "blocking")
    filled = fcntl.fcntl(writing, 1032)
    forwarder = Forwarder(writing)
    source = forwarder.source("loud", is_json=False)
    for _ in range(3):
        for number in range(2_000):
            source.take(text(f"{number} {'x' * 4000}\n"))
    source.take(text("the end\n"))
    assert forwarder._size <= log_forwarding.HELD_BYTES
    seen = b""
    while not seen.endswith(b"loud | the end\n"):
        seen += os.read(reading, 1 << 20)
    forwarder.close()
    lines = seen[filled:].decode().splitlines()
    lost = sum(int(line.split()[2]) for line in lines if line.startswith("a2a-sup"))
    kept = sum(len(line) - len("loud | ") + 1 for line in lines if line.startswith("loud"))
    whole = sum(len(f"{number} {'x' * 4000}\n") for number in range(2_000)) * 3
    assert lost > 0
    assert lost + kept == whole + len("the end\n")


async def test_a_pipe_that_is_closed_stops_nothing_and_the_loss_is_told_to_the_next_reader(
    tmp_path: Path,
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    forwarder = Forwarder(writing)
    source = forwarder.source("a", is_json=False)
    source.take(text("nobody\n"))
    with trio.fail_after(10):
        while not forwarder._unwritten:
            await trio.sleep(0.001)
    with (tmp_path / "file").open("wb") as file:
        os.dup2(file.fileno(), writing)
    source.take(text("somebody\n"))
    forwarder.close()
    os.close(writing)
    assert (tmp_path / "file").read_bytes() == (
        b"a2a-sup | 11 bytes of output were lost\na | somebody\n"
    )


def test_a_full_disk_stops_nothing() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    forwarder = Forwarder(full)
    source = forwarder.source("a", is_json=False)
    source.take(text("nobody\n"))
    forwarder.close()
    assert forwarder._unwritten == len("a | nobody\n")
    os.close(full)


def test_a_book_can_forward_all_and_keep_no_files(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    book = LogBook()
    report: Callable[[str], None] = lambda _: None  # noqa: E731
    with book.opened("kept", LogFiles(tmp_path), report) as log:
        log.write(b"in a file\n")
    book.everything.forward, book.everything.files = True, False
    with book.opened("told", LogFiles(tmp_path), report) as log:
        log.write(b"on standard output")
    book.close()
    assert capfd.readouterr().out == "told | on standard output\n"
    assert [file.name for file in tmp_path.iterdir()] == ["kept.log"]
