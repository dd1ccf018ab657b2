"""What is left when a supervisor ends, in every way it can end: nothing."""

from __future__ import annotations

import json
import os
import pty
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUARDED = Path(__file__).with_name("guarded.py")
PAYLOAD = ROOT / "tests" / "children" / "payload.py"
KINDS = (
    "background",
    "new_session",
    "own_group",
    "suspended",
    "double_fork",
    "clean",
    "clean_without_limit",
    "clean_as_nobody",
    "npm",
)
STOPPED = 3
"""The status that the supervisor under test ends with at SIGTERM."""


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def pids_with(word: str) -> dict[int, list[str]]:
    """Return the payloads with an argument that ends with ``word``, once they are what they do."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                argv = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                # The supervisor has it too, but as JSON.
                if any(part.endswith(word) for part in argv) and str(PAYLOAD) not in argv:
                    found[int(entry.name)] = argv
    return found


def is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def only_child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


class Supervised:
    """A supervisor with one child per kind of payload, each with its own tag."""

    def __init__(
        self,
        directory: Path,
        *kinds: str,
        prefix: tuple[str, ...] = (),
        commands: list[list[str]] | None = None,
    ) -> None:
        self.directory = directory
        self.kinds = kinds
        number = random.randrange(10**7, 10**8)
        self.tags = {kind: f"{number}.{index}" for index, kind in enumerate(kinds)}
        commands = commands or [
            [sys.executable, "-SE", str(PAYLOAD), kind, tag] for kind, tag in self.tags.items()
        ]
        self.start(prefix, commands)

    def start(self, prefix: tuple[str, ...], commands: list[list[str]]) -> None:
        handle, self.output = tempfile.mkstemp(dir=self.directory.parent)
        self.process = subprocess.Popen(
            [*prefix, sys.executable, GUARDED, self.directory, *map(json.dumps, commands)],
            stdout=handle,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        os.close(handle)

    def lines(self) -> list[str]:
        whole, _, _ = Path(self.output).read_text().rpartition("\n")
        return whole.splitlines()

    def started(self) -> list[int]:
        words = [line.split() for line in self.lines() if line.startswith("started ")]
        return [int(pid) for _, _, pid in words]

    def has_started(self, count: int) -> bool:
        return len(self.started()) == count

    def left(self) -> dict[str, int]:
        return {kind: n for kind, tag in self.tags.items() if (n := len(pids_with(tag)))}

    def all_up(self) -> bool:
        left = self.left()
        # What also drops the inherited limit is nobody's orphan, and killed as soon as it is seen.
        return all(left.get(kind, 0) >= 1 + (kind != "clean_without_limit") for kind in self.tags)

    def pid(self) -> int:
        """The supervisor's, which is the guardian's only child."""
        return only_child_of(self.process.pid)

    def end(self) -> None:
        with suppress(ProcessLookupError, FileNotFoundError, IndexError):
            os.kill(self.pid(), signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        for tag in self.tags.values():
            for pid in pids_with(tag):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


PREAMBLE = """
import os, signal, subprocess, sys
from a2a_sup.app.guardian import guard
"""
POSTAMBLE = """
sys.exit(guard(main))
"""
COUNT_SIGNALS = """
def main():
    watched = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    print("up", flush=True)
    number = 0
    while number != signal.SIGTERM:
        number = signal.sigwait(watched)
        print("got", int(number), flush=True)
    return 0
