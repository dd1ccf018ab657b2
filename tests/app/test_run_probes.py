"""Probes of a configuration file, in the real program."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tests.app.conftest import Start

FAKE = Path(__file__).parents[1] / "checks" / "pinged_mcp.py"
TREE = """
[defaults]
restart.backoff = []
stop_timeout = "1s"

[children.asked]
command = ["sleep", "1000"]

[[children.asked.probes]]
command = ["sh", "-c", "echo looking; test ! -e sick"]
interval = "100ms"
failure_threshold = 2

[children.speaking]
command = ["{python}", "-S", "speaking.py"]
wait_ready = true
notify = true

[children.server]
mcp = ["{python}", "-S", "{fake}", "legacy", "answers"]
probes = [{{ mcp = true, interval = "100ms", timeout = "500ms", failure_threshold = 2 }}]
"""
SPEAKING = """
import os, socket, time
channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
channel.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(1000)
"""


async def test_what_is_unhealthy_is_restarted_and_nothing_is_left(
    start: Start, tmp_path: Path
) -> None:
    file = tmp_path / "tree.toml"
    file.write_text(TREE.format(python=sys.executable, fake=FAKE))
    (tmp_path / "speaking.py").write_text(SPEAKING)
    program = await start("run", file)
    await program.until("child.ready", child="speaking", ready=True)
    await program.until("child.ready", child="server", ready=True)
    await program.until("tree.started")

    (tmp_path / "sick").touch()
    await program.until("child.started", child="asked", times=2)
    (tmp_path / "sick").unlink()

    os.kill(program.pid_of("server"), signal.SIGSTOP)
    await program.until("child.started", child="server", times=2)
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
    reasons = [str(line) for line in program.log if "unhealthy" in str(line)]
    assert any("exited with status 1: looking" in reason for reason in reasons)
    assert any("no answer within 0.5 s" in reason for reason in reasons)
