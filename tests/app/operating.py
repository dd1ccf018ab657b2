"""Somebody at a shell beside a running supervisor: the real commands, and what they answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import trio

from tests.app.conftest import Start

PROGRAM = str(Path(sys.executable).parent / "a2a-sup")


class Said:
    """What a command answered."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.status = done.returncode
        self.out = done.stdout.decode()
        self.err = done.stderr.decode()

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Operator:
    """Somebody at a shell beside a running supervisor."""

    def __init__(self, program: Any, control: str) -> None:
        self.program = program
        self.control = control
        self.env = {**os.environ, "A2A_SUP_CONTROL": control}

    async def __call__(self, *words: str, **env: str) -> Said:
        return await ask(*words, env={**self.env, **env})


async def ask(*words: str, env: dict[str, str] | None = None) -> Said:
    with trio.fail_after(30):
        return Said(
            await trio.run_process(
                [PROGRAM, *words], check=False, capture_stdout=True, capture_stderr=True, env=env
            )
        )


async def running(start: Start, file: Path, text: str, **env: str) -> Operator:
    await trio.Path(file).write_text(text)
    program = await start("run", file, **env)
    up = await program.until("tree.started")
    return Operator(program, up["control"])
