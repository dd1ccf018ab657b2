"""``a2a-sup run``, the real program with real processes."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

Start = Callable[..., Awaitable[Any]]
Write = Callable[[str], Path]
SLEEP = "[children.{}]\ncommand = ['sleep', '1000']\n"
# Says when it is deaf, so that a test can wait for it.
DEAF = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
time.sleep(1000)
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    with trio.move_on_after(seconds):
        while not condition():
            await trio.sleep(0.01)
        return
    raise AssertionError("it did not come to be")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def only_child_of(pid: int) -> int:
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def number_in_its_namespace(pid: int) -> str:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("NSpid")]
    return line.split()[-1]


def zombies_below(pid: int) -> list[str]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [child for child in children if not is_alive(int(child))]


def marked_by(state_dir: Path) -> list[int]:
    """Return the living processes that carry this run's state directory in their environment."""
    needle = b"A2A_TEST_RUN=" + os.fsencode(state_dir)
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and is_alive(int(entry.name)):
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if needle in environment.split(b"\0"):
                found.append(int(entry.name))
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        file = tmp_path / "tree.toml"
        file.write_text(text)
        return file

    return write


async def test_a_killed_process_comes_back_after_1_2_and_4_seconds(
    start: Start, tree: Write
) -> None:
    program = await start("run", tree(SLEEP.format("web")))
    await program.until("tree.started")
    for number, delay in enumerate((1.0, 2.0, 4.0), 1):
        pid = program.pid_of("web")
        os.kill(pid, signal.SIGKILL)
        said = await program.until("child.backing_off", child="web", times=number)
        assert said["delay"] == delay
        await program.until("child.started", child="web", times=number + 1)
        assert program.pid_of("web") != pid
        assert is_alive(program.pid_of("web"))
    reasons = {line["reason"] for line in program.told("child.ended")}
    assert reasons == {"killed: killed by SIGKILL"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_signal_ends_everything_and_the_status_is_0(
    start: Start, tree: Write, number: signal.Signals
) -> None:
    program = await start("run", tree(SLEEP.format("a") + SLEEP.format("b")))
    await program.until("tree.started")
    pids = [program.pid_of("a"), program.pid_of("b")]
    program.signal(number)
    assert await program.ended() == 0
    assert not any(map(is_alive, pids))
    assert len(program.told("child.stopped", child="a")) == 1
    assert len(program.told("child.stopped", child="b")) == 1


async def test_when_the_program_is_killed_its_children_are_gone_within_3_seconds(
    start: Start, tree: Write
) -> None:
    program = await start("run", tree(SLEEP.format("a") + SLEEP.format("b")))
    await program.until("tree.started")
    pids = [program.pid_of("a"), program.pid_of("b")]
    assert all(map(is_alive, pids))
    os.kill(only_child_of(program.process.pid), signal.SIGKILL)
    await eventually(lambda: not any(map(is_alive, pids)), seconds=3)
    assert await program.ended(3) == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT])
async def test_a_kill_of_the_whole_job_leaves_nothing(
    start: Start, tree: Write, number: signal.Signals
) -> None:
    file = tree(SLEEP.format("a") + SLEEP.format("b"))
    program = await start("run", file, prefix=("setsid",))
    await program.until("tree.started")
    pids = [program.pid_of("a"), program.pid_of("b")]
    os.killpg(program.process.pid, number)
    await eventually(lambda: not any(map(is_alive, pids)), seconds=3)
    assert await program.ended(3) == -number


async def test_a_second_signal_does_not_wait_for_the_stop_timeout(
    start: Start, tree: Write, tmp_path: Path
) -> None:
    deaf = tmp_path / "deaf"
    file = tree(
        f"[children.deaf]\ncommand = [{sys.executable!r}, '-c', '''{DEAF}''', '{deaf}']\n"
        "stop_timeout = '10m'\n"
    )
    program = await start("run", file)
    await program.until("tree.started")
    await eventually(deaf.exists)
    pid = program.pid_of("deaf")
    program.signal(signal.SIGTERM)
    await program.until("signal.stop")
    assert is_alive(pid)
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
    assert not is_alive(pid)


async def test_a_command_that_cannot_be_run_is_never_running_and_others_go_on(
    start: Start, tree: Write
) -> None:
    file = tree("[children.bad]\ncommand = ['no-such-command-here']\n" + SLEEP.format("good"))
    program = await start("run", file)
    await program.until("tree.started")
    failed = await program.until("child.start_failed", child="bad")
    assert "no-such-command-here" in failed["reason"]
    assert is_alive(program.pid_of("good"))
    await program.until("child.failed", child="bad")
    assert not program.told("child.started", child="bad")
    assert is_alive(program.pid_of("good"))


