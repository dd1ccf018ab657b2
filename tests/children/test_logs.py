"""A child's output: what is in the files, the tail and the followers."""

from __future__ import annotations

import stat
from pathlib import Path
from unittest import mock

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup.children.log_sinks import COMPLAINT_SECONDS, FileSink
from a2a_sup.children.logs import (
    ENDED_LOGS,
    TAIL_BYTES,
    ChildLog,
    LogBook,
    LogFiles,
    RotatedFile,
)
from a2a_sup.errors import SpecError


def kept(path: Path) -> list[bytes]:
    """Return what the files hold, the oldest first."""
    asides = sorted(path.parent.glob(f"{path.name}.*"), key=lambda file: -int(file.suffix[1:]))
    return [file.read_bytes() for file in [*asides, path] if file.exists()]


# --- files ----------------------------------------------------------------------------------------


@given(
    chunks=st.lists(st.binary(max_size=40) | st.text("ab\n", max_size=40).map(str.encode)),
    max_bytes=st.integers(1, 30),
    reopened=st.sets(st.integers(0, 5)),
)
def test_rotated_files_together_are_the_output(
    tmp_path_factory: pytest.TempPathFactory,
    chunks: list[bytes],
    max_bytes: int,
    reopened: set[int],
) -> None:
    path = tmp_path_factory.mktemp("logs") / "child.log"
    file = RotatedFile(path, max_bytes=max_bytes, keep=10_000)
    for number, chunk in enumerate(chunks):
        file.write(chunk)
        if number in reopened:
            file.close()
    file.close()
    parts = kept(path)
    assert b"".join(parts) == b"".join(chunks)
    assert all(len(part) <= max_bytes for part in parts)


@given(
    lines=st.lists(st.binary(max_size=9).filter(lambda line: b"\n" not in line)),
    sizes=st.lists(st.integers(1, 50)),
)
def test_lines_that_fit_into_a_file_are_never_cut(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], sizes: list[int]
) -> None:
    path = tmp_path_factory.mktemp("logs") / "child.log"
    output = b"".join(line + b"\n" for line in lines)
    file = RotatedFile(path, max_bytes=20, keep=10_000)
    # Whole lines in each write, but any number of them.
    position = 0
    for size in [*sizes, len(output)]:
        end = output.rfind(b"\n", 0, position + size) + 1
        if end > position:
            file.write(output[position:end])
            position = end
    file.close()
    assert b"".join(kept(path)) == output
    assert all(part.endswith(b"\n") for part in kept(path))


def test_only_as_many_files_are_kept_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "child.log"
    file = RotatedFile(path, max_bytes=2, keep=3)
    for number in range(9):
        file.write(f"{number}\n".encode())
    file.close()
    assert kept(path) == [b"5\n", b"6\n", b"7\n", b"8\n"]


def test_with_none_kept_the_current_file_begins_anew(tmp_path: Path) -> None:
    file = RotatedFile(tmp_path / "child.log", max_bytes=2, keep=0)
    file.write(b"1\n2\n3\n")
    file.close()
    assert kept(tmp_path / "child.log") == [b"3\n"]


def test_files_and_directories_are_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "child.log"
    file = RotatedFile(path, max_bytes=100, keep=1)
    file.write(b"secret\n")
    file.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "child.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        RotatedFile(tmp_path / "child.log", max_bytes=100, keep=1).write(b"x")
    assert not (tmp_path / "elsewhere").exists()


@given(st.sets(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=90)))
def test_every_child_has_a_file_of_its_own_inside_the_directory(paths: set[str]) -> None:
    files = LogFiles(Path("/logs"))
    found = {files.path_of(path) for path in paths}
    assert len(found) == len(paths)
    for file in found:
        assert file.parent == Path("/logs")
        assert not file.name.startswith(".")
        assert len(file.name.encode()) <= 240


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("web", "web.log"),
        ("pipeline/loader", "pipeline%2Floader.log"),
        ("..", "%2E..log"),
        (".hidden", "%2Ehidden.log"),
        ("100%", "100%25.log"),
    ],
)
def test_names_of_files_show_the_path(path: str, name: str) -> None:
    assert LogFiles(Path("/logs")).path_of(path).name == name


def test_long_paths_differ_after_their_common_start() -> None:
    files = LogFiles(Path("/logs"))
    long = "/".join(["x" * 60] * 10)
    assert files.path_of(f"{long}/1") != files.path_of(f"{long}/2")


def test_sizes_that_make_no_sense_are_refused_together() -> None:
    with pytest.raises(SpecError) as caught:
        LogFiles(Path("/logs"), max_bytes=0, keep=-1)
    assert len(caught.value.problems) == 2


# --- trouble --------------------------------------------------------------------------------------


@pytest.fixture(params=["no directory", "full disk", "cannot be put aside"])
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> RotatedFile:
    if request.param == "no directory":
        (tmp_path / "file").touch()
        return RotatedFile(tmp_path / "file" / "child.log", max_bytes=100, keep=1)
    if request.param == "full disk":
        file = RotatedFile(tmp_path / "child.log", max_bytes=100, keep=1)
        file._path = Path("/dev/full")
        return file
    (tmp_path / "child.log").write_bytes(b"x" * 100)
    (tmp_path / "child.log.1" / "occupied").mkdir(parents=True)
    return RotatedFile(tmp_path / "child.log", max_bytes=100, keep=1)


