"""A server in a process of its own, and its clients: raw sockets that are only drained."""

from __future__ import annotations

import os
import resource
import select
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.install import node_peers, reason
from bench.measure import NotMeasured

HERE = Path(__file__).parent
PATIENCE = 30.0
"""Seconds that a line, an answer or a frame is waited for."""
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


class Server:
    """One of the servers, which takes orders and answers line by line."""

    def __init__(self, command: Sequence[str | Path], env: Mapping[str, str]) -> None:
        """Start it."""
        with ExitStack() as stack:
            self._errors = stack.enter_context(tempfile.TemporaryFile())
            # Unbuffered: what is waited for is what is not read yet.
            self._process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, **env},
            )
            stack.pop_all()

    @property
    def proc(self) -> Path:
        """What the kernel tells about it."""
        return Path(f"/proc/{self._process.pid}")

    def order(self, line: bytes) -> None:
        """Send it a line."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            self._process.stdin.write(line)
        except BrokenPipeError:
            raise self.failed("it has ended") from None

    def line(self) -> bytes:
        """Return the next line of its output.

        Raises:
            NotMeasured: it has ended, or prints none.
        """
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        output = self._process.stdout.fileno()
        due = time.monotonic() + PATIENCE
        line = b""
        with select.epoll() as poll:
            poll.register(output, select.EPOLLIN)
            while not line.endswith(b"\n"):
                if not poll.poll(max(0, due - time.monotonic())):
                    raise self.failed(f"it printed nothing for {PATIENCE:g} s")
                piece = os.read(output, 1)
                if not piece:
                    raise self.failed("it has ended")
                line += piece
        return line

    def failed(self, what: str) -> NotMeasured:
        """Return what it has done wrong, with its last error."""
        size = os.fstat(self._errors.fileno()).st_size
        # Without moving: the server writes where this file is.
        said = os.pread(self._errors.fileno(), 65536, max(0, size - 65536))
        why = reason(said.decode(errors="replace"))
        return NotMeasured(f"{what}: {why}" if why else what)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def close(self) -> None:
        """End it: it ends with its orders."""
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()


class Crowd:
    """One server with so many clients, of which some read nothing.

    One more client comes before them and takes a frame, since what the first one costs is no
    one's share; it leaves before anything but memory is measured.

    Attributes:
        memory: bytes that the server's memory grew by for these clients.
        size: bytes of a frame.
    """

    def __init__(self, name: str, clients: int, stalled: int = 0) -> None:
        """Start the server and connect the clients. Raises NotMeasured if it fails."""
        self._server = Server(*_command(name))
        self._selector = selectors.EpollSelector()
        self._sockets: list[socket.socket] = []
        try:
            self._assemble(clients, stalled)
        except BaseException:
            self._server.kill()
            self.close()
            raise

    def _assemble(self, clients: int, stalled: int) -> None:
        line = self._server.line()
        if not line.strip().isdigit():
            raise self._server.failed(f"it printed {line!r}, which is no port")
        port = int(line)
        first = self._connected(port)
        self._selector.register(first, selectors.EVENT_READ)
        self.broadcast()
        self._drain()
        before = self.resident()
        for number in range(clients):
            if number < stalled:
                self._connected(port, SMALL)
            else:
                self._selector.register(self._connected(port), selectors.EVENT_READ)
        self._drain()
        self.memory = self.resident() - before
        self._selector.unregister(first)
        first.close()
        self._drain()
        self.broadcast()
        self.size = self._drain() // (clients - stalled)

    def _connected(self, port: int, buffer: int = 0) -> socket.socket:
        client = socket.socket()
        self._sockets.append(client)
        if buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.settimeout(PATIENCE)
        head = b""
        try:
            client.connect(("127.0.0.1", port))
            client.sendall(HANDSHAKE)
            while b"\r\n\r\n" not in head:
                head += self._received(client, 1)
        except OSError as exc:
            raise self._server.failed(f"client {len(self._sockets)} was not let in: {exc}") from exc
        if not head.startswith(b"HTTP/1.1 101"):
            raise self._server.failed(f"a client was refused: {head[:200]!r}")
        client.settimeout(0)
        return client

    def _received(self, client: socket.socket, most: int = 65536) -> bytes:
        try:
            if piece := client.recv(most):
                return piece
        except ConnectionError:
            pass
        raise self._server.failed("it has cut a client")

    def resident(self) -> int:
        """Return the bytes of the server's memory."""
        fields = (self._server.proc / "statm").read_text(encoding="ascii").split()
        return int(fields[1]) * resource.getpagesize()

    def cpu(self) -> float:
        """Return the seconds that the server's threads have run."""
        threads = (self._server.proc / "task").iterdir()
        ran = ((each / "schedstat").read_text(encoding="ascii").split()[0] for each in threads)
        return sum(map(int, ran)) / 1e9

    def broadcast(self) -> None:
        """Let the server send a frame to all."""
        self._server.order(b"\n")

    def held(self) -> tuple[float, float]:
        """Return the longest turn of our loop since the last call, and the most CPU of a turn."""
        self._server.order(b"held\n")
        longest, most = map(float, self._server.line().split())
        return longest, most

    def seconds(self) -> float:
        """Return how long it takes from the order until the last reading client has a frame."""
        missing = {each.fileobj: self.size for each in self._selector.get_map().values()}
        begin = time.perf_counter()
        self.broadcast()
        while missing:
            ready = self._selector.select(PATIENCE)
            if not ready:
                raise self._server.failed(f"{len(missing)} clients never had a frame")
            for key, _ in ready:
                client: socket.socket = key.fileobj  # type: ignore[assignment]
                missing[client] -= len(self._received(client))
                if missing[client] <= 0:
                    del missing[client]
        return time.perf_counter() - begin

    def _drain(self) -> int:
        """Read until nothing comes any more; return how many bytes came."""
        count = 0
        while ready := self._selector.select(QUIET):
            for key, _ in ready:
                count += len(self._received(key.fileobj))  # type: ignore[arg-type]
        return count

    def close(self) -> None:
        """End the server and all connections."""
        for client in self._sockets:
            client.close()
        self._selector.close()
        self._server.close()
