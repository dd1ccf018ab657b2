"""Reload: one change among many processes, under the real program."""

from __future__ import annotations

import signal
import time

from bench.processes import running


def one_change(count: int) -> tuple[float, int]:
    """Change the command of one of ``count`` processes.

    Returns:
        The seconds from SIGHUP until the reload is done, and how many processes were started.
    """
    names = [f"c{number}" for number in range(count)]
    before = "".join(f"[children.{name}]\ncommand = ['sleep', '9000']\n" for name in names)
    with running(before) as program:
        program.until("tree.started")
        begin = time.perf_counter()
        file = program.state.parent / "tree.toml"
        file.write_text(before.replace("9000", "9001", 1), encoding="utf-8")
        program.process.send_signal(signal.SIGHUP)
        program.until("reload.done")
        taken = time.perf_counter() - begin
        # What was logged later is read too: the log is behind the tree by a moment.
        program.process.send_signal(signal.SIGTERM)
        started = len(program.rest("child.started"))
    return taken, started