async def test_a_file_that_cannot_be_written_is_reported_once_per_minute(
    broken: RotatedFile, autojump_clock: trio.testing.MockClock
) -> None:
    log = ChildLog()
    reports: list[str] = []
    with log.sent_to([FileSink(broken, reports.append)]):
        log.write(b"one\n")
        log.write(b"two\n")
        assert len(reports) == 1
        await trio.sleep(COMPLAINT_SECONDS)
        log.write(b"three\n")
    assert len(reports) == 2
    assert "up to 10 bytes" in reports[1]
    assert log.tail(9) == [b"one", b"two", b"three"]


async def test_writing_goes_on_when_the_disk_is_well_again(tmp_path: Path) -> None:
    blocker = tmp_path / "logs"
    blocker.touch()
    log = ChildLog()
    file = RotatedFile(blocker / "child.log", max_bytes=100, keep=1)
    with log.sent_to([FileSink(file, lambda _: None)]):
        log.write(b"lost\n")
        blocker.unlink()
        log.write(b"kept\n")
    assert (blocker / "child.log").read_bytes() == b"kept\n"


# --- in memory ------------------------------------------------------------------------------------


@given(
    chunks=st.lists(
        st.builds(bytes.__mul__, st.text("ab\n", max_size=20).map(str.encode), st.integers(0, 5000))
    )
)
def test_the_tail_is_the_end_of_the_output_and_bounded(chunks: list[bytes]) -> None:
    log = ChildLog()
    for chunk in chunks:
        log.write(chunk)
    output = b"".join(chunks)
    tail = b"".join(chunk.data for chunk in log._tail)
    assert output.endswith(tail)
    assert min(len(output), TAIL_BYTES) <= len(tail) < 2 * TAIL_BYTES
    assert log.tail(3) == tail.splitlines()[-3:]
    assert [line.text.encode() for line in log.recent(3)] == tail.splitlines()[-3:]


def test_the_tail_since_a_position_has_nothing_of_before() -> None:
    log = ChildLog()
    log.write(b"first run\n")
    position = log.written
    assert log.tail(10, since=position) == []
    log.write(b"second\nrun\n")
    assert log.tail(10, since=position) == [b"second", b"run"]
    assert log.tail(1, since=position) == [b"run"]
    assert log.tail(0) == []


async def test_a_follower_gets_what_is_printed_from_now_on() -> None:
    log = ChildLog()
    log.write(b"before")
    with log.follow() as follower:
        log.write(b"one ")
        log.write(b"two")
        assert await follower.receive() == (b"one two", 0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_write_when_waited_for, log)
            assert await follower.receive() == (b"late", 0)
    log.write(b"after")
    assert not log.followed


async def _write_when_waited_for(log: ChildLog) -> None:
    await trio.testing.wait_all_tasks_blocked()
    log.write(b"late")


async def test_a_slow_follower_loses_the_oldest_and_is_told_how_many() -> None:
    log = ChildLog()
    with log.follow(limit=10) as follower:
        log.write(b"0123456")
        log.write(b"789abc")
        log.write(b"def")
        assert await follower.receive() == (b"6789abcdef", 6)
        log.write(b"x" * 25)
        assert await follower.receive() == (b"x" * 10, 15)


# --- the book of all logs -------------------------------------------------------------------------


def test_a_log_is_kept_over_restarts_with_its_followers(tmp_path: Path) -> None:
    book = LogBook()
    files = LogFiles(tmp_path)
    with book.opened("web", files, lambda _: None) as first:
        first.write(b"one\n")
    assert book.get("web") is first
    with book.opened("web", files, lambda _: None) as second:
        second.write(b"two\n")
    assert second is first
    assert (tmp_path / "web.log").read_bytes() == b"one\ntwo\n"
    assert book.get("unheard of") is None


def test_a_start_that_failed_while_its_sinks_were_made_leaves_none_behind(tmp_path: Path) -> None:
    book = LogBook()
    files = LogFiles(tmp_path, forward=True)
    with (
        mock.patch("a2a_sup.children.logs.Forwarder", side_effect=OSError("no thread")),
        pytest.raises(OSError, match="no thread"),
        book.opened("web", files, lambda _: None),
    ):
        pass
    with book.opened("web", LogFiles(tmp_path), lambda _: None) as log:
        log.write(b"one\n")
    assert (tmp_path / "web.log").read_bytes() == b"one\n"


def test_two_trees_with_the_same_path_do_not_share_a_log() -> None:
    book = LogBook()
    with book.opened("web", None, lambda _: None) as one:
        with book.opened("web", None, lambda _: None) as other:
            assert other is not one
        assert book.get("web") is other


def test_logs_of_children_long_gone_are_forgotten_unless_followed() -> None:
    book = LogBook()
    with book.opened("followed", None, lambda _: None) as followed:
        pass
    with followed.follow():
        for number in range(ENDED_LOGS + 10):
            with book.opened(f"child-{number}", None, lambda _: None):
                pass
        assert book.get("followed") is followed
        assert book.get("child-0") is None
        assert book.get(f"child-{ENDED_LOGS + 9}") is not None
