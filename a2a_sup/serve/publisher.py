"""The dashboard: a WebSocket on which a tree tells what becomes of it.

One task decides what is told, and offers each frame, made once, to every watcher. A watcher costs
two tasks that sleep; a third runs while it is slow. None of them can hold up another: nobody is
waited for, and who takes nothing for a while is cut.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

import attrs
import structlog
import trio

from a2a_sup.registry import AgentRegistry
from a2a_sup.serve.feed import Feed
from a2a_sup.serve.frames import PING
from a2a_sup.serve.handshake import PROTOCOL, Rules, refusal
from a2a_sup.serve.outlet import Outlet
from a2a_sup.serve.watcher import Watcher
from a2a_sup.tree.handle import TreeHandle

if TYPE_CHECKING:
    from trio_websocket import WebSocketRequest

GOING_AWAY = 1001
"""RFC 6455, 7.4.1."""
MESSAGES_AHEAD = 4
"""Messages of a watcher that are read before they are answered."""
GREETED = 64
"""Handshakes under way, beside the watchers that are allowed."""


@attrs.frozen(kw_only=True)
class Limits:
    """How much the dashboard bears, and for how long. Times are seconds.

    Attributes:
        clients: watchers at a time; more are refused.
        message_size: characters of a message from a watcher; one that sends more is closed.
        handshake: until a handshake has to be done.
        stall: a watcher that takes nothing for so long while something is due is cut.
        ping_interval: a watcher that is silent for so long is pinged.
        ping_timeout: one that stays silent for so long after that is cut.
        goodbye: for closing all connections at the end.
        metrics_interval: between two ``metrics:update`` to all.
        coalesce: changes of the tree are collected for so long; the first is told at once.
    """

    clients: int = 2_000
    message_size: int = 64 * 1024
    handshake: float = 5.0
    stall: float = 10.0
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    goodbye: float = 1.0
    metrics_interval: float = 5.0
    coalesce: float = 0.04


class Door(Protocol):
    """Where to listen: see ``a2a_sup.serve.listen.Door``."""

    is_local: bool

    async def open(self) -> trio.SocketListener:
        """Bind and listen. Raises CannotListen."""

    def close(self, listener: trio.SocketListener) -> None:
        """Stop listening."""


class Publisher:
    """Tells watchers what becomes of a tree and of the agents of a registry.

    Attributes:
        limits: what it bears.
        watchers: who is connected now.
        cut: how many watchers were cut because they were slow or dead.
        refused: how many handshakes were refused, or not done in time.
    """

    def __init__(
        self,
        tree: TreeHandle,
        registry: AgentRegistry,
        *,
        rules: Rules | None = None,
        limits: Limits | None = None,
        loop_lag: Callable[[], float] | None = None,
    ) -> None:
        """Prepare to publish; ``serve`` does it, as often as it is called.

        Args:
            tree: is published.
            registry: its agents are, too.
            rules: who may watch.
            limits: how much it bears.
            loop_lag: returns for how long the loop was held lately, in seconds, for the metrics.
        """
        self.limits = limits or Limits()
        self.watchers: dict[Watcher, None] = {}
        self.cut = 0
        self.refused = 0
        self._tree = tree
        self._registry = registry
        self._rules = rules or Rules()
        self._loop_lag = loop_lag
        self._connected = 0
        self._is_local = True

    async def serve(self, door: Door, *, task_status: trio.TaskStatus[trio.SocketListener]) -> None:
        """Serve until cancelled; then say goodbye to all watchers.

        Raises:
            CannotListen: the address is taken.
        """
        await trio.to_thread.run_sync(_import_library)
        listener = await door.open()
        self._is_local = door.is_local
        try:
            async with trio.open_nursery() as nursery:
                connections: trio.Nursery = await nursery.start(_shielded)
                try:
                    await self._publish(listener, connections, task_status)
                finally:
                    door.close(listener)
                    with trio.CancelScope(shield=True):
                        await self._say_goodbye()
                    connections.cancel_scope.cancel()
        finally:
            door.close(listener)

    async def _publish(
        self,
        listener: trio.SocketListener,
        connections: trio.Nursery,
        task_status: trio.TaskStatus[trio.SocketListener],
    ) -> None:
        feed = Feed(
            self._tree,
            self._registry,
            self.watchers,
            metrics_interval=self.limits.metrics_interval,
            coalesce=self.limits.coalesce,
            loop_lag=self._loop_lag,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed.run)
            nursery.start_soon(self._find_the_dead)
            welcome = partial(self._welcome, feed)
            serve = partial(trio.serve_listeners, welcome, [listener], handler_nursery=connections)
            await nursery.start(serve)
            task_status.started(listener)

    # --- one connection -------------------------------------------------------------------------

    async def _welcome(self, feed: Feed, stream: trio.SocketStream) -> None:
        """Serve one connection. Whatever goes wrong with it ends with it."""
        outlet = Outlet(stream)
        self._connected += 1
        try:
            async with trio.open_nursery() as nursery:
                watcher: Watcher | None = None
                if self._connected <= self.limits.clients + GREETED:
                    with trio.move_on_after(self.limits.handshake):
                        watcher = await self._greet(feed, outlet, nursery)
                if watcher is None:
                    self.refused += 1
                else:
                    await self._attend(feed, watcher)
                nursery.cancel_scope.cancel()
        except* Exception as group:  # noqa: BLE001 - a stranger's bytes led to it, whatever it is
            structlog.get_logger().debug("dashboard.broken", because=repr(group)[:500])
        finally:
            self._connected -= 1
            outlet.cut()

    async def _greet(self, feed: Feed, outlet: Outlet, nursery: trio.Nursery) -> Watcher | None:
        """Accept the handshake, or refuse it and return None."""
        from trio_websocket import wrap_server_stream  # noqa: PLC0415 - see _import_library

        request = await wrap_server_stream(
            nursery,
            outlet,
            message_queue_size=MESSAGES_AHEAD,
            max_message_size=self.limits.message_size,
        )
        refused = self._refusal(request)
        if refused is not None:
            status, reason = refused
            plain = [(b"Content-Type", b"text/plain; charset=utf-8")]
            await request.reject(status, extra_headers=plain, body=f"{reason}\n".encode())
            await outlet.aclose()
            return None
        # No extension is accepted: compression costs a quarter of a megabyte for each watcher.
        chosen = PROTOCOL if PROTOCOL in request.proposed_subprotocols else None
        connection = await request.accept(subprotocol=chosen)
        return Watcher(connection, outlet, nursery, feed.changes)

    def _refusal(self, request: WebSocketRequest) -> tuple[int, str] | None:
        if len(self.watchers) >= self.limits.clients:
            return 503, f"there are {self.limits.clients} watchers already"
        refused = refusal(
            self._rules,
            host=request._event.host,
            path=request.path,
            headers={
                name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers
            },
            protocols=request.proposed_subprotocols,
            is_local=self._is_local,
        )
        return None if refused is None else (int(refused.status), refused.reason)

    async def _attend(self, feed: Feed, watcher: Watcher) -> None:
        """Answer one watcher until it goes."""
        from trio_websocket import ConnectionClosed  # noqa: PLC0415 - see _import_library

        self.watchers[watcher] = None
        try:
            feed.tell_metrics(watcher)
            while True:
                feed.answer(watcher, await watcher.connection.get_message())
        except ConnectionClosed:
            return
        finally:
            del self.watchers[watcher]

    # --- the dead, and the end ------------------------------------------------------------------

    async def _find_the_dead(self) -> None:
        """Cut who takes nothing, and who does not even answer a ping."""
        limits = self.limits
        pause = min(limits.stall, limits.ping_interval, limits.ping_timeout) / 4
        while True:
            await trio.sleep(pause)
            now = trio.current_time()
            for watcher in tuple(self.watchers):
                outlet = watcher.outlet
                is_pinged = watcher.pinged_at > outlet.heard_at
                if (outlet.unsent and now - outlet.moved_at > limits.stall) or (
                    is_pinged and now - watcher.pinged_at > limits.ping_timeout
                ):
                    self.cut += 1
                    outlet.cut()
                elif not is_pinged and now - outlet.heard_at > limits.ping_interval:
                    watcher.ping(PING, now)

    async def _say_goodbye(self) -> None:
        """Close all connections, as far as watchers go along in time."""
        with trio.move_on_after(self.limits.goodbye):
            async with trio.open_nursery() as nursery:
                for watcher in tuple(self.watchers):
                    nursery.start_soon(_close, watcher)


async def _close(watcher: Watcher) -> None:
    try:
        await watcher.connection.aclose(GOING_AWAY, "the supervisor ends")
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


async def _shielded(*, task_status: trio.TaskStatus[trio.Nursery]) -> None:
    """Hold a nursery that only its own scope ends."""
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            task_status.started(nursery)
            await trio.sleep_forever()


def _import_library() -> None:
    """Import what takes a quarter of a second: in a thread, when it is needed."""
    import trio_websocket  # noqa: F401, PLC0415 - see above
