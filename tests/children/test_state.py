"""The state directory: who has it, and what the one before left."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from a2a_sup.children.marks import environment_with, inherited, mark_of, new_instance
from a2a_sup.children.state import StateInUse, end_leftovers, state_directory

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from a2a_sup.children.state import state_directory
with state_directory(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def marked(mark: int, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that carries a mark in both ways."""
    with inherited(mark):
        process = subprocess.Popen(argv, env=environment_with(mark, os.environ))
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_it_is_made_for_its_owner_only_and_has_a_place_for_logs(tmp_path: Path) -> None:
    with state_directory(tmp_path / "a" / "state") as state:
        assert stat.S_IMODE(state.directory.stat().st_mode) == 0o700
        assert state.logs.parent == state.directory
        assert state.survivors == frozenset()
        [file] = state.directory.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_each_owner_has_another_instance(tmp_path: Path) -> None:
    with state_directory(tmp_path) as first:
        pass
    with state_directory(tmp_path) as second:
        assert second.instance != first.instance


def test_a_living_owner_is_named_and_a_dead_one_is_no_obstacle(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StateInUse, match=f"process {holder.pid}$") as caught:
            state_directory(tmp_path).__enter__()
        assert caught.value.pid == holder.pid
        holder.kill()
    with state_directory(tmp_path):
        pass


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no json",
        "[]",
        '{"pid": 1}',
        '{"instance": null}',
        '{"pid": 1e999, "instance": 1, "boot": ""}',
        "[" * 100_000,
    ],
    ids=lambda content: content[:12],
)
def test_a_record_that_was_cut_short_is_no_obstacle(tmp_path: Path, content: str) -> None:
    (tmp_path / "supervisor.json").write_text(content)
    with state_directory(tmp_path) as state:
        record = json.loads((tmp_path / "supervisor.json").read_text())
        assert record["instance"] == state.instance


def test_leftovers_end_with_all_below_them_and_nothing_else(tmp_path: Path) -> None:
    with state_directory(tmp_path) as before:
        pass
    mark = mark_of(before.instance, 7)
    stranger = mark_of(new_instance(), 7)
    with (
        marked(mark, "sleep", "600") as leftover,
        marked(mark, "sh", "-c", "env -i sh -c 'sleep 600 & wait' & wait; sleep 600") as parent,
        marked(stranger, "sleep", "600") as other,
        subprocess.Popen(["sleep", "600"]) as unmarked,
    ):
        with state_directory(tmp_path) as state:
            assert state.survivors == frozenset()
        assert leftover.wait() == parent.wait() == -9
        assert other.poll() is None
        assert unmarked.poll() is None
        unmarked.kill()


def test_a_record_of_an_earlier_boot_says_nothing_about_processes(tmp_path: Path) -> None:
    with state_directory(tmp_path) as before:
        pass
    file = tmp_path / "supervisor.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "boot": "another"}))
    with marked(mark_of(before.instance, 1), "sleep", "600") as process:
        with state_directory(tmp_path):
            pass
        assert process.poll() is None


def test_one_that_is_started_from_a_leftover_spares_itself() -> None:
    instance = new_instance()
    program = (
        "from a2a_sup.children.state import end_leftovers\n"
        f"assert end_leftovers({instance}) == frozenset()\n"
        "print('alive')"
    )
    with inherited(mark_of(instance, 1)):
        process = subprocess.Popen(
            ["sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, program],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        )
    assert process.communicate(timeout=10)[0] == b"alive\n"
    assert end_leftovers(instance) == frozenset()
