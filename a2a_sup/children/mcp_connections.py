"""The live connections to MCP servers, for the parts of this package that talk to them.

Nothing here imports the ``mcp`` SDK, which takes a second of CPU time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from a2a_sup.errors import ChildExit

if TYPE_CHECKING:
    from a2a_sup.children.mcp_session import MCPConnection

_current: trio.lowlevel.RunVar[Connections] = trio.lowlevel.RunVar("a2a_sup MCP connections")


class HandshakeFailed(ChildExit):
    """An MCP server ran, but it refused the handshake, or was late with it, or ended before."""


class ConnectionLost(ChildExit):
    """An MCP server closed one of its streams, or broke the protocol, and ran on."""


class Connections:
    """The connections of one Trio run, by the path of the child."""

    def __init__(self) -> None:
        """Begin empty."""
        self._open: dict[str, MCPConnection] = {}

    def get(self, child: str) -> MCPConnection | None:
        """Return the connection to the child with this path, or None while there is none.

        There is one from the moment the child is ready until its process ends or is asked to. Each
        incarnation has its own: keep the path, not the connection.
        """
        return self._open.get(child)

    @contextmanager
    def opened(self, connection: MCPConnection) -> Iterator[None]:
        """Show a connection for the length of a block."""
        self._open[connection.path] = connection
        try:
            yield
        finally:
            if self._open.get(connection.path) is connection:
                del self._open[connection.path]


def current_connections() -> Connections:
    """Return the connections of this Trio run."""
    try:
        return _current.get()
    except LookupError:
        connections = Connections()
        _current.set(connections)
        return connections
