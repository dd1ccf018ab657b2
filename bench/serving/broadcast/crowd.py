"""A server in a process of its own, and its clients: raw sockets that are only drained."""

from __future__ import annotations

import os
import resource
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.install import node_peers

HERE = Path(__file__).parent
PATIENCE = 30.0
"""Seconds that a frame is waited for."""
QUIET = 0.3
"""Seconds without a byte after which nothing more is expected."""
SMALL = 4096
"""The receive buffer of a client that reads nothing."""
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
OURS = "a2a_sup"
NODE = "node ws"
PYTHON = "websockets"


def _command(name: str) -> tuple[Sequence[str | Path], Mapping[str, str]]:
    if name == NODE:
        return ["node", HERE / "peer.cjs"], {"NODE_PATH": str(node_peers())}
    if name == PYTHON:
        return [sys.executable, HERE / "peer.py"], {}
    return [sys.executable, "-m", "bench.serving.broadcast.ours"], {}


def allow_files(count: int) -> None:
    """Let this process, and those that it starts, have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count)), hard))


class Crowd:
    """One server with so many clients, of which some read nothing.

    Attributes:
        memory: bytes that the server's memory grew by for these clients.
        clients: those that read.
        size: bytes of a frame.
    """

    def __init__(self, name: str, clients: int, stalled: int = 0) -> None:
        """Start the server and connect the clients."""
        command, env = _command(name)
        self._server = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
        )
        assert self._server.stdout is not None  # noqa: S101 - it is a pipe
        port = int(self._server.stdout.readline())
        self._selector = selectors.EpollSelector()
        self._sockets: list[socket.socket] = []
        first = self._connected(port, 0)  # what the first one costs is no one's share
        self._selector.register(first, selectors.EVENT_READ)
        before = self.resident()
        for number in range(clients):
            is_stalled = number % clients < stalled
            client = self._connected(port, SMALL if is_stalled else 0)
            if not is_stalled and number:
                self._selector.register(client, selectors.EVENT_READ)
        self._drain()
        self.memory = self.resident() - before
        self.clients = clients - stalled
        self._selector.unregister(first) if stalled else None
        self.broadcast()
        self.size = self._drain() // len(self._selector.get_map())

    def _connected(self, port: int, buffer: int) -> socket.socket:
        client = socket.socket()
        if buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", port))
        client.sendall(HANDSHAKE)
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        if not head.startswith(b"HTTP/1.1 101"):
            raise ValueError(f"refused: {head[:200]!r}")
        client.settimeout(0)
        self._sockets.append(client)
        return client

    def resident(self) -> int:
        """Return the bytes of the server's memory."""
        fields = Path(f"/proc/{self._server.pid}/statm").read_text(encoding="ascii").split()
        return int(fields[1]) * resource.getpagesize()

    def cpu(self) -> float:
        """Return the seconds that the server's threads have run."""
        threads = Path(f"/proc/{self._server.pid}/task").iterdir()
        ran = ((each / "schedstat").read_text(encoding="ascii").split()[0] for each in threads)
        return sum(map(int, ran)) / 1e9

    def broadcast(self) -> None:
        """Let the server send a frame to all."""
        self._order("\n")

    def held(self) -> tuple[float, float]:
        """Return the longest turn of our loop since the last call, and the most CPU of a turn."""
        self._order("held\n")
        assert self._server.stdout is not None  # noqa: S101 - it is a pipe
        longest, most = map(float, self._server.stdout.readline().split())
        return longest, most

    def _order(self, line: str) -> None:
        assert self._server.stdin is not None  # noqa: S101 - it is a pipe
        self._server.stdin.write(line)
        self._server.stdin.flush()

    def seconds(self) -> float:
        """Return how long it takes from the order until the last reading client has a frame."""
        missing = {each.fileobj: self.size for each in self._selector.get_map().values()}
        begin = time.perf_counter()
        self.broadcast()
        while missing:
            ready = self._selector.select(PATIENCE)
            if not ready:
                raise ValueError(f"{len(missing)} clients never had it")
            for key, _ in ready:
                client: socket.socket = key.fileobj  # type: ignore[assignment]
                missing[client] -= len(client.recv(65536))
                if missing[client] <= 0:
                    del missing[client]
        return time.perf_counter() - begin

    def _drain(self) -> int:
        """Read until nothing comes any more; return how many bytes came."""
        count = 0
        while ready := self._selector.select(QUIET):
            for key, _ in ready:
                count += len(key.fileobj.recv(65536))  # type: ignore[union-attr]
        return count

    def close(self) -> None:
        """End the server and all connections."""
        for client in self._sockets:
            client.close()
        self._selector.close()
        assert self._server.stdin is not None  # noqa: S101 - both are pipes
        assert self._server.stdout is not None  # noqa: S101
        self._server.stdin.close()
        self._server.stdout.close()
        try:
            self._server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