"""


@contextmanager
def guarded_program(
    folder: Path, main: str, *, prefix: tuple[str, ...] = (), stdin: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[str]]:
    """Run a program whose ``main`` is guarded."""
    program = folder / "program.py"
    program.write_text(PREAMBLE + main + POSTAMBLE)
    with subprocess.Popen(
        [*prefix, sys.executable, program],
        stdin=stdin,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip()


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    supervisor = Supervised(tmp_path / "state", *KINDS)
    try:
        assert eventually(supervisor.all_up), (supervisor.left(), supervisor.lines())
        yield supervisor
    finally:
        supervisor.end()


def test_a_stopped_child_leaves_nothing_while_the_supervisor_goes_on(
    supervised: Supervised,
) -> None:
    supervised.process.send_signal(signal.SIGUSR1)
    assert eventually(lambda: not supervised.left(), 3), supervised.left()
    assert supervised.process.poll() is None


def test_a_crashed_child_leaves_nothing_to_the_one_that_replaces_it(
    supervised: Supervised,
) -> None:
    for _ in range(3):
        before = supervised.started()
        for pid in before[-len(KINDS) :]:
            os.kill(pid, signal.SIGKILL)
        restarted = partial(supervised.has_started, len(before) + len(KINDS))
        assert eventually(restarted)
        assert eventually(supervised.all_up), supervised.left()
    # One copy of each; what also dropped the inherited limit is killed within a second.
    expected = {**dict.fromkeys(KINDS, 2), "npm": 4, "clean_without_limit": 1}
    assert eventually(lambda: supervised.left() == expected, 3), supervised.left()


def test_sigterm_stops_all_and_the_status_is_passed_on(supervised: Supervised) -> None:
    supervised.process.terminate()
    assert supervised.process.wait(10) == STOPPED
    assert supervised.left() == {}


def test_a_killed_supervisor_leaves_nothing_and_its_signal_is_passed_on(
    supervised: Supervised,
) -> None:
    os.kill(supervised.pid(), signal.SIGKILL)
    assert supervised.process.wait(3) == -signal.SIGKILL
    assert supervised.left() == {}


def test_a_killed_guardian_takes_the_supervisor_and_all_with_it(supervised: Supervised) -> None:
    pid = supervised.pid()
    supervised.process.kill()
    assert eventually(lambda: is_dead(pid))
    assert supervised.left() == {}


def test_what_a_kill_of_both_left_ends_at_the_next_start(
    supervised: Supervised, tmp_path: Path
) -> None:
    pid = supervised.pid()
    stranger = subprocess.Popen(["sleep", "100"], start_new_session=True)
    supervised.process.send_signal(signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    supervised.process.kill()
    supervised.process.wait()
    assert supervised.left()

    following = Supervised(supervised.directory)
    try:
        assert eventually(lambda: "up" in following.lines())
        # The one limit: what dropped both marks less than a second before is nobody's now.
        assert supervised.left().keys() <= {"clean_without_limit"}
        assert stranger.poll() is None
    finally:
        following.end()
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("killed", ["the outer pair", "both pairs"])
def test_a_supervised_supervisor_leaves_nothing_at_the_next_start(
    tmp_path: Path, killed: str
) -> None:
    tag = f"{random.randrange(10**7, 10**8)}.9"
    payloads = [[sys.executable, "-SE", str(PAYLOAD), kind, tag] for kind in ("own_group", "clean")]
    inner = [sys.executable, str(GUARDED), str(tmp_path / "inner"), *map(json.dumps, payloads)]
    outer = Supervised(tmp_path / "outer", commands=[inner])
    try:
        assert eventually(lambda: len(pids_with(tag)) == 4), outer.lines()
        old = pids_with(tag).keys()
        doomed = [outer.process.pid, outer.pid()]
        if killed == "both pairs":
            inner_guardian = outer.started()[0]
            doomed += [inner_guardian, only_child_of(inner_guardian)]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in doomed:
                os.kill(pid, number)
        outer.process.wait()
        assert pids_with(tag).keys() == old

        following = Supervised(outer.directory, commands=[inner])
        try:
            assert eventually(lambda: len(pids_with(tag).keys() - old) == 4), following.lines()
            assert not pids_with(tag).keys() & old
        finally:
            following.process.terminate()
            following.process.wait(10)
            following.end()
        assert not pids_with(tag)
    finally:
        outer.end()
        for pid in pids_with(tag):
            os.kill(pid, signal.SIGKILL)


def test_what_may_not_be_killed_is_named_and_waited_for_by_nobody(tmp_path: Path) -> None:
    may_not_kill = ("setpriv", "--bounding-set=-kill", "--inh-caps=-kill")
    supervisor = Supervised(tmp_path / "state", "clean_as_nobody", prefix=may_not_kill)
    try:
        assert eventually(supervisor.all_up), supervisor.lines()
        supervisor.process.send_signal(signal.SIGUSR1)
        assert eventually(lambda: "stopped child-0" in supervisor.lines(), 3)
        [pid] = pids_with(supervisor.tags["clean_as_nobody"])
        assert f"survivors {pid}" in supervisor.lines()
        supervisor.process.terminate()
        assert supervisor.process.wait(5) == STOPPED
        message = f"a2a-sup: cannot kill {pid}: sleep {supervisor.tags['clean_as_nobody']}"
        assert message in supervisor.lines()
    finally:
        supervisor.end()


def test_a_second_supervisor_with_the_same_state_directory_is_refused(tmp_path: Path) -> None:
    first = Supervised(tmp_path / "state")
    try:
        assert eventually(lambda: "up" in first.lines())
        holder = first.pid()
        second = subprocess.run(
            [sys.executable, GUARDED, first.directory],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        assert second.returncode == 1
        assert f"a supervisor is running with it: process {holder}" in second.stderr
        assert first.process.poll() is None
    finally:
        first.end()


def test_the_guardian_is_small_and_loads_nothing_large(tmp_path: Path) -> None:
    supervisor = Supervised(tmp_path / "state")
    try:
        assert eventually(lambda: "up" in supervisor.lines())
        rollup = Path(f"/proc/{supervisor.process.pid}/smaps_rollup").read_text()
        sizes = {line.split()[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}
        assert sizes["Private_Dirty:"] < 8_000, rollup
        maps = Path(f"/proc/{supervisor.process.pid}/maps").read_text()
        assert "site-packages" not in maps
    finally:
        supervisor.end()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGUSR2])
def test_signals_are_forwarded_once(tmp_path: Path, number: signal.Signals) -> None:
    with guarded_program(tmp_path, COUNT_SIGNALS) as process:
        assert next_line(process) == "up"
        process.send_signal(number)
        assert next_line(process) == f"got {number.value}"
        process.terminate()
        assert next_line(process) == "got 15"
        assert process.wait(10) == 0


def test_ctrl_c_at_a_terminal_reaches_the_supervisor_once(tmp_path: Path) -> None:
    near, far = pty.openpty()
    try:
        with guarded_program(
            tmp_path, COUNT_SIGNALS, prefix=("setsid", "--ctty"), stdin=far
        ) as process:
            assert next_line(process) == "up"
            os.write(near, b"\x03")
            assert next_line(process) == "got 2"
            process.terminate()
            assert next_line(process) == "got 15"
    finally:
        os.close(near)
        os.close(far)


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("return 0", 0),
        ("return 70", 70),
        ("sys.exit(5)", 5),
        ("os.kill(os.getpid(), 15)", -15),
        ("os.kill(os.getpid(), 6)", -6),
        ("os.kill(os.getpid(), 9)", -9),
    ],
)
def test_it_ends_as_the_supervisor_does(tmp_path: Path, ending: str, status: int) -> None:
    with guarded_program(tmp_path, f"def main():\n    {ending}\n") as process:
        assert process.wait(10) == status


def test_it_works_where_sigchld_was_ignored_and_children_existed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PREAMBLE + "def main():\n    return 7\n" + POSTAMBLE)
    # The shell becomes the guardian by exec, with a child of its own that is to be left alone.
    script = "trap '' CHLD; sleep 100 & echo $!; exec \"$@\""
    with (tmp_path / "out").open("w") as output:
        run = subprocess.run(
            ["bash", "-c", script, "-", sys.executable, program],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=output,
            timeout=10,
            check=False,
        )
    assert run.returncode == 7
    earlier = int((tmp_path / "out").read_text())
    os.kill(earlier, signal.SIGKILL)


def test_as_pid_1_it_is_the_supervisor_and_the_namespace_ends_with_it(tmp_path: Path) -> None:
    prefix = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    kinds = [kind for kind in KINDS if kind != "npm"]
    supervisor = Supervised(tmp_path / "state", *kinds, prefix=prefix)
    try:
        assert eventually(supervisor.all_up), supervisor.lines()
        # It is the only child of unshare, and without a guardian.
        inside = supervisor.pid()
        argv = Path(f"/proc/{inside}/cmdline").read_bytes()
        assert GUARDED.name.encode() in argv
        os.kill(inside, signal.SIGUSR1)
        assert eventually(lambda: not supervisor.left(), 3), supervisor.left()
        assert eventually(lambda: no_zombies_below(inside), 3)
        os.kill(inside, signal.SIGTERM)
        assert supervisor.process.wait(10) == STOPPED
    finally:
        supervisor.end()


def no_zombies_below(pid: int) -> bool:
    return not Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_a_foreign_proc_is_refused(tmp_path: Path) -> None:
    # In a new pid namespace under the old one's /proc every number would mean somebody else.
    run = subprocess.run(
        ["unshare", "--pid", "--fork", sys.executable, GUARDED, tmp_path / "state"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert run.returncode == 1
    assert "mount its own /proc first" in run.stderr
