"""What systemd is told of the program: a real socket, the real program."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from a2a_sup.app.notify import Manager, Notifier, manager_of
from tests.app.conftest import Start

TREE = """
[children.web]
command = ["sleep", "1000"]
[children.bad]
command = ["false"]
restart = { intensity = 0 }
"""


class Listener:
    """systemd's end of the socket."""

    def __init__(self, place: Path) -> None:
        self.address = str(place)
        self.told: list[dict[str, str]] = []
        self._socket = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM)

    async def open(self) -> None:
        await self._socket.bind(self.address)

    def close(self) -> None:
        self._socket.close()

    async def until(self, name: str, value: str) -> dict[str, str]:
        """Return the next message that says this, and keep those before it."""
        with trio.fail_after(20):
            while True:
                message = (await self._socket.recv(4096)).decode()
                fields = dict(line.split("=", 1) for line in message.splitlines())
                self.told.append(fields)
                if fields.get(name) == value:
                    return fields


@pytest.fixture
async def systemd(tmp_path: Path) -> AsyncIterator[Listener]:
    listener = Listener(tmp_path / "notify")
    await listener.open()
    yield listener
    listener.close()


async def test_the_life_of_a_service(start: Start, systemd: Listener, tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    file.write_text(TREE, encoding="utf-8")
    program = await start(
        "run", "--http", "off", file, NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="300000"
    )
    await systemd.until("READY", "1")
    assert len(systemd.told) == 1
    await systemd.until("STATUS", "1 of 2 running; failed: bad")
    for _ in range(3):
        await systemd.until("WATCHDOG", "1")

    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    program.signal(signal.SIGHUP)
    reloading = await systemd.until("RELOADING", "1")
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert before <= int(reloading["MONOTONIC_USEC"]) <= after
    await systemd.until("READY", "1")

    program.signal(signal.SIGTERM)
    assert (await systemd.until("STOPPING", "1"))["STATUS"].startswith("stopping, within")
    assert await program.ended() == 0


async def test_a_reload_of_a_bad_file_is_over_too(
    start: Start, systemd: Listener, tmp_path: Path
) -> None:
    file = tmp_path / "tree.toml"
    file.write_text(TREE, encoding="utf-8")
    program = await start("run", "--http", "off", file, NOTIFY_SOCKET=systemd.address)
    await systemd.until("READY", "1")
    file.write_text("[children", encoding="utf-8")
    program.signal(signal.SIGHUP)
    await systemd.until("RELOADING", "1")
    await systemd.until("READY", "1")
    # Nobody asked for a watchdog.
    assert not [message for message in systemd.told if "WATCHDOG" in message]


async def test_a_child_is_not_given_the_socket(
    start: Start, systemd: Listener, tmp_path: Path
) -> None:
    file = tmp_path / "tree.toml"
    file.write_text(
        '[children.nosy]\ncommand = ["sh", "-c", "env | grep -c ^NOTIFY_ > found; sleep 1000"]\n'
    )
    program = await start("run", "--http", "off", file, NOTIFY_SOCKET=systemd.address)
    await program.until("tree.started")
    with trio.fail_after(20):
        while not (found := tmp_path / "found").exists() or not found.read_text():
            await trio.sleep(0.01)
    assert found.read_text().strip() == "0"


@pytest.mark.parametrize(
    ("environ", "manager"),
    [
        ({}, None),
        ({"NOTIFY_SOCKET": ""}, None),
        ({"NOTIFY_SOCKET": "vsock:2:1"}, None),
        ({"NOTIFY_SOCKET": "/run/n"}, Manager("/run/n")),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "2000000"}, Manager("@n", 2.0)),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "0"}, Manager("@n")),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "soon"}, Manager("@n")),
        # The guardian's number, and somebody else's.
        (
            {"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "7"},
            Manager("@n", 1.0),
        ),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "8"}, Manager("@n")),
    ],
)
def test_who_wants_to_be_told(environ: dict[str, str], manager: Manager | None) -> None:
    assert manager_of(environ, (6, 7)) == manager


def test_nobody_there_is_no_reason_to_fail(tmp_path: Path) -> None:
    Notifier(None).tell(READY=1)
    late = Notifier(Manager(str(tmp_path / "late")))
    late.tell(READY=1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "late"))
        listener.settimeout(20)
        late.tell(STATUS="up")
        assert listener.recv(100) == b"STATUS=up"


async def test_an_abstract_address() -> None:
    with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM) as listener:
        await listener.bind("\0a2a-sup-test-notify")
        Notifier(Manager("@a2a-sup-test-notify")).tell(READY=1, STATUS="up")
        with trio.fail_after(20):
            assert await listener.recv(100) == b"READY=1\nSTATUS=up"
