"""An ASGI application on hypercorn's connections, in this Trio run, on a socket of our own.

Beyond what hypercorn does, nobody outside can hold anything up:

- a header that does not come, or a connection that is not used, is closed after IDLE_SECONDS;
- a body is read before the application is called, at most BODY_LIMIT bytes in BODY_SECONDS;
- a client that does not read is cut after SEND_SECONDS;
- when there are CONNECTION_LIMIT connections, the one that has been idle longest makes room; one
  whose request is not complete counts as idle.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

import trio

from a2a_sup.serve.listen import Door

if TYPE_CHECKING:
    from hypercorn.config import Config
    from hypercorn.trio.worker_context import WorkerContext

HEADER_LIMIT = 16 * 2**10
"""Bytes of a request's first line and headers."""
BODY_LIMIT = 2**20
"""Bytes of a request's body."""
REQUEST_LIMIT = 2 * BODY_LIMIT
"""Bytes of a whole request as it is sent, with the marks of its chunks."""
BODY_SECONDS = 10.0
IDLE_SECONDS = 10.0
SEND_SECONDS = 10.0
CONNECTION_LIMIT = 256
GRACE_SECONDS = 1.0
"""After which a stop ends what is still being answered."""

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An ASGI 3 application."""

_log = logging.getLogger(__name__)


async def serve_app(
    make_app: Callable[[], App],
    door: Door,
    *,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve HTTP/1.1 at ``door`` until cancelled; what is open then is ended within a second.

    For a unix socket the user at the other end is ``scope["state"]["peer_uid"]``.

    Args:
        make_app: returns the application; it is called in a thread at the first connection, so
            that a server that nobody asks costs no imports.
        door: where to listen.
        task_status: is given the address that was bound.

    Raises:
        CannotListen: the address is taken, or the path cannot be used.
    """
    listener = await door.open()
    try:
        async with trio.open_nursery() as nursery:
            crowd = _Crowd(make_app)
            handlers: trio.Nursery = await nursery.start(crowd.hold)
            task_status.started(door.bound)
            try:
                await trio.serve_listeners(crowd.serve, [listener], handler_nursery=handlers)
            finally:
                door.close(listener)
                crowd.leave()
    finally:
        door.close(listener)


class _Crowd:
    """The connections of one server."""

    def __init__(self, make_app: Callable[[], App]) -> None:
        self._make_app = make_app
        self._made: tuple[App, Config, WorkerContext] | None = None
        self._making = trio.Lock()
        # In the order in which they were used last.
        self._connections: dict[_Connection, None] = {}
        self._leaving = trio.Event()
        self._emptied = trio.Event()

    async def hold(self, *, task_status: trio.TaskStatus[trio.Nursery]) -> None:
        """Keep the nursery of the connections until all of them have ended after ``leave``."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as handlers:
                task_status.started(handlers)
                await self._leaving.wait()
                if self._made is not None:
                    await self._made[2].terminated.set()  # idle connections end at once
                handlers.start_soon(self._end_after_grace, handlers)

    async def _end_after_grace(self, handlers: trio.Nursery) -> None:
        with trio.move_on_after(GRACE_SECONDS):
            if self._connections:
                await self._emptied.wait()
        # Cancelling is not enough: hypercorn shields what it sends.
        for connection in self._connections:
            connection.cut()
        handlers.cancel_scope.cancel()

    def leave(self) -> None:
        """Begin to end all connections."""
        self._leaving.set()

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection. Whatever happens in it stays in it."""
        connection = _Connection(stream)
        if not self._has_room():
            return
        self._connections[connection] = None
        try:
            app, config, context = await self._loaded()
            await _converse(connection, partial(self._answer, app, connection), config, context)
        except* Exception:  # noqa: BLE001 - logged; the others go on
            _log.exception("a connection failed")
        finally:
            del self._connections[connection]
            connection.cut()
            if not self._connections and self._leaving.is_set():
                self._emptied.set()

    def _has_room(self) -> bool:
        if len(self._connections) < CONNECTION_LIMIT:
            return True
        for connection in self._connections:
            if not connection.is_busy:
                del self._connections[connection]
                self._connections[connection] = None
                connection.cut()
                return True
        return False

    async def _loaded(self) -> tuple[App, Config, WorkerContext]:
        async with self._making:
            if self._made is None:
                config, context = await trio.to_thread.run_sync(_hypercorn)
                app = await trio.to_thread.run_sync(self._make_app)
                self._made = app, config, context
        if self._leaving.is_set():
            await self._made[2].terminated.set()
        return self._made

    async def _answer(
        self, app: App, connection: _Connection, scope: Scope, receive: Receive, send: Send
    ) -> None:
        async def send_or_raise(message: Message) -> None:
            # Hypercorn would go on without a word, and so would an endless answer.
            if connection.is_gone:
                raise ConnectionResetError("the client is gone")
            await send(message)

        async def busy(scope: Scope, receive: Receive, send: Send) -> None:
            # Only now: whoever is slow to send a body holds no place that others need.
            connection.is_busy = True
            await app(scope, receive, send)

        try:
            if scope["type"] == "http":
                scope["state"]["peer_uid"] = connection.peer_uid
                await _call(busy, scope, receive, send_or_raise)
            elif scope["type"] == "websocket":
                await send({"type": "websocket.close"})
        except Exception:
            if not connection.is_gone:
                raise
        finally:
            connection.is_busy = False
            connection.received = 0
            if connection in self._connections:
                del self._connections[connection]
                self._connections[connection] = None