async def test_the_status_is_1_when_the_root_gives_up(start: Start, tree: Write) -> None:
    file = tree(
        "[supervisor]\nintensity = 0\n"
        + SLEEP.format("good")
        + "[children.crash]\ncommand = ['sh', '-c', 'echo the last words; exit 3']\n"
    )
    program = await start("run", file)
    assert await program.ended() == 1
    (ended,) = program.told("child.ended")
    assert ended["reason"] == "crashed: exited with status 3"
    assert ended["last_line"] == "the last words"
    assert "crash" in program.told("tree.failed")[0]["because"]
    assert not is_alive(program.pid_of("good"))


async def test_a_bad_file_starts_nothing_and_every_mistake_has_a_line(
    start: Start, tree: Write, tmp_path: Path
) -> None:
    flag = tmp_path / "started"
    file = tree(
        f"[children.a]\ncommand = ['touch', '{flag}']\n"
        "[children.b]\ncomand = ['true']\n"
        "[children.c]\ncommand = []\nstop_timeout = 'soon'\n"
    )
    for command in ("check", "run"):
        program = await start(command, file)
        assert await program.ended() == 2
        assert len(program.other) >= 3
        assert all(str(file) in line for line in program.other)
        text = "\n".join(program.other)
        assert "children.b.comand" in text
        assert "'command'" in text
        assert "children.c.stop_timeout" in text
        assert "Traceback" not in text
    assert not flag.exists()


async def test_check_tells_what_it_would_run(tree: Write) -> None:
    file = tree(SLEEP.format("a") + SLEEP.format("b"))
    found = await trio.run_process(
        [sys.executable, "-m", "a2a_sup", "check", str(file)], capture_stdout=True
    )
    assert b"2 to run" in found.stdout


async def test_a_second_run_on_the_same_state_is_refused_by_the_pid_that_has_it(
    start: Start, tree: Write
) -> None:
    file = tree(SLEEP.format("a"))
    first = await start("run", file)
    await first.until("tree.started")
    second = await start("run", file)
    assert await second.ended() == 1
    supervisor = only_child_of(first.process.pid)
    assert any(f"process {supervisor}" in line for line in second.other)
    assert is_alive(first.pid_of("a"))


