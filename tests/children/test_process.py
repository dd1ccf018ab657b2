"""A program as a child: real processes, from start to nothing left."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from a2a_sup.children.command import Command
from a2a_sup.children.hygiene import current_host
from a2a_sup.children.logs import Follower
from a2a_sup.children.process import CannotRun, LogFiles, ProcessExited, process
from a2a_sup.children.spawning import check
from a2a_sup.model.spec import ChildFunction, SupervisorSpec

ROOT = Path(__file__).parents[2]
READY = "print('ready', flush=True)"


def python(*lines: str) -> list[str]:
    """Return a command that runs lines of Python, with the usual modules imported."""
    return [sys.executable, "-SEc", "\n".join(["import os, signal, sys, time", *lines])]


def function(argv: list[str], **options: Any) -> ChildFunction:
    """Return what runs the child that ``process`` describes."""
    run = process("child", argv, **options).run
    assert not isinstance(run, SupervisorSpec)
    return run


async def run(context: Any, argv: list[str], **options: Any) -> list[bytes]:
    """Run a program to its end and return the lines it printed."""
    await function(argv, **options)(context)
    return printed(context)


def printed(context: Any) -> list[bytes]:
    log = current_host().logs.get(context.path)
    return log.tail(1000) if log else []


@asynccontextmanager
async def started(context: Any, argv: list[str], **options: Any) -> AsyncIterator[int]:
    """Run a program that says "ready"; ask it to stop at the end of the block."""
    ended: list[BaseException] = []

    async def child() -> None:
        try:
            await function(argv, **options)(context)
        except ProcessExited as exc:
            ended.append(exc)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child)
        await context.start.wait()
        with trio.fail_after(5), follow(context) as follower:
            if not printed(context):
                await follower.receive()
        yield context.value
        context.stop.set()
    if ended:
        raise ended[0]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def follow(context: Any) -> AbstractContextManager[Follower]:
    log = current_host().logs.get(context.path)
    assert log is not None
    return log.follow()


def pids_with(word: str) -> list[int]:
    """Return the processes that have ``word`` in their command line."""
    pids = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if word.encode() in entry.read_bytes():
                pids.append(int(entry.parent.name))
    return pids


def files_of(directory: Path) -> list[Path]:
    """Return the files of the one child that logs there, the oldest first."""
    return sorted(directory.iterdir(), key=times_put_aside, reverse=True)


def times_put_aside(file: Path) -> int:
    return 0 if file.suffix == ".log" else int(file.suffix[1:])


# --- how it ends ----------------------------------------------------------------------------------


async def test_status_0_is_a_normal_end(context: Any) -> None:
    await run(context, ["true"])
    assert context.promised_to_heed
    assert context.value == context.details["pid"]
    assert context.details["exit_status"] == 0


async def test_any_other_status_is_a_crash_with_the_last_output(context: Any) -> None:
    lines = ["for n in range(30): print('line', n)", "sys.stderr.write('oh no')", "sys.exit(3)"]
    with pytest.raises(ProcessExited, match=r"^exited with status 3$") as caught:
        await run(context, python(*lines))
    assert caught.value.kind == "crashed"
    assert caught.value.exit_status == 3
    assert len(caught.value.last_output) == 20
    assert context.details["last_output"] == caught.value.last_output
    assert "oh no" in caught.value.last_output
    assert "line 29" in caught.value.last_output


async def test_the_last_output_is_bounded_and_of_this_run_only(context: Any) -> None:
    with pytest.raises(ProcessExited):
        await run(context, python("print('x' * 10_000)", "sys.exit(1)"))
    assert sum(map(len, context.details["last_output"])) <= 4096
    with pytest.raises(ProcessExited):
        await run(context, python("print('second')", "sys.exit(1)"))
    assert context.details["last_output"] == ("second",)


async def test_statuses_that_count_as_success_are_a_choice(context: Any) -> None:
    await run(context, ["sh", "-c", "exit 3"], success=[3])
    with pytest.raises(ProcessExited, match="exited with status 0"):
        await run(context, ["true"], success=[3])


@pytest.mark.parametrize(
    ("number", "name"),
    [(signal.SIGKILL, "SIGKILL"), (signal.SIGSEGV, "SIGSEGV"), (40, "signal 40")],
)
async def test_an_end_by_a_signal_is_named(context: Any, number: int, name: str) -> None:
    with pytest.raises(ProcessExited, match=f"^killed by {name}$") as caught:
        await run(context, python(f"os.kill(os.getpid(), {int(number)})"), limits={"core": 0})
    assert caught.value.exit_status == -number
    assert caught.value.kind == "killed"


# --- how it is stopped ----------------------------------------------------------------------------


async def test_asked_to_stop_it_ends_by_the_signal_and_that_is_normal(context: Any) -> None:
    async with started(context, python(READY, "time.sleep(60)")) as pid:
        assert os.getpgid(pid) == os.getsid(pid) == pid
    assert context.details["exit_status"] == -signal.SIGTERM


async def test_the_stop_signal_is_a_choice_and_goes_to_the_whole_group(context: Any) -> None:
    script = "trap 'exit 7' USR1; sleep 60 & echo ready; wait"
    with pytest.raises(ProcessExited) as caught:
        async with started(context, ["sh", "-c", script], stop_signal="USR1"):
            pass
    assert caught.value.exit_status == 7


async def test_one_that_ignores_the_signal_is_killed_after_its_time(context: Any) -> None:
    deaf = python("signal.signal(signal.SIGTERM, signal.SIG_IGN)", READY, "time.sleep(60)")
    with pytest.raises(ProcessExited, match="SIGKILL"):
        async with started(context, deaf, stop_timeout=0.3):
            begin = trio.current_time()
    assert 0.3 <= trio.current_time() - begin < 1.3


async def test_a_suspended_one_can_heed_the_signal(context: Any) -> None:
    polite = python(
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))", READY, "time.sleep(60)"
    )
    async with started(context, polite) as pid:
        os.kill(pid, signal.SIGSTOP)
    assert context.details["exit_status"] == 0


async def test_what_the_group_does_after_the_leader_is_cut_short(context: Any) -> None:
    script = "(trap '' TERM; sleep 60) & echo $!; wait"
    async with started(context, ["sh", "-c", script]):
        straggler = int(printed(context)[0])
        assert is_alive(straggler)
    assert not is_alive(straggler)


async def test_cancelled_it_is_killed_at_once(context: Any) -> None:
    async with trio.open_nursery() as nursery:
        deaf = python("signal.signal(signal.SIGTERM, signal.SIG_IGN)", READY, "time.sleep(60)")
        nursery.start_soon(function(deaf), context)
        await context.start.wait()
        nursery.cancel_scope.cancel()
        begin = trio.current_time()
    assert trio.current_time() - begin < 1
    assert not is_alive(context.value)


async def test_cancelled_while_it_is_being_made_it_does_not_stay(context: Any) -> None:
    tag = f"{os.getpid()}.25"
    with trio.CancelScope() as scope:
        scope.cancel()
        await run(context, ["sleep", tag])
    assert scope.cancelled_caught
    assert not pids_with(tag)


async def test_two_hundred_deaf_ones_are_killed_in_parallel(
    make_context: Any,
) -> None:
    contexts = [make_context(f"child-{number}") for number in range(200)]
    deaf = ["sh", "-c", "trap '' TERM; while :; do sleep 60; done"]

    async def child(context: Any) -> None:
        with pytest.raises(ProcessExited, match="SIGKILL"):
            await function(deaf, stop_timeout=1)(context)

    async with trio.open_nursery() as nursery:
        for context in contexts:
            nursery.start_soon(child, context)
        for context in contexts:
            await context.start.wait()
        await trio.sleep(0.1)  # for the last shells to reach their trap
        begin = trio.current_time()
        for context in contexts:
            context.stop.set()
    # All in parallel: one after another would take 200 seconds. Alone it takes 1.3.
    assert trio.current_time() - begin < 10
    assert not any(is_alive(context.value) for context in contexts)


# --- what cannot be run ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").write_text("no program")
    (tmp_path / "script").write_text("#!/no/such/interpreter\n")
    (tmp_path / "nonsense").write_bytes(b"\0\1\2\3")
    (tmp_path / "script").chmod(0o755)
    (tmp_path / "nonsense").chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"argv": ["no-such-program"]}, "no-such-program: no such file in PATH"),
        ({"argv": ["/no/such/program"]}, "/no/such/program: no such file"),
        ({"argv": ["./nothing"]}, "{folder}/nothing: no such file"),
        ({"argv": ["./data"]}, "{folder}/data: not executable"),
        ({"argv": ["/"]}, "/: not executable"),
        ({"argv": ["./script"]}, "{folder}/script: its interpreter /no/such/interpreter does not"),
        ({"argv": ["./nonsense"]}, "{folder}/nonsense: exec format error"),
        ({"argv": ["true"], "cwd": "/no/such"}, "cwd /no/such: no such directory"),
        ({"argv": ["true"], "cwd": "/etc/passwd"}, "cwd /etc/passwd: not a directory"),
        ({"argv": ["true"], "user": "nobody-here"}, "user nobody-here: no such user"),
        ({"argv": ["true"], "user": 54321}, "user 54321: no such user, so it needs a group too"),
        ({"argv": ["true"], "group": "none-here"}, "group none-here: no such group"),
        ({"argv": ["true"], "env_file": "/no/such"}, "env_file /no/such: no such file"),
        ({"argv": ["true"], "limits": {"nofile": 2**40}}, "limit nofile=1099511627776: the sup"),
        ({"argv": ["no-such-program"], "env": {"PATH": "/"}}, "no-such-program: no such file in"),
    ],
)
async def test_a_command_that_cannot_be_run_never_counts_as_started(
    context: Any, folder: Path, options: dict[str, Any], message: str
) -> None:
    options = {"cwd": folder, **options}
    with pytest.raises(CannotRun) as caught:
        await function(options.pop("argv"), **options)(context)
    assert str(caught.value).startswith(message.format(folder=folder))
    assert caught.value.kind == "start_failed"
    assert not context.start.is_set()
    assert not context.details


UNREACHABLE = """
import os, sys
from a2a_sup.children.command import Command
from a2a_sup.children.spawning import CannotRun, check
if os.geteuid() == 0:
    os.seteuid(65534)
