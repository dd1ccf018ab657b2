"""The services beside the user's tree: options, addresses, and troubles of their own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import structlog
import trio
from click.testing import CliRunner

from a2a_sup import State, TreeHandle, supervisor
from a2a_sup.app.config import ConfigError, read_config
from a2a_sup.app.doors import Doors, doors_of
from a2a_sup.app.narration import narrate_services
from a2a_sup.app.program import main
from a2a_sup.app.services import (
    Service,
    Shown,
    run_services,
    services_of,
)
from a2a_sup.app.settings import ServeConfig
from a2a_sup.errors import CannotListen
from a2a_sup.model.agents import TEXT_LIMIT
from a2a_sup.registry import AgentRegistry
from a2a_sup.serve.api_control import Control
from a2a_sup.serve.authority import Authority
from a2a_sup.serve.lag import LoopLag
from a2a_sup.serve.listen import Address, Door, parse_address
from a2a_sup.serve.metrics import Metrics

Start = Callable[..., Awaitable[Any]]
TREE = "[children.a]\ncommand = ['sleep', '1000']\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tree.toml"
    path.write_text(TREE)
    return path


# --- the program ---------------------------------------------------------------------------------


async def test_health_and_metrics_are_served_where_the_log_says(start: Start, file: Path) -> None:
    program = await start("run", file)
    said = await program.until("tree.started")
    base = f"http://{said['http']}"
    async with httpx.AsyncClient(timeout=20) as client:
        assert (await client.get(f"{base}/livez")).status_code == 200
        assert (await client.get(f"{base}/readyz")).status_code == 200
        assert (await client.get(f"{base}/healthz")).json()["running"] == 1
        found = (await client.get(f"{base}/metrics")).text
    assert 'a2a_sup_child_up{child="a"} 1\n' in found
    assert "services" not in found
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0


async def test_a_server_that_cannot_be_an_agent_is_told_of_and_all_else_goes_on(
    start: Start, tmp_path: Path
) -> None:
    file = tmp_path / "tree.toml"
    file.write_text(f"{TREE}tags = ['agent', '{'x' * (TEXT_LIMIT + 1)}']\n")
    program = await start("run", file)
    said = await program.until("tree.started")
    refused = await program.until("agent.refused", child="a")
    assert "tags" in refused["because"]
    async with httpx.AsyncClient(timeout=20) as client:
        assert (await client.get(f"http://{said['http']}/livez")).status_code == 200
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
    assert len(program.told("agent.refused")) == 1


LAME = """
import sys
from a2a_sup.app import onlookers
from a2a_sup.app.entry import start
from a2a_sup.app.services import Service

async def fails(*, task_status):
    raise RuntimeError("no luck")

