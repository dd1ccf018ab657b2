"""Files put aside by age, and packed: nothing lost whenever it is interrupted."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup.children import log_files
from a2a_sup.children.log_asides import Packer, put_aside
from a2a_sup.children.log_files import LogFiles, RotatedFile
from a2a_sup.errors import SpecError

DAY = 86_400.0


class Clock:
    now = 20_000 * DAY

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A wall clock that a test sets."""
    clock = Clock()
    monkeypatch.setattr(log_files, "time", clock)
    return clock


def daily(path: Path, *, max_bytes: int = 1000) -> RotatedFile:
    return RotatedFile(path, max_bytes=max_bytes, keep=9, max_age=DAY)


def test_a_span_that_is_shorter_than_any_work_holds_nobody_up(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.log"
    file = RotatedFile(path, max_bytes=1000, keep=9, max_age=1e-7)
    looked = []

    def later() -> float:
        looked.append(1)
        assert len(looked) < 100
        clock.now += 1e-3
        return clock.now

    monkeypatch.setattr(clock, "time", later)
    file.write(b"one\ntwo\n")
    file.write(b"three\n")
    file.close()
    assert sorted(each.read_bytes() for each in tmp_path.iterdir()) == [b"one\ntwo\n", b"three\n"]


def content(path: Path) -> dict[str, bytes]:
    """Return what the files of a log hold, unpacked, by the ends of their names."""
    found = {}
    for file in path.parent.iterdir():
        data = file.read_bytes()
        found[file.name.removeprefix(path.name)] = (
            gzip.decompress(data) if file.suffix == ".gz" else data
        )
    return found


# --- by age ---------------------------------------------------------------------------------------


def test_a_day_has_a_file_of_its_own(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "a.log"
    file = daily(path)
    file.write(b"monday\n")
    clock.now += DAY - 1
    file.write(b"late\n")
    clock.now += 1
    file.write(b"tuesday\n")
    file.close()
    assert content(path) == {"": b"tuesday\n", ".1": b"monday\nlate\n"}


def test_a_line_that_began_before_midnight_stays_whole(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "a.log"
    file = daily(path)
    file.write(b"begun ")
    clock.now += DAY
    file.write(b"before\nafter\n")
    file.close()
    assert content(path) == {"": b"after\n", ".1": b"begun before\n"}


def test_age_counts_through_a_restart_of_the_supervisor(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"yesterday\n")
    os.utime(path, (clock.now - 1, clock.now - 1))
    file = daily(path)
    file.write(b"today\n")
    file.close()
    assert content(path) == {"": b"today\n", ".1": b"yesterday\n"}


@given(
    printed=st.lists(
        st.tuples(
            st.sampled_from([0.0, 1.0, DAY / 2, DAY, 3 * DAY]),
            st.binary(max_size=9) | st.text("a\n", max_size=9).map(str.encode),
        )
    ),
    max_bytes=st.integers(1, 20),
)
def test_whatever_the_time_files_together_are_the_output(
    tmp_path_factory: pytest.TempPathFactory,
    printed: list[tuple[float, bytes]],
    max_bytes: int,
) -> None:
    path = tmp_path_factory.mktemp("logs") / "a.log"
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_files, "time", clock)
        file = RotatedFile(path, max_bytes=max_bytes, keep=10_000, max_age=DAY)
        for later, data in printed:
            clock.now += later
            file.write(data)
        file.close()
    parts = content(path)
    order = sorted(parts, key=lambda end: -int(end[1:] or 0))
    assert b"".join(parts[end] for end in order) == b"".join(data for _, data in printed)
    assert all(len(part) <= max_bytes for part in parts.values())


def test_ages_and_formats_that_make_no_sense_are_refused() -> None:
    with pytest.raises(SpecError) as caught:
        LogFiles(Path("/logs"), max_age=0, format="xml")  # type: ignore[arg-type]
    assert len(caught.value.problems) == 2


# --- packed ---------------------------------------------------------------------------------------


def test_files_put_aside_are_packed_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    packer = Packer()
    file = RotatedFile(path, max_bytes=2, keep=3, packer=packer)
    for number in range(9):
        file.write(b"%d\n" % number)
        assert packer.wait(10)
    file.close()
    assert content(path) == {"": b"8\n", ".1.gz": b"7\n", ".2.gz": b"6\n", ".3.gz": b"5\n"}
    assert (tmp_path / "a.log.1.gz").stat().st_mode & 0o777 == 0o600


def test_packing_keeps_up_with_files_that_move_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    packer = Packer()
    file = RotatedFile(path, max_bytes=6, keep=10_000, packer=packer)
    output = b"".join(b"%05d\n" % number for number in range(300))
    for begin in range(0, len(output), 6):
        file.write(output[begin : begin + 6])
    file.close()
    assert packer.wait(10)
    parts = content(path)
    order = sorted(parts, key=lambda end: -int(end.removesuffix(".gz")[1:] or 0))
    assert b"".join(parts[end] for end in order) == output
    assert {end for end in parts if not end.endswith(".gz")} == {""}


def test_what_a_crash_left_plain_is_packed_after_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    (tmp_path / "a.log.1").write_bytes(b"one\n")
    (tmp_path / "a.log.part").write_bytes(b"half of a packed file")
    packer = Packer()
    file = RotatedFile(path, max_bytes=100, keep=3, packer=packer)
    file.write(b"two\n")
    file.close()
    assert packer.wait(10)
    assert content(path) == {"": b"two\n", ".1.gz": b"one\n"}


def test_a_crash_between_the_last_steps_of_packing_doubles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    (tmp_path / "a.log.1").write_bytes(b"one\n")
    (tmp_path / "a.log.1.gz").write_bytes(gzip.compress(b"one\n"))
    path.write_bytes(b"two\n")
    put_aside(path, keep=3)
    assert content(path) == {".1": b"two\n", ".2": b"one\n"}


def test_packed_and_plain_files_are_kept_together(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    (tmp_path / "a.log.1").write_bytes(b"2\n")
    (tmp_path / "a.log.2.gz").write_bytes(gzip.compress(b"1\n"))
    path.write_bytes(b"3\n")
    put_aside(path, keep=2)
    assert content(path) == {".1": b"3\n", ".2": b"2\n"}


def test_a_disk_that_is_full_leaves_the_plain_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.log"
    (tmp_path / "a.log.1").write_bytes(b"one\n")
    packer = Packer()
    monkeypatch.setattr(shutil, "copyfileobj", fail)
    packer.pack(path)
    assert packer.wait(10)
    assert content(path) == {".1": b"one\n"}
    assert "cannot pack what was put aside of a.log: [Errno 28]" in caplog.text


def test_a_file_deleted_while_it_is_packed_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copyfileobj

    def copy_and_lose(source: Any, target: Any, length: int) -> None:
        copy(source, target, length)
        (tmp_path / "a.log.1").unlink()

    (tmp_path / "a.log.1").write_bytes(b"one\n")
    packer = Packer()
    monkeypatch.setattr(shutil, "copyfileobj", copy_and_lose)
    packer.pack(tmp_path / "a.log")
    assert packer.wait(10)
    assert content(tmp_path / "a.log") == {}
