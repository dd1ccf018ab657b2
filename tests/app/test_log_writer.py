"""Supervision outlives its log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from a2a_sup.app.log_writer import LogWriter

Start = Callable[..., Awaitable[Any]]
TREE = """
[children.flag]
command = ["sh", "-c", "echo up >> {flag}; sleep 0.2; exit 1"]
restart = {{ backoff = [], intensity = "unlimited" }}
"""


def test_lines_are_written_in_their_order(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        writer = LogWriter(file)
        for number in range(1000):
            writer.write(f"{number}\n")
        writer.close()
    assert (tmp_path / "log").read_text() == "".join(f"{number}\n" for number in range(1000))


def test_a_stream_that_fails_is_no_error_and_the_loss_is_told_later(tmp_path: Path) -> None:
    class Moody:
        text = ""
        is_broken = True

        def write(self, text: str) -> int:
            if self.is_broken:
                raise OSError("full")
            self.text += text
            return len(text)

        def flush(self) -> None:
            pass

    stream: Any = Moody()
    writer = LogWriter(stream)
    writer.write("lost\n")
    writer.close()
    stream.is_broken = False
    writer.write("kept\n")
    writer.close()
    assert stream.text == "a2a-sup: 1 log lines were lost\nkept\n"


def fill(pipe: int) -> None:
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, b"x" * 4096)
    os.set_blocking(pipe, True)


@pytest.mark.parametrize("broken", ["closed pipe", "full pipe", "/dev/full", "closed"])
async def test_a_log_that_cannot_be_written_stops_no_server(tmp_path: Path, broken: str) -> None:
    flag = tmp_path / "flag"
    (tmp_path / "tree.toml").write_text(TREE.format(flag=flag))
    reading, writing = os.pipe()
    if broken == "closed pipe":
        os.close(reading)
    if broken == "full pipe":
        fill(writing)
    redirect = {"/dev/full": "2>/dev/full", "closed": "2>&-"}.get(broken, "")
    words = f"exec {sys.executable} -m a2a_sup run tree.toml --state-dir state {redirect}"
    process = await trio.lowlevel.open_process(
        ["sh", "-c", words], cwd=tmp_path, stdin=subprocess.DEVNULL, stderr=writing
    )
    os.close(writing)
    try:
        with trio.fail_after(30):
            while not flag.exists() or len(flag.read_text().splitlines()) < 4:
                await trio.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        process.kill()
        if broken != "closed pipe":
            os.close(reading)
