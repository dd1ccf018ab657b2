"""Calls, commands, ports, and the probes that are made of checks."""

from __future__ import annotations

import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from a2a_sup import CheckFailed, Probe, SpecError
from a2a_sup.checks import (
    call,
    command,
    heartbeat,
    http,
    liveness,
    mcp_ping,
    readiness,
    startup,
    tcp,
)
from a2a_sup.children.linux import is_dead
from a2a_sup.model.health import Check, Purpose
from a2a_sup.model.spec import ChildContext

FORKING = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {child.pid}")
time.sleep(1000)
"""


async def fine() -> str:
    return "all is well"


# --- calls ----------------------------------------------------------------------------------------


async def test_what_a_call_returns_is_the_message(context: ChildContext) -> None:
    assert await call(fine)(context) == "all is well"


async def test_a_call_may_raise_what_it_likes(context: ChildContext) -> None:
    async def broken() -> None:
        raise ZeroDivisionError("no")

    with pytest.raises(ZeroDivisionError):
        await call(broken)(context)


def test_a_call_needs_a_function() -> None:
    with pytest.raises(SpecError, match="call takes an async function, not 'x'"):
        call("x")  # type: ignore[arg-type]


# --- commands -------------------------------------------------------------------------------------


async def test_a_command_passes_with_its_last_line(context: ChildContext) -> None:
    assert await command(["sh", "-c", "seq 1 5000; echo; echo ' fine '; echo"])(context) == "fine"
    assert await command(["true"])(context) == ""
    assert await command(["sh", "-c", "exit 3"], success=[3])(context) == ""


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo one; echo two >&2; exit 3", "exited with status 3: two"),
        ("exit 1", "exited with status 1"),
        ("kill -9 $$", "killed by SIGKILL"),
        (r"printf '\377'; exit 1", "exited with status 1: \N{REPLACEMENT CHARACTER}"),
    ],
)
async def test_a_command_fails_with_its_status(
    context: ChildContext, script: str, problem: str
) -> None:
    with pytest.raises(CheckFailed) as caught:
        await command(["sh", "-c", script])(context)
    assert str(caught.value) == problem


async def test_a_command_that_cannot_be_run_fails(context: ChildContext, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="no-such-program: no such file in PATH"):
        await command(["no-such-program"])(context)


async def test_a_command_has_its_own_surroundings(context: ChildContext, tmp_path: Path) -> None:
    script = 'echo "$(pwd) $A ${HOME:-none} $(umask)"'
    check = command(
        ["sh", "-c", script], cwd=tmp_path, env={"A": "b"}, inherit_env=("PATH",), umask=0o27
    )
    assert await check(context) == f"{tmp_path} b none 0027"


async def test_endless_output_is_no_harm(context: ChildContext) -> None:
    with trio.move_on_after(0.3) as scope:
        await command(["sh", "-c", "yes"])(context)
    assert scope.cancelled_caught


async def test_cancelled_it_leaves_no_process(context: ChildContext, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    async with trio.open_nursery() as nursery:
        check = command([sys.executable, "-S", "-c", FORKING, str(pids)])
        nursery.start_soon(check, context)
        with trio.fail_after(20):
            while not (pids.exists() and len(pids.read_text().split()) == 2):
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert all(is_dead(int(pid)) for pid in pids.read_text().split())


async def test_what_a_command_leaves_in_the_background_is_ended(
    context: ChildContext, tmp_path: Path
) -> None:
    script = f"setsid sleep 1000 & echo $! > {tmp_path}/pid; echo done"
    assert await command(["sh", "-c", script])(context) == "done"
    assert is_dead(int((tmp_path / "pid").read_text()))


def test_a_command_names_its_mistakes() -> None:
    with pytest.raises(SpecError, match="cwd is a path"):
        command(["x"], cwd="")


# --- ports ----------------------------------------------------------------------------------------


async def test_a_port_that_accepts_passes(context: ChildContext, nursery: trio.Nursery) -> None:
    gone = trio.Event()

    async def wait(stream: trio.SocketStream) -> None:
        assert not await stream.receive_some()
        gone.set()

    listeners = await nursery.start(partial(trio.serve_tcp, wait, 0, host="127.0.0.1"))
    check = tcp("127.0.0.1", listeners[0].socket.getsockname()[1])
    await check(context)
    with trio.fail_after(5):
        await gone.wait()


async def test_a_port_that_refuses_fails(context: ChildContext) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(CheckFailed, match=r"^no connection: connection refused$"):
            await tcp("127.0.0.1", taken.getsockname()[1])(context)


@pytest.mark.parametrize(("host", "port"), [("", 80), ("h", 0), ("h", 65536), ("h", True), (1, 1)])
def test_what_is_no_port(host: Any, port: Any) -> None:
    with pytest.raises(SpecError, match=r"^tcp: "):
        tcp(host, port)


# --- probes ---------------------------------------------------------------------------------------


def test_names_say_what_is_asked() -> None:
    checks: list[tuple[Check, str]] = [
        (http("http://me:secret@127.0.0.1:8080/x?key=secret"), "http http://127.0.0.1:8080/x"),
        (tcp("::1", 80), "tcp [::1]:80"),
        (command(["pg_isready", "-q"]), "command pg_isready -q"),
        (call(fine), "call fine"),
        (mcp_ping(), "mcp ping"),
        (heartbeat(5), "heartbeat 5 s"),
    ]
    assert [liveness(check).name for check, _ in checks] == [name for _, name in checks]
    assert liveness(call(fine), name="mine").name == "mine"


async def _asks(context: ChildContext) -> None: ...


def test_a_function_is_a_check() -> None:
    assert liveness(_asks).name == "_asks"


def test_the_factories_differ_in_purpose_only() -> None:
    purposes = {liveness: "liveness", readiness: "readiness", startup: "startup"}
    for factory, purpose in purposes.items():
        probe = factory(_asks, interval=1, timeout=2, initial_delay=3, failure_threshold=4)
        assert probe.purpose is Purpose(purpose)
        values = (probe.interval, probe.timeout, probe.initial_delay, probe.failure_threshold)
        assert values == (1, 2, 3, 4)
    plain = Probe(name="x", check=_asks)
    made = liveness(_asks)
    for field in ("interval", "timeout", "failure_threshold", "success_threshold", "jitter"):
        assert getattr(made, field) == getattr(plain, field)


def test_a_heartbeat_is_looked_at_twice_in_its_time() -> None:
    probe = liveness(heartbeat(5))
    assert (probe.interval, probe.failure_threshold) == (2.5, 1)
    probe = liveness(heartbeat(5), interval=1, failure_threshold=2)
    assert (probe.interval, probe.failure_threshold) == (1, 2)
    with pytest.raises(SpecError, match="heartbeat is seconds > 0, not 0"):
        heartbeat(0)


def test_mistakes_of_a_probe_are_named() -> None:
    with pytest.raises(SpecError, match=r"probe 'mcp ping': interval is seconds > 0, not 0"):
        liveness(mcp_ping(), interval=0)


def test_importing_the_checks_is_cheap() -> None:
    program = "import sys, a2a_sup.checks; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    imported = done.stdout.decode().split()
    assert "a2a_sup.checks" in imported
    assert {"h11", "httpx", "mcp", "pydantic"}.isdisjoint(imported)