onlookers.services_of = lambda _: [Service("lame", fails)]
sys.argv = sys.argv[1:]
start()
"""


async def test_a_service_that_does_not_start_ends_the_program_with_its_reason(
    start: Start, file: Path, tmp_path: Path
) -> None:
    script = tmp_path / "lame.py"
    script.write_text(LAME)
    program = await start("run", file, prefix=(sys.executable, str(script)))
    failed = await program.until("tree.failed")
    assert "no luck" in failed["because"]
    assert await program.ended() == 1
    assert not program.other


async def test_off_is_off_and_no_address_is_told(start: Start, file: Path) -> None:
    program = await start("run", file, A2A_SUP_HTTP="off")
    said = await program.until("tree.started")
    assert "http" not in said


async def test_an_option_beats_the_environment_which_beats_the_file(
    start: Start, tmp_path: Path
) -> None:
    file = tmp_path / "tree.toml"
    file.write_text('serve = { http = "[::1]:0" }\n' + TREE)
    by_environment = await start("run", file, A2A_SUP_HTTP="127.0.0.1:0")
    said = await by_environment.until("tree.started")
    assert said["http"].startswith("127.0.0.1:")
    by_option = await start("run", file, "--http", "127.0.0.2:0", "--state-dir", tmp_path / "s")
    said = await by_option.until("tree.started")
    assert said["http"].startswith("127.0.0.2:")


async def test_a_taken_port_is_one_line_and_nothing_was_started(start: Start, file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        program = await start("run", file, "--http", address)
        assert await program.ended() == 1
    because = (
        f"cannot listen on {address}: address already in use; "
        "give another address with --http HOST:PORT, or --http off"
    )
    assert [line["event"] for line in program.log] == ["tree.failed", "tree.stopped"]
    assert program.log[0]["because"] == because


async def test_a_stop_does_not_wait_for_clients(start: Start, file: Path) -> None:
    program = await start("run", file)
    said = await program.until("tree.started")
    host, _, port = said["http"].rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
        program.signal(signal.SIGTERM)
        assert await program.ended() == 0


@pytest.mark.parametrize("given", ["3000", "x", "127.0.0.1:", "127.0.0.1:70000", "http://x:1", ""])
def test_a_bad_address_is_a_mistake(file: Path, given: str) -> None:
    found = CliRunner().invoke(main, ["run", str(file), f"--http={given}"])
    assert found.exit_code == 2
    assert f"found {given!r}; allowed: HOST:PORT" in found.output
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_address(given)


@pytest.mark.parametrize(
    ("given", "host", "port"),
    [("localhost:0", "localhost", 0), ("0.0.0.0:80", "0.0.0.0", 80), ("[::1]:9", "::1", 9)],
)
def test_an_address_is_written_as_it_is_read(given: str, host: str, port: int) -> None:
    found = parse_address(given)
    assert found == Address(host, port)
    assert str(found) == given


# --- the file ------------------------------------------------------------------------------------


def test_what_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    url = "wss://board.example/dashboard"
    serve = f'http = "off", ready = ["a"], origins = ["board.example"], dashboard_url = "{url}"'
    file.write_text(f"serve = {{ {serve} }}\n{TREE}")
    found = read_config(file, {}).serve
    assert found == ServeConfig(
        http=None, ready=("a",), origins=("board.example",), dashboard_url=url
    )
    file.write_text(TREE)
    assert read_config(file, {}).serve == ServeConfig()
    assert str(ServeConfig().http) == "127.0.0.1:3000"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("http = 3000", "http: found 3000; allowed: a text"),
        ("http = 'x'", 'http: found "x"; allowed: HOST:PORT'),
        ("https = 'off'", "https: unknown key; did you mean 'http'?"),
        ("ready = 'some'", 'ready: found "some"; allowed: all, any, or a list'),
        ("ready = []", "ready: found an empty list; allowed: all, any, or a list"),
        ("ready = ['a', 'b']", "ready[1]: found \"b\"; allowed: paths of children"),
        ("dashboard_url = 'http://x'", 'dashboard_url: found "http://x"; allowed: a URL such as'),
        ("origins = ['*']", 'origins[0]: found "*"; allowed: the name of a host, such as'),
        ("origins = ['http://x/y']", 'origins[0]: found "http://x/y"; allowed: the name of a host'),
        ("ready = [3]", "ready[0]: found 3; allowed: a text"),
    ],
)  # fmt: skip
def test_mistakes_in_the_file(tmp_path: Path, line: str, problem: str) -> None:
    file = tmp_path / "tree.toml"
    file.write_text(f"{TREE}[serve]\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        read_config(file, {})
    assert str(caught.value).startswith(f"{file}: serve.{problem}")


# --- their tree ----------------------------------------------------------------------------------


def ignored(tree: TreeHandle) -> None:
    """Take the tree of the services."""


def shown_of(tree: TreeHandle, serve: ServeConfig, control: Path | None = None) -> Shown:
    lag = LoopLag()
    return Shown(
        tree=tree,
        lag=lag,
        metrics=Metrics(tree.snapshot, lag),
        serve=serve,
        registry=AgentRegistry(),
        control=Control(tree, Authority(names=serve.names), logs=lambda _: None),
        doors=doors_of(serve, control),
    )


async def test_a_service_that_fails_is_started_again_at_the_same_address(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    door = Door(Address("127.0.0.1", 0), "hint")
    bound: list[str] = []
    failing = trio.Event()

    async def flaky(task_status: trio.TaskStatus[str]) -> None:
        listener = await door.open()
        bound.append(door.bound)
        task_status.started(door.bound)
        try:
            if len(bound) == 1:
                await failing.wait()
                raise ValueError("gone wrong")
            await trio.sleep_forever()
        finally:
            door.close(listener)

    def narrate(tree: TreeHandle) -> None:
        nursery.start_soon(narrate_services, tree.events())

    with structlog.testing.capture_logs() as log:
        service = Service("flaky", flaky)
        tree = await nursery.start(run_services, [service], narrate)
        failing.set()
        await tree.wait_until(lambda now: now.child("flaky").incarnation == 2)
        await tree.wait_until(lambda now: now.child("flaky").state == "running")
        tree.stop()
        await tree.wait_ended()
    assert bound[0] == bound[1] == door.bound
    loud = [line for line in log if line["log_level"] != "debug"]
    assert [(line["event"], line["service"]) for line in loud] == [
        ("service.ended", "flaky"),
        ("service.backing_off", "flaky"),
    ]


async def test_a_service_that_never_recovers_is_tried_for_ever(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    async def hopeless(task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep(0.1)
        raise ValueError

    tree = await nursery.start(run_services, [Service("hopeless", hopeless)], ignored)
    with trio.fail_after(86_400):  # of a clock that jumps
        now = await tree.wait_until(lambda now: now.child("hopeless").restarts == 50)
    assert now.child("hopeless").state is State.BACKING_OFF
    tree.stop()
    await tree.wait_ended()


async def test_when_one_cannot_listen_its_own_words_are_raised_and_the_others_stopped(
    nursery: trio.Nursery,
) -> None:
    stopped = trio.Event()

    async def first(task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            stopped.set()

    async def second(task_status: trio.TaskStatus[None]) -> None:
        raise CannotListen("127.0.0.1:1", "it is taken", "use another")

    services = [Service("first", first), Service("second", second)]
    with pytest.raises(CannotListen, match=r"on 127\.0\.0\.1:1: it is taken; use another"):
        await nursery.start(run_services, services, ignored)
    assert stopped.is_set()


async def test_only_what_the_configuration_asks_for_is_run() -> None:
    shown = shown_of(TreeHandle(supervisor("root", [])), ServeConfig(), Path("control.sock"))
    names = [service.name for service in services_of(shown)]
    assert names == ["control", "agents", "dashboard", "metrics", "http"]
    nothing = attrs.evolve(shown, doors=Doors())
    assert [service.name for service in services_of(nothing)] == ["agents"]


async def answered(port: int, path: str, host: str, more: str = "") -> int:
    """Return the status of the answer to a client that calls the server by a name."""
    with trio.fail_after(20):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{more}\r\n"
            await stream.send_all(head.encode())
            return int((await stream.receive_some()).split()[1])


UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


async def test_at_a_name_that_stands_for_loopback_a_foreign_name_is_a_trick(
    nursery: trio.Nursery,
) -> None:
    class Resolver(trio.abc.HostnameResolver):
        async def getaddrinfo(self, host: Any, port: Any, *_: Any, **__: Any) -> Any:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
            raise NotImplementedError

    trio.socket.set_custom_hostname_resolver(Resolver())
    serve = ServeConfig(http=Address("alias", 0), dashboard=Address("alias", 0))
    tree = TreeHandle(supervisor("root", []))
    nursery.start_soon(tree.run)
    shown = shown_of(tree, serve)
    beside = await nursery.start(run_services, services_of(shown), ignored)
    http, dashboard = (shown.doors.port(name) for name in ("http", "dashboard"))
    assert http is not None
    assert dashboard is not None
    found = {
        host: [
            await answered(http, "/livez", host),
            await answered(http, "/api/v1/tree", host),
            await answered(dashboard, "/", host, UPGRADE),
        ]
        for host in ("alias", "127.0.0.1", "evil.example")
    }
    good, bad = [200, 200, 101], [421, 421, 403]
    assert found == {"alias": good, "127.0.0.1": good, "evil.example": bad}
    beside.stop()
    tree.stop()


# --- doors ---------------------------------------------------------------------------------------


async def test_what_a_killed_supervisor_left_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    door = Door(path, "hint")
    listener = await door.open()
    door.close(listener)
    assert not path.exists()


async def test_a_socket_that_somebody_serves_is_left_alone(tmp_path: Path) -> None:
    first, second = Door(tmp_path / "c.sock", "hint"), Door(tmp_path / "c.sock", "hint")
    listener = await first.open()
    with pytest.raises(CannotListen, match="another process listens there"):
        await second.open()
    assert (tmp_path / "c.sock").exists()
    first.close(listener)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: (folder / "x").write_text("mine") and folder / "x", "no socket"),
        (lambda folder: folder / "no" / "such" / "folder", "no such file or directory"),
        (lambda folder: folder / ("x" * 120), "longer than 107 bytes"),
    ],
)
async def test_a_path_that_cannot_be_used_is_named(
    tmp_path: Path, make: Callable[[Path], Path], reason: str
) -> None:
    path = make(tmp_path)
    with pytest.raises(CannotListen) as caught:
        await Door(path, "hint").open()
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)


async def test_a_reserved_door_takes_connections_until_somebody_opens_it() -> None:
    door = Door(Address("127.0.0.1", 0), "hint")
    await door.reserve()
    with trio.fail_after(20):
        async with await trio.open_tcp_stream("127.0.0.1", int(door.bound.split(":")[1])) as early:
            listener = await door.open()
            async with await listener.accept() as stream:
                await stream.send_all(b"at last")
                assert await early.receive_some() == b"at last"
    door.release()  # it is open, and nobody's to close but by him who has it
    again = await trio.open_tcp_stream("127.0.0.1", int(door.bound.split(":")[1]))
    await again.aclose()
    door.close(listener)


async def test_a_reserved_door_that_nobody_opens_leaves_nothing(tmp_path: Path) -> None:
    door = Door(tmp_path / "c.sock", "hint")
    await door.reserve()
    assert (tmp_path / "c.sock").exists()
    door.release()
    assert not (tmp_path / "c.sock").exists()


async def test_of_several_doors_one_that_is_taken_ends_the_start_before_a_child(
    start: Start, file: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = await start("run", file, "--http", f"127.0.0.1:{port}")
        assert await program.ended() == 1
    assert [line["event"] for line in program.log] == ["tree.failed", "tree.stopped"]
    assert f"127.0.0.1:{port}" in program.log[0]["because"]


async def test_a_host_that_does_not_exist_is_named() -> None:
    with pytest.raises(CannotListen, match=r"cannot listen on 192\.0\.2\.1:0: "):
        await Door(Address("192.0.2.1", 0), "hint").open()


def test_what_logs_is_not_imported_to_check_a_file(tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    file.write_text(TREE)
    text = (
        "import sys; from a2a_sup.app.program import main; "
        "main(sys.argv[1:], standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", text, "check", str(file)], check=True, capture_output=True, text=True
    )
    assert "a2a_sup.app.assembly" in done.stdout.split()
    assert "structlog" not in done.stdout.split()


def test_what_serves_and_what_logs_is_not_imported_before_the_first_child() -> None:
    modules = {"starlette", "hypercorn", "prometheus_client", "httpx", "structlog", "cattrs"}
    text = "import sys; from a2a_sup.app import host, cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True)
    imported = set(done.stdout.split())
    assert "a2a_sup.app.host" in imported
    assert not modules & imported
