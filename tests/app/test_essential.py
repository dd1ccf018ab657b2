"""A child that the program is run for ends it, and says how: real processes, the real program."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from a2a_sup.app.essential import is_final, status_of
from a2a_sup.model.reasons import NORMAL, Reason, ReasonKind
from tests.app.conftest import Start

CRASH = Reason(ReasonKind.CRASHED, exit_status=3)
BESIDE = """
[children.beside]
command = ["sh", "-c", "trap 'echo in order; exit 0' TERM; while :; do sleep 0.1; done"]
"""


@pytest.mark.parametrize(
    ("restart", "reason", "final"),
    [
        ("permanent", NORMAL, False),
        ("permanent", CRASH, False),
        ("transient", NORMAL, True),
        ("transient", CRASH, False),
        ("temporary", NORMAL, True),
        ("temporary", CRASH, True),
    ],
)
def test_which_ends_are_for_good(restart: str, reason: Reason, final: bool) -> None:
    assert is_final(restart, reason) is final


def test_a_status_is_the_childs_own_as_a_shell_tells_it() -> None:
    assert status_of(7, CRASH) == 7
    assert status_of(None, CRASH) == 3
    assert status_of(-signal.SIGKILL, Reason(ReasonKind.KILLED)) == 137
    assert status_of(None, Reason(ReasonKind.START_FAILED)) == 1
    assert status_of(None, NORMAL) == 0


def tree(command: str, *more: str, strategy: str = "one_for_one") -> str:
    lines = [f'command = ["sh", "-c", "{command}"]', "essential = true", *more]
    return f'[supervisor]\nstrategy = "{strategy}"\n[children.job]\n' + "\n".join(lines) + BESIDE


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (tree("sleep 0.2; exit 0", 'restart = "transient"'), 0),
        (tree("sleep 0.2; exit 5", 'restart = "temporary"'), 5),
        (tree("sleep 0.2; exit 5", 'restart = "temporary"', "success_exit_codes = [5]"), 5),
        (tree("sleep 0.2; kill -KILL $$", 'restart = "temporary"'), 137),
        (tree("sleep 0.2; kill -TERM $$", 'restart = "temporary"'), 143),
        # Its budget is exhausted: it is left down, or its supervisor gives up with it.
        (tree("sleep 0.2; exit 6", "restart = { intensity = 0 }"), 6),
        (tree("sleep 0.2; exit 6", "restart = { intensity = 0 }", strategy="one_for_all"), 6),
    ],
)
async def test_the_program_ends_as_its_essential_child_did(
    start: Start, tmp_path: Path, text: str, status: int
) -> None:
    file = tmp_path / "tree.toml"
    file.write_text(text, encoding="utf-8")
    program = await start("run", "--http", "off", file)
    assert await program.ended() == status
    assert program.told("essential.ended", child="job", status=status)
    assert program.told("tree.stopped", status=status)
    # The other was asked, not killed.
    assert program.told("child.stopped", child="beside")[0]["reason"] == "shutdown"


async def test_a_requested_stop_is_no_end_of_it(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    file.write_text(tree("exec sleep 1000"), encoding="utf-8")
    program = await start("run", "--http", "off", file)
    await program.until("tree.started")
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
    assert not program.told("essential.ended")


async def test_one_that_is_restarted_ends_nothing(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    backoff = 'restart = { backoff = ["10ms"] }'
    file.write_text(tree("exec sleep 1000", backoff), encoding="utf-8")
    program = await start("run", "--http", "off", file)
    await program.until("tree.started")
    os.kill(program.pid_of("job"), signal.SIGKILL)
    await program.until("child.started", child="job", times=2)
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0


async def test_what_watches_does_not_keep_a_program_alive_that_cannot_listen(
    start: Start, tmp_path: Path
) -> None:
    file = tmp_path / "tree.toml"
    file.write_text(tree("exec sleep 1000"), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "{}:{}".format(*taken.getsockname())
        program = await start("run", "--http", address, file)
        assert await program.ended() == 1
