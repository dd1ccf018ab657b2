"""Real processes that are asked, and what comes of their answers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from a2a_sup import (
    Backoff,
    ChildSnapshot,
    Probe,
    ReasonKind,
    Restart,
    TreeHandle,
    open_tree,
    process,
    supervisor,
)
from a2a_sup.checks import command, http, liveness, readiness, startup, tcp

SERVER = """
import http.server, pathlib, sys
folder = pathlib.Path(sys.argv[1])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        sick = folder / "sick"
        status = 500 if sick.exists() or not (folder / "open").exists() else 200
        self.send_response(status)
        self.end_headers()
    def log_message(self, *words):
        pass
port = int((folder / "port").read_text()) if (folder / "port").exists() else 0
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
(folder / "port.part").write_text(str(server.server_address[1]))
(folder / "port.part").rename(folder / "port")
server.serve_forever()
"""


def app(folder: Path, probes: list[Probe], **options: Any) -> Any:
    return process(
        "app",
        [sys.executable, "-S", "-c", SERVER, str(folder)],
        restart=Restart(backoff=Backoff(delays=(0.02,))),
        stop_timeout=1,
        probes=probes,
        **options,
    )


async def port_of(folder: Path) -> int:
    while not (folder / "port").exists():
        await trio.sleep(0.01)
    return int((folder / "port").read_text())


async def until(tree: TreeHandle, condition: Callable[[ChildSnapshot], bool]) -> ChildSnapshot:
    snapshot = await tree.wait_until(
        lambda now: any(condition(child) for child in now.root.children if child.name == "app")
    )
    return snapshot.child("app")


def asking(folder: Path) -> Any:
    """Return a check that asks the server at the port that it chose."""

    async def ask(context: Any) -> object:
        return await http(f"http://127.0.0.1:{await port_of(folder)}/")(context)

    return ask


async def test_a_server_that_starts_to_answer_500_is_restarted(tmp_path: Path) -> None:
    (tmp_path / "open").touch()
    up = startup(asking(tmp_path), name="up", interval=0.05, failure_threshold=1000)
    probe = liveness(asking(tmp_path), name="http", interval=0.05, failure_threshold=2)
    with trio.fail_after(30):
        async with open_tree(supervisor("test", [app(tmp_path, [up, probe])])) as tree:
            await until(tree, lambda child: bool(child.probes[1].passing))
            (tmp_path / "sick").touch()
            child = await until(tree, lambda child: child.incarnation == 2)
            (tmp_path / "sick").unlink()
            assert child.last_reason is not None
            assert child.last_reason.kind is ReasonKind.UNHEALTHY
            assert "failed 2 times in a row: status 500" in child.last_reason.text
            await until(tree, lambda child: child.healthy is True)


async def test_readiness_gates_a_start_that_waits_for_it(tmp_path: Path) -> None:
    probe = readiness(asking(tmp_path), name="http", interval=0.05)
    with trio.fail_after(30):
        async with open_tree(supervisor("test", [])) as tree, trio.open_nursery() as nursery:
            spec = app(tmp_path, [probe], wait_ready=True)
            nursery.start_soon(tree.start_child, "", spec)
            child = await until(tree, lambda child: bool(child.probes[0].results))
            assert (child.state, child.ready) == ("starting", False)
            assert child.probes[0].results[-1].message == "status 500; allowed: 200-399"
            (tmp_path / "open").touch()
            child = await until(tree, lambda child: child.state == "running")
            assert child.ready
            (tmp_path / "sick").touch()
            child = await until(tree, lambda child: child.ready is False)
            assert (child.state, child.incarnation) == ("running", 1)


@pytest.mark.parametrize("kind", ["tcp", "command"])
async def test_a_startup_probe_holds_the_others_off(tmp_path: Path, kind: str) -> None:
    (tmp_path / "open").touch()
    go = tmp_path / "go"

    async def port_is_open(context: Any) -> object:
        if not go.exists():
            return False
        await tcp("127.0.0.1", await port_of(tmp_path))(context)
        return True

    check = command(["test", "-e", str(go)]) if kind == "command" else port_is_open
    first = startup(check, name="first", interval=0.05, failure_threshold=1000)
    then = liveness(asking(tmp_path), name="then", interval=0.05)
    with trio.fail_after(30):
        async with open_tree(supervisor("test", [app(tmp_path, [first, then])])) as tree:
            child = await until(tree, lambda child: len(child.probes[0].results) >= 3)
            assert not child.probes[1].results
            go.touch()
            child = await until(tree, lambda child: bool(child.probes[1].results))
            assert child.healthy
