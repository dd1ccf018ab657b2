"""The commands that talk to a running supervisor: the real program on both sides."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from a2a_sup.app.client import is_answered
from tests.app.conftest import Start
from tests.app.operating import PROGRAM, Operator, ask, running

Json = dict[str, Any]
TREE = """
[children.api]
command = ["sh", "-c", "echo hello; echo trouble >&2; exec sleep 1000"]

[children.pipeline]
strategy = "rest_for_one"
[children.pipeline.children.loader]
command = ["sleep", "1000"]
"""


@pytest.fixture
async def operator(start: Start, tmp_path: Path) -> Operator:
    return await running(start, tmp_path / "tree.toml", TREE)


def by_path(rows: list[Json]) -> dict[str, Json]:
    return {row["path"]: row for row in rows}


# --- what is ------------------------------------------------------------------------------------


async def test_status_is_a_table_or_json(operator: Operator) -> None:
    rows = by_path((await operator("status", "--json")).json["children"])
    assert rows.keys() == {"api", "pipeline", "pipeline/loader"}
    assert rows["api"]["pid"] == operator.program.pid_of("api")
    assert (rows["api"]["state"], rows["api"]["processes"]) == ("running", 1)
    assert rows["api"]["memory_bytes"] > 10_000
    said = await operator("status")
    assert said.status == 0
    assert [line.split()[0] for line in said.lines] == ["CHILD", *rows]
    below = (await operator("status", "pipeline", "--json")).json["children"]
    assert [row["path"] for row in below] == ["pipeline", "pipeline/loader"]


async def test_tree_is_drawn(operator: Operator) -> None:
    assert (await operator("tree")).out == (
        "root (one_for_one)\n"
        "├── api: running\n"
        "└── pipeline (rest_for_one): running\n"
        "    └── loader: running\n"
    )
    assert (await operator("tree", "--json")).json["root"]["children"][0]["name"] == "api"


async def test_probe_is_an_exit_status(operator: Operator) -> None:
    assert (await operator("probe", "api")).status == 0
    await operator("stop", "api")
    said = await operator("probe", "api")
    assert (said.status, said.out) == (1, "api: stopped\n")


async def test_an_unknown_child_names_the_nearest(operator: Operator) -> None:
    words = ("status", "stop", "logs", "probe")
    for word in words:
        said = await operator(word, "pipeline/laoder")
        assert said.status == 1
        assert said.err.count("\n") == 1
        assert "did you mean 'pipeline/loader'?" in said.err


# --- commands -----------------------------------------------------------------------------------


async def test_stop_start_and_restart_wait_and_say_what_is_so(operator: Operator) -> None:
    assert (await operator("stop", "api", "pipeline")).out == "api: stopped\npipeline: stopped\n"
    assert (await operator("stop", "api")).out == "api: is stopped already\n"
    assert (await operator("start", "pipeline")).out == "pipeline: started\n"
    before = operator.program.pid_of("api")
    said = await operator("restart", "api", "--json")
    assert said.json == {
        "results": [
            {
                "child": "api",
                "command": "restart",
                "ok": True,
                "already": False,
                "path": "api",
                "state": "running",
            }
        ]
    }
    assert operator.program.pid_of("api") != before
    uid = os.geteuid()
    assert operator.program.told("control.restart", child="api", by=f"uid:{uid}")


async def test_scale_says_what_is_so(start: Start, tmp_path: Path) -> None:
    text = "[children.w]\ncommand = ['sleep', '1000']\nreplicas = 2\n"
    operator = await running(start, tmp_path / "tree.toml", text)
    assert (await operator("scale", "w", "2")).out == "w: 2 of it already\n"
    assert (await operator("scale", "w", "3")).out == "w: 3 of it\n"
    await operator("stop", "w")
    assert (await operator("scale", "w", "1")).out == "w: 1 of it when it is started\n"
    await operator("start", "w")
    rows = by_path((await operator("status", "--json")).json["children"])
    assert rows.keys() == {"w", "w/0"}
    said = await operator("scale", "w", "3", "--json")
    assert (said.json["ok"], [step["child"] for step in said.json["applied"]]) == (
        True,
        ["w/1", "w/2"],
    )


async def test_every_mistake_of_a_reload_is_a_line(operator: Operator, tmp_path: Path) -> None:
    text = TREE.replace('"sleep"', '"no-such-sleep"').replace('"sh"', '"no-such-sh"')
    await trio.Path(tmp_path / "tree.toml").write_text(text)
    said = await operator("reload")
    assert (said.status, said.out) == (1, "")
    lines = said.err.splitlines()
    assert [line.split(": ")[:3] for line in lines] == [
        ["a2a-sup", "api", "no-such-sh"],
        ["a2a-sup", "pipeline/loader", "no-such-sleep"],
    ]


async def test_a_child_has_one_name(operator: Operator) -> None:
    for name in ("/api", "api/", "pipeline//loader", "", "/"):
        for words in (["stop", name], ["restart", name], ["status", name], ["logs", name]):
            said = await operator(*words)
            assert (said.status, said.out) == (1, ""), words
            assert said.err.count("\n") == 1
    assert not operator.program.told("control.stop")


async def test_no_colour_if_nobody_wants_it(operator: Operator) -> None:
    def seen(**env: str) -> str:
        terminal = Terminal("status", env={**operator.env, **env})
        terminal.until("pipeline/loader")
        terminal.ended()
        return terminal.shown

    operator.env.pop("NO_COLOR", None)
    assert "\x1b[32mrunning" in await trio.to_thread.run_sync(seen)
    assert "\x1b[" not in await trio.to_thread.run_sync(partial(seen, NO_COLOR="1"))


async def test_one_failure_does_not_hide_behind_a_success(operator: Operator) -> None:
    said = await operator("restart", "nobody", "api")
    assert said.status == 1
    assert said.out == "api: restarted\n"
    assert said.err.startswith("a2a-sup: nobody: ")


async def test_what_takes_too_long_has_a_status_of_its_own_and_goes_on(
    start: Start, tmp_path: Path
) -> None:
    deaf = tmp_path / "deaf"
    program = f"trap '' TERM; touch {deaf}; while true; do sleep 0.1; done"
    text = f"[children.deaf]\ncommand = ['sh', '-c', \"\"\"{program}\"\"\"]\nstop_timeout = '2s'"
    operator = await running(start, tmp_path / "tree.toml", text)
    while not deaf.exists():
        await trio.sleep(0.01)
    said = await operator("stop", "deaf", "--timeout", "0.1")
    assert said.status == 4
    assert "goes on" in said.err
    await operator.program.until("child.stopped", child="deaf")


async def test_a_start_that_fails_is_told(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\nexec sleep 1000\n")
    tool.chmod(0o755)
    operator = await running(start, file, f"[children.api]\ncommand = ['{tool}']")
    await operator("stop", "api")
    tool.unlink()
    said = await operator("start", "api")
    assert said.status == 1
    assert str(tool) in said.err


async def test_a_stop_outlives_the_supervisor(start: Start, tmp_path: Path) -> None:
    operator = await running(start, tmp_path / "tree.toml", TREE)
    await operator("stop", "api")
    operator.program.signal(signal.SIGTERM)
    assert await operator.program.ended() == 0
    again = await running(start, tmp_path / "tree.toml", TREE)
    rows = by_path((await again("status", "--json")).json["children"])
    assert (rows["api"]["state"], rows["pipeline"]["state"]) == ("stopped", "running")
    await again("start", "api")
    assert (await again("probe", "api")).status == 0


async def test_reload_says_the_plan_and_applies_it(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    operator = await running(start, file, TREE)
    file.write_text(TREE + "[children.new]\ncommand = ['sleep', '1000']\n")
    assert (await operator("reload", "--plan")).out == "add new\n3 untouched\n"
    assert (await operator("probe", "new")).status == 1
    assert (await operator("reload")).status == 0
    assert (await operator("probe", "new")).status == 0
    assert (await operator("reload")).out == "nothing to do\n"
    file.write_text(TREE + "[children.new]\ncomand = ['sleep', '1000']\n")
    said = await operator("reload")
    assert said.status == 1
    assert "did you mean 'command'?" in said.err
    assert (await operator("probe", "new")).status == 0


async def test_reload_says_what_is_for_the_next_start(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    operator = await running(start, file, TREE)
    # The address is given beside the file: what the file says of it means nothing.
    file.write_text(f"{TREE}[serve]\nhttp = 'off'\nready = 'any'\nmax_clients = 3\n")
    line = "for the next start: serve.max_clients, serve.ready"
    said = ["nothing to do", line]
    assert (await operator("reload", "--plan")).lines == said
    for times in (1, 2):
        assert (await operator("reload")).lines == said
        told = await operator.program.until("reload.next_start", times=times)
        assert told["keys"] == ["serve.max_clients", "serve.ready"]
    file.write_text(f"{TREE}[children.new]\ncommand = ['sleep', '1000']\n[serve]\nready = 'any'\n")
    line = "for the next start: serve.ready"
    assert (await operator("reload")).lines == ["add new", line, "3 untouched"]
    planned = (await operator("reload", "--plan", "--json")).json
    assert planned["next_start"] == ["serve.ready"]


# --- what was printed, what happened ------------------------------------------------------------


async def test_logs_are_of_both_outputs_and_of_several_children(
    start: Start, tmp_path: Path
) -> None:
    text = TREE + "[children.other]\ncommand = ['sh', '-c', 'echo other; exec sleep 1000']\n"
    operator = await running(start, tmp_path / "tree.toml", text)
    said = None
    with trio.fail_after(20):
        while said is None or len(said.lines) < 3:
            said = await operator("logs", "api", "other")
    assert sorted(said.lines) == ["api   | hello", "api   | trouble", "other | other"]
    assert (await operator("logs", "api", "-n", "1")).out == "trouble\n"
    lines = [
        json.loads(line) for line in (await operator("logs", "--json", "api")).out.split("\n")[:-1]
    ]
    assert [(line["child"], line["text"]) for line in lines] == [
        ("api", "hello"),
        ("api", "trouble"),
    ]
    assert (await operator("logs", "pipeline/loader")).out == ""


async def test_logs_are_followed_through_restarts(operator: Operator) -> None:
    command = [PROGRAM, "logs", "-f", "-n", "0", "api"]
    following = await trio.lowlevel.open_process(command, env=operator.env, stdout=subprocess.PIPE)
    try:
        found = b""
        assert following.stdout is not None
        with trio.fail_after(20):
            while b"hello\ntrouble\n" not in found:
                await operator("restart", "api")
                with trio.move_on_after(1):
                    while b"hello\ntrouble\n" not in found:
                        found += await following.stdout.receive_some()
        following.send_signal(signal.SIGINT)
        with trio.fail_after(10):
            assert await following.wait() == 130
    finally:
        following.kill()
        await following.wait()


async def test_nobody_reading_on_ends_quietly(start: Start, tmp_path: Path) -> None:
    text = "[children.api]\ncommand = ['sh', '-c', 'seq 1 5000; exec sleep 1000']"
    operator = await running(start, tmp_path / "tree.toml", text)
    for words in ("logs -n 5000 api", "logs -f -n 5000 api"):
        with trio.fail_after(20):
            done = await trio.run_process(
                ["bash", "-c", f"{PROGRAM} {words} | head -n 1 >/dev/null"],
                env=operator.env,
                capture_stderr=True,
            )
        assert done.stderr == b"", words


async def test_events_are_lines_or_json(operator: Operator) -> None:
    await operator("restart", "api")
    events = [json.loads(line) for line in (await operator("events", "--json")).lines]
    numbers = [event["seq"] for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert abs(events[-1]["wall_time"] - time.time()) < 30
    said = await operator("events", "-n", "1")
    assert said.out.split()[1:] == ["child.started", "api"]


async def test_followed_events_end_with_the_supervisor(operator: Operator) -> None:
    command = [PROGRAM, "events", "-f", "-n", "1000", "--json"]
    following = await trio.lowlevel.open_process(
        command, env=operator.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert following.stdout is not None
        with trio.fail_after(10):
            assert await following.stdout.receive_some()
        operator.program.signal(signal.SIGTERM)
        assert await operator.program.ended() == 0
        with trio.fail_after(20):
            assert await following.wait() == 3
    finally:
        following.kill()
        await following.wait()


# --- which supervisor ---------------------------------------------------------------------------


async def test_without_a_supervisor_one_line_says_how_to_start_one(tmp_path: Path) -> None:
    for env in ({"XDG_RUNTIME_DIR": str(tmp_path)}, {"A2A_SUP_CONTROL": str(tmp_path / "no.sock")}):
        said = await ask("status", env={**os.environ, **env})
        assert said.status == 3
        assert said.err.count("\n") == 1
        assert "a2a-sup run FILE" in said.err


async def test_the_only_supervisor_is_found_and_of_several_one_has_to_be_chosen(
    start: Start, tmp_path: Path
) -> None:
    one = await running(start, tmp_path / "one.toml", TREE)
    env = {**os.environ, "XDG_RUNTIME_DIR": str(Path(one.control).parents[1])}
    assert (await ask("status", env=env)).status == 0
    two = await running(start, tmp_path / "two.toml", TREE)
    said = await ask("status", env=env)
    assert said.status == 3
    assert one.control in said.err
    assert two.control in said.err
    assert "--control PATH" in said.err
    assert (await ask("status", "--control", two.control, env=env)).status == 0
    # One that was killed leaves its socket behind; nobody is misled by it.
    two.program.signal(signal.SIGKILL)
    await two.program.ended()
    assert (await ask("status", env=env)).status == 0


def test_a_supervisor_that_is_busy_is_no_absent_one() -> None:
    runtime = tempfile.mkdtemp(prefix="a2a-")
    directory = Path(runtime) / "a2a-sup"
    directory.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as crowded:
        crowded.bind(str(directory / "busy.sock"))
        crowded.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as first:
            first.connect(str(directory / "busy.sock"))
            found = is_answered(directory / "busy.sock")
    assert found
    assert not is_answered(directory / "busy.sock")
    shutil.rmtree(runtime)


async def test_a_directory_that_others_can_write_to_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "a2a-sup").mkdir()
    (tmp_path / "a2a-sup").chmod(0o777)
    said = await ask("status", env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)})
    assert said.status == 3
    assert "others may write to it" in said.err


async def test_the_control_socket_is_for_its_user_alone(operator: Operator) -> None:
    path = trio.Path(operator.control)
    assert (await path.stat()).st_mode & 0o777 == 0o600
    assert (await path.parent.stat()).st_mode & 0o777 == 0o700


async def test_without_a_runtime_directory_the_servers_run_all_the_same(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    file = tmp_path / "tree.toml"
    file.write_text(TREE)
    program = await start("run", file, XDG_RUNTIME_DIR=str(tmp_path / "file"))
    assert "control" not in await program.until("tree.started")
    assert program.told("control.off")


# --- a terminal ---------------------------------------------------------------------------------


def test_completion_is_made_for_each_shell(tmp_path: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        done = subprocess.run([PROGRAM, "completion", shell], capture_output=True, check=True)
        assert b"_A2A_SUP_COMPLETE" in done.stdout


async def test_the_tab_key_completes_children(operator: Operator) -> None:
    env = {"_A2A_SUP_COMPLETE": "bash_complete", "COMP_WORDS": "a2a-sup stop pipe"}
    env["COMP_CWORD"] = "2"
    await operator("status")  # the first answer takes the longest: completion does not wait for it
    said = await operator(**env)
    assert said.lines == ["plain,pipeline", "plain,pipeline/loader"]
    said = await operator(**env, A2A_SUP_CONTROL="/nowhere")
    assert (said.status, said.out.strip(), said.err) == (0, "", "")


class Terminal:
    """A program in a pseudo-terminal; what it writes is kept."""

    def __init__(self, *words: str, env: dict[str, str]) -> None:
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.execve(
                PROGRAM,
                [PROGRAM, *words],
                {**env, "TERM": "xterm", "LINES": "24", "COLUMNS": "120"},
            )
        self.shown = ""

    def until(self, text: str, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < end, self.shown[-3000:]
            if select.select([self.file], [], [], 0.1)[0]:
                self.shown += os.read(self.file, 65536).decode(errors="replace")

    def press(self, keys: str) -> None:
        self.shown = ""
        os.write(self.file, keys.encode())

    def ended(self) -> int:
        while True:
            try:
                if not os.read(self.file, 65536):
                    break
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


async def test_top_shows_and_commands_children(operator: Operator) -> None:
    def use() -> int:
        terminal = Terminal("top", "-i", "0.1", env=operator.env)
        terminal.until("pipeline/loader")
        terminal.until("3 children, by tree")
        terminal.press("s")
        terminal.until("stop api: done")
        terminal.until("stopped")
        terminal.press("a")
        terminal.until("start api: done")
        terminal.press("o")
        terminal.until("by cpu")
        terminal.press("q")
        return terminal.ended()

    assert await trio.to_thread.run_sync(use) == 0
    assert operator.program.told("control.stop", child="api")
    said = await operator("top")
    assert said.status == 2
    assert "top needs a terminal" in said.err


async def test_progress_is_shown_on_a_terminal(start: Start, tmp_path: Path) -> None:
    program = "trap '' TERM; echo up; while true; do sleep 0.1; done"
    text = f"[children.deaf]\ncommand = ['sh', '-c', \"\"\"{program}\"\"\"]\nstop_timeout = '2s'"
    operator = await running(start, tmp_path / "tree.toml", text)
    while "up" not in (await operator("logs", "deaf")).out:
        await trio.sleep(0.01)

    def use() -> int:
        terminal = Terminal("stop", "deaf", env=operator.env)
        terminal.until("stopping deaf ... 1 s")
        terminal.until("deaf: stopped")
        return terminal.ended()

    assert await trio.to_thread.run_sync(use) == 0
