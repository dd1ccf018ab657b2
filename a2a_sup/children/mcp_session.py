"""The session with an MCP server: the handshake, and what is learned by it.

Imports the ``mcp`` SDK, a second of CPU time; so this module is imported only when a server runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from typing import Any, Literal, TypeAlias

import attrs
import trio
from mcp import Client, ClientSession, MCPError
from mcp import types as protocol
from mcp.client.session import IncomingMessage
from mcp.client.subscriptions import SubscriptionLost
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import RootModel

from a2a_sup.children.logs import ChildLog
from a2a_sup.children.mcp_child import MCPCommand
from a2a_sup.children.mcp_connections import ConnectionLost, HandshakeFailed, current_connections
from a2a_sup.children.mcp_streams import Junk, transport
from a2a_sup.children.running import RunningProcess
from a2a_sup.model.reasons import message_of
from a2a_sup.model.spec import ChildContext

Era: TypeAlias = Literal["legacy", "modern"]
"""``modern``: revision 2026-07-28 and later, without ``initialize``, ``ping`` and sessions."""

TOOL_NAMES = 200
"""Names of tools shown in snapshots, each cut to ``NAME_LIMIT`` characters."""
NAME_LIMIT = 128
PAGE_LIMIT = 100
"""Pages of tools asked for: a list that never ends is cut."""
LIST_SECONDS = 10.0
"""For a whole list of tools."""
RELIST_SECONDS = 1.0
"""Between two lists of tools, however often the server says that they changed."""

_CLIENT_INFO = protocol.Implementation(name="a2a_sup", version=version("a2a_sup"))


class _RawResult(RootModel[dict[str, Any]]):
    """A result that is not looked into."""


@attrs.frozen(eq=False)
class MCPConnection:
    """The session with one incarnation of an MCP server. May be used by many tasks at once.

    Attributes:
        path: of the child.
        incarnation: of the child.
        era: which of the two protocols is spoken.
        protocol: its revision, as ``2025-11-25``.
        client: the SDK's, for its convenience.
        session: the SDK's, for typed requests.
    """

    path: str
    incarnation: int
    era: Era
    protocol: str
    client: Client
    session: ClientSession

    async def request(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a request and return its result as it came.

        Bound it by ``trio.fail_after``: that counts the writing too, if a server stopped reading.

        Args:
            method: such as ``tools/call``.
            params: its parameters. A modern server gets the ``_meta`` it wants added.

        Raises:
            MCPError: the server's error; its code is ``CONNECTION_CLOSED`` when it is gone.
            ValidationError: of pydantic: the result is not what the revision says.
        """
        request = protocol.Request[dict[str, Any] | None, str](
            method=method, params=None if params is None else dict(params)
        )
        result = await self.session.send_request(request, _RawResult)
        return result.root


async def converse(
    server: MCPCommand,
    child: RunningProcess,
    context: ChildContext,
    log: ChildLog,
    shaken: trio.Event,
) -> HandshakeFailed | ConnectionLost:
    """Keep a session with a server open, as long as it lets us.

    The era is found out as the specification asks (2026-07-28, stdio, backward compatibility):
    ``server/discover`` first, and whatever is not clearly an answer to it means a legacy server.

    Args:
        server: how to begin.
        child: the server's process, with its streams.
        context: is told the details, and when the server is ready.
        log: gets the lines that are no messages.
        shaken: is set when the handshake is done.

    Returns:
        Why it ended.
    """
    assert child.stdin is not None  # noqa: S101 - it runs under "streams"
    assert child.stdout is not None  # noqa: S101 - it is a pipe
    loss = _Loss()
    junk = Junk(partial(log.write, stream="stdout"), partial(_report_junk, context))
    tools = _Tools(context)
    client = Client(
        transport(child.stdin, child.stdout, junk=junk, lost=loss.happened),
        mode=server.handshake,
        cache=None,
        client_info=_CLIENT_INFO,
        message_handler=tools.on_message,
    )
    errors: list[Exception] = []
    try:
        with trio.CancelScope(deadline=trio.current_time() + server.handshake_timeout) as scope:
            async with client:
                scope.deadline = math.inf
                connection = _connection(client, context)
                _report(connection, context)
                with current_connections().opened(connection):
                    shaken.set()
                    context.ready()
                    try:
                        await _until_lost(client, tools, loss)
                    finally:
                        context.ready(is_ready=False)
    except* Exception as group:  # noqa: BLE001 - whatever the SDK makes of what the server sent
        errors.append(_first(group))
    if shaken.is_set():
        return _because(ConnectionLost(f"the connection is lost: {loss.why}"), errors)
    if scope.cancelled_caught:
        return HandshakeFailed(f"no answer to the handshake within {server.handshake_timeout:g} s")
    why = message_of(errors[0]) if errors and not loss.is_noticed else loss.why
    return _because(HandshakeFailed(f"the handshake failed: {why}"), errors)


