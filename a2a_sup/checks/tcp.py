"""A check that a TCP port accepts connections."""

from __future__ import annotations

import attrs

from a2a_sup.checks.connecting import connected
from a2a_sup.errors import SpecError
from a2a_sup.model.spec import ChildContext


@attrs.frozen
class TCPCheck:
    """A check: a port accepts a connection. Made by :func:`tcp`.

    Attributes:
        host: a name or an address.
        port: 1 to 65535.
    """

    host: str
    port: int

    @property
    def name(self) -> str:
        """What the probe is called."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp {host}:{self.port}"

    async def __call__(self, _context: ChildContext) -> None:
        """Connect, and close the connection at once. Raises CheckFailed."""
        async with connected(self.host, self.port):
            pass


def tcp(host: str, port: int) -> TCPCheck:
    """Return a check that passes if a TCP port accepts a connection.

    Args:
        host: a name or an address.
        port: 1 to 65535.

    Raises:
        SpecError: an argument is out of range.
    """
    problems = []
    if not isinstance(host, str) or not host or "\0" in host:
        problems.append(f"host is a name or an address, not {host!r}")
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        problems.append(f"port is a number from 1 to 65535, not {port!r}")
    if problems:
        raise SpecError(f"tcp: {problem}" for problem in problems)
    return TCPCheck(host, port)