async def test_a_state_directory_that_cannot_be_made_is_one_line(
    start: Start, tree: Write, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    program = await start("run", tree(SLEEP.format("a")), "--state-dir", tmp_path / "file" / "x")
    assert await program.ended() == 1
    (line,) = program.other
    assert str(tmp_path / "file") in line


async def test_the_output_of_children_is_in_files_below_the_state_directory(
    start: Start, tree: Write, tmp_path: Path
) -> None:
    file = tree("[children.talk]\ncommand = ['sh', '-c', 'echo out; echo err >&2; sleep 1000']\n")
    program = await start("run", file, "--state-dir", tmp_path / "here")
    await program.until("tree.started")

    def written() -> bool:
        return any(
            path.read_bytes() == b"out\nerr\n" for path in (tmp_path / "here").rglob("*talk*")
        )

    await eventually(written)


async def test_signals_that_come_while_it_boots_stop_it_in_order(start: Start, tree: Write) -> None:
    file = tree(SLEEP.format("a"))
    program = await start("run", file)
    await eventually(lambda: _is_guardian(program.process.pid))
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0


def _is_guardian(pid: int) -> bool:
    """Return whether the program has become two: the supervisor, which boots, and its guardian."""
    return b"guardian_program" in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_while_the_program_is_loaded_waits(
    start: Start, tree: Write, number: signal.Signals
) -> None:
    program = await start("run", tree(SLEEP.format("a")))
    held = 0
    with trio.fail_after(20):
        while not held & 1 << (number - 1):
            held = blocked_signals(program.process.pid)
            await trio.lowlevel.checkpoint()
    program.signal(number)
    if number is signal.SIGHUP:
        await program.until("reload.done", trigger="SIGHUP")
        program.signal(signal.SIGTERM)
    assert await program.ended() == 0
    assert program.other == []
    assert program.told("tree.stopped", status=0)


def blocked_signals(pid: int) -> int:
    """Return the signals that a process does not take now, a bit each."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("SigBlk:"):
            return int(line.split()[1], 16)
    return 0


async def test_what_happened_before_anybody_looked_is_told_with_its_own_time(
    start: Start, tree: Write
) -> None:
    # It is noted a moment after it was started, and that moment may be long here.
    text = "import sys, time; time.sleep(0.1); print(time.time(), flush=True); sys.exit(3)"
    flash = f"command = {json.dumps([sys.executable, '-S', '-c', text])}"
    program = await start("run", tree(f"[children.flash]\n{flash}\nrestart = 'temporary'"))
    line = await program.until("child.ended", child="flash")
    told = datetime.datetime.fromisoformat(line["timestamp"]).timestamp()
    printed = float(line["last_line"])
    program.signal(signal.SIGTERM)
    await program.ended()
    started = datetime.datetime.fromisoformat(program.told("child.started")[0]["timestamp"])
    # It was written after the log was loaded, and is about what was before.
    assert started.timestamp() <= printed <= told


async def test_as_pid_1_it_reaps_orphans_stops_on_sigterm_and_needs_no_guardian(
    start: Start, tree: Write, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    # An orphan that ends, and one that stays and left its session.
    script = f"(setsid sleep 1000 &) ; (true &) ; touch {ready}; exec sleep 1000"
    file = tree(f"[children.a]\ncommand = ['sh', '-c', '{script}']\n")
    namespace = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    program = await start("run", file, prefix=namespace, A2A_TEST_RUN=str(tmp_path))
    await program.until("tree.started")
    await eventually(ready.exists)
    init = only_child_of(program.process.pid)
    assert number_in_its_namespace(init) == "1"
    await eventually(lambda: not zombies_below(init))
    os.kill(init, signal.SIGTERM)
    assert await program.ended() == 0
    assert program.told("tree.stopped")
    assert not marked_by(tmp_path)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_the_demo_recovers_a_killed_mcp_server_and_leaves_nothing(
    start: Start, tmp_path: Path, ending: signal.Signals
) -> None:
    demo = Path(__file__).parents[2] / "examples" / "demo.toml"
    program = await start("run", demo, A2A_TEST_RUN=str(tmp_path), DEMO_PORT=str(free_port()))
    await program.until("child.ready", child="time", ready=True, seconds=50)
    await program.until("tree.started")
    old = program.pid_of("time")
    os.kill(old, signal.SIGKILL)
    said = await program.until("child.backing_off", child="time")
    assert said["delay"] == 1.0
    await program.until("child.ready", child="time", times=3, seconds=50)
    assert is_alive(program.pid_of("time"))
    assert program.pid_of("time") != old
    if ending == signal.SIGKILL:
        os.kill(only_child_of(program.process.pid), ending)
        assert await program.ended() == -signal.SIGKILL
    else:
        program.signal(ending)
        assert await program.ended() == 0
    assert not marked_by(tmp_path)
    names = ("time", "fetch", "web", "flaky", "pipeline/collector", "pipeline/reporter")
    assert not any(is_alive(program.pid_of(name)) for name in names)


async def test_real_mcp_servers_of_a_client_file_are_replaced_when_killed_and_leave_nothing(
    start: Start, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    await trio.run_process(["git", "init", "--quiet", str(repository)])
    npx = shutil.which("npx")
    assert npx is not None
    node = Path(__file__).parents[1] / "npm"
    file = tmp_path / ".mcp.json"
    file.write_text(
        f"""{{
        // comments are allowed in these files
        "mcpServers": {{
            "time": {{"command": "mcp-server-time", "args": ["--local-timezone", "UTC"]}},
            "git": {{"command": "mcp-server-git", "args": ["--repository", "{repository}"]}},
            "everything": {{
                "command": "npx",
                "args": ["--no-install", "mcp-server-everything", "stdio"],
                "cwd": "{node}",
                "env": {{"A2A_TEST_RUN": "{tmp_path}"}}
            }},
        }}}}"""
    )
    program = await start("run", file, A2A_TEST_RUN=str(tmp_path))
    names = ("time", "git", "everything")
    for name in names:
        await program.until("child.ready", child=name, ready=True, seconds=50)
    before = {name: program.pid_of(name) for name in names}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    for name in names:
        await program.until("child.ready", child=name, ready=True, times=2, seconds=50)
        assert program.pid_of(name) != before[name]
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
    assert not marked_by(tmp_path)
    assert not any(is_alive(program.pid_of(name)) for name in names)


async def test_more_processes_run_than_files_are_allowed_and_each_is_allowed_as_many_as_ever(
    start: Start, tree: Write, tmp_path: Path
) -> None:
    says = '["sh", "-c", "while :; do ulimit -Sn > $0.new; mv $0.new $0; sleep 0.2; done"'
    names = [f"c{number}" for number in range(60)]
    tables = [f'[children.{name}]\ncommand = {says}, "{tmp_path}/{name}"]' for name in names]
    tables.append(
        f'[children.own]\ncommand = {says}, "{tmp_path}/own"]\nlimits = {{ nofile = 32 }}'
    )
    limited = ("prlimit", "--nofile=64:1024", "--")
    program = await start("run", tree("\n".join(tables)), prefix=limited)
    await program.until("child.started", times=61)

    def is_said(name: str, limit: str) -> bool:
        return (tmp_path / name).exists() and (tmp_path / name).read_text() == f"{limit}\n"

    await eventually(lambda: all(is_said(name, "64") for name in names))
    await eventually(lambda: is_said("own", "32"))