class _Connection:
    """A stream as hypercorn uses it, with limits of time and size."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.socket = stream.socket
        self.is_busy = False
        self.is_gone = False
        self.received = 0
        self.peer_uid = _peer_uid(stream.socket)
        self._stream = stream

    async def receive_some(self, at_most: int) -> bytes:
        data = bytes(await self._stream.receive_some(at_most))
        self.received += len(data)
        return data if self.received <= REQUEST_LIMIT else b""

    async def send_all(self, data: bytes) -> None:
        try:
            with trio.fail_after(SEND_SECONDS):
                await self._stream.send_all(data)
        except (trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self.cut()
            raise trio.BrokenResourceError("the client does not read") from error

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def cut(self) -> None:
        """Close it at once; who reads or writes it is told."""
        self.is_gone = True
        self.socket.close()


def _peer_uid(sock: trio.socket.SocketType) -> int | None:
    """Return the user at the other end of a unix socket (unix(7): SO_PEERCRED)."""
    if sock.family != socket.AF_UNIX:
        return None
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid


def _hypercorn() -> tuple[Config, WorkerContext]:
    from hypercorn.config import Config  # noqa: PLC0415 - see make_app
    from hypercorn.trio.worker_context import WorkerContext  # noqa: PLC0415

    config = Config()
    config.errorlog = _log
    config.include_server_header = False
    config.h11_max_incomplete_size = HEADER_LIMIT
    config.keep_alive_timeout = IDLE_SECONDS
    # Without a bound, as a full queue hangs the connection when nobody reads the body: the
    # connection bounds what it takes instead.
    config.max_app_queue_size = 2**31
    config.websocket_max_message_size = HEADER_LIMIT
    return config, WorkerContext(None)


async def _converse(
    connection: _Connection, app: App, config: Config, context: WorkerContext
) -> None:
    """Let hypercorn speak HTTP on a connection until it is over."""
    from hypercorn.app_wrappers import ASGIWrapper  # noqa: PLC0415
    from hypercorn.protocol.h11 import H11Protocol  # noqa: PLC0415
    from hypercorn.trio.tcp_server import TCPServer  # noqa: PLC0415
    from hypercorn.typing import ConnectionState  # noqa: PLC0415

    class Server(TCPServer):
        async def _read_data(self) -> None:
            # Neither a preface nor an upgrade changes to HTTP/2, whose limits are others: a client
            # may ask for it, and is answered by HTTP/1.1 (RFC 9110, 7.8).
            protocol = self.protocol.protocol
            assert isinstance(protocol, H11Protocol)  # noqa: S101 - there is no TLS here
            protocol._check_protocol = _stay  # type: ignore[assignment,method-assign]
            try:
                await super()._read_data()
            finally:
                # What is left waits for an idle connection to end.
                await self.idle_task.stop()

    state = ConnectionState({})
    await Server(ASGIWrapper(app), config, context, state, connection).run()  # type: ignore[arg-type]


async def _stay(_: object) -> None:
    """Change to no other protocol."""


# --- one request ---------------------------------------------------------------------------------


class _Refused(Exception):
    """The request is not given to the application."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


class _Gone(Exception):
    """The client went away before its request was complete."""


async def _call(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        body = await _body(scope, receive)
    except _Gone:
        return
    except _Refused as refused:
        await _refuse(send, refused.status)
        return
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    gone = trio.Event()
    watching = trio.CancelScope()

    async def receive_read() -> Message:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send_to_the_end(message: Message) -> None:
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if is_last:
            # Hypercorn closes the connection inside of this, if it is the last answer on it, and
            # tells a disconnect before it has. Being cancelled by that it would leave it open.
            watching.cancel()
        await send(message)
        if is_last:
            gone.set()

    async with trio.open_nursery() as nursery:

        async def end_when_gone() -> None:
            with watching:
                while (await receive())["type"] != "http.disconnect":
                    pass
                gone.set()
                nursery.cancel_scope.cancel()

        # An answer without end, such as a stream of events, need not look for this itself.
        nursery.start_soon(end_when_gone)
        await app(scope, receive_read, send_to_the_end)
        nursery.cancel_scope.cancel()


async def _body(scope: Scope, receive: Receive) -> bytes:
    """Return the whole body. Raises _Refused if it is too large or too slow, and _Gone."""
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if int(declared) > BODY_LIMIT:
        raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    body = bytearray()
    with trio.move_on_after(BODY_SECONDS):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            body += message["body"]
            if len(body) > BODY_LIMIT:
                raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            if not message["more_body"]:
                return bytes(body)
    raise _Refused(HTTPStatus.REQUEST_TIMEOUT)


async def _refuse(send: Send, status: HTTPStatus) -> None:
    body = f'{{"type":"about:blank","title":"{status.phrase}","status":{status.value}}}'.encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