folder = sys.argv[1]
for command in (
    Command(["no-such-program"], env={"PATH": folder + "/inner"}),
    Command(["true"], cwd=folder + "/inner"),
    Command([folder + "/inner/program"]),
):
    try:
        check(command)
    except CannotRun as exc:
        print(exc)
"""


def test_a_script_whose_interpreter_can_have_no_such_name_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_bytes(b"#!/bin/\0sh\n")
    script.chmod(0o755)
    with pytest.raises(CannotRun, match=r"its interpreter .* does not exist"):
        check(Command([str(script)]))


def test_where_this_user_may_not_look_nothing_is_found() -> None:
    with tempfile.TemporaryDirectory() as folder:  # above it everybody may look
        Path(folder).chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", UNREACHABLE, folder],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.splitlines() == [
        "no-such-program: no such file in PATH",
        f"cwd {folder}/inner: permission denied",
        f"{folder}/inner/program: no such file",
    ]


@pytest.mark.parametrize("limits", [{}, {"nofile": 64}])
async def test_a_program_that_its_user_may_not_run_is_a_failed_start(
    context: Any, tmp_path: Path, limits: dict[str, int]
) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    with pytest.raises(CannotRun, match=f"{program}: permission denied"):
        await run(context, [str(program)], user="nobody", limits=limits)
    assert not context.start.is_set()


async def test_a_missing_tool_for_limits_is_named(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CannotRun, match=r"^prlimit: no such file in PATH"):
        await run(context, ["/bin/true"], limits={"nofile": 64})


# --- what it starts with --------------------------------------------------------------------------


async def test_its_user_group_umask_limits_and_nice_are_as_asked(context: Any) -> None:
    script = "id -u; id -g; id -G; umask; ulimit -n; ulimit -c; nice"
    lines = await run(
        context,
        ["bash", "-c", script],
        user="nobody",
        umask=0o027,
        limits={"nofile": 64, "core": 0},
        nice=5,
    )
    assert lines == [b"65534", b"65534", b"65534", b"0027", b"64", b"0", b"5"]


async def test_its_user_and_group_by_number(context: Any) -> None:
    lines = await run(context, ["sh", "-c", "id -u; id -g; id -G"], user=54321, group=12345)
    assert lines == [b"54321", b"12345", b"12345"]


async def test_the_environment_is_added_to_what_is_inherited(
    context: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("INHERITED", "1")
    (tmp_path / "env").write_text("# a comment\n\nFILE=2\nexport BOTH='in file'\n")
    lines = await run(
        context,
        ["sh", "-c", "echo $INHERITED $FILE $BOTH $OWN"],
        env={"OWN": "4", "BOTH": "3"},
        env_file=tmp_path / "env",
    )
    assert lines == [b"1 2 3 4"]


async def test_the_environment_can_be_a_list_of_allowed_names(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "1")
    lines = await run(context, ["env"], inherit_env=("PATH", "NOT_THERE"), env={"OWN": "2"})
    names = {line.partition(b"=")[0] for line in lines}
    assert names == {b"PATH", b"OWN", b"A2A_SUP_MARK"}


async def test_a_pipe_as_env_file_is_refused_and_holds_up_nobody(
    context: Any, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(CannotRun, match="not a regular file"):
        await run(context, ["true"], env_file=tmp_path / "fifo")


async def test_a_bad_line_of_an_env_file_is_named_and_not_shown(
    context: Any, tmp_path: Path
) -> None:
    (tmp_path / "env").write_text("A=1\nhunter2\n")
    with pytest.raises(CannotRun, match=r"env: line 2 is not NAME=value$"):
        await run(context, ["true"], env_file=tmp_path / "env")


async def test_the_program_is_looked_up_in_the_path_it_will_get(
    context: Any, tmp_path: Path
) -> None:
    program = tmp_path / "bin" / "program"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho found $0 in $PWD\n")
    program.chmod(0o755)
    lines = await run(context, ["program"], env={"PATH": "bin"}, cwd=tmp_path)
    assert lines == [f"found {program} in {tmp_path}".encode()]


async def test_it_starts_with_no_input_and_no_signal_ignored(context: Any) -> None:
    [_, ignored] = await run(context, ["sh", "-c", "cat; echo; grep SigIgn /proc/self/status"])
    assert int(ignored.split()[1], 16) & (1 << signal.SIGPIPE - 1) == 0


# --- its output -----------------------------------------------------------------------------------


async def test_every_byte_printed_is_in_the_file_in_order(context: Any, tmp_path: Path) -> None:
    script = python(
        "for n in range(256):",
        "    os.write(1 + n % 2, bytes([n, 0xff, 0xfe, 10]))",
    )
    await run(context, script, logs=LogFiles(tmp_path))
    [file] = files_of(tmp_path)
    assert file.name == "tests%2Fchild.log"
    assert file.read_bytes() == b"".join(bytes([n, 0xFF, 0xFE, 10]) for n in range(256))


async def test_a_flood_is_kept_to_the_last_line_through_rotation(
    context: Any, tmp_path: Path
) -> None:
    count = 100_000
    script = python(
        f"for n in range({count}): print(f'{{n:099}}')", "sys.stdout.flush()", "os.abort()"
    )
    files = LogFiles(tmp_path, max_bytes=1024 * 1024, keep=20)
    with pytest.raises(ProcessExited):
        await run(context, script, logs=files, limits={"core": 0})
    kept = files_of(tmp_path)
    assert len(kept) == math.ceil(count * 100 / (1024 * 1024))
    assert b"".join(file.read_bytes() for file in kept) == b"".join(
        b"%099d\n" % n for n in range(count)
    )


async def test_an_unwritable_place_is_reported_and_the_child_goes_on(
    context: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    lines = await run(context, ["echo", "hello"], logs=LogFiles(tmp_path / "file" / "logs"))
    assert lines == [b"hello"]
    assert "Not a directory" in context.details["log_error"]


async def test_output_held_open_by_a_stranger_delays_nothing(context: Any, tmp_path: Path) -> None:
    # The pipe is handed to this very process, which is none of the child's descendants.
    script = python("print('ready', os.getpid(), flush=True)", "time.sleep(60)")
    async with started(context, script) as pid:
        held = os.open(f"/proc/{pid}/fd/1", os.O_WRONLY)
        begin = trio.current_time()
    assert trio.current_time() - begin < 1
    os.close(held)
