"""Reloads of the real program with real processes."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

Start = Callable[..., Awaitable[Any]]

SLEEP = "[children.{}]\ncommand = ['sleep', '{}']\n"
TREE = "".join(SLEEP.format(name, 1000) for name in "abc")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tree.toml"
    path.write_text(TREE)
    return path


def write(path: Path, text: str) -> None:
    path.write_text(text)


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def test_a_hangup_restarts_only_what_changed(start: Start, file: Path) -> None:
    program = await start("run", file)
    await program.until("tree.started")
    before = {name: program.pid_of(name) for name in "abc"}
    write(file, TREE.replace("'1000'", "'1001'", 1) + SLEEP.format("d", 1000))
    program.signal(signal.SIGHUP)
    done = await program.until("reload.done")
    assert (done["steps"], done["untouched"]) == (2, 2)
    await program.until("child.started", child="a", times=2)
    await program.until("child.started", child="d")
    assert program.told("reload.restart", child="a")[0]["why"] == ["command"]
    assert program.pid_of("a") != before["a"]
    assert not is_alive(before["a"])
    assert {name: program.pid_of(name) for name in "bc"} == {name: before[name] for name in "bc"}
    assert all(is_alive(program.pid_of(name)) for name in "abcd")
    assert command_of(program.pid_of("a")) == b"sleep\x001001\0"
    write(file, SLEEP.format("b", 1000))
    program.signal(signal.SIGHUP)
    await program.until("reload.done", times=2)
    assert is_alive(before["b"])
    assert not is_alive(before["c"])


async def test_a_new_policy_is_in_force_without_a_restart(start: Start, file: Path) -> None:
    program = await start("run", file)
    await program.until("tree.started")
    pid = program.pid_of("a")
    write(file, "[defaults]\nrestart = 'temporary'\n" + TREE)
    program.signal(signal.SIGHUP)
    assert (await program.until("reload.done"))["steps"] == 3
    assert program.pid_of("a") == pid
    assert not program.told("child.stopped")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[children.a]\ncomand = ['x']\n", "did you mean 'command'?"),
        ("[children", "not TOML"),
        (TREE + SLEEP.format("d", 1).replace("sleep", "no-such-program"), "d: no-such-program"),
    ],
)
async def test_a_bad_file_changes_nothing_and_every_mistake_is_a_line(
    start: Start, file: Path, text: str, mistake: str
) -> None:
    program = await start("run", file)
    await program.until("tree.started")
    before = {name: program.pid_of(name) for name in "abc"}
    write(file, text)
    program.signal(signal.SIGHUP)
    await program.until("reload.refused")
    assert any(mistake in line["problem"] for line in program.told("reload.mistake"))
    assert {name: program.pid_of(name) for name in "abc"} == before
    assert all(map(is_alive, before.values()))
    write(file, TREE)
    program.signal(signal.SIGHUP)
    assert (await program.until("reload.done"))["steps"] == 0
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0


async def test_watched_files_reload_by_themselves_includes_too(
    start: Start, file: Path, tmp_path: Path
) -> None:
    team = tmp_path / "team.toml"
    write(team, SLEEP.format("x", 1))
    write(file, "include = ['team.toml']\n" + TREE)
    program = await start("run", file, "--watch")
    await program.until("tree.started")
    await program.until("tree.watched")
    pid = program.pid_of("a")
    new = tmp_path / "team.toml.new"
    write(new, SLEEP.format("y", 1000))
    new.replace(team)
    assert (await program.until("reload.done", trigger="watch"))["steps"] == 2
    assert program.pid_of("a") == pid
    await program.until("child.started", child="y")


async def test_what_an_operator_stopped_stays_down_over_reloads_and_runs(
    start: Start, file: Path, tmp_path: Path
) -> None:
    state = tmp_path / "s"
    state.mkdir()
    (state / "operator.json").write_text(json.dumps({"stopped": ["b"], "copies": {}}))
    program = await start("run", file, "--state-dir", state)
    await program.until("tree.started")
    assert program.told("child.stopped", child="b")
    write(file, TREE.replace("1000", "1001"))
    program.signal(signal.SIGHUP)
    assert (await program.until("reload.done"))["steps"] == 3
    assert not program.told("child.started", child="b")
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
    again = await start("run", file, "--state-dir", state, "--fresh")
    await again.until("child.started", child="b")


POLITE = """
import pathlib, signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: (pathlib.Path(sys.argv[1], "asked").touch(), sys.exit(7)))
pathlib.Path(sys.argv[1], "set").touch()
time.sleep(1000)
"""


async def test_how_a_running_process_is_stopped_changes_under_it(
    start: Start, file: Path, tmp_path: Path
) -> None:
    child = f"[children.a]\ncommand = [{sys.executable!r}, '-c', '''{POLITE}''', '{tmp_path}']\n"
    write(file, child)
    program = await start("run", file)
    await program.until("tree.started")
    await eventually((tmp_path / "set").exists)
    write(file, f"{child}stop_signal = 'USR1'\nsuccess_exit_codes = [7]\n")
    program.signal(signal.SIGHUP)
    await program.until("reload.done")
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
    assert (tmp_path / "asked").exists()
    assert len(program.told("child.started")) == 1
    assert program.told("child.stopped")[0]["reason"].startswith("shutdown")