class _Loss:
    """The end of a connection from the server's side."""

    def __init__(self) -> None:
        self.why = "the session ended"
        self._event = trio.Event()

    @property
    def is_noticed(self) -> bool:
        return self._event.is_set()

    def happened(self, why: str) -> None:
        if not self.is_noticed:
            self.why = why
            self._event.set()

    async def wait(self) -> None:
        await self._event.wait()


def _connection(client: Client, context: ChildContext) -> MCPConnection:
    return MCPConnection(
        path=context.path,
        incarnation=context.number,
        era="modern" if client.protocol_version in MODERN_PROTOCOL_VERSIONS else "legacy",
        protocol=client.protocol_version,
        client=client,
        session=client.session,
    )


def _report(connection: MCPConnection, context: ChildContext) -> None:
    info = connection.client.server_info
    server = {} if info is None else {"name": info.name, "version": info.version}
    context.report(
        era=connection.era,
        protocol=connection.protocol,
        server={key: value[:NAME_LIMIT] for key, value in server.items()},
    )


def _report_junk(context: ChildContext, lines: int, last: str) -> None:
    context.report(junk_lines=lines, last_junk=last)


async def _until_lost(client: Client, tools: _Tools, loss: _Loss) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tools.keep_listed, client)
        nursery.start_soon(tools.follow_changes, client)
        await loss.wait()
        nursery.cancel_scope.cancel()


class _Tools:
    """The names of a server's tools, kept in the snapshot."""

    def __init__(self, context: ChildContext) -> None:
        self._context = context
        self._changed = trio.Event()
        self._error: str | None = None

    async def on_message(self, message: IncomingMessage) -> None:
        """Take note of a change: how legacy servers announce it."""
        if isinstance(message, protocol.ToolListChangedNotification):
            self._changed.set()

    async def follow_changes(self, client: Client) -> None:
        """Take note of changes from a modern server: it announces them to who subscribed."""
        tools = client.server_capabilities.tools
        if client.protocol_version not in MODERN_PROTOCOL_VERSIONS or not (
            tools and tools.list_changed
        ):
            return
        try:
            async with client.listen(tools_list_changed=True) as changes:
                # What changed before the subscription was acknowledged was not announced.
                self._changed.set()
                async for _ in changes:
                    self._changed.set()
        except (MCPError, SubscriptionLost) as exc:
            self._say_error(f"no notice of changes: {message_of(exc)}")

    async def keep_listed(self, client: Client) -> None:
        """Report the tools, again when they changed. A failure is reported, and no harm."""
        while True:
            self._changed = trio.Event()
            try:
                with trio.fail_after(LIST_SECONDS):
                    names = await _tool_names(client)
            except Exception as exc:  # noqa: BLE001 - the SDK's answer to whatever the server sent
                self._say_error(message_of(exc) or type(exc).__name__)
            else:
                self._say_names(names)
            await trio.sleep(RELIST_SECONDS)
            await self._changed.wait()

    def _say_names(self, names: list[str]) -> None:
        shown = tuple(name[:NAME_LIMIT] for name in names[:TOOL_NAMES])
        self._context.report(tools=shown, tool_count=len(names))
        if self._error is not None:
            self._say_error(None)

    def _say_error(self, error: str | None) -> None:
        self._error = error
        self._context.report(tools_error=error)


async def _tool_names(client: Client) -> list[str]:
    if client.server_capabilities.tools is None:
        return []
    names: list[str] = []
    cursor: str | None = None
    for _ in range(PAGE_LIMIT):
        page = await client.list_tools(cursor=cursor)
        names += (tool.name for tool in page.tools)
        cursor = page.next_cursor
        if cursor is None:
            break
    return names


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """Return the first exception inside nested groups: the SDK's task groups wrap everything."""
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _because(
    verdict: HandshakeFailed | ConnectionLost, errors: list[Exception]
) -> HandshakeFailed | ConnectionLost:
    if errors:
        verdict.__cause__ = errors[0]
    return verdict
