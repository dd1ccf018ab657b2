"""A supervisor for the programs of the documentation to talk to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

PATIENCE = 20.0
PROGRAM = Path(sysconfig.get_path("scripts")) / "a2a-sup"


@attrs.frozen
class Supervised:
    """A supervisor that runs: where its dashboard is, and the pids of its children."""

    url: str
    pids: dict[str, int]

    def kill(self, child: str) -> None:
        """Kill a child, as if it had crashed."""
        os.kill(self.pids[child], signal.SIGKILL)


@contextmanager
def supervised(toml: str) -> Iterator[Supervised]:
    """Run a tree on free ports, and stop it."""
    with tempfile.TemporaryDirectory(prefix="a2a-") as folder:
        file = Path(folder) / "tree.toml"
        file.write_text(toml, encoding="utf-8")
        options = ["--http=off", "--dashboard=127.0.0.1:0", "--log-format=json"]
        program = subprocess.Popen(
            [PROGRAM, "run", file, *options, f"--state-dir={folder}/state"],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_RUNTIME_DIR": folder},
        )
        try:
            yield _up(program)
        finally:
            program.terminate()
            program.communicate(timeout=PATIENCE)


def _up(program: subprocess.Popen[str]) -> Supervised:
    assert program.stderr is not None
    pids: dict[str, int] = {}
    told: list[str] = []
    for line in program.stderr:
        told.append(line)
        said = json.loads(line)
        if said["event"] == "child.started":
            pids[said["child"]] = said["pid"]
        elif said["event"] == "tree.started":
            return Supervised(f"ws://{said['dashboard']}", pids)
    raise AssertionError(told)
