"""A check that an MCP server answers on the session that it serves on."""

from __future__ import annotations

import attrs
import trio

from a2a_sup.children.mcp_connections import current_connections
from a2a_sup.errors import CheckFailed
from a2a_sup.model.spec import ChildContext


@attrs.frozen
class MCPPing:
    """A check: an MCP server answers. Made by :func:`mcp_ping`."""

    @property
    def name(self) -> str:
        """What the probe is called."""
        return "mcp ping"

    async def __call__(self, context: ChildContext) -> str:
        """Ask, and return what was asked. Raises CheckFailed."""
        connection = current_connections().get(context.path)
        if connection is None:
            await trio.lowlevel.checkpoint()
            return "no session yet: the handshake has a time limit of its own"
        # Imported already: there is a connection.
        from anyio import BrokenResourceError, ClosedResourceError  # noqa: PLC0415
        from mcp import MCPError  # noqa: PLC0415
        from mcp_types import CONNECTION_CLOSED  # noqa: PLC0415
        from pydantic import ValidationError  # noqa: PLC0415

        method = "ping" if connection.era == "legacy" else "server/discover"
        try:
            await connection.request(method)
        except MCPError as exc:
            # Servers use the same code for errors of their own; these words are the SDK's.
            if (exc.code, exc.message) == (CONNECTION_CLOSED, "Connection closed"):
                raise CheckFailed("the connection is lost") from exc
            return f"{method} is refused, which is an answer"
        except ValidationError:
            return f"{method} is answered with something unknown, which is an answer"
        except (BrokenResourceError, ClosedResourceError) as exc:
            raise CheckFailed("the connection is lost") from exc
        return method


def mcp_ping() -> MCPPing:
    """Return a check that asks an MCP server whether it is there, for children of ``mcp_server``.

    A server of the 2026-07-28 revision is asked ``server/discover``, an older one ``ping``. Any
    answer passes, errors too: a server that refuses ``ping`` is alive. Silence fails. Before the
    handshake is done there is nothing to ask, and it passes.
    """
    return MCPPing()
